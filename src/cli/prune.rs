//! `candlewick prune`: removes what is older than a time, and has it wanted no more.
//!
//! Where what is kept begins is data in the tables: it is moved first, and a running collector notices
//! and removes what lies before. Where none runs, the command does that itself, under the collector's
//! lock. Stopped on the way, it goes on with the next call, or the next start of a collector.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::database::{DatabaseArgs, block_on};
use super::lines::Time;
use super::listing::{self, Format, Row, say};
use super::{Failure, progress, when};
use crate::clock::Clock;
use crate::market::Timeframe;
use crate::store::reader::Reader;
use crate::store::retention::{Cut, Held, Part, Prunable, Pruned, ROWS_AT_ONCE};
use crate::store::{Access, Store, StoreError, SymbolRow};

const AFTER_HELP: &str = "\
Candles of the chosen timeframes (and their old values) and trades from before
the time go together with the ledger that speaks of them. They are not read
again: what is wanted begins there. `candlewick backfill --from` and
`candlewick symbols add --from` with an earlier time want them again.

The bucket that contains the time is kept. A running collector does the work
within seconds; else this command does it, and no collector can start meanwhile.

To prune regularly, see [retention] in the configuration.";

/// Arguments of `prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, group = clap::ArgGroup::new("cut").required(true))]
pub struct Args {
    /// Only this exchange, such as kraken.
    exchange: Option<String>,
    /// Only this symbol, such as BTC/USD.
    symbol: Option<String>,
    /// Only candles of this timeframe; may be given several times [default: all of them, and the trades].
    #[arg(short = 't', long = "timeframe", value_name = "TF", value_delimiter = ',')]
    timeframes: Vec<Timeframe>,
    /// Only trades, or trades too where timeframes are named.
    #[arg(long)]
    trades: bool,
    /// Remove what is older than this time.
    #[arg(long, value_name = "T", value_parser = when::parse, group = "cut")]
    before: Option<DateTime<Utc>>,
    /// Keep so many days, up to now.
    #[arg(long, value_name = "DAYS", group = "cut", value_parser = days)]
    keep: Option<TimeDelta>,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn days(text: &str) -> Result<TimeDelta, String> {
    let days = text.parse::<f64>().ok().filter(|days| (0.0..=36_500.0).contains(days));
    let days = days.ok_or_else(|| format!("{text:?} is no number of days from 0 to 36500"))?;
    Ok(TimeDelta::milliseconds((days * 86_400_000.0) as i64))
}

/// Wait between two pieces, for whoever reads.
const BREATH: Duration = Duration::from_millis(5);

/// Removes what is older, or says what would be.
///
/// # Errors
/// Usage: names and timeframes that are not kept, a time in the future; nothing was changed. Failed:
/// the database is in the way.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    block_on(async {
        let access = if args.dry_run { Access::ReadOnly } else { Access::ReadWrite };
        let store = database.open(access).await?;
        let symbols = chosen(&args, &store).await?;
        let now = latest(&*store, &symbols).await?;
        let before = args.before.unwrap_or_else(|| now - args.keep.unwrap_or_default());
        if before > now {
            return Err(Failure::usage(format_args!(
                "{} lies in the future; now it is {}",
                Time(before),
                Time(chrono::SubsecRound::trunc_subsecs(now, 0))
            )));
        }
        let mut jobs = Vec::new();
        for symbol in &symbols {
            let cuts = args.cuts(symbol, before);
            jobs.extend(plan(&*store, symbol, &cuts).await?);
        }
        if jobs.is_empty() {
            say(format_args!("nothing that ended before {} is kept", Time(before)));
            return listing::print(args.format, std::iter::empty::<Line>());
        }
        if args.dry_run {
            listing::print(args.format, jobs.iter().map(|(job, held)| Line::of(job, *held)))?;
            say("nothing was changed");
            return Ok(());
        }
        for symbol in &symbols {
            store.keep_from(symbol.id, &args.cuts(symbol, before)).await?;
        }
        let _lock = match store.lock_collector("candlewick prune").await {
            Ok(lock) => lock,
            Err(StoreError::Held { holder }) => {
                say(format_args!(
                    "what is kept begins later now; the collector that is running ({holder}) removes what lies before"
                ));
                return listing::print(args.format, jobs.iter().map(|(job, held)| Line::of(job, *held)));
            }
            Err(error) => return Err(error.into()),
        };
        say("the database is ours while this runs: no collector can start on it");
        let lines = remove(&*store, &jobs).await?;
        listing::print(args.format, lines)
    })
}

