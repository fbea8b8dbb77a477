//! The shapes of the venue's JSON: objects of REST and the flat frames of the feed. Everything
//! borrows from the bytes; unknown keys and nulls in optional places are accepted.

use serde::Deserialize;

use crate::exchange::VenueError;
use crate::exchange::wire::{Scalar, Text, cut_to_micros, malformed, rfc3339};
use crate::market::{Side, Trade, TradeId};

/// The body of every refusal.
#[derive(Debug, Deserialize)]
pub struct Failure<'a> {
    #[serde(borrow)]
    pub message: Text<'a>,
}

/// One market of the product list.
#[derive(Debug, Deserialize)]
pub struct Product<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub base_currency: Text<'a>,
    #[serde(borrow)]
    pub quote_currency: Text<'a>,
    /// `online`, `offline`, `delisted` ...
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    pub trading_disabled: Option<bool>,
}

/// The ticker of the market that was asked for; it does not name it.
#[derive(Debug, Deserialize)]
pub struct TickerBody<'a> {
    #[serde(borrow)]
    pub price: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub bid: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub ask: Option<Scalar<'a>>,
    /// Of the last 24 hours, in base currency.
    #[serde(borrow)]
    pub volume: Option<Scalar<'a>>,
    /// Of the last trade.
    #[serde(borrow)]
    pub time: Option<Text<'a>>,
}

/// A frame of the feed, whose kinds have hardly a key in common, so that one struct holds them all; or
/// a row of the trades of REST, which has the keys of a trade's frame.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub product_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub trade_id: Option<Scalar<'a>>,
    /// Of the **maker**.
    #[serde(borrow)]
    pub side: Option<Text<'a>>,
    #[serde(borrow)]
    pub price: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub size: Option<Scalar<'a>>,
    #[serde(borrow)]
    pub time: Option<Text<'a>>,
    /// Of a heartbeat.
    #[serde(borrow)]
    pub last_trade_id: Option<Scalar<'a>>,
    /// Of an ack: everything that is subscribed now.
    #[serde(borrow)]
    pub channels: Option<Vec<FeedChannel<'a>>>,
    /// Of an error.
    #[serde(borrow)]
    pub message: Option<Text<'a>>,
    /// Of an error: what is wrong.
    #[serde(borrow)]
    pub reason: Option<Text<'a>>,
}

impl Frame<'_> {
    /// The trade, with the side of the taker.
    pub fn trade(&self) -> Result<Trade, VenueError> {
        let id = TradeId::Number(need(self.trade_id, "trade_id")?.trade_number("trade_id")?);
        let time = self.time.as_ref().ok_or_else(|| malformed("trade without time"))?;
        Ok(Trade {
            last_id: id.clone(),
            id,
            time: cut_to_micros(rfc3339(&time.0, "time")?),
            price: need(self.price, "price")?.decimal("price")?,
            amount: need(self.size, "size")?.decimal("size")?,
            // A maker who sold was bought from.
            side: self.side.as_ref().and_then(|maker| match &*maker.0 {
                "sell" => Some(Side::Buy),
                "buy" => Some(Side::Sell),
                _ => None,
            }),
        })
    }
}

fn need<'a>(value: Option<Scalar<'a>>, field: &str) -> Result<Scalar<'a>, VenueError> {
    value.ok_or_else(|| malformed(format!("trade without {field}")))
}

/// A channel of an ack.
#[derive(Debug, Deserialize)]
pub struct FeedChannel<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow, default)]
    pub product_ids: Vec<Text<'a>>,
}
