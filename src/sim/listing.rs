//! What each simulated venue lists: a realistic head, and made-up names beyond it.
//!
//! The names and ids of the head are the venues' own; decimals and price levels are near enough
//! to theirs to exercise the same formats.

use std::fmt;
use std::str::FromStr;

use crate::market::Symbol;

use super::calendar::Hours;

/// A venue the simulator can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Venue {
    /// Kraken spot.
    Kraken,
    /// Binance spot.
    Binance,
    /// Yahoo Finance's chart endpoint.
    Yahoo,
}

impl Venue {
    /// All of them.
    pub const ALL: [Venue; 3] = [Venue::Kraken, Venue::Binance, Venue::Yahoo];

    /// The id, which is also the first segment of its paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Venue::Kraken => "kraken",
            Venue::Binance => "binance",
            Venue::Yahoo => "yahoo",
        }
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no simulated venue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no simulated exchange {0:?}; there are: kraken binance yahoo")]
pub struct UnknownVenue(pub String);

impl FromStr for Venue {
    type Err = UnknownVenue;

    fn from_str(text: &str) -> Result<Venue, UnknownVenue> {
        Venue::ALL.into_iter().find(|venue| venue.as_str() == text).ok_or_else(|| UnknownVenue(text.to_owned()))
    }
}

/// What is traded; decides hours and Yahoo's `instrumentType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Crypto,
    Equity,
    Index,
    Currency,
}

/// One market of one venue.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) venue: Venue,
    pub(crate) symbol: Symbol,
    /// The key of REST answers: `XXBTZUSD`, `BTCUSDT`, `EURUSD=X`.
    pub(crate) id: String,
    /// Kraken's short id, `XBTUSD`; elsewhere the id.
    pub(crate) altname: String,
    /// Kraken's display name with its own tickers, `XBT/USD`; elsewhere the unified symbol.
    pub(crate) wsname: String,
    /// The venue's names of the two legs.
    pub(crate) base: String,
    pub(crate) quote: String,
    pub(crate) decimals: u32,
    pub(crate) level: f64,
    pub(crate) kind: Kind,
    /// Trading activity relative to the configured mean.
    pub(crate) activity: f64,
}

impl Listing {
    pub(crate) fn hours(&self) -> Hours {
        match (self.venue, self.kind) {
            (_, Kind::Equity | Kind::Index) => Hours::NewYork,
            (Venue::Yahoo, Kind::Currency) => Hours::London,
            _ => Hours::Always,
        }
    }
}

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

/// Some markets are busy and some trade rarely, whatever the configured mean.
fn activity(rank: usize) -> f64 {
    match rank {
        0 => 2.0,
        _ if rank % 7 == 4 => 0.02,
        _ if rank % 5 == 3 => 0.1,
        _ => 1.0,
    }
}

/// The first `count` symbols a venue lists.
pub fn default_symbols(venue: Venue, count: usize) -> Vec<Symbol> {
    (0..count).filter_map(|rank| listing_at(venue, rank).symbol.as_str().parse().ok()).collect()
}

fn listing_at(venue: Venue, rank: usize) -> Listing {
    let head = match venue {
        Venue::Kraken => KRAKEN.get(rank).map(kraken_listing),
        Venue::Binance => {
            BINANCE.get(rank).map(|&(base, quote, decimals, level)| pair(venue, base, quote, decimals, level))
        }
        Venue::Yahoo => YAHOO.get(rank).map(yahoo_listing),
    };
    let listing = head.unwrap_or_else(|| {
        let (base, level) = (format!("SIM{rank}"), 5.0 + (rank % 90) as f64);
        match venue {
            Venue::Binance => pair(venue, &base, "USDT", 4, level),
            Venue::Kraken => pair(venue, &base, "USD", 4, level),
            Venue::Yahoo => Listing { kind: Kind::Equity, quote: "USD".into(), ..ticker(&base, &base, level) },
        }
    });
    Listing { activity: activity(rank), ..listing }
}

