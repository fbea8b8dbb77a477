//! When a save corrects a bar that higher bars were derived from, those are derived again in the same
//! transaction. When a REST page denies a bar that we inferred, that bar is withdrawn.
//!
//! Saves of a symbol follow one another and no bar is derived while one is on its way, so what the
//! store holds and what the save brings are together all there is.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::engine::derive;
use crate::market::ledger::{Coverage, LedgerChange};
use crate::market::{Candle, FinalCandle, Grid, Rule, Source, Span, SpanSet, resample};
use crate::store::precedence::{Verdict, judge};
use crate::store::spool::Backlog;
use crate::store::{CandleQuery, CandleSource, SeriesChange, SeriesId, Store, StoreError};

use super::series::{Feed, Series};

/// Of the buckets that a page denies those whose bar nobody has printed. `None` when the collector
/// stops before the store can be asked.
pub(super) async fn inferred(
    store: &dyn Store,
    backlog: &Backlog,
    id: SeriesId,
    grid: Grid,
    denied: &SpanSet,
) -> Result<Option<SpanSet>, StoreError> {
    if denied.is_empty() {
        return Ok(Some(SpanSet::new()));
    }
    backlog.read(async || look_up(store, id, grid, denied).await).await
}

async fn look_up(store: &dyn Store, id: SeriesId, grid: Grid, denied: &SpanSet) -> Result<SpanSet, StoreError> {
    let mut inferred = SpanSet::new();
    for span in denied.spans() {
        let query = CandleQuery { span: *span, limit: None, newest_first: false };
        for row in store.candles(id, query).await? {
            if row.is_inferred() {
                inferred.insert(Span::new(row.candle.open_time, grid.next_open(row.candle.open_time)));
            }
        }
    }
    Ok(inferred)
}

/// What a save may change beyond what it says.
pub(super) struct Lineage {
    /// Finest first.
    series: Vec<Relative>,
    built_from: CandleSource,
    observed_at: DateTime<Utc>,
}

/// A series of the symbol, with what is final in it before the save and after.
struct Relative {
    id: SeriesId,
    grid: Grid,
    parts: Option<usize>,
    before: SpanSet,
    after: SpanSet,
    /// Bars that the save changes, the ones derived again among them.
    changed: Vec<Candle>,
    /// Buckets whose bar the save takes away.
    withdrawn: SpanSet,
}

impl Lineage {
    /// `None` where no bar is derived from another one that the save touches.
    pub fn of(
        series: &[Series],
        changes: &[SeriesChange],
        built_from: CandleSource,
        observed_at: DateTime<Utc>,
    ) -> Option<Lineage> {
        if !series.iter().any(|series| matches!(series.feed, Feed::Derived { .. })) {
            return None;
        }
        let relatives: Vec<Relative> = series.iter().map(|series| Relative::new(series, changes)).collect();
        let lineage = Lineage { series: relatives, built_from, observed_at };
        let is_touched = |index: usize| {
            let own = &lineage.series[index];
            lineage.is_part(index) && (!own.withdrawn.is_empty() || own.rows(changes).next().is_some())
        };
        (0..series.len()).any(is_touched).then_some(lineage)
    }

    /// True when bars are derived from those of a series.
    fn is_part(&self, index: usize) -> bool {
        self.series.iter().any(|parent| parent.parts == Some(index))
    }

    /// Adds to a save the higher bars whose parts it changes. Each is read natively in time; where
    /// the store cannot be asked, or is not because it lacks what waits in the spool, that is all
    /// that happens to them.
    pub async fn complete(mut self, store: &dyn Store, backlog: &Backlog, changes: &mut Vec<SeriesChange>) {
        let store = backlog.is_empty().then_some(store);
        for index in 0..self.series.len() {
            let revised = self.revised(index, store, changes).await.unwrap_or_else(|error| {
                warn!(%error, "stored parts of higher bars cannot be read; those are read from the exchange again");
                self.series[index].rows(changes).map(|row| row.candle).collect()
            });
            self.series[index].changed = revised;
            let Some(parts) = self.series[index].parts else { continue };
            for open_time in self.outdated(index, parts) {
                let candle = self.derived(index, parts, open_time, store).await;
                self.replace(index, open_time, candle, changes);
            }
        }
    }

    /// The rows of a save that change a final bar.
    async fn revised(
        &self,
        index: usize,
        store: Option<&dyn Store>,
        changes: &[SeriesChange],
    ) -> Result<Vec<Candle>, StoreError> {
        let own = &self.series[index];
        if !self.is_part(index) {
            return Ok(vec![]);
        }
        let Some(store) = store else { return Ok(own.rows(changes).map(|row| row.candle).collect()) };
        let opens = || own.rows(changes).map(|row| row.candle.open_time);
        let (Some(first), Some(last)) = (opens().min(), opens().max()) else { return Ok(vec![]) };
        let span = Span::new(first, own.grid.next_open(last));
        let stored = store.candles(own.id, CandleQuery { span, limit: None, newest_first: false }).await?;
        let is_news = |row: &&FinalCandle| {
            let held = stored.iter().find(|held| held.candle.open_time == row.candle.open_time);
            // What is taken away by the same save does not stand against what takes its place.
            own.withdrawn.contains(row.candle.open_time)
                || held.is_none_or(|held| judge(held, row, self.built_from) == Verdict::Revised)
        };
        Ok(own.rows(changes).filter(is_news).map(|row| row.candle).collect())
    }

