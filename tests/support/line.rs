//! A dialect and the simulated venue it speaks to, without an engine between: calls, walks through
//! history, and a connection whose events are read until an instant.

use std::collections::HashSet;
use std::sync::Arc;

use candlewick::clock::Clock;
use candlewick::exchange::{
    AmountUnit, Channel, Dialect, Dialogue, Event, HttpReply, HttpRequest, Instrument, InstrumentSource, Subscription,
    TradeCursor, VenueError, registry,
};
use candlewick::market::{Candle, Grid, Side, Span, Symbol, Ticker, Timeframe, Trade, TradeId};
use candlewick::sim::{SimConfig, SimRequest, Simulator};
use candlewick::transport::{Frame, Transport, WebSocket};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt};
use rust_decimal::Decimal;

use super::in_memory::SimTransport;
use super::stage::true_candles;

/// See the module.
pub struct Line {
    pub dialect: Arc<dyn Dialect>,
    pub transport: SimTransport,
    pub clock: Clock,
}

impl Line {
    pub fn new(id: &str, config: SimConfig, clock: Clock) -> Line {
        let row = registry::find(id).unwrap();
        let transport = SimTransport::new(Simulator::new(config, clock.clone()));
        Line { dialect: (row.build)(row.simulated_endpoints("http://sim")), transport, clock }
    }

    pub async fn call(&self, request: &HttpRequest) -> HttpReply {
        self.transport.http(request).await.unwrap()
    }

    /// The markets of some symbols, or all of a venue that lists them, whatever number of pages does.
    pub async fn markets(&self, symbols: &[Symbol]) -> Result<Vec<Instrument>, VenueError> {
        let mut calls = self.dialect.encode_instruments(symbols);
        let asked = (self.dialect.capabilities().instruments == InstrumentSource::PerSymbol).then_some(symbols);
        let mut found = Vec::new();
        if let Some(symbols) = asked {
            for (symbol, call) in symbols.iter().zip(&calls) {
                found.extend(self.dialect.decode_instruments(Some(symbol), &self.call(call).await)?);
            }
            return Ok(found);
        }
        while let Some(call) = calls.pop() {
            let reply = self.call(&call).await;
            found.extend(self.dialect.decode_instruments(None, &reply)?);
            calls.extend(self.dialect.next_instruments(&reply));
        }
        Ok(found)
    }

    /// All markets.
    pub async fn instruments(&self) -> Vec<Instrument> {
        self.markets(&[]).await.unwrap()
    }

    pub async fn instrument(&self, symbol: &str) -> Instrument {
        let all = self.markets(&[symbol.parse().unwrap()]).await.unwrap();
        all.into_iter().find(|found| found.symbol.as_str() == symbol).unwrap_or_else(|| panic!("no {symbol}"))
    }

    /// One page of candles.
    pub async fn candles(
        &self,
        instrument: &Instrument,
        timeframe: Timeframe,
        span: Span,
    ) -> Result<Vec<Candle>, VenueError> {
        let request = self.dialect.encode_candles(instrument, timeframe, span, self.clock.now());
        self.dialect.decode_candles(instrument, timeframe, span, &self.call(&request).await)
    }

    /// All candles of a span in windows of `rows` buckets, oldest first, and the number of calls.
    pub async fn walk(&self, market: &Instrument, timeframe: Timeframe, span: Span, rows: u32) -> (Vec<Candle>, u32) {
        let grid = Grid::new(timeframe, market.anchors);
        let (mut found, mut from, mut calls) = (Vec::new(), span.from, 0);
        while from < span.to {
            let to = (0..rows).fold(from, |open, _| grid.next_open(open)).min(span.to);
            let page = self.candles(market, timeframe, Span::new(from, to)).await.unwrap();
            assert!(page.is_sorted_by(|a, b| a.open_time < b.open_time), "{page:?}");
            found.extend(page.into_iter().filter(|candle| from <= candle.open_time && candle.open_time < to));
            (from, calls) = (to, calls + 1);
        }
        (found, calls)
    }

    /// One page of trades, amounts in base currency, and the cursor of the next one.
    pub async fn trades(
        &self,
        market: &Instrument,
        cursor: &TradeCursor,
    ) -> Result<(Vec<Trade>, Option<TradeCursor>), VenueError> {
        let request = self.dialect.encode_trades(market, cursor).expect("a call for this cursor");
        let page = self.dialect.decode_trades(market, cursor, &self.call(&request).await)?;
        Ok((page.trades.into_iter().map(|trade| market.in_base(trade)).collect(), page.next))
    }

    /// The trades from the newest back to the first one served, oldest first.
    pub async fn trades_backward(&self, market: &Instrument, from: TradeCursor) -> Vec<Trade> {
        let (mut pages, mut cursor) = (Vec::new(), Some(from));
        while let Some(at) = cursor.take() {
            let (trades, next) = self.trades(market, &at).await.unwrap();
            pages.push(trades);
            cursor = next;
        }
        pages.into_iter().rev().flatten().collect()
    }

