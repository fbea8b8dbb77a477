//! Passes over trades that are stored or read again, to build the candles that lack them.

use std::collections::BTreeMap;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, warn};

use super::SymbolActor;
use super::series::Series;
use super::tape::{ActivePass, TapeSide};
use crate::engine::tape::Tape;
use crate::engine::tape::build::Built;
use crate::engine::tape::pass::{Pass, next_span};
use crate::exchange::QuietPolicy;
use crate::market::ledger::{Coverage, LedgerChange, NOT_SUMMABLE, TRADES_NOT_SERVED};
use crate::market::{Grid, Span, SpanSet, Timeframe, Trade};
use crate::store::{CandleQuery, StoreError};
use crate::supervise::exit::Exit;

/// Stored trades that are read at once.
const STORED_PAGE: u32 = 5_000;

impl SymbolActor {
    /// Candles whose trades cannot be had any more are said to be unavailable.
    pub(super) fn give_up_unavailable(&mut self, now: DateTime<Utc>) {
        let Some(side) = self.tape.as_mut().filter(|side| side.keeps) else { return };
        side.tape.look_again(now);
        let lost = side.tape.unavailable().subtract(side.tape.known());
        for series in &mut self.series {
            series.book.build_after_all(&lost).into_iter().for_each(|change| series.state(change));
            if lost.is_empty() {
                continue;
            }
            let grid = series.grid();
            let work = series.book.trade_work(now);
            for span in work.spans().iter().flat_map(|span| lost.within(*span).spans().to_vec()) {
                let whole = Span::new(grid.bucket_at(span.from), grid.ceil(span.to));
                let reason = TRADES_NOT_SERVED.to_owned();
                series.state(LedgerChange::Set(whole, Coverage::Unavailable { reason }));
            }
        }
    }

    /// Begins a pass over the newest stretch for which trades are at hand and candles are missing.
    pub(super) fn start_pass(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        // Closes are read from the store: what is on its way there comes first.
        let is_saved = !self.is_saving && self.spooled.is_none();
        let is_durable = is_saved && !self.series.iter().any(Series::has_pending);
        let is_ready = |side: &&mut TapeSide| is_durable && side.pass.is_none() && !side.is_reading;
        let Some(side) = self.tape.as_deref_mut().filter(is_ready) else { return };
        // Where trades are not read from old to new, all that a pass needs is read and kept before it.
        let is_kept = side.keeps && !side.tape.reads_forward();
        let mut work: Vec<(Grid, SpanSet)> = Vec::with_capacity(self.series.len());
        for series in &self.series {
            let mut wanted = series.trade_work(now);
            if is_kept {
                wanted = with_lead(&wanted, series, &mut side.tape);
            }
            if side.keeps {
                wanted = whole_buckets(series.grid(), &wanted, side.tape.known());
            }
            if !wanted.is_empty() {
                work.push((series.grid(), wanted));
            }
        }
        let known = if side.keeps { Some(side.tape.known()) } else { None };
        let Some(mut span) = next_span(&work) else { return };
        let look_back = self.series.iter().map(|series| series.book.look_back(span.from)).max().unwrap_or_default();
        if let Some(known) = known {
            // One stretch of stored trades at a time.
            let last = span.to - TimeDelta::microseconds(1);
            let stretch = known.spans().iter().find(|known| known.contains(last));
            span.from = stretch.map_or(span.to, |stretch| stretch.from.max(span.from));
        }
        span.from -= look_back;
        if span.is_empty() {
            return;
        }
        side.is_reading = true;
        debug!(%span, "pass");
        let quiet = self.setup.venue.capabilities().quiet;
        let wanted: Vec<_> = self
            .series
            .iter()
            .filter(|series| work.iter().any(|(grid, _)| grid.timeframe == series.timeframe))
            .map(|series| (series.id, series.grid()))
            .collect();
        let store = self.setup.store.clone();
        let from_store = side.keeps && (look_back.is_zero() || is_kept);
        let (symbol, known_to) = (side.pending.symbol, side.tape.known().spans().last().map(|known| known.to));
        let repeats_price = quiet == QuietPolicy::Emits && self.series.iter().any(|s| !s.book.outdated().is_empty());
        let opening = async move {
            let mut series = Vec::with_capacity(wanted.len());
            for (id, grid) in wanted {
                let start = grid.ceil(span.from);
                let before = Span::new(grid.previous_open(start), start);
                let query = CandleQuery { span: before, limit: Some(1), newest_first: true };
                let close = store.candles(id, query).await?.first().map(|row| row.candle.close);
                series.push((grid, close));
            }
            let mut next_trade = known_to;
            if repeats_price {
                let later = Span::new(span.to, DateTime::<Utc>::MAX_UTC);
                let page = store.trades_page(symbol, later, None, 1).await?;
                next_trade = page.first().map(|trade| trade.time).or(known_to);
            }
            let pass = Pass::new(span, &series, quiet);
            let active = ActivePass { pass, last: None, from_store, late: SpanSet::new() };
            Ok::<_, StoreError>((active, next_trade.filter(|_| repeats_price)))
        };
        ctx.spawn(opening.into_actor(self).map(move |opened, actor, ctx| match opened {
            Ok((active, next_trade)) => {
                // Flat bars repeat the close before them, so those that follow are built again too.
                for series in actor.series.iter_mut().filter(|_| next_trade.is_some()) {
                    series.build_quiet_again(span, next_trade.unwrap_or(span.to));
                }
                if let Some(side) = &mut actor.tape {
                    side.is_reading = false;
                    side.pass = Some(active);
                }
                actor.advance(ctx);
            }
            Err(error) => actor.unread(error, ctx),
        }));
    }

