//! Binance's REST answers.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::calendar::DAY;
use super::super::decimal::{AMOUNT_DECIMALS, Fixed, fixed};
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target, joined, quoted};
use super::super::limits::{Weighed, Weights};
use super::super::market::Market;
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::product::Product;

const MILLISECOND_NS: i64 = 1_000_000;

/// Longest window of a futures call for aggregated trades that names both ends.
const AGG_WINDOW_NS: i64 = 3_600 * SECOND_NS;

pub(super) fn subject(product: Product, world: &World, target: &Target) -> Subject {
    let endpoint = target.path.strip_prefix(product.root()).unwrap_or("other").to_owned();
    let market = target.get("symbol").and_then(|symbol| world.any_market(product.venue(), symbol));
    let interval = endpoint.ends_with("lines").then(|| target.get("interval").unwrap_or("?").to_owned());
    Subject { endpoint, symbol: market.map(|market| market.listing.symbol.clone()), interval }
}

pub(super) fn failure(status: u16, code: i32, message: &str) -> SimReply {
    SimReply::json(status, format!(r#"{{"code":{code},"msg":{}}}"#, quoted(message)))
}

pub(super) fn respond(product: Product, world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let Some(endpoint) = target.path.strip_prefix(product.root()) else {
        return SimReply::typed(404, "text/html", "<html><body><h2>404 Not found</h2></body></html>");
    };
    let venue = product.venue();
    let mut used = 0;
    if world.enforce_limits {
        let now_ns = world.now_ns(venue);
        let (weight, capacity) = (product.weight(endpoint, target), product.capacity());
        match world.limits().weigh(venue, request.peer, weight, Weights { capacity, window_s: 60 }, now_ns) {
            Weighed::Fine(weight) => used = weight,
            Weighed::Limited(wait_s) => {
                world.counters.count(venue, |stats| stats.limited += 1);
                let text = format!(
                    "Too much request weight used; current limit is {capacity} request weight per 1 MINUTE. \
                     Please use WebSocket Streams for live updates to avoid polling the API."
                );
                return failure(429, -1003, &text).with_header("retry-after", wait_s);
            }
            Weighed::Banned(wait_s) => {
                world.counters.count(venue, |stats| stats.banned += 1);
                let until_ms = now_ns / MILLISECOND_NS + wait_s * 1_000;
                let text = format!(
                    "Way too much request weight used; IP banned until {until_ms}. \
                     Please use WebSocket Streams for live updates to avoid bans."
                );
                return failure(418, -1003, &text).with_header("retry-after", wait_s);
            }
        }
    }
    let asks_for_micros = |(name, value): &(String, String)| {
        name == "x-mbx-time-unit" && value.eq_ignore_ascii_case("microsecond") && product == Product::Spot
    };
    let units = Units { is_micro: request.headers.iter().any(asks_for_micros) };
    let call = Call { product, world, target, endpoint, units };
    let reply = match endpoint {
        "ping" => Ok(SimReply::json(200, "{}")),
        "time" => Ok(SimReply::json(200, format!(r#"{{"serverTime":{}}}"#, units.time(world.now_ns(venue))))),
        "exchangeInfo" => call.exchange_info(),
        "klines" => call.klines(),
        "uiKlines" if product == Product::Spot => call.klines(),
        "aggTrades" => call.agg_trades(),
        "trades" => call.trades(false),
        "historicalTrades" if product == Product::Spot => call.trades(true),
        "historicalTrades" => Err(failure(401, -2014, "API-key format invalid.")),
        "ticker/24hr" => call.tickers(Call::day_ticker),
        "ticker/price" => call.tickers(Call::price_ticker),
        "ticker/bookTicker" => call.tickers(Call::book_ticker),
        _ => Ok(SimReply::typed(404, "text/html", "<html><body><h2>404 Not found</h2></body></html>")),
    };
    let reply = reply.unwrap_or_else(|failed| failed);
    reply.with_header("x-mbx-used-weight", used).with_header("x-mbx-used-weight-1m", used)
}

/// A request that is being answered.
pub(super) struct Call<'a> {
    pub(super) product: Product,
    pub(super) world: &'a World,
    pub(super) target: &'a Target,
    endpoint: &'a str,
    pub(super) units: Units,
}

/// Milliseconds, or microseconds where the client asked for them.
#[derive(Clone, Copy)]
pub(super) struct Units {
    is_micro: bool,
}

impl Units {
    pub(super) fn time(self, time_ns: i64) -> i64 {
        time_ns.div_euclid(if self.is_micro { 1_000 } else { MILLISECOND_NS })
    }

    /// The last instant of a bucket.
    fn end(self, next: i64) -> i64 {
        self.time(next * SECOND_NS) - 1
    }
}

/// Binance prints every amount and quote sum with eight digits.
pub(super) fn eight(value: impl Into<i128>, scale: u32) -> Fixed {
    fixed(value, scale, 8)
}

impl<'a> Call<'a> {
    /// The time at the venue.
    pub(super) fn now_ns(&self) -> i64 {
        self.world.now_ns(self.product.venue())
    }

    pub(super) fn price(&self, market: &Market, value: i64) -> Fixed {
        fixed(value, market.price_scale, self.product.price_digits(market.price_scale))
    }

    /// A listed market by its exact id.
    pub(super) fn find(&self, id: &str) -> Result<&'a Arc<Market>, SimReply> {
        let found = self.world.market(self.product.venue(), id).filter(|market| market.listing.id == id);
        found.ok_or_else(|| failure(400, -1121, "Invalid symbol."))
    }

    pub(super) fn market(&self) -> Result<&'a Arc<Market>, SimReply> {
        let symbol = self.target.get("symbol").filter(|symbol| !symbol.is_empty()).ok_or_else(|| {
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
        self.find(symbol)
    }

    fn number(&self, name: &str) -> Result<Option<i64>, SimReply> {
        let Some(text) = self.target.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse::<i64>().ok().filter(|number| *number >= 0).map(Some).ok_or_else(|| {
            let text = format!("Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.");
            failure(400, -1100, &text)
        })
    }

    /// A time parameter in nanoseconds; the venue takes milliseconds and microseconds.
    fn time(&self, name: &str) -> Result<Option<i64>, SimReply> {
        let time = self.number(name)?;
        Ok(time.map(|time| time.saturating_mul(if time >= 100_000_000_000_000 { 1_000 } else { MILLISECOND_NS })))
    }

    /// `limit`: one that is too large is clamped by the spot market and refused by the others. Then a
    /// fault may cut it.
    fn limit(&self, market: &Market) -> Result<usize, SimReply> {
        let (limit, most) = (self.number("limit")?, self.product.most_rows(self.endpoint));
        if self.product != Product::Spot && limit.is_some_and(|limit| !(1..=most).contains(&limit)) {
            return Err(failure(400, -1130, "Data sent for parameter 'limit' is not valid."));
        }
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(500).min(most) as usize;
        if self.world.strikes(market, FaultKind::EmptyPage) {
            return Ok(0);
        }
        let cap = self.world.page_cap(market);
        Ok(limit.min(cap.unwrap_or(limit)))
    }

    /// `startTime`, unless a fault makes the venue ignore it.
    fn start(&self, market: &Market) -> Result<Option<i64>, SimReply> {
        let start = self.time("startTime")?;
        Ok(start.filter(|_| !self.world.strikes(market, FaultKind::IgnoreSince)))
    }

    fn klines(&self) -> Result<SimReply, SimReply> {
        let market = self.market()?;
        let interval = self.target.get("interval").filter(|interval| !interval.is_empty()).ok_or_else(|| {
            failure(400, -1102, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.")
        })?;
        let frame = self.product.frame(interval).ok_or_else(|| failure(400, -1120, "Invalid interval."))?;
        let (start, end) = (self.start(market)?, self.time("endTime")?);
        let limit = self.limit(market)?;
        let now_ns = self.now_ns();
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
        let rows = self.world.rows(market, frame, first, end_ns.div_euclid(SECOND_NS) + 1, limit);
        let body = joined(&rows, |out, row| {
            let bar = &row.bar;
            let price = |value: i64| self.price(market, value);
            let quote = |value: i128| eight(value, market.quote_scale());
            let _ = write!(
                out,
                r#"[{},"{}","{}","{}","{}","{}",{},"{}",{},"{}","{}","0"]"#,
                self.units.time(row.open * SECOND_NS),
                price(bar.open),
                price(bar.high),
                price(bar.low),
                price(bar.close),
                eight(bar.volume, AMOUNT_DECIMALS),
                self.units.end(row.next),
                quote(bar.quote),
                bar.trades,
                eight(bar.bought, AMOUNT_DECIMALS),
                quote(bar.bought_quote),
            );
        });
        Ok(SimReply::json(200, format!("[{body}]")))
    }

    fn agg_trades(&self) -> Result<SimReply, SimReply> {
        let market = self.market()?;
        let from_id = self.number("fromId")?;
        let (start, end) = (self.start(market)?, self.time("endTime")?);
        if self.product != Product::Spot {
            if from_id.is_some() && (start.is_some() || end.is_some()) {
                return Err(failure(400, -1128, "Combination of optional parameters invalid."));
            }
            if matches!((start, end), (Some(start), Some(end)) if end.saturating_sub(start) > AGG_WINDOW_NS) {
                let text = "Lookup interval is too big. More than 1 hours between startTime and endTime.";
                return Err(failure(400, -1127, text));
            }
        }
        let limit = self.limit(market)?;
        let now_ns = self.now_ns();
        // The end is inclusive and a whole millisecond.
        let until_ns = end.map_or(now_ns, |end| end.saturating_add(MILLISECOND_NS - 1)).min(now_ns) + 1;
        let position = match (from_id, start) {
            (Some(id), _) => market.position_of_order(id as u64, until_ns),
            (None, Some(start)) => Some(market.count_before(start.min(until_ns))),
            (None, None) => {
                let last = market.count_before(until_ns).checked_sub(1).and_then(|last| market.tick_at(last, until_ns));
                last.and_then(|last| {
                    market.position_of_order((last.order_id + 1).saturating_sub(limit as u64), until_ns)
                })
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
            let _ = write!(out, "{{{}}}", agg_fields(self.product, market, order, self.units.time(order[0].time_ns)));
        });
        Ok(SimReply::json(200, format!("[{body}]")))
    }

    fn trades(&self, is_historical: bool) -> Result<SimReply, SimReply> {
        let market = self.market()?;
        let from_id = self.number("fromId")?.filter(|_| is_historical);
        let limit = self.limit(market)?;
        let until_ns = self.now_ns() + 1;
        let position = match from_id {
            Some(id) => market.position_of_id(id as u64),
            None => market.count_before(until_ns).saturating_sub(limit as u64),
        };
        let body = joined(&market.page(position, limit, until_ns), |out, tick| {
            let quote = i128::from(tick.price) * i128::from(tick.amount);
            let _ = write!(
                out,
                r#"{{"id":{},"price":"{}","qty":"{}","quoteQty":"{}","time":{},"isBuyerMaker":{},{}}}"#,
                tick.id,
                self.price(market, tick.price),
                eight(tick.amount, AMOUNT_DECIMALS),
                eight(quote, market.quote_scale()),
                self.units.time(tick.time_ns),
                !tick.taker_buys,
                if self.product == Product::Spot { r#""isBestMatch":true"# } else { r#""isRPITrade":false"# },
            );
        });
        Ok(SimReply::json(200, format!("[{body}]")))
    }
}

/// Trades of the same taker order, as aggTrades merge them.
pub(super) fn merged(ticks: &[Tick]) -> impl Iterator<Item = &[Tick]> {
    ticks.chunk_by(|a, b| a.order_id == b.order_id)
}

/// One aggregated trade without its braces: REST and stream share these fields.
pub(super) fn agg_fields(product: Product, market: &Market, order: &[Tick], time: i64) -> String {
    let (Some(first), Some(last)) = (order.first(), order.last()) else { return String::new() };
    let amount: i128 = order.iter().map(|tick| i128::from(tick.amount)).sum();
    format!(
        r#""a":{},"p":"{}","q":"{}","f":{},"l":{},"T":{time},"m":{}{}"#,
        first.order_id,
        fixed(first.price, market.price_scale, product.price_digits(market.price_scale)),
        eight(amount, AMOUNT_DECIMALS),
        first.id,
        last.id,
        !first.taker_buys,
        if product == Product::Spot { r#","M":true"# } else { "" },
    )
}
