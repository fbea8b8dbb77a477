//! A simulated WebSocket connection, without a socket: text in, frames out, at their time.
//!
//! The venue's session decides what is said; this decides what gets through, because faults of the
//! line are the same for every venue. Waiting is done on the simulation's clock only.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::market::Symbol;

use super::dice::key_of;
use super::fault::{FaultKind, duration_ns};
use super::listing::Venue;
use super::tape::SECOND_NS;
use super::world::World;

/// A frame on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimFrame {
    /// Text.
    Text(String),
    /// A protocol ping; the client's stack answers with a pong.
    Ping(Vec<u8>),
    /// An orderly close with its code and reason.
    Close(u16, String),
    /// The connection breaks without a close.
    Abort,
}

/// What a venue's half of a connection does.
pub(crate) trait Session: Send {
    /// A text frame of the client.
    fn receive(&mut self, text: &str, now_ns: i64, out: &mut Outbox);
    /// A protocol pong of the client.
    fn pong(&mut self, _now_ns: i64) {}
    /// Says what is due. Called whenever something may have changed.
    fn wake(&mut self, now_ns: i64, out: &mut Outbox);
    /// When there will be something to say, in the venue's time.
    fn due(&self, out: &Outbox) -> Option<i64>;
    /// The text as it leaves, for venues that number and stamp what they send.
    fn sealed(&mut self, text: String, _now_ns: i64) -> String {
        text
    }
}

/// Frames a session has said.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Outgoing>,
    /// When the last frame was handed over, in the venue's time; 0 before the first.
    pub(crate) last_sent_ns: i64,
}

#[derive(Debug)]
struct Outgoing {
    frame: SimFrame,
    /// The market of a data frame; `None` for control frames, which faults leave alone.
    market: Option<Symbol>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn control(&mut self, text: String) {
        self.queue.push_back(Outgoing { frame: SimFrame::Text(text), market: None });
    }

    pub(crate) fn data(&mut self, symbol: &Symbol, text: String) {
        self.queue.push_back(Outgoing { frame: SimFrame::Text(text), market: Some(symbol.clone()) });
    }

    pub(crate) fn ping(&mut self, payload: Vec<u8>) {
        self.queue.push_back(Outgoing { frame: SimFrame::Ping(payload), market: None });
    }

    /// Breaks the connection off without a close.
    pub(crate) fn abort(&mut self) {
        self.queue.push_back(Outgoing { frame: SimFrame::Abort, market: None });
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        self.queue.push_back(Outgoing { frame: SimFrame::Close(code, reason.to_owned()), market: None });
    }
}

#[derive(Debug)]
enum Inbound {
    Text(String),
    Pong,
}

#[derive(Debug, Default)]
struct Inbox {
    queue: Mutex<VecDeque<Inbound>>,
    filled: Notify,
}

/// The client's end for sending; cheap to clone.
#[derive(Debug, Clone)]
pub struct SimSocketInput(Arc<Inbox>);

impl SimSocketInput {
    /// Hands a text frame to the venue.
    pub fn text(&self, text: impl Into<String>) {
        self.push(Inbound::Text(text.into()));
    }

    /// Hands a protocol pong to the venue.
    pub fn pong(&self) {
        self.push(Inbound::Pong);
    }

    fn push(&self, inbound: Inbound) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(inbound);
        self.0.filled.notify_one();
    }
}

/// One open connection to a simulated venue. Dropping it closes it.
pub struct SimSocket {
    world: Arc<World>,
    venue: Venue,
    session: Box<dyn Session>,
    inbox: Arc<Inbox>,
    out: Outbox,
    /// Frames that passed the faults of the line.
    ready: VecDeque<SimFrame>,
    /// A frame that an out-of-order fault holds back.
    held: Option<SimFrame>,
    changed: watch::Receiver<u64>,
    id: i64,
    opened_ns: i64,
    checked_ns: i64,
    is_deaf: bool,
    is_closed: bool,
}

impl std::fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimSocket({} #{})", self.venue, self.id)
    }
}

impl SimSocket {
    pub(crate) fn new(world: Arc<World>, venue: Venue, session: Box<dyn Session>) -> SimSocket {
        let mut id = 0;
        world.counters.count(venue, |stats| {
            stats.sockets_opened += 1;
            stats.sockets_open += 1;
            id = stats.sockets_opened as i64;
        });
        let now = world.clock_ns();
        SimSocket {
            changed: world.changed.subscribe(),
            world,
            venue,
            session,
            inbox: Arc::default(),
            out: Outbox::default(),
            ready: VecDeque::new(),
            held: None,
            id,
            opened_ns: now,
            checked_ns: now,
            is_deaf: false,
            is_closed: false,
        }
    }

    /// The client's end for sending.
    pub fn input(&self) -> SimSocketInput {
        SimSocketInput(self.inbox.clone())
    }

    /// Hands a text frame to the venue; its answers come from [`SimSocket::next_frame`].
    pub fn receive(&self, text: impl Into<String>) {
        self.input().text(text);
    }

