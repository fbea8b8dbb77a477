//! Binance's USD-M futures: the markets they list. How they speak is [`super::binance`].

use crate::market::Symbol;

use super::binance::{Half, Product};
use super::listing::{Listing, Venue};

impl Venue {
    /// Binance's USD-margined futures.
    pub const BINANCEUSDM: Venue = Venue::named("binanceusdm");
}

/// See the module.
pub(super) static USD_M: Half = Half { product: Product::UsdMFutures, listing, made_up, invented };

/// (base, quote, price decimals, price level)
const PERPETUALS: &[(&str, &str, u32, f64)] = &[
    ("BTC", "USDT", 1, 91_228.0),
    ("ETH", "USDT", 2, 3_051.6),
    ("SOL", "USDT", 3, 142.08),
    ("BNB", "USDT", 2, 904.6),
    ("XRP", "USDT", 4, 2.2094),
    ("DOGE", "USDT", 5, 0.16117),
    ("1000PEPE", "USDT", 7, 0.004719),
    ("ADA", "USDT", 4, 0.4698),
    ("SUI", "USDT", 4, 1.42),
    ("LINK", "USDT", 3, 13.397),
    ("AVAX", "USDT", 3, 14.196),
    ("LTC", "USDT", 2, 95.07),
    ("BTC", "USDC", 1, 91_229.5),
    ("ETH", "USDC", 2, 3_051.9),
    ("DOT", "USDT", 3, 2.749),
    ("UNI", "USDT", 3, 7.097),
];

fn listing(rank: usize) -> Option<Listing> {
    PERPETUALS.get(rank).map(|&(base, quote, decimals, level)| perpetual(base, quote, decimals, level))
}

fn made_up(rank: usize) -> Listing {
    perpetual(&format!("SIM{rank}"), "USDT", 4, 5.0 + (rank % 90) as f64)
}

/// A contract that is not in the list keeps its name: `BTC/USDT:USDT-261225` is `BTCUSDT_261225`.
fn invented(symbol: &Symbol) -> Listing {
    let pair = format!("{}{}", symbol.base(), symbol.quote().unwrap_or("USDT"));
    let id = match symbol.settle().and_then(|settle| settle.split_once('-')) {
        Some((_, ends)) => format!("{pair}_{ends}"),
        None => pair,
    };
    Listing::pair(Venue::BINANCEUSDM, symbol.as_str(), &id, 2, 100.0)
}

fn perpetual(base: &str, quote: &str, decimals: u32, level: f64) -> Listing {
    let unified = format!("{base}/{quote}:{quote}");
    Listing::pair(Venue::BINANCEUSDM, &unified, &format!("{base}{quote}"), decimals, level)
}
