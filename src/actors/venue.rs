//! What all actors of one venue share: its dialect, its clock, and the seams to the outside.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::engine::venue_time::VenueTime;
use crate::exchange::{Capabilities, Dialect, HttpReply};
use crate::status::{Tally, VenueTally};
use crate::transport::Transport;

/// The shortest wall-clock wait for I/O, however fast a scaled clock runs.
const IO_FLOOR: Duration = Duration::from_secs(2);
/// How many symbols of a venue read their ledgers at the same time.
const MOST_OPENINGS: usize = 32;

/// One venue as its actors see it. Cheap to clone.
#[derive(Clone)]
pub struct Venue {
    /// How it speaks.
    pub dialect: Arc<dyn Dialect>,
    /// How it is reached.
    pub transport: Arc<dyn Transport>,
    /// Our clock.
    pub clock: Clock,
    /// Running totals of the collector.
    pub tally: Tally,
    /// Those of this venue.
    pub counts: VenueTally,
    /// Permits to read a ledger: a symbol needs far more memory for that than it keeps, and thousands
    /// begin in the same moment.
    pub openings: Arc<Semaphore>,
    time: Arc<Mutex<VenueTime>>,
}

impl Venue {
    /// A venue whose clock is not known yet.
    pub fn new(dialect: Arc<dyn Dialect>, transport: Arc<dyn Transport>, clock: Clock, tally: Tally) -> Venue {
        let counts = tally.venue(dialect.capabilities().id);
        let openings = Arc::new(Semaphore::new(MOST_OPENINGS));
        Venue { dialect, transport, clock, tally, counts, openings, time: Arc::default() }
    }

    /// What it can do.
    pub fn capabilities(&self) -> &'static Capabilities {
        self.dialect.capabilities()
    }

    /// Its id.
    pub fn id(&self) -> &'static str {
        self.capabilities().id
    }

    /// Venue time now.
    pub fn now(&self) -> DateTime<Utc> {
        self.at(self.clock.now())
    }

    /// Venue time at an instant of our clock.
    pub fn at(&self, ours: DateTime<Utc>) -> DateTime<Utc> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).at(ours)
    }

    /// Learns from a stamp on a frame received at an instant of our clock; gives venue time then.
    pub fn observe_stamp(&self, stamp: DateTime<Utc>, received_at: DateTime<Utc>) -> DateTime<Utc> {
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        time.observe(stamp, received_at);
        time.at(received_at)
    }

    /// Learns from the `Date` of a reply received just now.
    pub fn observe_reply(&self, reply: &HttpReply, sent_at: DateTime<Utc>) {
        if let Some(date) = reply.date() {
            let now = self.clock.now();
            self.time.lock().unwrap_or_else(PoisonError::into_inner).observe_date(date, sent_at, now);
        }
    }

    /// The wall-clock time to wait until venue time shows `at`; zero when it is past.
    pub fn wall_until(&self, at: DateTime<Utc>) -> Duration {
        self.clock.to_wall((at - self.now()).to_std().unwrap_or_default())
    }

    /// The wall-clock form of a limit on silence: shorter under a scaled clock, never hasty.
    pub fn io_wait(&self, limit: Duration) -> Duration {
        self.clock.to_wall(limit).max(limit.min(IO_FLOOR))
    }
}

impl std::fmt::Debug for Venue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Venue({})", self.id())
    }
}
