//! `candlewick audit`: compares what is stored with the exchanges, and with `--repair` puts right what
//! differs.
//!
//! The collector that runs on the database does it, by its table `commands`. Where none runs, one that
//! collects nothing is started for as long as it takes, and holds the database's collector lock. Exit
//! code 0 when everything that could be compared is right now, 1 when something is still wrong.

mod report;

use std::time::Duration;

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing_subscriber::filter::LevelFilter;

use super::database::DatabaseArgs;
use super::failure::OrUsage;
use super::lines::Time;
use super::listing::Format;
use super::progress::JobProgress;
use super::run::stop_in_order;
use super::stop::StopRequest;
use super::{Failure, when};
use crate::clock::Clock;
use crate::collector::{Collector, CollectorHandle, StartError, command_id};
use crate::config::Config;
use crate::control::audit::Course;
use crate::control::{Action, Asker, Command, RefusalKind, Reply, command};
use crate::exchange::registry;
use crate::market::audit::SeriesAudit;
use crate::market::{Symbol, Timeframe};
use crate::status::Phase;
use crate::store::rows::ASKED;
use crate::store::{Access, CommandRow, Store, StoreError};

/// The bar on a terminal.
const BAR: &str = "{wide_bar} {percent:>3}% {human_pos}/{human_len} buckets ETA {eta} {msg}";
/// How often it is looked at how far the audit is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A collector looks for what it is asked every second. One that does not in this time does not know how.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(30);
/// After so long without progress it is asked whether the collector is still there.
const SILENCE: Duration = Duration::from_secs(30);

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this exchange.
    exchange: Option<String>,
    /// Only this symbol of it.
    symbol: Option<Symbol>,
    /// Only this timeframe; may be given several times [default: all that are kept].
    #[arg(short = 't', long = "timeframe", value_name = "TF", value_delimiter = ',')]
    timeframes: Vec<Timeframe>,
    /// Oldest time to compare [default: everything wanted].
    #[arg(long, value_name = "T", value_parser = when::parse)]
    from: Option<DateTime<Utc>>,
    /// Compare what opens before this time [default: now].
    #[arg(long, value_name = "T", value_parser = when::parse)]
    to: Option<DateTime<Utc>>,
    /// Put right what differs: as revisions, which keep the old values.
    #[arg(long)]
    repair: bool,
    /// A simulator that stands for all exchanges, where no collector runs.
    #[arg(long, value_name = "URL")]
    simulator: Option<String>,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    fn action(&self) -> Action {
        let list = self.timeframes.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(",");
        let time = |time: Option<DateTime<Utc>>| time.map(|time| Time(time).to_string());
        Action::Audit(command::Audit {
            exchange: self.exchange.clone(),
            symbol: self.symbol.as_ref().map(Symbol::to_string),
            timeframes: (!list.is_empty()).then_some(list),
            from: time(self.from),
            to: time(self.to),
            repair: self.repair,
        })
    }
}

/// Runs until everything was compared.
///
/// # Errors
/// Usage: names that are not kept, a range that is empty. Failed: something is wrong, or could not be
/// compared.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    let config = database.load_config()?;
    if let Some(exchange) = &args.exchange {
        registry::find(exchange).or_usage()?;
    }
    let progress = JobProgress::new(BAR);
    let mut logging = config.log.clone();
    logging.level = logging.level.min(LevelFilter::WARN);
    logging.install_into(progress.notices.clone(), false).context("logging")?;
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    actix_rt::System::new().block_on(async {
        let store = database.open(Access::ReadWrite).await?;
        let report = carry_out(&args, config, &*store, progress, &stop).await?;
        report::print(args.format, &report)?;
        report::verdict(&report, args.repair)
    })
}

async fn carry_out(
    args: &Args,
    config: Config,
    store: &dyn Store,
    mut progress: JobProgress,
    stop: &StopRequest,
) -> Result<Vec<SeriesAudit>, Failure> {
    let deadline = config.shutdown.deadline;
    let mut builder = Collector::builder().config(config).only_audits();
    if let (Some(exchange), Some(symbol)) = (&args.exchange, &args.symbol) {
        builder = builder.only(exchange, symbol.clone());
    }
    if let Some(url) = &args.simulator {
        builder = builder.simulator(url);
    }
    let command = Command { id: command_id(), asked_by: Asker::Cli, action: args.action() };
    match builder.start().await {
        Ok(mut handle) => {
            progress
                .say("no collector is running: the exchanges are asked from here, and the database is ours meanwhile");
            let outcome = by_ourselves(&command, &mut handle, &mut progress, stop).await;
            progress.finish();
            let stopped = stop_in_order(&mut handle, deadline).await;
            let report = outcome?;
            stopped?;
            Ok(report)
        }
        Err(StartError::Store(StoreError::Held { holder })) => {
            progress.say(&format!("a collector is running on this database ({holder}): it is asked to do it"));
            let outcome = by_the_collector(&command, store, &mut progress, stop).await;
            progress.finish();
            outcome
        }
        Err(other) => Err(other.into()),
    }
}

