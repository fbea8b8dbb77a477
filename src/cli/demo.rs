//! `candlewick demo`: simulated exchanges, a collector and a database (SQLite, unless another one is named) in one
//! process, and a view of what it does. No network, no set-up.
//!
//! The simulated time begins inside a New York session on a Friday, so that shares trade too.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use tracing_subscriber::filter::LevelFilter;

use super::Failure;
use super::database::DatabaseArgs;
use super::live_view::{Notices, Plain, Screen, View, Watcher, grouped};
use super::run::stop_in_order;
use super::shortfall::Shortfall;
use super::sim::{Hosted, parse_speed};
use super::stop::StopRequest;
use crate::clock::Clock;
use crate::collector::{Collector, CollectorHandle, simulated_markets};
use crate::config::Config;
use crate::exchange::registry::EXCHANGES;
use crate::exchange::{Capabilities, Depth};
use crate::market::{Symbol, Timeframe};
use crate::mirror;
use crate::sim::SimConfig;
use crate::store::{CandleSource, NewSymbol};
use crate::telemetry::Logging;

/// 10:00 in New York on a Friday.
const EPOCH: &str = "2026-11-20T15:00:00Z";
const TIMEFRAMES: [Timeframe; 2] = [Timeframe::M1, Timeframe::H1];
/// History that is asked for, where the venue has it.
const HISTORY: TimeDelta = TimeDelta::days(21);
/// The same where all exchanges share the machine.
const HISTORY_OF_ALL: TimeDelta = TimeDelta::days(1);
/// History of a symbol whose candles are built from trades: so many trades are read for it.
const HISTORY_OF_TRADES: TimeDelta = TimeDelta::hours(2);
const SYMBOLS_PER_EXCHANGE: usize = 4;
/// Exchanges shown without `--all`.
const EXCHANGES_SHOWN: usize = 3;
/// What the hint at the end shows of the database.
const NEWEST: &str = "SELECT * FROM ohlcv_data ORDER BY timestamp DESC LIMIT 10";
/// How often the view is fed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Simulated seconds in a second.
    #[arg(long, value_name = "N", default_value = "60", value_parser = parse_speed)]
    speed: f64,
    /// End by itself after so many (real) seconds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Every exchange that is open, instead of the first few; the last symbol of each is built from its trades.
    #[arg(long)]
    all: bool,
    /// A running simulator instead of one of our own; its clock holds.
    #[arg(long, value_name = "URL", conflicts_with = "speed")]
    simulator: Option<String>,
}

/// Runs until it is asked to stop.
///
/// # Errors
/// Failed: the database, the simulator, the collector.
pub fn run(args: Args, database_args: &DatabaseArgs) -> Result<(), Failure> {
    let notices = Notices::default();
    let is_terminal = io::stdout().is_terminal();
    let logging = Logging { level: LevelFilter::WARN, ..Logging::default() };
    if is_terminal { logging.install_into(notices.clone(), false) } else { logging.install() }.context("logging")?;
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    let database = match database_args.named() {
        Some(url) => url.to_owned(),
        None => fresh_database()?,
    };
    let hosted = match &args.simulator {
        Some(_) => None,
        None => Some(simulate(args.speed)?),
    };
    let plan = Plan {
        simulator: args.simulator.or_else(|| hosted.as_ref().map(Hosted::url)).unwrap_or_default(),
        database,
        redis: database_args.redis(),
        shows_all: args.all,
        seconds: args.seconds,
    };
    let outcome = actix_rt::System::new().block_on(show(plan, stop, notices, is_terminal));
    if let Some(hosted) = hosted {
        hosted.stop();
    }
    outcome
}

/// What is shown.
struct Plan {
    simulator: String,
    database: String,
    redis: Option<String>,
    shows_all: bool,
    seconds: Option<u64>,
}

fn simulate(speed: f64) -> Result<Hosted, Failure> {
    let epoch: DateTime<Utc> = EPOCH.parse().context("the epoch is a time")?;
    Hosted::start(SimConfig::default(), Clock::scaled(epoch, speed), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// A new file among the temporary ones; it stays, so that it can be looked at afterwards.
fn fresh_database() -> Result<String, Failure> {
    let path = std::env::temp_dir().join(format!("candlewick-demo-{}.db", std::process::id()));
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::Failed(
                    anyhow::Error::new(error).context(format!("{} is in the way", path.display())),
                ));
            }
            _ => {}
        }
    }
    Ok(format!("sqlite://{}", path.display()))
}

async fn show(plan: Plan, stop: StopRequest, notices: Notices, is_terminal: bool) -> Result<(), Failure> {
    let redis = mirror::Options { url: plan.redis.clone(), ..mirror::Options::default() };
    let config = Config { database: plan.database.clone(), redis, ..Config::default() };
    let deadline = config.shutdown.deadline;
    let mut handle = Collector::builder().config(config).simulator(&plan.simulator).start().await?;
    let watched = match add_symbols(&handle, &plan).await {
        Ok(()) => watch(&mut handle, &plan, &stop, notices, is_terminal).await,
        Err(failure) => Err(failure),
    };
    let stopped = stop_in_order(&mut handle, deadline).await;
    watched?;
    stopped?;
    summarise(&handle).await
}

