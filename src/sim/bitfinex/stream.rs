//! Bitfinex's WebSocket v2: numbered channels, `te` and `tu`, heartbeats, numbered frames on request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::super::desk::{Desk, Manner, News};
use super::super::fault::FaultKind;
use super::super::http::quoted;
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::socket::{Outbox, Session};
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::rest::{market, newest};
use super::{candle_row, frame, rows, trade_row};

const MILLISECOND_NS: i64 = 1_000_000;
/// A channel without data says so.
const HEARTBEAT_NS: i64 = 15 * SECOND_NS;
/// How long after `te` the same trade is told as `tu`.
const UPDATE_NS: i64 = 1_200 * MILLISECOND_NS;
const MOST_CHANNELS: usize = 25;
const SNAPSHOT_CANDLES: usize = 240;
const SNAPSHOT_TRADES: usize = 30;
/// Flags of `conf`.
const STAMPED: u64 = 32_768;
const NUMBERED: u64 = 65_536;

/// What changed in a bar is told once a second, and never that it is closed.
const MANNER: Manner = Manner { beat_ns: Some(SECOND_NS), closes: false };

/// What a channel carries, by the words that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    /// Key.
    Candles(String),
    /// Symbol.
    Trades(String),
}

impl Topic {
    /// The words that acks and errors repeat.
    fn words(&self) -> String {
        match self {
            Topic::Candles(key) => format!(r#""channel":"candles","key":{}"#, quoted(key)),
            Topic::Trades(symbol) => format!(r#""channel":"trades","symbol":{}"#, quoted(symbol)),
        }
    }
}

/// An open channel.
struct Open {
    number: u64,
    /// When it said something last.
    said_ns: i64,
}

pub(crate) struct BitfinexSession {
    world: Arc<World>,
    /// What the last notice said; `None` before the greeting.
    said_up: Option<bool>,
    desk: Desk<Topic>,
    open: BTreeMap<Topic, Open>,
    next_number: u64,
    /// `tu` frames and their times.
    updates: VecDeque<(i64, Topic, Arc<Market>, String)>,
    flags: u64,
    sequence: u64,
}

fn failure(code: u32, message: &str, words: &str) -> String {
    let comma = if words.is_empty() { "" } else { "," };
    format!(r#"{{"event":"error","msg":{},"code":{code}{comma}{words}}}"#, quoted(message))
}

impl BitfinexSession {
    pub(crate) fn new(world: Arc<World>) -> BitfinexSession {
        // New numbers on each connection.
        let next_number = 1_000 + (world.now_ns(Venue::BITFINEX) / MILLISECOND_NS) as u64 % 400_000;
        BitfinexSession {
            world,
            said_up: None,
            desk: Desk::new(),
            open: BTreeMap::new(),
            next_number,
            updates: VecDeque::new(),
            flags: 0,
            sequence: 0,
        }
    }

    fn subscribe(&mut self, request: &Value, now_ns: i64, out: &mut Outbox) {
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let topic = match request["channel"].as_str() {
            Some("candles") => Topic::Candles(text("key")),
            Some("trades") => Topic::Trades(text("symbol")),
            other => {
                let words = format!(r#""channel":{}"#, quoted(other.unwrap_or_default()));
                return out.control(failure(10_302, "channel: unknown", &words));
            }
        };
        let refuse = |code, message: &str, out: &mut Outbox| out.control(failure(code, message, &topic.words()));
        let asked = match &topic {
            Topic::Candles(key) => key.strip_prefix("trade:").and_then(|key| {
                let (interval, symbol) = key.split_once(':')?;
                Some((Some(frame(interval)?), symbol))
            }),
            Topic::Trades(symbol) => Some((None, symbol.as_str())),
        };
        let Some((frame, symbol)) = asked else { return refuse(10_300, "key: invalid", out) };
        let Some(market) = market(&self.world, symbol).cloned() else {
            return refuse(10_300, "symbol: invalid", out);
        };
        if self.open.contains_key(&topic) {
            return refuse(10_301, "subscribe: dup", out);
        }
        if self.world.enforce_limits && self.open.len() >= MOST_CHANNELS {
            return refuse(10_305, "subscribe: limit", out);
        }
        let number = self.next_number;
        self.next_number += 7;
        let pair = if frame.is_none() { format!(r#","pair":{}"#, quoted(&symbol[1..])) } else { String::new() };
        let words = topic.words();
        let words = words.replacen(r#","#, &format!(r#","chanId":{number},"#), 1);
        out.control(format!(r#"{{"event":"subscribed",{words}{pair}}}"#));
        self.open.insert(topic.clone(), Open { number, said_ns: now_ns });
        let name = market.listing.symbol.clone();
        match frame {
            Some(frame) => {
                let found = newest(&self.world, &market, frame, SNAPSHOT_CANDLES);
                let found = rows(&found, |bucket| candle_row(&market, bucket));
                out.data(&name, format!("[{number},{found}]"));
                self.desk.add_candles(topic, market, frame, MANNER, now_ns);
            }
            None => {
                let count = market.count_before(now_ns + 1);
                let ticks = market.page(count.saturating_sub(SNAPSHOT_TRADES as u64), SNAPSHOT_TRADES, now_ns + 1);
                let ticks = rows(ticks.iter().rev(), |tick| trade_row(&market, tick));
                out.data(&name, format!("[{number},{ticks}]"));
                self.desk.add_trades(topic, market, now_ns);
            }
        }
    }

    fn unsubscribe(&mut self, number: &Value, out: &mut Outbox) {
        let found = self.open.iter().find(|(_, open)| Some(open.number) == number.as_u64());
        let Some(topic) = found.map(|(topic, _)| topic.clone()) else {
            return out.control(failure(10_401, "not subscribed", &format!(r#""chanId":{number}"#)));
        };
        self.open.remove(&topic);
        self.desk.remove(&topic);
        self.updates.retain(|(_, of, _, _)| *of != topic);
        out.control(format!(r#"{{"event":"unsubscribed","status":"OK","chanId":{number}}}"#));
    }

    fn is_up(&self) -> bool {
        let pick = |kind: &FaultKind| (*kind == FaultKind::Maintenance).then_some(());
        self.world.faults.holds(Venue::BITFINEX, None, self.world.clock_ns(), pick).is_none()
    }

    /// The greeting, and changes of the venue's own state.
    fn announce(&mut self, out: &mut Outbox) {
        let is_up = self.is_up();
        let text = match self.said_up.replace(is_up) {
            Some(known) if known == is_up => return,
            None => {
                let status = u8::from(is_up);
                let server = "6d1f8a30-77f5-4c1e-8d52-9a2f40b1c001";
                format!(r#"{{"event":"info","version":2,"serverId":"{server}","platform":{{"status":{status}}}}}"#)
            }
            Some(_) if is_up => {
                r#"{"event":"info","code":20061,"msg":"Maintenance ended. You can resume normal activity."}"#.into()
            }
            Some(_) => r#"{"event":"info","code":20060,"msg":"Entering in Maintenance mode. Please pause any activity and resume after receiving the info message 20061"}"#.into(),
        };
        out.control(text);
    }
}

impl Session for BitfinexSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        let request: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        match request["event"].as_str() {
            Some("subscribe") => self.subscribe(&request, now_ns, out),
            Some("unsubscribe") => self.unsubscribe(&request["chanId"], out),
            Some("ping") => {
                let cid = request["cid"].as_i64().map_or(String::new(), |cid| format!(r#","cid":{cid}"#));
                out.control(format!(r#"{{"event":"pong","ts":{}{cid}}}"#, now_ns / MILLISECOND_NS));
            }
            Some("conf") => {
                self.flags = request["flags"].as_u64().unwrap_or(0);
                out.control(format!(r#"{{"event":"conf","status":"OK","flags":{}}}"#, self.flags));
            }
            _ => out.control(failure(10_000, "event: invalid", "")),
        }
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        self.announce(out);
        while self.updates.front().is_some_and(|(at_ns, ..)| *at_ns <= now_ns) {
            let Some((_, topic, market, text)) = self.updates.pop_front() else { break };
            out.data(&market.listing.symbol, text);
            if let Some(open) = self.open.get_mut(&topic) {
                open.said_ns = now_ns;
            }
        }
        let (open, updates, world) = (&mut self.open, &mut self.updates, &self.world);
        self.desk.tell(world, now_ns, |topic, market, news| {
            let Some(open) = open.get_mut(topic) else { return };
            let (number, symbol) = (open.number, &market.listing.symbol);
            open.said_ns = now_ns;
            match news {
                News::Trades(ticks) => ticks.iter().for_each(|tick| {
                    let row = trade_row(market, tick);
                    out.data(symbol, format!(r#"[{number},"te",{row}]"#));
                    let again = format!(r#"[{number},"tu",{row}]"#);
                    let known = world.any_market(Venue::BITFINEX, &market.listing.id).cloned();
                    updates.extend(known.map(|market| (tick.time_ns + UPDATE_NS, topic.clone(), market, again)));
                }),
                News::Candle { bucket, .. } => {
                    out.data(symbol, format!("[{number},{}]", candle_row(market, &bucket)));
                }
            }
        });
        for open in self.open.values_mut().filter(|open| open.said_ns + HEARTBEAT_NS <= now_ns) {
            open.said_ns = now_ns;
            out.control(format!(r#"[{},"hb"]"#, open.number));
        }
    }

    fn due(&self, _: &Outbox) -> Option<i64> {
        let beat = self.open.values().map(|open| open.said_ns + HEARTBEAT_NS).min();
        let update = self.updates.front().map(|(at_ns, ..)| *at_ns);
        [self.desk.due_ns(), beat, update].into_iter().flatten().min()
    }

    /// Arrays are numbered and stamped as they leave; objects are not.
    fn sealed(&mut self, text: String, now_ns: i64) -> String {
        let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else { return text };
        let mut tail = String::new();
        if self.flags & NUMBERED != 0 {
            self.sequence += 1;
            tail += &format!(",{}", self.sequence);
        }
        if self.flags & STAMPED != 0 {
            tail += &format!(",{}", now_ns / MILLISECOND_NS);
        }
        format!("[{inside}{tail}]")
    }
}
