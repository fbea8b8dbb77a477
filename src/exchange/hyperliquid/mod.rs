//! Hyperliquid: perpetuals and spot over `POST /info` and one WebSocket.
//!
//! What is particular: every read is a JSON body sent to the same address; only the newest 5000 bars
//! of a timeframe exist; quiet minutes may be absent first and flat bars later; the candle stream has
//! no closed flag and frames have no stamps; trades are neither numbered nor kept, so that history
//! holds what was collected. Facts follow the venue's documents, its own clients and published
//! measurements, as of September 2026.

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

/// Bars of a timeframe that exist, which is also the longest page.
const NEWEST_ROWS: u32 = 5000;

const fn row(timeframe: Timeframe, wire: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire, depth: Depth::NewestRows(NEWEST_ROWS), page_limit_span: None }
}

/// What Hyperliquid can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "hyperliquid",
    name: "Hyperliquid",
    rest_url: "https://api.hyperliquid.xyz",
    stream_url: Some("wss://api.hyperliquid.xyz"),
    timeframes: &[
        row(Timeframe::M1, "1m"),
        row(Timeframe::M3, "3m"),
        row(Timeframe::M5, "5m"),
        row(Timeframe::M15, "15m"),
        row(Timeframe::M30, "30m"),
        row(Timeframe::H1, "1h"),
        row(Timeframe::H2, "2h"),
        row(Timeframe::H4, "4h"),
        row(Timeframe::H8, "8h"),
        row(Timeframe::H12, "12h"),
        row(Timeframe::D1, "1d"),
        row(Timeframe::D3, "3d"),
        row(Timeframe::W1, "1w"),
        row(Timeframe::Month1, "1M"),
    ],
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: NEWEST_ROWS, honours_end: true },
    candle_stream: Some(CandleStream { has_closed_flag: false, is_cumulative: true, grace: Duration::from_secs(3) }),
    trade_rest: Some(TradeRest {
        page_limit_rows: rest::RECENT_TRADES,
        history: TradeHistory::Recent,
        ids_are_dense: false,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: false }),
    quiet: QuietPolicy::Mixed,
    settle: Duration::from_secs(3),
    // Flat bars of quiet minutes come late; nobody has said how late.
    settle_empty: Duration::from_secs(600),
    late_bar_delays: &[
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::from_secs(120),
        Duration::from_secs(300),
    ],
    // Nobody has shown that higher bars are the sums of lower ones.
    derives_higher: false,
    has_sessions: false,
    limits: &[RateLimit { name: "request weight", capacity: 1200, window: Duration::from_secs(60) }],
    connection: ConnectionLimits {
        // For all connections of an address together.
        max_subscriptions: 1000,
        connects: RateLimit { name: "connects", capacity: 30, window: Duration::from_secs(60) },
        // 2000 frames a minute, pings included.
        control_frames_per_second: 20,
        lifetime: None,
        // It closes connections on which it has said nothing for a minute; our pings make it speak.
        idle_limit: Duration::from_secs(60),
        ping_every: Some(Duration::from_secs(20)),
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "Perpetuals (BTC/USDC:USDC) and spot (HYPE/USDC). Only the newest 5000 bars of a timeframe exist; trades \
             have no history. The last price of a ticker is the middle of the book, its bid and ask are impact prices.",
};

/// Hyperliquid's dialect.
#[derive(Debug)]
pub struct Hyperliquid {
    endpoints: Endpoints,
}

impl Hyperliquid {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Hyperliquid { endpoints })
    }
}

impl Dialect for Hyperliquid {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn encode_instruments(&self, symbols: &[Symbol]) -> Vec<HttpRequest> {
        rest::encode_instruments(&self.endpoints.rest, symbols)
    }

    fn next_instruments(&self, reply: &HttpReply) -> Vec<HttpRequest> {
        rest::next_instruments(&self.endpoints.rest, reply)
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
        rest::encode_candles(&self.endpoints.rest, instrument, timeframe, span)
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
        let is_newest = matches!(cursor, TradeCursor::Newest);
        is_newest.then(|| rest::encode_recent_trades(&self.endpoints.rest, instrument))
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
        rest::encode_tickers(&self.endpoints.rest, instruments)
    }

    fn decode_tickers(&self, _call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_tickers(reply)
    }

    fn stream_url(&self, _subscription: &Subscription) -> String {
        format!("{}/ws", self.endpoints.stream)
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

    fn encode_ping(&self, _request_id: u64) -> Option<String> {
        Some(stream::PING.to_owned())
    }

    fn decode_frame<'a>(&self, _dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode_frame(text, emit);
    }

    /// Its replies say nothing about limits.
    fn standing(&self, _reply: &HttpReply) -> Standing {
        Standing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Channel, registry};

    #[test]
    fn every_timeframe_goes_by_its_own_name_and_all_share_one_address() {
        let row = registry::find("hyperliquid").unwrap();
        let names = CAPABILITIES.timeframes.iter().map(|row| (row.timeframe.as_str(), row.wire));
        assert_eq!(names.clone().filter(|(ours, theirs)| ours == theirs).count(), 14);
        assert_eq!(names.count(), 14);
        assert_eq!(CAPABILITIES.timeframe(Timeframe::H6), None);
        let trades = Subscription { channel: Channel::Trades, stream_id: "BTC".into() };
        let dialect = (row.build)(row.public_endpoints());
        assert_eq!(dialect.stream_url(&trades), "wss://api.hyperliquid.xyz/ws");
        let simulated = (row.build)(row.simulated_endpoints("http://127.0.0.1:8787"));
        assert_eq!(simulated.stream_url(&trades), "ws://127.0.0.1:8787/hyperliquid/ws");
    }
}
