//! Numbered fault points: every HTTP call, every connect, every frame either way and every call of
//! the store is one, before and after it takes effect. When the count runs out the process is as
//! good as dead at that very point. What is passed on the way, and when, is written down; how long it
//! takes is the seed's choice.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use candlewick::clock::Clock;
use candlewick::exchange::{HttpReply, HttpRequest};
use candlewick::sim::Simulator;
use candlewick::transport::{Frame, Transport, TransportError, WebSocket};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{Sink, SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

use super::support::in_memory::SimTransport;

/// Longest time that anything outside the collector takes, in milliseconds.
const LONGEST_MS: u64 = 25;

/// The course of a schedule, over all lives of the collector.
#[derive(Debug)]
pub struct Course {
    clock: Clock,
    dice: Mutex<StdRng>,
    events: Mutex<Vec<String>>,
    struck: Mutex<BTreeMap<String, u64>>,
    violations: Mutex<Vec<String>>,
}

impl Course {
    pub fn new(seed: u64, clock: Clock) -> Arc<Course> {
        let dice = Mutex::new(StdRng::seed_from_u64(seed));
        let (events, struck, violations) = Default::default();
        Arc::new(Course { clock, dice, events, struck, violations })
    }

    pub fn note(&self, event: impl Display) {
        self.events.lock().unwrap().push(format!("{} {event}", self.clock.now().format("%F %T%.6f")));
    }

    /// Counts something that went wrong.
    pub fn strike(&self, what: impl Display) {
        *self.struck.lock().unwrap().entry(what.to_string()).or_default() += 1;
    }

    /// Something must not have happened.
    pub fn blame(&self, violation: impl Display) {
        self.violations.lock().unwrap().push(format!("{}: {violation}", self.clock.now()));
    }

    /// What must not have happened.
    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// Everything that happened, with its time.
    pub fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    /// What went wrong, and how often.
    pub fn struck(&self) -> BTreeMap<String, u64> {
        self.struck.lock().unwrap().clone()
    }

    /// A number the seed decides.
    pub fn draw(&self, range: std::ops::RangeInclusive<u64>) -> u64 {
        self.dice.lock().unwrap().random_range(range)
    }

    pub async fn take_time(&self) {
        tokio::time::sleep(Duration::from_millis(self.draw(0..=LONGEST_MS))).await;
    }
}

/// Where a process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before a request leaves.
    Request,
    /// After it was answered.
    Reply,
    /// Before a connection is made.
    Connect,
    /// After that.
    Connected,
    /// When a frame has come.
    FrameIn,
    /// Before one leaves.
    FrameOut,
    /// Before a transaction of candles and ledgers.
    Write,
    /// After its commit, before anybody knows.
    Written,
    /// Before any other call of the store.
    Store,
    /// After it has taken effect.
    Stored,
}

impl Place {
    /// All of them, each with how many of its kind a few hours of a schedule see, more or less.
    pub const ALL: [(Place, i64); 10] = [
        (Place::Request, 400),
        (Place::Reply, 400),
        (Place::Connect, 8),
        (Place::Connected, 8),
        (Place::FrameIn, 8_000),
        (Place::FrameOut, 40),
        (Place::Write, 800),
        (Place::Written, 800),
        (Place::Store, 2_000),
        (Place::Stored, 2_000),
    ];
}

/// Counts down to the crash.
#[derive(Debug, Clone)]
pub struct Crash(Arc<Countdown>);

#[derive(Debug)]
struct Countdown {
    /// Which points count; all of them where there is none.
    place: Option<Place>,
    /// Points that are still passed; negative once it has happened.
    left: Mutex<i64>,
    happened: Notify,
    course: Arc<Course>,
}

impl Crash {
    /// At the point of that number, counted from 0 over all points, or over those of one place.
    pub fn at_point(place: Option<Place>, number: i64, course: &Arc<Course>) -> Crash {
        let (left, happened) = (Mutex::new(number), Notify::new());
        Crash(Arc::new(Countdown { place, left, happened, course: course.clone() }))
    }

    pub fn never(course: &Arc<Course>) -> Crash {
        Crash::at_point(None, i64::MAX, course)
    }

