//! `candlewick candles`: what is stored of a symbol, read as every other reader reads it.
//!
//! Without a range the newest bars are printed. Bars that no collector holds are not made up; when
//! something is known to be missing from the range, words say so.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::database::{DatabaseArgs, block_on};
use super::lines::{CandleLine, Time};
use super::listing::{self, Format, Row, count, say};
use super::{Failure, when};
use crate::clock::Clock;
use crate::market::{Source, Span, Timeframe};
use crate::store::inventory::{self, grid_of};
use crate::store::reader::{Bar, Fill, ReadError, Reader};
use crate::store::{Access, CandleQuery, SeriesRow, Store, SymbolRow};

/// Arguments of `candles`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exchange, such as kraken.
    exchange: String,
    /// Unified symbol, such as BTC/USD or AAPL.
    symbol: String,
    /// Timeframe; one that is not stored is added up from a shorter one that is.
    #[arg(short, long, default_value = "1m", value_name = "TF")]
    timeframe: Timeframe,
    /// Bars that open at this time or later.
    #[arg(long, value_name = "TIME", value_parser = when::parse, allow_hyphen_values = true)]
    from: Option<DateTime<Utc>>,
    /// Bars that open before this time.
    #[arg(long, value_name = "TIME", value_parser = when::parse, allow_hyphen_values = true)]
    to: Option<DateTime<Utc>>,
    /// At most so many bars: the first ones after --from, without it the newest [default: 100 without --from].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print a flat bar of the previous close where there is none.
    #[arg(long)]
    fill: bool,
    /// Print the bar that is still open too.
    #[arg(long)]
    forming: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Bars printed when neither a start nor a limit is given.
const NEWEST: usize = 100;

const ALWAYS: Span = Span { from: DateTime::<Utc>::MIN_UTC, to: DateTime::<Utc>::MAX_UTC };

/// Prints the candles.
///
/// # Errors
/// Usage for names that are not kept, with the nearest that are, and for a range that is none;
/// failed when the database cannot be read.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && to <= from
    {
        return Err(Failure::usage(format_args!("--to {} does not lie after --from {}", Time(to), Time(from))));
    }
    block_on(async {
        let store = database.open(Access::ReadOnly).await?;
        let symbol = Reader::new(store.clone()).find(&args.exchange, &args.symbol).await?;
        let shelf = Shelf { series: store.series_of(symbol.id).await?, store, symbol, args: &args };
        let bars = shelf.bars().await?;
        let native = shelf.native(&bars).await?;
        shelf.speak(&bars).await?;
        listing::print(args.format, bars.iter().map(|bar| shelf.line(bar, &native)))
    })
}

/// Names that are not kept are the asker's mistake.
impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        match error {
            ReadError::Store(error) => error.into(),
            unknown => Failure::Usage(unknown.into()),
        }
    }
}

/// What is stored in the timeframe that is printed.
#[derive(Default)]
struct Native {
    sources: HashMap<DateTime<Utc>, Source>,
    forming: Option<DateTime<Utc>>,
}

/// A symbol that is kept, and what is asked of it.
struct Shelf<'a> {
    store: Arc<dyn Store>,
    symbol: SymbolRow,
    series: Vec<SeriesRow>,
    args: &'a Args,
}

