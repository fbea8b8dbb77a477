//! The only writer of candles, coverage and tickers. Gathers what arrives within a moment into one
//! transaction, rides out a store that cannot be written, and answers when the data is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::feed::FeedActor;
use super::messages::{Flush, Report, SaveError, SaveSymbol, SaveTickers, SeriesWritten, Stop};
use super::publisher::PublisherActor;
use crate::config::WriterConfig;
use crate::mirror::candles::SeriesNews;
use crate::status::{ComponentStatus, Health, Phase, Tally};
use crate::store::{SeriesChange, SeriesOutcome, Store, StoreError, SymbolId, TickerChange, WriteBatch};
use crate::supervise::exit::{Exit, ExitGuard};
use crate::supervise::family::Member;
use crate::supervise::slot::Slot;

/// First and longest wait between tries while the store cannot be written.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the writer is built from.
pub struct WriterSetup {
    /// Where to write.
    pub store: Arc<dyn Store>,
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
    waiting: Vec<Job>,
    waiting_rows: usize,
    /// The newest of each symbol.
    tickers: BTreeMap<SymbolId, TickerChange>,
    is_writing: bool,
    is_stopping: bool,
    timer: Option<SpawnHandle>,
    flushed: Vec<oneshot::Sender<()>>,
}

/// One sender's changes.
struct Job {
    save: SaveSymbol,
    reply: oneshot::Sender<Result<Vec<SeriesOutcome>, SaveError>>,
}

impl WriterActor {
    /// A writer with nothing to do.
    pub fn new(setup: WriterSetup) -> WriterActor {
        WriterActor {
            setup,
            waiting: Vec::new(),
            waiting_rows: 0,
            tickers: BTreeMap::new(),
            is_writing: false,
            is_stopping: false,
            timer: None,
            flushed: Vec::new(),
        }
    }

    /// Starts a transaction with everything that waits, unless one is under way.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if self.waiting.is_empty() && self.tickers.is_empty() {
            for waiter in self.flushed.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = waiter.send(());
            }
            if self.is_stopping {
                ctx.stop();
            }
            return;
        }
        self.is_writing = true;
        self.waiting_rows = 0;
        let jobs = std::mem::take(&mut self.waiting);
        let tickers: Vec<TickerChange> = std::mem::take(&mut self.tickers).into_values().collect();
        let gives_up = self.is_stopping;
        let (store, tally) = (self.setup.store.clone(), self.setup.tally.clone());
        let (publisher, feed) = (self.setup.publisher.clone(), self.setup.feed.clone());
        let writing = async move {
            let trouble = write_jobs(&*store, &tally, (publisher.as_ref(), &feed), jobs, gives_up).await?;
            Ok(write_tickers(&*store, &tally, tickers).await.or(trouble))
        };
        ctx.spawn(writing.into_actor(self).map(|written: Result<_, TakenOver>, actor, ctx| {
            actor.is_writing = false;
            match written {
                Ok(trouble) => {
                    actor.report(trouble);
                    actor.write(ctx);
                }
                // No writer of this collector will do better: the Supervisor sees them fail, and ends.
                Err(TakenOver(words)) => {
                    actor.report(Some(words.clone()));
                    actor.setup.guard.ends_with(Exit::Failed(words));
                    ctx.stop();
                }
            }
        }));
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

    fn report(&self, trouble: Option<String>) {
        let Some(status) = self.setup.status.current() else { return };
        let mut report = ComponentStatus::starting("writer");
        report.phase = Phase::Live;
        report.health = if trouble.is_some() { Health::Error } else { Health::Running };
        report.message = trouble.unwrap_or_else(|| self.setup.store.url().to_owned());
        status.do_send(Report(report));
    }
}

/// Another collector holds the database now; in its words.
struct TakenOver(String);

