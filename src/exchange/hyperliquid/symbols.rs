//! Names of markets. The wire name is the coin: `BTC` for a perpetual, `xyz:TSLA` for one of a dex
//! that somebody else runs, `@107` or `PURR/USDC` for a spot pair. Case matters (`kPEPE`).

use std::collections::HashMap;

use crate::exchange::Instrument;
use crate::market::Symbol;

use super::wire::{Asset, Pair, Token};

/// What perpetuals are quoted and settled in, unless their dex says otherwise.
const SETTLED_IN: &str = "USDC";

/// Wrapped tokens of spot pairs go by what they stand for, as in CCXT.
const STANDS_FOR: &[(&str, &str)] = &[
    ("UDZ", "2Z"),
    ("UBONK", "BONK"),
    ("UBTC", "BTC"),
    ("UETH", "ETH"),
    ("UFART", "FARTCOIN"),
    ("HPENGU", "PENGU"),
    ("UPUMP", "PUMP"),
    ("USOL", "SOL"),
    ("UUUSPX", "SPX"),
    ("USDT0", "USDT"),
    ("XAUT0", "XAUT"),
    ("UXPL", "XPL"),
];

/// A perpetual: `BTC/USDC:USDC`, `KPEPE/USDC:USDC`, `XYZ-TSLA/USDC:USDC`.
pub fn perpetual(asset: &Asset<'_>) -> Option<Instrument> {
    let coin = &*asset.name.0;
    let base = coin.to_uppercase().replace(':', "-");
    let symbol = format!("{base}/{SETTLED_IN}:{SETTLED_IN}").parse().ok()?;
    Some(Instrument { is_trading: asset.is_delisted != Some(true), ..Instrument::new(symbol, coin, coin) })
}

/// True for the unified name of a perpetual whose dex is run by somebody else.
pub fn is_of_another_dex(symbol: &Symbol) -> bool {
    symbol.settle().is_some() && symbol.base().contains('-')
}

/// Spot pairs. Where two pairs have the same tokens' names, the older one keeps the name.
pub fn spot_pairs<'a>(tokens: &[Token<'_>], pairs: impl Iterator<Item = Pair<'a>>) -> Vec<Instrument> {
    let names: HashMap<u64, &str> = tokens.iter().map(|token| (token.index, &*token.name.0)).collect();
    let mut found: Vec<Instrument> = Vec::new();
    for pair in pairs {
        let legs = pair.tokens.map(|index| names.get(&index).map(|name| currency(name)));
        let [Some(base), Some(quote)] = legs else { continue };
        let Ok(symbol) = format!("{base}/{quote}").parse::<Symbol>() else { continue };
        if found.iter().all(|known| known.symbol != symbol) {
            found.push(Instrument::new(symbol, &*pair.name.0, &*pair.name.0));
        }
    }
    found
}

fn currency(token: &str) -> String {
    let known = STANDS_FOR.iter().find(|(wrapped, _)| *wrapped == token);
    known.map_or_else(|| token.to_uppercase(), |(_, plain)| (*plain).to_owned())
}
