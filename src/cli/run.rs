//! `candlewick run`: the daemon. Exit codes: 0 after an ordered stop, 1 when the collector failed
//! or did not stop in time, 2 for a bad configuration, 130 when a second signal forced the end.

use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Failure;
use super::database::DatabaseArgs;
use super::failure::OrUsage;
use super::shortfall::Shortfall;
use super::stop::StopRequest;
use crate::collector::{Collector, CollectorBuilder, CollectorHandle, StartError};
use crate::config::Config;
use crate::control::{Refusal, RefusalKind};
use crate::status::Totals;
use crate::store::StoreError;
use crate::store::spool::SpoolError;
use crate::web::{Bound, WebError};

/// How often the log says how things are.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);
/// How long after the configured deadline an ordered stop is given up.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How often a database that is away is tried at the start, and how often that is said.
const RETRY: Duration = Duration::from_secs(1);
const SAID_EVERY: Duration = Duration::from_secs(30);

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A simulator that stands for all exchanges, such as http://127.0.0.1:8787.
    #[arg(long, value_name = "URL")]
    simulator: Option<String>,
    /// What is logged: a level, or levels of targets such as info,candlewick::transport=debug.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

/// Runs until it is asked to stop.
///
/// # Errors
/// Usage: the configuration. Failed: the database, the simulator, the collector itself.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    let mut config = database.load_config()?;
    if let Some(filter) = &args.log {
        config.log.apply(filter).or_usage()?;
    }
    config.log.install().context("logging")?;
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    actix_rt::System::new().block_on(keep(config, args.simulator, stop))
}

async fn keep(config: Config, simulator: Option<String>, stop: StopRequest) -> Result<(), Failure> {
    let deadline = config.shutdown.deadline;
    let bound = Bound::bind(&config.web)?;
    let mut builder = Collector::builder().config(config);
    if let Some(url) = simulator {
        builder = builder.simulator(url);
    }
    let mut handle = tokio::select! {
        started = start(builder) => started?,
        who = stop.asked() => {
            info!("stopped by {who} before the start");
            return Ok(());
        }
    };
    info!(version = env!("CARGO_PKG_VERSION"), database = handle.store().url(), "collecting");
    let server = bound.map(|bound| bound.serve(handle.remote())).transpose()?;
    let result = keep_on(&mut handle, &stop, deadline).await;
    // Last, so that operators can watch the stop, and hear the answer to their command.
    if let Some(server) = server {
        server.stop().await;
    }
    result
}

/// Starts the collector. A server that is away is waited for: what to collect is in its tables. What
/// an earlier life has spooled stays where it is until then.
async fn start(builder: CollectorBuilder) -> Result<CollectorHandle, StartError> {
    let mut said: Option<Instant> = None;
    loop {
        let error = match builder.clone().start().await {
            Err(StartError::Store(error) | StartError::Spool(SpoolError::Store(error)))
                if error.is_transient() && builder.is_on_server() =>
            {
                error
            }
            started => return started,
        };
        if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            warn!(%error, "waiting for the database; nothing is collected until it answers");
            said = Some(Instant::now());
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Until the collector ends or is asked to.
async fn keep_on(handle: &mut CollectorHandle, stop: &StopRequest, deadline: Duration) -> Result<(), Failure> {
    let first = tokio::time::Instant::now() + SUMMARY_EVERY;
    let mut summaries = tokio::time::interval_at(first, SUMMARY_EVERY);
    summaries.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut before = Totals::default();
    match Shortfall::read(&**handle.store(), handle.clock().now()).await {
        Ok(held) => info!(missing = held.missing_words(), unavailable = held.unavailable_words(), "held from before"),
        Err(error) => warn!(%error, "what is held from before cannot be told"),
    }
    loop {
        tokio::select! {
            ended = handle.ended() => {
                ended.context("look at the log above for the cause")?;
                info!("stopped by a command");
                return Ok(());
            }
            who = stop.asked() => {
                info!("{who}: stopping in order, at most {deadline:?}; once more to end at once");
                break;
            }
            _ = summaries.tick() => before = summarise(handle, before),
        }
    }
    stop_in_order(handle, deadline).await?;
    let totals = handle.totals();
    info!(candles = totals.candles_stored, rest_calls = totals.rest_calls, "stopped");
    Ok(())
}

/// Stops a collector; its handle can still be asked for totals and its store afterwards.
///
/// # Errors
/// Failed: the collector had failed, or is still busy long after the deadline.
pub async fn stop_in_order(handle: &mut CollectorHandle, deadline: Duration) -> Result<(), Failure> {
    match tokio::time::timeout(deadline + STOP_GRACE, handle.stop()).await {
        Ok(ended) => Ok(ended.context("stopping")?),
        Err(_) => Err(Failure::Failed(anyhow!(
            "the collector did not stop within {deadline:?}; what was not stored is fetched again at the next start"
        ))),
    }
}

/// One line for the last minute.
fn summarise(handle: &CollectorHandle, before: Totals) -> Totals {
    let totals = handle.totals();
    info!(
        candles = totals.candles_stored - before.candles_stored,
        rest_calls = totals.rest_calls - before.rest_calls,
        frames = totals.frames - before.frames,
        revisions = totals.revisions - before.revisions,
        gaps = handle.status().iter().filter_map(|component| component.open_gaps).sum::<u64>(),
        "last minute"
    );
    totals
}

/// An address that cannot be read is the asker's; everything else failed.
impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            StartError::Store(error @ StoreError::Url { .. }) => Failure::Usage(error.into()),
            StartError::Redis(error) => Failure::Usage(error.into()),
            other => Failure::Failed(other.into()),
        }
    }
}

/// What cannot be wanted is the asker's; everything else failed.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal.kind {
            RefusalKind::Invalid => Failure::Usage(refusal.into()),
            _ => Failure::Failed(refusal.into()),
        }
    }
}

/// An address that needs a token is the asker's; one that is taken is not.
impl From<WebError> for Failure {
    fn from(error: WebError) -> Failure {
        match error {
            WebError::NoToken(_) => Failure::Usage(error.into()),
            WebError::Listen { .. } => Failure::Failed(error.into()),
        }
    }
}
