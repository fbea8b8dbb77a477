//! The only writer of candles, coverage and tickers. Gathers what arrives within a moment into one
//! transaction, rides out a store that cannot be written, and answers when the data is durable.
//!
//! A server that is away is ridden out with a spool: while anything waits there, everything goes
//! through it, and senders are told that it is safe, not that it is stored.

mod place;
mod replay;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::info;

use self::place::{Hopeless, Job, Means, RETRY};
use super::feed::FeedActor;
use super::messages::{Flush, Report, SaveError, SaveSymbol, SaveTickers, Saved, Stop};
use super::publisher::PublisherActor;
use crate::config::WriterConfig;
use crate::status::{ComponentStatus, Health, Phase, Tally};
use crate::store::spool::{Depth, Spool};
use crate::store::{Store, SymbolId, TickerChange};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::supervise::slot::Slot;

/// Senders whose changes are written in one transaction: enough that its cost is shared, and few
/// enough that what is held for it stays small when thousands of symbols close a bar at once.
const SENDERS_AT_ONCE: usize = 256;

/// What the writer is built from.
pub struct WriterSetup {
    /// Where to write.
    pub store: Arc<dyn Store>,
    /// What waits while the store is away; `None` where the store is a file.
    pub spool: Option<Arc<Spool>>,
    /// How long a write may take before it goes into the spool.
    pub patience: Duration,
    /// Batch size and age.
    pub config: WriterConfig,
    /// Running totals.
    pub tally: Tally,
    /// Told of what is stored, where somebody publishes it.
    pub publisher: Option<Slot<PublisherActor>>,
    /// Told of what is stored, for the host.
    pub feed: Slot<FeedActor>,
    /// Where to report.
    pub status: Slot<super::status::StatusActor>,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct WriterActor {
    setup: WriterSetup,
    waiting: VecDeque<Job>,
    waiting_rows: usize,
    /// The newest of each symbol.
    tickers: BTreeMap<SymbolId, TickerChange>,
    is_writing: bool,
    is_replaying: bool,
    /// How long a replay that failed waits.
    replay_wait: Duration,
    trouble: Option<String>,
    is_stopping: Arc<AtomicBool>,
    timer: Option<SpawnHandle>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl WriterActor {
    /// A writer with nothing to do.
    pub fn new(setup: WriterSetup) -> WriterActor {
        WriterActor {
            setup,
            waiting: VecDeque::new(),
            waiting_rows: 0,
            tickers: BTreeMap::new(),
            is_writing: false,
            is_replaying: false,
            replay_wait: RETRY.0,
            trouble: None,
            is_stopping: Arc::default(),
            timer: None,
            flushed: Vec::new(),
        }
    }

    fn means(&self) -> Means {
        Means {
            store: self.setup.store.clone(),
            tally: self.setup.tally.clone(),
            publisher: self.setup.publisher.clone(),
            feed: self.setup.feed.clone(),
            spool: self.setup.spool.clone(),
            patience: self.setup.patience,
            is_stopping: self.is_stopping.clone(),
        }
    }

    /// Finds a place for everything that waits, batch by batch, unless that is under way.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let means = self.means();
        // A ticker is never spooled: the newest waits here.
        let tickers = if means.is_straight() { std::mem::take(&mut self.tickers) } else { BTreeMap::new() };
        if self.waiting.is_empty() && tickers.is_empty() {
            for waiter in self.flushed.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = waiter.send(());
            }
            if self.is_stopping.load(Ordering::Relaxed) {
                ctx.stop();
            }
            return;
        }
        self.is_writing = true;
        let (mut jobs, mut rows) = (Vec::new(), 0);
        while rows < self.setup.config.batch_rows
            && jobs.len() < SENDERS_AT_ONCE
            && let Some(job) = self.waiting.pop_front()
        {
            rows += job.rows();
            jobs.push(job);
        }
        self.waiting_rows -= rows;
        let writing = async move {
            let trouble = means.place(jobs).await?;
            Ok(means.place_tickers(tickers.into_values().collect()).await.or(trouble))
        };
        ctx.spawn(writing.into_actor(self).map(|placed: Result<_, Hopeless>, actor, ctx| {
            actor.is_writing = false;
            match placed {
                Ok(trouble) => {
                    // What was spooled says nothing of the store.
                    if actor.means().is_straight() || trouble.is_some() {
                        actor.trouble = trouble;
                    }
                    actor.report();
                    actor.replay(ctx);
                    actor.write(ctx);
                }
                Err(hopeless) => actor.fail(hopeless, ctx),
            }
        }));
    }

