//! Bitfinex's markets: the venue's own codes, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::listing::{Listing, Venue};

/// (unified, pair, price decimals, price level)
const PAIRS: &[(&str, &str, u32, f64)] = &[
    ("BTC/USD", "BTCUSD", 1, 91_215.0),
    ("ETH/USD", "ETHUSD", 2, 3_051.0),
    ("BTC/USDT", "BTCUST", 1, 91_230.0),
    ("LINK/USD", "LINK:USD", 4, 13.4),
    ("AVAX/USDT", "AVAX:UST", 4, 14.2),
    ("BTC/USDT:USDT", "BTCF0:USTF0", 1, 91_240.0),
    ("IOTA/USD", "IOTUSD", 6, 0.12),
    ("XRP/USD", "XRPUSD", 5, 2.21),
    ("LTC/USD", "LTCUSD", 3, 95.0),
    ("BTC/EUR", "BTCEUR", 1, 78_900.0),
    ("ETH/BTC", "ETHBTC", 6, 0.03345),
    ("DOGE/USD", "DOGE:USD", 6, 0.1612),
    ("SHIB/USD", "SHIB:USD", 10, 0.00000883),
    ("ETH/USDT:USDT", "ETHF0:USTF0", 2, 3_052.0),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    PAIRS.get(rank).map(|&(unified, pair, decimals, level)| of(unified, pair, decimals, level))
}

pub(super) fn made_up(rank: usize) -> Listing {
    of(&format!("SIM{rank}/USD"), &format!("SIM{rank}:USD"), 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    let code = |currency: &str| match currency {
        "USDT" => "UST".to_owned(),
        "USDC" => "UDC".to_owned(),
        other => other.to_owned(),
    };
    let mark = if symbol.settle().is_some() { "F0" } else { "" };
    let (base, quote) = (code(symbol.base()) + mark, code(symbol.quote().unwrap_or("USD")) + mark);
    let colon = if base.len() == 3 && quote.len() == 3 { "" } else { ":" };
    of(symbol.as_str(), &format!("{base}{colon}{quote}"), 2, 100.0)
}

fn of(unified: &str, pair: &str, decimals: u32, level: f64) -> Listing {
    Listing::pair(Venue::BITFINEX, unified, &format!("t{pair}"), decimals, level)
}
