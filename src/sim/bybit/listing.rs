//! Bybit's markets, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::listing::{Listing, Venue};
use super::Category;

/// (unified name, price decimals, price level)
const BYBIT: &[(&str, u32, f64)] = &[
    ("BTC/USDT", 1, 91_226.0),
    ("BTC/USDT:USDT", 1, 91_221.5),
    ("ETH/USDT", 2, 3_051.2),
    ("SOL/USDT:USDT", 3, 142.05),
    ("ETH/USDT:USDT", 2, 3_050.9),
    ("BTC/USD:BTC", 1, 91_219.0),
    ("BTC/USDC:USDC", 1, 91_224.0),
    ("XRP/USDT", 4, 2.2091),
    ("DOGE/USDT:USDT", 5, 0.16118),
    ("SOL/USDT", 2, 142.1),
    ("ADA/USDT", 4, 0.4699),
    ("LINK/USDT:USDT", 3, 13.398),
    ("ETH/USD:ETH", 2, 3_050.2),
    ("BTC/USDC", 2, 91_230.0),
    ("AVAX/USDT", 3, 14.197),
    ("LTC/USDT:USDT", 2, 95.08),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    BYBIT.get(rank).map(|&(unified, decimals, level)| named(unified, decimals, level))
}

pub(super) fn made_up(rank: usize) -> Listing {
    named(&format!("SIM{rank}/USDT:USDT"), 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    named(symbol.as_str(), 2, 100.0)
}

/// USDC contracts are called `PERP`; dated ones end with their day.
fn named(unified: &str, decimals: u32, level: f64) -> Listing {
    let symbol: Symbol = unified.parse().expect("the list holds valid symbols");
    let (base, quote) = (symbol.base(), symbol.quote().unwrap_or("USDT"));
    let (coin, day) = match symbol.settle().map(|settle| settle.split_once('-').unwrap_or((settle, ""))) {
        None => (None, ""),
        Some((coin, day)) => (Some(coin), day),
    };
    let (category, name) = match coin {
        None => (Category::Spot, format!("{base}{quote}")),
        Some(coin) if coin != quote => (Category::Inverse, format!("{base}{quote}")),
        Some("USDC") => (Category::Linear, format!("{base}PERP")),
        Some(_) => (Category::Linear, format!("{base}{quote}")),
    };
    let name = if day.is_empty() { name } else { format!("{name}-{}", day_name(day)) };
    Listing::pair(Venue::BYBIT, unified, &category.id(&name), decimals, level)
}

/// `25DEC26` for `261225`.
fn day_name(day: &str) -> String {
    let date = chrono::NaiveDate::parse_from_str(day, "%y%m%d");
    date.map_or_else(|_| day.to_owned(), |date| date.format("%d%b%y").to_string().to_uppercase())
}
