//! `candlewick backfill`: reads the history of one symbol now, and ends.
//!
//! The same collector as the daemon's does it, kept to one symbol: it takes the database's collector
//! lock, and the symbol stays in the tables. Exit code 0 when everything asked for is complete or
//! known to be unavailable, 1 when something is still missing.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use tracing_subscriber::filter::LevelFilter;

use super::database::DatabaseArgs;
use super::failure::OrUsage;
use super::lines::Time;
use super::live_view::grouped;
use super::progress::JobProgress;
use super::run::stop_in_order;
use super::shortfall::Shortfall;
use super::stop::StopRequest;
use super::{Failure, when};
use crate::collector::{Collector, CollectorHandle, StartError, exchange_row};
use crate::config::Config;
use crate::exchange::{Capabilities, registry};
use crate::market::{Grid, Span, Symbol, Timeframe};
use crate::status::Phase;
use crate::store::inventory::{SeriesInventory, inventory};
use crate::store::{CandleSource, Coverage, LedgerEntry, NewSymbol, Store, StoreError, SymbolRow, SymbolState};

/// History of a symbol that is new, unless `--from` says otherwise.
const USUAL_HISTORY: TimeDelta = TimeDelta::days(1);
/// The bar on a terminal.
const BAR: &str = "{wide_bar} {percent:>3}% {human_pos}/{human_len} ETA {eta} {msg}";
/// How often the ledger is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What the venue did not give is not waited for when it is not asked for again before this.
const PATIENCE: TimeDelta = TimeDelta::minutes(1);

/// Arguments of `backfill`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exchange, as `candlewick exchanges` lists it.
    exchange: String,
    /// Symbol, such as BTC/USD or AAPL.
    symbol: Symbol,
    /// Timeframe; may be given several times [default: those the symbol has, else 1m].
    #[arg(short = 't', long = "timeframe", value_name = "TF", value_delimiter = ',')]
    timeframes: Vec<Timeframe>,
    /// Oldest time wanted [default: what the symbol has, else a day ago].
    #[arg(long, value_name = "T", value_parser = when::parse)]
    from: Option<DateTime<Utc>>,
    /// End as soon as everything before this time is there [default: now].
    #[arg(long, value_name = "T", value_parser = when::parse)]
    to: Option<DateTime<Utc>>,
    /// A simulator that stands for all exchanges, such as http://127.0.0.1:8787.
    #[arg(long, value_name = "URL")]
    simulator: Option<String>,
}

/// Runs until the range is complete, or nothing more can be had.
///
/// # Errors
/// Usage: what cannot be asked for. Failed: a collector is running, or something is still missing.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    let config = database.load_config()?;
    let capabilities = registry::find(&args.exchange).or_usage()?.capabilities;
    for timeframe in &args.timeframes {
        if capabilities.timeframe(*timeframe).is_none() {
            let native: Vec<&str> = capabilities.timeframes.iter().map(|row| row.timeframe.as_str()).collect();
            return Err(Failure::usage(format!(
                "{} has no {timeframe} candles; it has {} (others are made when they are read)",
                args.exchange,
                native.join(" ")
            )));
        }
    }
    if config.exchanges.get(&args.exchange).and_then(|exchange| exchange.enabled) == Some(false) {
        return Err(Failure::Failed(anyhow!("{} is disabled in the configuration", args.exchange)));
    }
    let progress = JobProgress::new(BAR);
    let mut logging = config.log.clone();
    logging.level = logging.level.min(LevelFilter::WARN);
    logging.install_into(progress.notices.clone(), false).context("logging")?;
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    actix_rt::System::new().block_on(fill(args, config, capabilities, progress, stop))
}

