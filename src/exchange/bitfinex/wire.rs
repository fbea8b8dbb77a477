//! The shapes of Bitfinex's JSON: rows by the places of their cells, and the objects of the stream.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::exchange::VenueError;
pub use crate::exchange::wire::{Cells, Scalar, Text, malformed};
use crate::exchange::wire::{checked, trade_id};
use crate::market::{Candle, Grid, Side, Timeframe, Trade};

/// `[MTS, OPEN, CLOSE, HIGH, LOW, VOLUME]`: the close comes second.
pub type CandleRow<'a> = Cells<'a, 6>;

/// `[ID, MTS, AMOUNT, PRICE]`.
pub type TradeRow<'a> = Cells<'a, 4>;

/// `[SYMBOL, BID, BID_SIZE, ASK, ASK_SIZE, CHANGE, CHANGE_RELATIVE, LAST, VOLUME, ...]`.
pub type TickerRow<'a> = Cells<'a, 9>;

/// The candle, if it lies on the grid and its numbers can be stored.
pub fn candle(row: &CandleRow<'_>, timeframe: Timeframe) -> Result<Candle, VenueError> {
    let float = |index, field| row.need(index, field)?.float(field);
    let candle = Candle {
        open_time: row.need(0, "time")?.millis("time")?,
        open: float(1, "open")?,
        close: float(2, "close")?,
        high: float(3, "high")?,
        low: float(4, "low")?,
        volume: float(5, "volume")?,
        quote_volume: None,
        trades: None,
        vwap: None,
    };
    checked(candle, &Grid::utc(timeframe))
}

/// The trade. Amounts are signed: the taker sold what is below zero.
pub fn trade(row: &TradeRow<'_>) -> Result<Trade, VenueError> {
    let id = trade_id(row.need(0, "id")?)?;
    let amount = row.need(2, "amount")?.decimal("amount")?;
    Ok(Trade {
        last_id: id.clone(),
        id,
        time: row.need(1, "time")?.millis("time")?,
        price: row.need(3, "price")?.decimal("price")?,
        amount: amount.abs(),
        side: match amount.cmp(&Decimal::ZERO) {
            std::cmp::Ordering::Greater => Some(Side::Buy),
            std::cmp::Ordering::Less => Some(Side::Sell),
            std::cmp::Ordering::Equal => None,
        },
    })
}

/// Trades in the order of their ids, each once.
pub fn in_order(rows: &[TradeRow<'_>]) -> Result<Vec<Trade>, VenueError> {
    let mut trades = rows.iter().map(trade).collect::<Result<Vec<_>, _>>()?;
    trades.sort_by_key(|trade| trade.id.number());
    trades.dedup_by(|later, kept| later.id == kept.id);
    Ok(trades)
}

/// An object of the stream: anything that is no data.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice<'a> {
    /// `info`, `conf`, `subscribed`, `unsubscribed`, `error`, `pong`.
    #[serde(borrow)]
    pub event: Text<'a>,
    /// `candles` or `trades`.
    #[serde(borrow)]
    pub channel: Option<Text<'a>>,
    /// The channel's number on this connection.
    #[serde(borrow)]
    pub chan_id: Option<Scalar<'a>>,
    /// `trade:1m:tBTCUSD`, of candles.
    #[serde(borrow)]
    pub key: Option<Text<'a>>,
    /// `tBTCUSD`, of trades.
    #[serde(borrow)]
    pub symbol: Option<Text<'a>>,
    /// Of errors and notices.
    #[serde(borrow)]
    pub code: Option<Scalar<'a>>,
    /// Words for it.
    #[serde(borrow)]
    pub msg: Option<Text<'a>>,
    /// `OK` or not, of `conf` and `unsubscribed`.
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    /// The venue's clock, of pongs.
    #[serde(borrow)]
    pub ts: Option<Scalar<'a>>,
    /// The venue's state, of the greeting.
    #[serde(borrow)]
    pub platform: Option<Platform<'a>>,
}

/// The venue's state.
#[derive(Debug, Deserialize)]
pub struct Platform<'a> {
    /// 1 while it works, 0 in maintenance.
    #[serde(borrow)]
    pub status: Option<Scalar<'a>>,
}

/// What stands behind the payload of a frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Number of the frame on its connection.
    pub sequence: Option<u64>,
    /// The venue's clock.
    pub stamped_at: Option<DateTime<Utc>>,
}

impl Tail {
    /// A stamp in milliseconds is told from a number by its size; the order of the two is not documented.
    pub fn read(cells: &[&serde_json::value::RawValue]) -> Tail {
        const LEAST_STAMP: u64 = 1_000_000_000_000;
        let mut tail = Tail::default();
        for cell in cells {
            let Ok(cell) = serde_json::from_str::<Scalar<'_>>(cell.get()) else { continue };
            match cell.unsigned("number") {
                Ok(number) if number >= LEAST_STAMP => tail.stamped_at = cell.millis("stamp").ok(),
                Ok(number) => tail.sequence = Some(number),
                Err(_) => {}
            }
        }
        tail
    }
}
