//! Binance's streams: `kline_<interval>`, `aggTrade` and `trade`, raw and combined.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::market::Symbol;

use super::super::bar::Bar;
use super::super::calendar::Frame;
use super::super::decimal::{AMOUNT_DECIMALS, fixed};
use super::super::dice::Dice;
use super::super::feed::Feed;
use super::super::http::quoted;
use super::super::listing::Venue;
use super::super::market::{Bucket, Market};
use super::super::socket::{Outbox, Session};
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::rest::{agg_fields, merged};

const MILLISECOND_NS: i64 = 1_000_000;
const PING_EVERY_NS: i64 = 20 * SECOND_NS;
/// A ping must be answered within a minute; at high speeds at least within ten real seconds.
const PONG_WITHIN_NS: i64 = 60 * SECOND_NS;
const LIFETIME_NS: i64 = 24 * 3_600 * SECOND_NS;
/// `serverShutdown` comes this long before the end.
const FAREWELL_NS: i64 = 10 * SECOND_NS;
const MESSAGES_PER_SECOND: usize = 5;
const MOST_STREAMS: usize = 1_024;

struct Subscription {
    name: String,
    /// `None` for markets that do not exist: acked and silent.
    source: Option<(Feed, Channel)>,
}

enum Channel {
    Kline(Box<Kline>),
    AggTrade,
    Trade,
}

/// The running bucket of a kline stream.
struct Kline {
    interval: String,
    frame: Frame,
    open: i64,
    next: i64,
    bar: Option<Bar>,
    period_ns: i64,
}

pub(crate) struct BinanceSession {
    world: Arc<World>,
    is_combined: bool,
    opened_ns: i64,
    next_ping_ns: i64,
    unanswered_since_ns: Option<i64>,
    has_said_farewell: bool,
    has_ended: bool,
    ids: BTreeMap<String, u64>,
    subscriptions: BTreeMap<u64, Subscription>,
    next_id: u64,
    schedule: BinaryHeap<Reverse<(i64, u64)>>,
    messages: VecDeque<i64>,
}

impl BinanceSession {
    /// A connection to `/ws...` or `/stream...` with the streams its address names.
    pub(crate) fn new(world: Arc<World>, is_combined: bool, streams: &[&str]) -> BinanceSession {
        let now_ns = world.now_ns(Venue::Binance);
        let mut session = BinanceSession {
            world,
            is_combined,
            opened_ns: now_ns,
            next_ping_ns: now_ns + PING_EVERY_NS,
            unanswered_since_ns: None,
            has_said_farewell: false,
            has_ended: false,
            ids: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            next_id: 0,
            schedule: BinaryHeap::new(),
            messages: VecDeque::new(),
        };
        for name in streams {
            session.subscribe(name, now_ns);
        }
        session
    }

