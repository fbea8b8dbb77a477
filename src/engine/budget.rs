//! The rate budget of one exchange: which call may leave now, and when the next one may.
//!
//! Promises that no span of time as long as a limit's window, wherever the venue lets it begin,
//! sees more than its declared capacity from us, as long as calls differ by less than
//! [`RateLimit`]'s transit allowance in the time they take to arrive. So a server that counts by
//! fixed windows is satisfied just as one that counts by sliding ones. Lower priorities may only
//! fill a part of each window, which leaves room for what cannot wait.
//!
//! It does not send, sleep or log, and knows no venue: limits are data.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::exchange::{Cost, ErrorKind, RateLimit};

/// What a call is for; the first named goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Keeps a series at the present.
    Live,
    /// Reads what is only ever wanted as it is now.
    Ticker,
    /// Fills a hole that opened while collecting.
    Repair,
    /// Reads history.
    Backfill,
    /// Confirms what is already stored.
    Verification,
}

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Priority; 5] =
        [Priority::Live, Priority::Ticker, Priority::Repair, Priority::Backfill, Priority::Verification];

    /// How full, in percent of its capacity, calls of this priority may make a window. What is
    /// above stays free for the priorities before it.
    pub const fn share_percent(self) -> u32 {
        match self {
            Priority::Live => 100,
            Priority::Ticker | Priority::Repair => 90,
            Priority::Backfill => 80,
            Priority::Verification => 50,
        }
    }
}

/// The answer to a call that wants to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Send it now; it is charged.
    Go,
    /// Not before this instant; nothing is charged, ask again then.
    WaitUntil(DateTime<Utc>),
}

/// How a venue turned us away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many requests (429, Kraken's `EAPI:Rate limit exceeded`).
    Limited,
    /// Locked out (418, Kraken's `EGeneral:Temporary lockout`, a 403 of the venue's edge).
    Banned,
}

impl Refusal {
    /// The refusal that an error means, with the venue's own wait; `None` for other errors.
    pub const fn of(kind: ErrorKind) -> Option<(Refusal, Option<Duration>)> {
        match kind {
            ErrorKind::RateLimited { retry_after } => Some((Refusal::Limited, retry_after)),
            ErrorKind::Banned { retry_after } => Some((Refusal::Banned, retry_after)),
            _ => None,
        }
    }

    /// First and longest wait where the venue names none.
    const fn backoff(self) -> (Duration, Duration) {
        match self {
            Refusal::Limited => (Duration::from_secs(5), Duration::from_secs(300)),
            Refusal::Banned => (Duration::from_secs(300), Duration::from_secs(7200)),
        }
    }
}

/// The longest wait a venue can impose with one reply: a header of nonsense must not stop us for
/// good. Binance, the strictest documented, bans for up to three days.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// The budget of one exchange. All instants come from the caller's clock; one that steps back
/// counts as standing still.
#[derive(Debug, Clone)]
pub struct Budget {
    meters: Vec<Meter>,
    blocked_until: Option<DateTime<Utc>>,
    /// Refusals since the last success, those of calls already under way counted as one.
    strikes: u32,
    latest: DateTime<Utc>,
}

impl Budget {
    /// An unused budget for a venue's declared limits.
    pub fn new(limits: &[RateLimit], now: DateTime<Utc>) -> Budget {
        Budget { meters: limits.iter().map(Meter::new).collect(), blocked_until: None, strikes: 0, latest: now }
    }

    /// Asks for a call to leave at `now`, charging it when it may. A cost above a limit's whole
    /// capacity waits for an empty window and then goes; a cost of a limit that was never declared
    /// is not counted.
    pub fn request(&mut self, cost: Cost, priority: Priority, now: DateTime<Utc>) -> Admission {
        let now = self.advance(now);
        let meter = self.meters.get_mut(cost.limit);
        let free_at = meter.as_ref().and_then(|meter| meter.wait_until(cost.units, priority));
        match free_at.max(self.blocked_until) {
            Some(until) => Admission::WaitUntil(until),
            None => {
                if let Some(meter) = meter {
                    meter.charge(now, cost.units);
                }
                Admission::Go
            }
        }
    }

    /// Takes over the venue's own count of the current window, read from a reply that arrived at
    /// `now`. What exceeds our count was spent by others behind the same address, or before this
    /// process started.
    pub fn observe_used(&mut self, limit: usize, units: u32, now: DateTime<Utc>) {
        let now = self.advance(now);
        if let Some(meter) = self.meters.get_mut(limit) {
            let counted = meter.used_since(now - meter.limit.window);
            let unseen = u64::from(units).saturating_sub(counted);
            meter.charge(now, u32::try_from(unseen).unwrap_or(u32::MAX));
        }
    }