/// The symbols asked for, all of which have something of what is named.
async fn chosen(args: &Args, store: &Arc<dyn Store>) -> Result<Vec<SymbolRow>, Failure> {
    let reader = Reader::new(store.clone());
    let symbols = match (&args.exchange, &args.symbol) {
        (Some(exchange), Some(symbol)) => vec![reader.find(exchange, symbol).await?],
        (Some(exchange), None) => reader.find_all(exchange).await?,
        (None, _) => store.symbols().await?,
    };
    for timeframe in &args.timeframes {
        if !symbols.iter().any(|symbol| symbol.parts().contains(&Part::Candles(*timeframe))) {
            let mut kept: Vec<Timeframe> = symbols.iter().flat_map(|symbol| symbol.timeframes.clone()).collect();
            kept.sort();
            kept.dedup();
            let kept = kept.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(" ");
            return Err(Failure::usage(format_args!("no {timeframe} candles are kept there; kept: {kept}")));
        }
    }
    if args.trades && !symbols.iter().any(|symbol| symbol.collect_trades) {
        return Err(Failure::usage("no trades are kept there"));
    }
    Ok(symbols)
}

/// Now, or where a collector that follows a faster clock, a simulator's, has got to.
async fn latest(store: &dyn Store, symbols: &[SymbolRow]) -> Result<DateTime<Utc>, Failure> {
    let mut latest = Clock::system().now();
    for symbol in symbols {
        let observed = store.series_of(symbol.id).await?;
        latest = observed.iter().filter_map(|series| series.observed_until).fold(latest, DateTime::max);
    }
    Ok(latest)
}

impl Args {
    fn cuts(&self, symbol: &SymbolRow, before: DateTime<Utc>) -> Vec<Cut> {
        let is_all = self.timeframes.is_empty() && !self.trades;
        let is_named = |part: &Part| match part {
            Part::Candles(timeframe) => is_all || self.timeframes.contains(timeframe),
            Part::Trades => is_all || self.trades,
        };
        let parts = symbol.parts().into_iter().filter(is_named);
        parts.map(|part| symbol.cut(part, before)).collect()
    }
}

/// What is to be removed for the cuts of a symbol, and how much it is; with what an earlier call has left.
async fn plan(store: &dyn Store, symbol: &SymbolRow, cuts: &[Cut]) -> Result<Vec<(Prunable, Pruned)>, Failure> {
    let series = store.series_of(symbol.id).await?;
    let mut jobs = Vec::new();
    for cut in cuts {
        let held = match cut.part {
            Part::Candles(timeframe) => match series.iter().find(|series| series.timeframe == timeframe) {
                Some(series) => Held::Series(series.id),
                None => continue,
            },
            Part::Trades => Held::Trades(symbol.id),
        };
        let (exchange, name) = (symbol.exchange.clone(), symbol.symbol.clone());
        let job = Prunable { exchange, symbol: name, part: cut.part, held, from: cut.from.max(symbol.begin(cut.part)) };
        let held = store.count_before(&job).await?;
        if held.rows + held.revisions > 0 || symbol.begin(cut.part) < cut.from {
            jobs.push((job, held));
        }
    }
    Ok(jobs)
}

async fn remove(store: &dyn Store, jobs: &[(Prunable, Pruned)]) -> Result<Vec<Line>, Failure> {
    let mut progress = progress::Progress::new("{wide_bar} {pos}/{len} {msg}").patient();
    let mut lines = Vec::new();
    for (done, (job, _)) in jobs.iter().enumerate() {
        let mut sum = Pruned::default();
        while !sum.is_done {
            let piece = store.prune(job, ROWS_AT_ONCE).await?;
            sum.rows += piece.rows;
            sum.revisions += piece.revisions;
            sum.is_done = piece.is_done;
            let words = format!("{} {} {}: {} rows", job.exchange, job.symbol, job.part, sum.rows);
            progress.show(done as u64, jobs.len() as u64, &words);
            tokio::time::sleep(BREATH).await;
        }
        lines.push(Line::of(job, sum));
    }
    progress.finish();
    Ok(lines)
}

/// What was, or will be, removed of one part.
#[derive(Debug, Serialize)]
struct Line {
    exchange: String,
    symbol: String,
    /// A timeframe, or trades.
    part: String,
    /// Where it begins now.
    from: Time,
    /// Candles or trades.
    rows: u64,
    /// Old values.
    revisions: u64,
}

impl Line {
    fn of(job: &Prunable, pruned: Pruned) -> Line {
        Line {
            exchange: job.exchange.clone(),
            symbol: job.symbol.to_string(),
            part: job.part.to_string(),
            from: Time(job.from),
            rows: pruned.rows,
            revisions: pruned.revisions,
        }
    }
}

impl Row for Line {
    const COLUMNS: &'static [&'static str] = &["exchange", "symbol", "part", "from", "rows", "revisions"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.exchange.clone(),
            self.symbol.clone(),
            self.part.clone(),
            self.from.to_string(),
            self.rows.to_string(),
            self.revisions.to_string(),
        ]
    }
}
