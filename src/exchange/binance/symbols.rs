//! Names of markets: unified, in REST calls, in stream frames and in stream names.
//!
//! An id is never split by guessing: base and quote come from the instrument list. REST and stream
//! frames write a market alike (`BTCUSDT`); stream names want it in lower case.

use super::wire::Market;
use crate::exchange::Instrument;
use crate::market::{Anchors, Symbol};

/// The unified name of a spot market; `None` for assets whose names cannot be one.
pub fn unified(base: &str, quote: &str) -> Option<Symbol> {
    format!("{base}/{quote}").parse().ok()
}

/// A row of the instrument list; `None` where its name cannot be a unified one.
pub fn instrument(market: &Market<'_>) -> Option<Instrument> {
    Some(Instrument {
        symbol: unified(&market.base_asset, &market.quote_asset)?,
        rest_id: market.symbol.clone().into_owned(),
        stream_id: market.symbol.clone().into_owned(),
        is_trading: market.status == "TRADING",
        // All buckets lie on the UTC grid, weeks open on Monday.
        anchors: Anchors::default(),
    })
}

/// How stream names write a market; the suffix after `@` keeps its case.
pub fn stream_prefix(stream_id: &str) -> String {
    stream_id.to_lowercase()
}