    fn subscribe(&mut self, name: &str, now_ns: i64) {
        if self.ids.contains_key(name) {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let source = self.source(name, now_ns);
        if let Some((feed, channel)) = &source {
            self.schedule.push(Reverse((channel.next_event(feed), id)));
        }
        self.ids.insert(name.to_owned(), id);
        self.subscriptions.insert(id, Subscription { name: name.to_owned(), source });
    }

    /// The data behind a stream name; the symbol is lower case, the rest as documented.
    fn source(&self, name: &str, now_ns: i64) -> Option<(Feed, Channel)> {
        let (symbol, kind) = name.split_once('@')?;
        let id = symbol.to_uppercase();
        if symbol != symbol.to_lowercase() {
            return None;
        }
        let market = self.world.market(Venue::Binance, &id).filter(|market| market.listing.id == id)?.clone();
        let channel = match kind {
            "aggTrade" => Channel::AggTrade,
            "trade" => Channel::Trade,
            _ => {
                let interval = kind.strip_prefix("kline_")?;
                let frame = super::frame(interval)?;
                let open = frame.open(now_ns.div_euclid(SECOND_NS));
                let next = frame.next(open);
                let bar = market.bar(open, next, now_ns + 1);
                let period_ns = if interval == "1s" { SECOND_NS } else { 2 * SECOND_NS };
                Channel::Kline(Box::new(Kline { interval: interval.to_owned(), frame, open, next, bar, period_ns }))
            }
        };
        Some((Feed::after(market, now_ns), channel))
    }

    fn wrapped(&self, name: &str, payload: String) -> String {
        if self.is_combined { format!(r#"{{"stream":{},"data":{payload}}}"#, quoted(name)) } else { payload }
    }

    /// Both forms of errors are seen in the wild: nested on raw connections, flat on combined ones.
    fn failure(&self, code: i32, message: &str, id: &Value) -> String {
        let error = format!(r#""code":{code},"msg":{}"#, quoted(message));
        if self.is_combined {
            format!(r#"{{{error},"id":{id}}}"#)
        } else {
            format!(r#"{{"error":{{{error}}},"id":{id}}}"#)
        }
    }

    fn exceeds_rate(&mut self, now_ns: i64) -> bool {
        while self.messages.front().is_some_and(|at| *at <= now_ns - SECOND_NS) {
            self.messages.pop_front();
        }
        self.messages.push_back(now_ns);
        self.world.enforce_limits && self.messages.len() > MESSAGES_PER_SECOND
    }

    fn answer(&mut self, text: &str, now_ns: i64) -> String {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return self.failure(3, "Invalid JSON: expected value at line 1 column 1", &Value::Null);
        };
        let id = value["id"].clone();
        let is_id = match &id {
            Value::Null => true,
            Value::Number(number) => number.is_i64(),
            Value::String(text) => text.len() <= 36 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            _ => false,
        };
        if !is_id {
            return self.failure(2, "Invalid request: request ID must be an unsigned integer", &Value::Null);
        }
        let result = match value["method"].as_str() {
            Some("LIST_SUBSCRIPTIONS") => Value::from(self.ids.keys().cloned().collect::<Vec<_>>()),
            Some("GET_PROPERTY") => Value::from(self.is_combined),
            Some("SET_PROPERTY") => {
                self.is_combined = value["params"][1].as_bool().unwrap_or(self.is_combined);
                Value::Null
            }
            Some(method @ ("SUBSCRIBE" | "UNSUBSCRIBE")) => {
                let Some(params) = value["params"].as_array() else {
                    return self.failure(2, "Invalid request: params must be an array", &id);
                };
                let names: Option<Vec<&str>> = params.iter().map(Value::as_str).collect();
                let Some(names) = names.filter(|names| names.iter().all(|name| name.contains('@'))) else {
                    return self.failure(2, "Invalid request: invalid stream", &id);
                };
                if method == "SUBSCRIBE" {
                    if self.ids.len() + names.len() > MOST_STREAMS {
                        return self.failure(2, "Invalid request: too many streams on this connection", &id);
                    }
                    for name in names {
                        self.subscribe(name, now_ns);
                    }
                } else {
                    for name in names {
                        if let Some(id) = self.ids.remove(name) {
                            self.subscriptions.remove(&id);
                        }
                    }
                }
                Value::Null
            }
            Some(method) => {
                let known =
                    "expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`";
                return self.failure(2, &format!("Invalid request: unknown variant `{method}`, {known}"), &id);
            }
            None => return self.failure(2, "Invalid request: missing field `method`", &id),
        };
        format!(r#"{{"result":{result},"id":{id}}}"#)
    }

    fn pong_patience_ns(&self) -> i64 {
        PONG_WITHIN_NS.max((10.0 * self.world.clock.factor()) as i64 * SECOND_NS)
    }

    fn end(&mut self, reason: &str, out: &mut Outbox) {
        self.has_ended = true;
        out.close(1008, reason);
    }
}

impl Session for BinanceSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        if self.exceeds_rate(now_ns) {
            return self.end("Too many requests", out);
        }
        let answer = self.answer(text, now_ns);
        out.control(answer);
    }

    fn pong(&mut self, now_ns: i64) {
        self.unanswered_since_ns = None;
        self.exceeds_rate(now_ns);
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        if self.has_ended {
            return;
        }
        while let Some(&Reverse((at, id))) = self.schedule.peek() {
            if at > now_ns {
                break;
            }
            self.schedule.pop();
            let Some(mut subscription) = self.subscriptions.remove(&id) else { continue };
            if let Some((feed, channel)) = &mut subscription.source {
                let is_listed = self.world.is_listed(&feed.market);
                channel.catch_up(&self.world, feed, at, now_ns, |symbol, payload| {
                    if is_listed {
                        out.data(symbol, self.wrapped(&subscription.name, payload));
                    }
                });
                self.schedule.push(Reverse((channel.next_event(feed), id)));
            }
            self.subscriptions.insert(id, subscription);
        }
        if self.next_ping_ns <= now_ns {
            out.ping((now_ns / MILLISECOND_NS).to_string().into_bytes());
            self.unanswered_since_ns.get_or_insert(now_ns);
            self.next_ping_ns = now_ns + PING_EVERY_NS;
        }
        if self.unanswered_since_ns.is_some_and(|since| since + self.pong_patience_ns() <= now_ns) {
            return self.end("Pong timeout", out);
        }
        let age_ns = now_ns - self.opened_ns;
        if age_ns >= LIFETIME_NS - FAREWELL_NS && !self.has_said_farewell {
            self.has_said_farewell = true;
            let payload = format!(r#"{{"e":"serverShutdown","E":{}}}"#, now_ns / MILLISECOND_NS);
            out.control(self.wrapped("!serverShutdown", payload));
        }
        if age_ns >= LIFETIME_NS {
            self.end("Connection lifetime exceeded", out);
        }
    }

    fn due(&self, _: &Outbox) -> Option<i64> {
        let farewell = if self.has_said_farewell { LIFETIME_NS } else { LIFETIME_NS - FAREWELL_NS };
        let data = self.schedule.peek().map(|Reverse((at, _))| *at);
        let pong = self.unanswered_since_ns.map(|since| since + self.pong_patience_ns());
        [data, pong, Some(self.next_ping_ns), Some(self.opened_ns + farewell)].into_iter().flatten().min()
    }
}

impl Channel {
    /// When this stream has to be looked at again.
    fn next_event(&self, feed: &Feed) -> i64 {
        let next_trade = feed.next_ns();
        match self {
            Channel::AggTrade | Channel::Trade => next_trade,
            Channel::Kline(kline) => {
                // What traded is pushed at the next beat; the closing frame comes just after the close.
                let beat = next_trade + (kline.period_ns - next_trade.rem_euclid(kline.period_ns)) % kline.period_ns;
                let closing = kline.closing_ns(&feed.market);
                if beat >= kline.next * SECOND_NS { closing } else { beat }
            }
        }
    }

    /// Says what is due at `at`; trade streams say everything up to `now_ns`.
    fn catch_up(&mut self, world: &World, feed: &mut Feed, at: i64, now_ns: i64, mut say: impl FnMut(&Symbol, String)) {
        let market = feed.market.clone();
        let symbol = &market.listing.symbol;
        match self {
            Channel::Kline(kline) => kline.catch_up(world, feed, at, say),
            Channel::AggTrade | Channel::Trade => {
                let ticks: Vec<Tick> = std::iter::from_fn(|| feed.take(now_ns)).collect();
                if matches!(self, Channel::Trade) {
                    ticks.iter().for_each(|tick| say(symbol, trade_frame(&market, tick)));
                } else {
                    merged(&ticks).for_each(|order| say(symbol, agg_frame(&market, order)));
                }
            }
        }
    }
}

impl Kline {
    /// The closing frame's instant: a few to a few dozen milliseconds after the close.
    fn closing_ns(&self, market: &Market) -> i64 {
        let delay_ms = 3 + Dice::new(market.price_scale.into(), self.next).below(40) as i64;
        self.next * SECOND_NS + delay_ms * MILLISECOND_NS
    }

    fn catch_up(&mut self, world: &World, feed: &mut Feed, at: i64, mut say: impl FnMut(&Symbol, String)) {
        let market = feed.market.clone();
        let symbol = &market.listing.symbol;
        let mut changed = false;
        while let Some(tick) = feed.take(at.min(self.next * SECOND_NS - 1)) {
            self.bar = Some(Bar::extended(self.bar, &tick));
            changed = true;
        }
        if at < self.closing_ns(&market) {
            if let Some(bar) = self.bar.filter(|_| changed) {
                say(symbol, self.frame(&market, &bar, at, false));
            }
            return;
        }
        // An empty bucket gets its frame too, unless the venue itself was away.
        let bar = self.bar.or_else(|| {
            let is_away = market.is_outage(self.open, self.next);
            if is_away { None } else { market.price_before(self.open * SECOND_NS).map(Bar::flat) }
        });
        if let Some(bar) = bar {
            let bucket = Bucket { open: self.open, next: self.next, close: self.next, bar };
            if let Some(bucket) = world.shown(&market, bucket, false) {
                say(symbol, self.frame(&market, &bucket.bar, at, true));
            }
        }
        self.open = self.next;
        self.next = self.frame.next(self.open);
        self.bar = None;
    }

    fn frame(&self, market: &Market, bar: &Bar, at: i64, is_closed: bool) -> String {
        let id = market.listing.id.as_str();
        let price = |value: i64| fixed(value, market.price_scale, 8);
        let amount = |value: i128| fixed(value, AMOUNT_DECIMALS, 8);
        let quote = |value: i128| fixed(value, market.quote_scale(), 8);
        let (first, last) = if bar.trades == 0 { (-1, -1) } else { (bar.first_id as i64, bar.last_id as i64) };
        format!(
            r#"{{"e":"kline","E":{},"s":"{id}","k":{{"t":{},"T":{},"s":"{id}","i":"{}","f":{first},"L":{last},"o":"{}","c":"{}","h":"{}","l":"{}","v":"{}","n":{},"x":{is_closed},"q":"{}","V":"{}","Q":"{}","B":"0"}}}}"#,
            at / MILLISECOND_NS,
            self.open * 1_000,
            self.next * 1_000 - 1,
            self.interval,
            price(bar.open),
            price(bar.close),
            price(bar.high),
            price(bar.low),
            amount(bar.volume),
            bar.trades,
            quote(bar.quote),
            amount(bar.bought),
            quote(bar.bought_quote),
        )
    }
}

fn trade_frame(market: &Market, tick: &Tick) -> String {
    let time = tick.time_ns / MILLISECOND_NS;
    format!(
        r#"{{"e":"trade","E":{},"s":"{}","t":{},"p":"{}","q":"{}","T":{time},"m":{},"M":true}}"#,
        time + 3,
        market.listing.id,
        tick.id,
        fixed(tick.price, market.price_scale, 8),
        fixed(tick.amount, AMOUNT_DECIMALS, 8),
        !tick.taker_buys,
    )
}

fn agg_frame(market: &Market, order: &[Tick]) -> String {
    let time = order[0].time_ns / MILLISECOND_NS;
    let fields = agg_fields(market, order, time);
    format!(r#"{{"e":"aggTrade","E":{},"s":"{}",{fields}}}"#, time + 3, market.listing.id)
}
