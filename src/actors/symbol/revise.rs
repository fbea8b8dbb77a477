//! When a REST page corrects a bar that higher bars were derived from, those are derived again in
//! the same transaction. When it denies a bar that we inferred, that bar is withdrawn.

use chrono::{DateTime, Utc};

use crate::engine::derive;
use crate::market::{Candle, Grid, Source, Span, SpanSet, resample};
use crate::store::{CandleQuery, SeriesId, Store, StoreError};

use super::series::{Feed, Series};

/// What has to be looked at in the store before a page is queued.
pub(super) struct Checks {
    /// Rows of the page whose bucket was final before, and for which a final parent bar exists.
    rows: Vec<Candle>,
    /// Buckets that the page denies.
    denied: SpanSet,
    series: Vec<Lineage>,
    index: usize,
}

/// What was found in the store.
#[derive(Default)]
pub(super) struct Found {
    /// Higher bars that change.
    pub corrections: Vec<Correction>,
    /// Buckets whose bar was only inferred and is denied.
    pub withdrawn: SpanSet,
}

/// A higher bar one of whose parts has changed.
pub(super) struct Correction {
    /// Index of its series.
    pub series: usize,
    /// Its bucket.
    pub open_time: DateTime<Utc>,
    /// The new sum; `None` where it can only be read natively.
    pub candle: Option<Candle>,
}

/// What is needed of a series outside of the actor.
struct Lineage {
    id: SeriesId,
    grid: Grid,
    parts: Option<usize>,
    complete: SpanSet,
}

impl Checks {
    pub fn new(series: &[Series], index: usize, rows: &[Candle], denied: SpanSet) -> Checks {
        let parents: Vec<&Series> =
            series.iter().filter(|parent| matches!(parent.feed, Feed::Derived { from, .. } if from == index)).collect();
        let is_part = |row: &Candle| {
            series[index].book.is_complete(row.open_time)
                && parents.iter().any(|parent| parent.book.is_complete(parent.grid().bucket_at(row.open_time)))
        };
        let rows: Vec<Candle> = rows.iter().filter(|row| is_part(row)).copied().collect();
        let is_idle = rows.is_empty() && denied.is_empty();
        let series = if is_idle { Vec::new() } else { series.iter().map(Lineage::of).collect() };
        Checks { rows, denied, series, index }
    }

    /// Looks them up.
    pub async fn run(self, store: &dyn Store) -> Result<Found, StoreError> {
        let withdrawn = self.inferred(store).await?;
        let mut corrections = self.corrections(store).await?;
        for (index, parent) in self.series.iter().enumerate().filter(|(_, parent)| parent.parts == Some(self.index)) {
            let whole = |span: &Span| parent.grid.opens(Span::new(parent.grid.bucket_at(span.from), span.to));
            for open_time in withdrawn.spans().iter().flat_map(whole) {
                if parent.complete.contains(open_time) {
                    corrections.push(Correction { series: index, open_time, candle: None });
                }
            }
        }
        Ok(Found { corrections, withdrawn })
    }

    /// Of the denied buckets those whose bar nobody has printed.
    async fn inferred(&self, store: &dyn Store) -> Result<SpanSet, StoreError> {
        let mut inferred = SpanSet::new();
        for span in self.denied.spans() {
            let own = &self.series[self.index];
            let query = CandleQuery { span: *span, limit: None, newest_first: false };
            for row in store.candles(own.id, query).await? {
                let is_ours = matches!(row.source, Source::Synthesised | Source::Derived);
                if is_ours && row.candle.volume == 0.0 {
                    inferred.insert(Span::new(row.candle.open_time, own.grid.next_open(row.candle.open_time)));
                }
            }
        }
        Ok(inferred)
    }

    async fn corrections(&self, store: &dyn Store) -> Result<Vec<Correction>, StoreError> {
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return Ok(vec![]) };
        let own = &self.series[self.index];
        let span = Span::new(first.open_time, own.grid.next_open(last.open_time));
        let stored = read(store, own.id, span).await?;
        let is_news = |row: &&Candle| {
            stored.iter().find(|known| known.open_time == row.open_time).is_some_and(|known| !known.agrees_with(row))
        };
        let mut changed: Vec<(usize, Candle)> =
            self.rows.iter().filter(is_news).map(|row| (self.index, *row)).collect();
        let mut corrections = Vec::new();
        // Series stand finest first, so one pass carries a change all the way up.
        for (index, parent) in self.series.iter().enumerate() {
            let Some(parts) = parent.parts else { continue };
            let mut opens: Vec<_> = changed
                .iter()
                .filter(|(series, _)| *series == parts)
                .map(|(_, candle)| parent.grid.bucket_at(candle.open_time))
                .filter(|open| parent.complete.contains(*open))
                .collect();
            opens.dedup();
            for open in opens {
                let fine = &self.series[parts];
                let mut rows = read(store, fine.id, resample::parts_span(&fine.grid, &parent.grid, open)).await?;
                for row in &mut rows {
                    let news = changed.iter().find(|(series, new)| *series == parts && new.open_time == row.open_time);
                    if let Some((_, new)) = news {
                        *row = *new;
                    }
                }
                let candle = derive::derive(&parent.grid, open, &rows, &fine.grid, &fine.complete);
                changed.extend(candle.map(|candle| (index, candle)));
                corrections.push(Correction { series: index, open_time: open, candle });
            }
        }
        Ok(corrections)
    }
}

impl Lineage {
    fn of(series: &Series) -> Lineage {
        let parts = match series.feed {
            Feed::Derived { from, .. } => Some(from),
            Feed::Native { .. } | Feed::Built { .. } => None,
        };
        Lineage { id: series.id, grid: series.grid(), parts, complete: series.book.complete() }
    }
}

async fn read(store: &dyn Store, series: SeriesId, span: Span) -> Result<Vec<Candle>, StoreError> {
    let query = CandleQuery { span, limit: None, newest_first: false };
    Ok(store.candles(series, query).await?.into_iter().map(|row| row.candle).collect())
}
