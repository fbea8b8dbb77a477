//! `candlewick aggregate`: trades to candles, streaming, in constant memory.

mod json_rows;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::failure::{Failure, OrUsage};
use super::lines::{self, CandleLine};
use super::trade_rows::TradeRows;
use crate::config::parse_duration;
use crate::exchange::registry;
use crate::market::{AggregateStats, Aggregator, Anchors, Candle, Grid, Symbol, Timeframe, Trade, WeekStart};

const AFTER_HELP: &str = "\
Input, recognised by its beginning:
  CSV         with a header naming time, price and amount, and if there are
              any id, last_id and side; in any order, others are ignored.
              time: Unix milliseconds or RFC 3339; side: buy or sell. Without
              ids no duplicate is recognised, and trades of one instant count
              in the order of the file.
  JSON lines  as `candlewick decode --kind trades` prints them; lines of other
              kinds are passed over.
  answer      of an exchange's REST call for trades; needs --exchange.

Trades may come in any order within --lateness. One that lies further behind
is left out if its candle is already printed, or if its id does not tell it
from a duplicate; then the exit code is 1.

Output: one JSON object per candle, oldest first within a timeframe, nothing
for a bucket without trades. `final` is true where the input has a trade
before the bucket and one at or after its end: the first and the last bucket
may lack trades.

Exit codes: 0 done; 1 a line cannot be read, or trades came too late; 2 usage.";

/// Arguments of `aggregate`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Timeframes to build, at once: -t 1m,5m,1h or -t 1m -t 1h.
    #[arg(short, long = "timeframe", value_name = "TF", required = true, value_delimiter = ',')]
    timeframes: Vec<Timeframe>,
    /// How far behind the newest trade one may come and still count: 500ms, 60s, 5m, 1h, 1d.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    lateness: Duration,
    /// The exchange: printed with each candle, and the reader of a REST answer.
    #[arg(long, value_name = "ID")]
    exchange: Option<String>,
    /// The symbol: printed with each candle.
    #[arg(long, value_name = "SYMBOL")]
    symbol: Option<Symbol>,
    /// The day on which weeks begin (Kraken counts them from Thursday).
    #[arg(long, value_enum, value_name = "DAY", default_value_t = WeekDay::Monday)]
    week_start: WeekDay,
    /// The trades; - or nothing for standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WeekDay {
    Monday,
    Thursday,
}

/// Reads trades, prints candles.
///
/// # Errors
/// `Usage` for a file that cannot be opened, `Failed` for input that cannot be read and for late trades.
pub fn run(args: Args) -> Result<(), Failure> {
    if let Some(id) = &args.exchange {
        registry::find(id).or_usage()?;
    }
    let mut input: Box<dyn BufRead> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display())).or_usage()?;
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let stats = stream(&args, &mut *input, &mut out);
    // What was right before a bad line is printed all the same.
    out.flush()?;
    let (stats, first_late) = stats?;
    if stats.duplicates > 0 {
        let _ = writeln!(io::stderr(), "note: {} duplicate trades left out", stats.duplicates);
    }
    match first_late {
        None => Ok(()),
        Some(line) => Err(Failure::Failed(anyhow!(
            "{} trades came too late and were left out, the first on line {line}; sort the input by time or raise --lateness",
            stats.late
        ))),
    }
}

/// Aggregates all input into candle lines on `out`: the counts, and the line of the first late trade.
///
/// # Errors
/// `Failed` names the line that cannot be read.
pub fn stream(
    args: &Args,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<(AggregateStats, Option<u64>), Failure> {
    let mut candles = Candles::new(args);
    let (above, first) = first_byte(input)?;
    match first {
        None => {}
        Some(b'{' | b'[') => {
            json_rows::read(input, above, args, |origin, line, trade| candles.push(origin, line, &trade, out))?;
        }
        Some(_) => {
            let mut rows = TradeRows::new(input, above)?;
            while let Some((line, trade)) = rows.next_row()? {
                candles.push(&Origin::default(), line, &trade.map_err(|fault| fault.on_line(line))?, out)?;
            }
        }
    }
    candles.finish(out)
}

/// Passes over white space; how many lines that were, and the byte after it, which stays in the input.
pub(in crate::cli) fn first_byte(input: &mut dyn BufRead) -> io::Result<(u64, Option<u8>)> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if input.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    let mut lines = 0;
    loop {
        match input.fill_buf()?.first().copied() {
            Some(byte) if byte.is_ascii_whitespace() => {
                lines += u64::from(byte == b'\n');
                input.consume(1);
            }
            first => return Ok((lines, first)),
        }
    }
}

