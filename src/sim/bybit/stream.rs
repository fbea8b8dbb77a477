//! Bybit's public streams: `kline.<interval>.<symbol>` and `publicTrade.<symbol>` of one category.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::super::desk::{Desk, Manner, News};
use super::super::dice::mix;
use super::super::http::{joined, quoted};
use super::super::listing::Venue;
use super::super::market::{Bucket, Market};
use super::super::socket::{Outbox, Session};
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::rest::{sequence, side};
use super::{Category, frame_of_interval, name, price};

const MILLISECOND_NS: i64 = 1_000_000;
/// A connection on which nothing is said for so long is cut.
const PATIENCE_NS: i64 = 600 * SECOND_NS;
const MOST_SPOT_ARGS: usize = 10;
/// Length of all topics of a connection.
const MOST_CHARACTERS: usize = 21_000;
const TRADES_PER_FRAME: usize = 1_024;

/// What changed is pushed every second, and each bucket once more when it is closed.
const MANNER: Manner = Manner { beat_ns: Some(SECOND_NS), closes: true };

pub(crate) struct BybitSession {
    world: Arc<World>,
    category: Category,
    conn_id: String,
    last_heard_ns: i64,
    has_ended: bool,
    /// By topic.
    desk: Desk<String>,
}

impl BybitSession {
    pub(crate) fn new(world: Arc<World>, category: Category) -> BybitSession {
        let now_ns = world.now_ns(Venue::BYBIT);
        let dice = mix(now_ns as u64);
        let conn_id = format!("{:08x}-6a0b-4a10-9f0e-{:012x}", dice >> 32, dice & 0xffff_ffff_ffff);
        BybitSession { world, category, conn_id, last_heard_ns: now_ns, has_ended: false, desk: Desk::new() }
    }

    fn answer(&self, op: &str, success: bool, words: &str, req_id: &str) -> String {
        let (conn_id, req_id) = (&self.conn_id, quoted(req_id));
        let words = quoted(words);
        format!(
            r#"{{"success":{success},"ret_msg":{words},"conn_id":"{conn_id}","req_id":{req_id},"op":{}}}"#,
            quoted(op)
        )
    }

