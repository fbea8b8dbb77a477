//! Carries out audits: has every series compared by the actor that keeps it, one after another at an
//! exchange and all exchanges at once, and records how far that is and what was found.
//!
//! A life that dies over an audit leaves it begun in the table `commands`; the next one, also that of
//! the next collector, records there that it was cut short.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use tracing::{info, warn};

use super::Supervisor;
use super::messages::Stop;
use super::messages::audit::{AuditError, AuditSeries, BeginAudit, Ready};
use crate::control::audit::{AuditJob, AuditedSeries, Course, summary};
use crate::control::{Refusal, RefusalKind, Reply};
use crate::market::Span;
use crate::market::audit::SeriesAudit;
use crate::store::inventory::grid_of;
use crate::store::rows::ASKED;
use crate::store::{Store, StoreError};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;

/// How often it is recorded how far an audit is (wall time).
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a series that nobody serves yet is waited for before it is asked for again (wall time).
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Lives of a series' actor that may end over its audit.
const MOST_LOST: u32 = 5;

/// What the actor is built from.
pub struct AuditSetup {
    /// Where audits are recorded.
    pub store: Arc<dyn Store>,
    /// Who knows the series' actors.
    pub supervisor: Addr<Supervisor>,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct AuditActor {
    store: Arc<dyn Store>,
    supervisor: Addr<Supervisor>,
    _guard: ExitGuard<&'static str>,
    _member: Member,
}

impl AuditActor {
    /// An actor that was asked nothing yet.
    pub fn new(setup: AuditSetup) -> AuditActor {
        AuditActor { store: setup.store, supervisor: setup.supervisor, _guard: setup.guard, _member: setup.member }
    }
}

impl Actor for AuditActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        // Nothing is begun before that: see `Ready`.
        ctx.wait(async move { end_those_cut_short(&*store).await }.into_actor(self).map(|ended, _, _| {
            if let Err(error) = ended {
                warn!(%error, "audits of an earlier life stay recorded as begun");
            }
        }));
    }
}

async fn end_those_cut_short(store: &dyn Store) -> Result<(), StoreError> {
    let message = "the collector ended before the audit was over; ask again under another id".to_owned();
    let outcome = Reply::refused(None, None, Refusal { kind: RefusalKind::Stopping, message }).outcome();
    for row in store.open_commands().await?.into_iter().filter(|row| row.outcome != ASKED) {
        store.update_command(&row.id, &outcome, row.report.as_deref()).await?;
    }
    Ok(())
}

impl Handler<Ready> for AuditActor {
    type Result = ();

    fn handle(&mut self, _: Ready, _: &mut Context<Self>) {}
}

impl Handler<BeginAudit> for AuditActor {
    type Result = ();

    fn handle(&mut self, BeginAudit(job): BeginAudit, ctx: &mut Context<Self>) {
        let (store, supervisor) = (self.store.clone(), self.supervisor.clone());
        ctx.spawn(async move { carry_out(job, &store, &supervisor).await }.into_actor(self));
    }
}

impl Handler<Stop> for AuditActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

async fn carry_out(job: AuditJob, store: &Arc<dyn Store>, supervisor: &Addr<Supervisor>) {
    let progress = Arc::new(AtomicU64::new(0));
    let of = buckets(&job, &**store).await;
    let mut exchanges: BTreeMap<&str, Vec<&AuditedSeries>> = BTreeMap::new();
    for series in &job.series {
        exchanges.entry(&series.exchange).or_default().push(series);
    }
    let lines = exchanges.into_values().map(|line| async {
        let mut audits = Vec::with_capacity(line.len());
        for series in line {
            audits.push(audit(series, &job, supervisor, &progress).await);
        }
        audits
    });
    let work = join_all(lines);
    tokio::pin!(work);
    let mut told = tokio::time::interval(TELL_EVERY);
    told.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = None;
    let report = loop {
        tokio::select! {
            audits = &mut work => break audits.concat(),
            _ = told.tick() => {}
        }
        let course = Course { done: progress.load(Ordering::Relaxed).min(of), of };
        if last.replace(course) != Some(course) {
            let message = course.words(&format!("{} series", job.series.len()));
            record(&job.id, &Reply::begun(&job.id, "audit", message), None, &**store).await;
        }
    };
    let repaired: u64 = report.iter().map(|series| series.counts.repaired).sum();
    let reply = Reply::done(&job.id, "audit", repaired > 0, summary(&report));
    info!(id = job.id, "audit: {}", reply.message);
    let report = serde_json::to_string(&report).expect("names, times and numbers are JSON");
    record(&job.id, &reply, Some(&report), &**store).await;
}

async fn record(id: &str, reply: &Reply, report: Option<&str>, store: &dyn Store) {
    let mut wait = TELL_EVERY;
    // What was found is worth waiting for; how far it is will be told again.
    while let Err(error) = store.update_command(id, &reply.outcome(), report).await {
        warn!(%error, id, "the course of an audit cannot be recorded");
        if report.is_none() || !error.is_transient() {
            break;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

/// Buckets to compare, about: what of the wanted series was looked at.
async fn buckets(job: &AuditJob, store: &dyn Store) -> u64 {
    let count = async {
        let symbols = store.symbols().await?;
        let mut sum = 0;
        for row in symbols {
            for series in store.series_of(row.id).await? {
                let is_asked = |one: &&AuditedSeries| {
                    (&one.exchange, &one.symbol, one.timeframe) == (&row.exchange, &row.symbol, series.timeframe)
                };
                let Some(observed) = series.observed_until.filter(|_| job.series.iter().any(|one| is_asked(&one)))
                else {
                    continue;
                };
                let grid = grid_of(&row, series.timeframe);
                let span = Span::new(grid.bucket_at(row.backfill_from), observed).intersect(job.span);
                sum += if span.is_empty() { 0 } else { grid.count(span) };
            }
        }
        Ok::<u64, StoreError>(sum)
    };
    count.await.unwrap_or_default()
}

/// Has one series compared; whoever serves it is waited for.
async fn audit(
    series: &AuditedSeries,
    job: &AuditJob,
    supervisor: &Addr<Supervisor>,
    progress: &Arc<AtomicU64>,
) -> SeriesAudit {
    let asked = AuditSeries {
        exchange: series.exchange.clone(),
        symbol: series.symbol.clone(),
        timeframe: series.timeframe,
        span: job.span,
        repairs: job.repairs,
        progress: progress.clone(),
    };
    let mut lost = 0;
    let failure = loop {
        let before = progress.load(Ordering::Relaxed);
        match supervisor.send(asked.clone()).await {
            Ok(Ok(audit)) => return audit,
            Ok(Err(AuditError::Never(why))) => break why,
            Ok(Err(AuditError::NotYet(why))) => {
                lost += u32::from(progress.load(Ordering::Relaxed) > before);
                if lost > MOST_LOST {
                    break why;
                }
            }
            // The tree ends, and this actor with it.
            Err(error) => break error.to_string(),
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    let mut audit = SeriesAudit::new(&series.exchange, &series.symbol, series.timeframe);
    audit.failure = Some(failure);
    audit
}
