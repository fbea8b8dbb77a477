//! Candles from CSV with a header.

use std::io::Read;

use chrono::{DateTime, Utc};
use csv::{ByteRecord, Reader, ReaderBuilder};

use crate::cli::trade_rows::{Fault, Numbered};
use crate::cli::{Failure, when};
use crate::market::Candle;

/// Rows one after the other.
pub(super) struct CandleRows<R> {
    reader: Reader<R>,
    columns: Columns,
    record: ByteRecord,
    above: u64,
}

/// Where the columns are.
struct Columns {
    open_time: usize,
    /// open, high, low, close, volume
    numbers: [usize; 5],
    trades: Option<usize>,
    quote_volume: Option<usize>,
    vwap: Option<usize>,
    /// As `candlewick candles` prints them.
    is_final: Option<usize>,
    source: Option<usize>,
}

const NUMBERS: [&str; 5] = ["open", "high", "low", "close", "volume"];

impl<R: Read> CandleRows<R> {
    /// Reads the header. `above` lines were passed over before.
    pub(super) fn new(input: R, above: u64) -> Result<CandleRows<R>, Failure> {
        let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(input);
        let columns = Columns::of(reader.byte_headers().map_err(anyhow::Error::new)?, above + 1)?;
        Ok(CandleRows { reader, columns, record: ByteRecord::new(), above })
    }

    /// The next row's line number, and its candle or what is wrong with it; `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Numbered<Candle>>, Failure> {
        if !self.reader.read_byte_record(&mut self.record).map_err(anyhow::Error::new)? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line) + self.above;
        Ok(Some((line, self.columns.candle(&self.record))))
    }
}

impl Columns {
    fn of(header: &ByteRecord, line: u64) -> Result<Columns, Failure> {
        let find = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name.as_bytes()));
        let lacks = |name: &str| {
            Failure::usage(format_args!(
                "line {line}: no column {name}; the header must name timestamp (or open_time), open, high, low, close and \
                 volume, and may name trades, quote_volume and vwap: timestamp,open,high,low,close,volume"
            ))
        };
        let open_time = ["timestamp", "open_time", "time"].into_iter().find_map(find);
        let mut numbers = [0; 5];
        for (place, name) in numbers.iter_mut().zip(NUMBERS) {
            *place = find(name).ok_or_else(|| lacks(name))?;
        }
        Ok(Columns {
            open_time: open_time.ok_or_else(|| lacks("timestamp"))?,
            numbers,
            trades: find("trades"),
            quote_volume: find("quote_volume"),
            vwap: find("vwap"),
            is_final: find("final"),
            source: find("source"),
        })
    }

    fn candle(&self, record: &ByteRecord) -> Result<Candle, Fault> {
        let cell = |index: usize| record.get(index).unwrap_or_default();
        let mut numbers = [0.0; 5];
        for ((number, index), name) in numbers.iter_mut().zip(self.numbers).zip(NUMBERS) {
            *number = read_number(name, cell(index))?;
        }
        let [open, high, low, close, volume] = numbers;
        if volume < 0.0 {
            return Err(Fault::new("volume", cell(self.numbers[4]), "a volume that is not negative"));
        }
        let optional = |name, index: Option<usize>| {
            let cell = index.map(cell).filter(|cell| !cell.trim_ascii().is_empty());
            cell.map(|cell| read_number(name, cell)).transpose()
        };
        if let Some(index) = self.is_final.filter(|index| cell(*index).eq_ignore_ascii_case(b"false")) {
            return Err(Fault::new("final", cell(index), "a bar that is final"));
        }
        if let Some(index) = self.source.filter(|index| matches!(cell(*index), b"filled" | b"forming")) {
            return Err(Fault::new("source", cell(index), "a bar that was not made up for a reader"));
        }
        Ok(Candle {
            open_time: read_time(cell(self.open_time))?,
            open,
            high,
            low,
            close,
            volume,
            quote_volume: optional("quote_volume", self.quote_volume)?,
            trades: self.trades.map(|index| read_count(cell(index))).transpose()?.flatten(),
            vwap: optional("vwap", self.vwap)?,
        })
    }
}

fn text(cell: &[u8]) -> &str {
    std::str::from_utf8(cell).unwrap_or_default().trim()
}

fn read_time(cell: &[u8]) -> Result<DateTime<Utc>, Fault> {
    const WANTED: &str = "the time at which the bar opens: 2025-11-10T17:24:00Z, Unix seconds or milliseconds";
    when::parse(text(cell)).map_err(|_| Fault::new("timestamp", cell, WANTED))
}

fn read_number(column: &'static str, cell: &[u8]) -> Result<f64, Fault> {
    let number = text(cell).parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| Fault::new(column, cell, "a number"))
}

fn read_count(cell: &[u8]) -> Result<Option<u64>, Fault> {
    match text(cell) {
        "" => Ok(None),
        text => match text.parse::<u32>() {
            Ok(count) => Ok(Some(count.into())),
            Err(_) => Err(Fault::new("trades", cell, "a number of trades")),
        },
    }
}
