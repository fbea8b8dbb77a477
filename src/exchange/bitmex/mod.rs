//! BitMEX, REST v1 and the realtime stream, as they were until the exchange closed.
//!
//! What is particular: a candle is stamped with its **end**, and its open is the close of the bar
//! before, so that it may lie outside of high and low; the stream tells candles once, when they are
//! closed; trades are walked forward by time, as their ids have no order; amounts in base currency
//! stand beside the contracts.

mod rest;
mod stream;
mod symbols;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    CandleRest, CandleStream, Capabilities, ConnectionLimits, ControlFrame, Depth, Dialect, Dialogue, Endpoints, Event,
    HttpReply, HttpRequest, Instrument, InstrumentSource, QuietPolicy, RateLimit, Standing, Subscription, TimeframeRow,
    TradeCursor, TradeHistory, TradePage, TradeRest, TradeStream, VenueError,
};
use crate::market::{Candle, Span, Symbol, Ticker, Timeframe};

/// Rows of a page, of candles and of trades.
const PAGE_LIMIT_ROWS: u32 = 1000;

const fn row(timeframe: Timeframe, wire: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire, depth: Depth::Full, page_limit_span: None }
}

/// What BitMEX could do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "bitmex",
    name: "BitMEX",
    rest_url: "https://www.bitmex.com",
    stream_url: Some("wss://ws.bitmex.com"),
    timeframes: &[
        row(Timeframe::M1, "1m"),
        row(Timeframe::M5, "5m"),
        row(Timeframe::H1, "1h"),
        row(Timeframe::D1, "1d"),
    ],
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: PAGE_LIMIT_ROWS, honours_end: true },
    candle_stream: Some(CandleStream { has_closed_flag: true, is_cumulative: true, grace: Duration::from_secs(10) }),
    trade_rest: Some(TradeRest {
        page_limit_rows: PAGE_LIMIT_ROWS,
        history: TradeHistory::Forward(Depth::Full),
        ids_are_dense: false,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: false }),
    quiet: QuietPolicy::Emits,
    settle: Duration::from_secs(5),
    settle_empty: Duration::from_secs(120),
    late_bar_delays: &[Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)],
    // Nothing is said of whether longer bars are the exact sums of shorter ones.
    derives_higher: false,
    has_sessions: false,
    limits: &[RateLimit { name: "requests", capacity: 30, window: Duration::from_secs(60) }],
    connection: ConnectionLimits {
        max_subscriptions: 100,
        connects: RateLimit { name: "connects", capacity: 60, window: Duration::from_secs(3600) },
        control_frames_per_second: 10,
        lifetime: None,
        // Each ping is answered: three missing answers are a dead connection.
        idle_limit: Duration::from_secs(15),
        ping_every: Some(Duration::from_secs(5)),
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: Some("the exchange has been closed since September 2026"),
    remark: "Perpetuals, futures and spot, as they were: for archives and simulations. Calls to the public addresses \
             fail.",
};

/// The dialect.
#[derive(Debug)]
pub struct Bitmex {
    endpoints: Endpoints,
}

impl Bitmex {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Bitmex { endpoints })
    }
}

impl Dialect for Bitmex {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn encode_instruments(&self, _symbols: &[Symbol]) -> Vec<HttpRequest> {
        vec![rest::encode_instruments(&self.endpoints)]
    }

    fn decode_instruments(&self, _asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
        rest::decode_instruments(reply)
    }

    fn encode_candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
        _now: DateTime<Utc>,
    ) -> HttpRequest {
        rest::encode_candles(&self.endpoints, instrument, timeframe, span)
    }

    fn decode_candles(
        &self,
        _instrument: &Instrument,
        timeframe: Timeframe,
        _span: Span,
        reply: &HttpReply,
    ) -> Result<Vec<Candle>, VenueError> {
        rest::decode_candles(timeframe, reply)
    }

    fn encode_trades(&self, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
        rest::encode_trades(&self.endpoints, instrument, cursor)
    }

    fn decode_trades(
        &self,
        _instrument: &Instrument,
        cursor: &TradeCursor,
        reply: &HttpReply,
    ) -> Result<TradePage, VenueError> {
        rest::decode_trades(cursor, reply)
    }

    fn encode_tickers(&self, _instruments: &[Instrument]) -> Vec<HttpRequest> {
        vec![rest::encode_instruments(&self.endpoints)]
    }

    fn decode_tickers(&self, _call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_tickers(reply)
    }

    fn stream_url(&self, _subscription: &Subscription) -> String {
        format!("{}/realtime", self.endpoints.stream)
    }

    fn connection_group(&self, _subscription: &Subscription) -> u32 {
        0
    }

    fn encode_subscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
        stream::encode_control("subscribe", subscriptions, first_request_id)
    }

    fn encode_unsubscribe(
        &self,
        _dialogue: &Dialogue,
        subscriptions: &[Subscription],
        first_request_id: u64,
    ) -> Vec<ControlFrame> {
        stream::encode_control("unsubscribe", subscriptions, first_request_id)
    }

    /// Bare text; so is the answer.
    fn encode_ping(&self, _request_id: u64) -> Option<String> {
        Some("ping".to_owned())
    }

    fn decode_frame<'a>(&self, dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode_frame(dialogue, text, emit);
    }

    /// What the bucket has lost; it is refilled all the time.
    fn standing(&self, reply: &HttpReply) -> Standing {
        let number = |name: &str| reply.header(name)?.trim().parse::<u32>().ok();
        let used = number("x-ratelimit-limit").zip(number("x-ratelimit-remaining"));
        Standing { used: used.map(|(limit, remaining)| limit.saturating_sub(remaining)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Channel, registry};

    #[test]
    fn the_stream_has_one_address_and_pings_are_bare_text() {
        let row = registry::find("bitmex").unwrap();
        let trades = Subscription { channel: Channel::Trades, stream_id: "XBTUSD".into() };
        let public = (row.build)(row.public_endpoints());
        assert_eq!(public.stream_url(&trades), "wss://ws.bitmex.com/realtime");
        assert_eq!((public.connection_group(&trades), public.encode_ping(1)), (0, Some("ping".into())));
        let simulated = (row.build)(row.simulated_endpoints("http://127.0.0.1:8787/"));
        assert_eq!(simulated.stream_url(&trades), "ws://127.0.0.1:8787/bitmex/realtime");
        assert_eq!(CAPABILITIES.closed, Some("the exchange has been closed since September 2026"));
    }

    #[test]
    fn headers_tell_what_is_left_of_the_limit() {
        let dialect = Bitmex::build(registry::find("bitmex").unwrap().public_endpoints());
        let mut reply = HttpReply::new(200, "[]");
        assert_eq!(dialect.standing(&reply), Standing { used: None });
        reply.headers = vec![("x-ratelimit-limit".into(), "30".into()), ("x-ratelimit-remaining".into(), "18".into())];
        assert_eq!(dialect.standing(&reply), Standing { used: Some(12) });
    }
}