    /// Lets nothing leave before `until`; a block already longer stays.
    pub fn block_until(&mut self, until: DateTime<Utc>) {
        if until > self.latest {
            self.blocked_until = self.blocked_until.max(Some(until));
        }
    }

    /// The end of the current block, to be stored so that no restart forgets a ban.
    pub fn blocked_until(&self) -> Option<DateTime<Utc>> {
        self.blocked_until
    }

    /// The venue refused a call at `now`: blocks, and returns until when. Without the venue's own
    /// wait it grows with each refusal after a block; a venue's wait that proved too short before
    /// is stretched to the previous step of that growth.
    pub fn refused(&mut self, refusal: Refusal, retry_after: Option<Duration>, now: DateTime<Utc>) -> DateTime<Utc> {
        let now = self.advance(now);
        // Replies to calls sent before the block began are the same refusal told again.
        if self.blocked_until.is_none() {
            self.strikes = self.strikes.saturating_add(1);
        }
        let (first, longest) = refusal.backoff();
        let grown = |step: u32| first.saturating_mul(2u32.saturating_pow(step)).min(longest);
        let strikes = self.strikes.max(1);
        let wait = match retry_after {
            None => grown(strikes - 1),
            Some(told) if strikes == 1 => told,
            Some(told) => told.max(grown(strikes - 2)),
        };
        let until = now + wait.min(LONGEST_WAIT);
        self.block_until(until);
        self.blocked_until.unwrap_or(until)
    }

    /// A call succeeded: the next refusal starts small again. Ignored while blocked, because then
    /// the call left before the refusal.
    pub fn succeeded(&mut self, now: DateTime<Utc>) {
        self.advance(now);
        if self.blocked_until.is_none() {
            self.strikes = 0;
        }
    }

    /// Units that count against a limit at `now`; 0 for one that was never declared.
    pub fn used(&mut self, limit: usize, now: DateTime<Utc>) -> u64 {
        self.advance(now);
        self.meters.get(limit).map_or(0, |meter| meter.used)
    }

    /// The share of each declared limit that is used at `now`, with its name.
    pub fn shares_used(&mut self, now: DateTime<Utc>) -> Vec<(&'static str, f64)> {
        self.advance(now);
        let share = |meter: &Meter| (meter.limit.name, meter.used as f64 / f64::from(meter.limit.capacity.max(1)));
        self.meters.iter().map(share).collect()
    }

    /// The declared limits.
    pub fn limits(&self) -> impl ExactSizeIterator<Item = &RateLimit> {
        self.meters.iter().map(|meter| &meter.limit)
    }

    fn advance(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.latest = self.latest.max(now);
        self.blocked_until = self.blocked_until.filter(|until| *until > self.latest);
        for meter in &mut self.meters {
            meter.expire(self.latest);
        }
        self.latest
    }
}

/// How much calls may differ in the time they take to the server without breaking the promise: a
/// first call waits for name, TCP and TLS, the next one does not. Paid with a slightly lower rate.
pub fn transit_allowance(limit: &RateLimit) -> Duration {
    (limit.window / 4).min(Duration::from_secs(1))
}

/// The charges of one limit that still count, oldest first.
#[derive(Debug, Clone)]
struct Meter {
    limit: RateLimit,
    /// How long a charge counts.
    hold: Duration,
    log: VecDeque<(DateTime<Utc>, u32)>,
    used: u64,
}

impl Meter {
    fn new(limit: &RateLimit) -> Meter {
        Meter { limit: *limit, hold: limit.window + transit_allowance(limit), log: VecDeque::new(), used: 0 }
    }

    fn expire(&mut self, now: DateTime<Utc>) {
        while let Some((at, units)) = self.log.front().copied()
            && at + self.hold <= now
        {
            self.log.pop_front();
            self.used -= u64::from(units);
        }
    }

    fn charge(&mut self, now: DateTime<Utc>, units: u32) {
        if units > 0 {
            self.log.push_back((now, units));
            self.used += u64::from(units);
        }
    }

    fn used_since(&self, from: DateTime<Utc>) -> u64 {
        self.log.iter().rev().take_while(|(at, _)| *at > from).map(|(_, units)| u64::from(*units)).sum()
    }

    /// When enough charges have expired for these units; `None` for now.
    fn wait_until(&self, units: u32, priority: Priority) -> Option<DateTime<Utc>> {
        let capacity = u64::from(self.limit.capacity);
        let units = u64::from(units).min(capacity);
        // A share may be smaller than one call (Kraken: one call a second); then the call needs
        // the window for itself.
        let ceiling = (capacity * u64::from(priority.share_percent()) / 100).max(units);
        let mut excess = (self.used + units).saturating_sub(ceiling);
        let mut until = None;
        for (at, freed) in &self.log {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(u64::from(*freed));
            until = Some(*at + self.hold);
        }
        until
    }
}

#[cfg(test)]
mod tests;
