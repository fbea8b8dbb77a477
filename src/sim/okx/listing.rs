//! OKX's markets, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::listing::{Listing, Venue};

/// (base, quote, settlement of a swap, price decimals, price level)
const OKX: &[(&str, &str, &str, u32, f64)] = &[
    ("BTC", "USDT", "", 1, 91_220.0),
    ("BTC", "USDT", "USDT", 1, 91_180.0),
    ("BTC", "USD", "BTC", 1, 91_150.0),
    ("ETH", "USDT", "", 2, 3_052.0),
    ("DOGE", "USDT", "", 5, 0.1612),
    ("ETH", "USDT", "USDT", 2, 3_051.0),
    ("SOL", "USDT", "", 2, 142.1),
    ("XRP", "USDT", "USDT", 4, 2.21),
    ("SOL", "USDT", "USDT", 2, 142.0),
    ("BTC", "USDC", "", 1, 91_230.0),
    ("BTC", "USDC", "USDC", 1, 91_200.0),
    ("ETH", "USD", "ETH", 2, 3_050.0),
    ("ETH", "BTC", "", 5, 0.03345),
    ("LTC", "USDT", "", 2, 95.1),
    ("ADA", "USDT", "", 4, 0.47),
    ("LINK", "USDT", "USDT", 3, 13.4),
    ("DOT", "USDT", "", 3, 2.75),
    ("OKB", "USDT", "", 2, 110.0),
    ("TRX", "USDT", "", 5, 0.284),
    ("AVAX", "USDT", "USDT", 3, 14.2),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    OKX.get(rank).map(|&(base, quote, settle, decimals, level)| market(base, quote, settle, decimals, level))
}

pub(super) fn made_up(rank: usize) -> Listing {
    market(&format!("SIM{rank}"), "USDT", "", 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    market(symbol.base(), symbol.quote().unwrap_or("USDT"), symbol.settle().unwrap_or_default(), 2, 100.0)
}

fn market(base: &str, quote: &str, settle: &str, decimals: u32, level: f64) -> Listing {
    let (unified, id) = match settle {
        "" => (format!("{base}/{quote}"), format!("{base}-{quote}")),
        settle => (format!("{base}/{quote}:{settle}"), format!("{base}-{quote}-SWAP")),
    };
    Listing::pair(Venue::OKX, &unified, &id, decimals, level)
}
