//! Kraken's WebSocket v2: `ohlc` and `trade`, status, acks, heartbeats.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::super::bar::Bar;
use super::super::calendar::Frame;
use super::super::decimal::{AMOUNT_DECIMALS, Trimmed, fixed, quotient};
use super::super::desk::{Desk, Manner, News};
use super::super::fault::FaultKind;
use super::super::http::{joined, rfc3339};
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::socket::{Outbox, Session};
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::control::Request;
use super::frame_of_interval;

const HEARTBEAT_NS: i64 = SECOND_NS;
/// A connection without a subscription is closed after this.
const PATIENCE_NS: i64 = 60 * SECOND_NS;
/// Control frames a second; the venue names no number, clients stay at 20.
const MESSAGES_PER_SECOND: usize = 30;
const SNAPSHOT_CANDLES: usize = 10;
const SNAPSHOT_TRADES: u64 = 50;

/// Candles are told with every trade and have no closing frame.
const MANNER: Manner = Manner { beat_ns: None, closes: false };

pub(crate) struct KrakenSession {
    world: Arc<World>,
    opened_ns: i64,
    /// What the last status frame said; `None` before the greeting.
    said_online: Option<bool>,
    /// By channel name and symbol: one ohlc interval per symbol.
    desk: Desk<(&'static str, String)>,
    /// The interval of each symbol's candles, in minutes.
    intervals: BTreeMap<String, i64>,
    messages: VecDeque<i64>,
}

impl KrakenSession {
    pub(crate) fn new(world: Arc<World>) -> KrakenSession {
        let opened_ns = world.now_ns(Venue::KRAKEN);
        KrakenSession {
            world,
            opened_ns,
            said_online: None,
            desk: Desk::new(),
            intervals: BTreeMap::new(),
            messages: VecDeque::new(),
        }
    }

    fn is_online(&self) -> bool {
        let pick = |kind: &FaultKind| (*kind == FaultKind::Maintenance).then_some(());
        self.world.faults.holds(Venue::KRAKEN, None, self.world.clock_ns(), pick).is_none()
    }

    fn exceeds_rate(&mut self, now_ns: i64) -> bool {
        while self.messages.front().is_some_and(|at| *at <= now_ns - SECOND_NS) {
            self.messages.pop_front();
        }
        if self.world.enforce_limits && self.messages.len() >= MESSAGES_PER_SECOND {
            return true;
        }
        self.messages.push_back(now_ns);
        false
    }

    fn subscribe(&mut self, request: &Request<'_>, symbol: &str, now_ns: i64, out: &mut Outbox) {
        let refuse = |error: &str, out: &mut Outbox| out.control(request.failure(error, Some(symbol), now_ns));
        let market = self.world.market(Venue::KRAKEN, symbol).filter(|market| market.listing.symbol.as_str() == symbol);
        let Some(market) = market.cloned() else {
            return refuse(&format!("Currency pair not supported {symbol}"), out);
        };
        let key = (request.channel, symbol.to_owned());
        if self.desk.holds(&key) {
            let same = request.channel == "trade" || self.intervals.get(symbol) == Some(&request.interval);
            let error =
                if same { "Already subscribed" } else { "Already subscribed to one ohlc interval on this symbol" };
            return refuse(error, out);
        }
        let snapshot = request.snapshot.unwrap_or(request.channel == "ohlc");
        out.control(request.success(symbol, snapshot, now_ns));
        let name = &market.listing.symbol;
        if request.channel == "ohlc" {
            let Some(frame) = frame_of_interval(request.interval) else { return };
            let candles = if snapshot { recent_candles(&market, frame, now_ns) } else { Vec::new() };
            if !candles.is_empty() {
                out.data(name, ohlc_frame(&market, "snapshot", request.interval, now_ns, &candles));
            }
            self.intervals.insert(symbol.to_owned(), request.interval);
            self.desk.add_candles(key, market, frame, MANNER, now_ns);
        } else {
            if snapshot {
                let count = market.count_before(now_ns + 1);
                let ticks = market.page(count.saturating_sub(SNAPSHOT_TRADES), SNAPSHOT_TRADES as usize, now_ns + 1);
                out.data(name, trade_frame(&market, "snapshot", &ticks));
            }
            self.desk.add_trades(key, market, now_ns);
        }
    }