/// Asks the collector that was started for it.
async fn by_ourselves(
    command: &Command,
    handle: &mut CollectorHandle,
    progress: &mut JobProgress,
    stop: &StopRequest,
) -> Result<Vec<SeriesAudit>, Failure> {
    let reply = handle.command(command.clone()).await;
    refusal(reply.ok_or_else(|| Failure::Failed(anyhow!("the collector ended by itself")))?)?;
    let store = handle.store().clone();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            who = stop.asked() => {
                let words = format!("stopped by {who}");
                let outcome = format!("refused: {}: {words}", RefusalKind::Stopping.as_str());
                store.update_command(&command.id, &outcome, None).await?;
                return Err(Failure::Failed(anyhow!(words)));
            }
            ended = handle.ended() => {
                ended.context("the audit is over")?;
                return Err(Failure::Failed(anyhow!("the collector ended by itself")));
            }
            _ = looks.tick() => {}
        }
        let waiting =
            handle.status().into_iter().find(|status| status.symbol.is_none() && status.phase == Phase::Waiting);
        let trouble = waiting.map_or(String::new(), |status| status.message);
        if let Some(report) = look(&command.id, &*store, progress, &trouble).await?.over {
            return Ok(report);
        }
    }
}

/// Asks the collector that holds the database, through its table.
async fn by_the_collector(
    command: &Command,
    store: &dyn Store,
    progress: &mut JobProgress,
    stop: &StopRequest,
) -> Result<Vec<SeriesAudit>, Failure> {
    let row = CommandRow {
        id: command.id.clone(),
        kind: command.action.name().to_owned(),
        body: command.to_json(),
        asked_by: command.asked_by.as_str().to_owned(),
        asked_at: Clock::system().now(),
        outcome: ASKED.to_owned(),
        report: None,
    };
    store.record_command(&row).await?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let (mut outcome, mut heard) = (row.outcome, Instant::now());
    loop {
        tokio::select! {
            who = stop.asked() => {
                progress.say(&format!("stopped by {who}; the collector goes on, and its table commands tells the end of {}", command.id));
                return Err(Failure::Failed(anyhow!("the audit is not over")));
            }
            _ = looks.tick() => {}
        }
        let Look { over, outcome: now } = look(&command.id, store, progress, "").await?;
        if let Some(report) = over {
            return Ok(report);
        }
        if now != outcome {
            (outcome, heard) = (now, Instant::now());
        }
        if outcome == ASKED && heard.elapsed() >= TAKEN_UP_WITHIN {
            return give_up(&command.id, "the collector does not take it up; stop it and try again", store).await;
        }
        if heard.elapsed() >= SILENCE {
            heard = Instant::now();
            if store.lock_collector("candlewick audit").await.is_ok() {
                return give_up(&command.id, "the collector ended before the audit was over; run it again", store)
                    .await;
            }
        }
    }
}

/// Ends a command that nobody will end.
async fn give_up(id: &str, words: &str, store: &dyn Store) -> Result<Vec<SeriesAudit>, Failure> {
    let outcome = format!("refused: {}: {words}", RefusalKind::Stopping.as_str());
    store.update_command(id, &outcome, None).await?;
    Err(Failure::Failed(anyhow!("{words}")))
}

/// What the table says of the command.
struct Look {
    over: Option<Vec<SeriesAudit>>,
    outcome: String,
}

async fn look(id: &str, store: &dyn Store, progress: &mut JobProgress, trouble: &str) -> Result<Look, Failure> {
    let row = store.command(id).await?.ok_or_else(|| anyhow!("the command {id} is not in the database any more"))?;
    if row.outcome == ASKED {
        return Ok(Look { over: None, outcome: row.outcome });
    }
    let reply = Reply::repeated(&row.id, &row.kind, &row.outcome);
    if reply.begun {
        let (course, _) = Course::read(&reply.message).unwrap_or_default();
        if course.of > 0 || !trouble.is_empty() {
            progress.show(course.done, course.of, trouble);
        }
        return Ok(Look { over: None, outcome: row.outcome });
    }
    refusal(reply)?;
    let report = serde_json::from_str(row.report.as_deref().unwrap_or("[]")).context("the report cannot be read")?;
    Ok(Look { over: Some(report), outcome: row.outcome })
}

/// A refused command as the failure it is.
fn refusal(reply: Reply) -> Result<(), Failure> {
    match reply.error {
        None => Ok(()),
        Some(refusal)
            if matches!(refusal.kind, RefusalKind::Invalid | RefusalKind::Unknown | RefusalKind::Malformed) =>
        {
            Err(Failure::usage(refusal.message))
        }
        Some(refusal) => Err(Failure::Failed(anyhow!(refusal.message))),
    }
}
