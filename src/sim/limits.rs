//! The kinds of limits venues set, counted in simulated time per address and scope. The numbers are
//! the halves' own.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::listing::Venue;
use super::tape::SECOND_NS;

/// A counter that decays: so many calls at once, then so many a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decay {
    pub(crate) burst: f64,
    pub(crate) per_second: f64,
}

/// Weight in aligned windows; who goes on after a 429 is banned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    pub(crate) capacity: u64,
    pub(crate) window_s: i64,
}

/// So many in any stretch of this length; one more closes the door for `block_s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) most: usize,
    pub(crate) window_s: i64,
    pub(crate) block_s: i64,
}

/// Requests after a 429, within its window, that bring a ban.
const PATIENCE: u32 = 5;
/// First ban; each further one is twice as long, up to three days.
const FIRST_BAN_S: i64 = 120;
const LONGEST_BAN_S: i64 = 3 * 86_400;

/// What a weighed call is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// Allowed; weight used in this window.
    Fine(u64),
    /// 429; seconds to wait.
    Limited(i64),
    /// 418; seconds until the ban ends.
    Banned(i64),
}

#[derive(Debug, Default)]
struct Account {
    window: i64,
    weight: u64,
    offences: u32,
    banned_until_s: i64,
    bans: u32,
}

#[derive(Debug, Default)]
struct Log {
    times: VecDeque<i64>,
    blocked_until_ns: i64,
}

type Key = (Venue, IpAddr, String);

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    decaying: HashMap<Key, (f64, i64)>,
    accounts: HashMap<Key, Account>,
    logs: HashMap<Key, Log>,
}

impl Limits {
    /// One call against a decaying counter; each `scope` has its own.
    pub(crate) fn allows(&mut self, venue: Venue, peer: IpAddr, scope: &str, limit: Decay, now_ns: i64) -> bool {
        let (counter, at) = self.decaying.entry((venue, peer, scope.to_owned())).or_insert((0.0, now_ns));
        let passed = (now_ns - *at).max(0) as f64 / SECOND_NS as f64;
        *counter = (*counter - passed * limit.per_second).max(0.0);
        *at = now_ns;
        // Refused calls count too, so that hammering keeps the door shut; but not without end.
        *counter = (*counter + 1.0).min(limit.burst * 1.5);
        *counter <= limit.burst
    }

    /// What a decaying counter stood at after its last call.
    pub(crate) fn level(&self, venue: Venue, peer: IpAddr, scope: &str) -> f64 {
        self.decaying.get(&(venue, peer, scope.to_owned())).map_or(0.0, |(counter, _)| *counter)
    }

    /// A call of some weight.
    pub(crate) fn weigh(&mut self, venue: Venue, peer: IpAddr, weight: u64, limit: Weights, now_ns: i64) -> Weighed {
        let now = now_ns.div_euclid(SECOND_NS);
        let account = self.accounts.entry((venue, peer, String::new())).or_default();
        if now < account.banned_until_s {
            return Weighed::Banned(account.banned_until_s - now);
        }
        let window = now.div_euclid(limit.window_s);
        if account.window != window {
            *account = Account { window, bans: account.bans, ..Account::default() };
        }
        account.weight += weight;
        if account.weight <= limit.capacity {
            return Weighed::Fine(account.weight);
        }
        account.offences += 1;
        if account.offences > PATIENCE {
            let ban = (FIRST_BAN_S << account.bans.min(12)).min(LONGEST_BAN_S);
            account.bans += 1;
            account.banned_until_s = now + ban;
            return Weighed::Banned(ban);
        }
        Weighed::Limited(limit.window_s - now.rem_euclid(limit.window_s))
    }

    /// A call of some weight at a venue that refuses what does not fit into the window, and no more.
    pub(crate) fn spend(&mut self, venue: Venue, peer: IpAddr, weight: u64, limit: Weights, now_ns: i64) -> bool {
        let account = self.accounts.entry((venue, peer, String::new())).or_default();
        let window = now_ns.div_euclid(SECOND_NS * limit.window_s);
        if account.window != window {
            *account = Account { window, ..Account::default() };
        }
        let fits = account.weight + weight <= limit.capacity;
        account.weight += if fits { weight } else { 0 };
        fits
    }

