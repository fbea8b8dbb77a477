//! Coinbase's REST answers: plain arrays and objects, refusals with one sentence.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::DateTime;

use super::super::bar::Bar;
use super::super::calendar::DAY;
use super::super::decimal::{AMOUNT_DECIMALS, Shortest, fixed};
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target, joined, quoted, rfc3339};
use super::super::limits::Decay;
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::frame_of_granularity;

/// Ten requests a second, fifteen in a burst.
const LIMIT: Decay = Decay { burst: 15.0, per_second: 10.0 };
/// Most buckets of one page of candles; a wider window is refused.
const MOST_BUCKETS: i64 = 300;
/// Most rows of a page of trades.
const MOST_TRADES: usize = 1_000;

/// `BTC-USD` and `candles` of `/products/BTC-USD/candles`.
fn parts(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/products/")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

pub(super) fn subject(world: &World, target: &Target) -> Subject {
    let (id, endpoint) = parts(&target.path).unwrap_or(("", target.path.trim_start_matches('/')));
    let endpoint = match (id, endpoint) {
        (_, "candles" | "trades" | "ticker" | "stats" | "products" | "currencies" | "time") => endpoint,
        (id, "") if !id.is_empty() => "product",
        _ => "other",
    };
    let market = world.any_market(Venue::COINBASE, id);
    let interval = (endpoint == "candles").then(|| target.get("granularity").unwrap_or("60").to_owned());
    Subject { endpoint: endpoint.to_owned(), symbol: market.map(|market| market.listing.symbol.clone()), interval }
}

fn failure(status: u16, message: &str) -> SimReply {
    SimReply::json(status, format!(r#"{{"message":{}}}"#, quoted(message)))
}

pub(super) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    if !request.headers.iter().any(|(name, value)| name == "user-agent" && !value.is_empty()) {
        return failure(400, "User-Agent header is required.");
    }
    let now_ns = world.now_ns(Venue::COINBASE);
    if world.enforce_limits && !world.limits().allows(Venue::COINBASE, request.peer, "", LIMIT, now_ns) {
        world.counters.count(Venue::COINBASE, |stats| stats.limited += 1);
        return failure(429, "Public rate limit exceeded");
    }
    let reply = match (target.path.trim_end_matches('/'), parts(&target.path)) {
        ("/time", _) => Ok(time(now_ns)),
        ("/currencies", _) => Ok(currencies(world)),
        ("/products", _) => {
            let list = joined(world.listed(Venue::COINBASE), |out, market| out.push_str(&product(market)));
            Ok(SimReply::json(200, format!("[{list}]")))
        }
        (_, Some((id, endpoint))) => {
            let found = world.market(Venue::COINBASE, id).filter(|market| market.listing.id == id);
            match (found, endpoint) {
                (Some(market), "") => Ok(SimReply::json(200, product(market))),
                (Some(market), "candles") => candles(world, target, market),
                (Some(market), "trades") => trades(world, target, market),
                (Some(market), "ticker") => Ok(ticker(world, market)),
                (Some(market), "stats") => Ok(stats(world, market)),
                _ => Err(failure(404, "NotFound")),
            }
        }
        _ => Err(failure(404, "NotFound")),
    };
    reply.unwrap_or_else(|failed| failed)
}

fn time(now_ns: i64) -> SimReply {
    let iso = rfc3339(now_ns, 3);
    SimReply::json(200, format!(r#"{{"iso":"{iso}","epoch":{}}}"#, fixed(now_ns, 9, 3)))
}

fn currencies(world: &World) -> SimReply {
    let listings = world.listed(Venue::COINBASE).map(|market| &market.listing);
    let names: BTreeSet<&str> = listings.flat_map(|listing| [listing.base.as_str(), listing.quote.as_str()]).collect();
    let body = joined(names, |out, name| {
        let kind = if matches!(name, "USD" | "EUR" | "GBP") { "fiat" } else { "crypto" };
        let _ = write!(
            out,
            r#"{{"id":"{name}","name":"{name}","min_size":"0.00000001","status":"online","message":"","max_precision":"0.00000001","convertible_to":[],"details":{{"type":"{kind}","symbol":null,"network_confirmations":2,"sort_order":1,"crypto_address_link":"","crypto_transaction_link":"","push_payment_methods":["crypto"],"group_types":[],"display_name":null,"processing_time_seconds":null,"min_withdrawal_amount":0.00000001,"max_withdrawal_amount":2400}},"default_network":"","supported_networks":[],"display_name":""}}"#
        );
    });
    SimReply::json(200, format!("[{body}]"))
}

fn product(market: &Market) -> String {
    let listing = &market.listing;
    let tick = fixed(1, listing.decimals, listing.decimals);
    format!(
        r#"{{"id":"{id}","base_currency":"{}","quote_currency":"{}","quote_increment":"{tick}","base_increment":"0.00000001","display_name":"{id}","min_market_funds":"1","margin_enabled":false,"post_only":false,"limit_only":false,"cancel_only":false,"status":"online","status_message":"","trading_disabled":false,"fx_stablecoin":false,"max_slippage_percentage":"0.02000000","auction_mode":false,"high_bid_limit_percentage":""}}"#,
        listing.base,
        listing.quote,
        id = listing.id,
    )
}

/// A bound of candles in seconds: ISO 8601 or a Unix stamp.
fn bound(target: &Target, name: &str) -> Result<Option<i64>, SimReply> {
    let Some(text) = target.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let iso = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp());
    let plain = || chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    let stamp = text.parse().ok().or_else(iso).or_else(|| plain().map(|time| time.and_utc().timestamp()));
    // The year 9999 is late enough.
    stamp.map(|stamp| Some(stamp.clamp(0, 253_402_300_799))).ok_or_else(|| failure(400, &format!("invalid {name}")))
}

fn candles(world: &World, target: &Target, market: &Market) -> Result<SimReply, SimReply> {
    let granularity = target.get("granularity").map_or(Some(60), |text| text.parse::<i64>().ok());
    let supported = granularity.and_then(|seconds| Some((seconds, frame_of_granularity(seconds)?)));
    let (granularity, frame) = supported.ok_or_else(|| failure(400, "Unsupported granularity"))?;
    let now = world.now_ns(Venue::COINBASE).div_euclid(SECOND_NS);
    let newest = (frame.open(now) - (MOST_BUCKETS - 1) * granularity, now);
    // One bound alone is ignored.
    let (start, end) = bound(target, "start")?.zip(bound(target, "end")?).unwrap_or(newest);
    if start > end {
        return Err(failure(400, "start must be before end"));
    }
    if end.saturating_sub(start) > MOST_BUCKETS * granularity {
        return Err(failure(
            400,
            "granularity too small for the requested time range. Count of aggregations requested exceeds 300",
        ));
    }
    let (start, end) = if world.strikes(market, FaultKind::IgnoreSince) { newest } else { (start, end) };
    // The bucket that holds the start comes too, though it opens before it.
    let mut rows = world.rows(market, frame, frame.open(start), end.saturating_add(1), MOST_BUCKETS as usize + 1);
    rows.retain(|row| row.bar.trades > 0);
    if world.strikes(market, FaultKind::EmptyPage) {
        rows.clear();
    }
    let kept = world.page_cap(market).unwrap_or(usize::MAX).min(MOST_BUCKETS as usize);
    let body = joined(rows.iter().rev().take(kept), |out, row| {
        let price = |value: i64| Shortest(fixed(value, market.price_scale, market.price_scale));
        let bar = &row.bar;
        let _ = write!(
            out,
            "[{},{},{},{},{},{}]",
            row.open,
            price(bar.low),
            price(bar.high),
            price(bar.open),
            price(bar.close),
            Shortest(fixed(bar.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS)),
        );
    });
    Ok(SimReply::json(200, format!("[{body}]")))
}

fn number(target: &Target, name: &str) -> Result<Option<u64>, SimReply> {
    let Some(text) = target.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| failure(400, &format!("Invalid value for {name}")))
}

/// Side of the maker.
pub(super) fn maker_side(tick: &Tick) -> &'static str {
    if tick.taker_buys { "sell" } else { "buy" }
}

fn trades(world: &World, target: &Target, market: &Market) -> Result<SimReply, SimReply> {
    let limit = number(target, "limit")?.filter(|limit| *limit > 0).map_or(MOST_TRADES, |limit| limit as usize);
    let limit = limit.min(MOST_TRADES).min(world.page_cap(market).unwrap_or(usize::MAX));
    let (mut after, before) = (number(target, "after")?, number(target, "before")?);
    if world.strikes(market, FaultKind::IgnoreSince) {
        after = None;
    }
    let until_ns = world.now_ns(Venue::COINBASE) + 1;
    let count = market.count_before(until_ns);
    // Older than `after`, newer than `before`, and the newest of what is left.
    let end = after.map_or(count, |id| market.position_of_id(id).min(count));
    let first = before.map_or(0, |id| market.position_of_id(id.saturating_add(1)));
    let first = first.max(end.saturating_sub(limit as u64));
    let mut ticks = market.page(first, end.saturating_sub(first) as usize, until_ns);
    if world.strikes(market, FaultKind::EmptyPage) {
        ticks.clear();
    }
    let body = joined(ticks.iter().rev(), |out, tick| {
        let _ = write!(
            out,
            r#"{{"trade_id":{},"side":"{}","size":"{}","price":"{}","time":"{}"}}"#,
            tick.id,
            maker_side(tick),
            fixed(tick.amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS),
            fixed(tick.price, market.price_scale, 8),
            rfc3339(tick.time_ns, 6),
        );
    });
    let reply = SimReply::json(200, format!("[{body}]"));
    Ok(match (ticks.first(), ticks.last()) {
        (Some(oldest), Some(newest)) => reply.with_header("cb-before", newest.id).with_header("cb-after", oldest.id),
        _ => reply,
    })
}

/// The newest trade and the bar of the last 24 hours.
fn last_day(world: &World, market: &Arc<Market>) -> Option<(Tick, Bar)> {
    let now_ns = world.now_ns(Venue::COINBASE);
    let last = market.tick_at(market.count_before(now_ns + 1).checked_sub(1)?, now_ns + 1)?;
    let now = now_ns.div_euclid(SECOND_NS);
    Some((last, market.bar(now - DAY, now + 1, now_ns + 1).unwrap_or_else(|| Bar::flat(last.price))))
}

fn ticker(world: &World, market: &Arc<Market>) -> SimReply {
    let Some((last, day)) = last_day(world, market) else { return failure(404, "NotFound") };
    let price = |value: i64| fixed(value, market.price_scale, market.price_scale);
    SimReply::json(
        200,
        format!(
            r#"{{"ask":"{}","bid":"{}","volume":"{}","trade_id":{},"price":"{}","size":"{}","time":"{}","rfq_volume":"0"}}"#,
            price(last.price + 1),
            price((last.price - 1).max(1)),
            Shortest(fixed(day.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS)),
            last.id,
            price(last.price),
            Shortest(fixed(last.amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS)),
            rfc3339(last.time_ns, 6),
        ),
    )
}

fn stats(world: &World, market: &Arc<Market>) -> SimReply {
    let Some((last, day)) = last_day(world, market) else { return failure(404, "NotFound") };
    let now_ns = world.now_ns(Venue::COINBASE);
    let now = now_ns.div_euclid(SECOND_NS);
    let month = market.bar(now - 30 * DAY, now + 1, now_ns + 1).unwrap_or(day);
    let price = |value: i64| fixed(value, market.price_scale, market.price_scale);
    let volume = |bar: &Bar| Shortest(fixed(bar.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS)).to_string();
    SimReply::json(
        200,
        format!(
            r#"{{"open":"{}","high":"{}","low":"{}","last":"{}","volume":"{}","volume_30day":"{}"}}"#,
            price(day.open),
            price(day.high),
            price(day.low),
            price(last.price),
            volume(&day),
            volume(&month),
        ),
    )
}
