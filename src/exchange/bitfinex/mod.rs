//! Bitfinex: public REST v2 and WebSocket v2.
//!
//! What is particular: everything is an array whose places have meanings, and arrays may grow; rows
//! of candles print the close before high and low; errors come with HTTP 500 whoever is to blame;
//! frames name a channel by a number that the ack gave it, and are numbered themselves on request,
//! so that lost ones are noticed. Facts follow the venue's documents and well-known clients, as of
//! August 2026.

mod failure;
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

/// Rows of a page of candles or trades.
const PAGE_LIMIT_ROWS: u32 = 10_000;

/// The week: `1W` in the venue's present documents, `7D` in older ones and with some clients.
const WEEK: &str = "1W";

const fn row(timeframe: Timeframe, wire: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire, depth: Depth::Full, page_limit_span: None }
}

const fn a_minute(name: &'static str, capacity: u32) -> RateLimit {
    RateLimit { name, capacity, window: Duration::from_secs(60) }
}

/// What Bitfinex can do. Its 3 hours and 14 days have no counterpart here.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "bitfinex",
    name: "Bitfinex",
    rest_url: "https://api-pub.bitfinex.com",
    stream_url: Some("wss://api-pub.bitfinex.com"),
    timeframes: &[
        row(Timeframe::M1, "1m"),
        row(Timeframe::M5, "5m"),
        row(Timeframe::M15, "15m"),
        row(Timeframe::M30, "30m"),
        row(Timeframe::H1, "1h"),
        row(Timeframe::H6, "6h"),
        row(Timeframe::H12, "12h"),
        row(Timeframe::D1, "1D"),
        row(Timeframe::W1, WEEK),
        row(Timeframe::Month1, "1M"),
    ],
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: PAGE_LIMIT_ROWS, honours_end: true },
    // The bar before may be told again after the next one has opened.
    candle_stream: Some(CandleStream { has_closed_flag: false, is_cumulative: true, grace: Duration::from_secs(5) }),
    trade_rest: Some(TradeRest {
        page_limit_rows: PAGE_LIMIT_ROWS,
        history: TradeHistory::Forward(Depth::Full),
        // Ids grow, over all markets together.
        ids_are_dense: false,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: false }),
    quiet: QuietPolicy::Omits,
    settle: Duration::from_secs(5),
    settle_empty: Duration::from_secs(180),
    late_bar_delays: &[Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)],
    // Nobody has shown that higher bars are the sums of lower ones.
    derives_higher: false,
    has_sessions: false,
    // Counted for each endpoint; the lowest number of the documents' several editions.
    limits: &[a_minute("candles", 30), a_minute("trades", 15), a_minute("lists", 90), a_minute("tickers", 30)],
    connection: ConnectionLimits {
        max_subscriptions: 25,
        connects: a_minute("connects", 20),
        control_frames_per_second: 5,
        lifetime: None,
        // Channels have heartbeats every 15 s.
        idle_limit: Duration::from_secs(30),
        // Pongs carry the venue's time, which settles the bars of quiet markets.
        ping_every: Some(Duration::from_secs(5)),
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "Spot (BTC/USDT is tBTCUST there) and perpetuals (BTC/USDT:USDT). Full history of candles and trades; \
             30 reads of candles a minute, so minutes of many quiet markets are late.",
};

/// Indices into the limits.
const CANDLES: usize = 0;
const TRADES: usize = 1;
const LISTS: usize = 2;
const TICKERS: usize = 3;

/// Bitfinex's dialect.
#[derive(Debug)]
pub struct Bitfinex {
    endpoints: Endpoints,
}

impl Bitfinex {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Bitfinex { endpoints })
    }
}

impl Dialect for Bitfinex {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn encode_instruments(&self, _symbols: &[Symbol]) -> Vec<HttpRequest> {
        vec![rest::encode_instruments(&self.endpoints.rest)]
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
        rest::encode_trades(&self.endpoints.rest, instrument, cursor)
    }

    fn decode_trades(
        &self,
        _instrument: &Instrument,
        cursor: &TradeCursor,
        reply: &HttpReply,
    ) -> Result<TradePage, VenueError> {
        rest::decode_trades(cursor, reply)
    }

    fn encode_tickers(&self, instruments: &[Instrument]) -> Vec<HttpRequest> {
        rest::encode_tickers(&self.endpoints.rest, instruments)
    }

    fn decode_tickers(&self, _call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_tickers(reply)
    }

    fn stream_url(&self, _subscription: &Subscription) -> String {
        format!("{}/ws/2", self.endpoints.stream)
    }

    fn connection_group(&self, _subscription: &Subscription) -> u32 {
        0
    }

    fn encode_opening(&self) -> Option<String> {
        Some(stream::encode_opening())
    }

    fn encode_subscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
        stream::encode_subscribe(subscriptions, first_request_id)
    }

    fn encode_unsubscribe(
        &self,
        dialogue: &Dialogue,
        subscriptions: &[Subscription],
        first_request_id: u64,
    ) -> Vec<ControlFrame> {
        stream::encode_unsubscribe(dialogue, subscriptions, first_request_id)
    }

    fn encode_ping(&self, request_id: u64) -> Option<String> {
        Some(stream::encode_ping(request_id))
    }

    fn decode_frame<'a>(&self, dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode_frame(dialogue, text, emit);
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
    fn public_and_simulated_addresses_lead_to_the_second_version() {
        let row = registry::find("bitfinex").unwrap();
        let trades = Subscription { channel: Channel::Trades, stream_id: "tBTCUSD".into() };
        let url = |endpoints| (row.build)(endpoints).stream_url(&trades);
        assert_eq!(url(row.public_endpoints()), "wss://api-pub.bitfinex.com/ws/2");
        assert_eq!(url(row.simulated_endpoints("http://127.0.0.1:8787")), "ws://127.0.0.1:8787/bitfinex/ws/2");
    }

    #[test]
    fn timeframes_have_the_venues_own_names() {
        let names = CAPABILITIES.timeframes.iter().map(|row| (row.timeframe.as_str(), row.wire));
        let differing = names.filter(|(ours, theirs)| ours != theirs).collect::<Vec<_>>();
        assert_eq!(differing, [("1d", "1D"), ("1w", "1W")]);
        for missing in [Timeframe::M3, Timeframe::H2, Timeframe::H4] {
            assert_eq!(CAPABILITIES.timeframe(missing), None);
        }
    }
}
