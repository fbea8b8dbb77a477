//! What a simulated venue lists: a realistic head, and made-up names beyond it.

use std::fmt;
use std::str::FromStr;

use crate::market::Symbol;

use super::calendar::Hours;
use super::half::{HALVES, Half};

/// A venue the simulator can play, by its id. Each half names its own: `Venue::KRAKEN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Venue(&'static str);

impl Venue {
    pub(crate) const fn named(id: &'static str) -> Venue {
        Venue(id)
    }

    /// All of them, in the order they are listed to users.
    pub fn all() -> Vec<Venue> {
        HALVES.iter().map(|half| half.venue()).collect()
    }

    /// The id, which is also the first segment of its paths.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The ids of all of them, separated by a text.
    pub fn names(separator: &str) -> String {
        Venue::all().into_iter().map(Venue::as_str).collect::<Vec<_>>().join(separator)
    }

    pub(crate) fn half(self) -> &'static dyn Half {
        let half = HALVES.iter().find(|half| half.venue() == self);
        *half.expect("every half that names a venue is in the list")
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no simulated venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVenue(pub String);

impl fmt::Display for UnknownVenue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no simulated exchange {:?}; there are: {}", self.0, Venue::names(" "))
    }
}

impl std::error::Error for UnknownVenue {}

impl FromStr for Venue {
    type Err = UnknownVenue;

    fn from_str(text: &str) -> Result<Venue, UnknownVenue> {
        Venue::all().into_iter().find(|venue| venue.as_str() == text).ok_or_else(|| UnknownVenue(text.to_owned()))
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
    /// The venue's id, as REST answers print it: `XXBTZUSD`, `BTCUSDT`, `EURUSD=X`.
    pub(crate) id: String,
    /// Another id the venue answers to (Kraken's short one, `XBTUSD`); elsewhere the id.
    pub(crate) altname: String,
    /// A third name (Kraken's display name, `XBT/USD`); elsewhere the unified symbol.
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
    /// A market of two legs, taken from the unified name, that trades around the clock.
    pub(crate) fn pair(venue: Venue, unified: &str, id: &str, decimals: u32, level: f64) -> Listing {
        let symbol: Symbol = unified.parse().expect("the tables of the halves hold valid symbols");
        Listing {
            venue,
            id: id.to_owned(),
            altname: id.to_owned(),
            wsname: unified.to_owned(),
            base: symbol.base().to_owned(),
            quote: symbol.quote().unwrap_or_default().to_owned(),
            symbol,
            decimals,
            level,
            kind: Kind::Crypto,
            activity: 1.0,
        }
    }

    pub(crate) fn hours(&self) -> Hours {
        match self.kind {
            Kind::Equity | Kind::Index => Hours::NewYork,
            Kind::Currency => Hours::London,
            Kind::Crypto => Hours::Always,
        }
    }
}

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
    (0..count).map(|rank| listing_at(venue, rank).symbol).collect()
}

fn listing_at(venue: Venue, rank: usize) -> Listing {
    let listing = venue.half().listing(rank).unwrap_or_else(|| venue.half().made_up(rank));
    Listing { activity: activity(rank), ..listing }
}

/// The listing of a symbol, invented where the list does not hold it.
pub(crate) fn listing_of(venue: Venue, symbol: &Symbol) -> Listing {
    let half = venue.half();
    let known = (0..).take_while(|rank| half.listing(*rank).is_some());
    let synthetic = symbol.base().strip_prefix("SIM").and_then(|number| number.parse::<usize>().ok());
    known
        .chain(synthetic)
        .map(|rank| listing_at(venue, rank))
        .find(|listing| listing.symbol == *symbol)
        .unwrap_or_else(|| half.invented(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_real_and_the_tail_is_made_up_without_repeats() {
        for venue in Venue::all() {
            let symbols = default_symbols(venue, 50);
            let distinct = symbols.iter().collect::<std::collections::HashSet<_>>();
            assert_eq!(distinct.len(), 50, "{venue}");
            for symbol in &symbols {
                assert_eq!(listing_of(venue, symbol).symbol, *symbol);
            }
            assert_eq!("venue".parse::<Venue>(), Err(UnknownVenue("venue".into())));
        }
        let doge = listing_of(Venue::KRAKEN, &"DOGE/USD".parse().unwrap());
        assert_eq!((doge.id.as_str(), doge.wsname.as_str()), ("XDGUSD", "XDG/USD"));
        let euro = listing_of(Venue::YAHOO, &"EUR/USD".parse().unwrap());
        assert_eq!((euro.id.as_str(), euro.hours()), ("EURUSD=X", Hours::London));
    }
}