    /// The final bars of a series some of whose parts have changed.
    fn outdated(&self, index: usize, parts: usize) -> Vec<DateTime<Utc>> {
        let (own, fine) = (&self.series[index], &self.series[parts]);
        let changed = fine.changed.iter().map(|part| own.grid.bucket_at(part.open_time));
        let whole = |span: &Span| own.grid.opens(Span::new(own.grid.bucket_at(span.from), span.to)).collect::<Vec<_>>();
        let withdrawn = fine.withdrawn.spans().iter().flat_map(whole);
        let mut opens: Vec<_> = changed.chain(withdrawn).filter(|open| own.after.contains(*open)).collect();
        opens.sort_unstable();
        opens.dedup();
        opens
    }

    /// The sum of a bar's parts as they are after the save.
    async fn derived(
        &self,
        index: usize,
        parts: usize,
        open_time: DateTime<Utc>,
        store: Option<&dyn Store>,
    ) -> Option<Candle> {
        let (own, fine) = (&self.series[index], &self.series[parts]);
        let span = resample::parts_span(&fine.grid, &own.grid, open_time);
        let stored = store?.candles(fine.id, CandleQuery { span, limit: None, newest_first: false }).await.ok()?;
        let is_changed = |open| fine.changed.iter().any(|part| part.open_time == open);
        let is_kept = |open| !is_changed(open) && !fine.withdrawn.contains(open);
        let kept = stored.iter().map(|row| row.candle).filter(|row| is_kept(row.open_time));
        let mut rows: Vec<Candle> = kept.chain(fine.changed.iter().copied()).collect();
        rows.sort_unstable_by_key(|row| row.open_time);
        derive::derive(&own.grid, open_time, &rows, &fine.grid, &fine.after)
    }

    /// Puts a bar that was derived again in the place of what the save has for its bucket.
    fn replace(
        &mut self,
        index: usize,
        open_time: DateTime<Utc>,
        candle: Option<Candle>,
        changes: &mut Vec<SeriesChange>,
    ) {
        let own = &mut self.series[index];
        let place = changes.iter().position(|change| change.series == own.id).unwrap_or_else(|| {
            changes.push(SeriesChange::new(own.id));
            changes.len() - 1
        });
        let change = &mut changes[place];
        let bucket = Span::new(open_time, own.grid.next_open(open_time));
        let is_printed = |row: &FinalCandle| row.candle.open_time == open_time && row.source != Source::Derived;
        match candle {
            Some(_) if change.candles.iter().any(is_printed) => {}
            Some(candle) => {
                own.changed.retain(|known| known.open_time != open_time);
                own.changed.push(candle);
                let (source, rule) = (Source::Derived, Rule::Derived);
                change.candles.push(FinalCandle { candle, source, rule, observed_at: self.observed_at });
            }
            None => own.withdrawn.insert(bucket),
        }
        change.ledger.push(LedgerChange::Unverify(bucket));
    }
}

impl Relative {
    fn new(series: &Series, changes: &[SeriesChange]) -> Relative {
        let parts = match series.feed {
            Feed::Derived { from, .. } => Some(from),
            Feed::Native { .. } | Feed::Built { .. } => None,
        };
        let before = series.book.complete();
        let (mut after, mut withdrawn) = (before.clone(), SpanSet::new());
        for change in changes.iter().filter(|change| change.series == series.id).flat_map(|change| &change.ledger) {
            match change {
                LedgerChange::Set(span, Coverage::Complete { .. }) => after.insert(*span),
                LedgerChange::Withdraw(span, _) => {
                    after.remove(*span);
                    withdrawn.insert(*span);
                }
                _ => {}
            }
        }
        Relative { id: series.id, grid: series.grid(), parts, before, after, changed: Vec::new(), withdrawn }
    }

    /// The rows of a save for buckets that were final before; higher bars can only be made of those.
    /// Two pages may tell the same bucket: the last is what is stored.
    fn rows<'a>(&self, changes: &'a [SeriesChange]) -> impl Iterator<Item = &'a FinalCandle> + use<'a> {
        let own = changes.iter().filter(|change| change.series == self.id).flat_map(|change| &change.candles);
        let settled = own.filter(|row| self.before.contains(row.candle.open_time));
        settled.map(|row| (row.candle.open_time, row)).collect::<BTreeMap<_, _>>().into_values()
    }
}

#[cfg(test)]
mod tests;
