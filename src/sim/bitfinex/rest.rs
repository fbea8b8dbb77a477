//! Bitfinex's REST answers. Whoever is to blame, the status is 500.

use std::sync::Arc;

use super::super::bar::Bar;
use super::super::calendar::{DAY, Frame};
use super::super::decimal::AMOUNT_DECIMALS;
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target, quoted};
use super::super::limits::Window;
use super::super::listing::Venue;
use super::super::market::{Bucket, Market};
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::{candle_row, frame, number, rows, trade_row};

const MILLISECOND_NS: i64 = 1_000_000;
/// Most rows of a page.
const MOST_ROWS: usize = 10_000;

/// An endpoint with its requests a minute; one more locks its address out for a minute.
const fn limit(most: usize) -> Window {
    Window { most, window_s: 60, block_s: 60 }
}

/// Name and limit of the endpoint behind a path.
fn endpoint(path: &str) -> Option<(&'static str, Window)> {
    Some(match path.split('/').next()? {
        "candles" => ("candles", limit(30)),
        "trades" => ("trades", limit(15)),
        "conf" => ("conf", limit(90)),
        "tickers" => ("tickers", limit(30)),
        "ticker" => ("ticker", limit(30)),
        "platform" => ("platform", limit(30)),
        _ => return None,
    })
}

/// The interval and the symbol of `candles/trade:1m:tBTCUSD/hist`, or only the symbol of others.
fn named(path: &str) -> (Option<&str>, Option<&str>) {
    let mut parts = path.split('/');
    match (parts.next(), parts.next()) {
        (Some("candles"), Some(key)) => {
            let key = key.strip_prefix("trade:").and_then(|key| key.split_once(':'));
            key.map_or((None, None), |(interval, symbol)| (Some(interval), Some(symbol)))
        }
        (Some("trades" | "ticker"), symbol) => (None, symbol),
        _ => (None, None),
    }
}

pub(super) fn subject(world: &World, target: &Target) -> Subject {
    let path = target.path.strip_prefix("/v2/").unwrap_or_default();
    let (interval, symbol) = named(path);
    let market = symbol.and_then(|symbol| world.any_market(Venue::BITFINEX, symbol));
    Subject {
        endpoint: endpoint(path).map_or("other", |(name, _)| name).to_owned(),
        symbol: market.map(|market| market.listing.symbol.clone()),
        interval: interval.map(str::to_owned),
    }
}

fn failure(status: u16, code: u32, message: &str) -> SimReply {
    SimReply::json(status, format!(r#"["error",{code},{}]"#, quoted(message)))
}

fn invalid(parameter: &str) -> SimReply {
    failure(500, 10_020, &format!("{parameter}: invalid"))
}

/// A market by its wire symbol.
pub(super) fn market<'a>(world: &'a World, symbol: &str) -> Option<&'a Arc<Market>> {
    world.market(Venue::BITFINEX, symbol).filter(|market| market.listing.id == symbol)
}

