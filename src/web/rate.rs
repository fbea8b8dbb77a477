//! How many requests an address may make.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Requests at once.
const BURST: u32 = 50;
/// One more after each of these.
const EACH: Duration = Duration::from_millis(40);
/// Addresses that are remembered.
const MOST_ADDRESSES: usize = 1024;

/// For each address the instant at which it will have its whole burst again; one without an entry
/// has it now.
#[derive(Debug, Default)]
pub(super) struct Rate(HashMap<IpAddr, Instant>);

impl Rate {
    /// Counts a request; false when it is one too many.
    pub(super) fn admits(&mut self, who: IpAddr, now: Instant) -> bool {
        if self.0.len() >= MOST_ADDRESSES && !self.0.contains_key(&who) {
            self.0.retain(|_, full_at| *full_at > now);
            if self.0.len() >= MOST_ADDRESSES {
                return false;
            }
        }
        let full_at = self.0.entry(who).or_insert(now);
        let next = (*full_at).max(now) + EACH;
        let admits = next <= now + EACH * BURST;
        if admits {
            *full_at = next;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_then_one_at_a_time_and_addresses_do_not_share() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        assert_eq!((0..60).filter(|_| rate.admits(one, now)).count(), 50);
        assert!(rate.admits(other, now));
        assert!(!rate.admits(one, now + Duration::from_millis(39)));
        assert!(rate.admits(one, now + Duration::from_millis(40)));
        assert!(!rate.admits(one, now + Duration::from_millis(41)));
        let later = now + Duration::from_secs(60);
        assert_eq!((0..60).filter(|_| rate.admits(one, later)).count(), 50, "never more than a burst");
    }

    #[test]
    fn addresses_without_number_are_not_remembered() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        let admitted = (0..5000u32).filter(|n| rate.admits(IpAddr::from(n.to_be_bytes()), now)).count();
        assert_eq!((admitted, rate.0.len()), (1024, 1024));
        assert!(rate.admits(IpAddr::from([9, 9, 9, 9]), now + EACH), "those that are quiet are forgotten");
        assert_eq!(rate.0.len(), 1);
    }
}
