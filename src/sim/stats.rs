//! What was asked of the simulator and what it did, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::listing::Venue;

/// Counters of one venue since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VenueStats {
    /// HTTP requests, refused and unanswered ones included.
    pub requests: u64,
    /// By endpoint: `OHLC`, `klines`, `chart` ...
    pub by_endpoint: BTreeMap<String, u64>,
    /// By `endpoint symbol interval` (the interval where there is one).
    pub by_series: BTreeMap<String, u64>,
    /// By HTTP status; 0 for requests that got no reply.
    pub by_status: BTreeMap<u16, u64>,
    /// Sockets opened.
    pub sockets_opened: u64,
    /// Sockets open now.
    pub sockets_open: u64,
    /// Frames sent on sockets, pings included.
    pub frames_sent: u64,
    /// Requests refused by a limit.
    pub limited: u64,
    /// Requests refused because of a ban.
    pub banned: u64,
}

/// Counters of the whole simulation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// By venue id.
    pub exchanges: BTreeMap<&'static str, VenueStats>,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<&'static str, u64>,
}

/// The live counters.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<&'static str, VenueStats>>);

impl Counters {
    pub(crate) fn count(&self, venue: Venue, change: impl FnOnce(&mut VenueStats)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(venue.as_str()).or_default());
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<&'static str, VenueStats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
