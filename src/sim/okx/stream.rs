//! OKX's sockets: `trades` on the public one, `candle…` on the business one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::calendar::Frame;
use super::super::desk::{Desk, Manner, News};
use super::super::fault::FaultKind;
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::socket::{Outbox, Session};
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::control::{Arg, Request, ack, failure};
use super::rest::{by_id, running_candle};
use super::{frame_of_bar, print};

/// A connection over which nothing goes either way is closed after this.
const SILENCE_NS: i64 = 30 * SECOND_NS;
/// Between the notice of an upgrade and the end.
const FAREWELL_NS: i64 = 30 * SECOND_NS;
const REQUESTS_PER_HOUR: usize = 480;
const HOUR_NS: i64 = 3_600 * SECOND_NS;

/// What changed is told each second, and each bucket once more as closed.
const MANNER: Manner = Manner { beat_ns: Some(SECOND_NS), closes: true };

pub(crate) struct OkxSession {
    world: Arc<World>,
    is_business: bool,
    connection: String,
    heard_ns: i64,
    /// When the connection will end for an upgrade.
    ends_ns: Option<i64>,
    has_ended: bool,
    desk: Desk<Arg>,
    requests: VecDeque<i64>,
}

impl OkxSession {
    pub(crate) fn new(world: Arc<World>, is_business: bool) -> OkxSession {
        let now_ns = world.now_ns(Venue::OKX);
        OkxSession {
            world,
            is_business,
            connection: format!("{:08x}", now_ns.div_euclid(1_000) as u32),
            heard_ns: now_ns,
            ends_ns: None,
            has_ended: false,
            desk: Desk::new(),
            requests: VecDeque::new(),
        }
    }

    fn exceeds_rate(&mut self, now_ns: i64) -> bool {
        while self.requests.front().is_some_and(|at| *at <= now_ns - HOUR_NS) {
            self.requests.pop_front();
        }
        if self.world.enforce_limits && self.requests.len() >= REQUESTS_PER_HOUR {
            return true;
        }
        self.requests.push_back(now_ns);
        false
    }

    /// The market and, for candles, the buckets of an argument; `None` where this socket has no such channel.
    fn wanted(&self, arg: &Arg) -> Option<(Arc<Market>, Option<Frame>)> {
        let market = by_id(&self.world, &arg.id)?.clone();
        match arg.channel.strip_prefix("candle") {
            Some(bar) if self.is_business => Some((market, Some(frame_of_bar(bar)?))),
            None if !self.is_business && arg.channel == "trades" => Some((market, None)),
            _ => None,
        }
    }

    fn subscribe(&mut self, arg: Arg, id: Option<&str>, now_ns: i64, out: &mut Outbox) {
        let Some((market, frame)) = self.wanted(&arg) else { return self.refuse(&arg, id, out) };
        out.control(ack("subscribe", &arg, id, &self.connection));
        if self.desk.holds(&arg) {
            return;
        }
        match frame {
            None => self.desk.add_trades(arg, market, now_ns),
            Some(frame) => {
                if let Some(running) = running_candle(&market, frame, now_ns) {
                    out.data(&market.listing.symbol, data_frame(&arg, &running));
                }
                self.desk.add_candles(arg, market, frame, MANNER, now_ns);
            }
        }
    }

    fn refuse(&self, arg: &Arg, id: Option<&str>, out: &mut Outbox) {
        let text = format!(
            "Wrong URL or channel:{},instId:{} doesn't exist. Please use the correct URL, channel and parameters \
             referring to API document.",
            arg.channel, arg.id
        );
        out.control(failure(60018, &text, id, &self.connection));
    }

    fn in_maintenance(&self) -> bool {
        let pick = |kind: &FaultKind| (*kind == FaultKind::Maintenance).then_some(());
        self.world.faults.holds(Venue::OKX, None, self.world.clock_ns(), pick).is_some()
    }

    fn end(&mut self, code: u16, reason: &str, out: &mut Outbox) {
        self.has_ended = true;
        out.close(code, reason);
    }
}

impl Session for OkxSession {
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox) {
        self.heard_ns = now_ns;
        if text == "ping" {
            return out.control("pong".to_owned());
        }
        let request = match Request::read(text) {
            Ok(request) => request,
            Err(id) => {
                let words = format!("Illegal request: {}", text.chars().take(200).collect::<String>());
                return out.control(failure(60012, &words, id.as_deref(), &self.connection));
            }
        };
        let id = request.id.as_deref();
        if self.exceeds_rate(now_ns) {
            return out.control(failure(60014, "Requests too frequent", id, &self.connection));
        }
        for arg in request.args {
            if request.op == "subscribe" {
                self.subscribe(arg, id, now_ns, out);
            } else if self.wanted(&arg).is_some() || self.desk.holds(&arg) {
                self.desk.remove(&arg);
                out.control(ack("unsubscribe", &arg, id, &self.connection));
            } else {
                self.refuse(&arg, id, out);
            }
        }
    }

    fn wake(&mut self, now_ns: i64, out: &mut Outbox) {
        if self.has_ended {
            return;
        }
        self.desk.tell(&self.world, now_ns, |arg, market, news| match news {
            // Fills of one taker order at one price are one record.
            News::Trades(ticks) => ticks.chunk_by(|a, b| a.order_id == b.order_id).for_each(|fills| {
                let (fields, sequence) = (print::trade(market, fills), fills[0].order_id * 7 + 55_120_000_000);
                let record = format!(r#"{{{fields},"count":"{}","source":"0","seqId":{sequence}}}"#, fills.len());
                out.data(&market.listing.symbol, data_frame(arg, &record));
            }),
            News::Candle { bucket, is_closed, .. } => {
                out.data(&market.listing.symbol, data_frame(arg, &print::candle(market, &bucket, is_closed)));
            }
        });
        if self.ends_ns.is_none() && self.in_maintenance() {
            self.ends_ns = Some(now_ns + FAREWELL_NS);
            out.control(format!(
                r#"{{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"{}"}}"#,
                self.connection
            ));
        }
        if self.ends_ns.is_some_and(|end| end <= now_ns) {
            return self.end(1001, "service upgrade", out);
        }
        if out.is_empty() && self.heard_ns.max(out.last_sent_ns) + SILENCE_NS <= now_ns {
            self.end(4004, "No data received in 30s.", out);
        }
    }

    fn due(&self, out: &Outbox) -> Option<i64> {
        let silence = self.heard_ns.max(out.last_sent_ns) + SILENCE_NS;
        [self.desk.due_ns(), self.ends_ns, Some(silence)].into_iter().flatten().min()
    }
}

fn data_frame(arg: &Arg, row: &str) -> String {
    format!(r#"{{"arg":{},"data":[{row}]}}"#, arg.text())
}
