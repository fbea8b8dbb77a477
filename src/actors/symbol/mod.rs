//! One symbol: keeps all its series complete. Settles stream frames, polls what no stream settles,
//! reads history, repairs gaps, derives higher timeframes, and hands everything to the writer.
//!
//! It never waits by itself for a venue that fails: calls wait at the gate of its ExchangeActor, and
//! a failure that is its own ends this life; the parent's back-off is the wait.

mod revise;
mod series;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use self::series::{Feed, Series};
use super::exchange::ExchangeActor;
use super::messages::{
    FetchCandles, FetchError, FetchedPage, Report, SaveError, SaveSeries, Stop, StreamAttached, StreamBatch,
    StreamDetached, SymbolNews, SymbolNotice,
};
use super::status::StatusActor;
use super::venue::Venue;
use super::writer::WriterActor;
use crate::engine::book::{Book, Call, SeriesRules, TOO_OLD};
use crate::engine::derive;
use crate::engine::page::Page;
use crate::engine::settle::{StreamRules, Tracker};
use crate::exchange::{ErrorKind, Instrument, VenueError};
use crate::market::ledger::{Coverage, LedgerChange};
use crate::market::{FinalCandle, Rule, Source, Symbol, Timeframe};
use crate::status::{ComponentStatus, Health, Mode, Phase};
use crate::store::{CandleQuery, SeriesChange, SeriesOutcome, Store, StoreError, SymbolRow};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::supervise::slot::Slot;

/// Longest wall-clock time a ledger statement without candles waits for company.
const STATEMENT_AGE: Duration = Duration::from_secs(5);
/// Shortest wall-clock time between two writes of the open bucket.
const FORMING_EVERY: Duration = Duration::from_secs(1);
/// Polls of a venue's symbols are spread over this much venue time.
const JITTER: TimeDelta = TimeDelta::milliseconds(800);

/// What the actor is built from.
pub struct SymbolSetup {
    /// The venue.
    pub venue: Venue,
    /// What is wanted.
    pub row: SymbolRow,
    /// How the venue describes it.
    pub instrument: Arc<Instrument>,
    /// Where the ledger is read.
    pub store: Arc<dyn Store>,
    /// Who writes.
    pub writer: Slot<WriterActor>,
    /// Where to report.
    pub status: Slot<StatusActor>,
    /// Who fetches.
    pub parent: Addr<ExchangeActor>,
    /// Lives before this one.
    pub restarts: u64,
    /// Tells the parent of the end.
    pub guard: ExitGuard<Symbol>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct SymbolActor {
    setup: SymbolSetup,
    series: Vec<Series>,
    urgent: Slots,
    background: Slots,
    /// What is on its way to the writer.
    saving: Option<Arc<Vec<SeriesChange>>>,
    pending_since: Option<Instant>,
    formed_at: Option<Instant>,
    timer: Option<SpawnHandle>,
    jitter: TimeDelta,
    is_loaded: bool,
    is_stopping: bool,
    revisions: u64,
}

/// A place for one REST call, taken until its result is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slots {
    Free,
    Calling,
    Concluded,
    Saving,
}

/// Which of the two places a call takes: live and repair reads never wait behind history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Urgent,
    Background,
}

