//! `candlewick import`: candles or trades of a CSV file into the database, without an exchange.
//!
//! The file is read twice: first all of it is checked, then it is written in transactions of a
//! bounded size, and last, in one more, the ledger is told what the user says is complete. A file
//! with a bad row changes nothing, and a process that dies on the way has claimed nothing.

mod candle_rows;
mod candles;
mod faults;
mod input;
mod trades;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::anyhow;
use chrono::{DateTime, Utc};

use self::input::Input;
use super::database::{DatabaseArgs, block_on};
use super::failure::OrUsage;
use super::lines::Time;
use super::{Failure, when};
use crate::clock::Clock;
use crate::exchange::{Capabilities, registry};
use crate::market::{Source, Span, Timeframe};
use crate::store::reader::{ReadError, Reader};
use crate::store::{Access, Store, StoreError, SymbolRow};

const AFTER_HELP: &str = "\
The file is CSV with a header; columns may stand in any order, others are
ignored.
  candles  timestamp (or open_time), open, high, low, close, volume, and as
           wanted trades, quote_volume, vwap. The time is that at which the bar
           opens: 2025-11-10T17:24:00Z, or Unix seconds or milliseconds. Rows
           are sorted by time, oldest or newest first. Bars that are still open
           are refused, also by a column final. Prices outside low..high are
           stored as they are, and flagged.
  trades   time, price, amount, id, and as wanted last_id and side, as
           `candlewick aggregate` reads them, in any order.
With a bad row nothing is written; all of them are named.

Which value stays: an imported candle counts as much as its --source and less
than one that was observed from the same source. With the default, derived, it
fills holes and never replaces what came from the exchange. Say more only of
rows that are the exchange's own. Trades whose ids are known are left alone.

What is complete: rows alone claim nothing, so the collector still reads what
the exchange has of their time. --complete and --covers are your word that
nothing is missing there; the collector still confirms it by the exchange where
it can.

A collector must not run on the database meanwhile.

Exit codes: 0 done; 1 failed; 2 usage, or rows that cannot be used.";

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Exchange, such as kraken.
    exchange: String,
    /// Unified symbol, such as BTC/USD; one that `candlewick symbols` lists.
    symbol: String,
    /// What the file holds.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Timeframe of the candles [default: the symbol's only one].
    #[arg(short, long, value_name = "TF")]
    timeframe: Option<Timeframe>,
    /// Where the candles came from before [default: derived].
    #[arg(long, value_enum, value_name = "SOURCE")]
    source: Option<Declared>,
    /// A stretch that is complete: FROM..TO, or rows for exactly the bars in the file; may be given several times.
    #[arg(long, value_name = "FROM..TO")]
    covers: Vec<Covers>,
    /// Everything from the first to the last row is complete.
    #[arg(long)]
    complete: bool,
    /// File to read; - reads standard input.
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Candles,
    Trades,
}

/// What the user says of the candles' origin, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Declared {
    /// Anything: gives way to all that came from the exchange.
    Derived,
    /// Built from trades.
    Trades,
    /// The exchange's stream.
    Stream,
    /// The exchange's stream, with its closed flag.
    StreamClosed,
    /// The exchange's REST answers.
    Rest,
}

impl From<Declared> for Source {
    fn from(declared: Declared) -> Source {
        match declared {
            Declared::Derived => Source::Derived,
            Declared::Trades => Source::Trades,
            Declared::Stream => Source::Stream,
            Declared::StreamClosed => Source::StreamClosed,
            Declared::Rest => Source::Rest,
        }
    }
}

/// A claim of completeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Covers {
    Rows,
    Span(Span),
}

impl FromStr for Covers {
    type Err = String;

    fn from_str(text: &str) -> Result<Covers, String> {
        if text == "rows" {
            return Ok(Covers::Rows);
        }
        let (from, to) = text.split_once("..").ok_or("write FROM..TO (2025-01-01..2025-02-01), or rows")?;
        let span =
            Span::new(when::parse(from).map_err(|e| e.to_string())?, when::parse(to).map_err(|e| e.to_string())?);
        if span.is_empty() { Err(format!("{to} does not lie after {from}")) } else { Ok(Covers::Span(span)) }
    }
}

