//! Hyperliquid: `POST /info` and the WebSocket, as the venue writes them.

mod listing;
mod meta;
mod rest;
mod stream;

use std::fmt::Write as _;
use std::sync::Arc;

use crate::market::Symbol;

use super::calendar::{DAY, Frame, HOUR, Hours, MINUTE};
use super::decimal::{AMOUNT_DECIMALS, Trimmed, fixed};
use super::dice::mix;
use super::half::{Printed, Subject};
use super::http::{SimReply, SimRequest, Target, joined};
use super::limits::Window;
use super::listing::{Listing, Venue};
use super::market::{Bucket, Market};
use super::socket::Session;
use super::tape::Tick;
use super::world::World;

impl Venue {
    /// Hyperliquid, perpetuals and spot.
    pub const HYPERLIQUID: Venue = Venue::named("hyperliquid");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::HYPERLIQUID
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
        frame(timeframe)
    }

    fn subject(&self, world: &World, request: &SimRequest, target: &Target) -> Subject {
        rest::subject(world, request, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        (path == "/ws").then(|| Box::new(stream::HyperliquidSession::new(world.clone())) as Box<dyn Session>)
    }

    fn connects(&self) -> Option<Window> {
        Some(Window { most: 30, window_s: 60, block_s: 0 })
    }

    fn trade_id(&self, _market: &Market, tick: &Tick) -> String {
        trade_id(tick).to_string()
    }

    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        shown_after_s(bucket).map(|_| Printed::exact(market, bucket))
    }
}

/// How long after its close the row of a bucket appears; `None`: never. Half of the quiet ones are
/// left out, the others are printed as flat rows some minutes late.
fn shown_after_s(bucket: &Bucket) -> Option<i64> {
    if bucket.bar.trades > 0 {
        return Some(0);
    }
    let chance = mix(bucket.open as u64 ^ mix(bucket.next as u64));
    chance.is_multiple_of(2).then(|| 20 + (chance >> 8) as i64 % 220)
}

/// The buckets of an interval; the texts are case-sensitive.
fn frame(interval: &str) -> Option<Frame> {
    Some(match interval {
        "1m" => Frame::every(MINUTE),
        "3m" => Frame::every(3 * MINUTE),
        "5m" => Frame::every(5 * MINUTE),
        "15m" => Frame::every(15 * MINUTE),
        "30m" => Frame::every(30 * MINUTE),
        "1h" => Frame::every(HOUR),
        "2h" => Frame::every(2 * HOUR),
        "4h" => Frame::every(4 * HOUR),
        "8h" => Frame::every(8 * HOUR),
        "12h" => Frame::every(12 * HOUR),
        "1d" => Frame::every(DAY),
        "3d" => Frame::every(3 * DAY),
        "1w" => Frame::MONDAYS,
        "1M" => Frame::Month,
        _ => return None,
    })
}

/// A price as the venue prints it.
fn price(market: &Market, value: i64) -> Trimmed {
    Trimmed(fixed(value, market.price_scale, market.price_scale.max(1)))
}

/// An amount of base currency.
fn amount(value: impl Into<i128>) -> Trimmed {
    Trimmed(fixed(value, AMOUNT_DECIMALS, AMOUNT_DECIMALS))
}

/// A bar, of REST and of the stream alike.
fn bar_object(market: &Market, interval: &str, bucket: &Bucket) -> String {
    let bar = &bucket.bar;
    format!(
        r#"{{"t":{},"T":{},"s":"{}","i":"{interval}","o":"{}","c":"{}","h":"{}","l":"{}","v":"{}","n":{}}}"#,
        bucket.open * 1_000,
        bucket.next * 1_000 - 1,
        market.listing.id,
        price(market, bar.open),
        price(market, bar.close),
        price(market, bar.high),
        price(market, bar.low),
        amount(bar.volume),
        bar.trades,
    )
}

/// Hashes of fifty bits.
fn trade_id(tick: &Tick) -> u64 {
    mix(tick.id ^ mix(tick.time_ns as u64)) >> 14
}

/// Trades as an array, in the order given.
fn trade_array<'a>(market: &Market, ticks: impl Iterator<Item = &'a Tick>) -> String {
    let rows = joined(ticks, |out, tick| {
        let hash = mix(tick.order_id ^ mix(tick.time_ns as u64));
        let user = |n: u64| format!("0x{:016x}{:016x}{:08x}", mix(hash ^ n), mix(hash ^ (n + 2)), n);
        let _ = write!(
            out,
            r#"{{"coin":"{}","side":"{}","px":"{}","sz":"{}","time":{},"hash":"0x{:064x}","tid":{},"users":["{}","{}"]}}"#,
            market.listing.id,
            if tick.taker_buys { "B" } else { "A" },
            price(market, tick.price),
            amount(tick.amount),
            tick.time_ns / 1_000_000,
            u128::from(hash) * u128::from(mix(hash)),
            trade_id(tick),
            user(1),
            user(2),
        );
    });
    format!("[{rows}]")
}