/// Adds some markets of each exchange that is both registered and simulated, and not closed.
async fn add_symbols(handle: &CollectorHandle, plan: &Plan) -> Result<(), Failure> {
    if !handle.store().symbols().await?.is_empty() {
        return Err(Failure::Failed(anyhow!(
            "{} holds data already, and simulated candles must not get among them; name a new database",
            handle.store().url()
        )));
    }
    let markets = simulated_markets(&plan.simulator).await?;
    let open = EXCHANGES.iter().filter(|row| row.capabilities.closed.is_none());
    let known = open.filter_map(|row| {
        let symbols = markets.get(row.capabilities.id)?;
        Some((row.capabilities, symbols))
    });
    let now = handle.clock().now();
    let (exchanges, history) = if plan.shows_all { (usize::MAX, HISTORY_OF_ALL) } else { (EXCHANGES_SHOWN, HISTORY) };
    for (capabilities, symbols) in known.take(exchanges) {
        let symbols = &symbols[..symbols.len().min(SYMBOLS_PER_EXCHANGE)];
        for (index, symbol) in symbols.iter().enumerate() {
            let new = new_symbol(capabilities, symbol, now, history);
            let is_built = plan.shows_all && index + 1 == symbols.len() && capabilities.trade_stream.is_some();
            handle.add_symbol(&if is_built { from_trades(new, now) } else { new }).await?;
        }
    }
    Ok(())
}

fn from_trades(new: NewSymbol, now: DateTime<Utc>) -> NewSymbol {
    NewSymbol {
        backfill_from: now - HISTORY_OF_TRADES,
        collect_trades: true,
        candle_source: CandleSource::Trades,
        ..new
    }
}

fn new_symbol(capabilities: &Capabilities, symbol: &Symbol, now: DateTime<Utc>, history: TimeDelta) -> NewSymbol {
    let finest = capabilities.timeframe(TIMEFRAMES[0]);
    let depth = match finest.map(|row| row.depth) {
        // A little less, so that nothing grows too old while it is read.
        Some(Depth::NewestRows(rows)) => TimeDelta::minutes(i64::from(rows) * 9 / 10),
        Some(Depth::Age(age)) => TimeDelta::from_std(age * 9 / 10).unwrap_or(history),
        Some(Depth::Full) | None => history,
    };
    NewSymbol {
        exchange: capabilities.id.to_owned(),
        symbol: symbol.clone(),
        timeframes: TIMEFRAMES.to_vec(),
        backfill_from: now - depth.min(history),
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    }
}

/// Feeds the view until the end; the terminal is given back when this returns.
async fn watch(
    handle: &mut CollectorHandle,
    plan: &Plan,
    stop: &StopRequest,
    notices: Notices,
    is_terminal: bool,
) -> Result<(), Failure> {
    let mut watcher = Watcher::new(handle.store().url(), notices.clone());
    let mut view = if is_terminal {
        View::Screen(Screen::open(stop.clone(), notices).context("the terminal cannot be used")?)
    } else {
        View::Plain(Plain::new(io::stdout()))
    };
    let end = async {
        match plan.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.asked() => return Ok(()),
            () = &mut end => return Ok(()),
            ended = handle.ended() => {
                return Ok(ended.context("the demo is over")?);
            }
            _ = looks.tick() => {}
        }
        let snapshot = watcher.look(handle).await?;
        view.show(snapshot)?;
    }
}

async fn summarise(handle: &CollectorHandle) -> Result<(), Failure> {
    let shortfall = Shortfall::read(&**handle.store(), handle.clock().now()).await?;
    let totals = handle.totals();
    let url = handle.store().url();
    let mut out = io::stdout();
    writeln!(out, "stopped in order at simulated {}", handle.clock().now().format("%F %T UTC"))?;
    writeln!(out, "candles stored   {}", grouped(totals.candles_stored))?;
    writeln!(out, "revisions        {}", grouped(totals.revisions))?;
    writeln!(out, "missing          {}", shortfall.missing_words())?;
    if shortfall.in_flight.buckets > 0 {
        writeln!(out, "just closed      {} buckets, to be read at the next start", shortfall.in_flight.buckets)?;
    }
    writeln!(out, "unavailable      {}", shortfall.unavailable_words())?;
    writeln!(out, "REST calls       {}", grouped(totals.rest_calls))?;
    writeln!(out, "stream frames    {}", grouped(totals.frames))?;
    writeln!(out, "database         {url}")?;
    if let Some(row) = handle.store().symbols().await?.first() {
        writeln!(out, "\nlook at it with")?;
        writeln!(out, "  candlewick candles {} {} -t {} --database {url}", row.exchange, row.symbol, TIMEFRAMES[0])?;
        if let Some(path) = url.strip_prefix("sqlite://") {
            writeln!(out, "  sqlite3 {path} \"{NEWEST}\"")?;
        } else {
            writeln!(out, "  psql \"{url}\" -c \"{NEWEST}\"")?;
        }
    }
    Ok(out.flush()?)
}