    fn unsubscribe(&mut self, request: &Request<'_>, symbol: &str, now_ns: i64, out: &mut Outbox) {
        if self.desk.remove(&(request.channel, symbol.to_owned())) {
            out.control(request.success(symbol, request.snapshot.unwrap_or(true), now_ns));
        } else {
            out.control(request.failure("Subscription Not Found", Some(symbol), now_ns));
        }
    }
}

impl Session for KrakenSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        if self.exceeds_rate(now_ns) {
            return out.control(r#"{"Error":"Exceeded msg rate"}"#.into());
        }
        let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let request = match Request::read(&value) {
            Ok(request) => request,
            Err(refusal) => return out.control(refusal.failure_text(now_ns)),
        };
        match request.method {
            "ping" => out.control(request.pong(now_ns)),
            "subscribe" => {
                for symbol in request.symbols.clone() {
                    self.subscribe(&request, symbol, now_ns, out);
                }
            }
            _ => {
                for symbol in request.symbols.clone() {
                    self.unsubscribe(&request, symbol, now_ns, out);
                }
            }
        }
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        let is_online = self.is_online();
        if self.said_online != Some(is_online) {
            self.said_online = Some(is_online);
            let system = if is_online { "online" } else { "maintenance" };
            // Beyond the range of a double, as the venue's are.
            let id = 7_112_053_349_812_234_411 + (self.opened_ns as u64 >> 20);
            out.control(format!(
                r#"{{"channel":"status","type":"update","data":[{{"version":"2.0.10","system":"{system}","api_version":"v2","connection_id":{id}}}]}}"#
            ));
        }
        let intervals = &self.intervals;
        self.desk.tell(&self.world, now_ns, |(_, symbol), market, news| match news {
            // One taker order's trades share a frame.
            News::Trades(ticks) => ticks
                .chunk_by(|a, b| a.time_ns / 1_000 == b.time_ns / 1_000)
                .for_each(|together| out.data(&market.listing.symbol, trade_frame(market, "update", together))),
            News::Candle { bucket, at_ns, .. } => {
                let minutes = intervals.get(symbol).copied().unwrap_or(1);
                let frame = ohlc_frame(market, "update", minutes, at_ns, &[(bucket.open, bucket.bar)]);
                out.data(&market.listing.symbol, frame);
            }
        });
        if self.desk.is_empty() {
            if now_ns - self.opened_ns >= PATIENCE_NS && out.last_sent_ns + PATIENCE_NS <= now_ns {
                out.close(1000, "no subscriptions");
            }
        } else if out.is_empty() && out.last_sent_ns + HEARTBEAT_NS <= now_ns {
            out.control(r#"{"channel":"heartbeat"}"#.into());
        }
    }

    fn due(&self, out: &Outbox) -> Option<i64> {
        let silence = if self.desk.is_empty() {
            (self.opened_ns.max(out.last_sent_ns)) + PATIENCE_NS
        } else {
            out.last_sent_ns + HEARTBEAT_NS
        };
        Some(self.desk.due_ns().map_or(silence, |data| data.min(silence)))
    }
}

/// The newest candles that hold trades, oldest first.
fn recent_candles(market: &Market, frame: Frame, now_ns: i64) -> Vec<(i64, Bar)> {
    let mut candles = Vec::new();
    let mut end_ns = now_ns + 1;
    while candles.len() < SNAPSHOT_CANDLES {
        let Some(position) = market.count_before(end_ns).checked_sub(1) else { break };
        let Some(tick) = market.tick_at(position, end_ns) else { break };
        let open = frame.open(tick.time_ns.div_euclid(SECOND_NS));
        let Some(bar) = market.bar(open, frame.next(open), now_ns + 1) else { break };
        candles.push((open, bar));
        end_ns = open * SECOND_NS;
    }
    candles.reverse();
    candles
}

fn ohlc_frame(market: &Market, kind: &str, minutes: i64, stamp_ns: i64, candles: &[(i64, Bar)]) -> String {
    let digits = market.price_scale;
    let data = joined(candles, |out, (open, bar)| {
        let price = |value: i64| fixed(value, digits, digits);
        let vwap = quotient(bar.quote, market.quote_scale(), bar.volume, AMOUNT_DECIMALS, digits + 1);
        let _ = write!(
            out,
            r#"{{"symbol":"{}","open":{},"high":{},"low":{},"close":{},"trades":{},"volume":{},"vwap":{},"interval_begin":"{}","interval":{minutes},"timestamp":"{}"}}"#,
            market.listing.symbol,
            price(bar.open),
            price(bar.high),
            price(bar.low),
            price(bar.close),
            bar.trades,
            Trimmed(fixed(bar.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS)),
            Trimmed(fixed(vwap, digits + 1, digits + 1)),
            rfc3339(open * SECOND_NS, 9),
            rfc3339((open + minutes * 60) * SECOND_NS, 6),
        );
    });
    format!(r#"{{"channel":"ohlc","type":"{kind}","timestamp":"{}","data":[{data}]}}"#, rfc3339(stamp_ns, 9))
}

fn trade_frame(market: &Market, kind: &str, ticks: &[Tick]) -> String {
    let data = joined(ticks, |out, tick| {
        let _ = write!(
            out,
            r#"{{"symbol":"{}","side":"{}","price":{},"qty":{},"ord_type":"{}","trade_id":{},"timestamp":"{}"}}"#,
            market.listing.symbol,
            if tick.taker_buys { "buy" } else { "sell" },
            fixed(tick.price, market.price_scale, market.price_scale),
            Trimmed(fixed(tick.amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS)),
            if tick.is_market_order { "market" } else { "limit" },
            tick.id,
            rfc3339(tick.time_ns, 6),
        );
    });
    format!(r#"{{"channel":"trade","type":"{kind}","data":[{data}]}}"#)
}
