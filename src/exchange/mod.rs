//! The exchanges: what each venue can do (data) and how it speaks (pure functions).
//!
//! A [`Dialect`] turns intents into requests and bytes into events. There is no socket, clock, log
//! or actor in it; times are arguments. Everything else of the product works from
//! [`Capabilities`] and never asks for a venue by name.
//!
//! Adding an exchange: its folder, its fixtures, one `pub mod` below, one row in [`registry`],
//! and its half of the simulator.

pub mod binance;
pub mod binanceusdm;
pub mod bitfinex;
pub mod bitmex;
pub mod bybit;
pub mod capabilities;
pub mod coinbase;
pub mod error;
pub mod event;
pub mod hyperliquid;
pub mod kraken;
mod mbx;
pub mod okx;
pub mod registry;
pub mod request;
mod wire;
pub mod yahoo;

use std::collections::BTreeMap;
use std::fmt::Debug;

use chrono::{DateTime, Utc};

use rust_decimal::Decimal;

use crate::market::{Anchors, Candle, Span, Symbol, Ticker, Timeframe, Trade, TradeId};

pub use capabilities::{
    CandleRest, CandleStream, Capabilities, ConnectionLimits, Depth, InstrumentSource, QuietPolicy, RateLimit,
    TimeframeRow, TradeHistory, TradeRest, TradeStream,
};
pub use error::{ErrorKind, Retry, VenueError};
pub use event::Event;
pub use request::{Cost, HttpReply, HttpRequest, Method};

/// Where a venue is reached and how we present ourselves; from the `exchanges` table, the config
/// file or the simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// REST base without a trailing slash: `https://api.kraken.com`.
    pub rest: String,
    /// WebSocket base without a trailing slash: `wss://ws.kraken.com`. Empty where the venue has none.
    pub stream: String,
    /// `User-Agent` for REST calls; Yahoo refuses those that do not look like a browser.
    pub user_agent: String,
}

/// One market of a venue, as its instrument list describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Instrument {
    /// Unified name.
    pub symbol: Symbol,
    /// The id REST calls use.
    pub rest_id: String,
    /// The id stream frames carry.
    pub stream_id: String,
    /// True while the market trades normally; a halted one is kept, its candles just stay quiet.
    pub is_trading: bool,
    /// Where this market's buckets lie.
    pub anchors: Anchors,
    /// What the amounts of its trades count.
    pub amount_unit: AmountUnit,
}

impl Instrument {
    /// A market that trades, with buckets anchored in UTC and amounts in base currency.
    pub fn new(symbol: Symbol, rest_id: impl Into<String>, stream_id: impl Into<String>) -> Instrument {
        Instrument {
            symbol,
            rest_id: rest_id.into(),
            stream_id: stream_id.into(),
            is_trading: true,
            anchors: Anchors::default(),
            amount_unit: AmountUnit::Base,
        }
    }

    /// A trade of this market with its amount in base currency.
    pub fn in_base(&self, trade: Trade) -> Trade {
        let amount = match self.amount_unit {
            AmountUnit::Base => Some(trade.amount),
            AmountUnit::Contracts(size) => trade.amount.checked_mul(size),
            AmountUnit::QuoteContracts(size) => {
                trade.amount.checked_mul(size).and_then(|quote| quote.checked_div(trade.price))
            }
        };
        // What a decimal cannot hold is left as printed.
        Trade { amount: amount.unwrap_or(trade.amount).normalize(), ..trade }
    }
}

/// What the amount of a trade counts, as the venue prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountUnit {
    /// Base currency.
    Base,
    /// Contracts of so much base currency.
    Contracts(Decimal),
    /// Contracts of so much quote currency; the base amount is a quotient, so it is not exact.
    QuoteContracts(Decimal),
}

/// What a stream subscription carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Candles of one timeframe.
    Candles(Timeframe),
    /// Trades.
    Trades,
}

/// One channel of one market.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// What is wanted.
    pub channel: Channel,
    /// The market's [`Instrument::stream_id`].
    pub stream_id: String,
}

/// What frames of a connection are to be read by: its group, and what it has been told so far,
/// because some venues number their channels and frames. Kept by whoever holds the connection; a new
/// one for each life of it.
#[derive(Debug, Clone, Default)]
pub struct Dialogue {
    /// The [`Dialect::connection_group`] of what the connection carries.
    pub group: u32,
    /// Subscriptions by the number the venue gave them.
    pub channels: BTreeMap<u64, Subscription>,
    /// Number of the newest frame.
    pub sequence: Option<u64>,
}

impl Dialogue {
    /// That of a connection which has just been opened.
    pub fn of_group(group: u32) -> Dialogue {
        Dialogue { group, ..Dialogue::default() }
    }
}

/// A text frame to send, with the request id its answers carry and the subscriptions it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFrame {
    /// The frame's text.
    pub text: String,
    /// Correlates acks and errors.
    pub request_id: u64,
    /// Indices into the slice given to [`Dialect::encode_subscribe`].
    pub subscriptions: std::ops::Range<usize>,
}

