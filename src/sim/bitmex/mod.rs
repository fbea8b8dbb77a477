//! BitMEX: REST v1 and the realtime socket, as the venue wrote them.

mod listing;
mod print;
mod rest;
mod stream;

use std::sync::Arc;

use crate::market::Symbol;

use super::calendar::{DAY, Frame, HOUR, Hours, MINUTE};
use super::half::{Printed, Subject};
use super::http::{SimReply, SimRequest, Target};
use super::limits::Window;
use super::listing::{Listing, Venue};
use super::market::{Bucket, Market};
use super::socket::Session;
use super::tape::Tick;
use super::world::World;

impl Venue {
    /// BitMEX.
    pub const BITMEX: Venue = Venue::named("bitmex");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::BITMEX
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
        length_of_bin(timeframe).map(Frame::every)
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        rest::subject(world, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        (path == "/realtime").then(|| Box::new(stream::BitmexSession::new(world.clone())) as Box<dyn Session>)
    }

    fn connects(&self) -> Option<Window> {
        Some(Window { most: 60, window_s: 3_600, block_s: 0 })
    }

    fn trade_id(&self, _market: &Market, tick: &Tick) -> String {
        print::match_id(tick.id)
    }

    /// Opens at the close of the bar before.
    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        let bucket = Bucket { bar: print::carried(market, bucket), ..*bucket };
        Some(Printed::exact(market, &bucket))
    }
}

/// Seconds of a `binSize`.
fn length_of_bin(bin: &str) -> Option<i64> {
    Some(match bin {
        "1m" => MINUTE,
        "5m" => 5 * MINUTE,
        "1h" => HOUR,
        "1d" => DAY,
        _ => return None,
    })
}