    /// Adds to what has been spent in the window: what an answer weighs is known when it is made.
    pub(crate) fn owe(&mut self, venue: Venue, peer: IpAddr, weight: u64) {
        if let Some(account) = self.accounts.get_mut(&(venue, peer, String::new())) {
            account.weight += weight;
        }
    }

    /// One more in a sliding window; each `scope` has its own. Refused ones do not count.
    pub(crate) fn within(&mut self, venue: Venue, peer: IpAddr, scope: &str, limit: Window, now_ns: i64) -> bool {
        let log = self.logs.entry((venue, peer, scope.to_owned())).or_default();
        if now_ns < log.blocked_until_ns {
            return false;
        }
        while log.times.front().is_some_and(|at| *at <= now_ns - limit.window_s * SECOND_NS) {
            log.times.pop_front();
        }
        if log.times.len() >= limit.most {
            log.blocked_until_ns = now_ns + limit.block_s * SECOND_NS;
            return false;
        }
        log.times.push_back(now_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const VENUE: Venue = Venue::named("somewhere");

    #[test]
    fn a_decaying_counter_allows_a_burst_and_then_its_rate() {
        let mut limits = Limits::default();
        let decay = Decay { burst: 15.0, per_second: 1.0 };
        let burst = (0..20).filter(|_| limits.allows(VENUE, PEER, "a", decay, 0)).count();
        assert_eq!(burst, 15);
        assert!(limits.allows(VENUE, PEER, "b", decay, 0), "another scope has its own counter");
        assert_eq!((limits.level(VENUE, PEER, "a"), limits.level(VENUE, PEER, "b")), (20.0, 1.0));
        let later = 30 * SECOND_NS;
        let steady = (0..60).filter(|n| limits.allows(VENUE, PEER, "a", decay, later + n * SECOND_NS));
        assert_eq!(steady.count(), 60);
    }

    #[test]
    fn weight_is_limited_by_the_window_and_who_goes_on_is_banned() {
        let mut limits = Limits::default();
        let minute = Weights { capacity: 6_000, window_s: 60 };
        let start = 1_795_183_200 * SECOND_NS;
        assert_eq!(limits.weigh(VENUE, PEER, 6_000, minute, start), Weighed::Fine(6_000));
        let answers: Vec<_> = (0..7).map(|n| limits.weigh(VENUE, PEER, 2, minute, start + n * SECOND_NS)).collect();
        assert_eq!(
            answers,
            [
                Weighed::Limited(60),
                Weighed::Limited(59),
                Weighed::Limited(58),
                Weighed::Limited(57),
                Weighed::Limited(56),
                Weighed::Banned(120),
                Weighed::Banned(119),
            ]
        );
        assert_eq!(limits.weigh(VENUE, PEER, 2, minute, start + 125 * SECOND_NS), Weighed::Fine(2));
    }

    #[test]
    fn what_does_not_fit_into_a_window_is_refused_and_costs_nothing() {
        let mut limits = Limits::default();
        let minute = Weights { capacity: 1_200, window_s: 60 };
        let spend =
            |limits: &mut Limits, weight, second: i64| limits.spend(VENUE, PEER, weight, minute, second * SECOND_NS);
        assert!(spend(&mut limits, 1_180, 0));
        assert!(!spend(&mut limits, 21, 1));
        assert!(spend(&mut limits, 20, 2));
        assert!(spend(&mut limits, 20, 60), "a new minute");
        limits.owe(VENUE, PEER, 1_180);
        assert!(!spend(&mut limits, 1, 61));
    }

    #[test]
    fn one_too_many_in_a_window_closes_the_door() {
        let mut limits = Limits::default();
        let window = Window { most: 150, window_s: 600, block_s: 60 };
        let mut ask = |second: i64| limits.within(VENUE, PEER, "", window, second * SECOND_NS);
        assert_eq!((0..150).filter(|second| ask(*second)).count(), 150);
        assert!(!ask(150));
        assert!(!ask(200), "blocked for a minute");
        assert!(ask(700));
    }
}