async fn fill(
    args: Args,
    config: Config,
    capabilities: &'static Capabilities,
    mut progress: JobProgress,
    stop: StopRequest,
) -> Result<(), Failure> {
    let deadline = config.shutdown.deadline;
    let mut builder = Collector::builder().config(config).only(&args.exchange, args.symbol.clone());
    if let Some(url) = &args.simulator {
        builder = builder.simulator(url);
    }
    let mut handle = builder.start().await.map_err(|error| match error {
        StartError::Store(StoreError::Held { holder }) => Failure::Failed(anyhow!(
            "a collector is running on this database ({holder}) and reads history by itself; \
             widen what it wants instead: candlewick symbols add {} {} --from T",
            args.exchange,
            args.symbol
        )),
        other => other.into(),
    })?;
    progress.say("the database is ours while this runs: no other collector can start on it");
    let outcome = match Job::begin(&args, capabilities, &handle).await {
        Ok(job) => {
            let ended = job.watch(&mut handle, &mut progress, &stop).await;
            Ok((job, ended))
        }
        Err(failure) => Err(failure),
    };
    progress.finish();
    let stopped = stop_in_order(&mut handle, deadline).await;
    let (job, ended) = outcome?;
    ended?;
    stopped?;
    job.conclude(&handle).await
}

/// What was asked for.
struct Job {
    exchange: String,
    symbol: Symbol,
    timeframes: Vec<Timeframe>,
    range: Span,
}

impl Job {
    /// Widens the symbol in the tables; the collector notices.
    async fn begin(args: &Args, capabilities: &Capabilities, handle: &CollectorHandle) -> Result<Job, Failure> {
        let store = handle.store();
        let known = store.symbols().await?.into_iter().find(|row| is_row(row, &args.exchange, &args.symbol));
        if known.as_ref().is_some_and(|row| row.state == SymbolState::Paused) {
            return Err(Failure::Failed(anyhow!(
                "{} {} is paused; first: candlewick symbols resume {0} {1}",
                args.exchange,
                args.symbol
            )));
        }
        if !exchange_row(&**store, &args.exchange).await?.enabled {
            let closed = capabilities.closed.map_or(String::new(), |why| format!(" ({why})"));
            return Err(Failure::Failed(anyhow!(
                "{} is switched off{closed}; first: candlewick exchanges enable {0}",
                args.exchange
            )));
        }
        let now = handle.clock().now();
        let from = match (args.from, &known) {
            (Some(from), _) => from,
            (None, Some(row)) => row.backfill_from,
            (None, None) => now - USUAL_HISTORY,
        };
        let timeframes = match (&args.timeframes[..], &known) {
            ([], Some(row)) if !row.timeframes.is_empty() => row.timeframes.clone(),
            ([], _) => vec![Timeframe::M1],
            (asked, _) => asked.to_vec(),
        };
        // A quiet bucket needs this long to be known as quiet.
        let settled = now - TimeDelta::from_std(capabilities.settle_empty).unwrap_or_default();
        let range = Span::new(from, args.to.map_or(settled, |to| to.min(settled)));
        if range.is_empty() {
            return Err(Failure::usage(format!(
                "nothing lies between {} and {}; --from must be earlier",
                Time(range.from),
                Time(range.to)
            )));
        }
        let change = NewSymbol {
            exchange: args.exchange.clone(),
            symbol: args.symbol.clone(),
            timeframes: timeframes.clone(),
            // Without a word on it nothing that was pruned is wanted again.
            backfill_from: if known.is_some() { args.from.unwrap_or(now) } else { from },
            collect_trades: known.as_ref().is_some_and(|row| row.collect_trades),
            candle_source: known.as_ref().map_or(CandleSource::Venue, |row| row.candle_source),
            only_ticker: false,
        };
        handle.add_symbol(&change).await?;
        Ok(Job { exchange: args.exchange.clone(), symbol: args.symbol.clone(), timeframes, range })
    }

