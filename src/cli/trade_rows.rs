//! Trades from CSV with a header, and the cells they consist of.

use std::fmt;
use std::io::Read;

use anyhow::anyhow;
use chrono::{DateTime, SubsecRound, Utc};
use csv::{ByteRecord, Reader, ReaderBuilder};
use rust_decimal::Decimal;

use super::Failure;
use crate::market::{Side, Trade, TradeId};

/// Rows one after the other; nothing is allocated for one but ids that are no numbers.
pub struct TradeRows<R> {
    reader: Reader<R>,
    columns: Columns,
    record: ByteRecord,
    /// Lines before the header.
    above: u64,
    row: u64,
}

impl<R: Read> TradeRows<R> {
    /// Reads the header. `above` lines were passed over before.
    ///
    /// # Errors
    /// Failed: a header without what a trade needs, or input that cannot be read.
    pub fn new(input: R, above: u64) -> Result<TradeRows<R>, Failure> {
        let mut reader =
            ReaderBuilder::new().buffer_capacity(1 << 16).flexible(true).trim(csv::Trim::Headers).from_reader(input);
        let columns = Columns::of(reader.byte_headers().map_err(anyhow::Error::new)?, above + 1)?;
        Ok(TradeRows { reader, columns, record: ByteRecord::new(), above, row: 0 })
    }

    /// True when the trades have ids of their own; else rows are numbered.
    pub fn have_ids(&self) -> bool {
        self.columns.id.is_some()
    }

    /// The next row's line number, and its trade or what is wrong with it; `None` at the end.
    ///
    /// # Errors
    /// Failed: input that cannot be read.
    pub fn next_row(&mut self) -> Result<Option<Numbered<Trade>>, Failure> {
        if !self.reader.read_byte_record(&mut self.record).map_err(anyhow::Error::new)? {
            return Ok(None);
        }
        self.row += 1;
        let line = self.record.position().map_or(0, csv::Position::line) + self.above;
        Ok(Some((line, self.columns.trade(&self.record, self.row))))
    }
}

/// Where the columns are.
struct Columns {
    time: usize,
    price: usize,
    amount: usize,
    id: Option<usize>,
    last_id: Option<usize>,
    side: Option<usize>,
}

/// A row with its number in the file, or what is wrong with it.
pub type Numbered<T> = (u64, Result<T, Fault>);

/// What is wrong with a cell.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    column: &'static str,
    text: String,
    wanted: &'static str,
}

impl Fault {
    /// A cell whose text is not what is wanted; long ones are cut.
    pub fn new(column: &'static str, text: &[u8], wanted: &'static str) -> Fault {
        let mut text = String::from_utf8_lossy(text).into_owned();
        if let Some((cut, _)) = text.char_indices().nth(60) {
            text.truncate(cut);
            text.push('…');
        }
        Fault { column, text, wanted }
    }

