//! Bybit's REST answers. Failures are HTTP 200 with a code; who asks too often gets a bare 403.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::bar::Bar;
use super::super::calendar::DAY;
use super::super::decimal::fixed;
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target, joined, quoted};
use super::super::limits::Window;
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::{Category, frame_of_interval, name, price};

const MILLISECOND_NS: i64 = 1_000_000;
/// Over all calls of an address; then nothing is answered for ten minutes.
const LIMIT: Window = Window { most: 600, window_s: 5, block_s: 600 };

const ROOT: &str = "/v5/market/";

/// Code and words of a failure.
type Failure = (u32, &'static str);

const NO_SYMBOL: Failure = (10001, "params error: Symbol Is Required");
const BAD_SYMBOL: Failure = (10001, "Not supported symbols");
const BAD_CATEGORY: Failure = (10001, "Category is invalid");

pub(super) fn subject(world: &World, target: &Target) -> Subject {
    let endpoint = target.path.strip_prefix(ROOT).unwrap_or("other").to_owned();
    let category = Category::named(target.get("category").unwrap_or("linear"));
    let id = category.and_then(|category| Some(category.id(target.get("symbol")?)));
    let market = id.and_then(|id| world.any_market(Venue::BYBIT, &id));
    let interval = (endpoint == "kline").then(|| target.get("interval").unwrap_or("?").to_owned());
    Subject { endpoint, symbol: market.map(|market| market.listing.symbol.clone()), interval }
}

pub(super) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let now_ns = world.now_ns(Venue::BYBIT);
    if world.enforce_limits && !world.limits().within(Venue::BYBIT, request.peer, "", LIMIT, now_ns) {
        world.counters.count(Venue::BYBIT, |stats| stats.limited += 1);
        return SimReply::typed(403, "text/plain", "access too frequent");
    }
    let call = Call { world, target, now_ns };
    let result = match target.path.strip_prefix(ROOT) {
        Some("time") => Ok(format!(r#"{{"timeSecond":"{}","timeNano":"{now_ns}"}}"#, now_ns / SECOND_NS)),
        Some("kline") => call.kline(),
        Some("recent-trade") => call.recent_trade(),
        Some("instruments-info") => call.instruments(),
        Some("tickers") => call.tickers(),
        _ => Err((10017, "Route not found.")),
    };
    let (code, words, result) = match result {
        Ok(result) => (0, "OK", result),
        Err((code, words)) => (code, words, "{}".to_owned()),
    };
    let time = now_ns / MILLISECOND_NS;
    let body = format!(r#"{{"retCode":{code},"retMsg":"{words}","result":{result},"retExtInfo":{{}},"time":{time}}}"#);
    SimReply::json(200, body)
}

struct Call<'a> {
    world: &'a World,
    target: &'a Target,
    now_ns: i64,
}

impl<'a> Call<'a> {
    fn category(&self) -> Result<Category, Failure> {
        Category::named(self.target.get("category").unwrap_or("linear")).ok_or(BAD_CATEGORY)
    }

    fn market(&self, category: Category) -> Result<&'a Arc<Market>, Failure> {
        let symbol = self.target.get("symbol").filter(|symbol| !symbol.is_empty()).ok_or(NO_SYMBOL)?;
        category.find(self.world, symbol).ok_or(BAD_SYMBOL)
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.target.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| (10001, "params error: invalid number"))
    }

    /// The number of rows, clamped like the venue does, then by a fault.
    fn limit(&self, market: &Market, usual: i64, most: i64) -> Result<usize, Failure> {
        let limit = self.number("limit")?.filter(|limit| *limit > 0).unwrap_or(usual).min(most) as usize;
        if self.world.strikes(market, FaultKind::EmptyPage) {
            return Ok(0);
        }
        let cap = self.world.page_cap(market);
        Ok(limit.min(cap.unwrap_or(limit)))
    }

    /// Both bounds are inclusive and mean open times; a start inside a bucket brings that bucket. Of
    /// a window with more rows than asked for the newest are told, newest first.
    fn kline(&self) -> Result<String, Failure> {
        let category = self.category()?;
        let market = self.market(category)?;
        let interval = self.target.get("interval").unwrap_or_default();
        let frame = frame_of_interval(interval).ok_or((10001, "Invalid period!"))?;
        let limit = self.limit(market, 200, 1_000)?;
        let seconds = |ms: Option<i64>| ms.map(|ms| ms.div_euclid(1_000));
        let start = seconds(self.number("start")?).filter(|_| !self.world.strikes(market, FaultKind::IgnoreSince));
        let now = self.now_ns.div_euclid(SECOND_NS);
        let end = seconds(self.number("end")?);
        let newest = frame.open(end.unwrap_or(now).min(now));
        let back = |open: i64| (1..limit).fold(open, |open, _| frame.open(open - 1));
        let (first, to) = match (start, end) {
            (Some(start), None) => (frame.open(start.min(now + DAY)), now + 1),
            (Some(start), Some(_)) => (frame.open(start.min(now + DAY)).max(back(newest)), newest + 1),
            (None, _) => (back(newest), newest + 1),
        };
        let rows = self.world.rows(market, frame, first, to, limit);
        let list = joined(rows.iter().rev(), |out, row| {
            let bar = &row.bar;
            let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|value| price(market, value));
            let (volume, turnover) = category.sums(market, bar);
            let _ =
                write!(out, r#"["{}","{open}","{high}","{low}","{close}","{volume}","{turnover}"]"#, row.open * 1_000);
        });
        let category = category.as_str();
        Ok(format!(r#"{{"category":"{category}","symbol":"{}","list":[{list}]}}"#, name(market)))
    }

    /// The newest trades, newest first.
    fn recent_trade(&self) -> Result<String, Failure> {
        let category = self.category()?;
        let market = self.market(category)?;
        let (usual, most) = if category == Category::Spot { (60, 60) } else { (500, 1_000) };
        let limit = self.limit(market, usual, most)?;
        let until_ns = self.now_ns + 1;
        let first = market.count_before(until_ns).saturating_sub(limit as u64);
        let ticks = market.page(first, limit, until_ns);
        let list = joined(ticks.iter().rev(), |out, tick| {
            let _ = write!(
                out,
                r#"{{"execId":"{}","symbol":"{}","price":"{}","size":"{}","side":"{}","time":"{}","isBlockTrade":false,"isRPITrade":false,"seq":"{}"}}"#,
                category.trade_id(tick),
                name(market),
                price(market, tick.price),
                category.size(market, tick),
                side(tick.taker_buys),
                tick.time_ns / MILLISECOND_NS,
                sequence(tick.id),
            );
        });
        Ok(format!(r#"{{"category":"{}","list":[{list}]}}"#, category.as_str()))
    }

    fn listed(&self, category: Category) -> impl Iterator<Item = &'a Arc<Market>> {
        self.world.listed(Venue::BYBIT).filter(move |market| category.has(market))
    }

    /// Pages of contracts; the spot list is always whole.
    fn instruments(&self) -> Result<String, Failure> {
        if self.target.get("category") == Some("option") {
            return Ok(r#"{"category":"option","list":[],"nextPageCursor":""}"#.to_owned());
        }
        let category = self.category()?;
        let wanted = self.target.get("symbol").filter(|symbol| !symbol.is_empty());
        let base = self.target.get("baseCoin").filter(|coin| !coin.is_empty());
        let mut markets: Vec<&Arc<Market>> = self
            .listed(category)
            .filter(|market| wanted.is_none_or(|wanted| wanted == name(market)))
            .filter(|market| base.is_none_or(|base| base == market.listing.base))
            .collect();
        let mut next = String::new();
        if category != Category::Spot {
            let limit = self.number("limit")?.unwrap_or(500).clamp(1, 1_000) as usize;
            // A cursor names the first and the last market of its page.
            let last = self.target.get("cursor").and_then(|cursor| cursor.rsplit_once("last%3D"));
            if let Some((_, last)) = last {
                let at = markets.iter().position(|market| name(market) == last);
                markets.drain(..at.map_or(markets.len(), |at| at + 1));
            }
            if markets.len() > limit {
                markets.truncate(limit);
                if let (Some(first), Some(last)) = (markets.first(), markets.last()) {
                    next = format!("first%3D{}%26last%3D{}", name(first), name(last));
                }
            }
        }
        let list = joined(markets, |out, market| print_instrument(out, category, market));
        let cursor =
            if category == Category::Spot { String::new() } else { format!(r#","nextPageCursor":{}"#, quoted(&next)) };
        Ok(format!(r#"{{"category":"{}","list":[{list}]{cursor}}}"#, category.as_str()))
    }

    fn tickers(&self) -> Result<String, Failure> {
        let category = self.category()?;
        let markets = match self.target.get("symbol").filter(|symbol| !symbol.is_empty()) {
            Some(_) => vec![self.market(category)?],
            None => self.listed(category).collect(),
        };
        let priced = markets.into_iter().filter_map(|market| Some((market, market.price_before(self.now_ns + 1)?)));
        let list = joined(priced, |out, (market, last)| self.print_ticker(out, category, market, last));
        Ok(format!(r#"{{"category":"{}","list":[{list}]}}"#, category.as_str()))
    }

    fn print_ticker(&self, out: &mut String, category: Category, market: &Market, last: i64) {
        let now = self.now_ns.div_euclid(SECOND_NS);
        let bar = market.bar(now - DAY, now + 1, self.now_ns + 1).unwrap_or_else(|| Bar::flat(last));
        let before = market.price_before((now - DAY) * SECOND_NS).unwrap_or(bar.open);
        let (volume, turnover) = category.sums(market, &bar);
        let [last_price, bid, ask, before_price, high, low] =
            [last, (last - 1).max(1), last + 1, before, bar.high, bar.low].map(|value| price(market, value));
        let change = fixed((last - before) * 1_000_000 / before.max(1), 6, 6);
        let more = match category {
            Category::Spot => format!(r#""usdIndexPrice":"{last_price}""#),
            _ => format!(
                r#""indexPrice":"{last_price}","markPrice":"{last_price}","openInterest":"1000","openInterestValue":"1000","fundingRate":"0.0001","nextFundingTime":"{}","prevPrice1h":"{last_price}","deliveryTime":"0""#,
                (now - now.rem_euclid(8 * 3_600) + 8 * 3_600) * 1_000
            ),
        };
        let _ = write!(
            out,
            r#"{{"symbol":"{}","bid1Price":"{bid}","bid1Size":"1","ask1Price":"{ask}","ask1Size":"1","lastPrice":"{last_price}","prevPrice24h":"{before_price}","price24hPcnt":"{change}","highPrice24h":"{high}","lowPrice24h":"{low}","turnover24h":"{turnover}","volume24h":"{volume}",{more}}}"#,
            name(market),
        );
    }
}

fn print_instrument(out: &mut String, category: Category, market: &Market) {
    let listing = &market.listing;
    let (base, quote, tick) = (&listing.base, &listing.quote, price(market, 1));
    let settle = listing.symbol.settle().unwrap_or_default();
    let (coin, day) = settle.split_once('-').unwrap_or((settle, ""));
    let (kind, ends_ms) = match (category, day) {
        (Category::Linear, "") => ("LinearPerpetual", 0),
        (Category::Linear, day) => ("LinearFutures", ends_at_ms(day)),
        (_, "") => ("InversePerpetual", 0),
        (_, day) => ("InverseFutures", ends_at_ms(day)),
    };
    let _ = match category {
        Category::Spot => write!(
            out,
            r#"{{"symbol":"{}","baseCoin":"{base}","quoteCoin":"{quote}","innovation":"0","status":"Trading","marginTrading":"utaOnly","stTag":"0","lotSizeFilter":{{"basePrecision":"0.00000001","quotePrecision":"0.00000001","minOrderQty":"0.00000001","maxOrderQty":"1000000","minOrderAmt":"5","maxOrderAmt":"8000000"}},"priceFilter":{{"tickSize":"{tick}"}},"riskParameters":{{"priceLimitRatioX":"0.01","priceLimitRatioY":"0.02"}}}}"#,
            name(market),
        ),
        _ => write!(
            out,
            r#"{{"symbol":"{}","contractType":"{kind}","status":"Trading","baseCoin":"{base}","quoteCoin":"{quote}","launchTime":"1580000000000","deliveryTime":"{ends_ms}","deliveryFeeRate":"","priceScale":"{}","leverageFilter":{{"minLeverage":"1","maxLeverage":"100.00","leverageStep":"0.01"}},"priceFilter":{{"minPrice":"{tick}","maxPrice":"1999999.80","tickSize":"{tick}"}},"lotSizeFilter":{{"maxOrderQty":"1000000","minOrderQty":"{step}","qtyStep":"{step}","postOnlyMaxOrderQty":"1000000","maxMktOrderQty":"100000","minNotionalValue":"5"}},"unifiedMarginTrade":true,"fundingInterval":480,"settleCoin":"{coin}","copyTrading":"both","upperFundingRate":"0.00375","lowerFundingRate":"-0.00375","isPreListing":false}}"#,
            name(market),
            listing.decimals,
            step = if category == Category::Inverse { "1" } else { "0.00000001" },
        ),
    };
}

/// Eight in the morning (UTC) of a day written `YYMMDD`.
fn ends_at_ms(day: &str) -> i64 {
    let date = chrono::NaiveDate::parse_from_str(day, "%y%m%d").ok();
    let ends = date.and_then(|date| date.and_hms_opt(8, 0, 0));
    ends.map_or(0, |ends| ends.and_utc().timestamp_millis())
}

/// The taker's.
pub(super) fn side(taker_buys: bool) -> &'static str {
    if taker_buys { "Buy" } else { "Sell" }
}

/// The cross sequence: it rises, and leaves numbers out.
pub(super) fn sequence(id: u64) -> u64 {
    88_000_000_000 + 3 * id
}