    /// Waits until the range is settled or nothing more is to be expected.
    async fn watch(
        &self,
        handle: &mut CollectorHandle,
        progress: &mut JobProgress,
        stop: &StopRequest,
    ) -> Result<(), Failure> {
        let component = format!("{}:{}", self.exchange, self.symbol);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                who = stop.asked() => {
                    progress.say(&format!("stopped by {who}"));
                    return Ok(());
                }
                ended = handle.ended() => {
                    ended.context("the backfill is over")?;
                    return Err(Failure::Failed(anyhow!("the collector ended by itself")));
                }
                _ = looks.tick() => {}
            }
            let rows = self.inventory(&**handle.store()).await?;
            let shortfall = Shortfall::of(&rows);
            let wanted = rows.iter().map(|row| Grid::utc(row.timeframe).count(row.wanted)).sum::<u64>();
            let statuses = handle.status();
            let trouble = statuses.iter().find(|status| {
                status.component == self.exchange && status.phase == Phase::Waiting && !status.message.is_empty()
            });
            progress.show(wanted - shortfall.open_buckets(), wanted, trouble.map_or("", |status| &status.message));
            if shortfall.is_none() || self.is_stuck(&rows, handle.clock().now()) {
                return Ok(());
            }
            let own = statuses.into_iter().find(|status| status.component == component);
            if let Some(status) = own.filter(|status| status.phase == Phase::Rejected) {
                return Err(Failure::Failed(anyhow!(
                    "{} does not know {}: {}",
                    self.exchange,
                    self.symbol,
                    status.message
                )));
            }
        }
    }

    /// The series of the job, cut to its range.
    async fn inventory(&self, store: &dyn Store) -> Result<Vec<SeriesInventory>, StoreError> {
        let mut rows = inventory(store, self.range.to, |row| is_row(row, &self.exchange, &self.symbol)).await?;
        rows.retain(|row| self.timeframes.contains(&row.timeframe));
        for row in &mut rows {
            row.wanted = row.wanted.intersect(self.range);
            let cut = |gap: &LedgerEntry| LedgerEntry { span: gap.span.intersect(row.wanted), ..gap.clone() };
            row.gaps = row.gaps.iter().map(cut).filter(|gap| !gap.span.is_empty()).collect();
            row.lag = row.lag.map(|lag| lag.intersect(row.wanted)).filter(|lag| !lag.is_empty());
        }
        Ok(rows)
    }

    /// True when all that is missing was asked for in vain and is not asked for again soon.
    fn is_stuck(&self, rows: &[SeriesInventory], now: DateTime<Utc>) -> bool {
        rows.iter().all(|row| row.lag.is_none())
            && rows.iter().flat_map(|row| &row.gaps).all(|gap| match &gap.coverage {
                Coverage::Missing { next_attempt_at, attempts, .. } => {
                    *attempts > 0 && next_attempt_at.is_some_and(|at| at > now + PATIENCE)
                }
                Coverage::Complete { .. } | Coverage::Unavailable { .. } => true,
            })
    }

    /// Says what is there now.
    async fn conclude(&self, handle: &CollectorHandle) -> Result<(), Failure> {
        let rows = self.inventory(&**handle.store()).await?;
        let shortfall = Shortfall::of(&rows);
        let totals = handle.totals();
        let mut out = io::stdout();
        let timeframes = self.timeframes.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(",");
        writeln!(
            out,
            "{} {} {timeframes} from {} to {}",
            self.exchange,
            self.symbol,
            Time(self.range.from),
            Time(chrono::SubsecRound::trunc_subsecs(self.range.to, 0))
        )?;
        writeln!(out, "candles stored   {}", grouped(totals.candles_stored))?;
        writeln!(out, "revisions        {}", grouped(totals.revisions))?;
        writeln!(out, "REST calls       {}", grouped(totals.rest_calls))?;
        writeln!(out, "unavailable      {}", shortfall.unavailable_words())?;
        writeln!(out, "missing          {}", shortfall.missing_words())?;
        out.flush()?;
        if !shortfall.is_none() {
            return Err(Failure::Failed(anyhow!(
                "not complete; run it again, or leave the rest to the daemon: candlewick run"
            )));
        }
        Ok(())
    }
}

fn is_row(row: &SymbolRow, exchange: &str, symbol: &Symbol) -> bool {
    row.exchange == exchange && row.symbol == *symbol
}
