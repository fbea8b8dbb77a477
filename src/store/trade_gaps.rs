//! What is held of the trades that were asked for: from their ledger, without reading a trade.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, SymbolRow};
use crate::market::{Span, SpanSet};

/// What is not held of a symbol's trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeGaps {
    /// Not read yet, oldest first.
    pub missing: Vec<Span>,
    /// What the venue does not have, with the reason, oldest first.
    pub unavailable: Vec<(Span, String)>,
    /// What was not looked at yet, up to now.
    pub lag: Option<Span>,
}

/// The gaps in the trades of a symbol up to `now`; `None` where they are not collected.
///
/// # Errors
/// Those of the store.
pub async fn trade_gaps(
    store: &dyn Store,
    symbol: &SymbolRow,
    now: DateTime<Utc>,
) -> Result<Option<TradeGaps>, StoreError> {
    if !symbol.collect_trades || symbol.only_ticker {
        return Ok(None);
    }
    let coverage = store.trade_coverage(symbol.id).await?;
    let absent: SpanSet = coverage.unavailable.iter().map(|(span, _)| *span).collect();
    let spoken = coverage.spans.union(&absent);
    let from = symbol.trades_from();
    let edge = spoken.spans().last().map_or(from, |last| last.to.max(from));
    let looked_at = Span::new(from, edge.min(now));
    let lag = Span::new(edge, now);
    let inside = |(span, reason): (Span, String)| (span.intersect(looked_at), reason);
    Ok(Some(TradeGaps {
        missing: spoken.gaps(looked_at).spans().to_vec(),
        unavailable: coverage.unavailable.into_iter().map(inside).filter(|(span, _)| !span.is_empty()).collect(),
        lag: (!lag.is_empty()).then_some(lag),
    }))
}