    /// True once the connection is half open: the other side is gone without a word.
    pub fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// The next frame, when its time has come; `None` after the connection has ended. Cancel safe.
    pub async fn next_frame(&mut self) -> Option<SimFrame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.world.counters.count(self.venue, |stats| stats.frames_sent += 1);
                if matches!(frame, SimFrame::Close(..) | SimFrame::Abort) {
                    self.is_closed = true;
                    self.ready.clear();
                }
                return Some(frame);
            }
            if self.is_closed {
                return None;
            }
            if self.is_deaf {
                return std::future::pending().await;
            }
            self.step();
            if self.ready.is_empty() && !self.is_deaf {
                self.wait().await;
            }
        }
    }

    /// Everything that is due now goes to `ready`.
    fn step(&mut self) {
        let clock_ns = self.world.clock_ns();
        self.suffer(clock_ns);
        if self.is_deaf || !self.ready.is_empty() {
            return;
        }
        let now_ns = clock_ns + self.world.skew_ns(self.venue, clock_ns);
        // What is due comes before answers: a greeting precedes everything.
        self.session.wake(now_ns, &mut self.out);
        let inbound = std::mem::take(&mut *self.inbox.queue.lock().unwrap_or_else(PoisonError::into_inner));
        for inbound in inbound {
            match inbound {
                Inbound::Text(text) => self.session.receive(&text, now_ns, &mut self.out),
                Inbound::Pong => self.session.pong(now_ns),
            }
        }
        while let Some(outgoing) = self.out.queue.pop_front() {
            let before = self.ready.len();
            self.pass(outgoing, clock_ns, now_ns);
            if self.ready.len() > before {
                self.out.last_sent_ns = now_ns;
            }
        }
    }

    /// Faults that strike the connection itself.
    fn suffer(&mut self, clock_ns: i64) {
        let faults = &self.world.faults;
        let dropped = faults.dropped_between(self.venue, self.checked_ns, clock_ns);
        self.checked_ns = self.checked_ns.max(clock_ns);
        let half_open = |kind: &FaultKind| (*kind == FaultKind::HalfOpen).then_some(());
        if faults.strike_thing(self.venue, None, clock_ns, self.id, half_open).is_some() {
            self.is_deaf = true;
            return;
        }
        let age_ns = clock_ns - self.opened_ns;
        let too_old = |kind: &FaultKind| match kind {
            FaultKind::Lifetime { lifetime } => (age_ns >= duration_ns(*lifetime)).then_some(()),
            _ => None,
        };
        if dropped || faults.strike(self.venue, None, clock_ns, too_old).is_some() {
            self.ready.push_back(SimFrame::Abort);
        }
    }

    /// Lets a frame through, or what a fault of the line makes of it.
    fn pass(&mut self, outgoing: Outgoing, clock_ns: i64, now_ns: i64) {
        let SimFrame::Text(text) = outgoing.frame else { return self.ready.push_back(outgoing.frame) };
        let Some(symbol) = outgoing.market else {
            return self.ready.push_back(SimFrame::Text(self.session.sealed(text, now_ns)));
        };
        let (venue, symbol) = (self.venue, Some(&symbol));
        let faults = &self.world.faults;
        let thing = key_of(self.id as u64, symbol.map_or("", |symbol| symbol.as_str())) as i64;
        let mute = |kind: &FaultKind| matches!(kind, FaultKind::Stall | FaultKind::Maintenance).then_some(());
        if faults.strike_thing(venue, symbol, clock_ns, thing, mute).is_some() {
            return;
        }
        // What a mute venue keeps to itself has no number; what the line spoils has one.
        let text = self.session.sealed(text, now_ns);
        let strikes = |wanted: FaultKind| {
            faults.strike(venue, symbol, clock_ns, |kind| (*kind == wanted).then_some(())).is_some()
        };
        if strikes(FaultKind::Rubbish) {
            self.ready.push_back(SimFrame::Text("%$#@ rubbish \u{fffd}".into()));
        }
        let frame = if strikes(FaultKind::Truncate) {
            let half = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            SimFrame::Text(text[..half].to_owned())
        } else {
            SimFrame::Text(text)
        };
        if strikes(FaultKind::Duplicate) {
            self.ready.push_back(frame.clone());
        }
        match self.held.take() {
            Some(held) => self.ready.extend([frame, held]),
            None if strikes(FaultKind::OutOfOrder) => self.held = Some(frame),
            None => self.ready.push_back(frame),
        }
    }

    /// Waits until something may have to be said.
    async fn wait(&mut self) {
        let clock_ns = self.world.clock_ns();
        let skew_ns = self.world.skew_ns(self.venue, clock_ns);
        let due = self.session.due(&self.out).map(|due| due.saturating_sub(skew_ns));
        let lifetime = self.world.faults.holds(self.venue, None, clock_ns, |kind| match kind {
            FaultKind::Lifetime { lifetime } => Some(self.opened_ns.saturating_add(duration_ns(*lifetime))),
            _ => None,
        });
        let edge = self.world.faults.next_edge(self.venue, clock_ns);
        // An hour at most: nothing is lost by looking again.
        let deadline = [due, lifetime.filter(|at| *at > clock_ns), edge, Some(clock_ns + 3_600 * SECOND_NS)];
        let deadline = deadline.into_iter().flatten().min().unwrap_or(clock_ns);
        let deadline = deadline - deadline.rem_euclid(1_000);
        let clock = self.world.clock.clone();
        tokio::select! {
            // Every time round may throw dice: which branch it was must not be chance.
            biased;
            () = self.inbox.filled.notified() => {}
            _ = self.changed.changed() => {}
            () = clock.sleep_until(chrono::DateTime::from_timestamp_nanos(deadline)) => {}
        }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.world.counters.count(self.venue, |stats| stats.sockets_open = stats.sockets_open.saturating_sub(1));
    }
}
