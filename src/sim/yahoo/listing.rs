//! Yahoo's tickers.

use crate::market::Symbol;

use super::super::listing::{Kind, Listing, Venue};

/// (unified, ticker, kind, currency, price level)
const YAHOO: &[(&str, &str, Kind, &str, f64)] = &[
    ("AAPL", "AAPL", Kind::Equity, "USD", 270.0),
    ("MSFT", "MSFT", Kind::Equity, "USD", 487.0),
    ("BTC/USD", "BTC-USD", Kind::Crypto, "USD", 91_200.0),
    ("EUR/USD", "EURUSD=X", Kind::Currency, "USD", 1.1532),
    ("^GSPC", "^GSPC", Kind::Index, "USD", 6_640.0),
    ("NVDA", "NVDA", Kind::Equity, "USD", 186.0),
    ("GOOGL", "GOOGL", Kind::Equity, "USD", 290.0),
    ("AMZN", "AMZN", Kind::Equity, "USD", 222.0),
    ("ETH/USD", "ETH-USD", Kind::Crypto, "USD", 3_050.0),
    ("GBP/USD", "GBPUSD=X", Kind::Currency, "USD", 1.3071),
    ("BRK-B", "BRK-B", Kind::Equity, "USD", 505.0),
    ("TSLA", "TSLA", Kind::Equity, "USD", 404.0),
    ("SPY", "SPY", Kind::Equity, "USD", 662.0),
];

pub(super) fn listing(rank: usize) -> Option<Listing> {
    let &(unified, id, kind, currency, level) = YAHOO.get(rank)?;
    Some(Listing { kind, quote: currency.to_owned(), ..ticker(unified, id, level) })
}

pub(super) fn made_up(rank: usize) -> Listing {
    let base = format!("SIM{rank}");
    ticker(&base, &base, 5.0 + (rank % 90) as f64)
}

pub(super) fn invented(symbol: &Symbol) -> Listing {
    match symbol.quote() {
        None => ticker(symbol.as_str(), symbol.as_str(), 100.0),
        Some(quote) => Listing {
            kind: Kind::Crypto,
            quote: quote.to_owned(),
            ..ticker(symbol.as_str(), &format!("{}-{quote}", symbol.base()), 100.0)
        },
    }
}

fn ticker(unified: &str, id: &str, level: f64) -> Listing {
    let decimals = if level < 10.0 { 5 } else { 2 };
    let listing = Listing::pair(Venue::YAHOO, unified, id, decimals, level);
    Listing { base: unified.to_owned(), quote: "USD".to_owned(), kind: Kind::Equity, ..listing }
}