/// Imports the file.
///
/// # Errors
/// Usage: names that are not kept, rows that cannot be used, claims that cannot be; nothing was
/// written. Failed: a collector is running, or the database or the file is in the way.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    let venue = registry::find(&args.exchange).or_usage()?.capabilities;
    if args.kind == Kind::Trades {
        if args.timeframe.is_some() || args.source.is_some() || args.covers.contains(&Covers::Rows) {
            return Err(Failure::usage("--timeframe, --source and --covers rows are for candles"));
        }
        if venue.trade_rest.is_none() && venue.trade_stream.is_none() {
            return Err(Failure::usage(format_args!("{} has no trades, only candles", venue.id)));
        }
    }
    let mut input = Input::open(&args.file)?;
    block_on(async {
        let store = database.open(Access::ReadWrite).await?;
        let symbol = match Reader::new(store.clone()).find(&args.exchange, &args.symbol).await {
            Err(error @ (ReadError::UnknownExchange { .. } | ReadError::UnknownSymbol { .. })) => {
                let name = format!("{} {}", args.exchange, args.symbol);
                return Err(Failure::usage(format_args!("{error}\nwant it first: candlewick symbols add {name}")));
            }
            found => found?,
        };
        let _lock = store.lock_collector("candlewick import").await.map_err(|error| match error {
            StoreError::Held { holder } => Failure::Failed(anyhow!(
                "a collector is running on this database ({holder}); stop it first, then import, then start it again"
            )),
            other => other.into(),
        })?;
        let job = Job { now: latest(&*store, &symbol).await?, store, symbol, venue, args: &args };
        match args.kind {
            Kind::Candles => candles::import(&job, &mut input).await,
            Kind::Trades => trades::import(&job, &mut input).await,
        }
    })
}

/// What is imported, and where to.
struct Job<'a> {
    store: Arc<dyn Store>,
    symbol: SymbolRow,
    venue: &'static Capabilities,
    args: &'a Args,
    /// Nothing is known of what comes after it.
    now: DateTime<Utc>,
}

impl Job<'_> {
    /// Refuses rows from before what is kept: nothing is written there.
    fn refuse_pruned(&self, kept: Option<DateTime<Utc>>, first: DateTime<Utc>, option: &str) -> Result<(), Failure> {
        let Some(kept) = kept.filter(|kept| first < *kept) else { return Ok(()) };
        let (name, kept, first) = (format!("{} {}", self.symbol.exchange, self.symbol.symbol), Time(kept), Time(first));
        Err(Failure::usage(format_args!(
            "the rows begin at {first}, but what lies before {kept} was pruned and is not wanted; \
             want it first: candlewick symbols add {name} {option} --from {first}"
        )))
    }
}

/// Now, or where a collector that follows a faster clock, a simulator's, has got to.
async fn latest(store: &dyn Store, symbol: &SymbolRow) -> Result<DateTime<Utc>, Failure> {
    let observed = store.series_of(symbol.id).await?.into_iter().filter_map(|series| series.observed_until);
    Ok(observed.fold(Clock::system().now(), DateTime::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_as_half_open_stretches() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let month = Span::new(at("2025-01-01T00:00:00Z"), at("2025-02-01T00:00:00Z"));
        assert_eq!("2025-01-01..2025-02-01".parse(), Ok(Covers::Span(month)));
        assert_eq!("rows".parse(), Ok(Covers::Rows));
        let fault = |text: &str| text.parse::<Covers>().unwrap_err();
        assert_eq!(fault("2025-01-01"), "write FROM..TO (2025-01-01..2025-02-01), or rows");
        assert_eq!(fault("2025-02-01..2025-01-01"), "2025-01-01 does not lie after 2025-02-01");
        assert!(fault("2025-01-01..soon").starts_with("\"soon\" is no time"), "{}", fault("2025-01-01..soon"));
    }
}
