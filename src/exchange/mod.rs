//! The exchanges: what each venue can do (data) and how it speaks (pure functions).
//!
//! A [`Dialect`] turns intents into requests and bytes into events. There is no socket, clock, log
//! or actor in it; times are arguments. Everything else of the product works from
//! [`Capabilities`] and never asks for a venue by name.
//!
//! Adding an exchange: its folder, its fixtures, one `pub mod` below, one row in [`registry`],
//! and its half of the simulator.

pub mod binance;
pub mod capabilities;
pub mod kraken;
pub mod registry;
pub mod request;
pub mod yahoo;

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::market::{Anchors, Candle, Span, Symbol, Timeframe, Trade, TradeId};

pub use capabilities::{
    CandleRest, CandleStream, Capabilities, ConnectionLimits, Depth, InstrumentSource, QuietPolicy, RateLimit,
    TimeframeRow, TradeRest, TradeStream,
};
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

/// What a stream frame says. Borrows from the frame where it can.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The state of a bucket.
    Candle {
        /// Market, as the venue writes it.
        stream_id: Cow<'a, str>,
        /// Length of the bucket.
        timeframe: Timeframe,
        /// The bar so far.
        candle: Candle,
        /// The venue's closed flag; `None` where it has none.
        closed: Option<bool>,
        /// The venue's stamp on the frame.
        stamped_at: Option<DateTime<Utc>>,
        /// True for rows of the snapshot sent after an ack, which may be old.
        is_snapshot: bool,
    },
    /// A trade.
    Trade {
        /// Market, as the venue writes it.
        stream_id: Cow<'a, str>,
        /// The trade.
        trade: Trade,
        /// True for rows of the snapshot sent after an ack.
        is_snapshot: bool,
        /// The venue's stamp on the frame.
        stamped_at: Option<DateTime<Utc>>,
    },
    /// A subscription was accepted. Without `stream_id` it answers the whole request.
    Subscribed {
        /// Id of the control frame.
        request_id: Option<u64>,
        /// The market, where the ack names it.
        stream_id: Option<Cow<'a, str>>,
        /// The venue's stamp on the ack.
        stamped_at: Option<DateTime<Utc>>,
    },
    /// A subscription was ended.
    Unsubscribed {
        /// Id of the control frame.
        request_id: Option<u64>,
        /// The market, where the ack names it.
        stream_id: Option<Cow<'a, str>>,
    },
    /// A subscription was refused.
    Rejected {
        /// Id of the control frame.
        request_id: Option<u64>,
        /// The market, where the refusal names it.
        stream_id: Option<Cow<'a, str>>,
        /// Why, and whether asking again helps.
        error: VenueError,
    },
    /// Proof of life without data: heartbeat, pong, greeting.
    Heartbeat {
        /// The venue's stamp.
        stamped_at: Option<DateTime<Utc>>,
    },
    /// The venue announces that it will close this connection; reconnect at once.
    Closing,
    /// The venue's own state changed (`maintenance`, `online`).
    VenueStatus {
        /// True while it trades and serves data.
        is_up: bool,
        /// Its words.
        message: Cow<'a, str>,
    },
    /// A frame we understand as a frame but have no use for.
    Unknown {
        /// A short, low-cardinality name of its kind.
        kind: Cow<'a, str>,
    },
    /// An error that names no subscription, or a frame that is not what the venue promised.
    Error(VenueError),
}

/// What went wrong, judged where the bytes were read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct VenueError {
    /// The class that decides what happens next.
    pub kind: ErrorKind,
    /// The venue's own words, or what was wrong with its bytes; at most a few hundred characters.
    pub message: String,
}

impl VenueError {
    /// An error of a class, its message cut to a printable length.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> VenueError {
        let mut message: String = message.into();
        if let Some((cut, _)) = message.char_indices().nth(300) {
            message.truncate(cut);
            message.push('…');
        }
        VenueError { kind, message }
    }

    /// Whether and when to ask again.
    pub fn retry(&self) -> Retry {
        match self.kind {
            ErrorKind::UnknownSymbol | ErrorKind::BadRequest | ErrorKind::OutOfHistory => Retry::Never,
            ErrorKind::RateLimited { retry_after } | ErrorKind::Banned { retry_after } => {
                retry_after.map_or(Retry::Again, Retry::After)
            }
            ErrorKind::Unavailable | ErrorKind::Malformed => Retry::Again,
        }
    }
}