    /// The failure it is when nothing can go on without the row.
    pub fn on_line(self, line: u64) -> Failure {
        Failure::Failed(anyhow!("line {line}, {self}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { column, text, wanted } = self;
        match text.as_str() {
            "" => write!(f, "column {column}: found nothing, wanted {wanted}"),
            text => write!(f, "column {column}: found {text:?}, wanted {wanted}"),
        }
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

/// The digits of a number like 105433.60, and how many of them stand after the point. `None` for
/// every other form, also for numbers that may not fit: those are for the general parsers.
fn plain_number(cell: &[u8]) -> Option<(u64, u32)> {
    /// Fewer than a 64-bit number holds.
    const MOST: usize = 19;
    let point = cell.iter().position(|byte| *byte == b'.').unwrap_or(cell.len());
    let (whole, fraction) = (&cell[..point], cell.get(point + 1..));
    if whole.is_empty() || fraction.is_some_and(<[u8]>::is_empty) || cell.len() > MOST {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    let mut digits = 0;
    for byte in whole.iter().chain(fraction) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digits = digits * 10 + u64::from(byte - b'0');
    }
    Some((digits, fraction.len() as u32))
}

/// A time: Unix milliseconds or RFC 3339.
pub fn read_time(cell: &[u8]) -> Result<DateTime<Utc>, Fault> {
    const WANTED: &str = "Unix milliseconds (13 digits today) or RFC 3339 (2025-11-10T17:24:00.5Z)";
    /// The year 5138: a larger number is not meant in milliseconds.
    const FIRST_IMPLAUSIBLE_MS: i64 = 100_000_000_000_000;
    if let Some((ms, 0)) = plain_number(cell)
        && ms < FIRST_IMPLAUSIBLE_MS as u64
    {
        return DateTime::from_timestamp_millis(ms as i64).ok_or_else(|| Fault::new("time", cell, WANTED));
    }
    let text = std::str::from_utf8(cell).unwrap_or_default().trim();
    let time = match text.parse::<i64>() {
        Ok(ms) if (0..FIRST_IMPLAUSIBLE_MS).contains(&ms) => DateTime::from_timestamp_millis(ms),
        Ok(_) => None,
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc).trunc_subsecs(6)),
    };
    time.ok_or_else(|| Fault::new("time", cell, WANTED))
}

/// An exact decimal.
pub fn read_decimal(column: &'static str, cell: &[u8]) -> Result<Decimal, Fault> {
    if let Some((digits, scale)) = plain_number(cell) {
        return Ok(Decimal::from_i128_with_scale(digits.into(), scale));
    }
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

/// The size of a trade.
pub fn read_amount(cell: &[u8]) -> Result<Decimal, Fault> {
    let amount = read_decimal("amount", cell)?;
    if amount.is_sign_negative() && !amount.is_zero() {
        return Err(Fault::new("amount", cell, "a size that is not negative (the direction is told by side)"));
    }
    Ok(amount)
}

/// An exchange's id of a trade.
pub fn read_id(column: &'static str, cell: &[u8]) -> Result<TradeId, Fault> {
    if let Some((number, 0)) = plain_number(cell) {
        return Ok(TradeId::Number(number));
    }
    let text = std::str::from_utf8(cell).unwrap_or_default().trim();
    if text.is_empty() {
        return Err(Fault::new(column, cell, "the exchange's id of the trade"));
    }
    Ok(text.parse().map_or_else(|_| TradeId::Text(text.into()), TradeId::Number))
}

/// The taker's side; empty where it is not known.
pub fn read_side(cell: &[u8]) -> Result<Option<Side>, Fault> {
    match cell.trim_ascii() {
        b"" => Ok(None),
        side if side.eq_ignore_ascii_case(b"buy") => Ok(Some(Side::Buy)),
        side if side.eq_ignore_ascii_case(b"sell") => Ok(Some(Side::Sell)),
        _ => Err(Fault::new("side", cell, "buy, sell or nothing")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the general parsers read.
    fn general(text: &str) -> Option<(String, Option<u64>)> {
        Some((Decimal::from_str_exact(text).ok()?.to_string(), text.parse().ok()))
    }

    proptest! {
        #[test]
        fn plain_numbers_are_what_the_general_parsers_read(text in "[0-9]{0,12}\\.?[0-9]{0,12}") {
            if let Some((digits, scale)) = plain_number(text.as_bytes()) {
                let (decimal, whole) = general(&text).expect("a number");
                prop_assert_eq!(Decimal::from_i128_with_scale(digits.into(), scale).to_string(), decimal);
                prop_assert_eq!((scale == 0).then_some(digits), whole);
            }
        }
    }

    #[test]
    fn other_forms_of_numbers_are_left_to_the_general_parsers() {
        assert_eq!(plain_number(b"105433.60"), Some((10_543_360, 2)));
        assert_eq!(plain_number(b"9999999999999999999"), Some((9_999_999_999_999_999_999, 0)));
        let mut seen = 0;
        for text in ["", ".", "1.", ".5", "-1", "+1", " 1", "1e5", "1.2.3", "10000000000000000000", "1_0"] {
            assert_eq!(plain_number(text.as_bytes()), None, "{text}");
            seen += 1;
        }
        assert_eq!(seen, 11);
        assert_eq!(read_decimal("price", b" 1.50 "), Ok("1.50".parse().unwrap()));
        assert_eq!(read_decimal("price", b"1.5e-7"), Ok("0.00000015".parse().unwrap()));
        assert_eq!(read_id("id", b"18446744073709551615"), Ok(TradeId::Number(u64::MAX)));
        assert_eq!(read_id("id", b"18446744073709551616"), Ok(TradeId::Text("18446744073709551616".into())));
    }
}