    /// Replays what waits in the spool, unless that is under way.
    fn replay(&mut self, ctx: &mut Context<Self>) {
        let Some(spool) = self.setup.spool.clone() else { return };
        if self.is_replaying || spool.backlog().is_empty() {
            return;
        }
        self.is_replaying = true;
        let means = self.means();
        let replaying = async move { means.replay(&spool).await };
        ctx.spawn(replaying.into_actor(self).map(|replayed, actor, ctx| match replayed {
            Ok(None) => {
                (actor.replay_wait, actor.trouble) = (RETRY.0, None);
                actor.is_replaying = false;
                actor.report();
                if actor.means().is_straight() {
                    info!("the store has everything that waited in the spool");
                }
                actor.replay(ctx);
                actor.write(ctx);
            }
            Ok(trouble) => {
                actor.trouble = trouble;
                actor.report();
                let wait = actor.replay_wait;
                actor.replay_wait = (wait * 2).min(RETRY.1);
                ctx.run_later(wait, |actor, ctx| {
                    actor.is_replaying = false;
                    actor.replay(ctx);
                });
            }
            Err(hopeless) => actor.fail(hopeless, ctx),
        }));
    }

    /// No writer of this collector will do better: the Supervisor sees them fail, and ends.
    fn fail(&mut self, Hopeless(words): Hopeless, ctx: &mut Context<Self>) {
        self.trouble = Some(words.clone());
        self.report();
        self.setup.guard.ends_with(Exit::Failed(words));
        ctx.stop();
    }

    /// Has what waits written in a moment.
    fn write_soon(&mut self, ctx: &mut Context<Self>) {
        if self.timer.is_none() && !self.is_writing {
            let timer = ctx.run_later(self.setup.config.batch_age, |actor, ctx| {
                actor.timer = None;
                actor.write(ctx);
            });
            self.timer = Some(timer);
        }
    }

    fn report(&self) {
        let depth = self.setup.spool.as_ref().map(|spool| spool.backlog().depth()).unwrap_or_default();
        self.setup.tally.spool(depth.rows, depth.bytes, depth.limit_bytes);
        let Some(status) = self.setup.status.current() else { return };
        let mut report = ComponentStatus::starting("writer");
        report.phase = Phase::Live;
        report.health = match (&self.trouble, depth.jobs) {
            (Some(_), _) => Health::Error,
            (None, 0) => Health::Running,
            (None, _) => Health::Processing,
        };
        report.message = self.trouble.clone().unwrap_or_else(|| self.setup.store.url().to_owned());
        if depth.jobs > 0 {
            let Depth { rows, bytes, limit_bytes, .. } = depth;
            report.message.push_str(&format!("; {rows} rows ({bytes} of {limit_bytes} bytes) wait in the spool"));
        }
        status.do_send(Report(report));
    }
}

impl Actor for WriterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(self.setup.config.queue_messages);
        self.report();
        // Left behind by an earlier life.
        self.replay(ctx);
    }
}

impl Handler<SaveSymbol> for WriterActor {
    type Result = ResponseActFuture<Self, Result<Saved, SaveError>>;

    fn handle(&mut self, save: SaveSymbol, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, outcome) = oneshot::channel();
        let job = Job { save, reply };
        self.waiting_rows += job.rows();
        self.waiting.push_back(job);
        if self.waiting_rows >= self.setup.config.batch_rows {
            self.write(ctx);
        } else {
            self.write_soon(ctx);
        }
        let gone = || SaveError::Stopping("the writer ended".to_owned());
        Box::pin(async move { outcome.await.unwrap_or_else(|_| Err(gone())) }.into_actor(self))
    }
}

impl Handler<SaveTickers> for WriterActor {
    type Result = ();

    fn handle(&mut self, message: SaveTickers, ctx: &mut Context<Self>) {
        self.tickers.extend(message.tickers.into_iter().map(|ticker| (ticker.symbol, ticker)));
        self.write_soon(ctx);
    }
}

impl Handler<Flush> for WriterActor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.flushed.push(done);
        self.write(ctx);
        Box::pin(async move { drop(flushed.await) }.into_actor(self))
    }
}

impl Handler<Stop> for WriterActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.write(ctx);
    }
}
