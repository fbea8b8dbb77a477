//! How BitMEX prints bins, trades and instruments: objects of numbers, the same in REST and in the
//! socket.

use super::super::bar::Bar;
use super::super::calendar::DAY;
use super::super::decimal::{AMOUNT_DECIMALS, Shortest, fixed, quotient, rescale};
use super::super::http::rfc3339;
use super::super::market::{Bucket, Market};
use super::super::tape::{SECOND_NS, Tick};

/// Digits of sums in the currency of settlement: satoshis, and millionths of USDT.
const SATOSHI_DIGITS: u32 = 8;
const MICRO_DIGITS: u32 = 6;
/// Contracts of a unit of base currency, where they do not count the quote currency.
const CONTRACTS_PER_UNIT_DIGITS: u32 = 6;

/// The bar as it is printed: it opens at the close of the one before, outside of high and low or not.
pub(super) fn carried(market: &Market, bucket: &Bucket) -> Bar {
    let open = market.price_before(bucket.open * SECOND_NS).unwrap_or(bucket.bar.open);
    Bar { open, ..bucket.bar }
}

fn price(market: &Market, value: i64) -> Shortest {
    Shortest(fixed(value, market.price_scale, market.price_scale))
}

fn amount(value: i128) -> Shortest {
    Shortest(fixed(value, AMOUNT_DECIMALS, AMOUNT_DECIMALS))
}

fn money(market: &Market, quote: i128) -> Shortest {
    Shortest(fixed(quote, market.quote_scale(), market.quote_scale()))
}

fn is_inverse(market: &Market) -> bool {
    let symbol = &market.listing.symbol;
    symbol.settle().is_some_and(|settle| settle.split('-').next() == Some(symbol.base()))
}

/// Whole contracts, at least one where anything traded; `homeNotional` is the exact amount beside them.
fn contracts(market: &Market, base: i128, quote: i128) -> i128 {
    let count = if is_inverse(market) {
        rescale(quote, market.quote_scale(), 0)
    } else {
        rescale(base, AMOUNT_DECIMALS, CONTRACTS_PER_UNIT_DIGITS)
    };
    if base > 0 { count.max(1) } else { 0 }
}

/// What it was worth in the smallest units of the currency of settlement.
fn turnover(market: &Market, base: i128, quote: i128) -> i128 {
    match is_inverse(market) {
        true => rescale(base, AMOUNT_DECIMALS, SATOSHI_DIGITS),
        false => rescale(quote, market.quote_scale(), MICRO_DIGITS),
    }
}

/// A row of `trade/bucketed` and of `tradeBin`, stamped with its end.
pub(super) fn bin(market: &Market, bucket: &Bucket) -> String {
    let bar = carried(market, bucket);
    let last = (bar.trades > 0).then(|| market.tick_at(market.position_of_id(bar.last_id), i64::MAX / 2)).flatten();
    let last_size = last.map_or("null".to_owned(), |tick| size(market, &tick).to_string());
    let vwap = match bar.trades {
        0 => "null".to_owned(),
        _ => {
            let digits = market.price_scale + 2;
            let mean = quotient(bar.quote, market.quote_scale(), bar.volume, AMOUNT_DECIMALS, digits);
            Shortest(fixed(mean, digits, digits)).to_string()
        }
    };
    format!(
        r#"{{"timestamp":"{}","symbol":"{}","open":{},"high":{},"low":{},"close":{},"trades":{},"volume":{},"vwap":{vwap},"lastSize":{last_size},"turnover":{},"homeNotional":{},"foreignNotional":{}}}"#,
        rfc3339(bucket.next * SECOND_NS, 3),
        market.listing.id,
        price(market, bar.open),
        price(market, bar.high),
        price(market, bar.low),
        price(market, bar.close),
        bar.trades,
        contracts(market, bar.volume, bar.quote),
        turnover(market, bar.volume, bar.quote),
        amount(bar.volume),
        money(market, bar.quote),
    )
}

fn quote_of(tick: &Tick) -> i128 {
    i128::from(tick.price) * i128::from(tick.amount)
}

fn size(market: &Market, tick: &Tick) -> i128 {
    contracts(market, tick.amount.into(), quote_of(tick))
}

