//! Names of markets. A wire symbol is `t` and a pair: two codes of three letters side by side
//! (`tBTCUSD`), or with a colon where one of them is longer (`tLINK:USD`). Perpetuals have codes that
//! end in `F0` (`tBTCF0:USTF0`).

use crate::exchange::Instrument;
use crate::market::Symbol;

/// What the venue calls otherwise than everybody else.
const OWN_CODES: &[(&str, &str)] = &[
    ("UST", "USDT"),
    ("UDC", "USDC"),
    ("IOT", "IOTA"),
    ("DSH", "DASH"),
    ("QTM", "QTUM"),
    ("ALG", "ALGO"),
    ("ATO", "ATOM"),
    ("MNA", "MANA"),
    ("TSD", "TUSD"),
    ("LUNA", "LUNC"),
    ("LUNA2", "LUNA"),
    ("BCHN", "BCH"),
    ("DOG", "MDOGE"),
    ("EUT", "EURT"),
    ("EUS", "EURS"),
    ("AMP", "AMPL"),
    ("WAX", "WAXP"),
    ("XCH", "XCHF"),
    ("VSY", "VSYS"),
    ("RBT", "RBTC"),
    ("TERRAUST", "USTC"),
];

/// What marks the codes of perpetuals.
const PERPETUAL: &str = "F0";

/// The market of a pair of the lists; `None` for paper markets and for what is no pair.
pub fn instrument(pair: &str) -> Option<Instrument> {
    let (base, quote) = legs(pair).filter(|_| !pair.starts_with("TEST"))?;
    let plain = |code: &str| currency(code.strip_suffix(PERPETUAL).unwrap_or(code)).to_owned();
    let (plain_base, plain_quote) = (plain(base), plain(quote));
    let settled = if quote.ends_with(PERPETUAL) { format!(":{plain_quote}") } else { String::new() };
    let symbol: Symbol = format!("{plain_base}/{plain_quote}{settled}").parse().ok()?;
    let id = format!("t{pair}");
    Some(Instrument::new(symbol, id.as_str(), id.as_str()))
}

fn legs(pair: &str) -> Option<(&str, &str)> {
    match pair.split_once(':') {
        Some(legs) => Some(legs),
        None if pair.len() == 6 => pair.split_at_checked(3),
        None => None,
    }
}

fn currency(code: &str) -> &str {
    OWN_CODES.iter().find(|(own, _)| *own == code).map_or(code, |(_, usual)| usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_by_their_colon_or_in_the_middle_and_get_usual_names() {
        let found = |pair: &str| instrument(pair).map(|found| (found.symbol.to_string(), found.rest_id));
        let named = |symbol: &str, id: &str| Some((symbol.to_owned(), id.to_owned()));
        assert_eq!(found("BTCUSD"), named("BTC/USD", "tBTCUSD"));
        assert_eq!(found("BTCUST"), named("BTC/USDT", "tBTCUST"));
        assert_eq!(found("BTC:UDC"), named("BTC/USDC", "tBTC:UDC"));
        assert_eq!(found("LINK:USD"), named("LINK/USD", "tLINK:USD"));
        assert_eq!(found("MATIC:UST"), named("MATIC/USDT", "tMATIC:UST"));
        assert_eq!(found("IOTUSD"), named("IOTA/USD", "tIOTUSD"));
        assert_eq!(found("LUNA2:USD"), named("LUNA/USD", "tLUNA2:USD"));
        assert_eq!(found("BTCF0:USTF0"), named("BTC/USDT:USDT", "tBTCF0:USTF0"));
        assert_eq!(found("IOTF0:USTF0"), named("IOTA/USDT:USDT", "tIOTF0:USTF0"));
        for no_pair in ["TESTBTC:TESTUSD", "TESTUSD", "BTC", "BTCUSDT", "BTC:", "a€bc"] {
            assert_eq!(found(no_pair), None, "{no_pair}");
        }
    }
}
