//! One symbol: keeps all its series complete. Settles stream frames, polls what no stream settles,
//! reads history, repairs gaps, derives higher timeframes, and hands everything to the writer.
//!
//! It never waits by itself for a venue that fails: calls wait at the gate of its ExchangeActor, and
//! a failure that is its own ends this life; the parent's back-off is the wait.

mod audit;
mod calls;
mod compare;
mod derived;
mod frames;
mod hearing;
mod mode;
mod opening;
mod passes;
mod repair;
mod report;
mod revise;
mod saves;
mod series;
mod tape;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use self::opening::streamed_channels;

use self::calls::{Class, Slots};
use self::hearing::Hearing;
use self::mode::Live;
use self::report::Told;
use self::saves::STATEMENT_AGE;
use self::series::Series;
use self::tape::TapeSide;
use super::exchange::ExchangeActor;
use super::messages::{KeepFrom, Stop, SymbolNews, SymbolNotice};
use super::status::StatusActor;
use super::venue::Venue;
use super::writer::WriterActor;
use crate::exchange::Instrument;
use crate::market::Symbol;
use crate::store::spool::{Backlog, Owner};
use crate::store::{ModeChange, Store, SymbolRow, TradesChange};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::supervise::slot::Slot;

/// How long a symbol without series sleeps at most.
const IDLE: TimeDelta = TimeDelta::seconds(60);
/// What a timer is precise to.
const TICK: Duration = Duration::from_millis(1);
/// Polls of a venue's symbols are spread over this much venue time.
const JITTER: TimeDelta = TimeDelta::milliseconds(800);

/// What the actor is built from.
pub struct SymbolSetup {
    /// The venue.
    pub venue: Venue,
    /// What is wanted.
    pub row: Arc<SymbolRow>,
    /// How the venue describes it.
    pub instrument: Arc<Instrument>,
    /// Where the ledger is read.
    pub store: Arc<dyn Store>,
    /// What the store lacks of what was handed over.
    pub backlog: Backlog,
    /// Who writes.
    pub writer: Slot<WriterActor>,
    /// Where to report.
    pub status: Slot<StatusActor>,
    /// Who fetches.
    pub parent: Addr<ExchangeActor>,
    /// How long a deaf stream may go unnoticed.
    pub deaf_within: Duration,
    /// It compares and repairs what it is asked to, and collects nothing.
    pub only_audits: bool,
    /// Lives before this one that failed.
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
    /// Most symbols have none.
    tape: Option<Box<TapeSide>>,
    hearing: Hearing,
    urgent: Slots,
    background: Slots,
    /// Something is on its way to the writer.
    is_saving: bool,
    /// Trades that are on their way too.
    trades_being_saved: Option<Arc<TradesChange>>,
    /// The last of its saves that wait in the spool.
    spooled: Option<i64>,
    owner: Arc<Owner>,
    /// Who waits for a repair that goes with the next save.
    repairs: Vec<oneshot::Sender<()>>,
    pending_since: Option<Instant>,
    formed_at: Option<Instant>,
    timer: Option<(Instant, SpawnHandle)>,
    told: Option<Told>,
    /// The start of this life, in venue time.
    began: DateTime<Utc>,
    jitter: TimeDelta,
    is_loaded: bool,
    /// What was missing when this life began has been stated.
    has_stated: bool,
    is_stopping: bool,
    /// What the venue said when it did not know the symbol any more.
    refusal: Option<String>,
    revisions: u64,
    live: Live,
    /// Changes of the mode that wait to be recorded.
    modes: Vec<ModeChange>,
}

