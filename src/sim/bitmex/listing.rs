//! BitMEX's markets, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::listing::{Listing, Venue};

/// (unified name, the venue's id, price decimals, price level)
const BITMEX: &[(&str, &str, u32, f64)] = &[
    ("BTC/USD:BTC", "XBTUSD", 1, 88_410.5),
    ("BTC/USDT:USDT", "XBTUSDT", 1, 88_420.0),
    ("ETH/USD:BTC", "ETHUSD", 2, 3_051.2),
    ("BTC/USDT", "XBT_USDT", 1, 88_415.0),
    ("ETH/USDT:USDT", "ETHUSDT", 2, 3_050.9),
    ("BTC/USD:BTC-261225", "XBTZ26", 1, 89_100.0),
    ("SOL/USDT:USDT", "SOLUSDT", 2, 142.05),
    ("XRP/USD:BTC", "XRPUSD", 4, 2.2091),
    ("ETH/USDT", "ETH_USDT", 2, 3_051.0),
    ("DOGE/USDT:USDT", "DOGEUSDT", 5, 0.16118),
    ("LINK/USDT:USDT", "LINKUSDT", 3, 13.398),
    ("LTC/USD:BTC", "LTCUSD", 2, 95.08),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    BITMEX.get(rank).map(|&(unified, id, decimals, level)| named(unified, id, decimals, level))
}

pub(super) fn made_up(rank: usize) -> Listing {
    named(&format!("SIM{rank}/USDT:USDT"), &format!("SIM{rank}USDT"), 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    let (base, quote) = (code(symbol.base()), code(symbol.quote().unwrap_or("USDT")));
    let id = match symbol.settle().map(|settle| settle.split_once('-').unwrap_or((settle, ""))) {
        None => format!("{base}_{quote}"),
        Some((_, "")) => format!("{base}{quote}"),
        Some((_, day)) => format!("{base}{quote}_{day}"),
    };
    named(symbol.as_str(), &id, 2, 100.0)
}

fn code(currency: &str) -> &str {
    if currency == "BTC" { "XBT" } else { currency }
}

fn named(unified: &str, id: &str, decimals: u32, level: f64) -> Listing {
    let listing = Listing::pair(Venue::BITMEX, unified, id, decimals, level);
    let (base, quote) = (code(&listing.base).to_owned(), code(&listing.quote).to_owned());
    Listing { base, quote, ..listing }
}
