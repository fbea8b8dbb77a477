//! How OKX prints instruments, candles and trades: strings throughout, the amounts of swaps in contracts.

use std::fmt::Write as _;

use super::super::bar::Bar;
use super::super::calendar::DAY;
use super::super::decimal::{AMOUNT_DECIMALS, Shortest, fixed, quotient};
use super::super::http::joined;
use super::super::market::{Bucket, Market};
use super::super::tape::{SECOND_NS, Tick};

const MILLISECOND_NS: i64 = 1_000_000;

/// A contract of most linear swaps is a hundredth of the base currency.
const LINEAR_CONTRACT: (&str, u32) = ("0.01", 2);
/// A contract of an inverse swap is a hundred units of the quote currency.
const INVERSE_CONTRACT: i128 = 100;
/// Digits of contracts of inverse swaps: enough to tell all amounts of base currency apart.
const INVERSE_DIGITS: u32 = 8;

/// What a market's trades count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Spot,
    Linear,
    Inverse,
}

pub(super) fn kind_of(market: &Market) -> Kind {
    let symbol = &market.listing.symbol;
    match symbol.settle() {
        None => Kind::Spot,
        Some(settle) if settle == symbol.base() => Kind::Inverse,
        Some(_) => Kind::Linear,
    }
}

/// An amount of base currency, or as many contracts; `quote` is its value.
fn size(market: &Market, amount: i128, quote: i128) -> String {
    match kind_of(market) {
        Kind::Spot => Shortest(fixed(amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS)).to_string(),
        Kind::Linear => {
            let digits = AMOUNT_DECIMALS - LINEAR_CONTRACT.1;
            Shortest(fixed(amount, digits, digits)).to_string()
        }
        Kind::Inverse => {
            let contracts = quotient(quote, market.quote_scale(), INVERSE_CONTRACT, 0, INVERSE_DIGITS);
            Shortest(fixed(contracts, INVERSE_DIGITS, INVERSE_DIGITS)).to_string()
        }
    }
}

/// ts, open, high, low, close, vol, volCcy, volCcyQuote, confirm.
pub(super) fn candle(market: &Market, bucket: &Bucket, is_closed: bool) -> String {
    let bar = &bucket.bar;
    let price = |value: i64| Shortest(fixed(value, market.price_scale, market.price_scale));
    let quote = Shortest(fixed(bar.quote, market.quote_scale(), market.quote_scale())).to_string();
    let base = Shortest(fixed(bar.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS)).to_string();
    let currency = if kind_of(market) == Kind::Spot { &quote } else { &base };
    format!(
        r#"["{}","{}","{}","{}","{}","{}","{currency}","{quote}","{}"]"#,
        bucket.open * 1_000,
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close),
        size(market, bar.volume, bar.quote),
        u8::from(is_closed),
    )
}

/// The fields of a trade, without its braces: of one fill, or of all fills of a taker order.
pub(super) fn trade(market: &Market, fills: &[Tick]) -> String {
    let Some(last) = fills.last() else { return String::new() };
    let amount: i128 = fills.iter().map(|tick| i128::from(tick.amount)).sum();
    let quote: i128 = fills.iter().map(|tick| i128::from(tick.price) * i128::from(tick.amount)).sum();
    format!(
        r#""instId":"{}","tradeId":"{}","px":"{}","sz":"{}","side":"{}","ts":"{}""#,
        market.listing.id,
        last.id,
        Shortest(fixed(last.price, market.price_scale, market.price_scale)),
        size(market, amount, quote),
        if last.taker_buys { "buy" } else { "sell" },
        last.time_ns.div_euclid(MILLISECOND_NS),
    )
}

/// A row of the instrument list.
pub(super) fn instrument(market: &Market) -> String {
    let listing = &market.listing;
    let (base, quote) = (&listing.base, &listing.quote);
    let settle = listing.symbol.settle().unwrap_or_default();
    let tick = fixed(1, listing.decimals, listing.decimals);
    let lot = |digits| fixed(1, digits, digits).to_string();
    let underlying = format!("{base}-{quote}");
    let (legs, contract, lot) = match kind_of(market) {
        Kind::Spot => ([base.as_str(), quote], ["", "", "", ""], lot(AMOUNT_DECIMALS)),
        Kind::Linear => (["", ""], [LINEAR_CONTRACT.0, "1", base, "linear"], lot(AMOUNT_DECIMALS - LINEAR_CONTRACT.1)),
        Kind::Inverse => (["", ""], ["100", "1", quote, "inverse"], lot(INVERSE_DIGITS)),
    };
    let family = if settle.is_empty() { "" } else { &underlying };
    let fields = [
        ("alias", ""),
        ("baseCcy", legs[0]),
        ("category", "1"),
        ("ctMult", contract[1]),
        ("ctType", contract[3]),
        ("ctVal", contract[0]),
        ("ctValCcy", contract[2]),
        ("expTime", ""),
        ("instFamily", family),
        ("instId", &listing.id),
        ("instType", type_of(market)),
        ("lever", "10"),
        ("listTime", "1548133413000"),
        ("lotSz", &lot),
        ("maxLmtSz", "9999999999"),
        ("maxMktSz", "1000000"),
        ("minSz", &lot),
        ("optType", ""),
        ("quoteCcy", legs[1]),
        ("ruleType", "normal"),
        ("settleCcy", settle),
        ("state", "live"),
        ("stk", ""),
        ("tickSz", &tick.to_string()),
        ("uly", family),
    ];
    let fields = joined(fields, |out, (name, value)| {
        let _ = write!(out, r#""{name}":"{value}""#);
    });
    format!("{{{fields}}}")
}

/// `SPOT` or `SWAP`.
pub(super) fn type_of(market: &Market) -> &'static str {
    if kind_of(market) == Kind::Spot { "SPOT" } else { "SWAP" }
}

/// The ticker at an instant; `None` before the first trade.
pub(super) fn ticker(market: &Market, now_ns: i64) -> Option<String> {
    let last = market.tick_at(market.count_before(now_ns + 1).checked_sub(1)?, now_ns + 1)?;
    let now = now_ns.div_euclid(SECOND_NS);
    let since = |from| market.bar(from, now + 1, now_ns + 1).unwrap_or_else(|| Bar::flat(last.price));
    let (day, today, today_east) =
        (since(now - DAY), since(now - now.rem_euclid(DAY)), since(now - (now + DAY / 3).rem_euclid(DAY)));
    let price = |value: i64| Shortest(fixed(value, market.price_scale, market.price_scale));
    let quote = Shortest(fixed(day.quote, market.quote_scale(), market.quote_scale())).to_string();
    let base = Shortest(fixed(day.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS)).to_string();
    Some(format!(
        r#"{{"instType":"{}","instId":"{}","last":"{}","lastSz":"{}","askPx":"{}","askSz":"1","bidPx":"{}","bidSz":"1","open24h":"{}","high24h":"{}","low24h":"{}","volCcy24h":"{}","vol24h":"{}","ts":"{}","sodUtc0":"{}","sodUtc8":"{}"}}"#,
        type_of(market),
        market.listing.id,
        price(last.price),
        size(market, last.amount.into(), i128::from(last.price) * i128::from(last.amount)),
        price(last.price + 1),
        price((last.price - 1).max(1)),
        price(day.open),
        price(day.high),
        price(day.low),
        if kind_of(market) == Kind::Spot { quote } else { base },
        size(market, day.volume, day.quote),
        now_ns / MILLISECOND_NS,
        price(today.open),
        price(today_east.open),
    ))
}