pub(super) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let path = target.path.strip_prefix("/v2/").unwrap_or_default();
    let Some((name, limit)) = endpoint(path) else {
        return SimReply::json(404, r#"{"error":"ERR_NOT_FOUND"}"#);
    };
    let now_ns = world.now_ns(Venue::BITFINEX);
    if world.enforce_limits && !world.limits().within(Venue::BITFINEX, request.peer, name, limit, now_ns) {
        world.counters.count(Venue::BITFINEX, |stats| stats.limited += 1);
        return failure(429, 11_010, "ratelimit: error");
    }
    let parts: Vec<&str> = path.split('/').collect();
    let reply = match parts.as_slice() {
        ["conf", keys] => Ok(conf(world, keys)),
        ["platform", "status"] => Ok("[1]".to_owned()),
        ["tickers"] => tickers(world, target),
        ["ticker", symbol] => match market(world, symbol) {
            Some(market) => Ok(format!("[{}]", ticker(world, market).unwrap_or_default())),
            None => Err(invalid("symbol")),
        },
        ["candles", _, section @ ("hist" | "last")] => candles(world, target, path, *section == "last"),
        ["trades", symbol, "hist"] => match market(world, symbol) {
            Some(market) => trades(world, target, market),
            None => Err(invalid("symbol")),
        },
        _ => Err(SimReply::json(404, r#"{"error":"ERR_NOT_FOUND"}"#)),
    };
    reply.map_or_else(|failed| failed, |body| SimReply::json(200, body))
}

fn conf(world: &World, keys: &str) -> String {
    let pairs = |wants: fn(&str) -> bool| {
        let listed = world.listed(Venue::BITFINEX).map(|market| &market.listing.id[1..]);
        listed.filter(|pair| wants(pair)).collect::<Vec<_>>()
    };
    let is_future = |pair: &str| pair.ends_with("F0");
    let spot = || pairs(|pair| !pair.ends_with("F0"));
    let info = |pairs: Vec<&str>| {
        rows(pairs, |pair| format!(r#"[{},[null,null,null,"0.00004","2000.0",null,null,null,0.1,0.05]]"#, quoted(pair)))
    };
    let lists = keys.split(',').map(|key| match key {
        "pub:list:pair:exchange" => rows(spot().into_iter().chain(["TESTBTC:TESTUSD"]), quoted),
        "pub:list:pair:futures" => rows(pairs(is_future), quoted),
        "pub:list:pair:margin" => rows(spot().into_iter().take(2), quoted),
        "pub:info:pair" => info(spot()),
        "pub:info:pair:futures" => info(pairs(is_future)),
        "pub:map:currency:sym" => {
            r#"[["UST","USDt"],["UDC","USDc"],["IOT","IOTA"],["BTCF0","BTC"],["USTF0","USDt"]]"#.to_owned()
        }
        "pub:list:currency" => rows(["BTC", "ETH", "USD", "UST", "LINK", "AVAX", "IOT", "XRP"], quoted),
        _ => "[]".to_owned(),
    });
    format!("[{}]", lists.collect::<Vec<_>>().join(","))
}

/// What pages of rows are asked with.
struct Page {
    start_ms: i64,
    end_ms: Option<i64>,
    limit: usize,
    oldest_first: bool,
}

fn page_of(world: &World, target: &Target, market: &Market, default_limit: usize) -> Result<Page, SimReply> {
    let whole = |name: &str| match target.get(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some).map_err(|_| invalid(name)),
    };
    let strikes = |wanted: FaultKind| world.strike(market, |kind| (*kind == wanted).then_some(())).is_some();
    let start = whole("start")?.filter(|_| !strikes(FaultKind::IgnoreSince));
    let limit = match whole("limit")? {
        None => default_limit,
        Some(limit) => {
            usize::try_from(limit).ok().filter(|limit| *limit <= MOST_ROWS).ok_or_else(|| invalid("limit"))?
        }
    };
    let cap = world.strike(market, |kind| match kind {
        FaultKind::PageCap { rows } => Some(*rows),
        FaultKind::EmptyPage => Some(0),
        _ => None,
    });
    Ok(Page {
        start_ms: start.unwrap_or(0).max(0),
        end_ms: whole("end")?,
        limit: limit.min(cap.unwrap_or(limit)),
        oldest_first: whole("sort")? == Some(1),
    })
}

fn candles(world: &World, target: &Target, path: &str, is_last: bool) -> Result<String, SimReply> {
    let (interval, symbol) = named(path);
    let (Some(interval), Some(symbol)) = (interval, symbol) else { return Err(invalid("key")) };
    let frame = frame(interval).ok_or_else(|| invalid("time_interval"))?;
    let market = market(world, symbol).ok_or_else(|| invalid("symbol"))?;
    let mut page = page_of(world, target, market, 100)?;
    if is_last {
        page = Page { start_ms: 0, end_ms: None, limit: page.limit.min(1), oldest_first: false };
    }
    let found = buckets(world, market, frame, &page);
    match found.first() {
        Some(newest) if is_last => Ok(candle_row(market, newest)),
        _ => Ok(rows(&found, |bucket| candle_row(market, bucket))),
    }
}

/// The newest candles, newest first.
pub(super) fn newest(world: &World, market: &Market, frame: Frame, limit: usize) -> Vec<Bucket> {
    buckets(world, market, frame, &Page { start_ms: 0, end_ms: None, limit, oldest_first: false })
}

/// Buckets with trades that open in a stretch whose bounds are inclusive.
fn buckets(world: &World, market: &Market, frame: Frame, page: &Page) -> Vec<Bucket> {
    let now_ns = world.now_ns(Venue::BITFINEX);
    let now = now_ns.div_euclid(SECOND_NS);
    let Some(first_ns) = market.first_trade_ns(now_ns + 1) else { return Vec::new() };
    let start = (page.start_ms + 999) / 1_000;
    let first = frame.open(first_ns.div_euclid(SECOND_NS)).max(frame.first_from(start.min(now + 100 * DAY)));
    let last = frame.open(page.end_ms.map_or(now, |end| end.div_euclid(1_000).clamp(0, now)));
    let mut found = Vec::new();
    let mut open = if page.oldest_first { first } else { last };
    while first <= open && open <= last && found.len() < page.limit {
        let traded = market.bucket(frame, open, now_ns + 1).filter(|bucket| bucket.bar.trades > 0);
        found.extend(traded.and_then(|bucket| world.shown(market, bucket, true)));
        open = if page.oldest_first { frame.next(open) } else { frame.open(open - 1) };
    }
    found
}

fn trades(world: &World, target: &Target, market: &Market) -> Result<String, SimReply> {
    let page = page_of(world, target, market, 125)?;
    let now_ns = world.now_ns(Venue::BITFINEX);
    let end_ns = page.end_ms.map_or(now_ns, |end| end.saturating_mul(MILLISECOND_NS) + MILLISECOND_NS - 1);
    let until_ns = end_ns.clamp(0, now_ns) + 1;
    let start_ns = page.start_ms.saturating_mul(MILLISECOND_NS).min(until_ns);
    let (first, end) = (market.count_before(start_ns), market.count_before(until_ns));
    let position = if page.oldest_first { first } else { first.max(end.saturating_sub(page.limit as u64)) };
    let mut ticks = market.page(position, page.limit, until_ns);
    if !page.oldest_first {
        ticks.reverse();
    }
    Ok(rows(&ticks, |tick: &Tick| trade_row(market, tick)))
}

fn tickers(world: &World, target: &Target) -> Result<String, SimReply> {
    let asked = target.get("symbols").unwrap_or_default();
    let wanted = |market: &&Arc<Market>| asked == "ALL" || asked.split(',').any(|id| id == market.listing.id);
    let markets = world.listed(Venue::BITFINEX).filter(wanted);
    let found =
        markets.filter_map(|market| Some(format!("[{},{}]", quoted(&market.listing.id), ticker(world, market)?)));
    Ok(rows(found, |row| row))
}

/// `BID,BID_SIZE,ASK,ASK_SIZE,CHANGE,CHANGE_RELATIVE,LAST,VOLUME,HIGH,LOW`.
fn ticker(world: &World, market: &Market) -> Option<String> {
    let now_ns = world.now_ns(Venue::BITFINEX);
    let now = now_ns.div_euclid(SECOND_NS);
    let last = market.price_before(now_ns + 1)?;
    let day = market.bar(now - DAY, now + 1, now_ns + 1).unwrap_or_else(|| Bar::flat(last));
    let price = |value: i64| number(value, market.price_scale);
    let relative = (last - day.open) * 10_000 / day.open.max(1);
    Some(format!(
        "{},10,{},12,{},{},{},{},{},{}",
        price((last - 1).max(1)),
        price(last + 1),
        price(last - day.open),
        number(relative, 4),
        price(last),
        number(day.volume, AMOUNT_DECIMALS),
        price(day.high),
        price(day.low),
    ))
}
