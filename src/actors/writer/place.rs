//! Where saves go: into the store, while it takes them at once and nothing waits before them; else
//! into the spool, where there is one; else they are held until either takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::actors::feed::FeedActor;
use crate::actors::messages::{SaveError, SaveSymbol, Saved, SeriesWritten};
use crate::actors::publisher::PublisherActor;
use crate::mirror::candles::SeriesNews;
use crate::status::Tally;
use crate::store::spool::{Entry, Spool, SpoolError};
use crate::store::{
    ModeChange, SeriesChange, SeriesOutcome, Store, StoreError, TickerChange, TradesChange, WriteBatch,
};
use crate::supervise::slot::Slot;

/// First and longest wait between tries while the store cannot be written.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What saves are written with.
#[derive(Clone)]
pub(super) struct Means {
    pub store: Arc<dyn Store>,
    pub tally: Tally,
    pub publisher: Option<Slot<PublisherActor>>,
    pub feed: Slot<FeedActor>,
    pub spool: Option<Arc<Spool>>,
    /// How long a write may take before it goes into the spool.
    pub patience: Duration,
    /// Set when the writer is to end: what cannot be placed soon is given up then.
    pub is_stopping: Arc<AtomicBool>,
}

/// One sender's changes.
pub(super) struct Job {
    pub save: SaveSymbol,
    pub reply: oneshot::Sender<Result<Saved, SaveError>>,
}

impl Job {
    /// Candles and trades.
    pub fn rows(&self) -> usize {
        let trades = self.save.trades.as_ref().map_or(0, |change| change.trades.len());
        self.save.series.iter().map(SeriesChange::rows).sum::<usize>() + trades
    }
}

/// What is written for one sender.
pub(super) trait Changes {
    fn series(&self) -> &[SeriesChange];
    fn trades(&self) -> Option<&TradesChange>;
    fn modes(&self) -> &[ModeChange];
}

impl Changes for Job {
    fn series(&self) -> &[SeriesChange] {
        &self.save.series
    }

    fn trades(&self) -> Option<&TradesChange> {
        self.save.trades.as_deref()
    }

    fn modes(&self) -> &[ModeChange] {
        &self.save.modes
    }
}

/// The writer cannot go on, in the words of the cause.
pub(super) struct Hopeless(pub String);

/// What became of changes: those that were decided, in their order, and those that were not, with
/// the error that stopped them.
pub(super) struct Settled<C> {
    pub decided: Vec<(C, Result<Vec<SeriesOutcome>, StoreError>)>,
    pub undecided: Option<(StoreError, Vec<C>)>,
}