/// Classes of venue errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The venue does not know the market.
    UnknownSymbol,
    /// We asked something wrong; repeating it is useless.
    BadRequest,
    /// The range lies before what the venue serves.
    OutOfHistory,
    /// Too many requests; slow down.
    RateLimited {
        /// The venue's own wait.
        retry_after: Option<Duration>,
    },
    /// Locked out for a while.
    Banned {
        /// Until the ban ends.
        retry_after: Option<Duration>,
    },
    /// Down, busy, in maintenance.
    Unavailable,
    /// Bytes that are not what the venue promised (HTML, truncated JSON, wrong types).
    Malformed,
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ErrorKind::UnknownSymbol => "unknown symbol",
            ErrorKind::BadRequest => "bad request",
            ErrorKind::OutOfHistory => "out of history",
            ErrorKind::RateLimited { .. } => "rate limited",
            ErrorKind::Banned { .. } => "banned",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Malformed => "malformed reply",
        })
    }
}

/// The retry class of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// After the usual back-off.
    Again,
    /// Not before this long.
    After(Duration),
    /// Never: the same request fails again.
    Never,
}

/// Where a read of trade history starts.
#[derive(Debug, Clone, PartialEq)]
pub enum TradeCursor {
    /// The newest trades.
    Newest,
    /// At a point in time (inclusive).
    Time(DateTime<Utc>),
    /// After this id (exclusive).
    AfterId(TradeId),
    /// The venue's own cursor, as returned in [`TradePage::next`].
    Venue(String),
}

/// One page of trades, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct TradePage {
    /// The trades, ascending by id (by time where ids are not ordered), without duplicates.
    pub trades: Vec<Trade>,
    /// Cursor of the following page; `None` when the venue says there is nothing newer yet.
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

    /// Instruments of one reply. `asked` is the symbol of a per-symbol call.
    ///
    /// # Errors
    /// `UnknownSymbol` when a per-symbol call names a market that does not exist.
    fn decode_instruments(&self, asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError>;

    /// The call that reads the candles of `span` (bucket borders), as far as one page reaches.
    fn encode_candles(&self, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest;

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

    /// The call that reads trades from a cursor on; `None` where the venue has no such call.
    fn encode_trades(&self, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest>;

    /// Trades of one reply.
    ///
    /// # Errors
    /// As for candles.
    fn decode_trades(&self, instrument: &Instrument, reply: &HttpReply) -> Result<TradePage, VenueError>;

    /// Where to read on after an empty page from `cursor`. `None`: there is nothing newer. Venues
    /// that read by windows of time answer an empty window while trades lie beyond it.
    fn cursor_after_empty(&self, _cursor: &TradeCursor) -> Option<TradeCursor> {
        None
    }

    /// Address of the connection that carries a channel. Channels with different addresses, or
    /// different [`Dialect::connection_group`]s, need different connections.
    fn stream_url(&self, channel: Channel) -> String;

    /// Channels of one group may share a connection (Kraken: one candle interval per connection).
    fn connection_group(&self, channel: Channel) -> u32;

    /// Frames that subscribe, in batches the venue accepts, numbered from `first_request_id` on.
    fn encode_subscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame>;

    /// Frames that unsubscribe.
    fn encode_unsubscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame>;

    /// An application-level ping, where the venue has one.
    fn encode_ping(&self, request_id: u64) -> Option<String>;

    /// Events of one text frame, in order. Rubbish gives one `Event::Error`.
    fn decode_frame<'a>(&self, text: &'a str, emit: &mut dyn FnMut(Event<'a>));

    /// What the reply's headers say about our use of the venue's limits.
    fn standing(&self, reply: &HttpReply) -> Standing;
}