/// Whose trades they are, as far as the input says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Origin {
    exchange: Option<String>,
    symbol: Option<String>,
}

/// The aggregator and what is known of its surroundings.
struct Candles {
    aggregator: Aggregator,
    grids: Vec<Grid>,
    origin: Option<Origin>,
    given: Origin,
    newest: Option<chrono::DateTime<chrono::Utc>>,
    /// The timeframes of which a candle was printed: the next one is not the first.
    begun: Vec<Timeframe>,
    first_late: Option<u64>,
}

impl Candles {
    fn new(args: &Args) -> Candles {
        let week_start = match args.week_start {
            WeekDay::Monday => WeekStart::Monday,
            WeekDay::Thursday => WeekStart::Thursday,
        };
        let anchors = Anchors { week_start, ..Anchors::default() };
        let grids = args.timeframes.iter().map(|timeframe| Grid::new(*timeframe, anchors)).collect::<Vec<_>>();
        Candles {
            aggregator: Aggregator::new(&grids, args.lateness),
            grids,
            origin: None,
            given: Origin {
                exchange: args.exchange.clone(),
                symbol: args.symbol.as_ref().map(|symbol| symbol.as_str().to_owned()),
            },
            newest: None,
            begun: Vec::new(),
            first_late: None,
        }
    }

    fn push(&mut self, origin: &Origin, line: u64, trade: &Trade, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.origin {
            None => self.origin = Some(origin.clone()),
            Some(known) if known != origin => {
                let name = |origin: &Origin| {
                    format!("{} {}", origin.exchange.as_deref().unwrap_or("?"), origin.symbol.as_deref().unwrap_or("?"))
                };
                return Err(Failure::Failed(anyhow!(
                    "line {line}: a trade of {} among those of {}; give one market at a time",
                    name(origin),
                    name(known)
                )));
            }
            Some(_) => {}
        }
        self.newest = self.newest.max(Some(trade.time));
        let late = self.aggregator.stats().late;
        self.printing(out, |aggregator, emit| aggregator.push(trade, &mut |t, c| emit(t, c))).map_err(|failure| {
            match failure {
                Failure::Failed(error) => Failure::Failed(error.context(format!("line {line}"))),
                other => other,
            }
        })?;
        if self.aggregator.stats().late > late {
            self.first_late.get_or_insert(line);
        }
        Ok(())
    }

    fn finish(mut self, out: &mut dyn Write) -> Result<(AggregateStats, Option<u64>), Failure> {
        self.printing(out, |aggregator, emit| aggregator.flush(&mut |t, c| emit(t, c)))?;
        Ok((self.aggregator.stats(), self.first_late))
    }

    /// Runs a step of the aggregator and prints what it emits.
    fn printing(
        &mut self,
        out: &mut dyn Write,
        step: impl FnOnce(&mut Aggregator, &mut dyn FnMut(Timeframe, Candle)) -> Result<(), crate::market::AggregateError>,
    ) -> Result<(), Failure> {
        let Candles { aggregator, grids, origin, given, newest, begun, .. } = self;
        let exchange = given.exchange.as_deref().or(origin.as_ref().and_then(|origin| origin.exchange.as_deref()));
        let symbol = given.symbol.as_deref().or(origin.as_ref().and_then(|origin| origin.symbol.as_deref()));
        let mut written = Ok(());
        let stepped = step(aggregator, &mut |timeframe, candle| {
            let is_first = !begun.contains(&timeframe);
            if is_first {
                begun.push(timeframe);
            }
            let close =
                grids.iter().find(|grid| grid.timeframe == timeframe).map(|grid| grid.close_of(candle.open_time));
            let is_final = !is_first && close <= *newest;
            if written.is_ok() {
                written = lines::write(out, &CandleLine::new(exchange, symbol, timeframe, &candle, is_final));
            }
        });
        stepped.map_err(|error| Failure::Failed(error.into()))?;
        Ok(written?)
    }
}

/// Reads one line, its end included, into an emptied buffer; false at the end of input.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    // Longer than any page of trades: an endless line must not fill the memory.
    let read = input.take(json_rows::BODY_LIMIT_BYTES).read_until(b'\n', line)?;
    Ok(read > 0)
}

#[cfg(test)]
mod tests;
