//! What becomes of the bars of a market that the venue lists no more. Where a stream is silent a quiet
//! bar is stored, and REST bears it out later; a market that is gone is silent too, and no later word
//! of the venue bears those bars out. They are withdrawn, back to the last one that it told itself.

use std::sync::Arc;

use actix::prelude::*;
use tracing::{info, warn};

use super::ExchangeActor;
use crate::actors::messages::SaveSymbol;
use crate::actors::writer::WriterActor;
use crate::market::ledger::NOT_LISTED;
use crate::market::{Grid, Span, SpanSet, Symbol};
use crate::store::inventory::grid_of;
use crate::store::spool::{Backlog, Owner};
use crate::store::{
    CandleQuery, CandleSource, Coverage, LedgerChange, SeriesChange, SeriesId, SeriesRow, Store, StoreError, SymbolRow,
};
use crate::supervise::slot::Slot;

/// Rows read at once.
const PAGE: u32 = 1_000;

impl ExchangeActor {
    /// Withdraws what was inferred of a market that is gone. Its actor has ended; should the market be
    /// listed again, the next one begins afterwards.
    pub(super) fn withdraw_inferred(&mut self, symbol: &Symbol, ctx: &mut Context<Self>) {
        let Some(row) = self.wanted.get(symbol).cloned() else { return };
        if self.setup.only_audits || !self.withdrawing.insert(symbol.clone()) {
            return;
        }
        let (store, backlog, writer) =
            (self.setup.store.clone(), self.setup.backlog.clone(), self.setup.writer.clone());
        let symbol = symbol.clone();
        let working = async move { withdraw(&*store, &backlog, writer, &row).await };
        ctx.spawn(working.into_actor(self).map(move |result, actor, ctx| {
            if let Err(error) = result {
                warn!(%error, %symbol, "quiet bars of a market that is gone were not withdrawn; a later start does it");
            }
            actor.withdrawing.remove(&symbol);
            actor.start_symbol(&symbol, ctx);
        }));
    }
}

async fn withdraw(
    store: &dyn Store,
    backlog: &Backlog,
    mut writer: Slot<WriterActor>,
    row: &SymbolRow,
) -> Result<(), StoreError> {
    let Some((series, changes)) = backlog.read(async || inferred(store, row).await).await? else { return Ok(()) };
    if changes.is_empty() {
        return Ok(());
    }
    info!(exchange = row.exchange, symbol = %row.symbol, "quiet bars of a market that is gone are withdrawn");
    let series = series.iter().map(|series| (series.id, series.timeframe)).collect();
    let owner = Owner { symbol: row.id, exchange: row.exchange.clone(), name: row.symbol.clone(), series };
    let save = SaveSymbol { owner: owner.into(), series: Arc::new(changes), trades: None, modes: Vec::new() };
    if let Some(Err(error)) = writer.send(save).await {
        warn!(%error, symbol = %row.symbol, "quiet bars of a market that is gone were not withdrawn");
    }
    Ok(())
}

/// The series of a symbol, and what of them is to be withdrawn.
async fn inferred(store: &dyn Store, row: &SymbolRow) -> Result<(Vec<SeriesRow>, Vec<SeriesChange>), StoreError> {
    let all = store.series_of(row.id).await?;
    let mut changes = Vec::new();
    for series in &all {
        let spans = at_the_end(store, series.id, grid_of(row, series.timeframe), row.candle_source).await?;
        if !spans.is_empty() {
            let missing = Coverage::missing(NOT_LISTED);
            let withdrawn =
                |span: &Span| [LedgerChange::Unverify(*span), LedgerChange::Withdraw(*span, missing.clone())];
            let ledger = spans.spans().iter().flat_map(withdrawn).collect();
            changes.push(SeriesChange { ledger, ..SeriesChange::new(series.id) });
        }
    }
    Ok((all, changes))
}

/// The inferred bars at the end of a series that nothing has verified. Of those that are built from
/// trades it is the same silence that verifies them.
async fn at_the_end(
    store: &dyn Store,
    series: SeriesId,
    grid: Grid,
    built_from: CandleSource,
) -> Result<SpanSet, StoreError> {
    let mut inferred = SpanSet::new();
    for entry in store.ledger(series).await?.into_iter().rev() {
        match entry.coverage {
            Coverage::Complete { verified: true } if built_from == CandleSource::Venue => break,
            Coverage::Complete { .. } => {}
            Coverage::Missing { .. } | Coverage::Unavailable { .. } => continue,
        }
        let mut span = entry.span;
        loop {
            let query = CandleQuery { span, limit: Some(PAGE), newest_first: true };
            let rows = store.candles(series, query).await?;
            for row in rows.iter().rev() {
                if !row.is_inferred() {
                    return Ok(inferred);
                }
                inferred.insert(Span::new(row.candle.open_time, grid.next_open(row.candle.open_time)));
            }
            match rows.first() {
                Some(oldest) if rows.len() == PAGE as usize => span.to = oldest.candle.open_time,
                _ => break,
            }
        }
    }
    Ok(inferred)
}
