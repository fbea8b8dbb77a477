//! The API family whose headers begin with `X-MBX`: what the venues that speak it have in common.
//! Requests, rows, frames and errors are the same; what tells the venues apart is a [`Product`].
//!
//! Facts follow the public API documents (REST API, web socket streams, errors and limits) as of
//! July 2026.

mod documented;
mod failure;
mod frame;
mod rest;
mod stream;
mod token;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Capabilities, ControlFrame, Depth, Dialect, Dialogue, Endpoints, Event, HttpReply, HttpRequest, Instrument,
    Standing, Subscription, TimeframeRow, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Span, Symbol, Ticker, Timeframe};

pub use rest::Call;
pub use wire::Market;

/// A venue of the family: where its calls are, what they weigh, what its markets are called.
#[derive(Debug)]
pub struct Product {
    /// What it can do.
    pub capabilities: &'static Capabilities,
    /// The list of instruments.
    pub exchange_info: Call,
    /// Candles; the weight is [`Product::klines_weight`].
    pub klines: &'static str,
    /// Weight of a candle call that asks for so many rows.
    pub klines_weight: fn(u32) -> u32,
    /// Aggregated trades.
    pub agg_trades: Call,
    /// The calls for the tickers of these ids (as printed in the list).
    pub tickers: fn(&[&str]) -> Vec<(Call, String)>,
    /// The stream's path.
    pub stream_path: &'static str,
    /// Paths that a configured stream address may end in already.
    pub stream_suffixes: &'static [&'static str],
    /// The unified name of a row of the list; `None` where it has none.
    pub unified: fn(&Market<'_>) -> Option<Symbol>,
    /// What to do where the venue refuses the country of our address.
    pub refused_country: &'static str,
}

/// A native timeframe, spelled as ours, served since listing.
const fn native(timeframe: Timeframe, wire: &'static str) -> TimeframeRow {
    TimeframeRow { timeframe, wire, depth: Depth::Full, page_limit_span: None }
}

/// The native timeframes, shortest first.
pub const TIMEFRAMES: &[TimeframeRow] = &[
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
];

/// When a bar that is not there yet is asked for again.
pub const LATE_BAR_DELAYS: &[Duration] =
    &[Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];

/// The dialect of a product.
#[derive(Debug)]
pub struct Mbx {
    endpoints: Endpoints,
    product: &'static Product,
}

impl Mbx {
    /// The dialect for given addresses.
    pub fn build(endpoints: Endpoints, product: &'static Product) -> Arc<dyn Dialect> {
        Arc::new(Mbx { endpoints, product })
    }
}

impl Dialect for Mbx {
    fn capabilities(&self) -> &'static Capabilities {
        self.product.capabilities
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    // One unknown name in a filtered call fails the call for all, so the whole list is read.
    fn encode_instruments(&self, _symbols: &[Symbol]) -> Vec<HttpRequest> {
        vec![rest::get(&self.endpoints, self.product.exchange_info, String::new())]
    }

    fn decode_instruments(&self, asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
        rest::decode_instruments(self.product, asked, reply)
    }

    fn encode_candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
        _now: DateTime<Utc>,
    ) -> HttpRequest {
        rest::encode_candles(&self.endpoints, self.product, instrument, timeframe, span)
    }

    fn decode_candles(
        &self,
        _instrument: &Instrument,
        timeframe: Timeframe,
        _span: Span,
        reply: &HttpReply,
    ) -> Result<Vec<Candle>, VenueError> {
        rest::decode_candles(self.product, timeframe, reply)
    }

    fn encode_trades(&self, instrument: &Instrument, cursor: &TradeCursor) -> Option<HttpRequest> {
        Some(rest::get(&self.endpoints, self.product.agg_trades, rest::trade_query(instrument, cursor)?))
    }

    fn decode_trades(
        &self,
        _instrument: &Instrument,
        _cursor: &TradeCursor,
        reply: &HttpReply,
    ) -> Result<TradePage, VenueError> {
        rest::decode_trades(self.product, reply)
    }

    fn cursor_after_empty(&self, cursor: &TradeCursor) -> Option<TradeCursor> {
        match cursor {
            TradeCursor::Time(from) => {
                from.checked_add_signed(TimeDelta::milliseconds(rest::TRADE_WINDOW_MS)).map(TradeCursor::Time)
            }
            _ => None,
        }
    }

    fn encode_tickers(&self, instruments: &[Instrument]) -> Vec<HttpRequest> {
        let ids: Vec<&str> = instruments.iter().map(|instrument| instrument.rest_id.as_str()).collect();
        let calls = (self.product.tickers)(&ids).into_iter();
        calls.map(|(call, query)| rest::get(&self.endpoints, call, query)).collect()
    }

    fn decode_tickers(&self, _call: &HttpRequest, reply: &HttpReply) -> Result<Vec<(String, Ticker)>, VenueError> {
        rest::decode_tickers(self.product, reply)
    }

    fn stream_url(&self, _subscription: &Subscription) -> String {
        let base = self.endpoints.stream.as_str();
        let suffix = self.product.stream_suffixes.iter().find_map(|suffix| base.strip_suffix(suffix));
        format!("{}{}", suffix.unwrap_or(base), self.product.stream_path)
    }

    fn connection_group(&self, _subscription: &Subscription) -> u32 {
        0
    }

    fn encode_subscribe(&self, subscriptions: &[Subscription], first_request_id: u64) -> Vec<ControlFrame> {
        stream::encode("SUBSCRIBE", subscriptions, first_request_id)
    }

    fn encode_unsubscribe(
        &self,
        _dialogue: &Dialogue,
        subscriptions: &[Subscription],
        first_request_id: u64,
    ) -> Vec<ControlFrame> {
        stream::encode("UNSUBSCRIBE", subscriptions, first_request_id)
    }

    // The server pings at the protocol level; a ping of ours would count against its limit of frames.
    fn encode_ping(&self, _request_id: u64) -> Option<String> {
        None
    }

    fn decode_frame<'a>(&self, _dialogue: &mut Dialogue, text: &'a str, emit: &mut dyn FnMut(Event<'a>)) {
        stream::decode(self.product.capabilities, text, emit);
    }

    fn standing(&self, reply: &HttpReply) -> Standing {
        Standing { used: reply.header("x-mbx-used-weight-1m").and_then(|used| used.trim().parse().ok()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::registry;

    #[test]
    fn the_used_weight_is_read_from_the_reply() {
        let row = registry::find("binance").unwrap();
        let dialect = (row.build)(row.public_endpoints());
        let mut reply = HttpReply::new(200, "[]");
        assert_eq!(dialect.standing(&reply), Standing { used: None });
        reply.headers = vec![("x-mbx-used-weight".into(), "3".into()), ("x-mbx-used-weight-1m".into(), "1234".into())];
        assert_eq!(dialect.standing(&reply), Standing { used: Some(1234) });
    }
}