    /// The trades from a time on up to now, oldest first, each once, and the number of calls.
    pub async fn trades_forward(&self, market: &Instrument, from: DateTime<Utc>) -> (Vec<Trade>, u32) {
        let (mut found, mut calls, mut cursor) = (Vec::new(), 0, Some(TradeCursor::Time(from)));
        let mut seen = HashSet::new();
        while let Some(at) = cursor.take() {
            let (trades, next) = self.trades(market, &at).await.unwrap();
            calls += 1;
            let onward = if trades.is_empty() { self.dialect.cursor_after_empty(&at) } else { next };
            cursor = onward.filter(|next| !matches!(next, TradeCursor::Time(from) if *from > self.clock.now()));
            // A page may begin with what shares its instant with the end of the one before.
            found.extend(trades.into_iter().filter(|trade| seen.insert(trade.id.clone())));
        }
        (found, calls)
    }

    /// The ticker of a market.
    pub async fn ticker(&self, market: &Instrument) -> Ticker {
        let calls = self.dialect.encode_tickers(std::slice::from_ref(market));
        let [call] = &calls[..] else { panic!("{calls:?}") };
        let tickers = self.dialect.decode_tickers(call, &self.call(call).await).unwrap();
        tickers.into_iter().find(|(id, _)| *id == market.rest_id).map(|(_, ticker)| ticker).expect("its ticker")
    }

    pub fn true_candles(&self, symbol: &str, timeframe: Timeframe, span: Span) -> Vec<Candle> {
        true_candles(&self.transport.simulator, self.dialect.capabilities().id, symbol, timeframe, span)
    }

    /// Every trade of a span, oldest first.
    pub fn true_trades(&self, symbol: &str, span: Span) -> Vec<Trade> {
        #[derive(serde::Deserialize)]
        struct Row<'a> {
            id: &'a str,
            time: DateTime<Utc>,
            #[serde(borrow)]
            price: &'a serde_json::value::RawValue,
            #[serde(borrow)]
            amount: &'a serde_json::value::RawValue,
            side: Side,
        }
        let id = self.dialect.capabilities().id;
        let (from, to) = (span.from.timestamp_millis(), span.to.timestamp_millis());
        let target = format!("/truth/trades?exchange={id}&symbol={symbol}&from={from}&to={to}");
        let reply = self.transport.simulator.http(&SimRequest::get(target));
        let rows: Vec<Row<'_>> = serde_json::from_slice(&reply.body).unwrap();
        let trade = |row: Row<'_>| {
            let id = row.id.parse().map_or_else(|_| TradeId::Text(row.id.into()), TradeId::Number);
            let (price, amount) = (row.price.get().parse().unwrap(), row.amount.get().parse().unwrap());
            Trade { last_id: id.clone(), id, time: row.time, price, amount, side: Some(row.side) }
        };
        rows.into_iter().map(trade).collect()
    }

    /// A connection with nothing subscribed.
    pub async fn connect(&self, channel: Channel, market: &Instrument) -> Connection {
        let subscription = subscription(channel, market);
        let mut connection = self.connect_to(&self.dialect.stream_url(&subscription)).await;
        connection.dialogue = Dialogue::of_group(self.dialect.connection_group(&subscription));
        if let Some(opening) = self.dialect.encode_opening() {
            connection.send(&opening).await;
        }
        connection
    }

    /// A connection to any address.
    pub async fn connect_to(&self, url: &str) -> Connection {
        let socket = self.transport.connect(url).await.unwrap();
        let (dialect, clock) = (self.dialect.clone(), self.clock.clone());
        Connection { dialect, clock, socket, dialogue: Dialogue::default(), pings: true, is_open: true }
    }
}

pub fn subscription(channel: Channel, market: &Instrument) -> Subscription {
    Subscription { channel, stream_id: market.stream_id.clone() }
}

/// What a connection has said.
#[derive(Debug, Default)]
pub struct Heard {
    pub candles: Vec<(String, Timeframe, Candle, Option<bool>)>,
    pub trades: Vec<(String, Trade)>,
    pub heartbeats: usize,
    pub others: Vec<String>,
}

impl Heard {
    /// The closed candles of a market.
    pub fn closed(&self, stream_id: &str, timeframe: Timeframe) -> Vec<Candle> {
        let of_series = |(id, of, _, closed): &&(String, Timeframe, Candle, Option<bool>)| {
            id == stream_id && *of == timeframe && *closed == Some(true)
        };
        self.candles.iter().filter(of_series).map(|(_, _, candle, _)| *candle).collect()
    }

    /// The trades of a market.
    pub fn trades_of(&self, stream_id: &str) -> Vec<Trade> {
        self.trades.iter().filter(|(id, _)| id == stream_id).map(|(_, trade)| trade.clone()).collect()
    }
}

