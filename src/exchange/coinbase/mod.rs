//! Coinbase Exchange: REST and the public feed. Its other public interface, Advanced Trade, has
//! other hosts, shapes and limits and is not spoken here.
//!
//! What is particular: there are no candles in the feed, only trades, each with the next number of
//! its market, and a heartbeat that names the newest of them; REST walks trades from new to old by
//! that number, back to the first one; buckets without trades have no row.

mod rest;
mod stream;
mod symbols;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    CandleRest, Capabilities, ConnectionLimits, ControlFrame, Depth, Dialect, Dialogue, Endpoints, Event, HttpReply,
    HttpRequest, Instrument, InstrumentSource, QuietPolicy, RateLimit, Standing, Subscription, TimeframeRow,
    TradeCursor, TradeHistory, TradePage, TradeRest, TradeStream, VenueError,
};
use crate::market::{Candle, Span, Symbol, Ticker, Timeframe};

/// Buckets of a page of candles; a longer window is refused, however few of them hold trades.
const CANDLES_PAGE_LIMIT_ROWS: u32 = 300;

const fn row(timeframe: Timeframe, wire: &'static str, seconds: u64) -> TimeframeRow {
    let window = Duration::from_secs(seconds * CANDLES_PAGE_LIMIT_ROWS as u64);
    TimeframeRow { timeframe, wire, depth: Depth::Full, page_limit_span: Some(window) }
}

/// What Coinbase Exchange can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "coinbase",
    name: "Coinbase Exchange",
    rest_url: "https://api.exchange.coinbase.com",
    stream_url: Some("wss://ws-feed.exchange.coinbase.com"),
    timeframes: &[
        row(Timeframe::M1, "60", 60),
        row(Timeframe::M5, "300", 300),
        row(Timeframe::M15, "900", 900),
        row(Timeframe::H1, "3600", 3600),
        row(Timeframe::H6, "21600", 21_600),
        row(Timeframe::D1, "86400", 86_400),
    ],
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: CANDLES_PAGE_LIMIT_ROWS, honours_end: true },
    candle_stream: None,
    trade_rest: Some(TradeRest {
        page_limit_rows: rest::TRADES_PAGE_LIMIT_ROWS,
        history: TradeHistory::Backward(Depth::Full),
        ids_are_dense: true,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: true }),
    quiet: QuietPolicy::Omits,
    // Recent rows are documented to lag.
    settle: Duration::from_secs(5),
    settle_empty: Duration::from_secs(180),
    late_bar_delays: &[Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)],
    derives_higher: true,
    has_sessions: false,
    // Bursts of 15 are allowed; the rate is what is kept.
    limits: &[RateLimit { name: "requests", capacity: 10, window: Duration::from_secs(1) }],
    connection: ConnectionLimits {
        max_subscriptions: 200,
        connects: RateLimit { name: "connects", capacity: 8, window: Duration::from_secs(1) },
        // A hundred are allowed.
        control_frames_per_second: 10,
        lifetime: None,
        // Every market has a heartbeat each second.
        idle_limit: Duration::from_secs(10),
        ping_every: None,
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "Full history of candles and trades. The feed has no candles, only trades; minutes without trades have \
             no candle.",
};

/// The dialect.
#[derive(Debug)]
pub struct Coinbase {
    endpoints: Endpoints,
}

impl Coinbase {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Coinbase { endpoints })
    }
}

impl Dialect for Coinbase {
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
        _cursor: &TradeCursor,
        reply: &HttpReply,
    ) -> Result<TradePage, VenueError> {
        rest::decode_trades(reply)
    }

    fn encode_tickers(&self, instruments: &[Instrument]) -> Vec<HttpRequest> {
        instruments.iter().map(|instrument| rest::encode_ticker(&self.endpoints, instrument)).collect()
    }

    fn decode_tickers(&self, call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_ticker(call, reply).map(|ticker| vec![ticker])
    }

    fn stream_url(&self, _subscription: &Subscription) -> String {
        self.endpoints.stream.clone()
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

    // The heartbeats of the markets keep the connection open.
    fn encode_ping(&self, _request_id: u64) -> Option<String> {
        None
    }

    fn decode_frame<'a>(&self, dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode_frame(dialogue, text, emit);
    }

    /// Replies carry no documented limit headers.
    fn standing(&self, _reply: &HttpReply) -> Standing {
        Standing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Channel, registry};

    #[test]
    fn granularities_are_the_seconds_of_their_timeframes_and_windows_hold_three_hundred() {
        for row in CAPABILITIES.timeframes {
            assert_eq!(row.timeframe.nominal().as_secs().to_string(), row.wire);
            assert_eq!(row.page_limit_span, Some(row.timeframe.nominal() * 300));
        }
        assert_eq!(CAPABILITIES.timeframes.len(), 6);
    }

    #[test]
    fn the_feed_has_one_address() {
        let row = registry::find("coinbase").unwrap();
        let trades = Subscription { channel: Channel::Trades, stream_id: "BTC-USD".into() };
        let public = (row.build)(row.public_endpoints());
        assert_eq!(public.stream_url(&trades), "wss://ws-feed.exchange.coinbase.com");
        assert_eq!((public.connection_group(&trades), public.encode_ping(1)), (0, None));
        let simulated = (row.build)(row.simulated_endpoints("http://127.0.0.1:8787/"));
        assert_eq!(simulated.stream_url(&trades), "ws://127.0.0.1:8787/coinbase");
    }
}
