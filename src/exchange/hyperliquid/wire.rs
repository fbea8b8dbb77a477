//! The shapes of Hyperliquid's JSON. Prices and sizes come as strings, although its documents say
//! numbers; either is read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exchange::VenueError;
pub use crate::exchange::wire::{Scalar, Text, malformed};
use crate::exchange::wire::{checked, cut_to_micros};
use crate::market::{Candle, Grid, Side, Timeframe, Trade, TradeId};

/// A bar, of REST and of the stream. Its last millisecond, `T`, is not read.
#[derive(Debug, Deserialize)]
pub struct Bar<'a> {
    /// Open time, milliseconds.
    #[serde(borrow)]
    pub t: Scalar<'a>,
    /// The coin.
    #[serde(borrow)]
    pub s: Text<'a>,
    /// The interval.
    #[serde(borrow)]
    pub i: Text<'a>,
    #[serde(borrow)]
    o: Scalar<'a>,
    #[serde(borrow)]
    h: Scalar<'a>,
    #[serde(borrow)]
    l: Scalar<'a>,
    #[serde(borrow)]
    c: Scalar<'a>,
    /// Volume in base currency.
    #[serde(borrow)]
    v: Scalar<'a>,
    /// Number of trades.
    #[serde(borrow)]
    n: Option<Scalar<'a>>,
}

impl Bar<'_> {
    /// The candle, if it lies on the grid and its numbers can be stored.
    pub fn candle(&self, timeframe: Timeframe) -> Result<Candle, VenueError> {
        let candle = Candle {
            open_time: self.t.millis("t")?,
            open: self.o.float("o")?,
            high: self.h.float("h")?,
            low: self.l.float("l")?,
            close: self.c.float("c")?,
            volume: self.v.float("v")?,
            quote_volume: None,
            trades: self.n.map(|count| count.unsigned("n")).transpose()?,
            vwap: None,
        };
        checked(candle, &Grid::utc(timeframe))
    }
}

/// A trade, of REST and of the stream.
#[derive(Debug, Deserialize)]
pub struct TradeRow<'a> {
    /// The coin.
    #[serde(borrow)]
    pub coin: Text<'a>,
    /// Side of the taker: `B` bought, `A` sold.
    #[serde(borrow)]
    side: Option<Text<'a>>,
    #[serde(borrow)]
    px: Scalar<'a>,
    #[serde(borrow)]
    sz: Scalar<'a>,
    #[serde(borrow)]
    time: Scalar<'a>,
    #[serde(borrow)]
    tid: Scalar<'a>,
}

impl TradeRow<'_> {
    /// The trade. `tid` is a hash: without order, and unique only together with the time.
    pub fn trade(&self) -> Result<Trade, VenueError> {
        let time = self.time.millis("time")?;
        let id = TradeId::Text(format!("{}/{}", time.timestamp_millis(), self.tid.unsigned("tid")?).into());
        Ok(Trade {
            last_id: id.clone(),
            id,
            time: cut_to_micros(time),
            price: self.px.decimal("px")?,
            amount: self.sz.decimal("sz")?,
            side: self.side.as_ref().and_then(|side| match &*side.0 {
                "B" => Some(Side::Buy),
                "A" => Some(Side::Sell),
                _ => None,
            }),
        })
    }
}

/// The lists of markets: `meta` has only a universe, `spotMeta` tokens as well.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta<'a> {
    /// [`Asset`]s or [`Pair`]s.
    #[serde(borrow)]
    pub universe: Vec<&'a RawValue>,
    /// [`Token`]s.
    #[serde(borrow)]
    pub tokens: Option<Vec<&'a RawValue>>,
    /// Index of the token that a dex settles in; 0 is USDC.
    pub collateral_token: Option<u64>,
}

/// A perpetual.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asset<'a> {
    /// The coin.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// No longer traded.
    pub is_delisted: Option<bool>,
}

/// A spot pair.
#[derive(Debug, Deserialize)]
pub struct Pair<'a> {
    /// `PURR/USDC` or `@107`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Indices of base and quote.
    pub tokens: [u64; 2],
}

/// A spot token.
#[derive(Debug, Deserialize)]
pub struct Token<'a> {
    /// `HYPE`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What pairs name it by.
    pub index: u64,
}

/// One entry of `perpDexs`; the venue's own dex is a null.
#[derive(Debug, Deserialize)]
pub struct Dex<'a> {
    /// What `meta` is asked with.
    #[serde(borrow)]
    pub name: Text<'a>,
}

/// The state of a market, of `metaAndAssetCtxs` and `spotMetaAndAssetCtxs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context<'a> {
    /// The coin, in spot lists only: their contexts need not be in the order of the pairs.
    #[serde(borrow)]
    pub coin: Option<Text<'a>>,
    /// Middle of the book.
    #[serde(borrow)]
    pub mid_px: Option<Scalar<'a>>,
    /// Bid and ask for an order of some size; of perpetuals only.
    #[serde(borrow)]
    pub impact_pxs: Option<Vec<Scalar<'a>>>,
    /// Base volume of 24 hours.
    #[serde(borrow)]
    pub day_base_vlm: Option<Scalar<'a>>,
    /// Quote volume of 24 hours.
    #[serde(borrow)]
    pub day_ntl_vlm: Option<Scalar<'a>>,
}

/// A frame of the stream.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    /// `candle`, `trades`, `subscriptionResponse`, `error`, `pong`.
    #[serde(borrow)]
    pub channel: Text<'a>,
    /// What it says; absent from pongs.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

/// An ack, or the request that an error repeats.
#[derive(Debug, Deserialize)]
pub struct Request<'a> {
    /// `subscribe` or `unsubscribe`.
    #[serde(borrow)]
    pub method: Option<Text<'a>>,
    /// What it is about.
    #[serde(borrow)]
    pub subscription: Topic<'a>,
}

/// What is subscribed to; further keys may be null.
#[derive(Debug, Deserialize)]
pub struct Topic<'a> {
    /// `candle` or `trades`.
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    /// The coin.
    #[serde(borrow)]
    pub coin: Option<Text<'a>>,
    /// Of candles.
    #[serde(borrow)]
    pub interval: Option<Text<'a>>,
}
