//! Names of markets. Contracts have names of their own (`XBTUSD`, `XBTZ26`), so what they mean comes
//! from the instrument list.

use super::wire::Market;
use crate::exchange::Instrument;
use crate::exchange::wire::rfc3339;

/// What the venue calls otherwise than everybody else. Settlement is named by the unit it is counted in.
const OWN_CODES: &[(&str, &str)] = &[("XBT", "BTC"), ("Gwei", "ETH"), ("LAMp", "SOL")];

/// A market of the list; `None` for indices and for what cannot be a unified name.
pub fn instrument(market: &Market<'_>) -> Option<Instrument> {
    let (base, quote) = (currency(&market.underlying.0), currency(&market.quote_currency.0));
    let settle = || market.settl_currency.as_ref().map(|settle| currency(&settle.0)).filter(|code| !code.is_empty());
    let symbol = match &*market.typ.0 {
        "IFXXXP" => format!("{base}/{quote}"),
        "FFWCSX" | "FFWCSF" => format!("{base}/{quote}:{}", settle()?),
        "FFCCSX" => {
            let expiry = rfc3339(&market.expiry.as_ref()?.0, "expiry").ok()?;
            format!("{base}/{quote}:{}-{}", settle()?, expiry.format("%y%m%d"))
        }
        _ => return None,
    };
    let is_trading = market.state.as_ref().is_some_and(|state| state.0 == "Open");
    let id = &*market.symbol.0;
    Some(Instrument { is_trading, ..Instrument::new(symbol.parse().ok()?, id, id) })
}

/// `XBT` and `XBt` are bitcoin, `USDt` is a millionth of USDT.
fn currency(code: &str) -> String {
    let upper = code.to_ascii_uppercase();
    let own = OWN_CODES.iter().find(|(own, _)| own.eq_ignore_ascii_case(&upper));
    own.map_or(upper, |(_, usual)| (*usual).to_owned())
}
