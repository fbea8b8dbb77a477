//! BitMEX's realtime socket: topics of tables, an ack for each, a snapshot, then inserts.

use std::sync::Arc;

use serde_json::Value;

use super::super::calendar::{Frame, MINUTE};
use super::super::desk::{Desk, Manner, News};
use super::super::http::{joined, quoted, rfc3339};
use super::super::listing::Venue;
use super::super::market::{Bucket, Market};
use super::super::socket::{Outbox, Session};
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::rest::find;
use super::{length_of_bin, print};

/// Connections an address may still open, as the greeting says.
const CONNECTS_LEFT: u32 = 59;
/// Bins are told when they are closed; what happens between is looked at now and then only.
const MANNER: Manner = Manner { beat_ns: Some(MINUTE * SECOND_NS), closes: true };

/// Table and market.
type Topic = (String, String);

/// What a table holds.
#[derive(Clone, Copy)]
enum Table {
    Trades,
    Bins(Frame),
}

fn table_of(name: &str) -> Option<Table> {
    match name.strip_prefix("tradeBin") {
        Some(bin) => length_of_bin(bin).map(|length| Table::Bins(Frame::every(length))),
        None => (name == "trade").then_some(Table::Trades),
    }
}

const TRADE_TYPES: &str = r#"{"timestamp":"timestamp","symbol":"symbol","side":"symbol","size":"long","price":"float","tickDirection":"symbol","trdMatchID":"guid","grossValue":"long","homeNotional":"float","foreignNotional":"float","trdType":"symbol"}"#;
const BIN_TYPES: &str = r#"{"timestamp":"timestamp","symbol":"symbol","open":"float","high":"float","low":"float","close":"float","trades":"long","volume":"long","vwap":"float","lastSize":"long","turnover":"long","homeNotional":"float","foreignNotional":"float"}"#;

pub(crate) struct BitmexSession {
    world: Arc<World>,
    desk: Desk<Topic>,
    is_greeted: bool,
}

impl BitmexSession {
    pub(crate) fn new(world: Arc<World>) -> BitmexSession {
        BitmexSession { world, desk: Desk::new(), is_greeted: false }
    }

    fn subscribe(&mut self, topic: &str, request: &str, now_ns: i64, out: &mut Outbox) {
        let (name, id) = topic.split_once(':').unwrap_or((topic, ""));
        let Some(table) = table_of(name) else {
            return out.control(failure(&format!("Unknown table: {name}"), request));
        };
        let markets: Vec<Arc<Market>> = match id {
            "" => self.world.listed(Venue::BITMEX).cloned().collect(),
            id => find(&self.world, id).cloned().into_iter().collect(),
        };
        if markets.is_empty() {
            return out.control(failure("Unknown or expired symbol.", request));
        }
        let key = |market: &Market| (name.to_owned(), market.listing.id.clone());
        if markets.iter().all(|market| self.desk.holds(&key(market))) {
            return out.control(failure(&format!("You are already subscribed to this topic: {topic}"), request));
        }
        out.control(format!(r#"{{"success":true,"subscribe":{},"request":{request}}}"#, quoted(topic)));
        for market in markets {
            let key = key(&market);
            if self.desk.holds(&key) {
                continue;
            }
            self.snapshot(name, table, &market, now_ns, out);
            match table {
                Table::Trades => self.desk.add_trades(key, market, now_ns),
                Table::Bins(frame) => self.desk.add_candles(key, market, frame, MANNER, now_ns),
            }
        }
    }

    /// The newest trade, or the newest closed bin.
    fn snapshot(&self, name: &str, table: Table, market: &Arc<Market>, now_ns: i64, out: &mut Outbox) {
        let (types, row) = match table {
            Table::Trades => {
                let newest = market.count_before(now_ns + 1).checked_sub(1);
                let tick = newest.and_then(|position| market.tick_at(position, now_ns + 1));
                (TRADE_TYPES, tick.map(|tick| print::trade(market, &tick)))
            }
            Table::Bins(frame) => (BIN_TYPES, self.last_closed(market, frame, now_ns)),
        };
        let id = quoted(&market.listing.id);
        let text = format!(
            r#"{{"table":{},"action":"partial","keys":[],"types":{types},"filter":{{"symbol":{id}}},"attributes":{{"timestamp":"sorted","symbol":"grouped"}},"data":[{}]}}"#,
            quoted(name),
            row.unwrap_or_default(),
        );
        out.data(&market.listing.symbol, text);
    }

    fn last_closed(&self, market: &Market, frame: Frame, now_ns: i64) -> Option<String> {
        let running = frame.open(now_ns.div_euclid(SECOND_NS));
        let bucket: Bucket = market.bucket(frame, frame.open(running - 1), now_ns)?;
        self.world.shown(market, bucket, false).map(|bucket| print::bin(market, &bucket))
    }

    fn unsubscribe(&mut self, topic: &str, request: &str, out: &mut Outbox) {
        let (name, id) = topic.split_once(':').unwrap_or((topic, ""));
        let id = id.to_ascii_uppercase();
        let keys: Vec<Topic> =
            self.desk.keys().filter(|(table, of)| table == name && (id.is_empty() || *of == id)).cloned().collect();
        if keys.is_empty() {
            return out.control(failure(&format!("Not subscribed: {topic}"), request));
        }
        for key in &keys {
            self.desk.remove(key);
        }
        out.control(format!(r#"{{"success":true,"unsubscribe":{},"request":{request}}}"#, quoted(topic)));
    }
}

fn failure(words: &str, request: &str) -> String {
    format!(r#"{{"status":400,"error":{},"meta":{{}},"request":{request}}}"#, quoted(words))
}

fn insert(table: &str, rows: &str) -> String {
    format!(r#"{{"table":{},"action":"insert","data":[{rows}]}}"#, quoted(table))
}

impl Session for BitmexSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        if text == "ping" {
            return out.control("pong".to_owned());
        }
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return out.control(failure("Unrecognized request. Expected JSON.", &quoted(text)));
        };
        let topics: Vec<String> = match &request["args"] {
            Value::String(topic) => vec![topic.clone()],
            Value::Array(topics) => topics.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        // Answers repeat what they answer.
        let echo = request.to_string();
        match request["op"].as_str() {
            Some("subscribe") => topics.iter().for_each(|topic| self.subscribe(topic, &echo, now_ns, out)),
            Some("unsubscribe") => topics.iter().for_each(|topic| self.unsubscribe(topic, &echo, out)),
            _ => out.control(failure("Unrecognized operation.", &echo)),
        }
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        if !std::mem::replace(&mut self.is_greeted, true) {
            out.control(format!(
                r#"{{"info":"Welcome to the BitMEX Realtime API.","version":"2026-07-01T09:00:00.000Z","timestamp":"{}","docs":"https://www.bitmex.com/app/wsAPI","limit":{{"remaining":{CONNECTS_LEFT}}}}}"#,
                rfc3339(now_ns, 3)
            ));
        }
        self.desk.tell(&self.world, now_ns, |(table, _), market, news| match news {
            News::Trades(ticks) => {
                let rows = joined(ticks, |out, tick| out.push_str(&print::trade(market, tick)));
                out.data(&market.listing.symbol, insert(table, &rows));
            }
            News::Candle { bucket, is_closed: true, .. } => {
                out.data(&market.listing.symbol, insert(table, &print::bin(market, &bucket)));
            }
            News::Candle { .. } => {}
        });
    }

    fn due(&self, _: &Outbox) -> Option<i64> {
        // The greeting is said at once.
        if self.is_greeted { self.desk.due_ns() } else { Some(0) }
    }
}
