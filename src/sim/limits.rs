//! The venues' limits, counted in simulated time per address.
//!
//! Kraken and Yahoo publish no numbers; theirs are a counter that decays: `burst` calls at once,
//! then `per_second`. Binance counts weight in whole minutes and bans those who go on.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::listing::Venue;
use super::tape::SECOND_NS;

/// Calls allowed at once, and their decay: Kraken documents one call a second as safe.
const KRAKEN: (f64, f64) = (15.0, 1.0);
/// Yahoo documents nothing; this is what polite clients stay below.
const YAHOO: (f64, f64) = (60.0, 1.0);
/// Binance's weight per minute, as its `exchangeInfo` says.
pub(crate) const BINANCE_WEIGHT: u64 = 6_000;
/// Requests after a 429, within its minute, that bring a ban.
const PATIENCE: u32 = 5;
/// First ban; each further one is twice as long, up to three days.
const FIRST_BAN_S: i64 = 120;
const LONGEST_BAN_S: i64 = 3 * 86_400;

/// What Binance says to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// Allowed; weight used in this minute.
    Fine(u64),
    /// 429; seconds to wait.
    Limited(i64),
    /// 418; seconds until the ban ends.
    Banned(i64),
}

#[derive(Debug, Default)]
struct Account {
    minute: i64,
    weight: u64,
    offences: u32,
    banned_until_s: i64,
    bans: u32,
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    decaying: HashMap<(Venue, IpAddr, String), (f64, i64)>,
    accounts: HashMap<IpAddr, Account>,
    connects: HashMap<(Venue, IpAddr), VecDeque<i64>>,
}

impl Limits {
    /// One call of Kraken or Yahoo; `scope` separates counters (Kraken counts OHLC and Trades per pair).
    pub(crate) fn allows(&mut self, venue: Venue, peer: IpAddr, scope: &str, now_ns: i64) -> bool {
        let (burst, per_second) = if venue == Venue::Kraken { KRAKEN } else { YAHOO };
        let (counter, at) = self.decaying.entry((venue, peer, scope.to_owned())).or_insert((0.0, now_ns));
        let passed = (now_ns - *at).max(0) as f64 / SECOND_NS as f64;
        *counter = (*counter - passed * per_second).max(0.0);
        *at = now_ns;
        // Refused calls count too, so that hammering keeps the door shut; but not without end.
        *counter = (*counter + 1.0).min(burst * 1.5);
        *counter <= burst
    }

    /// One call of Binance.
    pub(crate) fn weigh(&mut self, peer: IpAddr, weight: u64, now_ns: i64) -> Weighed {
        let now = now_ns.div_euclid(SECOND_NS);
        let account = self.accounts.entry(peer).or_default();
        if now < account.banned_until_s {
            return Weighed::Banned(account.banned_until_s - now);
        }
        let minute = now.div_euclid(60);
        if account.minute != minute {
            *account = Account { minute, bans: account.bans, ..Account::default() };
        }
        account.weight += weight;
        if account.weight <= BINANCE_WEIGHT {
            return Weighed::Fine(account.weight);
        }
        account.offences += 1;
        if account.offences > PATIENCE {
            let ban = (FIRST_BAN_S << account.bans.min(12)).min(LONGEST_BAN_S);
            account.bans += 1;
            account.banned_until_s = now + ban;
            return Weighed::Banned(ban);
        }
        Weighed::Limited(60 - now.rem_euclid(60))
    }

    /// One attempt to open a socket: Kraken's edge allows 150 in 10 minutes, Binance 300 in 5.
    pub(crate) fn may_connect(&mut self, venue: Venue, peer: IpAddr, now_ns: i64) -> bool {
        let (most, window_s) = if venue == Venue::Kraken { (150, 600) } else { (300, 300) };
        let log = self.connects.entry((venue, peer)).or_default();
        while log.front().is_some_and(|at| *at <= now_ns - window_s * SECOND_NS) {
            log.pop_front();
        }
        log.push_back(now_ns);
        if log.len() > most {
            log.pop_front();
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn kraken_allows_a_burst_and_then_one_call_a_second() {
        let mut limits = Limits::default();
        let burst = (0..20).filter(|_| limits.allows(Venue::Kraken, PEER, "OHLC XXBTZUSD", 0)).count();
        assert_eq!(burst, 15);
        assert!(limits.allows(Venue::Kraken, PEER, "OHLC XETHZUSD", 0), "another pair has its own counter");
        let later = 30 * SECOND_NS;
        let steady = (0..60).filter(|n| limits.allows(Venue::Kraken, PEER, "OHLC XXBTZUSD", later + n * SECOND_NS));
        assert_eq!(steady.count(), 60);
    }

    #[test]
    fn binance_limits_by_the_minute_and_bans_who_goes_on() {
        let mut limits = Limits::default();
        let start = 1_795_183_200 * SECOND_NS;
        assert_eq!(limits.weigh(PEER, 6_000, start), Weighed::Fine(6_000));
        let answers: Vec<_> = (0..7).map(|n| limits.weigh(PEER, 2, start + n * SECOND_NS)).collect();
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
        assert_eq!(limits.weigh(PEER, 2, start + 125 * SECOND_NS), Weighed::Fine(2));
    }

    #[test]
    fn the_151st_connection_within_ten_minutes_is_refused_by_kraken() {
        let mut limits = Limits::default();
        let allowed = (0..151).filter(|n| limits.may_connect(Venue::Kraken, PEER, n * SECOND_NS)).count();
        assert_eq!(allowed, 150);
        assert!(limits.may_connect(Venue::Kraken, PEER, 700 * SECOND_NS));
    }
}