/// Candles that agree with the truth, whatever else the venue prints in them.
pub fn assert_agree(found: &[Candle], truth: &[Candle], what: &str) {
    let opens = |candles: &[Candle]| candles.iter().map(|candle| candle.open_time).collect::<Vec<_>>();
    assert!(!truth.is_empty(), "{what} has no truth");
    assert_eq!(opens(found), opens(truth), "{what}");
    for (found, truth) in found.iter().zip(truth) {
        assert!(found.agrees_with(truth), "{what}: found {found:?}, true {truth:?}");
    }
}

/// Trades that are the truth in its order. Some venues tell several in one, cut their times to
/// milliseconds, know them by names of their own, or print whole units of quote currency.
pub fn assert_deals(market: &Instrument, found: &[Trade], truth: &[Trade], what: &str) {
    let mut rest = truth.iter();
    for trade in found {
        let parts: Vec<_> = rest.by_ref().take(trade.count() as usize).collect();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { panic!("{what}: {trade:?} is none") };
        let is_named_alike = |a: &TradeId, b: &TradeId| a.number().is_some() != b.number().is_some() || a == b;
        assert!(is_named_alike(&trade.id, &first.id) && is_named_alike(&trade.last_id, &last.id), "{what}: {trade:?}");
        let amount: Decimal = parts.iter().map(|part| part.amount).sum();
        let unit = match market.amount_unit {
            AmountUnit::QuoteContracts(_) => Decimal::ONE / trade.price,
            AmountUnit::Base | AmountUnit::Contracts(_) => Decimal::ZERO,
        };
        assert!((trade.amount - amount).abs() <= unit, "{what}: {trade:?}, true {amount}");
        for part in parts {
            assert_eq!((trade.price.normalize(), trade.side), (part.price.normalize(), part.side), "{what}: {trade:?}");
            assert!((trade.time - part.time).abs() < TimeDelta::milliseconds(1), "{what}: {trade:?}, true {part:?}");
        }
    }
    assert_eq!(rest.next(), None, "{what}: told after the last of {}", found.len());
}

/// One connection to the venue.
pub struct Connection {
    dialect: Arc<dyn Dialect>,
    clock: Clock,
    socket: WebSocket,
    dialogue: Dialogue,
    /// Whether the connection is kept open by pings, as the venue wants them.
    pub pings: bool,
    /// False once the venue has ended it.
    pub is_open: bool,
}

impl Connection {
    pub async fn send(&mut self, text: &str) {
        self.socket.sink.send(Frame::Text(text.into())).await.unwrap();
    }

    pub async fn subscribe(&mut self, subscriptions: &[Subscription], first_request_id: u64) {
        for frame in self.dialect.encode_subscribe(subscriptions, first_request_id) {
            self.send(&frame.text).await;
        }
    }

    pub async fn unsubscribe(&mut self, subscriptions: &[Subscription], first_request_id: u64) {
        for frame in self.dialect.encode_unsubscribe(&self.dialogue, subscriptions, first_request_id) {
            self.send(&frame.text).await;
        }
    }

    /// Candles and trades until the clock shows `until`; anything else goes to `others` in short.
    pub async fn hear(&mut self, until: DateTime<Utc>) -> Heard {
        let mut heard = Heard::default();
        self.listen(until, |event| match event {
            Event::Candle { stream_id, timeframe, candle, closed, .. } => {
                heard.candles.push((stream_id.to_string(), *timeframe, *candle, *closed));
            }
            Event::Trade { stream_id, trade, .. } => heard.trades.push((stream_id.to_string(), trade.clone())),
            Event::Subscribed { request_id, .. } => heard.others.push(format!("on {request_id:?}")),
            Event::Rejected { request_id, error, .. } => heard.others.push(format!("no {request_id:?} {error}")),
            Event::Heartbeat { .. } => heard.heartbeats += 1,
            other => heard.others.push(format!("{other:?}")),
        })
        .await;
        heard
    }

    /// Reads until the clock shows `until`, or until the venue ends the connection.
    pub async fn listen(&mut self, until: DateTime<Utc>, mut hear: impl FnMut(&Event<'_>)) {
        let every = self.dialect.capabilities().connection.ping_every.filter(|_| self.pings);
        while self.is_open && self.clock.now() < until {
            let pause = every.and_then(|every| TimeDelta::from_std(every).ok());
            let wake = pause.map_or(until, |pause| until.min(self.clock.now() + pause));
            self.read(wake, &mut hear).await;
            let is_due = self.is_open && wake < until;
            if let Some(ping) = every.and_then(|_| self.dialect.encode_ping(0)).filter(|_| is_due) {
                self.send(&ping).await;
            }
        }
    }

    async fn read(&mut self, until: DateTime<Utc>, hear: &mut impl FnMut(&Event<'_>)) {
        while self.is_open {
            let frame = tokio::select! {
                biased;
                frame = self.socket.frames.next() => frame,
                () = self.clock.sleep_until(until) => return,
            };
            match frame {
                Some(Ok(Frame::Text(text))) => {
                    self.dialect.decode_frame(&mut self.dialogue, &text, &mut |event| hear(&event));
                }
                Some(Ok(Frame::Ping | Frame::Pong)) => {}
                _ => self.is_open = false,
            }
        }
    }
}