/// The listing of a symbol, made up where the head does not know it.
pub(crate) fn listing_of(venue: Venue, symbol: &Symbol) -> Listing {
    let known = match venue {
        Venue::Kraken => KRAKEN.len(),
        Venue::Binance => BINANCE.len(),
        Venue::Yahoo => YAHOO.len(),
    };
    let synthetic = symbol.base().strip_prefix("SIM").and_then(|number| number.parse::<usize>().ok());
    (0..known)
        .chain(synthetic)
        .map(|rank| listing_at(venue, rank))
        .find(|listing| listing.symbol == *symbol)
        .unwrap_or_else(|| match (venue, symbol.quote()) {
            (Venue::Yahoo, None) => ticker(symbol.as_str(), symbol.as_str(), 100.0),
            (Venue::Yahoo, Some(quote)) => Listing {
                kind: Kind::Crypto,
                quote: quote.to_owned(),
                ..ticker(symbol.as_str(), &format!("{}-{quote}", symbol.base()), 100.0)
            },
            (_, quote) => pair(venue, symbol.base(), quote.unwrap_or("USD"), 2, 100.0),
        })
}

fn kraken_listing(&(unified, id, altname, wsname, base, quote, decimals, level): &KrakenRow) -> Listing {
    Listing {
        venue: Venue::Kraken,
        symbol: unified.parse().expect("the table holds valid symbols"),
        id: id.to_owned(),
        altname: altname.to_owned(),
        wsname: wsname.to_owned(),
        base: base.to_owned(),
        quote: quote.to_owned(),
        decimals,
        level,
        kind: Kind::Crypto,
        activity: 1.0,
    }
}

fn pair(venue: Venue, base: &str, quote: &str, decimals: u32, level: f64) -> Listing {
    let unified = format!("{base}/{quote}");
    let id = format!("{base}{quote}");
    let quote = if venue == Venue::Kraken && quote == "USD" { "ZUSD" } else { quote };
    Listing {
        venue,
        symbol: unified.parse().expect("two names and a slash are a symbol"),
        altname: id.clone(),
        id,
        wsname: unified,
        base: base.to_owned(),
        quote: quote.to_owned(),
        decimals,
        level,
        kind: Kind::Crypto,
        activity: 1.0,
    }
}

fn yahoo_listing(&(unified, id, kind, currency, level): &(&str, &str, Kind, &str, f64)) -> Listing {
    Listing { kind, quote: currency.to_owned(), ..ticker(unified, id, level) }
}

fn ticker(unified: &str, id: &str, level: f64) -> Listing {
    Listing {
        venue: Venue::Yahoo,
        symbol: unified.parse().expect("tickers and pairs of the table are symbols"),
        id: id.to_owned(),
        altname: id.to_owned(),
        wsname: unified.to_owned(),
        base: unified.to_owned(),
        quote: "USD".to_owned(),
        decimals: if level < 10.0 { 5 } else { 2 },
        level,
        kind: Kind::Equity,
        activity: 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_real_and_the_tail_is_made_up_without_repeats() {
        for venue in Venue::ALL {
            let symbols = default_symbols(venue, 50);
            let distinct = symbols.iter().collect::<std::collections::HashSet<_>>();
            assert_eq!(distinct.len(), 50, "{venue}");
            for symbol in &symbols {
                assert_eq!(listing_of(venue, symbol).symbol, *symbol);
            }
            assert_eq!("venue".parse::<Venue>(), Err(UnknownVenue("venue".into())));
        }
        let doge = listing_of(Venue::Kraken, &"DOGE/USD".parse().unwrap());
        assert_eq!((doge.id.as_str(), doge.wsname.as_str()), ("XDGUSD", "XDG/USD"));
        let euro = listing_of(Venue::Yahoo, &"EUR/USD".parse().unwrap());
        assert_eq!((euro.id.as_str(), euro.hours()), ("EURUSD=X", Hours::London));
    }
}
