//! Coinbase's markets, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::listing::{Listing, Venue};

/// (base, quote, price decimals, price level)
const COINBASE: &[(&str, &str, u32, f64)] = &[
    ("BTC", "USD", 2, 91_210.0),
    ("ETH", "USD", 2, 3_051.0),
    ("SOL", "USD", 2, 142.1),
    ("XRP", "USD", 4, 2.21),
    ("DOGE", "USD", 5, 0.1612),
    ("BTC", "USDT", 2, 91_220.0),
    ("ETH", "BTC", 5, 0.03345),
    ("LTC", "USD", 2, 95.1),
    ("ADA", "USD", 4, 0.47),
    ("LINK", "USD", 3, 13.4),
    ("AVAX", "USD", 2, 14.2),
    ("BTC", "EUR", 2, 78_910.0),
    ("USDT", "USD", 5, 0.9994),
    ("SHIB", "USD", 8, 0.00000883),
    ("DOT", "USD", 3, 2.75),
    ("ATOM", "USD", 3, 2.6),
    ("BTC", "GBP", 2, 69_300.0),
    ("ETH", "EUR", 2, 2_640.0),
    ("UNI", "USD", 3, 7.1),
    ("NEAR", "USD", 3, 2.3),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    COINBASE.get(rank).map(|&(base, quote, decimals, level)| pair(base, quote, decimals, level))
}

pub(super) fn made_up(rank: usize) -> Listing {
    pair(&format!("SIM{rank}"), "USD", 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    pair(symbol.base(), symbol.quote().unwrap_or("USD"), 2, 100.0)
}

fn pair(base: &str, quote: &str, decimals: u32, level: f64) -> Listing {
    Listing::pair(Venue::COINBASE, &format!("{base}/{quote}"), &format!("{base}-{quote}"), decimals, level)
}
