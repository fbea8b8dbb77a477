//! Kraken's names of markets and the unified ones.
//!
//! `BTC/USD` is `XXBTZUSD` for REST and `BTC/USD` in frames; REST ids are never composed, they come
//! from the instrument list.

use crate::exchange::Instrument;
use crate::market::{Anchors, Symbol, WeekStart};

use super::wire::Pair;

/// Weeks are counted from the Unix epoch, a Thursday.
pub const ANCHORS: Anchors = Anchors { intraday_shift_s: 0, week_start: WeekStart::Thursday, session: None };

/// The unified name of a `wsname` (`XBT/USD`); `None` where it is not a pair.
pub fn unified(wsname: &str) -> Option<Symbol> {
    let (base, quote) = wsname.split_once('/')?;
    format!("{}/{}", currency(base), currency(quote)).parse().ok()
}

/// Kraken keeps two old codes in `wsname`; its newer socket and everybody else use the usual ones.
fn currency(code: &str) -> &str {
    match code {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

/// The instrument of an entry of `AssetPairs`; `None` for dark-pool ids (`XXBTZUSD.d`) and for
/// pairs that have no public name.
pub fn instrument(id: &str, pair: &Pair<'_>) -> Option<Instrument> {
    if id.contains(".d") {
        return None;
    }
    let symbol = unified(&pair.wsname.as_ref()?.0)?;
    let stream_id = symbol.as_str().to_owned();
    Some(Instrument {
        is_trading: pair.status.as_ref().is_some_and(|status| status.0 == "online"),
        anchors: ANCHORS,
        ..Instrument::new(symbol, id, stream_id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_codes_become_the_usual_ones_on_both_legs() {
        let name = |wsname: &str| unified(wsname).map(|symbol| symbol.to_string());
        assert_eq!(name("XBT/USD"), Some("BTC/USD".into()));
        assert_eq!(name("XDG/XBT"), Some("DOGE/BTC".into()));
        assert_eq!(name("ETH/USDT"), Some("ETH/USDT".into()));
        assert_eq!(name("XBTUSD"), None);
        assert_eq!(name("XBT/"), None);
    }
}
