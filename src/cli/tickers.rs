//! `candlewick tickers`: the newest ticker of each symbol that has one, and how old it is.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Failure;
use super::database::{DatabaseArgs, block_on};
use super::lines::Time;
use super::listing::{self, Format, Row, say};
use crate::clock::Clock;
use crate::store::reader::Reader;
use crate::store::{Access, TickerRow};

/// Arguments of `tickers`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this exchange, such as kraken.
    exchange: Option<String>,
    /// Only this symbol, such as BTC/USD.
    symbol: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the tickers.
///
/// # Errors
/// Usage for names that are not kept, with the nearest that are; failed when the database cannot be read.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    block_on(async {
        let store = database.open(Access::ReadOnly).await?;
        let reader = Reader::new(store.clone());
        match (&args.exchange, &args.symbol) {
            (Some(exchange), Some(symbol)) => drop(reader.find(exchange, symbol).await?),
            (Some(exchange), None) => drop(reader.find_all(exchange).await?),
            (None, _) => {}
        }
        let is_asked = |row: &TickerRow| {
            args.exchange.as_ref().is_none_or(|exchange| *exchange == row.exchange)
                && args.symbol.as_ref().is_none_or(|symbol| *symbol == row.symbol.as_str())
        };
        let rows: Vec<TickerRow> = store.tickers().await?.into_iter().filter(is_asked).collect();
        if rows.is_empty() {
            say("no ticker is stored; want one with: candlewick symbols add EXCHANGE SYMBOL --only-ticker");
        }
        let now = Clock::system().now();
        listing::print(args.format, rows.iter().map(|row| Line::of(row, now)))
    })
}

/// A ticker as it is printed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    exchange: &'a str,
    symbol: &'a str,
    /// The venue's, or ours where the venue prints none.
    time: Time,
    age_ms: i64,
    last: Option<f64>,
    bid: Option<f64>,
    ask: Option<f64>,
    volume: Option<f64>,
    quote_volume: Option<f64>,
}

impl<'a> Line<'a> {
    fn of(row: &'a TickerRow, now: DateTime<Utc>) -> Line<'a> {
        let ticker = &row.ticker;
        let time = ticker.time.unwrap_or(row.updated_at);
        Line {
            exchange: &row.exchange,
            symbol: row.symbol.as_str(),
            time: Time(time),
            age_ms: (now - time).num_milliseconds(),
            last: ticker.last,
            bid: ticker.bid,
            ask: ticker.ask,
            volume: ticker.volume,
            quote_volume: ticker.quote_volume,
        }
    }
}

impl Row for Line<'_> {
    const COLUMNS: &'static [&'static str] =
        &["exchange", "symbol", "time", "age_ms", "last", "bid", "ask", "volume", "quote_volume"];

    fn cells(&self) -> Vec<String> {
        let numbers = [self.last, self.bid, self.ask, self.volume, self.quote_volume];
        let mut cells =
            vec![self.exchange.to_owned(), self.symbol.to_owned(), self.time.to_string(), self.age_ms.to_string()];
        cells.extend(numbers.map(|number| number.map_or_else(String::new, |number| number.to_string())));
        cells
    }
}
