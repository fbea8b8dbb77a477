//! Binance's streams: `kline_<interval>`, `aggTrade` and `trade`, raw and combined.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::super::decimal::{AMOUNT_DECIMALS, fixed};
use super::super::desk::{Desk, Manner, News};
use super::super::http::quoted;
use super::super::market::{Bucket, Market};
use super::super::socket::{Outbox, Session};
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::product::{Product, Route};
use super::rest::{agg_fields, merged};

const MILLISECOND_NS: i64 = 1_000_000;
const LIFETIME_NS: i64 = 24 * 3_600 * SECOND_NS;
/// `serverShutdown` comes this long before the end.
const FAREWELL_NS: i64 = 10 * SECOND_NS;
const MOST_STREAMS: usize = 1_024;

pub(crate) struct BinanceSession {
    product: Product,
    route: Route,
    world: Arc<World>,
    is_combined: bool,
    opened_ns: i64,
    next_ping_ns: i64,
    unanswered_since_ns: Option<i64>,
    has_said_farewell: bool,
    has_ended: bool,
    /// By stream name.
    desk: Desk<String>,
    /// Streams of markets that do not exist, or of another route: acked and silent.
    silent: BTreeSet<String>,
    messages: VecDeque<i64>,
}

impl BinanceSession {
    /// A connection to `/ws...` or `/stream...` of a route with the streams its address names.
    pub(crate) fn new(
        product: Product,
        route: Route,
        world: Arc<World>,
        is_combined: bool,
        streams: &[&str],
    ) -> BinanceSession {
        let now_ns = world.now_ns(product.venue());
        let mut session = BinanceSession {
            product,
            route,
            world,
            is_combined,
            opened_ns: now_ns,
            next_ping_ns: now_ns + product.pings_ns().0,
            unanswered_since_ns: None,
            has_said_farewell: false,
            has_ended: false,
            desk: Desk::new(),
            silent: BTreeSet::new(),
            messages: VecDeque::new(),
        };
        for name in streams {
            session.subscribe(name, now_ns);
        }
        session
    }

