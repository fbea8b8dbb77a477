//! `candlewick gaps`: what is wanted and not held, since when and why; with `--verify` the proof
//! that nothing else is.
//!
//! Reads only. A gap is no failure: the collector knows of it and works on it. A violation is one:
//! the ledger does not say what is there.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::Failure;
use super::database::{DatabaseArgs, block_on};
use super::lines::Time;
use super::listing::{self, Format, Row, count, say};
use crate::clock::Clock;
use crate::exchange::{QuietPolicy, registry};
use crate::market::ledger::NOT_FETCHED;
use crate::market::{Grid, Span, Symbol, Timeframe};
use crate::store::inventory::{self, Absence, SeriesInventory, Violation, grid_of};
use crate::store::reader::Reader;
use crate::store::trade_gaps::{TradeGaps, trade_gaps};
use crate::store::{Access, CandleSource, Coverage, LedgerEntry, SeriesRow, Store, SymbolRow};

/// Arguments of `gaps`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this exchange.
    exchange: Option<String>,
    /// Only this symbol of it.
    symbol: Option<String>,
    /// Compare the ledger of every series with what is stored; exit code 1 when they disagree.
    #[arg(long)]
    verify: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How long after its close a bucket may take to be read before it counts as lagging: the
/// exchange's own settling time and this much for the way.
const ON_THE_WAY: TimeDelta = TimeDelta::seconds(30);
/// Proof that nothing was traded is written less often than candles.
const TRADES_ON_THE_WAY: TimeDelta = TimeDelta::seconds(60);

/// Prints the gaps.
///
/// # Errors
/// Usage for names that are not kept; failed when the database cannot be read or the ledger is
/// violated.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    block_on(async {
        let store = database.open(Access::ReadOnly).await?;
        let symbols = chosen(&args, &store).await?;
        let now = latest(&*store, &symbols).await?;
        let inventories =
            inventory::inventory(&*store, now, |row| symbols.iter().any(|symbol| symbol.id == row.id)).await?;
        let mut lines = Vec::new();
        for (symbol, series) in pairs(&symbols, &inventories) {
            lines.extend(gaps_of(symbol, series, now));
        }
        let mut tapes = 0;
        for symbol in &symbols {
            if let Some(gaps) = trade_gaps(&*store, symbol, now).await? {
                tapes += 1;
                lines.extend(trade_gaps_of(symbol, gaps, now));
            }
        }
        let gaps = lines.len();
        let mut checked = 0;
        if args.verify {
            for symbol in &symbols {
                for series in store.series_of(symbol.id).await? {
                    checked += 1;
                    lines.extend(violations_of(&*store, symbol, &series).await?);
                }
            }
        }
        let violations = lines.len() - gaps;
        summarise(inventories.len() + tapes, &lines[..gaps]);
        listing::print(args.format, lines)?;
        let checked = count(checked, "series");
        if violations > 0 {
            let violations = count(violations as u64, "violation");
            return Err(Failure::Failed(anyhow::anyhow!("{violations} of the ledger in {checked}")));
        }
        if args.verify {
            say(format_args!("verified: the ledger of {checked} agrees with what is stored"));
        }
        Ok(())
    })
}

/// Now, or where a collector that follows a faster clock, a simulator's, has got to.
pub(super) async fn latest(store: &dyn Store, symbols: &[SymbolRow]) -> Result<DateTime<Utc>, Failure> {
    let mut latest = Clock::system().now();
    for symbol in symbols {
        let observed = store.series_of(symbol.id).await?;
        latest = observed.iter().filter_map(|series| series.observed_until).fold(latest, DateTime::max);
    }
    Ok(latest)
}