impl SymbolActor {
    /// An actor that is about to read its ledger.
    pub fn new(setup: SymbolSetup) -> SymbolActor {
        let spread = setup.row.symbol.as_str().bytes().fold(17u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
        let jitter = JITTER * i32::try_from(spread % 1000).unwrap_or(0) / 1000;
        let (symbol, exchange, name) = (setup.row.id, setup.row.exchange.clone(), setup.row.symbol.clone());
        SymbolActor {
            owner: Arc::new(Owner { symbol, exchange, name, series: Vec::new() }),
            spooled: None,
            repairs: Vec::new(),
            began: setup.venue.now(),
            setup,
            series: Vec::new(),
            tape: None,
            hearing: Hearing::new(spread),
            urgent: Slots::Free,
            background: Slots::Free,
            is_saving: false,
            trades_being_saved: None,
            pending_since: None,
            formed_at: None,
            timer: None,
            told: None,
            jitter,
            is_loaded: false,
            has_stated: false,
            is_stopping: false,
            refusal: None,
            revisions: 0,
            live: Live::default(),
            modes: Vec::new(),
        }
    }

    fn end(&mut self, exit: Exit, ctx: &mut Context<Self>) {
        self.setup.guard.ends_with(exit);
        ctx.stop();
    }

    /// The venue does not know the symbol any more: what was settled is saved, then this life ends.
    fn refused(&mut self, why: String, ctx: &mut Context<Self>) {
        self.refusal = Some(why);
        self.is_stopping = true;
        self.advance(ctx);
    }

    /// Does everything that is due, and arms the timer for what comes next.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        if !self.is_loaded {
            return;
        }
        if !self.is_stopping && !self.setup.only_audits {
            let now = self.setup.venue.now();
            for series in &mut self.series {
                series.observe(now, self.jitter);
                let left_out = std::mem::take(&mut series.left_out);
                self.setup.venue.tally.dropped("candles_while_the_store_is_away", left_out);
            }
            self.derive(now, ctx);
            self.call(Class::Urgent, now, ctx);
            self.call(Class::Background, now, ctx);
            self.advance_tape(now, ctx);
            self.listen(now, ctx);
        }
        self.follow_mode();
        self.save(ctx);
        if self.is_stopping {
            if !self.is_saving && !self.is_deriving() {
                let exit = self.refusal.take().map_or(Exit::Finished, Exit::Rejected);
                self.end(exit, ctx);
            }
            return;
        }
        self.report();
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        let now = self.setup.venue.now();
        let series = self.series.iter().map(|series| series.wake_at(now, self.jitter));
        let trades = self.tape.as_ref().and_then(|side| side.tape.wake_at(now, side.live.from()));
        let mode = self.mode_due_at().filter(|at| *at > now);
        let wake = series.chain(trades).chain(self.hears_at(now)).chain(mode).min().unwrap_or(now + IDLE);
        // Something that is due and still here waits for a reply, which will call us.
        let mut wait = self.setup.venue.wall_until(wake.max(now + TimeDelta::milliseconds(100)));
        if let Some(save_in) = self.tape.as_deref().and_then(TapeSide::save_in).filter(|_| !self.is_saving) {
            wait = wait.min(save_in);
        }
        if let Some(report_in) = self.report_in() {
            wait = wait.min(report_in);
        }
        if let Some(since) = self.pending_since.filter(|_| !self.is_saving) {
            wait = wait.min(STATEMENT_AGE.saturating_sub(since.elapsed()));
        }
        let wait = wait.max(TICK);
        let due = Instant::now() + wait;
        // One that is set already and not later does as well: it looks again. Most frames move nothing nearer.
        if self.timer.is_some_and(|(at, _)| at <= due + TICK) {
            return;
        }
        if let Some((_, late)) = self.timer.take() {
            ctx.cancel_future(late);
        }
        let timer = ctx.run_later(wait, |actor, ctx| {
            actor.timer = None;
            actor.advance(ctx);
        });
        self.timer = Some((due, timer));
    }

    fn notify(&self, news: SymbolNews) {
        let (symbol, generation) = (self.setup.row.symbol.clone(), self.setup.guard.generation());
        self.setup.parent.do_send(SymbolNotice { symbol, generation, news });
    }
}

impl Actor for SymbolActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let setup = &self.setup;
        let (store, backlog) = (setup.store.clone(), setup.backlog.clone());
        let opening = opening::open(store, backlog, setup.venue.clone(), setup.row.clone(), setup.instrument.clone());
        // Frames that arrive meanwhile wait in the mailbox.
        ctx.wait(opening.into_actor(self).map(|result, actor, ctx| actor.loaded(result, ctx)));
    }
}

impl Handler<KeepFrom> for SymbolActor {
    type Result = ();

    fn handle(&mut self, KeepFrom(row): KeepFrom, ctx: &mut Context<Self>) {
        for series in &mut self.series {
            series.keep_from(row.candles_from(series.timeframe));
        }
        let collects_from = opening::collects_from(&row, &self.series, self.setup.venue.now());
        if let Some(side) = &mut self.tape {
            side.tape.keep_from(collects_from);
        }
        self.setup.row = row;
        self.advance(ctx);
    }
}

impl Handler<Stop> for SymbolActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.is_stopping = true;
        if self.is_loaded { self.advance(ctx) } else { self.end(Exit::Finished, ctx) }
    }
}