/// A row of `trade`, of REST and of the socket.
pub(super) fn trade(market: &Market, tick: &Tick) -> String {
    format!(
        r#"{{"timestamp":"{}","symbol":"{}","side":"{}","size":{},"price":{},"tickDirection":"{}","trdMatchID":"{}","grossValue":{},"homeNotional":{},"foreignNotional":{},"trdType":"Regular"}}"#,
        rfc3339(tick.time_ns, 3),
        market.listing.id,
        if tick.taker_buys { "Buy" } else { "Sell" },
        size(market, tick),
        price(market, tick.price),
        if tick.taker_buys { "ZeroPlusTick" } else { "ZeroMinusTick" },
        match_id(tick.id),
        turnover(market, tick.amount.into(), quote_of(tick)),
        amount(tick.amount.into()),
        money(market, quote_of(tick)),
    )
}

/// A GUID without order: the low digits of the number come first.
pub(super) fn match_id(id: u64) -> String {
    format!("{:08x}-006d-1000-0000-{id:012x}", (id as u32).reverse_bits())
}

/// A market with its ticker.
pub(super) fn instrument(market: &Market, now_ns: i64) -> String {
    let (listing, now) = (&market.listing, now_ns.div_euclid(SECOND_NS));
    let settle = listing.symbol.settle().unwrap_or_default();
    let (coin, day) = settle.split_once('-').unwrap_or((settle, ""));
    let typ = match (coin, day) {
        ("", _) => "IFXXXP",
        (_, "") => "FFWCSX",
        _ => "FFCCSX",
    };
    // Settlement is named by its smallest unit.
    let coin = match coin {
        "" => "null".to_owned(),
        "BTC" => r#""XBt""#.to_owned(),
        "USDT" => r#""USDt""#.to_owned(),
        other => format!(r#""{other}""#),
    };
    let expiry = chrono::NaiveDate::parse_from_str(day, "%y%m%d");
    let expiry = expiry.map_or("null".to_owned(), |date| format!(r#""{}T12:00:00.000Z""#, date.format("%Y-%m-%d")));
    let is_quanto = !settle.is_empty() && coin == r#""XBt""# && !is_inverse(market);
    let last = market.price_before(now_ns + 1);
    let day = last.map(|last| market.bar(now - DAY, now + 1, now_ns + 1).unwrap_or_else(|| Bar::flat(last)));
    let shown = |value: Option<i64>| value.map_or("null".to_owned(), |value| price(market, value).to_string());
    let (volume, quote) = day.map_or((0, 0), |day| (day.volume, day.quote));
    let symbol = &listing.id;
    format!(
        r#"{{"symbol":"{symbol}","rootSymbol":"{base}","state":"Open","typ":"{typ}","listing":"2016-05-04T12:00:00.000Z","front":"2016-05-04T12:00:00.000Z","expiry":{expiry},"settle":{expiry},"positionCurrency":"{}","underlying":"{base}","quoteCurrency":"{}","underlyingSymbol":"{base}=","reference":"BMEX","maxOrderQty":10000000,"maxPrice":10000000,"lotSize":1,"tickSize":{tick},"multiplier":{},"settlCurrency":{coin},"isQuanto":{is_quanto},"isInverse":{},"makerFee":0.0005,"takerFee":0.0005,"prevPrice24h":{open},"volume24h":{},"turnover24h":{},"homeNotional24h":{},"foreignNotional24h":{},"highPrice":{high},"lowPrice":{low},"lastPrice":{last_price},"bidPrice":{bid},"midPrice":{last_price},"askPrice":{ask},"markPrice":{last_price},"timestamp":"{}"}}"#,
        listing.quote,
        listing.quote,
        if is_inverse(market) { -100_000_000 } else { 1 },
        is_inverse(market),
        contracts(market, volume, quote),
        turnover(market, volume, quote),
        amount(volume),
        money(market, quote),
        rfc3339(now_ns, 3),
        base = listing.base,
        tick = price(market, 1),
        open = shown(day.map(|day| day.open)),
        high = shown(day.map(|day| day.high)),
        low = shown(day.map(|day| day.low)),
        last_price = shown(last),
        bid = shown(last.map(|last| (last - 1).max(1))),
        ask = shown(last.map(|last| last + 1)),
    )
}
