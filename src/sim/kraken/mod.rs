//! Kraken spot: REST `/0/public` and WebSocket v2, as the venue writes them.

mod control;
mod listing;
mod rest;
mod stream;

use std::sync::Arc;

use crate::market::Symbol;

use super::calendar::{Frame, Hours, MINUTE};
use super::half::Subject;
use super::http::{SimReply, SimRequest, Target};
use super::limits::Window;
use super::listing::{Listing, Venue};
use super::socket::Session;
use super::world::World;

impl Venue {
    /// Kraken spot.
    pub const KRAKEN: Venue = Venue::named("kraken");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::KRAKEN
    }

    fn listing(&self, rank: usize) -> Option<Listing> {
        listing::listing(rank)
    }

    fn made_up(&self, rank: usize) -> Listing {
        listing::made_up(rank)
    }

    fn invented(&self, symbol: &Symbol) -> Listing {
        listing::invented(symbol)
    }

    fn frame(&self, _hours: Hours, timeframe: &str) -> Option<Frame> {
        frame_of_timeframe(timeframe)
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        rest::subject(world, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        (path == "/v2").then(|| Box::new(stream::KrakenSession::new(world.clone())) as Box<dyn Session>)
    }

    fn connects(&self) -> Option<Window> {
        // Its edge bans for ten minutes.
        Some(Window { most: 150, window_s: 600, block_s: 600 })
    }

    fn trade_time_digits(&self) -> usize {
        6
    }

    fn announces_maintenance(&self) -> bool {
        true
    }
}

/// Intervals in minutes. Weeks count from the epoch, a Thursday; 21600 is 15 days.
const INTERVALS: [i64; 9] = [1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600];

fn frame_of_interval(minutes: i64) -> Option<Frame> {
    INTERVALS.contains(&minutes).then(|| Frame::every(minutes * MINUTE))
}

/// The buckets of a unified timeframe.
fn frame_of_timeframe(timeframe: &str) -> Option<Frame> {
    let minutes = match timeframe {
        "1m" => 1,
        "5m" => 5,
        "15m" => 15,
        "30m" => 30,
        "1h" => 60,
        "4h" => 240,
        "1d" => 1_440,
        "1w" => 10_080,
        _ => return None,
    };
    frame_of_interval(minutes)
}