impl Means {
    /// True when the store has everything that came before.
    pub fn is_straight(&self) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.backlog().is_empty())
    }

    /// Writes changes together; a batch that is refused with what `is_poison` says is split by sender,
    /// so that one poisoned change costs nobody else anything. Everything else stops it.
    pub async fn settle<C: Changes>(
        &self,
        changes: Vec<C>,
        patience: Option<Duration>,
        is_poison: fn(&StoreError) -> bool,
    ) -> Settled<C> {
        let mut settled = Settled { decided: Vec::with_capacity(changes.len()), undecided: None };
        let mut groups = if changes.is_empty() { Vec::new() } else { vec![changes] };
        while let Some(mut group) = groups.pop() {
            let batch = WriteBatch {
                series: group.iter().flat_map(|change| change.series().iter().cloned()).collect(),
                trades: group.iter().filter_map(|change| change.trades().cloned()).collect(),
                tickers: Vec::new(),
                modes: group.iter().flat_map(|change| change.modes().iter().cloned()).collect(),
            };
            match self.write(&batch, patience).await {
                Ok(outcomes) => {
                    let inserted = outcomes.iter().map(|outcome| outcome.inserted).sum();
                    let revised = outcomes.iter().map(|outcome| outcome.revisions.len() as u64).sum();
                    self.tally.stored(inserted, revised);
                    let is_event =
                        !batch.modes.is_empty() || outcomes.iter().any(|outcome| outcome.last_event.is_some());
                    let news = SeriesWritten { series: news(&batch.series, &outcomes), is_event };
                    if let Some(publisher) = self.publisher.as_ref().and_then(Slot::current) {
                        publisher.do_send(news.clone());
                    }
                    if let Some(feed) = self.feed.current() {
                        feed.do_send(news);
                    }
                    let mut outcomes = outcomes.into_iter();
                    for change in group {
                        let own = outcomes.by_ref().take(change.series().len()).collect();
                        settled.decided.push((change, Ok(own)));
                    }
                }
                Err(error) if !is_poison(&error) => {
                    let rest = group.into_iter().chain(groups.into_iter().rev().flatten()).collect();
                    settled.undecided = Some((error, rest));
                    break;
                }
                Err(error) if group.len() == 1 => {
                    warn!(%error, "a change was refused by the store; what it held will be fetched again");
                    self.tally.dropped("refused_by_store", 1);
                    settled.decided.extend(group.pop().map(|change| (change, Err(error))));
                }
                Err(_) => {
                    let half = group.split_off(group.len() / 2);
                    groups.push(half);
                    groups.push(group);
                }
            }
        }
        settled
    }

    /// One transaction. Where it takes too long its end is not waited for: it may still succeed, and
    /// to write the same again changes nothing.
    async fn write(&self, batch: &WriteBatch, patience: Option<Duration>) -> Result<Vec<SeriesOutcome>, StoreError> {
        let Some(patience) = patience else { return self.store.write(batch).await };
        tokio::time::timeout(patience, self.store.write(batch)).await.unwrap_or_else(|_| {
            let message = format!("it has not taken a write within {patience:?}");
            Err(StoreError::Unavailable { url: self.store.url().to_owned(), message })
        })
    }

    /// Finds a place for each job and answers it. Returns what went wrong on the way, if anything did.
    pub async fn place(&self, jobs: Vec<Job>) -> Result<Option<String>, Hopeless> {
        let mut trouble = None;
        let (mut rest, mut wait, mut tries) = (jobs, RETRY.0, 0);
        while !rest.is_empty() {
            if self.is_straight() {
                let Settled { decided, undecided } =
                    self.settle(rest, self.spool.as_ref().map(|_| self.patience), is_poison).await;
                if decided.iter().any(|(_, result)| result.is_ok()) && tries > 0 {
                    info!(attempt = tries, "the store can be written again");
                    trouble = None;
                }
                for (job, result) in decided {
                    trouble = result.as_ref().err().map(ToString::to_string).or(trouble);
                    let answer = result.map(Saved::Stored).map_err(|error| SaveError::Refused(error.to_string()));
                    // Whoever asked may have ended.
                    let _ = job.reply.send(answer);
                }
                let Some((error, jobs)) = undecided else { break };
                if matches!(error, StoreError::Held { .. }) {
                    give_up(jobs, &error.to_string());
                    return Err(Hopeless(error.to_string()));
                }
                if tries == 0 {
                    let rows = jobs.iter().flat_map(|job| job.series()).map(SeriesChange::rows).sum::<usize>();
                    warn!(%error, rows, is_spooled = self.spool.is_some(), "the store cannot be written; waiting for it");
                }
                self.tally.write_failure();
                trouble = Some(error.to_string());
                rest = jobs;
            }
            if let Some(spool) = &self.spool {
                match append(spool, &rest).await {
                    Ok(ticket) => {
                        for job in rest {
                            let _ = job.reply.send(Ok(Saved::Spooled { ticket }));
                        }
                        break;
                    }
                    Err(error) if error.is_transient() => {
                        if tries == 0 {
                            warn!(%error, "nothing can be spooled; senders wait, and coverage does not advance");
                        }
                        trouble = Some(error.to_string());
                    }
                    Err(error) => {
                        give_up(rest, &error.to_string());
                        return Err(Hopeless(error.to_string()));
                    }
                }
            }
            if self.is_stopping.load(Ordering::Relaxed) && tries >= 3 {
                give_up(rest, trouble.as_deref().unwrap_or("the writer ended"));
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
            tries += 1;
        }
        Ok(trouble)
    }

    /// Writes tickers, once: while the store cannot take them newer ones come. Apart from all else, so
    /// that nothing waits for them. Returns what went wrong.
    pub async fn place_tickers(&self, tickers: Vec<TickerChange>) -> Option<String> {
        if tickers.is_empty() {
            return None;
        }
        let count = tickers.len();
        let batch = WriteBatch { tickers, ..WriteBatch::default() };
        let error = self.write(&batch, self.spool.as_ref().map(|_| self.patience)).await.err()?;
        warn!(%error, rows = count, "tickers were not stored; the next ones take their place");
        self.tally.dropped("ticker_not_stored", count as u64);
        Some(error.to_string())
    }
}

/// What a sender that is still there is told at once: it begins anew.
fn is_poison(error: &StoreError) -> bool {
    !error.is_transient() && !matches!(error, StoreError::Held { .. })
}

fn give_up(jobs: Vec<Job>, why: &str) {
    for job in jobs {
        let _ = job.reply.send(Err(SaveError::Stopping(why.to_owned())));
    }
}

/// Puts what lasts into the spool: the state of an open bucket is replaced within a second.
async fn append(spool: &Spool, jobs: &[Job]) -> Result<i64, SpoolError> {
    let lasting = |change: &&SeriesChange| !(change.candles.is_empty() && change.ledger.is_empty());
    let series: Vec<Vec<SeriesChange>> = jobs
        .iter()
        .map(|job| {
            let changes = job.series().iter().filter(lasting);
            changes.map(|change| SeriesChange { forming: None, ..change.clone() }).collect()
        })
        .collect();
    let lasts = |job: &Job| job.trades().is_some() || !job.modes().is_empty();
    let entries = jobs.iter().zip(&series).filter(|(job, series)| !series.is_empty() || lasts(job));
    let entries: Vec<Entry<'_>> = entries
        .map(|(job, series)| {
            let (owner, trades) = (&*job.save.owner, job.save.trades.as_deref());
            Entry { owner, series, trades, modes: job.modes() }
        })
        .collect();
    spool.append(&entries).await
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
