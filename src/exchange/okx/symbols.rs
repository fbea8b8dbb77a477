//! Names of markets: `BTC-USDT` is BTC/USDT, `BTC-USDT-SWAP` is BTC/USDT:USDT, `BTC-USD-SWAP` is
//! BTC/USD:BTC. They are read from the instrument list, never composed.

use super::wire::Listed;
use crate::exchange::wire::Scalar;
use crate::exchange::{AmountUnit, Instrument};

/// A row of the instrument list; `None` for markets that are not spoken here (dated ones, options)
/// and those whose name or contract cannot be read.
pub fn instrument(listed: &Listed<'_>) -> Option<Instrument> {
    let (name, amount_unit) = match &*listed.kind.0 {
        "SPOT" => {
            let (base, quote) = (listed.base.as_ref()?, listed.quote.as_ref()?);
            (format!("{}/{}", base.0, quote.0), AmountUnit::Base)
        }
        "SWAP" => {
            // The legs are empty there; the underlying index names them.
            let (base, quote) = listed.underlying.as_ref()?.0.split_once('-')?;
            let settle = listed.settle.as_ref()?;
            (format!("{base}/{quote}:{}", settle.0), contract(listed)?)
        }
        _ => return None,
    };
    let is_trading = listed.state.as_ref().is_some_and(|state| state.0 == "live");
    Some(Instrument { is_trading, amount_unit, ..Instrument::new(name.parse().ok()?, &*listed.id.0, &*listed.id.0) })
}

/// What a contract is worth: of the quote currency where it settles in the base, else of the base.
fn contract(listed: &Listed<'_>) -> Option<AmountUnit> {
    let number = |value: Option<Scalar<'_>>| value?.decimal("contract").ok().filter(|size| size.is_sign_positive());
    let size = number(listed.contract_value)?.checked_mul(number(listed.contract_multiplier)?)?;
    if size.is_zero() {
        return None;
    }
    match &*listed.contract_type.as_ref()?.0 {
        "linear" => Some(AmountUnit::Contracts(size.normalize())),
        "inverse" => Some(AmountUnit::QuoteContracts(size.normalize())),
        _ => None,
    }
}

/// True for ids of derivatives: spot ids have two parts.
pub fn is_derivative(id: &str) -> bool {
    id.matches('-').count() > 1
}