    /// In some place, after some time, as the dice fall.
    pub fn somewhere(dice: &mut StdRng, course: &Arc<Course>) -> Crash {
        if dice.random_bool(0.3) {
            return Crash::at_point(None, dice.random_range(1..10_000), course);
        }
        let (place, usual) = *Place::ALL.choose(dice).expect("not empty");
        Crash::at_point(Some(place), dice.random_range(0..usual), course)
    }

    pub fn course(&self) -> &Arc<Course> {
        &self.0.course
    }

    /// Points that are still to be passed; negative once it has happened.
    pub fn left(&self) -> i64 {
        *self.0.left.lock().unwrap()
    }

    /// A point at which the process may die; then it never returns.
    pub async fn point(&self, place: Place) {
        if !self.passes(place) {
            std::future::pending::<()>().await;
        }
    }

    /// True while the process lives.
    fn passes(&self, place: Place) -> bool {
        let mut left = self.0.left.lock().unwrap();
        let counts = self.0.place.is_none_or(|only| only == place);
        if *left == 0 && counts {
            self.course().note(format!("dies: {place:?}"));
            self.course().strike(format!("crash at {place:?}"));
            self.0.happened.notify_one();
        }
        if *left < 0 {
            return false;
        }
        *left -= i64::from(counts);
        *left >= 0
    }

    /// A point that is noted and takes its time.
    pub async fn step(&self, place: Place, event: &str) {
        self.course().note(event);
        self.course().take_time().await;
        self.point(place).await;
    }

    pub async fn happened(&self) {
        self.0.happened.notified().await;
    }
}

/// The longest time over which a venue counts REST calls. What the life before spent of it is not
/// known to the next one.
const LONGEST_WINDOW: TimeDelta = TimeDelta::seconds(60);

/// The way to the venues, each step of which is a fault point.
pub struct CrashingTransport {
    inner: SimTransport,
    crash: Crash,
    /// When this life began.
    began: DateTime<Utc>,
    /// How often venues have turned us away by themselves.
    turned_away: AtomicU64,
}

impl CrashingTransport {
    pub fn new(simulator: Simulator, crash: Crash) -> CrashingTransport {
        let (began, turned_away) = (crash.course().clock.now(), AtomicU64::new(turned_away(&simulator)));
        CrashingTransport { inner: SimTransport::new(simulator), crash, began, turned_away }
    }

    /// No venue had to enforce its limits.
    fn check_limits(&self, url: &str) {
        let now = turned_away(&self.inner.simulator);
        let before = self.turned_away.swap(now, Ordering::SeqCst);
        if before < now && self.crash.course().clock.now() - self.began > LONGEST_WINDOW {
            self.crash.course().blame(format!("{url} was over the venue's limits"));
        }
    }
}

fn turned_away(simulator: &Simulator) -> u64 {
    simulator.stats().exchanges.values().map(|venue| venue.limited + venue.banned).sum()
}

#[async_trait]
impl Transport for CrashingTransport {
    async fn http(&self, request: &HttpRequest) -> Result<HttpReply, TransportError> {
        self.crash.step(Place::Request, &format!("asks for {}", request.url)).await;
        let reply = self.inner.http(request).await;
        self.check_limits(&request.url);
        let summary = reply.as_ref().map(|reply| (reply.status, reply.body.len()));
        self.crash.step(Place::Reply, &format!("is answered {summary:?}")).await;
        reply
    }

    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError> {
        self.crash.step(Place::Connect, &format!("connects to {url}")).await;
        let socket = self.inner.connect(url).await;
        self.check_limits(url);
        self.crash.point(Place::Connected).await;
        let WebSocket { frames, sink } = socket?;
        let (coming, leaving) = (self.crash.clone(), self.crash.clone());
        let frames = frames.then(move |frame| {
            let crash = coming.clone();
            async move {
                crash.point(Place::FrameIn).await;
                frame
            }
        });
        let sink = sink.with(move |frame| {
            let crash = leaving.clone();
            async move {
                crash.point(Place::FrameOut).await;
                Ok::<_, TransportError>(frame)
            }
        });
        let sink: Pin<Box<dyn Sink<Frame, Error = TransportError> + Send>> = Box::pin(sink);
        Ok(WebSocket { frames: Box::pin(frames), sink })
    }
}
