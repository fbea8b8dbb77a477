//! Yahoo Finance: what its chart endpoint can do, as data, and the dialect that reads it.
//!
//! Yahoo publishes no specification; the facts are what the yfinance project and other clients
//! have found, as of August 2026. There is no stream of candles and no history of trades.

mod candles;
mod rest;
mod symbols;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    CandleRest, Capabilities, ConnectionLimits, ControlFrame, Depth, Dialect, Dialogue, Endpoints, ErrorKind, Event,
    HttpReply, HttpRequest, Instrument, InstrumentSource, QuietPolicy, RateLimit, Standing, Subscription, TimeframeRow,
    TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Span, Symbol, Timeframe};

const DAY_S: u64 = 86_400;
/// The depth is checked against Yahoo's clock when the request arrives, and requests queue for a
/// while at one in two seconds.
const DEPTH_MARGIN_S: u64 = 600;

/// Asked for half hours, Yahoo may answer with whole hours; quarters are asked and put together.
const HALF_HOUR_WIRE: &str = "15m";

/// How long after a close a bar is read: enough for the markets Yahoo shows without delay. Delayed
/// ones are asked for again (`late_bar_delays`) and corrected by later reads of the same bars.
const SETTLE: Duration = Duration::from_secs(20);

/// Ranges that ended half an hour ago no longer change; markets are delayed by up to 20 minutes.
const SETTLE_EMPTY: Duration = Duration::from_secs(45 * 60);

const fn intraday(timeframe: Timeframe, wire: &'static str, depth_days: u64, page_days: u64) -> TimeframeRow {
    TimeframeRow {
        timeframe,
        wire,
        depth: Depth::Age(Duration::from_secs(depth_days * DAY_S - DEPTH_MARGIN_S)),
        page_limit_span: Some(Duration::from_secs(page_days * DAY_S)),
    }
}

const fn daily(timeframe: Timeframe, wire: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire, depth: Depth::Full, page_limit_span: None }
}

/// What Yahoo's chart endpoint can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "yahoo",
    name: "Yahoo Finance",
    rest_url: "https://query2.finance.yahoo.com",
    stream_url: None,
    timeframes: &[
        // Some texts of Yahoo allow eight days in a request, older ones seven.
        intraday(Timeframe::M1, "1m", 30, 7),
        intraday(Timeframe::M5, "5m", 60, 60),
        intraday(Timeframe::M15, "15m", 60, 60),
        intraday(Timeframe::M30, HALF_HOUR_WIRE, 60, 60),
        intraday(Timeframe::H1, "1h", 730, 730),
        daily(Timeframe::D1, "1d"),
        daily(Timeframe::W1, "1wk"),
        daily(Timeframe::Month1, "1mo"),
    ],
    instruments: InstrumentSource::PerSymbol,
    // A reply holds its whole window: this bounds what we are ready to read at once.
    candle_rest: CandleRest { page_limit_rows: 20_000, honours_end: true },
    candle_stream: None,
    trade_rest: None,
    trade_stream: None,
    quiet: QuietPolicy::Omits,
    settle: SETTLE,
    settle_empty: SETTLE_EMPTY,
    late_bar_delays: &[
        Duration::from_secs(20),
        Duration::from_secs(60),
        Duration::from_secs(300),
        Duration::from_secs(900),
        Duration::from_secs(1800),
    ],
    derives_higher: false,
    has_sessions: true,
    limits: &[RateLimit { name: "requests", capacity: 1, window: Duration::from_secs(2) }],
    connection: ConnectionLimits {
        max_subscriptions: 0,
        connects: RateLimit { name: "connects", capacity: 0, window: Duration::from_secs(60) },
        control_frames_per_second: 0,
        lifetime: None,
        idle_limit: Duration::from_secs(60),
        ping_every: None,
        has_heartbeat: false,
    },
    has_tickers: false,
    closed: None,
    remark: "Unofficial, polling only, no trades. 1m reaches back 30 days, 5m to 30m 60 days, 1h 730 days; data may \
             be delayed by 15 minutes and more. Prices are adjusted for splits. Crypto volume may be in quote currency.",
};

/// The chart dialect.
#[derive(Debug)]
pub struct Yahoo {
    endpoints: Endpoints,
}

impl Yahoo {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Yahoo { endpoints })
    }
}

impl Dialect for Yahoo {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn encode_instruments(&self, symbols: &[Symbol]) -> Vec<HttpRequest> {
        symbols.iter().map(|symbol| rest::instrument_request(&self.endpoints, symbol)).collect()
    }

    fn decode_instruments(&self, asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
        rest::decode_instrument(asked, reply).map(|instrument| vec![instrument])
    }

    fn encode_candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
        _now: DateTime<Utc>,
    ) -> HttpRequest {
        rest::candle_request(&self.endpoints, instrument, timeframe, span)
    }

    fn decode_candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
        reply: &HttpReply,
    ) -> Result<Vec<Candle>, VenueError> {
        rest::decode_candles(instrument, timeframe, span, reply)
    }

    fn encode_trades(&self, _instrument: &Instrument, _cursor: &TradeCursor) -> Option<HttpRequest> {
        None
    }

    fn decode_trades(
        &self,
        _instrument: &Instrument,
        _cursor: &TradeCursor,
        _reply: &HttpReply,
    ) -> Result<TradePage, VenueError> {
        Err(VenueError::new(ErrorKind::BadRequest, "Yahoo serves no trades"))
    }

    fn stream_url(&self, _subscription: &Subscription) -> String {
        String::new()
    }

    fn connection_group(&self, _subscription: &Subscription) -> u32 {
        0
    }

    fn encode_subscribe(&self, _subscriptions: &[Subscription], _first_request_id: u64) -> Vec<ControlFrame> {
        Vec::new()
    }

    fn encode_unsubscribe(
        &self,
        _dialogue: &Dialogue,
        _subscriptions: &[Subscription],
        _first_request_id: u64,
    ) -> Vec<ControlFrame> {
        Vec::new()
    }

    fn encode_ping(&self, _request_id: u64) -> Option<String> {
        None
    }

    fn decode_frame<'a>(&self, _dialogue: &mut Dialogue, _text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        emit(Event::Error(VenueError::new(ErrorKind::Malformed, "Yahoo has no stream of candles or trades")));
    }

    fn standing(&self, _reply: &HttpReply) -> Standing {
        Standing::default()
    }
}

#[cfg(test)]
mod tests;
