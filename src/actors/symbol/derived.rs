//! Bars of a higher timeframe that are the sums of a finer series: derived when all parts are final.

use actix::prelude::*;
use chrono::{DateTime, Utc};

use super::SymbolActor;
use super::series::Feed;
use crate::engine::derive;
use crate::market::resample::parts_span;
use crate::market::{FinalCandle, Rule, Source};
use crate::store::CandleQuery;
use crate::supervise::exit::Exit;

impl SymbolActor {
    /// Derives the higher bars whose parts are all final. Nothing is saved meanwhile, or a correction
    /// of a part could slip between.
    pub(super) fn derive(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.is_saving || self.spooled.is_some() {
            // What waits in the spool cannot be read; bars that wait too long are read natively.
            return;
        }
        for index in 0..self.series.len() {
            let grid = self.series[index].grid();
            let Feed::Derived { from, next, is_reading: false } = self.series[index].feed else { continue };
            if grid.close_of(next) > now {
                continue;
            }
            let parts = &self.series[from];
            let (fine, span) = (parts.grid(), parts_span(&parts.grid(), &grid, next));
            let complete = parts.book.complete();
            if !complete.covers(span) {
                continue;
            }
            let (store, id) = (self.setup.store.clone(), parts.id);
            self.set_derived(index, next, true);
            let query = CandleQuery { span, limit: None, newest_first: false };
            let reading = async move { store.candles(id, query).await };
            ctx.spawn(reading.into_actor(self).map(move |rows, actor, ctx| match rows {
                Ok(rows) => {
                    let rows: Vec<_> = rows.into_iter().map(|row| row.candle).collect();
                    actor.set_derived(index, grid.next_open(next), false);
                    if let Some(candle) = derive::derive(&grid, next, &rows, &fine, &complete)
                        && !actor.series[index].is_settled(next)
                    {
                        let observed_at = actor.setup.venue.now();
                        let (source, rule) = (Source::Derived, Rule::Derived);
                        actor.series[index].settle(FinalCandle { candle, source, rule, observed_at });
                    }
                    actor.advance(ctx);
                }
                // Saves wait for this: it is not tried again, the bar is read natively.
                Err(error) if error.is_transient() => {
                    actor.set_derived(index, grid.next_open(next), false);
                    actor.advance(ctx);
                }
                Err(error) => actor.end(Exit::Failed(error.to_string()), ctx),
            }));
        }
    }

    /// Parts of a higher bar are being read.
    pub(super) fn is_deriving(&self) -> bool {
        self.series.iter().any(|series| matches!(series.feed, Feed::Derived { is_reading: true, .. }))
    }

    fn set_derived(&mut self, index: usize, at: DateTime<Utc>, reading: bool) {
        if let Feed::Derived { next, is_reading, .. } = &mut self.series[index].feed {
            (*next, *is_reading) = (at, reading);
        }
    }
}