    fn answer_to_ping(&self, req_id: &str) -> String {
        let req_id = match self.category {
            Category::Spot => String::new(),
            _ => format!(r#""req_id":{},"#, quoted(req_id)),
        };
        format!(r#"{{"success":true,"ret_msg":"pong","conn_id":"{}",{req_id}"op":"ping"}}"#, self.conn_id)
    }

    /// Adds a topic to those that are told.
    fn subscribe(&mut self, topic: &str, now_ns: i64) {
        let key = topic.to_owned();
        if self.desk.holds(&key) {
            return;
        }
        match self.read(topic) {
            Some(Topic::Trades(market)) => self.desk.add_trades(key, market, now_ns),
            Some(Topic::Candles(market, frame)) => self.desk.add_candles(key, market, frame, MANNER, now_ns),
            None => {}
        }
    }

    fn read(&self, topic: &str) -> Option<Topic> {
        let find = |name: &str| self.category.find(&self.world, name).cloned();
        if let Some(name) = topic.strip_prefix("publicTrade.") {
            return find(name).map(Topic::Trades);
        }
        let (interval, name) = topic.strip_prefix("kline.")?.split_once('.')?;
        Some(Topic::Candles(find(name)?, frame_of_interval(interval)?))
    }

    /// Why a request is refused: one bad topic is enough.
    fn fault(&self, topics: &[&str]) -> Option<String> {
        if self.category == Category::Spot && topics.len() > MOST_SPOT_ARGS {
            return Some("args size >10".to_owned());
        }
        let length = self.desk.keys().map(String::len).chain(topics.iter().map(|topic| topic.len())).sum::<usize>();
        if length > MOST_CHARACTERS {
            return Some("args length exceeds 21000".to_owned());
        }
        let is_known = |topic: &str| topic.starts_with("kline.") || topic.starts_with("publicTrade.");
        let bad = topics.iter().find(|topic| self.read(topic).is_none())?;
        Some(match is_known(bad) {
            true => format!("Invalid symbol :[{bad}]"),
            false => format!("error:handler not found,topic:{bad}"),
        })
    }
}

enum Topic {
    Trades(Arc<Market>),
    Candles(Arc<Market>, super::Frame),
}

impl Session for BybitSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        self.last_heard_ns = now_ns;
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return out.control(self.answer("", false, "error:request is not a valid json", ""));
        };
        // Numbers are taken too, and come back as texts.
        let req_id = match &request["req_id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => String::new(),
        };
        let req_id = req_id.as_str();
        let topics: Vec<&str> = request["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        // The spot market repeats the operation, the others say nothing.
        let is_spot = self.category == Category::Spot;
        let words = |op: &'static str| if is_spot { op } else { "" };
        let answer = match request["op"].as_str() {
            Some("ping") => self.answer_to_ping(req_id),
            Some("subscribe") => match self.fault(&topics) {
                Some(fault) => self.answer("subscribe", false, &fault, req_id),
                None => {
                    topics.iter().for_each(|topic| self.subscribe(topic, now_ns));
                    self.answer("subscribe", true, words("subscribe"), req_id)
                }
            },
            Some("unsubscribe") => {
                for topic in &topics {
                    self.desk.remove(&(*topic).to_owned());
                }
                self.answer("unsubscribe", true, words("unsubscribe"), req_id)
            }
            op => self.answer(op.unwrap_or_default(), false, "error:unknown op", req_id),
        };
        out.control(answer);
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        if self.has_ended {
            return;
        }
        let category = self.category;
        self.desk.tell(&self.world, now_ns, |topic, market, news| match news {
            News::Trades(ticks) => ticks
                .chunks(TRADES_PER_FRAME)
                .for_each(|part| out.data(&market.listing.symbol, trade_frame(category, topic, market, part))),
            News::Candle { bucket, is_closed, at_ns } => {
                let frame = kline_frame(category, topic, market, &bucket, is_closed, at_ns);
                out.data(&market.listing.symbol, frame);
            }
        });
        if self.last_heard_ns.max(out.last_sent_ns) + PATIENCE_NS <= now_ns && out.is_empty() {
            self.has_ended = true;
            out.close(1000, "idle");
        }
    }

    fn due(&self, out: &Outbox) -> Option<i64> {
        let patience = self.last_heard_ns.max(out.last_sent_ns) + PATIENCE_NS;
        Some(self.desk.due_ns().map_or(patience, |due| due.min(patience)))
    }
}

fn kline_frame(
    category: Category,
    topic: &str,
    market: &Market,
    bucket: &Bucket,
    is_closed: bool,
    at_ns: i64,
) -> String {
    let bar = &bucket.bar;
    let interval = topic.split('.').nth(1).unwrap_or_default();
    let (volume, turnover) = category.sums(market, bar);
    let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|value| price(market, value));
    let (start, end, now) = (bucket.open * 1_000, bucket.next * 1_000 - 1, at_ns / MILLISECOND_NS);
    format!(
        r#"{{"topic":"{topic}","data":[{{"start":{start},"end":{end},"interval":"{interval}","open":"{open}","close":"{close}","high":"{high}","low":"{low}","volume":"{volume}","turnover":"{turnover}","confirm":{is_closed},"timestamp":{now}}}],"ts":{now},"type":"snapshot"}}"#
    )
}

fn trade_frame(category: Category, topic: &str, market: &Market, ticks: &[Tick]) -> String {
    let sent = ticks.last().map_or(0, |tick| tick.time_ns / MILLISECOND_NS + 4);
    let data = joined(ticks, |out, tick| {
        // Contracts tell the direction of the price too.
        let direction = if category == Category::Spot { "" } else { r#""L":"ZeroPlusTick","# };
        let _ = write!(
            out,
            r#"{{"T":{},"s":"{}","S":"{}","v":"{}","p":"{}",{direction}"i":"{}","BT":false,"RPI":false,"seq":{}}}"#,
            tick.time_ns / MILLISECOND_NS,
            name(market),
            side(tick.taker_buys),
            category.size(market, tick),
            price(market, tick.price),
            category.trade_id(tick),
            sequence(tick.id),
        );
    });
    format!(r#"{{"topic":"{topic}","type":"snapshot","ts":{sent},"data":[{data}]}}"#)
}
