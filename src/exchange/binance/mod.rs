//! Binance, spot market: what it can do, as data, and the dialect that speaks it.
//!
//! Facts follow the venue's public API documents (spot REST API, web socket streams, errors and
//! limits) as of July 2026. Derivatives live on other hosts with other limits and the same ids,
//! and are not spoken here.

mod failure;
mod frame;
mod rest;
mod stream;
mod symbols;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::{
    CandleRest, CandleStream, Capabilities, Channel, ConnectionLimits, ControlFrame, Depth, Dialect, Endpoints, Event,
    HttpReply, HttpRequest, Instrument, InstrumentSource, QuietPolicy, RateLimit, Standing, Subscription, TimeframeRow,
    TradeCursor, TradePage, TradeRest, TradeStream, VenueError,
};
use crate::market::{Candle, Span, Symbol, Timeframe};

const fn native(timeframe: Timeframe, wire: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire, depth: Depth::Full, page_limit_span: None }
}

/// What Binance spot can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    id: "binance",
    name: "Binance",
    rest_url: "https://api.binance.com",
    stream_url: Some("wss://stream.binance.com:9443"),
    timeframes: &[
        native(Timeframe::S1, "1s"),
        native(Timeframe::M1, "1m"),
        native(Timeframe::M3, "3m"),
        native(Timeframe::M5, "5m"),
        native(Timeframe::M15, "15m"),
        native(Timeframe::M30, "30m"),
        native(Timeframe::H1, "1h"),
        native(Timeframe::H2, "2h"),
        native(Timeframe::H4, "4h"),
        native(Timeframe::H6, "6h"),
        native(Timeframe::H8, "8h"),
        native(Timeframe::H12, "12h"),
        native(Timeframe::D1, "1d"),
        native(Timeframe::D3, "3d"),
        native(Timeframe::W1, "1w"),
        native(Timeframe::Month1, "1M"),
    ],
    instruments: InstrumentSource::List,
    candle_rest: CandleRest { page_limit_rows: 1000, honours_end: true },
    candle_stream: Some(CandleStream { has_closed_flag: true, is_cumulative: true, grace: Duration::from_secs(5) }),
    trade_rest: Some(TradeRest { page_limit_rows: 1000, has_history: true, ids_are_dense: true }),
    trade_stream: Some(TradeStream { ids_are_dense: true }),
    quiet: QuietPolicy::Emits,
    settle: Duration::from_secs(2),
    settle_empty: Duration::from_secs(120),
    late_bar_delays: &[
        Duration::from_secs(2),
        Duration::from_secs(5),
        Duration::from_secs(15),
        Duration::from_secs(60),
    ],
    derives_higher: true,
    has_sessions: false,
    limits: &[RateLimit { name: "request weight", capacity: 6000, window: Duration::from_secs(60) }],
    connection: ConnectionLimits {
        max_subscriptions: 1024,
        connects: RateLimit { name: "connects", capacity: 300, window: Duration::from_secs(300) },
        // The venue takes 5 frames a second from us and counts our pongs among them.
        control_frames_per_second: 4,
        lifetime: Some(Duration::from_secs(24 * 3600)),
        // The server pings every 20 s; three missing pings are a dead connection.
        idle_limit: Duration::from_secs(60),
        ping_every: None,
        has_heartbeat: true,
    },
    remark: "Spot. Full history. Some countries are refused (HTTP 451): there set the REST URL to \
             https://data-api.binance.vision and the stream URL to wss://data-stream.binance.vision.",
};

/// The spot dialect.
#[derive(Debug)]
pub struct Binance {
    endpoints: Endpoints,
}

impl Binance {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints) -> Arc<dyn Dialect> {
        Arc::new(Binance { endpoints })
    }
}

impl Dialect for Binance {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    // One unknown name in a filtered call fails the call for all, so the whole list is read.
    fn encode_instruments(&self, _symbols: &[Symbol]) -> Vec<HttpRequest> {
        vec![rest::get(&self.endpoints, rest::EXCHANGE_INFO, String::new())]
    }

    fn decode_instruments(&self, asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
        rest::decode_instruments(asked, reply)
    }

    fn encode_candles(&self, instrument: &Instrument, timeframe: Timeframe, span: Span) -> HttpRequest {
        rest::get(&self.endpoints, rest::KLINES, rest::candle_query(instrument, timeframe, span))
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
        Some(rest::get(&self.endpoints, rest::AGG_TRADES, rest::trade_query(instrument, cursor)?))
    }

    fn decode_trades(&self, _instrument: &Instrument, reply: &HttpReply) -> Result<TradePage, VenueError> {
        rest::decode_trades(reply)
    }

    fn cursor_after_empty(&self, cursor: &TradeCursor) -> Option<TradeCursor> {
        match cursor {
            TradeCursor::Time(from) => {
                from.checked_add_signed(TimeDelta::milliseconds(rest::TRADE_WINDOW_MS)).map(TradeCursor::Time)
            }
            _ => None,
        }
    }

    fn stream_url(&self, _channel: Channel) -> String {
        format!("{}/ws", self.endpoints.stream)
    }

    fn connection_group(&self, _channel: Channel) -> u32 {
        0
    }

    fn encode_subscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
        stream::encode("SUBSCRIBE", subscriptions, first_request_id)
    }

    fn encode_unsubscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
        stream::encode("UNSUBSCRIBE", subscriptions, first_request_id)
    }

    // The server pings at the protocol level; a ping of ours would count against 5 frames a second.
    fn encode_ping(&self, _request_id: u64) -> Option<String> {
        None
    }

    fn decode_frame<'a>(&self, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode(text, emit);
    }

    fn standing(&self, reply: &HttpReply) -> Standing {
        Standing { used: reply.header("x-mbx-used-weight-1m").and_then(|used| used.trim().parse().ok()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sixteen_timeframes_are_native_under_their_own_names() {
        let rows = CAPABILITIES.timeframes.iter().map(|row| (row.timeframe, row.wire)).collect::<Vec<_>>();
        let all = Timeframe::all().map(|timeframe| (timeframe, timeframe.as_str())).collect::<Vec<_>>();
        assert_eq!(rows, all);
        assert_eq!(rows.len(), 16);
    }

    #[test]
    fn the_used_weight_is_read_from_the_reply() {
        let dialect = Binance { endpoints: crate::exchange::registry::find("binance").unwrap().public_endpoints() };
        let mut reply = HttpReply::new(200, "[]");
        assert_eq!(dialect.standing(&reply), Standing { used: None });
        reply.headers = vec![("x-mbx-used-weight".into(), "3".into()), ("x-mbx-used-weight-1m".into(), "1234".into())];
        assert_eq!(dialect.standing(&reply), Standing { used: Some(1234) });
    }

    #[test]
    fn streams_share_one_address() {
        let row = crate::exchange::registry::find("binance").unwrap();
        let dialect = (row.build)(row.public_endpoints());
        assert_eq!(dialect.stream_url(Channel::Trades), "wss://stream.binance.com:9443/ws");
        assert_eq!(dialect.stream_url(Channel::Candles(Timeframe::M1)), dialect.stream_url(Channel::Trades));
        assert_eq!(dialect.encode_ping(1), None);
    }
}
