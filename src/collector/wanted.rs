//! What becomes of an exchange when one of its symbols is wanted.

use crate::exchange::registry;
use crate::store::{ExchangeMode, ExchangeRow, NewSymbol, Store, StoreError, SymbolChange};

/// The settings of an exchange: its row, or the one it will begin with, in which exchanges that are
/// closed are switched off.
///
/// # Errors
/// What the store says.
pub async fn exchange_row(store: &dyn Store, id: &str) -> Result<ExchangeRow, StoreError> {
    let known = store.exchanges().await?.into_iter().find(|row| row.name == id);
    Ok(known.unwrap_or_else(|| ExchangeRow {
        name: id.to_owned(),
        enabled: registry::find(id).is_ok_and(|row| row.capabilities.closed.is_none()),
        mode: ExchangeMode::Auto,
        rest_url: None,
        stream_url: None,
        blocked_until: None,
    }))
}

/// Adds or widens a symbol. An exchange that is closed is switched off, unless it was there before:
/// it works once it is enabled by hand.
///
/// # Errors
/// What the store says.
pub async fn add_symbol(store: &dyn Store, new: &NewSymbol) -> Result<SymbolChange, StoreError> {
    if registry::find(&new.exchange).is_ok_and(|row| row.capabilities.closed.is_some()) {
        store.put_exchange(&exchange_row(store, &new.exchange).await?).await?;
    }
    store.add_symbol(new).await
}
