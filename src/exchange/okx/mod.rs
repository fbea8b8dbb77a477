//! OKX v5: spot markets and perpetual swaps.
//!
//! What is particular: candles and trades have different socket addresses; new and old candles have
//! different REST addresses; bars of six hours and more open at UTC+8 unless asked for by their `utc`
//! names; a swap's trades count contracts; errors come in any status, 200 included.

mod failure;
mod rest;
mod stream;
mod symbols;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    CandleRest, CandleStream, Capabilities, Channel, ConnectionLimits, ControlFrame, Depth, Dialect, Dialogue,
    Endpoints, Event, HttpReply, HttpRequest, Instrument, InstrumentSource, QuietPolicy, RateLimit, Standing,
    Subscription, TimeframeRow, TradeCursor, TradeHistory, TradePage, TradeRest, TradeStream, VenueError,
};
use crate::market::{Candle, Span, Symbol, Ticker, Timeframe};

const fn row(timeframe: Timeframe, bar: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire: bar, depth: Depth::Full, page_limit_span: None }
}

/// Three months, a little less: what seconds and trades are kept for.
const THREE_MONTHS: Depth = Depth::Age(Duration::from_secs(89 * 24 * 3600));

/// So many calls of one address in two seconds.
const fn per_two_seconds(name: &'static str, capacity: u32) -> RateLimit {
    RateLimit { name, capacity, window: Duration::from_secs(2) }
}

/// What OKX can do. Its bars of two and three days and of three months have no counterpart here, or
/// no documented first day.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "okx",
    name: "OKX",
    rest_url: "https://www.okx.com",
    stream_url: Some("wss://ws.okx.com:8443"),
    timeframes: &[
        TimeframeRow { depth: THREE_MONTHS, ..row(Timeframe::S1, "1s") },
        row(Timeframe::M1, "1m"),
        row(Timeframe::M3, "3m"),
        row(Timeframe::M5, "5m"),
        row(Timeframe::M15, "15m"),
        row(Timeframe::M30, "30m"),
        row(Timeframe::H1, "1H"),
        row(Timeframe::H2, "2H"),
        row(Timeframe::H4, "4H"),
        row(Timeframe::H6, "6Hutc"),
        row(Timeframe::H12, "12Hutc"),
        row(Timeframe::D1, "1Dutc"),
        row(Timeframe::W1, "1Wutc"),
        row(Timeframe::Month1, "1Mutc"),
    ],
    instruments: InstrumentSource::List,
    // The address of new candles gives 300, that of old ones 100 by its older documents.
    candle_rest: CandleRest { page_limit_rows: rest::CANDLES_PAGE_LIMIT_ROWS, honours_end: true },
    candle_stream: Some(CandleStream { has_closed_flag: true, is_cumulative: true, grace: Duration::from_secs(5) }),
    trade_rest: Some(TradeRest {
        page_limit_rows: rest::TRADES_PAGE_LIMIT_ROWS,
        history: TradeHistory::Backward(THREE_MONTHS),
        // Whether a row may stand for several trades is not documented; then the ids between the rows
        // of a page are absent, which is harmless.
        ids_are_dense: true,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: true }),
    quiet: QuietPolicy::Emits,
    settle: Duration::from_secs(2),
    settle_empty: Duration::from_secs(180),
    late_bar_delays: &[Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)],
    derives_higher: true,
    has_sessions: false,
    limits: &[
        per_two_seconds("candles", 40),
        per_two_seconds("old candles", 20),
        per_two_seconds("trades", 100),
        // Twenty by some sources.
        per_two_seconds("old trades", 10),
        per_two_seconds("instruments", 20),
        per_two_seconds("tickers", 20),
    ],
    connection: ConnectionLimits {
        max_subscriptions: 240,
        connects: RateLimit { name: "connects", capacity: 3, window: Duration::from_secs(1) },
        // 480 an hour: a full connection, each market asked for once more alone.
        control_frames_per_second: 2,
        lifetime: None,
        // Two pongs missing. The server leaves after 30 s of silence.
        idle_limit: Duration::from_secs(25),
        ping_every: Some(Duration::from_secs(10)),
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "Spot and perpetual swaps. Full history of candles (1s: three months), three months of trades. Other \
             entities have other markets: https://eea.okx.com with wss://wseea.okx.com:8443, https://us.okx.com with \
             wss://wsus.okx.com:8443.",
};

/// The dialect.
#[derive(Debug)]
pub struct Okx {
    endpoints: Endpoints,
}

impl Okx {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Okx { endpoints })
    }
}

impl Dialect for Okx {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn encode_instruments(&self, _symbols: &[Symbol]) -> Vec<HttpRequest> {
        rest::encode_instruments(&self.endpoints)
    }

    fn decode_instruments(&self, _asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
        rest::decode_instruments(reply)
    }

    fn encode_candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
        now: DateTime<Utc>,
    ) -> HttpRequest {
        rest::encode_candles(&self.endpoints, instrument, timeframe, span, now)
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
        rest::encode_tickers(&self.endpoints, instruments)
    }

    fn decode_tickers(&self, _call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_tickers(reply)
    }

    /// Neither address carries the channels of the other.
    fn stream_url(&self, subscription: &Subscription) -> String {
        let carrier = match subscription.channel {
            Channel::Candles(_) => "business",
            Channel::Trades => "public",
        };
        format!("{}/ws/v5/{carrier}", self.endpoints.stream)
    }

    /// One for each address.
    fn connection_group(&self, subscription: &Subscription) -> u32 {
        match subscription.channel {
            Channel::Trades => 0,
            Channel::Candles(_) => 1,
        }
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

    /// A bare word, answered by another.
    fn encode_ping(&self, _request_id: u64) -> Option<String> {
        Some("ping".to_owned())
    }

    fn decode_frame<'a>(&self, _dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode_frame(text, emit);
    }

    /// Replies carry no documented limit headers.
    fn standing(&self, _reply: &HttpReply) -> Standing {
        Standing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::registry;

    #[test]
    fn bars_of_six_hours_and_more_are_asked_for_by_their_utc_names() {
        let utc = |row: &TimeframeRow| row.wire.ends_with("utc");
        let mut seen = 0;
        for row in CAPABILITIES.timeframes {
            assert_eq!(utc(row), row.timeframe >= Timeframe::H6, "{}", row.wire);
            assert_eq!(row.wire.trim_end_matches("utc").to_lowercase(), row.timeframe.as_str().to_lowercase());
            seen += 1;
        }
        assert_eq!(seen, 14);
    }

    #[test]
    fn candles_and_trades_have_connections_of_their_own() {
        let row = registry::find("okx").unwrap();
        let of = |channel| Subscription { channel, stream_id: "BTC-USDT".into() };
        let (trades, candles) = (of(Channel::Trades), of(Channel::Candles(Timeframe::M1)));
        let public = (row.build)(row.public_endpoints());
        assert_eq!(public.stream_url(&trades), "wss://ws.okx.com:8443/ws/v5/public");
        assert_eq!(public.stream_url(&candles), "wss://ws.okx.com:8443/ws/v5/business");
        assert_eq!((public.connection_group(&trades), public.connection_group(&candles)), (0, 1));
        assert_eq!(public.encode_ping(7).as_deref(), Some("ping"));
        let simulated = (row.build)(row.simulated_endpoints("http://127.0.0.1:8787"));
        assert_eq!(simulated.stream_url(&candles), "ws://127.0.0.1:8787/okx/ws/v5/business");
    }
}
