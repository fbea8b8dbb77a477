//! Hyperliquid's markets: the venue's own coins, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::dice::key_of;
use super::super::listing::{Listing, Venue};

/// (unified, coin, name of the base token, price decimals, price level)
const MARKETS: &[(&str, &str, &str, u32, f64)] = &[
    ("BTC/USDC:USDC", "BTC", "BTC", 0, 91_214.0),
    ("ETH/USDC:USDC", "ETH", "ETH", 1, 3_051.0),
    ("HYPE/USDC", "@107", "HYPE", 3, 36.5),
    ("SOL/USDC:USDC", "SOL", "SOL", 3, 142.1),
    ("KPEPE/USDC:USDC", "kPEPE", "kPEPE", 6, 0.00472),
    ("PURR/USDC", "PURR/USDC", "PURR", 5, 0.12),
    ("HYPE/USDC:USDC", "HYPE", "HYPE", 3, 36.51),
    ("XYZ-TSLA/USDC:USDC", "xyz:TSLA", "xyz:TSLA", 2, 401.0),
    ("BTC/USDC", "@142", "UBTC", 0, 91_210.0),
    ("DOGE/USDC:USDC", "DOGE", "DOGE", 5, 0.1612),
    ("XRP/USDC:USDC", "XRP", "XRP", 4, 2.21),
    ("LINK/USDC:USDC", "LINK", "LINK", 3, 13.4),
    ("AVAX/USDC:USDC", "AVAX", "AVAX", 3, 14.2),
    ("ETH/USDC", "@151", "UETH", 1, 3_050.0),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    let &(unified, coin, token, decimals, level) = MARKETS.get(rank)?;
    Some(Listing { base: token.to_owned(), ..Listing::pair(Venue::HYPERLIQUID, unified, coin, decimals, level) })
}

pub(super) fn made_up(rank: usize) -> Listing {
    let coin = format!("SIM{rank}");
    let unified = format!("{coin}/USDC:USDC");
    Listing::pair(Venue::HYPERLIQUID, &unified, &coin, 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    let (base, quote) = (symbol.base(), symbol.quote().unwrap_or("USDC"));
    let (coin, unified) = match (symbol.settle(), base.split_once('-')) {
        (None, _) => (format!("@{}", 1_000 + key_of(0, symbol.as_str()) % 1_000_000), format!("{base}/{quote}")),
        (Some(_), Some((dex, asset))) => (format!("{}:{asset}", dex.to_lowercase()), symbol.to_string()),
        (Some(_), None) => (base.to_owned(), symbol.to_string()),
    };
    Listing::pair(Venue::HYPERLIQUID, &unified, &coin, 2, 100.0)
}

/// True for a spot pair.
pub(super) fn is_spot(listing: &Listing) -> bool {
    listing.symbol.settle().is_none()
}

/// The dex that runs a perpetual: empty for the venue's own.
pub(super) fn dex_of(listing: &Listing) -> &str {
    listing.id.split_once(':').map_or("", |(dex, _)| dex)
}