/// Where a read of trade history starts.
#[derive(Debug, Clone, PartialEq)]
pub enum TradeCursor {
    /// The newest trades.
    Newest,
    /// At a point in time (inclusive).
    Time(DateTime<Utc>),
    /// Older than this id (exclusive).
    BeforeId(TradeId),
    /// Older than a point in time (exclusive).
    BeforeTime(DateTime<Utc>),
    /// The venue's own cursor, as returned in [`TradePage::next`].
    Venue(String),
}

/// One page of trades, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct TradePage {
    /// The trades, ascending by id (by time where ids are not ordered), without duplicates.
    pub trades: Vec<Trade>,
    /// Cursor of the following page, in the direction of [`TradeHistory`]; `None` when the venue says
    /// that there is nothing beyond this one.
    pub next: Option<TradeCursor>,
}

/// What a reply says about our standing with the venue, whatever its body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Units used in the current window of [`Capabilities::limits`]`[0]`, from the venue's headers.
    pub used: Option<u32>,
}

/// How one venue speaks. Pure: the same arguments give the same result.
///
/// Every `decode_*` accepts any bytes without panicking. Errors are classed where they are read:
/// `ErrorKind` decides what the caller does, never the text.
pub trait Dialect: Send + Sync + Debug {
    /// What the venue can do.
    fn capabilities(&self) -> &'static Capabilities;

    /// The addresses and headers this dialect was built with.
    fn endpoints(&self) -> &Endpoints;

    /// The calls that describe `symbols`: one for the whole list, or one for each symbol, as
    /// [`Capabilities::instruments`] says (then in the order of `symbols`).
    fn encode_instruments(&self, symbols: &[Symbol]) -> Vec<HttpRequest>;

    /// The calls that read on where a reply to [`Dialect::encode_instruments`] is one page of
    /// several, or names further lists.
    fn next_instruments(&self, _reply: &HttpReply) -> Vec<HttpRequest> {
        Vec::new()
    }

    /// Instruments of one reply. `asked` is the symbol of a per-symbol call.
    ///
    /// # Errors
    /// `UnknownSymbol` when a per-symbol call names a market that does not exist.
    fn decode_instruments(&self, asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError>;

    /// The call that reads the candles of `span` (bucket borders), as far as one page reaches. `now`
    /// is venue time, for venues that serve old and new candles at different addresses.
    fn encode_candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
        now: DateTime<Utc>,
    ) -> HttpRequest;

    /// Candles of one reply: oldest first, without duplicates, on the grid, forming rows included.
    /// Rows outside what was asked are kept (they are the venue's word all the same), unless the
    /// venue is known to append foreign rows (Yahoo).
    ///
    /// # Errors
    /// The venue's error body, or `Malformed`. A single broken row makes the page malformed.
    fn decode_candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
        reply: &HttpReply,
    ) -> Result<Vec<Candle>, VenueError>;

    /// The call that reads trades at a cursor; `None` where the venue has no such call.
    fn encode_trades(&self, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest>;

    /// Trades of one reply to a call at `cursor`, amounts as printed (see [`Instrument::in_base`]).
    ///
    /// # Errors
    /// As for candles.
    fn decode_trades(
        &self,
        instrument: &Instrument,
        cursor: &TradeCursor,
        reply: &HttpReply,
    ) -> Result<TradePage, VenueError>;

    /// Where to read on after an empty page from `cursor`. `None`: there is nothing newer. Venues
    /// that read by windows of time answer an empty window while trades lie beyond it.
    fn cursor_after_empty(&self, _cursor: &TradeCursor) -> Option<TradeCursor> {
        None
    }

    /// The calls that read the tickers of `instruments`; none where the venue has no tickers.
    fn encode_tickers(&self, _instruments: &[Instrument]) -> Vec<HttpRequest> {
        Vec::new()
    }

    /// Tickers of the reply to a call, by [`Instrument::rest_id`]; those that were not asked for may
    /// be among them. Some venues name the market in the call only.
    ///
    /// # Errors
    /// As for candles.
    fn decode_tickers(&self, _call: &HttpRequest, _reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        Err(VenueError::new(ErrorKind::BadRequest, "this venue has no tickers"))
    }

    /// Address of the connection that carries a subscription; the same for all of one
    /// [`Dialect::connection_group`].
    fn stream_url(&self, subscription: &Subscription) -> String;

    /// Subscriptions of one group may share a connection (Kraken: one candle interval per
    /// connection; Bybit: one kind of market).
    fn connection_group(&self, subscription: &Subscription) -> u32;

    /// A frame to send before all others, where the venue wants its connections configured.
    fn encode_opening(&self) -> Option<String> {
        None
    }

    /// Frames that subscribe, in batches the venue accepts, numbered from `first_request_id` on.
    fn encode_subscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame>;

    /// Frames that unsubscribe on a connection; some venues end a channel by the number they gave it.
    fn encode_unsubscribe(
        &self,
        dialogue: &Dialogue,
        subscriptions: &[Subscription],
        first_request_id: u64,
    ) -> Vec<ControlFrame>;

    /// An application-level ping, where the venue has one.
    fn encode_ping(&self, request_id: u64) -> Option<String>;

    /// Events of one text frame, in order. Rubbish gives one `Event::Error`.
    fn decode_frame<'a>(&self, dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>));

    /// What the reply's headers say about our use of the venue's limits.
    fn standing(&self, reply: &HttpReply) -> Standing;
}
