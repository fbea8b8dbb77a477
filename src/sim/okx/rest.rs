//! OKX's REST answers, each in an envelope with a code. Each address has a limit of its own.

use std::sync::Arc;

use super::super::calendar::{DAY, Frame};
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target, joined, quoted};
use super::super::limits::Window;
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::{frame_of_bar, print};

const MILLISECOND_NS: i64 = 1_000_000;
/// Bars at the address of new candles.
const NEW_BARS: usize = 1_440;
/// What seconds and trades are kept for.
const THREE_MONTHS_S: i64 = 90 * DAY;

const INVALID_ID: &str = "Instrument ID, Instrument ID code, or Spread ID doesn't exist.";

fn endpoint_of(target: &Target) -> &str {
    target.path.strip_prefix("/api/v5/").unwrap_or("other")
}

pub(super) fn subject(world: &World, target: &Target) -> Subject {
    let endpoint = endpoint_of(target);
    let market = target.get("instId").and_then(|id| world.any_market(Venue::OKX, id));
    let interval = endpoint.ends_with("candles").then(|| target.get("bar").unwrap_or("1m").to_owned());
    Subject {
        endpoint: endpoint.rsplit('/').next().unwrap_or("other").to_owned(),
        symbol: market.map(|market| market.listing.symbol.clone()),
        interval,
    }
}

