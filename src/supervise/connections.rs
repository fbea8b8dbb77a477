//! When a connection is replaced before its venue ends it, and when silence is taken for deafness, as
//! data. No actors here.

use std::time::Duration;

use super::policy::growing_wait;

/// How connections are replaced before their venue ends them. The old one goes on until the new one
/// has proven itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotationPolicy {
    /// How long before its end a connection is replaced, at most nine tenths of its life.
    pub lead: Duration,
    /// Part of the lead that is random, 0 to 1, so that connections made together are not replaced
    /// together.
    pub jitter: f64,
    /// How long a new connection may take until it has delivered something after all its acks. One
    /// that takes longer is given up, and another one tried later.
    pub patience: Duration,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        RotationPolicy { lead: Duration::from_secs(3600), jitter: 0.5, patience: Duration::from_secs(120) }
    }
}

impl RotationPolicy {
    /// The age at which a connection is replaced that its venue ends after `lifetime`; `random` in
    /// `0..1` places it within the jitter.
    pub fn age(&self, lifetime: Duration, random: f64) -> Duration {
        let lead = self.lead.min(lifetime * 9 / 10);
        lifetime - lead.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0))
    }
}

/// When a stream that says nothing of a symbol is taken for deaf, and what follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeafPolicy {
    /// How long a stream that is deaf for a symbol goes unnoticed at most, from the first trade that it
    /// leaves out. While a symbol says nothing for that long, REST is asked once whether it traded.
    pub within: Duration,
    /// How long a deaf symbol is polled before its stream is tried again; doubled each time that it
    /// turns out to be deaf still.
    pub rest: Duration,
    /// The longest such rest.
    pub rest_max: Duration,
    /// So many deaf symbols ...
    pub symbols: u32,
    /// ... that are at least this part of all that a connection carries, 0 to 1, condemn the
    /// connection itself: it is replaced, and they return to the stream with the new one.
    pub share: f64,
}

impl Default for DeafPolicy {
    fn default() -> Self {
        DeafPolicy {
            within: Duration::from_secs(900),
            rest: Duration::from_secs(900),
            rest_max: Duration::from_secs(4 * 3600),
            symbols: 3,
            share: 0.1,
        }
    }
}

impl DeafPolicy {
    /// True when so many `deaf` ones among `carried` symbols are the connection's fault.
    pub fn condemns(&self, deaf: usize, carried: usize) -> bool {
        deaf >= self.symbols as usize && deaf as f64 >= self.share * carried as f64
    }

    /// How long a symbol is polled that has been found deaf `times` times before without a break;
    /// `random` in `0..1` spreads returns.
    pub fn rest(&self, times: u32, random: f64) -> Duration {
        growing_wait(self.rest, self.rest_max, 0.2, times, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_replaced_at_different_ages_before_their_end() {
        let day = Duration::from_secs(24 * 3600);
        let ages = [0.0, 0.5, 1.0].map(|random| RotationPolicy::default().age(day, random).as_secs() / 60);
        assert_eq!(ages, [23 * 60, 23 * 60 + 15, 23 * 60 + 30]);
        let short = RotationPolicy::default().age(Duration::from_secs(20), 0.0);
        assert_eq!(short, Duration::from_secs(2), "a short life is not all lead");
    }

    #[test]
    fn several_deaf_symbols_that_are_a_fair_part_condemn_their_connection() {
        let policy = DeafPolicy::default();
        let condemned = [(1, 1), (2, 2), (3, 3), (3, 30), (3, 31), (49, 500), (50, 500)];
        assert_eq!(
            condemned.map(|(deaf, carried)| policy.condemns(deaf, carried)),
            [false, false, true, true, false, false, true]
        );
    }

    #[test]
    fn a_symbol_that_stays_deaf_is_tried_less_and_less_often() {
        let minutes = [0, 1, 2, 9].map(|times| DeafPolicy::default().rest(times, 0.0).as_secs() / 60);
        assert_eq!(minutes, [15, 30, 60, 240]);
    }
}
