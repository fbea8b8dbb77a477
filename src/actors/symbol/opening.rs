//! The series a symbol consists of, as the store has them and as the venue can feed them.

use std::sync::Arc;

use actix::prelude::*;
use chrono::TimeDelta;

use super::SymbolActor;
use super::series::{Feed, Series};
use crate::actors::venue::Venue;
use crate::engine::book::{Book, SeriesRules};
use crate::engine::derive;
use crate::engine::settle::{StreamRules, Tracker};
use crate::exchange::Instrument;
use crate::market::Timeframe;
use crate::store::{Store, StoreError, SymbolRow};
use crate::supervise::exit::Exit;

impl SymbolActor {
    pub(super) fn loaded(&mut self, result: Result<Vec<Series>, StoreError>, ctx: &mut Context<Self>) {
        match result {
            Ok(series) => {
                self.series = series;
                self.is_loaded = true;
                self.advance(ctx);
            }
            Err(error) => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }
}

/// Opens all series of a symbol as the store has them.
pub(super) async fn open_series(
    store: Arc<dyn Store>,
    venue: Venue,
    row: SymbolRow,
    instrument: Arc<Instrument>,
) -> Result<Vec<Series>, StoreError> {
    let capabilities = venue.capabilities();
    let anchors = instrument.anchors;
    let plan = derive::plan(&row.timeframes, capabilities, anchors);
    let mut opened: Vec<Series> = Vec::with_capacity(plan.len());
    for (timeframe, parts) in plan {
        let Some(rules) = SeriesRules::new(capabilities, timeframe, anchors) else { continue };
        let stored = store.open_series(row.id, timeframe).await?;
        let ledger = store.ledger(stored.id).await?;
        let now = venue.now();
        let (book, changes) = Book::open(rules, row.backfill_from, ledger, stored.observed_until, now);
        let grid = book.grid();
        let from = parts.and_then(|parts| opened.iter().position(|series| series.timeframe == parts));
        let feed = match (from, capabilities.candle_stream) {
            (Some(from), _) => Feed::Derived { from, next: grid.bucket_at(now), is_reading: false },
            (None, Some(stream)) => {
                let tracker = Tracker::new(StreamRules {
                    grid,
                    has_closed_flag: stream.has_closed_flag,
                    is_cumulative: stream.is_cumulative,
                    grace: stream.grace,
                    quiet: capabilities.quiet,
                });
                let grace = TimeDelta::from_std(stream.grace).unwrap_or_default();
                Feed::Native { tracker: Some(Box::new(tracker)), grace }
            }
            (None, None) => Feed::Native { tracker: None, grace: TimeDelta::zero() },
        };
        let mut series = Series::new(stored.id, timeframe, book, feed);
        for change in changes {
            series.state(change);
        }
        opened.push(series);
    }
    Ok(opened)
}

/// The timeframes a symbol wants from streams: those that are not derived from finer ones.
pub fn streamed_timeframes(row: &SymbolRow, instrument: &Instrument, venue: &Venue) -> Vec<Timeframe> {
    derive::plan(&row.timeframes, venue.capabilities(), instrument.anchors)
        .into_iter()
        .filter_map(|(timeframe, parts)| parts.is_none().then_some(timeframe))
        .collect()
}
