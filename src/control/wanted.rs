//! Wanting a symbol: what becomes of its exchange, and how what is wanted is told.

use super::when::Time;
use crate::exchange::registry;
use crate::market::Timeframe;
use crate::store::{
    CandleSource, ExchangeMode, ExchangeRow, NewSymbol, Store, StoreError, SymbolChange, SymbolRow, SymbolState,
};

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

/// What [`add_symbol`] did, as the verb of a sentence.
pub fn verb(change: SymbolChange) -> &'static str {
    match change {
        SymbolChange::Added => "added",
        SymbolChange::Widened => "wants more now",
        SymbolChange::Unchanged => "wants nothing new",
    }
}

/// What a symbol wants, in words.
pub fn in_words(row: &SymbolRow) -> String {
    if row.only_ticker {
        return "the ticker only".to_owned();
    }
    let from = Time(row.backfill_from);
    let trades = if row.collect_trades { " and trades" } else { "" };
    let built = if row.candle_source == CandleSource::Trades { " built from trades" } else { "" };
    format!("{}{built}{trades} from {from}", list(&row.timeframes))
}

/// Timeframes, separated by commas.
pub fn list(timeframes: &[Timeframe]) -> String {
    timeframes.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(",")
}

/// What it means that a symbol's state goes from `before` to `after`, as the rest of a sentence.
pub fn state_words(before: &SymbolState, after: &SymbolState) -> &'static str {
    match (before, after) {
        (SymbolState::Paused, SymbolState::Paused) => "is paused already",
        (before, after) if before == after => "is active already",
        (_, SymbolState::Paused) => "is paused; it stays wanted",
        (SymbolState::Rejected(_), _) => "is active again; the collector asks the exchange once more",
        _ => "is active again; what it missed is fetched",
    }
}

/// What to know of an exchange that is switched off, or that is closed and on all the same.
pub fn off_note(row: &ExchangeRow) -> Option<String> {
    let closed = registry::find(&row.name).ok().and_then(|found| found.capabilities.closed);
    let id = &row.name;
    match (closed, row.enabled) {
        (Some(why), false) => Some(format!(
            "{why}: {id} is switched off and nothing of it is collected; switch it on with: candlewick exchanges enable {id}"
        )),
        (Some(why), true) => {
            Some(format!("{why}, and {id} is on; switch it off with: candlewick exchanges disable {id}"))
        }
        (None, false) => Some(format!("{id} is switched off; switch it on with: candlewick exchanges enable {id}")),
        (None, true) => None,
    }
}
