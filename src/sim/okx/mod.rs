//! OKX v5: REST and both sockets, as the venue writes them. Spot markets and perpetual swaps.

mod control;
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
use super::world::World;

impl Venue {
    /// OKX.
    pub const OKX: Venue = Venue::named("okx");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::OKX
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
        frame_of_bar(match timeframe {
            "1h" => "1H",
            "2h" => "2H",
            "4h" => "4H",
            "6h" => "6Hutc",
            "12h" => "12Hutc",
            "1d" => "1Dutc",
            "1w" => "1Wutc",
            "1M" => "1Mutc",
            minutes => minutes,
        })
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        rest::subject(world, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        let is_business = match path {
            "/ws/v5/public" => false,
            "/ws/v5/business" => true,
            _ => return None,
        };
        Some(Box::new(stream::OkxSession::new(world.clone(), is_business)))
    }

    fn connects(&self) -> Option<Window> {
        Some(Window { most: 3, window_s: 1, block_s: 0 })
    }

    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        Some(Printed { trades: None, ..Printed::exact(market, bucket) })
    }
}

/// The buckets of a bar; the texts are case-sensitive. From six hours on the plain names open at
/// UTC+8, the others at UTC.
fn frame_of_bar(bar: &str) -> Option<Frame> {
    const EAST: i64 = -8 * HOUR;
    let fixed = |len, anchor| Frame::Fixed { len, anchor };
    let Frame::Fixed { anchor: monday, .. } = Frame::MONDAYS else { return None };
    Some(match bar {
        "1s" => Frame::every(1),
        "1m" => Frame::every(MINUTE),
        "3m" => Frame::every(3 * MINUTE),
        "5m" => Frame::every(5 * MINUTE),
        "15m" => Frame::every(15 * MINUTE),
        "30m" => Frame::every(30 * MINUTE),
        "1H" => Frame::every(HOUR),
        "2H" => Frame::every(2 * HOUR),
        "4H" => Frame::every(4 * HOUR),
        "6H" => fixed(6 * HOUR, EAST),
        "12H" => fixed(12 * HOUR, EAST),
        "1D" => fixed(DAY, EAST),
        "1W" => fixed(7 * DAY, monday + EAST),
        "6Hutc" => Frame::every(6 * HOUR),
        "12Hutc" => Frame::every(12 * HOUR),
        "1Dutc" => Frame::every(DAY),
        "1Wutc" => Frame::MONDAYS,
        "1Mutc" => Frame::Month,
        _ => return None,
    })
}
