//! Bybit v5: spot, linear and inverse contracts; what they can do, as data, and how they speak.
//!
//! Facts follow the venue's public documents (v5 market data and public streams) as of November
//! 2026. What is particular: the same id (`BTCUSDT`) is another market in each category, so ids here
//! begin with it (`linear/BTCUSDT`); each category has a socket address of its own; trades are only
//! served by the stream and as one page of the newest.

mod rest;
mod stream;
mod symbols;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::symbols::Category;
use super::{
    CandleRest, CandleStream, Capabilities, ConnectionLimits, ControlFrame, Depth, Dialect, Dialogue, Endpoints, Event,
    HttpReply, HttpRequest, Instrument, InstrumentSource, QuietPolicy, RateLimit, Standing, Subscription, TimeframeRow,
    TradeCursor, TradeHistory, TradePage, TradeRest, TradeStream, VenueError,
};
use crate::market::{Candle, Span, Symbol, Ticker, Timeframe};

const fn native(timeframe: Timeframe, wire: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire, depth: Depth::Full, page_limit_span: None }
}

/// What Bybit can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "bybit",
    name: "Bybit",
    rest_url: "https://api.bybit.com",
    stream_url: Some("wss://stream.bybit.com"),
    timeframes: &[
        native(Timeframe::M1, "1"),
        native(Timeframe::M3, "3"),
        native(Timeframe::M5, "5"),
        native(Timeframe::M15, "15"),
        native(Timeframe::M30, "30"),
        native(Timeframe::H1, "60"),
        native(Timeframe::H2, "120"),
        native(Timeframe::H4, "240"),
        native(Timeframe::H6, "360"),
        native(Timeframe::H12, "720"),
        native(Timeframe::D1, "D"),
        native(Timeframe::W1, "W"),
        native(Timeframe::Month1, "M"),
    ],
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: 1000, honours_end: true },
    candle_stream: Some(CandleStream { has_closed_flag: true, is_cumulative: true, grace: Duration::from_secs(5) }),
    trade_rest: Some(TradeRest { page_limit_rows: 1000, history: TradeHistory::Recent, ids_are_dense: false }),
    trade_stream: Some(TradeStream { ids_are_dense: false }),
    // Flat rows are seen on busy markets and promised on none.
    quiet: QuietPolicy::Mixed,
    settle: Duration::from_secs(2),
    settle_empty: Duration::from_secs(120),
    late_bar_delays: &[
        Duration::from_secs(2),
        Duration::from_secs(5),
        Duration::from_secs(15),
        Duration::from_secs(60),
    ],
    // Nothing is said of whether longer bars are the exact sums of shorter ones.
    derives_higher: false,
    has_sessions: false,
    // The venue allows 600 and then shuts the address out for ten minutes: some are kept in hand.
    limits: &[RateLimit { name: "requests", capacity: 500, window: Duration::from_secs(5) }],
    connection: ConnectionLimits {
        // All topics of a connection may have 21000 characters: 42 for each.
        max_subscriptions: 500,
        connects: RateLimit { name: "connects", capacity: 450, window: Duration::from_secs(300) },
        control_frames_per_second: 10,
        lifetime: None,
        // Each ping is answered: three missing answers are a dead connection.
        idle_limit: Duration::from_secs(60),
        ping_every: Some(Duration::from_secs(20)),
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "Spot (BTC/USDT), linear (BTC/USDT:USDT) and inverse (BTC/USD:BTC) contracts. Full history of candles, \
             none of trades. Addresses in the United States and mainland China are refused (HTTP 403).",
};

/// Bybit's dialect.
#[derive(Debug)]
pub struct Bybit {
    endpoints: Endpoints,
}

impl Bybit {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Bybit { endpoints })
    }
}

impl Dialect for Bybit {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn encode_instruments(&self, symbols: &[Symbol]) -> Vec<HttpRequest> {
        rest::encode_instruments(&self.endpoints, symbols)
    }

    fn next_instruments(&self, reply: &HttpReply) -> Vec<HttpRequest> {
        rest::next_instruments(&self.endpoints, reply).into_iter().collect()
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
        instrument: &Instrument,
        timeframe: Timeframe,
        _span: Span,
        reply: &HttpReply,
    ) -> Result<Vec<Candle>, VenueError> {
        rest::decode_candles(instrument, timeframe, reply)
    }

    fn encode_trades(&self, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
        (*cursor == TradeCursor::Newest).then(|| rest::encode_trades(&self.endpoints, instrument))
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
        rest::encode_tickers(&self.endpoints, instruments)
    }

    fn decode_tickers(&self, _call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_tickers(reply)
    }

    fn stream_url(&self, subscription: &Subscription) -> String {
        let (category, _) = symbols::split(&subscription.stream_id);
        format!("{}/v5/public/{}", self.endpoints.stream, category.as_str())
    }

    /// One category for each connection.
    fn connection_group(&self, subscription: &Subscription) -> u32 {
        symbols::split(&subscription.stream_id).0.group()
    }

    fn encode_subscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
        stream::encode("subscribe", subscriptions, first_request_id)
    }

    fn encode_unsubscribe(
        &self,
        _dialogue: &Dialogue,
        subscriptions: &[Subscription],
        first_request_id: u64,
    ) -> Vec<ControlFrame> {
        stream::encode("unsubscribe", subscriptions, first_request_id)
    }

    fn encode_ping(&self, request_id: u64) -> Option<String> {
        Some(stream::encode_ping(request_id))
    }

    fn decode_frame<'a>(&self, dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode(Category::of_group(dialogue.group), text, emit);
    }

    /// The headers speak of single endpoints, whose limits nobody documents.
    fn standing(&self, _reply: &HttpReply) -> Standing {
        Standing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Channel, registry};

    #[test]
    fn each_category_has_an_address_and_connections_of_its_own() {
        let dialect = Bybit::build(registry::find("bybit").unwrap().public_endpoints());
        let place = |stream_id: &str| {
            let subscription = Subscription { channel: Channel::Trades, stream_id: stream_id.to_owned() };
            (dialect.stream_url(&subscription), dialect.connection_group(&subscription))
        };
        assert_eq!(place("spot/BTCUSDT"), ("wss://stream.bybit.com/v5/public/spot".to_owned(), 0));
        assert_eq!(place("linear/BTCUSDT"), ("wss://stream.bybit.com/v5/public/linear".to_owned(), 1));
        assert_eq!(place("inverse/BTCUSD"), ("wss://stream.bybit.com/v5/public/inverse".to_owned(), 2));
    }
}
