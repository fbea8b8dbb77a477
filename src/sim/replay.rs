//! A market read from a file: a trades CSV `time,price,amount,id,side`.

use std::io::Read;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::market::Symbol;

use super::decimal::AMOUNT_DECIMALS;
use super::tape::{SECOND_NS, Tick};

/// Trades to replay as the market of one symbol, on every venue that lists it.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The market that is replayed.
    pub symbol: Symbol,
    pub(crate) ticks: Arc<[Tick]>,
    /// Digits after the point of the prices as stored in `ticks`.
    pub(crate) decimals: u32,
}

/// Why a trades file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is not CSV, or a column is missing.
    #[error("cannot read the trades CSV (columns time,price,amount,id,side): {0}")]
    Csv(#[from] csv::Error),
    /// Lines that cannot be used.
    #[error("{}", list(.0))]
    Lines(Vec<LineFault>),
    /// No trade at all.
    #[error("the trades CSV holds no trade; there is nothing to replay")]
    Empty,
}

/// A field that is not what its column promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trades CSV line {line}: {column} {text:?} {fault}")]
pub struct LineFault {
    /// Line, counted from 1, the header included.
    pub line: u64,
    /// Column.
    pub column: &'static str,
    /// The field's text.
    pub text: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// Faults that are shown of one file.
const SHOWN: usize = 20;

fn list(faults: &[LineFault]) -> String {
    let mut lines: Vec<String> = faults.iter().take(SHOWN).map(LineFault::to_string).collect();
    if faults.len() > SHOWN {
        lines.push(format!("and {} more", faults.len() - SHOWN));
    }
    lines.join("\n")
}

#[derive(serde::Deserialize)]
struct Row {
    time: String,
    price: String,
    amount: String,
    id: String,
    side: String,
}

/// Time in nanoseconds, price, amount in units, id, whether the taker bought.
type Trade = (i64, Decimal, i64, u64, bool);

impl Row {
    /// The trade, which must follow `last`.
    fn read(&self, line: u64, last: Option<&Trade>) -> Result<Trade, LineFault> {
        let fail = |column, text: &str, fault| LineFault { line, column, text: text.to_owned(), fault };
        let time =
            parse_time(&self.time).ok_or_else(|| fail("time", &self.time, "is neither milliseconds nor RFC 3339"))?;
        let price = positive(&self.price)
            .ok_or_else(|| fail("price", &self.price, "is no positive decimal of up to 8 digits after the point"))?;
        let amount = positive(&self.amount)
            .and_then(|amount| units(amount, AMOUNT_DECIMALS))
            .ok_or_else(|| fail("amount", &self.amount, "is no positive decimal of up to 8 digits after the point"))?;
        let id = self.id.parse::<u64>().map_err(|_| fail("id", &self.id, "is no whole number"))?;
        let taker_buys = match self.side.as_str() {
            "buy" | "b" => true,
            "sell" | "s" => false,
            _ => return Err(fail("side", &self.side, "is neither buy nor sell")),
        };
        match last {
            Some(last) if id <= last.3 => Err(fail("id", &self.id, "is not above the id of the line before")),
            Some(last) if time < last.0 => Err(fail("time", &self.time, "is before the time of the line above")),
            _ => Ok((time, price, amount, id, taker_buys)),
        }
    }
}

impl Replay {
    /// Reads trades. Times are Unix milliseconds or RFC 3339; rows must be in the order of their ids.
    ///
    /// # Errors
    /// Every line that cannot be used, or that there is none.
    pub fn read(symbol: Symbol, reader: impl Read) -> Result<Replay, ReplayError> {
        let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let mut rows: Vec<Trade> = Vec::new();
        let mut faults = Vec::new();
        for (index, row) in csv.deserialize::<Row>().enumerate() {
            match row?.read(index as u64 + 2, rows.last()) {
                Ok(trade) => rows.push(trade),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(ReplayError::Lines(faults));
        }
        let decimals = rows.iter().map(|row| row.1.scale()).max().ok_or(ReplayError::Empty)?;
        Ok(Replay { symbol, ticks: number(&rows, decimals).into(), decimals })
    }

    /// The start of the first trade's minute: where the simulator's clock should start.
    pub fn start(&self) -> DateTime<Utc> {
        let first_ns = self.ticks.first().map_or(0, |tick| tick.time_ns);
        let minute_ns = 60 * SECOND_NS;
        DateTime::from_timestamp_nanos(first_ns - first_ns.rem_euclid(minute_ns))
    }
}

/// Rows as ticks: times made strictly rising by nanoseconds, taker orders numbered.
fn number(rows: &[Trade], decimals: u32) -> Vec<Tick> {
    let mut ticks: Vec<Tick> = Vec::with_capacity(rows.len());
    let mut previous_time = i64::MIN;
    for &(time, price, amount, id, taker_buys) in rows {
        let price = units(price, decimals).unwrap_or(i64::MAX);
        let mut order_id = 1;
        let mut time_ns = time;
        if let Some(last) = ticks.last() {
            let same = previous_time == time && last.price == price && last.taker_buys == taker_buys;
            order_id = last.order_id + u64::from(!same);
            time_ns = time.max(last.time_ns + 1);
        }
        previous_time = time;
        ticks.push(Tick { id, order_id, time_ns, price, amount, taker_buys, is_market_order: true });
    }
    ticks
}

fn parse_time(text: &str) -> Option<i64> {
    if let Ok(millis) = text.parse::<i64>() {
        return millis.checked_mul(1_000_000);
    }
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

fn positive(text: &str) -> Option<Decimal> {
    let value = text.parse::<Decimal>().ok()?.normalize();
    (value > Decimal::ZERO && value.scale() <= 8).then_some(value)
}

fn units(value: Decimal, scale: u32) -> Option<i64> {
    let mantissa = value.mantissa().checked_mul(10i128.checked_pow(scale.checked_sub(value.scale())?)?)?;
    i64::try_from(mantissa).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Replay, ReplayError> {
        Replay::read("BTC/USDT".parse().unwrap(), text.as_bytes())
    }

    #[test]
    fn a_trades_file_is_read_exactly_and_orders_are_told_apart() {
        let replay = read(
            "time,price,amount,id,side\n1723161601437,61685.99000000,0.00017000,7,sell\n\
             1723161601437,61685.99,0.00016,8,sell\n2024-08-09T00:00:01.437001Z,61686.5,2,9,buy\n",
        )
        .unwrap();
        assert_eq!(replay.decimals, 2);
        assert_eq!(replay.start(), "2024-08-09T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
        let rows: Vec<_> = replay.ticks.iter().map(|t| (t.id, t.order_id, t.time_ns, t.price, t.amount)).collect();
        assert_eq!(
            rows,
            vec![
                (7, 1, 1_723_161_601_437_000_000, 6_168_599, 17_000),
                (8, 1, 1_723_161_601_437_000_001, 6_168_599, 16_000),
                (9, 2, 1_723_161_601_437_001_000, 6_168_650, 200_000_000),
            ]
        );
    }

    #[test]
    fn every_bad_line_is_named() {
        let message = |text: &str| read(&format!("time,price,amount,id,side\n{text}")).unwrap_err().to_string();
        assert_eq!(message("1,2,3,x,buy\n"), r#"trades CSV line 2: id "x" is no whole number"#);
        assert_eq!(
            message("1,2,3,4,buy\n1,2,3,4,buy\n2,0,3,5,buy\n"),
            "trades CSV line 3: id \"4\" is not above the id of the line before\n\
             trades CSV line 4: price \"0\" is no positive decimal of up to 8 digits after the point"
        );
        assert_eq!(message(""), "the trades CSV holds no trade; there is nothing to replay");
    }
}