    /// The symbol of a stream's name is lower case, the rest as documented.
    fn subscribe(&mut self, name: &str, now_ns: i64) {
        if self.desk.holds(&name.to_owned()) {
            return;
        }
        let found = name.split_once('@').and_then(|(symbol, kind)| {
            let id = symbol.to_uppercase();
            let market = self.world.market(self.product.venue(), &id).filter(|market| market.listing.id == id)?;
            let frame = kind.strip_prefix("kline_").map(|interval| {
                let beat_ns = Some(self.product.kline_beat_ns(interval));
                (Manner { beat_ns, closes: true }, self.product.frame(interval))
            });
            let is_known = match kind {
                "trade" => self.route.trades,
                "aggTrade" => self.route.candles_and_orders,
                _ => self.route.candles_and_orders && matches!(frame, Some((_, Some(_)))),
            };
            (symbol == symbol.to_lowercase() && is_known).then(|| (market.clone(), frame))
        });
        match found {
            Some((market, Some((manner, Some(frame))))) => {
                self.desk.add_candles(name.to_owned(), market, frame, manner, now_ns);
            }
            Some((market, _)) => self.desk.add_trades(name.to_owned(), market, now_ns),
            None => drop(self.silent.insert(name.to_owned())),
        }
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
        self.world.enforce_limits && self.messages.len() > self.product.messages_per_second()
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
            Some("LIST_SUBSCRIPTIONS") => {
                Value::from(self.desk.keys().chain(&self.silent).cloned().collect::<Vec<_>>())
            }
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
                    if self.desk.len() + self.silent.len() + names.len() > MOST_STREAMS {
                        return self.failure(2, "Invalid request: too many streams on this connection", &id);
                    }
                    for name in names {
                        self.subscribe(name, now_ns);
                    }
                } else {
                    for name in names {
                        self.desk.remove(&name.to_owned());
                        self.silent.remove(name);
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

    /// How long a pong may take; at high speeds at least ten real seconds.
    fn pong_patience_ns(&self) -> i64 {
        self.product.pings_ns().1.max((10.0 * self.world.clock.factor()) as i64 * SECOND_NS)
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
        let (product, is_combined) = (self.product, self.is_combined);
        self.desk.tell(&self.world, now_ns, |name, market, news| {
            let mut say = |payload| out.data(&market.listing.symbol, wrapped(is_combined, name, payload));
            let kind = name.split_once('@').map_or("", |(_, kind)| kind);
            match news {
                News::Trades(ticks) if kind == "trade" => {
                    ticks.iter().for_each(|tick| say(trade_frame(product, market, tick)));
                }
                News::Trades(ticks) => merged(ticks).for_each(|order| say(agg_frame(product, market, order))),
                News::Candle { bucket, is_closed, at_ns } => {
                    let interval = kind.strip_prefix("kline_").unwrap_or_default();
                    say(kline_frame(product, market, interval, &bucket, at_ns, is_closed));
                }
            }
        });
        if self.next_ping_ns <= now_ns {
            out.ping((now_ns / MILLISECOND_NS).to_string().into_bytes());
            self.unanswered_since_ns.get_or_insert(now_ns);
            self.next_ping_ns = now_ns + self.product.pings_ns().0;
        }
        if self.unanswered_since_ns.is_some_and(|since| since + self.pong_patience_ns() <= now_ns) {
            return self.end("Pong timeout", out);
        }
        let age_ns = now_ns - self.opened_ns;
        // Only the spot market announces the end.
        if product == Product::Spot && age_ns >= LIFETIME_NS - FAREWELL_NS && !self.has_said_farewell {
            self.has_said_farewell = true;
            let payload = format!(r#"{{"e":"serverShutdown","E":{}}}"#, now_ns / MILLISECOND_NS);
            out.control(wrapped(self.is_combined, "!serverShutdown", payload));
        }
        if age_ns >= LIFETIME_NS {
            self.end("Connection lifetime exceeded", out);
        }
    }

    fn due(&self, _: &Outbox) -> Option<i64> {
        let is_unannounced = self.has_said_farewell || self.product != Product::Spot;
        let farewell = if is_unannounced { LIFETIME_NS } else { LIFETIME_NS - FAREWELL_NS };
        let pong = self.unanswered_since_ns.map(|since| since + self.pong_patience_ns());
        [self.desk.due_ns(), pong, Some(self.next_ping_ns), Some(self.opened_ns + farewell)].into_iter().flatten().min()
    }
}

fn kline_frame(
    product: Product,
    market: &Market,
    interval: &str,
    bucket: &Bucket,
    at_ns: i64,
    is_closed: bool,
) -> String {
    let bar = &bucket.bar;
    let id = market.listing.id.as_str();
    let price = |value: i64| fixed(value, market.price_scale, product.price_digits(market.price_scale));
    let amount = |value: i128| fixed(value, AMOUNT_DECIMALS, 8);
    let quote = |value: i128| fixed(value, market.quote_scale(), 8);
    let (first, last) = if bar.trades == 0 { (-1, -1) } else { (bar.first_id as i64, bar.last_id as i64) };
    format!(
        r#"{{"e":"kline","E":{},"s":"{id}","k":{{"t":{},"T":{},"s":"{id}","i":"{interval}","f":{first},"L":{last},"o":"{}","c":"{}","h":"{}","l":"{}","v":"{}","n":{},"x":{is_closed},"q":"{}","V":"{}","Q":"{}","B":"0"}}}}"#,
        at_ns / MILLISECOND_NS,
        bucket.open * 1_000,
        bucket.next * 1_000 - 1,
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

fn wrapped(is_combined: bool, name: &str, payload: String) -> String {
    if is_combined { format!(r#"{{"stream":{},"data":{payload}}}"#, quoted(name)) } else { payload }
}

fn trade_frame(product: Product, market: &Market, tick: &Tick) -> String {
    let time = tick.time_ns / MILLISECOND_NS;
    format!(
        r#"{{"e":"trade","E":{},"s":"{}","t":{},"p":"{}","q":"{}","T":{time},"m":{}{}}}"#,
        time + 3,
        market.listing.id,
        tick.id,
        fixed(tick.price, market.price_scale, product.price_digits(market.price_scale)),
        fixed(tick.amount, AMOUNT_DECIMALS, 8),
        !tick.taker_buys,
        if product == Product::Spot { r#","M":true"# } else { r#","X":"MARKET""# },
    )
}

fn agg_frame(product: Product, market: &Market, order: &[Tick]) -> String {
    let time = order[0].time_ns / MILLISECOND_NS;
    let fields = agg_fields(product, market, order, time);
    format!(r#"{{"e":"aggTrade","E":{},"s":"{}",{fields}}}"#, time + 3, market.listing.id)
}
