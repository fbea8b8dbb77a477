//! Kraken spot: REST `/0/public` and WebSocket v2.
//!
//! What is particular: REST reaches only the newest 720 bars of a timeframe and always ends with
//! the one in progress; the candle stream has no closed flag and says nothing in a quiet minute;
//! trades go back to inception and are the official record.

mod rest;
mod stream;
mod symbols;
mod wire;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::market::{Span, Symbol, Ticker, Timeframe};

use super::{
    CandleRest, CandleStream, Capabilities, Channel, ConnectionLimits, ControlFrame, Depth, Dialect, Dialogue,
    Endpoints, Event, HttpReply, HttpRequest, Instrument, InstrumentSource, QuietPolicy, RateLimit, Standing,
    Subscription, TimeframeRow, TradeCursor, TradeHistory, TradePage, TradeRest, TradeStream, VenueError,
};
use crate::market::Candle;

/// Rows of a page of trades, which is also what is asked for.
const TRADES_PAGE_LIMIT_ROWS: u32 = 1000;

const fn row(timeframe: Timeframe, minutes: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire: minutes, depth: Depth::NewestRows(720), page_limit_span: None }
}

/// What Kraken can do. Its 15-day interval (21600) has no counterpart here.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "kraken",
    name: "Kraken",
    rest_url: "https://api.kraken.com",
    stream_url: Some("wss://ws.kraken.com"),
    timeframes: &[
        row(Timeframe::M1, "1"),
        row(Timeframe::M5, "5"),
        row(Timeframe::M15, "15"),
        row(Timeframe::M30, "30"),
        row(Timeframe::H1, "60"),
        row(Timeframe::H4, "240"),
        row(Timeframe::D1, "1440"),
        row(Timeframe::W1, "10080"),
    ],
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: 720, honours_end: false },
    candle_stream: Some(CandleStream { has_closed_flag: false, is_cumulative: true, grace: Duration::from_secs(3) }),
    trade_rest: Some(TradeRest {
        page_limit_rows: TRADES_PAGE_LIMIT_ROWS,
        history: TradeHistory::Forward(Depth::Full),
        ids_are_dense: true,
    }),
    trade_stream: Some(TradeStream { ids_are_dense: true }),
    quiet: QuietPolicy::Emits,
    settle: Duration::from_secs(2),
    settle_empty: Duration::from_secs(180),
    late_bar_delays: &[Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)],
    derives_higher: true,
    has_sessions: false,
    // Public calls are counted per address (candles and trades per address and pair); one a second
    // is the documented safe pace.
    limits: &[RateLimit { name: "requests", capacity: 1, window: Duration::from_secs(1) }],
    connection: ConnectionLimits {
        max_subscriptions: 300,
        // About 150 attempts in ten minutes earn a ban of ten minutes.
        connects: RateLimit { name: "connects", capacity: 120, window: Duration::from_secs(600) },
        control_frames_per_second: 10,
        lifetime: None,
        // Heartbeats come every second when nothing else does.
        idle_limit: Duration::from_secs(10),
        // Heartbeats carry no stamp, pongs do: what settles a quiet market's bars soon after their grace.
        ping_every: Some(Duration::from_secs(2)),
        has_heartbeat: true,
    },
    has_tickers: true,
    closed: None,
    remark: "REST holds only the newest 720 bars of a timeframe; what is older is recorded as unavailable",
};

/// Minutes of a timeframe, as Kraken names its intervals.
fn interval_minutes(timeframe: Timeframe) -> u64 {
    timeframe.nominal().as_secs() / 60
}

/// Kraken's dialect.
#[derive(Debug)]
pub struct Kraken {
    endpoints: Endpoints,
}

impl Kraken {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> std::sync::Arc<dyn Dialect> {
        std::sync::Arc::new(Kraken { endpoints })
    }
}

impl Dialect for Kraken {
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
        instrument: &Instrument,
        timeframe: Timeframe,
        _span: Span,
        reply: &HttpReply,
    ) -> Result<Vec<Candle>, VenueError> {
        rest::decode_candles(instrument, timeframe, reply)
    }

    fn encode_trades(&self, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
        rest::encode_trades(&self.endpoints.rest, instrument, cursor)
    }

    fn decode_trades(
        &self,
        instrument: &Instrument,
        _cursor: &TradeCursor,
        reply: &HttpReply,
    ) -> Result<TradePage, VenueError> {
        rest::decode_trades(instrument, reply)
    }

    fn encode_tickers(&self, instruments: &[Instrument]) -> Vec<HttpRequest> {
        rest::encode_tickers(&self.endpoints.rest, instruments)
    }

    fn decode_tickers(&self, _call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_tickers(reply)
    }

    fn stream_url(&self, _subscription: &Subscription) -> String {
        format!("{}/v2", self.endpoints.stream)
    }

    /// One candle interval for each symbol of a connection: a second one is refused. Group 0 is
    /// trades, the others are their interval in minutes.
    fn connection_group(&self, subscription: &Subscription) -> u32 {
        match subscription.channel {
            Channel::Candles(timeframe) => interval_minutes(timeframe) as u32,
            Channel::Trades => 0,
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

    fn encode_ping(&self, request_id: u64) -> Option<String> {
        Some(stream::encode_ping(request_id))
    }

    fn decode_frame<'a>(&self, _dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode_frame(text, emit);
    }

    /// Kraken's replies carry no documented limit headers.
    fn standing(&self, _reply: &HttpReply) -> Standing {
        Standing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::registry;

    #[test]
    fn every_interval_is_the_minutes_of_its_timeframe_and_has_its_own_connection() {
        let kraken = Kraken::build(registry::find("kraken").unwrap().public_endpoints());
        let bitcoin = |channel| Subscription { channel, stream_id: "BTC/USD".into() };
        let mut groups = vec![kraken.connection_group(&bitcoin(Channel::Trades))];
        for row in CAPABILITIES.timeframes {
            assert_eq!(interval_minutes(row.timeframe).to_string(), row.wire);
            groups.push(kraken.connection_group(&bitcoin(Channel::Candles(row.timeframe))));
        }
        assert_eq!(groups, [0, 1, 5, 15, 30, 60, 240, 1440, 10080]);
    }

    #[test]
    fn public_and_simulated_addresses_lead_to_the_second_version_of_the_socket() {
        let row = registry::find("kraken").unwrap();
        let trades = Subscription { channel: Channel::Trades, stream_id: "BTC/USD".into() };
        let url = |endpoints| (row.build)(endpoints).stream_url(&trades);
        assert_eq!(url(row.public_endpoints()), "wss://ws.kraken.com/v2");
        assert_eq!(url(row.simulated_endpoints("http://127.0.0.1:8787/")), "ws://127.0.0.1:8787/kraken/v2");
    }
}
