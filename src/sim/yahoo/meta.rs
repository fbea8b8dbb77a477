//! The `meta` object of a chart.

use super::super::calendar::{DAY, HOUR, Hours, instant};
use super::super::http::quoted;
use super::super::listing::Kind;
use super::super::market::Market;
use super::super::tape::SECOND_NS;
use super::chart::{Window, print_price};

/// `exchangeName`, `fullExchangeName` and `instrumentType`.
pub(super) fn exchange_of(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Equity => ("NMS", "NasdaqGS", "EQUITY"),
        Kind::Index => ("SNP", "SNP", "INDEX"),
        Kind::Currency => ("CCY", "CCY", "CURRENCY"),
        Kind::Crypto => ("CCC", "CCC", "CRYPTOCURRENCY"),
    }
}

fn zone_name(hours: Hours) -> &'static str {
    match hours {
        Hours::Always => "UTC",
        Hours::NewYork => "America/New_York",
        Hours::London => "Europe/London",
    }
}

fn zone_at(hours: Hours, second: i64) -> (String, i64) {
    use chrono::Offset;
    let local = instant(second).with_timezone(&hours.zone());
    (local.format("%Z").to_string(), i64::from(local.offset().fix().local_minus_utc()))
}

fn period(hours: Hours, start: i64, end: i64) -> String {
    let (zone, offset) = zone_at(hours, start);
    format!(r#"{{"timezone":"{zone}","start":{start},"end":{end},"gmtoffset":{offset}}}"#)
}

pub(super) fn print(market: &Market, window: &Window, now_ns: i64) -> String {
    let listing = &market.listing;
    let hours = listing.hours();
    let now = now_ns.div_euclid(SECOND_NS);
    let (exchange, full_exchange, kind) = exchange_of(listing.kind);
    let (zone, offset) = zone_at(hours, now);
    let last = market.count_before(now_ns + 1).checked_sub(1).and_then(|last| market.tick_at(last, now_ns + 1));
    let first = market.first_trade_ns(now_ns + 1).map_or("null".to_owned(), |first| (first / SECOND_NS).to_string());
    let (opens, closes) = hours.session(hours.date_of(now)).unwrap_or_else(|| hours.last_session(now));
    // Extended hours exist in New York only; elsewhere they are empty periods.
    let (early, late) =
        if hours == Hours::NewYork { (opens - 11 * HOUR / 2, closes + 4 * HOUR) } else { (opens, closes) };
    let before = market.price_before(window.from.min(now) * SECOND_NS);
    let price = |value: Option<i64>| value.map_or("null".to_owned(), |value| print_price(market, value));
    let trading_periods = if window.is_intraday {
        let mut periods = Vec::new();
        let mut at = window.from.max(now - 60 * DAY);
        while at < window.to.min(now + DAY) && periods.len() < 64 {
            periods.extend(
                hours.session(hours.date_of(at)).map(|(start, end)| format!("[{}]", period(hours, start, end))),
            );
            at += DAY;
        }
        format!(r#""tradingPeriods":[{}],"#, periods.join(","))
    } else {
        String::new()
    };
    format!(
        r#"{{"currency":"{}","symbol":{},"exchangeName":"{exchange}","fullExchangeName":"{full_exchange}","instrumentType":"{kind}","firstTradeDate":{first},"regularMarketTime":{},"hasPrePostMarketData":{},"gmtoffset":{offset},"timezone":"{zone}","exchangeTimezoneName":"{}","regularMarketPrice":{},"chartPreviousClose":{},"priceHint":{},"currentTradingPeriod":{{"pre":{},"regular":{},"post":{}}},{trading_periods}"dataGranularity":"{}","range":"{}","validRanges":["1d","5d","1mo","3mo","6mo","1y","2y","5y","10y","ytd","max"]}}"#,
        listing.quote,
        quoted(&listing.id),
        last.map_or(now, |last| last.time_ns / SECOND_NS),
        hours == Hours::NewYork,
        zone_name(hours),
        price(last.map(|last| last.price)),
        price(before),
        listing.decimals.min(4),
        period(hours, early, opens),
        period(hours, opens, closes),
        period(hours, closes, late),
        window.interval,
        window.range,
    )
}