impl SymbolActor {
    /// An actor that is about to read its ledger.
    pub fn new(setup: SymbolSetup) -> SymbolActor {
        let spread = setup.row.symbol.as_str().bytes().fold(17u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
        let jitter = JITTER * i32::try_from(spread % 1000).unwrap_or(0) / 1000;
        SymbolActor {
            setup,
            series: Vec::new(),
            urgent: Slots::Free,
            background: Slots::Free,
            saving: None,
            pending_since: None,
            formed_at: None,
            timer: None,
            jitter,
            is_loaded: false,
            is_stopping: false,
            revisions: 0,
        }
    }

    fn end(&mut self, exit: Exit, ctx: &mut Context<Self>) {
        self.setup.guard.ends_with(exit);
        ctx.stop();
    }

    fn loaded(&mut self, result: Result<Vec<Series>, StoreError>, ctx: &mut Context<Self>) {
        match result {
            Ok(series) => {
                self.series = series;
                self.is_loaded = true;
                self.advance(ctx);
            }
            Err(error) => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }

    /// Does everything that is due, and arms the timer for what comes next.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        if !self.is_loaded {
            return;
        }
        if !self.is_stopping {
            let now = self.setup.venue.now();
            for series in &mut self.series {
                series.observe(now, self.jitter);
            }
            self.derive(now, ctx);
            self.call(Class::Urgent, now, ctx);
            self.call(Class::Background, now, ctx);
        }
        self.save(ctx);
        if self.is_stopping {
            if self.saving.is_none() {
                self.end(Exit::Finished, ctx);
            }
            return;
        }
        self.report();
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let now = self.setup.venue.now();
        let wake = self.series.iter().map(|series| series.wake_at(now, self.jitter)).min();
        let Some(wake) = wake else { return };
        // Something that is due and still here waits for a reply, which will call us.
        let mut wait = self.setup.venue.wall_until(wake.max(now + TimeDelta::milliseconds(100)));
        if let Some(since) = self.pending_since.filter(|_| self.saving.is_none()) {
            wait = wait.min(STATEMENT_AGE.saturating_sub(since.elapsed()).max(Duration::from_millis(1)));
        }
        self.timer = Some(ctx.run_later(wait.max(Duration::from_millis(1)), |actor, ctx| {
            actor.timer = None;
            actor.advance(ctx);
        }));
    }

