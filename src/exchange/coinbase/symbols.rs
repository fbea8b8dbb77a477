//! Names of markets: `BTC-USD` at the venue, `BTC/USD` here. Ids come from the product list.

use super::wire::Product;
use crate::exchange::Instrument;

/// A row of the product list; `None` where its currencies cannot be a unified name.
pub fn instrument(product: &Product<'_>) -> Option<Instrument> {
    let symbol = format!("{}/{}", product.base_currency.0, product.quote_currency.0).parse().ok()?;
    let is_online = product.status.as_ref().is_some_and(|status| status.0 == "online");
    Some(Instrument {
        is_trading: is_online && product.trading_disabled != Some(true),
        ..Instrument::new(symbol, &*product.id.0, &*product.id.0)
    })
}