fn failure(status: u16, code: u32, message: &str) -> SimReply {
    SimReply::json(status, format!(r#"{{"code":"{code}","data":[],"msg":{}}}"#, quoted(message)))
}

fn success(data: &str) -> SimReply {
    SimReply::json(200, format!(r#"{{"code":"0","msg":"","data":[{data}]}}"#))
}

/// Calls of an address in two seconds.
fn most_of(endpoint: &str) -> usize {
    match endpoint {
        "market/candles" => 40,
        "market/trades" => 100,
        "market/history-trades" | "public/time" => 10,
        _ => 20,
    }
}

pub(super) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let endpoint = endpoint_of(target);
    let now_ns = world.now_ns(Venue::OKX);
    let limit = Window { most: most_of(endpoint), window_s: 2, block_s: 0 };
    if world.enforce_limits && !world.limits().within(Venue::OKX, request.peer, endpoint, limit, now_ns) {
        world.counters.count(Venue::OKX, |stats| stats.limited += 1);
        return failure(429, 50011, "Too Many Requests");
    }
    let reply = match endpoint {
        "public/time" => Ok(success(&format!(r#"{{"ts":"{}"}}"#, now_ns / MILLISECOND_NS))),
        "public/instruments" => instruments(world, target),
        "market/candles" => candles(world, target, Some(NEW_BARS), 300),
        "market/history-candles" => candles(world, target, None, 100),
        "market/trades" => new_trades(world, target),
        "market/history-trades" => old_trades(world, target),
        "market/ticker" => market(world, target).map(|market| {
            let ticker = print::ticker(market, now_ns);
            success(&ticker.unwrap_or_default())
        }),
        "market/tickers" => {
            kind(target).map(|kind| success(&of_kind(world, kind, |market| print::ticker(market, now_ns))))
        }
        _ => Err(SimReply::json(404, r#"{"msg":"请求路径不存在 (Invalid path)","code":"404","data":null}"#)),
    };
    reply.unwrap_or_else(|failed| failed)
}

fn kind(target: &Target) -> Result<&str, SimReply> {
    match target.get("instType").unwrap_or_default() {
        "" => Err(failure(400, 50014, "Parameter instType can not be empty.")),
        kind @ ("SPOT" | "SWAP" | "MARGIN" | "FUTURES" | "OPTION") => Ok(kind),
        _ => Err(failure(400, 51000, "Parameter instType error")),
    }
}

fn of_kind(world: &World, kind: &str, print: impl Fn(&Market) -> Option<String>) -> String {
    let markets = world.listed(Venue::OKX).filter(|market| print::type_of(market) == kind);
    joined(markets.filter_map(|market| print(market)), |out, row| out.push_str(&row))
}

fn instruments(world: &World, target: &Target) -> Result<SimReply, SimReply> {
    let kind = kind(target)?;
    let Some(id) = target.get("instId").filter(|id| !id.is_empty()) else {
        return Ok(success(&of_kind(world, kind, |market| Some(print::instrument(market)))));
    };
    let found = by_id(world, id).filter(|market| print::type_of(market) == kind);
    let found = found.ok_or_else(|| failure(200, 51001, INVALID_ID))?;
    Ok(success(&print::instrument(found)))
}

pub(super) fn by_id<'a>(world: &'a World, id: &str) -> Option<&'a Arc<Market>> {
    world.market(Venue::OKX, id).filter(|market| market.listing.id == id)
}

fn market<'a>(world: &'a World, target: &Target) -> Result<&'a Arc<Market>, SimReply> {
    match target.get("instId").unwrap_or_default() {
        "" => Err(failure(400, 50014, "Parameter instId can not be empty.")),
        id => by_id(world, id).ok_or_else(|| failure(200, 51001, INVALID_ID)),
    }
}

/// The last millisecond of the year 9999.
const LATEST_MS: i64 = 253_402_300_799_999;

/// A stamp or an id; one before the first is the edge of a window that holds it.
fn number(target: &Target, name: &str) -> Result<Option<i64>, SimReply> {
    let Some(text) = target.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = text.parse::<i64>().ok().filter(|number| (-1..=LATEST_MS).contains(number));
    number.map(Some).ok_or_else(|| failure(400, 51000, &format!("Parameter {name} error")))
}

/// `limit`, clamped like the venue does, then by a fault.
fn limit(world: &World, target: &Target, market: &Market, most: usize) -> Result<usize, SimReply> {
    let limit = number(target, "limit")?.filter(|limit| *limit > 0).map_or(100, |limit| limit as usize).min(most);
    if world.strikes(market, FaultKind::EmptyPage) {
        return Ok(0);
    }
    Ok(limit.min(world.page_cap(market).unwrap_or(limit)))
}

/// The newest rows between `before` and `after`, both exclusive; `newest` bounds how many bars there
/// are at all. The address of old candles has no running bar.
fn candles(world: &World, target: &Target, newest: Option<usize>, most: usize) -> Result<SimReply, SimReply> {
    let market = market(world, target)?;
    let bar = target.get("bar").filter(|bar| !bar.is_empty()).unwrap_or("1m");
    let frame = frame_of_bar(bar).ok_or_else(|| failure(400, 51000, "Parameter bar error"))?;
    let (mut before, mut after) = (number(target, "before")?, number(target, "after")?);
    if world.strikes(market, FaultKind::IgnoreSince) {
        (before, after) = (None, None);
    }
    let limit = limit(world, target, market, most)?;
    let now = world.now_ns(Venue::OKX).div_euclid(SECOND_NS);
    let running = frame.open(now);
    let back = |from: i64, bars: usize| (0..bars).fold(from, |open, _| frame.open(open - 1));
    let end = if newest.is_some() { running + 1 } else { running };
    // Rows open before this second, and after that one.
    let end = after.map_or(end, |after| end.min(after.div_euclid(1_000) + i64::from(after.rem_euclid(1_000) != 0)));
    let oldest = match (newest, bar) {
        (Some(bars), _) => back(running, bars - 1),
        (None, "1s") => now - THREE_MONTHS_S,
        (None, _) => 0,
    };
    let start = before.map_or(oldest, |before| oldest.max(before.div_euclid(1_000) + 1));
    let first = frame.first_from(start.max(0)).max(back(frame.open(end - 1), limit.saturating_sub(1)));
    let rows = if limit == 0 { Vec::new() } else { world.rows(market, frame, first, end, limit) };
    let is_closed = |open: i64| frame.next(open) <= now;
    let body = joined(rows.iter().rev(), |out, row| out.push_str(&print::candle(market, row, is_closed(row.open))));
    Ok(success(&body))
}

/// The trades at positions `[first, end)`, newest first, each with its own row.
fn rows_of_trades(market: &Market, first: u64, end: u64, until_ns: i64) -> SimReply {
    let ticks = market.page(first, end.saturating_sub(first) as usize, until_ns);
    let body = joined(ticks.iter().rev(), |out, tick| {
        out.push_str(&format!(r#"{{{},"source":"0"}}"#, print::trade(market, std::slice::from_ref(tick))));
    });
    success(&body)
}

fn new_trades(world: &World, target: &Target) -> Result<SimReply, SimReply> {
    let market = market(world, target)?;
    let limit = limit(world, target, market, 500)?;
    let until_ns = world.now_ns(Venue::OKX) + 1;
    let end = market.count_before(until_ns);
    Ok(rows_of_trades(market, end.saturating_sub(limit as u64), end, until_ns))
}

/// Pages by id, or, with `type=2`, by time; the newest of what is left, three months back at most.
fn old_trades(world: &World, target: &Target) -> Result<SimReply, SimReply> {
    let market = market(world, target)?;
    let is_by_time = match target.get("type").unwrap_or("1") {
        "1" => false,
        "2" => true,
        _ => return Err(failure(400, 51000, "Parameter type error")),
    };
    let (mut before, mut after) = (number(target, "before")?, number(target, "after")?);
    if world.strikes(market, FaultKind::IgnoreSince) {
        (before, after) = (None, None);
    }
    let limit = limit(world, target, market, 100)?;
    let until_ns = world.now_ns(Venue::OKX) + 1;
    let count = market.count_before(until_ns);
    let end = match after {
        Some(ms) if is_by_time => market.count_before(ms.saturating_mul(MILLISECOND_NS).min(until_ns)),
        Some(id) => market.position_of_id(id.max(0) as u64).min(count),
        None => count,
    };
    let newer =
        before.filter(|_| !is_by_time).map_or(0, |id| market.position_of_id(id.saturating_add(1).max(0) as u64));
    let kept = market.count_before(until_ns - THREE_MONTHS_S * SECOND_NS);
    let first = end.saturating_sub(limit as u64).max(newer).max(kept);
    Ok(rows_of_trades(market, first, end, until_ns))
}

/// The bucket of now, as far as it has come.
pub(super) fn running_candle(market: &Market, frame: Frame, now_ns: i64) -> Option<String> {
    let bucket = market.bucket(frame, frame.open(now_ns.div_euclid(SECOND_NS)), now_ns + 1)?;
    Some(print::candle(market, &bucket, false))
}
