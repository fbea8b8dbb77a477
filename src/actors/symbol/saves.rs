//! What waits to be saved goes to the writer, one save at a time; what the store answers is news for
//! the parent.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::info;

use super::SymbolActor;
use super::calls::Slots;
use super::revise::Lineage;
use super::series::Series;
use crate::actors::messages::{SaveError, SaveSymbol, Saved, SymbolNews};
use crate::store::SeriesChange;
use crate::supervise::exit::Exit;

/// Longest wall-clock time a ledger statement without candles waits for company.
pub(super) const STATEMENT_AGE: Duration = Duration::from_secs(5);

/// Tells whoever waits for a repair that it is durable; who asked may have gone.
fn tell(done: oneshot::Sender<()>) {
    let _ = done.send(());
}

impl SymbolActor {
    /// Sends what waits to the writer, one save at a time.
    pub(super) fn save(&mut self, ctx: &mut Context<Self>) {
        let now = self.setup.venue.now();
        let trades = self.tape.as_ref().filter(|side| side.has_pending());
        if self.is_saving || self.is_deriving() {
            return;
        }
        if self.setup.only_audits && self.repairs.is_empty() {
            return;
        }
        if trades.is_none() && self.modes.is_empty() && !self.series.iter().any(Series::has_pending) {
            // Nothing is left to be done for them.
            self.repairs.drain(..).for_each(tell);
            return;
        }
        let trades_are_due = trades.is_some_and(|side| side.is_due(now));
        let since = *self.pending_since.get_or_insert_with(Instant::now);
        let is_concluded = self.urgent == Slots::Concluded || self.background == Slots::Concluded;
        // A gap of the time without a collector is told before it is healed.
        let is_first = !std::mem::replace(&mut self.has_stated, true);
        let is_urgent = is_first
            || self.is_stopping
            || is_concluded
            || trades_are_due
            || !self.repairs.is_empty()
            || !self.modes.is_empty()
            || self.has_candles();
        if !is_urgent && since.elapsed() < STATEMENT_AGE {
            return;
        }
        self.pending_since = None;
        for slot in [&mut self.urgent, &mut self.background] {
            if *slot == Slots::Concluded {
                *slot = Slots::Saving;
            }
        }
        // Of this size at once: thousands of symbols save in the same moment.
        let mut changes: Vec<SeriesChange> = Vec::with_capacity(self.series.len());
        let pending = self.series.iter_mut().filter(|series| series.has_pending());
        changes.extend(pending.map(|series| series.take_pending(now)));
        let lineage = Lineage::of(&self.series, &changes, self.setup.row.candle_source, now);
        self.is_saving = true;
        let repairs = std::mem::take(&mut self.repairs);
        let (store, mut writer) = (self.setup.store.clone(), self.setup.writer.clone());
        // Candles and the trades they are made of are one transaction.
        let trades = self.take_trades();
        self.trades_being_saved = trades.clone();
        let modes = std::mem::take(&mut self.modes);
        let (owner, backlog) = (self.owner.clone(), self.setup.backlog.clone());
        let saving = async move {
            if let Some(lineage) = lineage {
                lineage.complete(&*store, &backlog, &mut changes).await;
            }
            let series = Arc::new(changes);
            let result = writer.send(SaveSymbol { owner, series: series.clone(), trades, modes }).await;
            (series, result)
        };
        ctx.spawn(saving.into_actor(self).map(|(series, result), actor, ctx| {
            if matches!(result, Some(Ok(_))) {
                repairs.into_iter().for_each(tell);
            }
            actor.saved(&series, result, ctx);
        }));
    }

    fn has_candles(&self) -> bool {
        self.series.iter().any(Series::has_candles)
    }

    fn saved(&mut self, changes: &[SeriesChange], result: Option<Result<Saved, SaveError>>, ctx: &mut Context<Self>) {
        self.is_saving = false;
        let (outcomes, is_spooled) = match result {
            Some(Ok(Saved::Stored(outcomes))) => (outcomes, false),
            Some(Ok(Saved::Spooled { ticket })) => {
                self.await_replay(ticket, ctx);
                (Vec::new(), true)
            }
            Some(Err(error)) => return self.end(Exit::Failed(error.to_string()), ctx),
            None => return self.end(Exit::Finished, ctx),
        };
        for slot in [&mut self.urgent, &mut self.background] {
            if *slot == Slots::Saving {
                *slot = Slots::Free;
            }
        }
        self.count(changes);
        let mut is_useful = self.trades_being_saved.take().is_some_and(|change| !change.trades.is_empty());
        for change in changes {
            if let Some(series) = self.series.iter_mut().find(|series| series.id == change.series) {
                series.saved(change, is_spooled);
            }
            is_useful |= is_spooled && !change.candles.is_empty();
        }
        for outcome in &outcomes {
            is_useful |= outcome.inserted > 0;
            for revision in &outcome.revisions {
                self.revisions += 1;
                info!(open_time = %revision.new.candle.open_time, source = %revision.new.source, "a final candle was revised");
            }
        }
        if is_useful {
            self.notify(SymbolNews::Useful);
        }
        self.advance(ctx);
    }

    /// What was spooled need not be fetched again, but it is not covered, and the store lacks it: until
    /// it was replayed nothing is decided by what is read there.
    fn await_replay(&mut self, ticket: i64, ctx: &mut Context<Self>) {
        let is_waiting = self.spooled.replace(ticket).is_some();
        if !is_waiting {
            self.wait_for_replay(ticket, ctx);
        }
    }

    fn wait_for_replay(&mut self, ticket: i64, ctx: &mut Context<Self>) {
        let backlog = self.setup.backlog.clone();
        let waiting = async move { backlog.replayed(ticket).await };
        ctx.spawn(waiting.into_actor(self).map(move |is_replayed, actor, ctx| match actor.spooled {
            // The collector stops; what waits is replayed by the next one.
            _ if !is_replayed => {}
            Some(newer) if newer > ticket => actor.wait_for_replay(newer, ctx),
            _ => {
                actor.spooled = None;
                actor.series.iter_mut().for_each(Series::replayed);
                if actor.setup.backlog.take_refused(actor.setup.row.id) {
                    return actor.end(Exit::Failed("the store refused what had waited in the spool".to_owned()), ctx);
                }
                actor.advance(ctx);
            }
        }));
    }
}
