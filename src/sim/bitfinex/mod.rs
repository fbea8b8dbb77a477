//! Bitfinex: REST v2 and WebSocket v2, as the venue writes them.

mod listing;
mod rest;
mod stream;

use std::sync::Arc;

use crate::market::Symbol;

use super::calendar::{DAY, Frame, HOUR, Hours, MINUTE};
use super::decimal::{AMOUNT_DECIMALS, Shortest, fixed};
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
    /// Bitfinex, spot and perpetuals.
    pub const BITFINEX: Venue = Venue::named("bitfinex");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::BITFINEX
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
        match timeframe {
            "1d" => frame("1D"),
            "1w" => frame("1W"),
            "1m" | "5m" | "15m" | "30m" | "1h" | "6h" | "12h" | "1M" => frame(timeframe),
            _ => None,
        }
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        rest::subject(world, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        (path == "/ws/2").then(|| Box::new(stream::BitfinexSession::new(world.clone())) as Box<dyn Session>)
    }

    fn connects(&self) -> Option<Window> {
        Some(Window { most: 20, window_s: 60, block_s: 60 })
    }

    fn trade_id(&self, _market: &Market, tick: &Tick) -> String {
        trade_id(tick).to_string()
    }

    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        (bucket.bar.trades > 0).then(|| Printed { trades: None, ..Printed::exact(market, bucket) })
    }

    fn announces_maintenance(&self) -> bool {
        true
    }
}

/// The buckets of an interval; the texts are case-sensitive, and the week has two.
fn frame(interval: &str) -> Option<Frame> {
    Some(match interval {
        "1m" => Frame::every(MINUTE),
        "5m" => Frame::every(5 * MINUTE),
        "15m" => Frame::every(15 * MINUTE),
        "30m" => Frame::every(30 * MINUTE),
        "1h" => Frame::every(HOUR),
        "3h" => Frame::every(3 * HOUR),
        "6h" => Frame::every(6 * HOUR),
        "12h" => Frame::every(12 * HOUR),
        "1D" => Frame::every(DAY),
        "1W" | "7D" => Frame::MONDAYS,
        "14D" => Frame::every(14 * DAY),
        "1M" => Frame::Month,
        _ => return None,
    })
}

/// A number as JavaScript writes it: no needless zeros, and an exponent below a millionth.
fn number(value: impl Into<i128>, scale: u32) -> String {
    let value = value.into();
    let is_tiny = scale >= 6 && value != 0 && value.abs() < 10i128.pow(scale - 6);
    if !is_tiny {
        return Shortest(fixed(value, scale, scale)).to_string();
    }
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let exponent = scale as usize + 1 - digits.len();
    let (first, rest) = digits.split_at(1);
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}e-{exponent}")
}

/// `[MTS,OPEN,CLOSE,HIGH,LOW,VOLUME]`.
fn candle_row(market: &Market, bucket: &Bucket) -> String {
    let bar = &bucket.bar;
    let price = |value: i64| number(value, market.price_scale);
    format!(
        "[{},{},{},{},{},{}]",
        bucket.open * 1_000,
        price(bar.open),
        price(bar.close),
        price(bar.high),
        price(bar.low),
        number(bar.volume, AMOUNT_DECIMALS),
    )
}

/// Ids are counted over all markets: they grow, with gaps.
fn trade_id(tick: &Tick) -> u64 {
    tick.id * 16 + mix(tick.id) % 16
}

/// `[ID,MTS,AMOUNT,PRICE]`.
fn trade_row(market: &Market, tick: &Tick) -> String {
    let id = trade_id(tick);
    let sign = if tick.taker_buys { 1 } else { -1 };
    let (amount, price) = (number(tick.amount * sign, AMOUNT_DECIMALS), number(tick.price, market.price_scale));
    format!("[{id},{},{amount},{price}]", tick.time_ns / 1_000_000)
}

/// Rows as an array.
fn rows<T>(items: impl IntoIterator<Item = T>, print: impl Fn(T) -> String) -> String {
    format!("[{}]", joined(items, |out, item| out.push_str(&print(item))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let cases = [
            (number(912_140, 1), "91214"),
            (number(912_086, 1), "91208.6"),
            (number(-1_000_000, 8), "-0.01"),
            (number(100, 8), "0.000001"),
            (number(10, 8), "1e-7"),
            (number(-99, 8), "-9.9e-7"),
            (number(7, 8), "7e-8"),
            (number(88_300, 10), "0.00000883"),
            (number(0, 8), "0"),
        ];
        for (printed, expected) in cases {
            assert_eq!(printed, expected);
        }
    }
}