impl Shelf<'_> {
    async fn bars(&self) -> Result<Vec<Bar>, Failure> {
        // Wanted, and no collector has begun with it: there is nothing yet, whatever is asked.
        if self.series.is_empty() {
            return Ok(Vec::new());
        }
        let to = self.args.to.unwrap_or(ALWAYS.to);
        match (self.args.from, self.args.limit) {
            (Some(from), limit) => {
                let mut bars = self.fetch(Span::new(from, to)).await?;
                bars.truncate(limit.unwrap_or(usize::MAX));
                Ok(bars)
            }
            (None, limit) => self.newest(to, limit.unwrap_or(NEWEST)).await,
        }
    }

    /// The newest bars before `to`. Quiet buckets have no bar, so the stretch that is read grows
    /// until it holds enough of them or all there is.
    async fn newest(&self, to: DateTime<Utc>, limit: usize) -> Result<Vec<Bar>, Failure> {
        let Some(stored) = self.extent().await? else { return self.fetch(Span::new(to, to)).await };
        let grid = grid_of(&self.symbol, self.args.timeframe);
        let end = to.min(grid.next_open(grid.bucket_at(stored.to)));
        let length = TimeDelta::seconds(self.args.timeframe.nominal().as_secs() as i64);
        let mut buckets = i32::try_from(limit).unwrap_or(i32::MAX).saturating_add(1);
        loop {
            let from = length.checked_mul(buckets).and_then(|length| end.checked_sub_signed(length));
            let from = from.map_or(stored.from, |from| grid.open_of(from.max(stored.from)));
            let mut bars = self.fetch(Span::new(grid.bucket_at(from), to)).await?;
            if bars.len() >= limit || from <= stored.from {
                bars.drain(..bars.len().saturating_sub(limit));
                return Ok(bars);
            }
            buckets = buckets.saturating_mul(4);
        }
    }

    async fn fetch(&self, span: Span) -> Result<Vec<Bar>, Failure> {
        let args = self.args;
        let fill = if args.fill { Fill::Flat } else { Fill::None };
        let reader = Reader::new(self.store.clone());
        let (exchange, symbol) = (&self.symbol.exchange, self.symbol.symbol.as_str());
        Ok(reader.fetch_ohlcv(exchange, symbol, args.timeframe, span, fill, args.forming).await?)
    }

    /// From the first to the last open time of anything that is stored.
    async fn extent(&self) -> Result<Option<Span>, Failure> {
        let mut opens = Vec::new();
        for series in &self.series {
            for newest_first in [false, true] {
                let query = CandleQuery { span: ALWAYS, limit: Some(1), newest_first };
                opens.extend(self.store.candles(series.id, query).await?.iter().map(|row| row.candle.open_time));
            }
            opens.extend(self.store.forming(series.id).await?.map(|candle| candle.open_time));
        }
        let (first, last) = (opens.iter().min(), opens.iter().max());
        Ok(first.zip(last).map(|(first, last)| Span::new(*first, *last)))
    }

    /// What the series of the timeframe itself knows of the bars: the sources of stored rows.
    async fn native(&self, bars: &[Bar]) -> Result<Native, Failure> {
        let native = self.series.iter().find(|series| series.timeframe == self.args.timeframe);
        let (Some(native), [first, ..], [.., last]) = (native, bars, bars) else { return Ok(Native::default()) };
        let span = Span::new(first.candle.open_time, last.candle.open_time + TimeDelta::milliseconds(1));
        let rows = self.store.candles(native.id, CandleQuery { span, limit: None, newest_first: false }).await?;
        let forming = self.store.forming(native.id).await?;
        Ok(Native {
            sources: rows.iter().map(|row| (row.candle.open_time, row.source)).collect(),
            forming: forming.map(|candle| candle.open_time),
        })
    }

    fn line(&self, bar: &Bar, native: &Native) -> Line<'_> {
        let open_time = bar.candle.open_time;
        let stored = native.sources.get(&open_time);
        let is_final = stored.is_some() || bar.is_complete;
        let (exchange, symbol) = (self.symbol.exchange.as_str(), self.symbol.symbol.as_str());
        Line {
            candle: CandleLine::new(Some(exchange), Some(symbol), self.args.timeframe, &bar.candle, is_final),
            bar: *bar,
            is_final,
            source: match stored {
                Some(source) => source.as_str(),
                None if bar.is_filled => "filled",
                None if native.forming == Some(open_time) => "forming",
                None => "resampled",
            },
        }
    }

    /// Says when there is nothing, and when something of the range is known to be missing.
    async fn speak(&self, bars: &[Bar]) -> Result<(), Failure> {
        let name = format!("{} {}", self.symbol.exchange, self.symbol.symbol);
        let range = match (bars.first(), bars.last()) {
            (Some(first), Some(last)) => Span::new(
                self.args.from.unwrap_or(first.candle.open_time),
                last.candle.open_time + TimeDelta::milliseconds(1),
            ),
            _ => {
                say(format_args!("{name} has no candles here; see: candlewick gaps {name}"));
                return Ok(());
            }
        };
        let series = inventory::inventory(&*self.store, Clock::system().now(), |row| row.id == self.symbol.id).await?;
        let wanted = series.iter().filter(|series| series.timeframe == self.args.timeframe);
        let gaps = wanted.flat_map(|series| &series.gaps).filter(|gap| gap.span.overlaps(range)).count() as u64;
        if gaps > 0 {
            say(format_args!("{} in this range; see: candlewick gaps {name}", count(gaps, "gap")));
        }
        Ok(())
    }
}

/// A bar as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    candle: CandleLine<'a>,
    /// As stored, or `resampled`, `filled`, `forming`.
    source: &'static str,
    #[serde(skip)]
    bar: Bar,
    #[serde(skip)]
    is_final: bool,
}

impl Row for Line<'_> {
    const COLUMNS: &'static [&'static str] =
        &["timestamp", "open", "high", "low", "close", "volume", "quote_volume", "trades", "source", "final"];

    fn cells(&self) -> Vec<String> {
        let candle = &self.bar.candle;
        let prices = [candle.open, candle.high, candle.low, candle.close, candle.volume];
        let mut cells = vec![Time(candle.open_time).to_string()];
        cells.extend(prices.iter().map(f64::to_string));
        cells.push(candle.quote_volume.map_or_else(String::new, |volume| volume.to_string()));
        cells.push(candle.trades.map_or_else(String::new, |trades| trades.to_string()));
        cells.push(self.source.to_owned());
        cells.push(self.is_final.to_string());
        cells
    }
}
