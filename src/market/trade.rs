//! Trades as venues report them, with exact decimals.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The side of the taker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The taker bought.
    Buy,
    /// The taker sold.
    Sell,
}

impl Side {
    /// `buy` or `sell`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
        }
    }
}

/// The venue's own identifier of a trade.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TradeId {
    /// Numeric and, where the dialect says so, dense: the next trade has the next number.
    Number(u64),
    /// Anything else (UUIDs).
    Text(Arc<str>),
}

impl TradeId {
    /// The largest number that is taken for one: it and the one after it fit into a database.
    pub const LARGEST: u64 = i64::MAX as u64 - 1;

    /// The number, where the venue's ids are numbers.
    pub fn number(&self) -> Option<u64> {
        match self {
            TradeId::Number(number) => Some(*number),
            TradeId::Text(_) => None,
        }
    }
}

impl fmt::Display for TradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TradeId::Number(number) => write!(f, "{number}"),
            TradeId::Text(text) => f.write_str(text),
        }
    }
}

/// One trade, or one aggregated trade standing for several consecutive ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// First id covered.
    pub id: TradeId,
    /// Last id covered; equal to `id` for a single trade (a Binance aggTrade covers `f..=l`).
    pub last_id: TradeId,
    /// Time of execution at the venue, UTC, microseconds (finer digits are cut off).
    pub time: DateTime<Utc>,
    /// Price in quote currency, exactly as printed.
    pub price: Decimal,
    /// Amount in base currency, exactly as printed.
    pub amount: Decimal,
    /// Taker side; `None` where the venue does not tell.
    pub side: Option<Side>,
}

impl Trade {
    /// How many of the venue's trades this row stands for.
    pub fn count(&self) -> u64 {
        match (&self.id, &self.last_id) {
            (TradeId::Number(first), TradeId::Number(last)) => last.saturating_sub(*first) + 1,
            _ => 1,
        }
    }
}
