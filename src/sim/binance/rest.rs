//! Binance's REST answers.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::market::Symbol;

use super::super::bar::Bar;
use super::super::calendar::DAY;
use super::super::decimal::{AMOUNT_DECIMALS, Fixed, fixed, quotient};
use super::super::fault::FaultKind;
use super::super::http::{SimReply, SimRequest, Target, joined, quoted};
use super::super::limits::{BINANCE_WEIGHT, Weighed};
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;

const MILLISECOND_NS: i64 = 1_000_000;

/// Endpoint, market and interval of a request, for faults and counters.
pub(crate) fn subject(world: &World, target: &Target) -> (String, Option<Symbol>, Option<String>) {
    let endpoint = target.path.strip_prefix("/api/v3/").unwrap_or("other").to_owned();
    let market = target.get("symbol").and_then(|symbol| world.any_market(Venue::Binance, symbol));
    let interval = endpoint.ends_with("lines").then(|| target.get("interval").unwrap_or("?").to_owned());
    (endpoint, market.map(|market| market.listing.symbol.clone()), interval)
}

fn failure(status: u16, code: i32, message: &str) -> SimReply {
    SimReply::json(status, format!(r#"{{"code":{code},"msg":{}}}"#, quoted(message)))
}

pub(crate) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let Some(endpoint) = target.path.strip_prefix("/api/v3/") else {
        return SimReply::typed(404, "text/html", "<html><body><h2>404 Not found</h2></body></html>");
    };
    let one = target.get("symbol").is_some();
    let weight = match endpoint {
        "ping" | "time" => 1,
        "exchangeInfo" => 20,
        "klines" | "uiKlines" => 2,
        "aggTrades" => 4,
        "trades" | "historicalTrades" => 25,
        "ticker/24hr" => {
            if one {
                2
            } else {
                80
            }
        }
        "ticker/price" => {
            if one {
                2
            } else {
                4
            }
        }
        _ => 1,
    };
    let mut used = 0;
    if world.enforce_limits {
        let now_ns = world.now_ns(Venue::Binance);
        let weighed = world.limits().weigh(request.peer, weight, now_ns);
        match weighed {
            Weighed::Fine(weight) => used = weight,
            Weighed::Limited(wait_s) => {
                world.counters.count(Venue::Binance, |stats| stats.limited += 1);
                let text = format!(
                    "Too much request weight used; current limit is {BINANCE_WEIGHT} request weight per 1 MINUTE. \
                     Please use WebSocket Streams for live updates to avoid polling the API."
                );
                return failure(429, -1003, &text).with_header("retry-after", wait_s);
            }
            Weighed::Banned(wait_s) => {
                world.counters.count(Venue::Binance, |stats| stats.banned += 1);
                let until_ms = now_ns / MILLISECOND_NS + wait_s * 1_000;
                let text = format!(
                    "Way too much request weight used; IP banned until {until_ms}. \
                     Please use WebSocket Streams for live updates to avoid bans."
                );
                return failure(418, -1003, &text).with_header("retry-after", wait_s);
            }
        }
    }
    let units = Units {
        is_micro: request
            .headers
            .iter()
            .any(|(name, value)| name == "x-mbx-time-unit" && value.eq_ignore_ascii_case("microsecond")),
    };
    let reply = match endpoint {
        "ping" => Ok(SimReply::json(200, "{}")),
        "time" => Ok(SimReply::json(200, format!(r#"{{"serverTime":{}}}"#, units.time(world.now_ns(Venue::Binance))))),
        "exchangeInfo" => exchange_info(world, target),
        "klines" | "uiKlines" => klines(world, target, units),
        "aggTrades" => agg_trades(world, target, units),
        "trades" => trades(world, target, units, false),
        "historicalTrades" => trades(world, target, units, true),
        "ticker/24hr" => tickers(world, target, units, day_ticker),
        "ticker/price" => tickers(world, target, units, price_ticker),
        _ => Ok(SimReply::typed(404, "text/html", "<html><body><h2>404 Not found</h2></body></html>")),
    };
    let reply = reply.unwrap_or_else(|failed| failed);
    reply.with_header("x-mbx-used-weight", used).with_header("x-mbx-used-weight-1m", used)
}

/// Milliseconds, or microseconds where the client asked for them.
#[derive(Clone, Copy)]
struct Units {
    is_micro: bool,
}

impl Units {
    fn time(self, time_ns: i64) -> i64 {
        time_ns.div_euclid(if self.is_micro { 1_000 } else { MILLISECOND_NS })
    }

    /// The last instant of a bucket.
    fn end(self, next: i64) -> i64 {
        self.time(next * SECOND_NS) - 1
    }
}

/// Binance prints every price, amount and quote sum with eight digits.
fn eight(value: impl Into<i128>, scale: u32) -> Fixed {
    fixed(value, scale, 8)
}

fn market<'a>(world: &'a World, target: &Target) -> Result<&'a Arc<Market>, SimReply> {
    let symbol = target.get("symbol").filter(|symbol| !symbol.is_empty()).ok_or_else(|| {
        failure(400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    })?;
    if symbol
        .chars()
        .any(|c| c.is_ascii_lowercase() || (c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.".contains(c)))
    {
        return Err(failure(
            400,
            -1100,
            "Illegal characters found in parameter 'symbol'; legal range is '^[\\w\\-._&&[^a-z]]{1,50}$'.",
        ));
    }
    let found = world.market(Venue::Binance, symbol).filter(|market| market.listing.id == symbol);
    found.ok_or_else(|| failure(400, -1121, "Invalid symbol."))
}

fn number(target: &Target, name: &str) -> Result<Option<i64>, SimReply> {
    let Some(text) = target.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse::<i64>().ok().filter(|number| *number >= 0).map(Some).ok_or_else(|| {
        let text = format!("Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.");
        failure(400, -1100, &text)
    })
}

/// A time parameter in nanoseconds; the venue takes milliseconds and microseconds.
fn time(target: &Target, name: &str) -> Result<Option<i64>, SimReply> {
    let time = number(target, name)?;
    Ok(time.map(|time| time.saturating_mul(if time >= 100_000_000_000_000 { 1_000 } else { MILLISECOND_NS })))
}

/// `limit`, clamped like the venue does, then by a fault.
fn limit(world: &World, target: &Target, market: &Market) -> Result<usize, SimReply> {
    let limit = number(target, "limit")?.filter(|limit| *limit > 0).unwrap_or(500).min(1_000) as usize;
    if strikes(world, market, FaultKind::EmptyPage) {
        return Ok(0);
    }
    let cap = world.strike(market, |kind| match kind {
        FaultKind::PageCap { rows } => Some(*rows),
        _ => None,
    });
    Ok(limit.min(cap.unwrap_or(limit)))
}

fn strikes(world: &World, market: &Market, wanted: FaultKind) -> bool {
    world.strike(market, |kind| (*kind == wanted).then_some(())).is_some()
}

/// `startTime`, unless a fault makes the venue ignore it.
fn start(world: &World, target: &Target, market: &Market) -> Result<Option<i64>, SimReply> {
    let start = time(target, "startTime")?;
    Ok(start.filter(|_| !strikes(world, market, FaultKind::IgnoreSince)))
}

fn klines(world: &World, target: &Target, units: Units) -> Result<SimReply, SimReply> {
    let market = market(world, target)?;
    let interval = target.get("interval").filter(|interval| !interval.is_empty()).ok_or_else(|| {
        failure(400, -1102, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.")
    })?;
    let frame = super::frame(interval).ok_or_else(|| failure(400, -1120, "Invalid interval."))?;
    let (start, end) = (start(world, target, market)?, time(target, "endTime")?);
    let limit = limit(world, target, market)?;
    let now_ns = world.now_ns(Venue::Binance);
    let end_ns = end.unwrap_or(now_ns).min(now_ns);
    let first = match start {
        // The first bucket that opens at or after the start, sub-second starts included.
        Some(start) => frame.first_from(
            start.min(now_ns + DAY * 40 * SECOND_NS).div_euclid(SECOND_NS)
                + i64::from(start.rem_euclid(SECOND_NS) != 0),
        ),
        None => {
            let newest = frame.open(end_ns.div_euclid(SECOND_NS));
            (1..limit).fold(newest, |open, _| frame.open(open - 1))
        }
    };
    let rows = world.rows(market, frame, first, end_ns.div_euclid(SECOND_NS) + 1, limit);
    let body = joined(&rows, |out, row| {
        let bar = &row.bar;
        let price = |value: i64| eight(value, market.price_scale);
        let quote = |value: i128| eight(value, market.quote_scale());
        let _ = write!(
            out,
            r#"[{},"{}","{}","{}","{}","{}",{},"{}",{},"{}","{}","0"]"#,
            units.time(row.open * SECOND_NS),
            price(bar.open),
            price(bar.high),
            price(bar.low),
            price(bar.close),
            eight(bar.volume, AMOUNT_DECIMALS),
            units.end(row.next),
            quote(bar.quote),
            bar.trades,
            eight(bar.bought, AMOUNT_DECIMALS),
            quote(bar.bought_quote),
        );
    });
    Ok(SimReply::json(200, format!("[{body}]")))
}

/// Trades of the same taker order, as aggTrades merge them.
pub(super) fn merged(ticks: &[Tick]) -> impl Iterator<Item = &[Tick]> {
    ticks.chunk_by(|a, b| a.order_id == b.order_id)
}

/// One aggregated trade without its braces: REST and stream share these fields.
pub(super) fn agg_fields(market: &Market, order: &[Tick], time: i64) -> String {
    let (Some(first), Some(last)) = (order.first(), order.last()) else { return String::new() };
    let amount: i128 = order.iter().map(|tick| i128::from(tick.amount)).sum();
    format!(
        r#""a":{},"p":"{}","q":"{}","f":{},"l":{},"T":{time},"m":{},"M":true"#,
        first.order_id,
        eight(first.price, market.price_scale),
        eight(amount, AMOUNT_DECIMALS),
        first.id,
        last.id,
        !first.taker_buys,
    )
}

fn agg_trades(world: &World, target: &Target, units: Units) -> Result<SimReply, SimReply> {
    let market = market(world, target)?;
    let from_id = number(target, "fromId")?;
    let (start, end) = (start(world, target, market)?, time(target, "endTime")?);
    let limit = limit(world, target, market)?;
    let now_ns = world.now_ns(Venue::Binance);
    // The end is inclusive and a whole millisecond.
    let until_ns = end.map_or(now_ns, |end| end.saturating_add(MILLISECOND_NS - 1)).min(now_ns) + 1;
    let position = match (from_id, start) {
        (Some(id), _) => market.position_of_order(id as u64, until_ns),
        (None, Some(start)) => Some(market.count_before(start.min(until_ns))),
        (None, None) => {
            let last = market.count_before(until_ns).checked_sub(1).and_then(|last| market.tick_at(last, until_ns));
            last.and_then(|last| market.position_of_order((last.order_id + 1).saturating_sub(limit as u64), until_ns))
        }
    };
    let mut ticks = Vec::new();
    let mut position = position.unwrap_or(u64::MAX);
    // One order more than wanted proves that the last wanted one is complete.
    while position < u64::MAX {
        let page = market.page(position, limit + 1, until_ns);
        position += page.len() as u64;
        let is_last = page.len() <= limit;
        ticks.extend(page);
        if is_last || merged(&ticks).count() > limit {
            break;
        }
    }
    let body = joined(merged(&ticks).take(limit), |out, order| {
        let _ = write!(out, "{{{}}}", agg_fields(market, order, units.time(order[0].time_ns)));
    });
    Ok(SimReply::json(200, format!("[{body}]")))
}

fn trades(world: &World, target: &Target, units: Units, is_historical: bool) -> Result<SimReply, SimReply> {
    let market = market(world, target)?;
    let from_id = number(target, "fromId")?.filter(|_| is_historical);
    let limit = limit(world, target, market)?;
    let until_ns = world.now_ns(Venue::Binance) + 1;
    let position = match from_id {
        Some(id) => market.position_of_id(id as u64),
        None => market.count_before(until_ns).saturating_sub(limit as u64),
    };
    let body = joined(&market.page(position, limit, until_ns), |out, tick| {
        let quote = i128::from(tick.price) * i128::from(tick.amount);
        let _ = write!(
            out,
            r#"{{"id":{},"price":"{}","qty":"{}","quoteQty":"{}","time":{},"isBuyerMaker":{},"isBestMatch":true}}"#,
            tick.id,
            eight(tick.price, market.price_scale),
            eight(tick.amount, AMOUNT_DECIMALS),
            eight(quote, market.quote_scale()),
            units.time(tick.time_ns),
            !tick.taker_buys,
        );
    });
    Ok(SimReply::json(200, format!("[{body}]")))
}

/// The markets named by `symbol` or `symbols`, or all; true when one was named.
fn chosen<'a>(world: &'a World, target: &Target) -> Result<(Vec<&'a Arc<Market>>, bool), SimReply> {
    if target.get("symbol").is_some() {
        return Ok((vec![market(world, target)?], true));
    }
    let Some(text) = target.get("symbols") else { return Ok((world.listed(Venue::Binance).collect(), false)) };
    let names: Vec<String> = serde_json::from_str(text).map_err(|_| {
        let text = "Illegal characters found in parameter 'symbols'; legal range is '^\\[(\"[^\"]{1,50}\"(,\"[^\"]{1,50}\")*)?\\]$'.";
        failure(400, -1100, text)
    })?;
    let find = |name: &String| {
        let found = world.market(Venue::Binance, name).filter(|market| market.listing.id == *name);
        found.ok_or_else(|| failure(400, -1121, "Invalid symbol."))
    };
    Ok((names.iter().map(find).collect::<Result<_, _>>()?, false))
}

fn exchange_info(world: &World, target: &Target) -> Result<SimReply, SimReply> {
    let (markets, _) = chosen(world, target)?;
    let symbols = joined(markets, |out, market| {
        let listing = &market.listing;
        let tick = eight(1, listing.decimals);
        let _ = write!(
            out,
            r#"{{"symbol":"{}","status":"TRADING","baseAsset":"{}","baseAssetPrecision":8,"quoteAsset":"{}","quotePrecision":8,"quoteAssetPrecision":8,"baseCommissionPrecision":8,"quoteCommissionPrecision":8,"orderTypes":["LIMIT","LIMIT_MAKER","MARKET"],"icebergAllowed":true,"ocoAllowed":true,"isSpotTradingAllowed":true,"isMarginTradingAllowed":true,"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{tick}","maxPrice":"1000000.00000000","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","minQty":"0.00000001","maxQty":"90000000.00000000","stepSize":"0.00000001"}},{{"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"maxNotional":"9000000.00000000","applyMaxToMarket":false,"avgPriceMins":5}}],"permissions":[],"permissionSets":[["SPOT","MARGIN"]],"defaultSelfTradePreventionMode":"EXPIRE_MAKER","allowedSelfTradePreventionModes":["EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH"]}}"#,
            listing.id, listing.base, listing.quote,
        );
    });
    let now_ms = world.now_ns(Venue::Binance) / MILLISECOND_NS;
    Ok(SimReply::json(
        200,
        format!(
            r#"{{"timezone":"UTC","serverTime":{now_ms},"rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":{BINANCE_WEIGHT}}},{{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":61000}}],"exchangeFilters":[],"symbols":[{symbols}]}}"#
        ),
    ))
}

fn tickers(
    world: &World,
    target: &Target,
    units: Units,
    print: fn(&World, &Market, Units) -> Option<String>,
) -> Result<SimReply, SimReply> {
    let (markets, is_one) = chosen(world, target)?;
    let rows: Vec<String> = markets.into_iter().filter_map(|market| print(world, market, units)).collect();
    let body = rows.join(",");
    Ok(SimReply::json(200, if is_one { body } else { format!("[{body}]") }))
}

fn price_ticker(world: &World, market: &Market, _: Units) -> Option<String> {
    let price = market.price_before(world.now_ns(Venue::Binance) + 1)?;
    Some(format!(r#"{{"symbol":"{}","price":"{}"}}"#, market.listing.id, eight(price, market.price_scale)))
}

fn day_ticker(world: &World, market: &Market, units: Units) -> Option<String> {
    let now_ns = world.now_ns(Venue::Binance);
    let now = now_ns.div_euclid(SECOND_NS);
    let last = market.price_before(now_ns + 1)?;
    let bar = market.bar(now - DAY, now + 1, now_ns + 1).unwrap_or_else(|| Bar::flat(last));
    let before = market.price_before((now - DAY) * SECOND_NS).unwrap_or(bar.open);
    let price = |value: i64| eight(value, market.price_scale);
    let average = quotient(bar.quote, market.quote_scale(), bar.volume, AMOUNT_DECIMALS, 8);
    let change = fixed((bar.close - bar.open) * 100_000 / bar.open.max(1), 3, 3);
    Some(format!(
        r#"{{"symbol":"{}","priceChange":"{}","priceChangePercent":"{change}","weightedAvgPrice":"{}","prevClosePrice":"{}","lastPrice":"{}","lastQty":"0.00100000","bidPrice":"{}","bidQty":"1.00000000","askPrice":"{}","askQty":"1.00000000","openPrice":"{}","highPrice":"{}","lowPrice":"{}","volume":"{}","quoteVolume":"{}","openTime":{},"closeTime":{},"firstId":{},"lastId":{},"count":{}}}"#,
        market.listing.id,
        price(bar.close - bar.open),
        eight(average, 8),
        price(before),
        price(last),
        price((last - 1).max(1)),
        price(last + 1),
        price(bar.open),
        price(bar.high),
        price(bar.low),
        eight(bar.volume, AMOUNT_DECIMALS),
        eight(bar.quote, market.quote_scale()),
        units.time((now - DAY) * SECOND_NS),
        units.time(now_ns),
        if bar.trades == 0 { -1 } else { bar.first_id as i64 },
        if bar.trades == 0 { -1 } else { bar.last_id as i64 },
        bar.trades,
    ))
}
