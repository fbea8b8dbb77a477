//! Coinbase's public feed: `matches` and `heartbeat`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::super::decimal::{AMOUNT_DECIMALS, fixed};
use super::super::desk::{Desk, News};
use super::super::http::{joined, quoted, rfc3339};
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::socket::{Outbox, Session};
use super::super::tape::{SECOND_NS, Tick};
use super::super::world::World;
use super::rest::maker_side;

/// Who has not subscribed to anything by then is turned away.
const PATIENCE_NS: i64 = 5 * SECOND_NS;
const HEARTBEAT_NS: i64 = SECOND_NS;
const MESSAGES_PER_SECOND: usize = 100;
/// Events of the order book for each trade: what `sequence` counts.
const EVENTS_PER_TRADE: u64 = 40;

const MATCHES: &str = "matches";
const HEARTBEAT: &str = "heartbeat";

pub(crate) struct CoinbaseSession {
    world: Arc<World>,
    opened_ns: i64,
    has_subscribed: bool,
    has_ended: bool,
    /// Markets whose trades are told, by product id.
    desk: Desk<String>,
    /// Markets with heartbeats.
    beating: BTreeSet<String>,
    next_beat_ns: i64,
    messages: VecDeque<i64>,
}

/// A request's wish: what, of which product.
type Wish<'a> = (&'a str, &'a str);

impl CoinbaseSession {
    pub(crate) fn new(world: Arc<World>) -> CoinbaseSession {
        let opened_ns = world.now_ns(Venue::COINBASE);
        CoinbaseSession {
            world,
            opened_ns,
            has_subscribed: false,
            has_ended: false,
            desk: Desk::new(),
            beating: BTreeSet::new(),
            next_beat_ns: opened_ns,
            messages: VecDeque::new(),
        }
    }

    fn exceeds_rate(&mut self, now_ns: i64) -> bool {
        while self.messages.front().is_some_and(|at| *at <= now_ns - SECOND_NS) {
            self.messages.pop_front();
        }
        self.messages.push_back(now_ns);
        self.world.enforce_limits && self.messages.len() > MESSAGES_PER_SECOND
    }

    fn market(&self, id: &str) -> Option<Arc<Market>> {
        self.world.market(Venue::COINBASE, id).filter(|market| market.listing.id == id).cloned()
    }

