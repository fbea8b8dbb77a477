//! What a venue can do, as data. Every decision of the engine starts from these values.

use std::time::Duration;

use crate::market::Timeframe;

/// Everything the engine needs to know of a venue.
#[derive(Debug)]
pub struct Capabilities {
    /// Lower-case id: `kraken`.
    pub id: &'static str,
    /// Printed name: `Kraken`.
    pub name: &'static str,
    /// Public REST base.
    pub rest_url: &'static str,
    /// Public WebSocket base; `None` for venues without streams.
    pub stream_url: Option<&'static str>,
    /// Native timeframes, shortest first.
    pub timeframes: &'static [TimeframeRow],
    /// How instruments are listed.
    pub instruments: InstrumentSource,
    /// Candle reads.
    pub candle_rest: CandleRest,
    /// Candle stream; `None` sends every symbol to poll mode.
    pub candle_stream: Option<CandleStream>,
    /// Trade reads.
    pub trade_rest: Option<TradeRest>,
    /// Trade stream.
    pub trade_stream: Option<TradeStream>,
    /// What the venue does in a bucket without trades.
    pub quiet: QuietPolicy,
    /// How long after a bucket's close (venue time) its REST row is trustworthy. Greater than zero.
    pub settle: Duration,
    /// How old the end of a request must be before missing rows at its end prove that nothing traded.
    pub settle_empty: Duration,
    /// When a due bar that is not there yet is asked for again, counted from the first read.
    pub late_bar_delays: &'static [Duration],
    /// True where higher bars equal the sums of lower ones, so that they may be derived.
    pub derives_higher: bool,
    /// True for markets with trading sessions: polled in session plus one pass after the close.
    pub has_sessions: bool,
    /// REST limits.
    pub limits: &'static [RateLimit],
    /// Limits and liveness of stream connections.
    pub connection: ConnectionLimits,
    /// It prints tickers: last price, bid, ask and volume.
    pub has_tickers: bool,
    /// Why it does not work any more; such a venue is off unless it is enabled by hand.
    pub closed: Option<&'static str>,
    /// One line for the capability table and the README: what a user should know.
    pub remark: &'static str,
}

impl Capabilities {
    /// True when anything of a market is streamed.
    pub fn has_stream(&self) -> bool {
        self.candle_stream.is_some() || self.trade_stream.is_some()
    }

    /// True when candles that are too old for the venue's own can be built from its trades: only pages
    /// that run forward can be built into candles as they come.
    pub fn builds_old_candles(&self) -> bool {
        let is_shallow = self.timeframes.iter().any(|row| row.depth != Depth::Full);
        is_shallow && self.trade_rest.is_some_and(|rest| matches!(rest.history, TradeHistory::Forward(_)))
    }

    /// The row of a native timeframe.
    pub fn timeframe(&self, timeframe: Timeframe) -> Option<&'static TimeframeRow> {
        self.timeframes.iter().find(|row| row.timeframe == timeframe)
    }

    /// The venue's own word for a native timeframe.
    pub fn wire_interval(&self, timeframe: Timeframe) -> Option<&'static str> {
        self.timeframe(timeframe).map(|row| row.wire)
    }

    /// The timeframe the venue calls `wire`.
    pub fn timeframe_of_wire(&self, wire: &str) -> Option<Timeframe> {
        self.timeframes.iter().find(|row| row.wire == wire).map(|row| row.timeframe)
    }
}

/// A native timeframe of a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeframeRow {
    /// Ours.
    pub timeframe: Timeframe,
    /// The venue's word for it.
    pub wire: &'static str,
    /// How far back REST goes.
    pub depth: Depth,
    /// Longest window of one call, where the venue bounds it in time (Yahoo 1m: about 7 days).
    pub page_limit_span: Option<Duration>,
}

/// How far back a venue serves candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Since listing.
    Full,
    /// Only the newest so many bars.
    NewestRows(u32),
    /// Only bars younger than this.
    Age(Duration),
}

/// How instruments are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstrumentSource {
    /// One call describes all markets.
    List,
    /// One call for each symbol.
    PerSymbol,
}

/// REST candle reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandleRest {
    /// Most rows of one page.
    pub page_limit_rows: u32,
    /// False where a page always ends at the newest bar, whatever was asked (Kraken): such pages
    /// fill the work list from the new end.
    pub honours_end: bool,
}

/// A WebSocket candle channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandleStream {
    /// The venue marks the last frame of a bucket.
    pub has_closed_flag: bool,
    /// Each frame carries the whole bar so far.
    pub is_cumulative: bool,
    /// How long after a close without a later frame of the same connection a bar may be settled.
    pub grace: Duration,
}

/// REST trade reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeRest {
    /// Most rows of one page.
    pub page_limit_rows: u32,
    /// How far back, and how it is walked.
    pub history: TradeHistory,
    /// Consecutive trades have consecutive ids.
    pub ids_are_dense: bool,
}

/// How a venue serves old trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeHistory {
    /// Not at all: one page of the newest ones.
    Recent,
    /// Pages run from old to new: they start at a time.
    Forward(Depth),
    /// Pages run from new to old: they end before an id or a time, or at the newest trade.
    Backward(Depth),
}

/// A WebSocket trade channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeStream {
    /// Consecutive trades have consecutive ids (counting the ranges of aggregated ones).
    pub ids_are_dense: bool,
}

/// What a venue's REST candles do in a bucket without trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuietPolicy {
    /// Prints a flat bar.
    Emits,
    /// Prints nothing.
    Omits,
    /// Sometimes one, sometimes the other.
    Mixed,
}

/// A REST limit: `capacity` units in every `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Name for status and metrics.
    pub name: &'static str,
    /// Units per window.
    pub capacity: u32,
    /// Length of the window.
    pub window: Duration,
}

/// Limits and liveness of stream connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Subscriptions one connection may carry.
    pub max_subscriptions: usize,
    /// New connections allowed in a window.
    pub connects: RateLimit,
    /// Control frames per second.
    pub control_frames_per_second: u32,
    /// The venue closes connections of this age.
    pub lifetime: Option<Duration>,
    /// Silence after which a connection is dead. With heartbeats a few of them; without, long.
    pub idle_limit: Duration,
    /// How often we send an application ping, where the venue has one.
    pub ping_every: Option<Duration>,
    /// True where frames arrive (heartbeats) even when nothing trades.
    pub has_heartbeat: bool,
}
