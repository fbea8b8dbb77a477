//! The WebSocket: `candle` and `trades`, acks without numbers, pongs.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use super::super::desk::{Desk, Manner, News};
use super::super::http::quoted;
use super::super::listing::Venue;
use super::super::market::{Bucket, Market};
use super::super::socket::{Outbox, Session};
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::{bar_object, frame, trade_array};

/// A connection on which the server has said nothing for so long is closed.
const SILENCE_NS: i64 = 60 * SECOND_NS;
const MESSAGES_PER_MINUTE: usize = 2_000;
const MOST_SUBSCRIPTIONS: usize = 1_000;
/// Trades that are repeated after an ack, without a word that they are old.
const REPEATED_TRADES: usize = 30;

/// Bars are told with every trade and have no closing frame.
const MANNER: Manner = Manner { beat_ns: None, closes: false };

pub(crate) struct HyperliquidSession {
    world: Arc<World>,
    opened_ns: i64,
    /// By coin and interval; trades have none.
    desk: Desk<(String, Option<String>)>,
    messages: VecDeque<i64>,
}

/// What a client wants, or wants no more.
struct Topic {
    coin: String,
    interval: Option<String>,
}

impl Topic {
    fn read(value: &Value) -> Option<Topic> {
        let coin = value["coin"].as_str()?.to_owned();
        match value["type"].as_str()? {
            "trades" => Some(Topic { coin, interval: None }),
            "candle" => {
                let interval = value["interval"].as_str().filter(|interval| frame(interval).is_some())?;
                Some(Topic { coin, interval: Some(interval.to_owned()) })
            }
            _ => None,
        }
    }

    fn text(&self) -> String {
        let coin = quoted(&self.coin);
        match &self.interval {
            Some(interval) => format!(r#"{{"type":"candle","coin":{coin},"interval":"{interval}"}}"#),
            None => format!(r#"{{"type":"trades","coin":{coin}}}"#),
        }
    }
}

fn failure(words: &str) -> String {
    format!(r#"{{"channel":"error","data":{}}}"#, quoted(words))
}

impl HyperliquidSession {
    pub(crate) fn new(world: Arc<World>) -> HyperliquidSession {
        let opened_ns = world.now_ns(Venue::HYPERLIQUID);
        HyperliquidSession { world, opened_ns, desk: Desk::new(), messages: VecDeque::new() }
    }

    fn exceeds_rate(&mut self, now_ns: i64) -> bool {
        while self.messages.front().is_some_and(|at| *at <= now_ns - 60 * SECOND_NS) {
            self.messages.pop_front();
        }
        self.messages.push_back(now_ns);
        self.world.enforce_limits && self.messages.len() > MESSAGES_PER_MINUTE
    }

    fn subscribe(&mut self, topic: Topic, now_ns: i64, out: &mut Outbox) {
        let text = topic.text();
        let found = self.world.market(Venue::HYPERLIQUID, &topic.coin);
        let Some(market) = found.filter(|market| market.listing.id == topic.coin).cloned() else {
            // The whole connection goes, without a close frame.
            return out.abort();
        };
        let key = (topic.coin, topic.interval);
        if self.desk.holds(&key) {
            return out.control(failure(&format!("Already subscribed: {text}")));
        }
        if self.desk.len() >= MOST_SUBSCRIPTIONS {
            return out.control(failure(&format!("Cannot subscribe to more than {MOST_SUBSCRIPTIONS} channels")));
        }
        out.control(answer("subscribe", &text));
        let name = &market.listing.symbol;
        match key.1.as_deref().and_then(|interval| Some((interval, frame(interval)?))) {
            Some((interval, frame)) => {
                let open = frame.open(now_ns.div_euclid(SECOND_NS));
                let next = frame.next(open);
                if let Some(bar) = market.bar(open, next, now_ns + 1) {
                    let bucket = Bucket { open, next, close: next, bar };
                    out.data(name, candle_frame(&market, interval, &bucket));
                }
                self.desk.add_candles(key, market, frame, MANNER, now_ns);
            }
            None => {
                let count = market.count_before(now_ns + 1);
                let ticks = market.page(count.saturating_sub(REPEATED_TRADES as u64), REPEATED_TRADES, now_ns + 1);
                out.data(name, format!(r#"{{"channel":"trades","data":{}}}"#, trade_array(&market, ticks.iter())));
                self.desk.add_trades(key, market, now_ns);
            }
        }
    }

    fn unsubscribe(&mut self, topic: Topic, out: &mut Outbox) {
        let text = topic.text();
        out.control(if self.desk.remove(&(topic.coin, topic.interval)) {
            answer("unsubscribe", &text)
        } else {
            failure(&format!("Already unsubscribed: {text}"))
        });
    }
}

fn answer(method: &str, topic: &str) -> String {
    format!(r#"{{"channel":"subscriptionResponse","data":{{"method":"{method}","subscription":{topic}}}}}"#)
}

fn candle_frame(market: &Market, interval: &str, bucket: &Bucket) -> String {
    format!(r#"{{"channel":"candle","data":{}}}"#, bar_object(market, interval, bucket))
}

impl Session for HyperliquidSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        if self.exceeds_rate(now_ns) {
            return out.abort();
        }
        let request: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let topic = Topic::read(&request["subscription"]);
        match (request["method"].as_str(), topic) {
            (Some("ping"), _) => out.control(r#"{"channel":"pong"}"#.into()),
            (Some("subscribe"), Some(topic)) => self.subscribe(topic, now_ns, out),
            (Some("unsubscribe"), Some(topic)) => self.unsubscribe(topic, out),
            _ => out.control(failure(&format!("Error parsing JSON into valid websocket request: {text}"))),
        }
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        self.desk.tell(&self.world, now_ns, |(_, interval), market, news| match news {
            // Trades of one block share a frame.
            News::Trades(ticks) => ticks.chunk_by(|a, b| a.time_ns / 1_000 == b.time_ns / 1_000).for_each(|together| {
                let trades = trade_array(market, together.iter());
                out.data(&market.listing.symbol, format!(r#"{{"channel":"trades","data":{trades}}}"#));
            }),
            News::Candle { bucket, .. } => {
                let interval = interval.as_deref().unwrap_or_default();
                out.data(&market.listing.symbol, candle_frame(market, interval, &bucket));
            }
        });
        if out.is_empty() && self.opened_ns.max(out.last_sent_ns) + SILENCE_NS <= now_ns {
            out.close(1000, "Inactive");
        }
    }

    fn due(&self, out: &Outbox) -> Option<i64> {
        let silence = self.opened_ns.max(out.last_sent_ns) + SILENCE_NS;
        Some(self.desk.due_ns().map_or(silence, |data| data.min(silence)))
    }
}