    /// The store could not be read for a pass: it is asked again when something happens.
    fn unread(&mut self, error: StoreError, ctx: &mut Context<Self>) {
        match &mut self.tape {
            Some(side) if error.is_transient() => side.is_reading = false,
            _ => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }

    /// Reads the next stored trades of a pass.
    pub(super) fn read_stored(&mut self, ctx: &mut Context<Self>) {
        // What is known may still be on its way to the store.
        let is_durable = !self.is_saving && self.spooled.is_none();
        let is_ready = |side: &&mut TapeSide| is_durable && !side.is_reading && !side.has_pending();
        let Some(side) = self.tape.as_deref_mut().filter(is_ready) else { return };
        let Some(active) = side.pass.as_ref().filter(|active| active.from_store) else { return };
        let Some(gap) = active.pass.gap() else { return };
        let (symbol, last) = (side.pending.symbol, active.last.clone());
        side.is_reading = true;
        let store = self.setup.store.clone();
        let reading = async move { store.trades_page(symbol, gap, last.as_ref(), STORED_PAGE).await };
        ctx.spawn(reading.into_actor(self).map(move |page, actor, ctx| match page {
            Ok(page) => {
                let Some(side) = &mut actor.tape else { return };
                side.is_reading = false;
                let is_last = page.len() < STORED_PAGE as usize;
                let newest = page.last().cloned();
                let reached = newest.as_ref().filter(|_| !is_last).map_or(gap.to, |newest| newest.time);
                if let Some(active) = &mut side.pass {
                    active.last = newest.or(active.last.take());
                }
                actor.feed_pass(&page, reached);
                actor.advance(ctx);
            }
            Err(error) => actor.unread(error, ctx),
        }));
    }

    pub(super) fn feed_pass(&mut self, trades: &[Trade], reached: DateTime<Utc>) {
        let Some(active) = self.tape.as_mut().and_then(|side| side.pass.as_mut()) else { return };
        let gap = active.pass.gap();
        let fed = active.pass.feed(trades, reached);
        let late = active.late.clone();
        let is_over = active.pass.gap().is_none() || fed.is_err();
        if let Some(side) = self.tape.as_mut().filter(|_| is_over) {
            side.pass = None;
        }
        let now = self.setup.venue.now();
        match (fed, gap) {
            (Ok(all), _) => {
                let mut by_series: BTreeMap<Timeframe, Vec<Built>> = BTreeMap::new();
                all.into_iter().for_each(|built| by_series.entry(built.timeframe).or_default().push(built));
                for (timeframe, all) in by_series {
                    if let Some(series) = self.series_of(timeframe) {
                        all.into_iter().for_each(|built| series.build_missing(built, &late, now));
                    }
                }
            }
            (Err(error), Some(gap)) => {
                warn!(%error, %gap, "trades that cannot be added up exactly");
                for series in &mut self.series {
                    for span in series.book.trade_work(now).within(gap).spans() {
                        let reason = NOT_SUMMABLE.to_owned();
                        series.state(LedgerChange::Set(*span, Coverage::Unavailable { reason }));
                    }
                }
            }
            (Err(_), None) => {}
        }
    }
}

/// What of the work can be begun where all trades come from the store: a quiet beginning whose price
/// lies further back waits until the trades there have been read, and has them read.
fn with_lead(work: &SpanSet, series: &Series, tape: &mut Tape) -> SpanSet {
    let mut ready = SpanSet::new();
    for span in work.spans() {
        let lead = Span::new(span.from - series.book.look_back(span.from), span.from);
        tape.collect_since(lead.from);
        if tape.known().union(tape.unavailable()).covers(lead) {
            ready.insert(*span);
        }
    }
    ready
}

/// The whole buckets of `work` whose trades are known.
fn whole_buckets(grid: Grid, work: &SpanSet, known: &SpanSet) -> SpanSet {
    let parts = work.spans().iter().flat_map(|span| known.within(*span).spans().to_vec());
    parts.map(|part| Span::new(grid.ceil(part.from), grid.bucket_at(part.to))).filter(|span| !span.is_empty()).collect()
}
