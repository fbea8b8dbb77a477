//! The truth: what every venue says in the end, for comparison with what was collected.
//!
//! Computed from the simulated trades, in exact decimals. Faults do not touch it, except outages
//! (nothing traded), clock skew (the venue's own time decides what is over) and the end of a market that is
//! delisted for good.

use std::fmt::Write as _;

use super::calendar::{Frame, MINUTE};
use super::decimal::{AMOUNT_DECIMALS, fixed};
use super::half::Printed;
use super::http::{SimReply, Target, joined, rfc3339};
use super::listing::Venue;
use super::market::Market;
use super::tape::SECOND_NS;
use super::world::World;

/// One final candle. Its key is in Unix seconds and in the product's keying: the local date for
/// daily and longer session bars.
type TrueCandle = (i64, Printed);

/// `GET /truth/candles` and `/truth/trades`.
pub(crate) fn respond(world: &World, target: &Target) -> SimReply {
    let venue = target.get("exchange").and_then(|text| text.parse::<Venue>().ok());
    let market = venue.and_then(|venue| world.any_market(venue, target.get("symbol")?));
    let Some(market) = market else {
        return refuse("exchange and symbol must name a simulated market");
    };
    let millis = |name: &str, default: i64| target.get(name).map_or(Some(default), |text| text.parse::<i64>().ok());
    let (Some(from_ms), Some(to_ms)) = (millis("from", 0), millis("to", i64::MAX / 1_000_000)) else {
        return refuse("from and to must be Unix milliseconds");
    };
    if target.path == "/truth/trades" {
        return trades(world, market, from_ms, to_ms);
    }
    let frame = target
        .get("timeframe")
        .and_then(|timeframe| market.listing.venue.half().frame(market.listing.hours(), timeframe));
    let Some(frame) = frame else { return refuse("timeframe must be one the venue serves") };
    let candles = candles(world, market, frame, from_ms, to_ms);
    let body = joined(candles, |out, (key, candle)| {
        let [open, high, low, close] = &candle.prices;
        let trades = candle.trades.map_or("null".to_owned(), |trades| trades.to_string());
        let time = rfc3339(key * SECOND_NS, 0);
        let _ = write!(
            out,
            r#"{{"open_time":"{time}","open":{open},"high":{high},"low":{low},"close":{close},"volume":{},"trades":{trades}}}"#,
            candle.volume
        );
    });
    SimReply::json(200, format!("[{body}]"))
}

fn refuse(message: &str) -> SimReply {
    SimReply::json(400, serde_json::json!({ "error": message }).to_string())
}

/// Final candles whose key lies in `[from_ms, to_ms)`, oldest first.
pub(crate) fn candles(world: &World, market: &Market, frame: Frame, from_ms: i64, to_ms: i64) -> Vec<TrueCandle> {
    let venue = market.listing.venue;
    let now_ns = world.now_ns(venue);
    let Some(first_ns) = market.first_trade_ns(now_ns) else { return Vec::new() };
    let now = now_ns.div_euclid(SECOND_NS);
    let end_ns = end_ns(world, market, now_ns);
    let first = frame.open(first_ns.div_euclid(SECOND_NS));
    // Local days lie within a day of their key.
    let mut open = frame.open((from_ms.div_euclid(1_000) - 86_400).max(first));
    let mut found = Vec::new();
    while frame.close(open) <= now && open.saturating_mul(SECOND_NS) < end_ns {
        let key = key_of(frame, open);
        if key.saturating_mul(1_000) >= to_ms {
            break;
        }
        let wanted = key.saturating_mul(1_000) >= from_ms;
        let bucket = wanted.then(|| market.bucket(frame, open, end_ns)).flatten();
        found.extend(bucket.and_then(|bucket| Some((key, venue.half().printed(market, &bucket)?))));
        open = frame.next(open);
    }
    found
}

/// Nobody trades from here on: it is still to come, or the market is gone.
fn end_ns(world: &World, market: &Market, now_ns: i64) -> i64 {
    world.gone_from_ns(market).map_or(now_ns + 1, |gone| gone.min(now_ns + 1))
}

fn key_of(frame: Frame, open: i64) -> i64 {
    match frame {
        Frame::Days { hours } | Frame::Weeks { hours } | Frame::Months { hours, .. } => {
            hours.date_of(open).and_time(chrono::NaiveTime::MIN).and_utc().timestamp()
        }
        _ => open,
    }
}

fn trades(world: &World, market: &Market, from_ms: i64, to_ms: i64) -> SimReply {
    let venue = market.listing.venue;
    let now_ns = world.now_ns(venue);
    let half = venue.half();
    let Some(first_ns) = market.first_trade_ns(now_ns) else { return SimReply::json(200, "[]") };
    let from_ns = from_ms.saturating_mul(1_000_000).max(first_ns);
    let to_ns = to_ms.saturating_mul(1_000_000).min(end_ns(world, market, now_ns)).max(from_ns);
    let mut out = String::from("[");
    let mut at = from_ns;
    while at < to_ns {
        // An hour at a time: a month of trades is never held twice.
        let until = to_ns.min(at.saturating_add(60 * MINUTE * SECOND_NS));
        for tick in market.ticks(at, until) {
            if out.len() > 1 {
                out.push(',');
            }
            let order = half.aggregate_id(&tick).map_or(String::new(), |id| format!(r#","aggregate_id":{id}"#));
            let _ = write!(
                out,
                r#"{{"id":"{}","time":"{}","price":{},"amount":{},"side":"{}"{order}}}"#,
                half.trade_id(market, &tick),
                rfc3339(tick.time_ns, half.trade_time_digits()),
                fixed(tick.price, market.price_scale, market.price_scale),
                fixed(tick.amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS),
                if tick.taker_buys { "buy" } else { "sell" },
            );
        }
        at = until;
    }
    out.push(']');
    SimReply::json(200, out)
}