    fn slot(&mut self, class: Class) -> &mut Slots {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::Background => &mut self.background,
        }
    }

    /// Makes the next call of a class, if its place is free and something is due.
    fn call(&mut self, class: Class, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if *self.slot(class) != Slots::Free {
            return;
        }
        let due = self.series.iter().enumerate().find_map(|(index, series)| {
            let call = match class {
                Class::Urgent => series.book.urgent_call(now),
                Class::Background => series.book.background_call(now),
            };
            call.map(|call| (index, call))
        });
        let Some((index, call)) = due else { return };
        *self.slot(class) = Slots::Calling;
        let timeframe = self.series[index].timeframe;
        debug!(%timeframe, priority = ?call.priority, span = %call.span, "call");
        let fetching =
            self.setup.parent.send(FetchCandles { instrument: self.setup.instrument.clone(), timeframe, call });
        ctx.spawn(fetching.into_actor(self).map(move |result, actor, ctx| match result {
            Ok(result) => actor.fetched(class, index, call, result, ctx),
            // The parent ended, and with it this family.
            Err(_) => actor.end(Exit::Finished, ctx),
        }));
    }

    fn fetched(
        &mut self,
        class: Class,
        index: usize,
        call: Call,
        result: Result<FetchedPage, FetchError>,
        ctx: &mut Context<Self>,
    ) {
        match result {
            Ok(page) => self.page(class, index, page, ctx),
            Err(FetchError::Venue(VenueError { kind: ErrorKind::UnknownSymbol, message })) => {
                self.end(Exit::Rejected(message), ctx);
            }
            Err(FetchError::Venue(VenueError { kind: ErrorKind::OutOfHistory, .. })) => {
                let too_old = Coverage::Unavailable { reason: TOO_OLD.to_owned() };
                self.series[index].state(LedgerChange::Set(call.span, too_old));
                *self.slot(class) = Slots::Free;
                self.advance(ctx);
            }
            Err(FetchError::Cancelled) => {
                self.is_stopping = true;
                self.advance(ctx);
            }
            Err(error) => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }

    fn page(&mut self, class: Class, index: usize, fetched: FetchedPage, ctx: &mut Context<Self>) {
        let FetchedPage { call, rows, sent_at, observed_at } = fetched;
        let page = Page { asked: call.span, rows, sent_at, observed_at };
        let conclusion = self.series[index].book.conclude(&call, &page);
        self.series[index].book.concluded(&call, &conclusion);
        self.setup.venue.tally.dropped("row_off_the_grid", u64::from(conclusion.refused_rows));
        let checks = revise::Checks::new(&self.series, index, &conclusion.candles);
        let store = self.setup.store.clone();
        // Most pages bring nothing that a parent bar was built from: they are queued at once.
        let checking = async move { checks.run(&*store).await };
        ctx.spawn(checking.into_actor(self).map(move |corrections, actor, ctx| match corrections {
            Ok(corrections) => {
                for (parent, candle) in corrections {
                    actor.series[parent].rederive(candle, observed_at);
                }
                actor.series[index].conclude(conclusion, observed_at);
                *actor.slot(class) = Slots::Concluded;
                actor.advance(ctx);
            }
            Err(error) => actor.end(Exit::Failed(error.to_string()), ctx),
        }));
    }

    /// Derives the higher bars whose parts are all final.
    fn derive(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        for index in 0..self.series.len() {
            let grid = self.series[index].grid();
            let Feed::Derived { from, next, is_reading: false } = self.series[index].feed else { continue };
            if grid.close_of(next) > now {
                continue;
            }
            let parts = &self.series[from];
            let (fine, span) = (parts.grid(), crate::market::resample::parts_span(&parts.grid(), &grid, next));
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
                        let observed_at = actor.setup.venue.clock.now();
                        let (source, rule) = (Source::Derived, Rule::Derived);
                        actor.series[index].settle(FinalCandle { candle, source, rule, observed_at });
                    }
                    actor.advance(ctx);
                }
                Err(error) => actor.end(Exit::Failed(error.to_string()), ctx),
            }));
        }
    }

    fn set_derived(&mut self, index: usize, at: DateTime<Utc>, reading: bool) {
        if let Feed::Derived { next, is_reading, .. } = &mut self.series[index].feed {
            (*next, *is_reading) = (at, reading);
        }
    }

    /// Sends what waits to the writer, one save at a time.
    fn save(&mut self, ctx: &mut Context<Self>) {
        if self.saving.is_some() || !self.series.iter().any(Series::has_pending) {
            return;
        }
        let since = *self.pending_since.get_or_insert_with(Instant::now);
        let is_concluded = self.urgent == Slots::Concluded || self.background == Slots::Concluded;
        let is_urgent = self.is_stopping || is_concluded || self.series.iter().any(Series::has_candles);
        if !is_urgent && since.elapsed() < STATEMENT_AGE {
            return;
        }
        self.pending_since = None;
        for slot in [&mut self.urgent, &mut self.background] {
            if *slot == Slots::Concluded {
                *slot = Slots::Saving;
            }
        }
        let changes: Vec<SeriesChange> =
            self.series.iter_mut().filter(|series| series.has_pending()).map(Series::take_pending).collect();
        let changes = Arc::new(changes);
        self.saving = Some(changes.clone());
        let mut writer = self.setup.writer.clone();
        let saving = async move { writer.send(SaveSeries { changes }).await };
        ctx.spawn(saving.into_actor(self).map(|result, actor, ctx| actor.saved(result, ctx)));
    }

    fn saved(&mut self, result: Option<Result<Vec<SeriesOutcome>, SaveError>>, ctx: &mut Context<Self>) {
        let Some(changes) = self.saving.take() else { return };
        let outcomes = match result {
            Some(Ok(outcomes)) => outcomes,
            Some(Err(error)) => return self.end(Exit::Failed(error.to_string()), ctx),
            None => return self.end(Exit::Finished, ctx),
        };
        for slot in [&mut self.urgent, &mut self.background] {
            if *slot == Slots::Saving {
                *slot = Slots::Free;
            }
        }
        let (mut is_deaf, mut is_useful) = (false, false);
        for (change, outcome) in changes.iter().zip(&outcomes) {
            if let Some(series) = self.series.iter_mut().find(|series| series.id == change.series) {
                series.saved(change);
            }
            is_useful |= outcome.inserted > 0;
            for revision in &outcome.revisions {
                self.revisions += 1;
                info!(open_time = %revision.new.candle.open_time, source = %revision.new.source, "a final candle was revised");
                is_deaf |= revision.old.source == Source::Synthesised && revision.new.candle.volume > 0.0;
            }
        }
        if is_deaf {
            warn!("trading was found where the stream was silent");
            self.notify(SymbolNews::Deaf);
        } else if is_useful {
            self.notify(SymbolNews::Useful);
        }
        self.advance(ctx);
    }

    fn notify(&self, news: SymbolNews) {
        let (symbol, generation) = (self.setup.row.symbol.clone(), self.setup.guard.generation());
        self.setup.parent.do_send(SymbolNotice { symbol, generation, news });
    }

    fn report(&self) {
        let Some(status) = self.setup.status.current() else { return };
        let (exchange, symbol) = (self.setup.venue.id(), self.setup.row.symbol.as_str());
        let mut report = ComponentStatus::starting(format!("{exchange}:{symbol}"));
        (report.exchange, report.symbol) = (Some(exchange.to_owned()), Some(symbol.to_owned()));
        let is_streamed = self.series.iter().all(Series::is_streamed);
        report.mode = Some(if is_streamed { Mode::LiveWebsocket } else { Mode::LiveRestPolling });
        let is_backfilling = self.series.iter().any(|series| series.book.is_backfilling());
        (report.phase, report.health) =
            if is_backfilling { (Phase::Backfilling, Health::Processing) } else { (Phase::Live, Health::Running) };
        report.restarts = self.setup.restarts;
        if let Some(finest) = self.series.first()
            && let Some((open, close)) = finest.newest
        {
            report.last_candle = Some(open);
            report.lag_ms = Some((self.setup.venue.now() - close).num_milliseconds().max(0));
        }
        let count = self.series.len().max(1) as f64;
        let (complete, settled) = self.series.iter().fold((0.0, 0.0), |(complete, settled), series| {
            let (a, b) = series.book.shares();
            (complete + a, settled + b)
        });
        report.coverage_percent = Some(100.0 * complete / count);
        report.settled_percent = Some(100.0 * settled / count);
        let timeframes: Vec<&str> = self.series.iter().map(|series| series.timeframe.as_str()).collect();
        report.message = timeframes.join(",");
        if self.revisions > 0 {
            report.message.push_str(&format!("; {} revisions", self.revisions));
        }
        status.do_send(Report(report));
    }
}