/// The symbols asked for.
async fn chosen(args: &Args, store: &Arc<dyn Store>) -> Result<Vec<SymbolRow>, Failure> {
    let reader = Reader::new(store.clone());
    Ok(match (&args.exchange, &args.symbol) {
        (Some(exchange), Some(symbol)) => vec![reader.find(exchange, symbol).await?],
        (Some(exchange), None) => reader.find_all(exchange).await?,
        (None, _) => store.symbols().await?,
    })
}

fn pairs<'a>(
    symbols: &'a [SymbolRow],
    inventories: &'a [SeriesInventory],
) -> impl Iterator<Item = (&'a SymbolRow, &'a SeriesInventory)> {
    inventories.iter().filter_map(|series| {
        let is_its = |row: &&SymbolRow| row.exchange == series.exchange && row.symbol == series.symbol;
        symbols.iter().find(is_its).map(|symbol| (symbol, series))
    })
}

/// What is missing of a series: the gaps its ledger knows, and what nobody has looked at yet.
fn gaps_of(symbol: &SymbolRow, series: &SeriesInventory, now: DateTime<Utc>) -> Vec<Line> {
    let grid = grid_of(symbol, series.timeframe);
    let line = |span, state, reason: &str| Line {
        reason: reason.to_owned(),
        ..Line::new(symbol, Kept::Candles(series.timeframe), state, Some(span), Some(grid.count(span)))
    };
    let mut lines: Vec<Line> = series
        .gaps
        .iter()
        .filter_map(|LedgerEntry { span, coverage }| match coverage {
            Coverage::Complete { .. } => None,
            Coverage::Unavailable { reason } => Some(line(*span, State::Unavailable, reason)),
            Coverage::Missing { reason, attempts, next_attempt_at } => Some(Line {
                attempts: Some(*attempts),
                next_attempt_at: next_attempt_at.map(Time),
                ..line(*span, State::Missing, reason)
            }),
        })
        .collect();
    if let Some(lag) = series.lag {
        let settle = registry::find(&symbol.exchange).map(|row| row.capabilities.settle).unwrap_or_default();
        let patience = ON_THE_WAY + TimeDelta::from_std(settle).unwrap_or_default();
        if lag.from < grid.last_closed_end(now - patience) {
            let reason = if series.series.is_none() { "not_begun" } else { "not_observed" };
            lines.push(line(lag, State::Lag, reason));
        }
    }
    lines
}

/// What is missing of a symbol's trades. They are proven up to a moment ago at best.
fn trade_gaps_of(symbol: &SymbolRow, gaps: TradeGaps, now: DateTime<Utc>) -> Vec<Line> {
    let line = |span, state, reason: &str| Line {
        reason: reason.to_owned(),
        ..Line::new(symbol, Kept::Trades, state, Some(span), None)
    };
    let lag = gaps.lag.filter(|lag| lag.from < now - ON_THE_WAY - TRADES_ON_THE_WAY);
    let missing = gaps.missing.into_iter().map(|span| line(span, State::Missing, NOT_FETCHED));
    let unavailable = gaps.unavailable.iter().map(|(span, reason)| line(*span, State::Unavailable, reason));
    let mut lines: Vec<Line> = missing.chain(unavailable).collect();
    lines.sort_by_key(|line| line.from.map(|from| from.0));
    lines.extend(lag.map(|lag| line(lag, State::Lag, "not_observed")));
    lines
}

/// One line of words for the whole.
fn summarise(wanted: usize, gaps: &[Line]) {
    let series = count(wanted as u64, "series");
    let of = |state: State| gaps.iter().filter(|line| line.state == state).count();
    if wanted == 0 {
        say("no series is wanted; add one with: candlewick symbols add EXCHANGE SYMBOL");
    } else if gaps.is_empty() {
        say(format_args!("clean: {series}, everything that is wanted is held"));
    } else {
        say(format_args!(
            "{series}: {} missing, {} unavailable at the exchange, {} not observed yet",
            of(State::Missing),
            of(State::Unavailable),
            of(State::Lag)
        ));
    }
}

