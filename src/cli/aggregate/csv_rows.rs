//! Trades from CSV with a header.

use std::io::BufRead;

use anyhow::anyhow;
use chrono::{DateTime, SubsecRound, Utc};
use csv::{ByteRecord, ReaderBuilder};
use rust_decimal::Decimal;

use crate::cli::Failure;
use crate::market::{Side, Trade, TradeId};

/// Where the columns are.
struct Columns {
    time: usize,
    price: usize,
    amount: usize,
    id: Option<usize>,
    last_id: Option<usize>,
    side: Option<usize>,
}

/// Reads all rows; `take` gets each with its line number. `above` lines were passed over before.
pub(super) fn read(
    input: &mut dyn BufRead,
    above: u64,
    mut take: impl FnMut(u64, &Trade) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(input);
    let columns = Columns::of(reader.byte_headers().map_err(anyhow::Error::new)?, above + 1)?;
    let mut record = ByteRecord::new();
    let mut row = 0;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(anyhow::Error::new(error).into()),
        }
        let line = record.position().map_or(0, csv::Position::line) + above;
        row += 1;
        let trade = columns.trade(&record, row).map_err(|fault| fault.on_line(line))?;
        take(line, &trade)?;
    }
}

/// What is wrong with a cell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    column: &'static str,
    text: String,
    wanted: &'static str,
}

impl Fault {
    pub(super) fn new(column: &'static str, text: &[u8], wanted: &'static str) -> Fault {
        let mut text = String::from_utf8_lossy(text).into_owned();
        if let Some((cut, _)) = text.char_indices().nth(60) {
            text.truncate(cut);
            text.push('…');
        }
        Fault { column, text, wanted }
    }

    pub(super) fn on_line(self, line: u64) -> Failure {
        let Fault { column, text, wanted } = self;
        let found = if text.is_empty() { "nothing".to_owned() } else { format!("{text:?}") };
        Failure::Failed(anyhow!("line {line}, column {column}: found {found}, wanted {wanted}"))
    }
}

impl Columns {
    fn of(header: &ByteRecord, line: u64) -> Result<Columns, Failure> {
        let find = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name.as_bytes()));
        let need = |name: &str| {
            find(name).ok_or_else(|| {
                Failure::Failed(anyhow!(
                    "line {line}: no column {name}; the header must name time, price and amount, and may name id, last_id \
                     and side: time,price,amount,id,side"
                ))
            })
        };
        Ok(Columns {
            time: need("time")?,
            price: need("price")?,
            amount: need("amount")?,
            id: find("id"),
            last_id: find("last_id"),
            side: find("side"),
        })
    }

    /// The trade of a row. Rows of files without ids are numbered.
    fn trade(&self, record: &ByteRecord, row: u64) -> Result<Trade, Fault> {
        let cell = |index: usize| record.get(index).unwrap_or_default();
        let id = match self.id {
            Some(index) => read_id("id", cell(index))?,
            None => TradeId::Number(row),
        };
        let last_id = match self.last_id {
            Some(index) if !cell(index).is_empty() => read_id("last_id", cell(index))?,
            _ => id.clone(),
        };
        Ok(Trade {
            id,
            last_id,
            time: read_time(cell(self.time))?,
            price: read_decimal("price", cell(self.price))?,
            amount: read_amount(cell(self.amount))?,
            side: self.side.map_or(Ok(None), |index| read_side(cell(index)))?,
        })
    }
}

pub(super) fn read_time(cell: &[u8]) -> Result<DateTime<Utc>, Fault> {
    const WANTED: &str = "Unix milliseconds (13 digits today) or RFC 3339 (2025-11-10T17:24:00.5Z)";
    /// The year 5138: a larger number is not meant in milliseconds.
    const FIRST_IMPLAUSIBLE_MS: i64 = 100_000_000_000_000;
    let text = std::str::from_utf8(cell).unwrap_or_default().trim();
    let time = match text.parse::<i64>() {
        Ok(ms) if (0..FIRST_IMPLAUSIBLE_MS).contains(&ms) => DateTime::from_timestamp_millis(ms),
        Ok(_) => None,
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc).trunc_subsecs(6)),
    };
    time.ok_or_else(|| Fault::new("time", cell, WANTED))
}

pub(super) fn read_decimal(column: &'static str, cell: &[u8]) -> Result<Decimal, Fault> {
    let text = std::str::from_utf8(cell).unwrap_or_default().trim();
    // The parser's leniency towards 1_000 would read a typing error as a number.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    let value = if is_plain {
        Decimal::from_str_exact(text).ok()
    } else if !text.contains('_') {
        Decimal::from_scientific(text).ok()
    } else {
        None
    };
    value.ok_or_else(|| Fault::new(column, cell, "a decimal number of at most 28 digits"))
}

pub(super) fn read_amount(cell: &[u8]) -> Result<Decimal, Fault> {
    let amount = read_decimal("amount", cell)?;
    if amount.is_sign_negative() && !amount.is_zero() {
        return Err(Fault::new("amount", cell, "a size that is not negative (the direction is told by side)"));
    }
    Ok(amount)
}

pub(super) fn read_id(column: &'static str, cell: &[u8]) -> Result<TradeId, Fault> {
    let text = std::str::from_utf8(cell).unwrap_or_default().trim();
    if text.is_empty() {
        return Err(Fault::new(column, cell, "the exchange's id of the trade"));
    }
    Ok(text.parse().map_or_else(|_| TradeId::Text(text.into()), TradeId::Number))
}

pub(super) fn read_side(cell: &[u8]) -> Result<Option<Side>, Fault> {
    match cell.trim_ascii() {
        b"" => Ok(None),
        side if side.eq_ignore_ascii_case(b"buy") => Ok(Some(Side::Buy)),
        side if side.eq_ignore_ascii_case(b"sell") => Ok(Some(Side::Sell)),
        _ => Err(Fault::new("side", cell, "buy, sell or nothing")),
    }
}