    /// Channels are names that take the products of the request, or objects with their own. One
    /// mistake refuses all of it.
    fn wishes<'a>(&self, request: &'a Value) -> Result<Vec<Wish<'a>>, String> {
        let products = |value: &'a Value| {
            let ids = value["product_ids"].as_array().into_iter().flatten();
            ids.filter_map(Value::as_str).collect::<Vec<_>>()
        };
        let mut wishes = Vec::new();
        for channel in request["channels"].as_array().into_iter().flatten() {
            let name = channel.as_str().or(channel["name"].as_str()).unwrap_or_default();
            if ![MATCHES, HEARTBEAT].contains(&name) {
                return Err(format!("{name} is not a valid channel"));
            }
            let own = products(channel);
            let ids = if own.is_empty() { products(request) } else { own };
            if let Some(unknown) = ids.iter().find(|id| self.market(id).is_none()) {
                return Err(format!("{unknown} is not a valid product"));
            }
            wishes.extend(ids.into_iter().map(|id| (name, id)));
        }
        if wishes.is_empty() { Err("no channels or product_ids provided".to_owned()) } else { Ok(wishes) }
    }

    fn subscribe(&mut self, wishes: &[Wish<'_>], now_ns: i64, out: &mut Outbox) {
        self.has_subscribed = true;
        let mut added = Vec::new();
        for &(channel, id) in wishes {
            if channel == HEARTBEAT {
                if self.beating.is_empty() {
                    self.next_beat_ns = (now_ns.div_euclid(HEARTBEAT_NS) + 1) * HEARTBEAT_NS;
                }
                self.beating.insert(id.to_owned());
            } else if !self.desk.holds(&id.to_owned())
                && let Some(market) = self.market(id)
            {
                self.desk.add_trades(id.to_owned(), market.clone(), now_ns);
                added.push(market);
            }
        }
        out.control(self.subscriptions());
        for market in added {
            if let Some(last) = last_trade(&market, now_ns) {
                out.data(&market.listing.symbol, match_frame(&market, "last_match", &last));
            }
        }
    }

    fn unsubscribe(&mut self, wishes: &[Wish<'_>], out: &mut Outbox) {
        for &(channel, id) in wishes {
            if channel == HEARTBEAT {
                self.beating.remove(id);
            } else {
                self.desk.remove(&id.to_owned());
            }
        }
        out.control(self.subscriptions());
    }

    /// Everything that is subscribed now.
    fn subscriptions(&self) -> String {
        let matched: Vec<&str> = self.desk.keys().map(String::as_str).collect();
        let beating: Vec<&str> = self.beating.iter().map(String::as_str).collect();
        let channels = [(MATCHES, matched), (HEARTBEAT, beating)].into_iter().filter(|(_, ids)| !ids.is_empty());
        let channels = joined(channels, |out, (name, ids)| {
            let ids = joined(ids, |out, id| out.push_str(&quoted(id)));
            out.push_str(&format!(r#"{{"name":"{name}","product_ids":[{ids}],"account_ids":null}}"#));
        });
        format!(r#"{{"type":"subscriptions","channels":[{channels}]}}"#)
    }

    fn beat(&mut self, now_ns: i64, out: &mut Outbox) {
        if self.beating.is_empty() || now_ns < self.next_beat_ns {
            return;
        }
        let beat_ns = now_ns.div_euclid(HEARTBEAT_NS) * HEARTBEAT_NS;
        self.next_beat_ns = beat_ns + HEARTBEAT_NS;
        for market in self.beating.iter().filter_map(|id| self.market(id)) {
            // Trades that were told before count, also those after the full second.
            let last_id = last_trade(&market, now_ns).map_or(0, |last| last.id);
            out.control(format!(
                r#"{{"type":"heartbeat","last_trade_id":{last_id},"product_id":"{}","sequence":{},"time":"{}"}}"#,
                market.listing.id,
                last_id * EVENTS_PER_TRADE + beat_ns.div_euclid(HEARTBEAT_NS) as u64 % EVENTS_PER_TRADE,
                rfc3339(beat_ns, 6),
            ));
        }
    }
}

impl Session for CoinbaseSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        if self.exceeds_rate(now_ns) {
            return out.control(failure("rate limit exceeded", None));
        }
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return out.control(failure("Malformed JSON", None));
        };
        let kind = request["type"].as_str().unwrap_or_default();
        let wishes = match kind {
            "subscribe" | "unsubscribe" => self.wishes(&request),
            _ => return out.control(failure("Type has to be either subscribe or unsubscribe", None)),
        };
        match wishes {
            Err(reason) => out.control(failure(&format!("Failed to {kind}"), Some(&reason))),
            Ok(wishes) if kind == "subscribe" => self.subscribe(&wishes, now_ns, out),
            Ok(wishes) => self.unsubscribe(&wishes, out),
        }
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        if self.has_ended {
            return;
        }
        self.desk.tell(&self.world, now_ns, |_, market, news| {
            if let News::Trades(ticks) = news {
                ticks.iter().for_each(|tick| out.data(&market.listing.symbol, match_frame(market, "match", tick)));
            }
        });
        self.beat(now_ns, out);
        if !self.has_subscribed && self.opened_ns + PATIENCE_NS <= now_ns {
            self.has_ended = true;
            out.close(1000, "");
        }
    }

    fn due(&self, _: &Outbox) -> Option<i64> {
        let patience = (!self.has_subscribed).then_some(self.opened_ns + PATIENCE_NS);
        let beat = (!self.beating.is_empty()).then_some(self.next_beat_ns);
        [self.desk.due_ns(), patience, beat].into_iter().flatten().min()
    }
}

fn failure(message: &str, reason: Option<&str>) -> String {
    let reason = reason.map_or(String::new(), |reason| format!(r#","reason":{}"#, quoted(reason)));
    format!(r#"{{"type":"error","message":{}{reason}}}"#, quoted(message))
}

fn last_trade(market: &Market, now_ns: i64) -> Option<Tick> {
    market.tick_at(market.count_before(now_ns + 1).checked_sub(1)?, now_ns + 1)
}

fn match_frame(market: &Market, kind: &str, tick: &Tick) -> String {
    let order = |role: u64| {
        let (high, low) = (tick.order_id, tick.id * 2 + role);
        format!("{:08x}-{:04x}-4d00-8000-{low:012x}", high >> 16 & 0xffff_ffff, high & 0xffff)
    };
    format!(
        r#"{{"type":"{kind}","trade_id":{},"maker_order_id":"{}","taker_order_id":"{}","side":"{}","size":"{}","price":"{}","product_id":"{}","sequence":{},"time":"{}"}}"#,
        tick.id,
        order(0),
        order(1),
        maker_side(tick),
        fixed(tick.amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS),
        fixed(tick.price, market.price_scale, market.price_scale),
        market.listing.id,
        tick.id * EVENTS_PER_TRADE,
        rfc3339(tick.time_ns, 6),
    )
}
