//! Binance's markets, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::listing::{Listing, Venue};

/// (base, quote, price decimals, price level)
const BINANCE: &[(&str, &str, u32, f64)] = &[
    ("BTC", "USDT", 2, 91_230.0),
    ("ETH", "USDT", 2, 3_052.0),
    ("SOL", "USDT", 2, 142.1),
    ("BNB", "USDT", 2, 905.0),
    ("XRP", "USDT", 4, 2.21),
    ("DOGE", "USDT", 5, 0.1612),
    ("ETH", "BTC", 5, 0.03346),
    ("ADA", "USDT", 4, 0.47),
    ("TRX", "USDT", 4, 0.284),
    ("LINK", "USDT", 2, 13.4),
    ("AVAX", "USDT", 2, 14.2),
    ("LTC", "USDT", 2, 95.1),
    ("BTC", "USDC", 2, 91_232.0),
    ("BTC", "EUR", 2, 78_910.0),
    ("PEPE", "USDT", 8, 0.00000472),
    ("SHIB", "USDT", 8, 0.00000883),
    ("DOT", "USDT", 3, 2.75),
    ("UNI", "USDT", 3, 7.1),
    ("ATOM", "USDT", 3, 2.6),
    ("NEAR", "USDT", 3, 2.3),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    BINANCE.get(rank).map(|&(base, quote, decimals, level)| pair(base, quote, decimals, level))
}

pub(super) fn made_up(rank: usize) -> Listing {
    pair(&format!("SIM{rank}"), "USDT", 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    pair(symbol.base(), symbol.quote().unwrap_or("USD"), 2, 100.0)
}

fn pair(base: &str, quote: &str, decimals: u32, level: f64) -> Listing {
    Listing::pair(Venue::BINANCE, &format!("{base}/{quote}"), &format!("{base}{quote}"), decimals, level)
}