/// Opens all series of a symbol as the store has them.
async fn open_series(
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
                Feed::Native { tracker: Some(tracker), grace }
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

impl Actor for SymbolActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let setup = &self.setup;
        let opening =
            open_series(setup.store.clone(), setup.venue.clone(), setup.row.clone(), setup.instrument.clone());
        // Frames that arrive meanwhile wait in the mailbox.
        ctx.wait(opening.into_actor(self).map(|result, actor, ctx| actor.loaded(result, ctx)));
    }
}

impl Handler<StreamAttached> for SymbolActor {
    type Result = ();

    fn handle(&mut self, message: StreamAttached, ctx: &mut Context<Self>) {
        for series in self.series.iter_mut().filter(|series| series.timeframe == message.timeframe) {
            if let Some(tracker) = series.tracker() {
                tracker.attach(message.connection, message.acked_at);
            }
        }
        self.advance(ctx);
    }
}

impl Handler<StreamDetached> for SymbolActor {
    type Result = ();

    fn handle(&mut self, message: StreamDetached, ctx: &mut Context<Self>) {
        for series in &mut self.series {
            if let Some(tracker) = series.tracker() {
                tracker.detach(message.connection);
            }
        }
        self.advance(ctx);
    }
}

impl Handler<StreamBatch> for SymbolActor {
    type Result = ();

    fn handle(&mut self, batch: StreamBatch, ctx: &mut Context<Self>) {
        let observed_at = self.setup.venue.clock.now();
        let mut verdicts = Vec::new();
        let may_form = self.formed_at.is_none_or(|at| at.elapsed() >= FORMING_EVERY);
        let mut is_news = may_form;
        for series in &mut self.series {
            let mut tracker = match &mut series.feed {
                Feed::Native { tracker, .. } => match tracker.take() {
                    Some(tracker) => tracker,
                    None => continue,
                },
                Feed::Derived { .. } => continue,
            };
            let own = series.timeframe;
            for (_, frame) in batch.frames.iter().filter(|(timeframe, _)| *timeframe == own) {
                tracker.frame(batch.connection, *frame, |open| series.is_settled(open), &mut verdicts);
                is_news |= !verdicts.is_empty();
                verdicts.drain(..).for_each(|verdict| series.take(verdict, observed_at));
            }
            tracker.alive(batch.connection, batch.alive_at, &mut verdicts);
            is_news |= !verdicts.is_empty();
            verdicts.drain(..).for_each(|verdict| series.take(verdict, observed_at));
            if may_form && let Some(forming) = tracker.forming() {
                series.form(forming);
                self.formed_at = Some(Instant::now());
            }
            if let Feed::Native { tracker: place, .. } = &mut series.feed {
                *place = Some(tracker);
            }
        }
        // One more state of the open bucket makes nothing due that the timer does not know.
        if is_news {
            self.advance(ctx);
        }
    }
}

impl Handler<Stop> for SymbolActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.is_stopping = true;
        if self.is_loaded { self.advance(ctx) } else { self.end(Exit::Finished, ctx) }
    }
}
