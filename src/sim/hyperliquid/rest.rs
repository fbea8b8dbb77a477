//! `POST /info`.

use std::sync::Arc;

use serde_json::Value;

use super::super::calendar::{DAY, Frame};
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target};
use super::super::limits::Weights;
use super::super::listing::Venue;
use super::super::market::{Bucket, Market};
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::{amount, bar_object, frame, meta, price, shown_after_s, trade_array};

const MILLISECOND_NS: i64 = 1_000_000;

/// Weight per minute and address.
const LIMIT: Weights = Weights { capacity: 1_200, window_s: 60 };
/// Bars of an interval that exist.
const NEWEST_ROWS: usize = 5_000;
/// Rows of `recentTrades`.
const RECENT_TRADES: usize = 10;
/// Rows that add one to the weight.
const CANDLES_PER_WEIGHT: usize = 60;
const TRADES_PER_WEIGHT: usize = 20;

fn question(request: &SimRequest, target: &Target) -> Option<Value> {
    let is_info = target.path == "/info" && request.method == "POST";
    is_info.then(|| serde_json::from_slice(&request.body).unwrap_or(Value::Null))
}

pub(super) fn subject(world: &World, request: &SimRequest, target: &Target) -> Subject {
    let Some(question) = question(request, target) else {
        return Subject { endpoint: "other".to_owned(), ..Subject::default() };
    };
    let coin = question["coin"].as_str().or(question["req"]["coin"].as_str());
    Subject {
        endpoint: question["type"].as_str().unwrap_or("other").to_owned(),
        symbol: coin.and_then(|coin| market(world, coin, false)).map(|market| market.listing.symbol.clone()),
        interval: question["req"]["interval"].as_str().map(str::to_owned),
    }
}

/// A market by its coin, in its own case.
fn market<'a>(world: &'a World, coin: &str, must_be_listed: bool) -> Option<&'a Arc<Market>> {
    let found = world.any_market(Venue::HYPERLIQUID, coin).filter(|market| market.listing.id == coin);
    found.filter(|market| !must_be_listed || world.is_listed(market))
}

fn undeserialized() -> SimReply {
    SimReply::typed(422, "text/plain", "Failed to deserialize the JSON body into the target type")
}

fn json(body: Option<String>) -> SimReply {
    // An unknown coin or dex.
    body.map_or_else(|| SimReply::json(500, "null"), |body| SimReply::json(200, body))
}

pub(super) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let Some(question) = question(request, target) else {
        return SimReply::typed(404, "text/plain", "Not Found");
    };
    let Some(kind) = question["type"].as_str() else { return undeserialized() };
    let weight = if matches!(kind, "allMids" | "l2Book") { 2 } else { 20 };
    let now_ns = world.now_ns(Venue::HYPERLIQUID);
    let charge = |rows: usize, rows_per_weight: usize| {
        let weight = rows.div_ceil(rows_per_weight) as u64;
        world.limits().owe(Venue::HYPERLIQUID, request.peer, weight);
    };
    if world.enforce_limits && !world.limits().spend(Venue::HYPERLIQUID, request.peer, weight, LIMIT, now_ns) {
        world.counters.count(Venue::HYPERLIQUID, |stats| stats.limited += 1);
        return SimReply::json(429, "null");
    }
    let dex = question["dex"].as_str().unwrap_or_default();
    match kind {
        "meta" => json(meta::meta(world, dex)),
        "metaAndAssetCtxs" => json(meta::meta_and_contexts(world, dex)),
        "spotMeta" => json(Some(meta::spot_meta(world))),
        "spotMetaAndAssetCtxs" => json(Some(meta::spot_meta_and_contexts(world))),
        "perpDexs" => json(Some(meta::perp_dexs(world))),
        "allMids" => json(Some(meta::all_mids(world))),
        "l2Book" => of_coin(world, &question["coin"], |market| Some(book(world, market))),
        "recentTrades" => of_coin(world, &question["coin"], |market| {
            let (body, rows) = recent_trades(world, market);
            charge(rows, TRADES_PER_WEIGHT);
            Some(body)
        }),
        "candleSnapshot" => {
            let asked = &question["req"];
            let interval = asked["interval"].as_str().unwrap_or_default();
            let end = if asked["endTime"].is_null() { Some(u64::MAX) } else { asked["endTime"].as_u64() };
            let (Some(frame), Some(start), Some(end)) = (frame(interval), asked["startTime"].as_u64(), end) else {
                return undeserialized();
            };
            of_coin(world, &asked["coin"], |market| {
                let millis = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
                let rows = candles(world, market, frame, millis(start), millis(end));
                charge(rows.len(), CANDLES_PER_WEIGHT);
                let rows: Vec<String> = rows.iter().map(|bucket| bar_object(market, interval, bucket)).collect();
                Some(format!("[{}]", rows.join(",")))
            })
        }
        _ => undeserialized(),
    }
}

fn of_coin(world: &World, coin: &Value, answer: impl FnOnce(&Market) -> Option<String>) -> SimReply {
    match coin.as_str() {
        Some(coin) => json(market(world, coin, true).and_then(|market| answer(market))),
        None => undeserialized(),
    }
}

/// Bars that overlap the window, among the newest 5000.
fn candles(world: &World, market: &Market, frame: Frame, start_ms: i64, end_ms: i64) -> Vec<Bucket> {
    if world.strikes(market, FaultKind::EmptyPage) {
        return Vec::new();
    }
    let start_ms = if world.strikes(market, FaultKind::IgnoreSince) { 0 } else { start_ms };
    let now_ns = world.now_ns(Venue::HYPERLIQUID);
    let now = now_ns.div_euclid(SECOND_NS);
    let oldest = (1..NEWEST_ROWS).fold(frame.open(now), |open, _| frame.open(open - 1));
    // Further ahead there is no calendar, and no bar either.
    let first = frame.open((start_ms / 1_000).clamp(oldest, now + 100 * DAY));
    let end = (end_ms / 1_000).min(now).saturating_add(1);
    let cap = world.page_cap(market);
    let mut rows = world.rows(market, frame, first, end, NEWEST_ROWS);
    rows.retain(|bucket| {
        shown_after_s(bucket).is_some_and(|after| bucket.bar.trades > 0 || bucket.close + after <= now)
    });
    rows.truncate(cap.unwrap_or(NEWEST_ROWS));
    rows
}

/// The newest trades, newest first.
fn recent_trades(world: &World, market: &Market) -> (String, usize) {
    let until_ns = world.now_ns(Venue::HYPERLIQUID) + 1;
    let cap = world.strike(market, |kind| match kind {
        FaultKind::PageCap { rows } => Some(*rows),
        FaultKind::EmptyPage => Some(0),
        _ => None,
    });
    let count = RECENT_TRADES.min(cap.unwrap_or(RECENT_TRADES));
    let position = market.count_before(until_ns).saturating_sub(count as u64);
    let ticks = market.page(position, count, until_ns);
    (trade_array(market, ticks.iter().rev()), ticks.len())
}

/// `l2Book`: one price on each side.
fn book(world: &World, market: &Market) -> String {
    let now_ns = world.now_ns(Venue::HYPERLIQUID);
    let last = market.price_before(now_ns + 1).unwrap_or(1);
    let level = |value: i64| format!(r#"[{{"px":"{}","sz":"{}","n":1}}]"#, price(market, value), amount(100_000_000));
    let (bids, asks) = (level((last - 1).max(1)), level(last + 1));
    let time = now_ns / MILLISECOND_NS;
    format!(r#"{{"coin":"{}","time":{time},"levels":[{bids},{asks}]}}"#, market.listing.id)
}
