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

/// Why a trades file cannot be replayed. Lines count from 1, the header included.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is not CSV, or a column is missing.
    #[error("cannot read the trades CSV (columns time,price,amount,id,side): {0}")]
    Csv(#[from] csv::Error),
    /// A field is not what its column promises.
    #[error("trades CSV line {line}: {column} {text:?} {fault}")]
    Field {
        /// Line.
        line: u64,
        /// Column.
        column: &'static str,
        /// The field's text.
        text: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// No trade at all.
    #[error("the trades CSV holds no trade; there is nothing to replay")]
    Empty,
}

#[derive(serde::Deserialize)]
struct Row {
    time: String,
    price: String,
    amount: String,
    id: String,
    side: String,
}

impl Replay {
    /// Reads trades. Times are Unix milliseconds or RFC 3339; rows must be in the order of their ids.
    ///
    /// # Errors
    /// The first line that cannot be used, or that there is none.
    pub fn read(symbol: Symbol, reader: impl Read) -> Result<Replay, ReplayError> {
        let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let mut rows: Vec<(i64, Decimal, i64, u64, bool)> = Vec::new();
        for (index, row) in csv.deserialize::<Row>().enumerate() {
            let row = row?;
            let line = index as u64 + 2;
            let fail = |column, text: &str, fault| ReplayError::Field { line, column, text: text.to_owned(), fault };
            let time =
                parse_time(&row.time).ok_or_else(|| fail("time", &row.time, "is neither milliseconds nor RFC 3339"))?;
            let price = positive(&row.price)
                .ok_or_else(|| fail("price", &row.price, "is no positive decimal of up to 8 digits after the point"))?;
            let amount = positive(&row.amount).and_then(|amount| units(amount, AMOUNT_DECIMALS)).ok_or_else(|| {
                fail("amount", &row.amount, "is no positive decimal of up to 8 digits after the point")
            })?;
            let id = row.id.parse::<u64>().map_err(|_| fail("id", &row.id, "is no whole number"))?;
            let taker_buys = match row.side.as_str() {
                "buy" | "b" => true,
                "sell" | "s" => false,
                _ => return Err(fail("side", &row.side, "is neither buy nor sell")),
            };
            if let Some(last) = rows.last() {
                if id <= last.3 {
                    return Err(fail("id", &row.id, "is not above the id of the line before"));
                }
                if time < last.0 {
                    return Err(fail("time", &row.time, "is before the time of the line above"));
                }
            }
            rows.push((time, price, amount, id, taker_buys));
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
fn number(rows: &[(i64, Decimal, i64, u64, bool)], decimals: u32) -> Vec<Tick> {
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
    fn a_bad_line_is_named() {
        let message = |text: &str| read(&format!("time,price,amount,id,side\n{text}")).unwrap_err().to_string();
        assert_eq!(message("1,2,3,x,buy\n"), r#"trades CSV line 2: id "x" is no whole number"#);
        assert_eq!(
            message("1,2,3,4,buy\n1,2,3,4,buy\n"),
            r#"trades CSV line 3: id "4" is not above the id of the line before"#
        );
        assert_eq!(message(""), "the trades CSV holds no trade; there is nothing to replay");
    }
}
