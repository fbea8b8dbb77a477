//! Kraken's markets: the venue's own names and ids, decimals and price levels near enough to its own.

use crate::market::Symbol;

use super::super::listing::{Listing, Venue};

/// (unified, legacy id, altname, wsname, base, quote, pair decimals, price level)
type KrakenRow = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, u32, f64);

const KRAKEN: &[KrakenRow] = &[
    ("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD", "XXBT", "ZUSD", 1, 91_200.0),
    ("ETH/USD", "XETHZUSD", "ETHUSD", "ETH/USD", "XETH", "ZUSD", 2, 3_050.0),
    ("BTC/USDT", "XBTUSDT", "XBTUSDT", "XBT/USDT", "XXBT", "USDT", 1, 91_210.0),
    ("DOGE/USD", "XDGUSD", "XDGUSD", "XDG/USD", "XXDG", "ZUSD", 7, 0.1612),
    ("SOL/USD", "SOLUSD", "SOLUSD", "SOL/USD", "SOL", "ZUSD", 2, 142.0),
    ("XRP/USD", "XXRPZUSD", "XRPUSD", "XRP/USD", "XXRP", "ZUSD", 5, 2.21),
    ("BTC/EUR", "XXBTZEUR", "XBTEUR", "XBT/EUR", "XXBT", "ZEUR", 1, 78_900.0),
    ("LTC/USD", "XLTCZUSD", "LTCUSD", "LTC/USD", "XLTC", "ZUSD", 2, 95.0),
    ("ADA/USD", "ADAUSD", "ADAUSD", "ADA/USD", "ADA", "ZUSD", 6, 0.47),
    ("ETH/BTC", "XETHXXBT", "ETHXBT", "ETH/XBT", "XETH", "XXBT", 5, 0.03345),
    ("LINK/USD", "LINKUSD", "LINKUSD", "LINK/USD", "LINK", "ZUSD", 5, 13.4),
    ("DOT/USD", "DOTUSD", "DOTUSD", "DOT/USD", "DOT", "ZUSD", 4, 2.75),
    ("XLM/USD", "XXLMZUSD", "XLMUSD", "XLM/USD", "XXLM", "ZUSD", 6, 0.25),
    ("ETH/EUR", "XETHZEUR", "ETHEUR", "ETH/EUR", "XETH", "ZEUR", 2, 2_640.0),
    ("ETH/USDT", "ETHUSDT", "ETHUSDT", "ETH/USDT", "XETH", "USDT", 2, 3_051.0),
    ("AVAX/USD", "AVAXUSD", "AVAXUSD", "AVAX/USD", "AVAX", "ZUSD", 2, 14.2),
    ("ATOM/USD", "ATOMUSD", "ATOMUSD", "ATOM/USD", "ATOM", "ZUSD", 4, 2.6),
    ("XMR/USD", "XXMRZUSD", "XMRUSD", "XMR/USD", "XXMR", "ZUSD", 2, 390.0),
    ("USDT/USD", "USDTZUSD", "USDTUSD", "USDT/USD", "USDT", "ZUSD", 5, 0.9994),
    ("PEPE/USD", "PEPEUSD", "PEPEUSD", "PEPE/USD", "PEPE", "ZUSD", 9, 0.00000472),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    let &(unified, id, altname, wsname, base, quote, decimals, level) = KRAKEN.get(rank)?;
    let listing = Listing::pair(Venue::KRAKEN, unified, id, decimals, level);
    Some(Listing {
        altname: altname.to_owned(),
        wsname: wsname.to_owned(),
        base: base.to_owned(),
        quote: quote.to_owned(),
        ..listing
    })
}

pub(super) fn made_up(rank: usize) -> Listing {
    plain(&format!("SIM{rank}"), "USD", 4, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    plain(symbol.base(), symbol.quote().unwrap_or("USD"), 2, 100.0)
}

fn plain(base: &str, quote: &str, decimals: u32, level: f64) -> Listing {
    let listing = Listing::pair(Venue::KRAKEN, &format!("{base}/{quote}"), &format!("{base}{quote}"), decimals, level);
    let quote = if quote == "USD" { "ZUSD".to_owned() } else { listing.quote };
    Listing { quote, ..listing }
}