async fn violations_of(store: &dyn Store, symbol: &SymbolRow, series: &SeriesRow) -> Result<Vec<Line>, Failure> {
    let grid = grid_of(symbol, series.timeframe);
    // Candles built from trades have no bar where nothing was traded, whatever the exchange prints.
    let emits = registry::find(&symbol.exchange).is_ok_and(|row| row.capabilities.quiet == QuietPolicy::Emits);
    let absence = match symbol.candle_source {
        CandleSource::Venue if emits => Absence::Forbidden,
        _ => Absence::Allowed,
    };
    let mut lines = Vec::new();
    for violation in inventory::verify(store, series, grid, absence, symbol.candles_from(series.timeframe)).await? {
        lines.push(Line::of_violation(symbol, series.timeframe, &grid, &violation));
    }
    Ok(lines)
}

/// What is wrong with a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Known, and worked on.
    Missing,
    /// The exchange does not have it.
    Unavailable,
    /// No collector was there since.
    Lag,
    /// The ledger does not say what is there.
    Violation,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Missing => "missing",
            State::Unavailable => "unavailable",
            State::Lag => "lag",
            State::Violation => "violation",
        }
    }
}

/// What a stretch is of: candles of a timeframe, or trades.
#[derive(Debug, Clone, Copy, Serialize)]
enum Kept {
    #[serde(rename = "trades")]
    Trades,
    #[serde(untagged)]
    Candles(Timeframe),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Candles(timeframe) => timeframe.fmt(f),
            Kept::Trades => f.write_str("trades"),
        }
    }
}

/// A stretch as it is printed.
#[derive(Debug, Serialize)]
struct Line {
    exchange: String,
    symbol: Symbol,
    timeframe: Kept,
    state: State,
    from: Option<Time>,
    to: Option<Time>,
    /// Buckets that start inside; none for trades.
    buckets: Option<u64>,
    reason: String,
    attempts: Option<u32>,
    next_attempt_at: Option<Time>,
}

impl Line {
    fn new(symbol: &SymbolRow, timeframe: Kept, state: State, span: Option<Span>, buckets: Option<u64>) -> Line {
        Line {
            exchange: symbol.exchange.clone(),
            symbol: symbol.symbol.clone(),
            timeframe,
            state,
            from: span.map(|span| Time(span.from)),
            to: span.map(|span| Time(span.to)),
            buckets,
            reason: String::new(),
            attempts: None,
            next_attempt_at: None,
        }
    }

    fn of_violation(symbol: &SymbolRow, timeframe: Timeframe, grid: &Grid, violation: &Violation) -> Line {
        let (span, buckets) = match violation {
            Violation::Untiled(span) | Violation::Overlap(span) | Violation::CrookedInterval(span) => {
                (*span, grid.count(*span))
            }
            Violation::RowsMissing { span, buckets } => (*span, *buckets),
            Violation::RowOffGrid(time) => (Span::new(*time, *time), 0),
        };
        let reason = violation.to_string();
        Line { reason, ..Line::new(symbol, Kept::Candles(timeframe), State::Violation, Some(span), Some(buckets)) }
    }
}

impl Row for Line {
    const COLUMNS: &'static [&'static str] =
        &["exchange", "symbol", "timeframe", "state", "from", "to", "buckets", "reason", "attempts", "next_attempt_at"];

    fn cells(&self) -> Vec<String> {
        let time = |time: Option<Time>| time.map_or_else(String::new, |time| time.to_string());
        vec![
            self.exchange.clone(),
            self.symbol.to_string(),
            self.timeframe.to_string(),
            self.state.as_str().to_owned(),
            time(self.from),
            time(self.to),
            self.buckets.map_or_else(String::new, |buckets| buckets.to_string()),
            self.reason.clone(),
            self.attempts.map_or_else(String::new, |attempts| attempts.to_string()),
            time(self.next_attempt_at),
        ]
    }
}
