//! Trades from JSON: the lines that `decode` prints, or an exchange's own answer.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use anyhow::{Context, anyhow};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Args, Origin, read_line};
use crate::cli::Failure;
use crate::cli::failure::OrUsage;
use crate::cli::trade_rows::{Fault, read_amount, read_decimal, read_id, read_side, read_time};
use crate::exchange::{HttpReply, Instrument, TradeCursor, registry};
use crate::market::Trade;

/// The longest answer or line that is read.
pub(super) const BODY_LIMIT_BYTES: u64 = 64 << 20;

/// A line; what it must hold depends on its kind.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    exchange: Option<Cow<'a, str>>,
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    last_id: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    side: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

/// Reads lines or a body; `take` gets each trade with its origin and line number. `above` lines
/// were passed over before.
pub(super) fn read(
    input: &mut dyn BufRead,
    above: u64,
    args: &Args,
    mut take: impl FnMut(&Origin, u64, Trade) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut line = Vec::new();
    let mut number = above;
    let mut origin = Origin::default();
    while read_line(input, &mut line)? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = match serde_json::from_slice::<Row>(&line) {
            Ok(row) => row,
            Err(error) => match &args.exchange {
                // A body is all of the input, so only its beginning can be the beginning of one.
                Some(exchange) if number == above + 1 => {
                    input.take(BODY_LIMIT_BYTES).read_to_end(&mut line)?;
                    return read_body(exchange, args, line, |trade| take(&Origin::default(), number, trade));
                }
                _ => {
                    return Err(Failure::Failed(anyhow!(
                        "line {number}: not an object as `candlewick decode` prints it: {error}; an exchange's own \
                         answer needs --exchange"
                    )));
                }
            },
        };
        match &*row.kind {
            "trade" => {}
            "error" => {
                let message = row.message.as_deref().unwrap_or("no message");
                return Err(Failure::Failed(anyhow!("line {number}: the input is an error: {message}")));
            }
            _ => continue,
        }
        if origin.exchange.as_deref() != row.exchange.as_deref() || origin.symbol.as_deref() != row.symbol.as_deref() {
            origin = Origin {
                exchange: row.exchange.as_deref().map(str::to_owned),
                symbol: row.symbol.as_deref().map(str::to_owned),
            };
        }
        let trade = row.trade(number).map_err(|fault| fault.on_line(number))?;
        take(&origin, number, trade)?;
    }
    Ok(())
}

impl Row<'_> {
    fn trade(&self, number: u64) -> Result<Trade, Fault> {
        let id = match text(self.id) {
            cell if cell.is_empty() => crate::market::TradeId::Number(number),
            cell => read_id("id", cell.as_bytes())?,
        };
        let last_id = match text(self.last_id) {
            cell if cell.is_empty() => id.clone(),
            cell => read_id("last_id", cell.as_bytes())?,
        };
        Ok(Trade {
            id,
            last_id,
            time: read_time(text(self.time).as_bytes())?,
            price: read_decimal("price", text(self.price).as_bytes())?,
            amount: read_amount(text(self.amount).as_bytes())?,
            side: read_side(self.side.as_deref().unwrap_or_default().as_bytes())?,
        })
    }
}

/// The text of a string or number; empty for null and for what is missing.
fn text(value: Option<&RawValue>) -> Cow<'_, str> {
    match value.map(RawValue::get) {
        None | Some("null") => Cow::Borrowed(""),
        Some(raw) if raw.starts_with('"') => serde_json::from_str(raw).map_or(Cow::Borrowed(raw), Cow::Owned),
        Some(raw) => Cow::Borrowed(raw),
    }
}

fn read_body(
    exchange: &str,
    args: &Args,
    body: Vec<u8>,
    mut take: impl FnMut(Trade) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let row = registry::find(exchange).or_usage()?;
    // The name of the market decides nothing about how its trades are written.
    let symbol = args.symbol.clone().map_or_else(|| "?".parse(), Ok).or_usage()?;
    let instrument = Instrument::new(symbol.clone(), symbol.as_str(), symbol.as_str());
    let page = (row.build)(row.public_endpoints())
        .decode_trades(&instrument, &TradeCursor::Newest, &HttpReply::new(200, body))
        .with_context(|| format!("the answer of {exchange} cannot be read"))?;
    page.trades.into_iter().try_for_each(&mut take)
}
