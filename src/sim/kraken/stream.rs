//! Kraken's WebSocket v2: `ohlc` and `trade`, status, acks, heartbeats.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::super::bar::Bar;
use super::super::calendar::Frame;
use super::super::decimal::{AMOUNT_DECIMALS, Trimmed, fixed, quotient};
use super::super::fault::FaultKind;
use super::super::feed::Feed;
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

/// One channel of one market.
struct Subscription {
    feed: Feed,
    channel: Channel,
}

enum Channel {
    Ohlc { minutes: i64, frame: Frame, open: i64, bar: Option<Bar> },
    Trade,
}

pub(crate) struct KrakenSession {
    world: Arc<World>,
    opened_ns: i64,
    /// What the last status frame said; `None` before the greeting.
    said_online: Option<bool>,
    /// By channel name and symbol: one ohlc interval per symbol.
    ids: BTreeMap<(&'static str, String), u64>,
    subscriptions: BTreeMap<u64, Subscription>,
    next_id: u64,
    schedule: BinaryHeap<Reverse<(i64, u64)>>,
    messages: VecDeque<i64>,
}

impl KrakenSession {
    pub(crate) fn new(world: Arc<World>) -> KrakenSession {
        let opened_ns = world.now_ns(Venue::Kraken);
        KrakenSession {
            world,
            opened_ns,
            said_online: None,
            ids: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            next_id: 0,
            schedule: BinaryHeap::new(),
            messages: VecDeque::new(),
        }
    }

    fn is_online(&self) -> bool {
        let pick = |kind: &FaultKind| (*kind == FaultKind::Maintenance).then_some(());
        self.world.faults.holds(Venue::Kraken, None, self.world.clock_ns(), pick).is_none()
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
        let market = self.world.market(Venue::Kraken, symbol).filter(|market| market.listing.symbol.as_str() == symbol);
        let Some(market) = market.cloned() else {
            return refuse(&format!("Currency pair not supported {symbol}"), out);
        };
        let key = (request.channel, symbol.to_owned());
        if let Some(id) = self.ids.get(&key) {
            let same = match &self.subscriptions[id].channel {
                Channel::Ohlc { minutes, .. } => *minutes == request.interval,
                Channel::Trade => true,
            };
            let error =
                if same { "Already subscribed" } else { "Already subscribed to one ohlc interval on this symbol" };
            return refuse(error, out);
        }
        let snapshot = request.snapshot.unwrap_or(request.channel == "ohlc");
        out.control(request.success(symbol, snapshot, now_ns));
        let channel = if request.channel == "ohlc" {
            let Some(frame) = frame_of_interval(request.interval) else { return };
            if snapshot {
                let candles = recent_candles(&market, frame, now_ns);
                if !candles.is_empty() {
                    out.data(
                        &market.listing.symbol,
                        ohlc_frame(&market, "snapshot", request.interval, now_ns, &candles),
                    );
                }
            }
            let open = frame.open(now_ns.div_euclid(SECOND_NS));
            Channel::Ohlc {
                minutes: request.interval,
                frame,
                open,
                bar: market.bar(open, frame.next(open), now_ns + 1),
            }
        } else {
            if snapshot {
                let count = market.count_before(now_ns + 1);
                let ticks = market.page(count.saturating_sub(SNAPSHOT_TRADES), SNAPSHOT_TRADES as usize, now_ns + 1);
                out.data(&market.listing.symbol, trade_frame(&market, "snapshot", &ticks));
            }
            Channel::Trade
        };
        let feed = Feed::after(market, now_ns);
        let id = self.next_id;
        self.next_id += 1;
        self.schedule.push(Reverse((feed.next_ns(), id)));
        self.ids.insert(key, id);
        self.subscriptions.insert(id, Subscription { feed, channel });
    }

    fn unsubscribe(&mut self, request: &Request<'_>, symbol: &str, now_ns: i64, out: &mut Outbox) {
        match self.ids.remove(&(request.channel, symbol.to_owned())) {
            Some(id) => {
                self.subscriptions.remove(&id);
                out.control(request.success(symbol, request.snapshot.unwrap_or(true), now_ns));
            }
            None => out.control(request.failure("Subscription Not Found", Some(symbol), now_ns)),
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
        while let Some(&Reverse((at, id))) = self.schedule.peek() {
            if at > now_ns {
                break;
            }
            self.schedule.pop();
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            let is_listed = self.world.is_listed(&subscription.feed.market);
            subscription.catch_up(now_ns, |symbol, frame| {
                if is_listed {
                    out.data(symbol, frame);
                }
            });
            self.schedule.push(Reverse((subscription.feed.next_ns(), id)));
        }
        if self.subscriptions.is_empty() {
            if now_ns - self.opened_ns >= PATIENCE_NS && out.last_sent_ns + PATIENCE_NS <= now_ns {
                out.close(1000, "no subscriptions");
            }
        } else if out.is_empty() && out.last_sent_ns + HEARTBEAT_NS <= now_ns {
            out.control(r#"{"channel":"heartbeat"}"#.into());
        }
    }

    fn due(&self, out: &Outbox) -> Option<i64> {
        let silence = if self.subscriptions.is_empty() {
            (self.opened_ns.max(out.last_sent_ns)) + PATIENCE_NS
        } else {
            out.last_sent_ns + HEARTBEAT_NS
        };
        let data = self.schedule.peek().map(|Reverse((at, _))| *at);
        Some(data.map_or(silence, |data| data.min(silence)))
    }
}

impl Subscription {
    /// Says everything that happened up to `now_ns`.
    fn catch_up(&mut self, now_ns: i64, mut say: impl FnMut(&crate::market::Symbol, String)) {
        let market = self.feed.market.clone();
        let symbol = &market.listing.symbol;
        match &mut self.channel {
            Channel::Trade => {
                let mut together: Vec<Tick> = Vec::new();
                while let Some(tick) = self.feed.take(now_ns) {
                    // One taker order's trades share a frame.
                    if together.last().is_some_and(|last| last.time_ns / 1_000 != tick.time_ns / 1_000) {
                        say(symbol, trade_frame(&market, "update", &together));
                        together.clear();
                    }
                    together.push(tick);
                }
                if !together.is_empty() {
                    say(symbol, trade_frame(&market, "update", &together));
                }
            }
            Channel::Ohlc { minutes, frame, open, bar } => {
                let mut changed_at = None;
                while let Some(tick) = self.feed.take(now_ns) {
                    let bucket = frame.open(tick.time_ns.div_euclid(SECOND_NS));
                    if bucket != *open {
                        if let (Some(at), Some(bar)) = (changed_at, *bar) {
                            say(symbol, ohlc_frame(&market, "update", *minutes, at, &[(*open, bar)]));
                        }
                        (*open, *bar) = (bucket, None);
                    }
                    *bar = Some(Bar::extended(*bar, &tick));
                    changed_at = Some(tick.time_ns);
                }
                if let (Some(at), Some(bar)) = (changed_at, *bar) {
                    say(symbol, ohlc_frame(&market, "update", *minutes, at, &[(*open, bar)]));
                }
            }
        }
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