/// Writes the jobs together; a batch that the store refuses is split by sender, so that one poisoned
/// change costs nobody else anything. Returns what went wrong on the way, if anything did.
async fn write_jobs(
    store: &dyn Store,
    tally: &Tally,
    (publisher, feed): (Option<&Slot<PublisherActor>>, &Slot<FeedActor>),
    jobs: Vec<Job>,
    gives_up: bool,
) -> Result<Option<String>, TakenOver> {
    let mut trouble = None;
    let mut groups = if jobs.is_empty() { Vec::new() } else { vec![jobs] };
    while let Some(mut group) = groups.pop() {
        let batch = WriteBatch {
            series: group.iter().flat_map(|job| job.save.series.iter().cloned()).collect(),
            trades: group.iter().filter_map(|job| job.save.trades.as_deref().cloned()).collect(),
            tickers: Vec::new(),
        };
        match ride_out(store, tally, &batch, gives_up, &mut trouble).await {
            Ok(outcomes) => {
                let inserted = outcomes.iter().map(|outcome| outcome.inserted).sum();
                let revised = outcomes.iter().map(|outcome| outcome.revisions.len() as u64).sum();
                tally.stored(inserted, revised);
                let news = SeriesWritten(news(&batch.series, &outcomes));
                if let Some(publisher) = publisher.and_then(Slot::current) {
                    publisher.do_send(news.clone());
                }
                if let Some(feed) = feed.current() {
                    feed.do_send(news);
                }
                let mut outcomes = outcomes.into_iter();
                for job in group {
                    let own = outcomes.by_ref().take(job.save.series.len()).collect();
                    let _ = job.reply.send(Ok(own));
                }
            }
            Err(error) if error.is_transient() => {
                for job in group {
                    let _ = job.reply.send(Err(SaveError::Stopping(error.to_string())));
                }
            }
            Err(error @ StoreError::Held { .. }) => {
                for job in group.into_iter().chain(groups.into_iter().flatten()) {
                    let _ = job.reply.send(Err(SaveError::Stopping(error.to_string())));
                }
                return Err(TakenOver(error.to_string()));
            }
            Err(error) if group.len() == 1 => {
                warn!(%error, "a change was refused by the store; what it held will be fetched again");
                tally.dropped("refused_by_store", 1);
                trouble = Some(error.to_string());
                for job in group {
                    let _ = job.reply.send(Err(SaveError::Refused(error.to_string())));
                }
            }
            Err(_) => {
                let half = group.split_off(group.len() / 2);
                groups.push(half);
                groups.push(group);
            }
        }
    }
    Ok(trouble)
}

/// What a transaction did, for those who are told.
fn news(changes: &[SeriesChange], outcomes: &[SeriesOutcome]) -> Vec<SeriesNews> {
    let told = changes.iter().zip(outcomes).filter(|(change, outcome)| {
        change.forming.is_some() || outcome.inserted + outcome.withdrawn > 0 || !outcome.revisions.is_empty()
    });
    told.map(|(change, outcome)| SeriesNews {
        series: change.series,
        last_sequence: outcome.last_sequence,
        forming: change.forming,
    })
    .collect()
}

/// Writes tickers, once: while the store cannot take them newer ones come. Apart from all else, so
/// that nothing waits for them. Returns what went wrong.
async fn write_tickers(store: &dyn Store, tally: &Tally, tickers: Vec<TickerChange>) -> Option<String> {
    if tickers.is_empty() {
        return None;
    }
    let count = tickers.len();
    let error = store.write(&WriteBatch { tickers, ..WriteBatch::default() }).await.err()?;
    warn!(%error, rows = count, "tickers were not stored; the next ones take their place");
    tally.dropped("ticker_not_stored", count as u64);
    Some(error.to_string())
}

/// Writes, waiting and trying again for as long as the store may come back.
async fn ride_out(
    store: &dyn Store,
    tally: &Tally,
    batch: &WriteBatch,
    gives_up: bool,
    trouble: &mut Option<String>,
) -> Result<Vec<SeriesOutcome>, StoreError> {
    let mut wait = RETRY.0;
    let mut tries = 0u32;
    loop {
        match store.write(batch).await {
            Err(error) if error.is_transient() && !(gives_up && tries >= 3) => {
                if tries == 0 {
                    warn!(%error, rows = batch.rows(), "the store cannot be written; waiting for it");
                }
                tally.write_failure();
                *trouble = Some(error.to_string());
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
                tries += 1;
            }
            result => {
                if tries > 0 && result.is_ok() {
                    info!(attempt = tries, "the store can be written again");
                    *trouble = None;
                }
                return result;
            }
        }
    }
}

impl Actor for WriterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(self.setup.config.queue_messages);
        self.report(None);
    }
}

impl Handler<SaveSymbol> for WriterActor {
    type Result = ResponseActFuture<Self, Result<Vec<SeriesOutcome>, SaveError>>;

    fn handle(&mut self, save: SaveSymbol, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, outcome) = oneshot::channel();
        let trades = save.trades.as_ref().map_or(0, |change| change.trades.len());
        self.waiting_rows += save.series.iter().map(SeriesChange::rows).sum::<usize>() + trades;
        self.waiting.push(Job { save, reply });
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
        self.is_stopping = true;
        self.write(ctx);
    }
}
