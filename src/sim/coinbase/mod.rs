//! Coinbase Exchange: REST and the public feed, as the venue writes them.

mod feed;
mod listing;
mod rest;

use std::sync::Arc;

use crate::market::Symbol;

use super::calendar::{DAY, Frame, HOUR, Hours, MINUTE};
use super::half::{Printed, Subject};
use super::http::{SimReply, SimRequest, Target};
use super::limits::Window;
use super::listing::{Listing, Venue};
use super::market::{Bucket, Market};
use super::socket::Session;
use super::world::World;

impl Venue {
    /// Coinbase Exchange.
    pub const COINBASE: Venue = Venue::named("coinbase");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::COINBASE
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
        let seconds = match timeframe {
            "1m" => MINUTE,
            "5m" => 5 * MINUTE,
            "15m" => 15 * MINUTE,
            "1h" => HOUR,
            "6h" => 6 * HOUR,
            "1d" => DAY,
            _ => return None,
        };
        frame_of_granularity(seconds)
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        rest::subject(world, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        path.is_empty().then(|| Box::new(feed::CoinbaseSession::new(world.clone())) as Box<dyn Session>)
    }

    fn connects(&self) -> Option<Window> {
        Some(Window { most: 8, window_s: 1, block_s: 0 })
    }

    /// No row for a bucket without trades, and no number of trades in any.
    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        (bucket.bar.trades > 0).then(|| Printed { trades: None, ..Printed::exact(market, bucket) })
    }

    fn trade_time_digits(&self) -> usize {
        6
    }
}

const GRANULARITIES: [i64; 6] = [60, 300, 900, 3_600, 21_600, 86_400];

fn frame_of_granularity(seconds: i64) -> Option<Frame> {
    GRANULARITIES.contains(&seconds).then(|| Frame::every(seconds))
}
