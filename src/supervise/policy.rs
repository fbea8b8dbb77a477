//! Restart policy as data, and the arithmetic that obeys it. No actors here.
//!
//! Follows OTP's `supervisor`: deaths are counted in a sliding window, and more than `intensity`
//! within `period` means restarts are not helping. Differs in two points: besides escalating, a
//! parent may *quarantine* a child, because one delisted symbol must not stop its venue; and
//! restarts wait, doubling from `backoff_first` to `backoff_max` until the child proves useful.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// How a child is restarted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// Deaths within [`period`](Self::period) that are still answered with a restart; at least 1.
    pub intensity: u32,
    /// Length of the sliding window in which deaths are counted.
    pub period: Duration,
    /// Wait before the first restart.
    pub backoff_first: Duration,
    /// Longest wait before a restart.
    pub backoff_max: Duration,
    /// Part of a wait that is random, 0 to 1: with 0.2 a wait of 10 s lasts 8 to 10 s.
    pub jitter: f64,
    /// What follows the death that exceeds `intensity`.
    pub exhausted: Exhausted,
}

/// What follows when restarts do not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// The child rests this long, then starts with a clean record.
    Quarantine(Duration),
    /// The parent fails too.
    Escalate,
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

impl RestartPolicy {
    /// One symbol: a broken one rests, its venue goes on.
    pub const SYMBOL: RestartPolicy = RestartPolicy {
        intensity: 5,
        period: minutes(10),
        backoff_first: Duration::from_secs(1),
        backoff_max: minutes(1),
        jitter: 0.2,
        exhausted: Exhausted::Quarantine(minutes(15)),
    };

    /// A whole venue.
    pub const EXCHANGE: RestartPolicy =
        RestartPolicy { exhausted: Exhausted::Quarantine(minutes(30)), ..RestartPolicy::SYMBOL };

    /// One WebSocket connection. Venues count connects (Kraken's edge bans after about 150 in ten
    /// minutes): fast at first, never faster than every half minute for long.
    pub const STREAM: RestartPolicy = RestartPolicy {
        intensity: 10,
        period: minutes(10),
        backoff_first: Duration::from_millis(500),
        backoff_max: Duration::from_secs(30),
        jitter: 0.3,
        exhausted: Exhausted::Quarantine(minutes(5)),
    };

    /// The probe that waits for a venue to come back. A failed probe is its normal end, so the
    /// intensity is out of reach of its own back-off.
    pub const PROBE: RestartPolicy = RestartPolicy {
        intensity: 30,
        period: minutes(10),
        backoff_first: Duration::from_secs(5),
        backoff_max: minutes(5),
        jitter: 0.2,
        exhausted: Exhausted::Quarantine(minutes(15)),
    };

    /// The writer: without it nothing is kept, so the host must know.
    pub const WRITER: RestartPolicy = RestartPolicy {
        intensity: 3,
        period: minutes(1),
        backoff_first: Duration::from_millis(100),
        backoff_max: Duration::from_secs(5),
        jitter: 0.0,
        exhausted: Exhausted::Escalate,
    };

    /// The wait before restart number `streak` (from 0) since the child was last useful; `random`
    /// in `0..1` places it within the jitter. Never longer than `backoff_max`.
    pub fn backoff(&self, streak: u32, random: f64) -> Duration {
        growing_wait(self.backoff_first, self.backoff_max, self.jitter, streak, random)
    }
}

/// How a stream that does not work is tried again while its symbols are polled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReprobePolicy {
    /// Wait before the first trial.
    pub first: Duration,
    /// Longest wait before a trial.
    pub max: Duration,
    /// Part of a wait that is random, 0 to 1.
    pub jitter: f64,
}

impl Default for ReprobePolicy {
    fn default() -> Self {
        ReprobePolicy { first: minutes(1), max: minutes(30), jitter: 0.2 }
    }
}

impl ReprobePolicy {
    /// The wait before trial number `attempt` (from 0), as [`RestartPolicy::backoff`] counts.
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        growing_wait(self.first, self.max, self.jitter, attempt, random)
    }
}

pub(super) fn growing_wait(first: Duration, max: Duration, jitter: f64, step: u32, random: f64) -> Duration {
    let grown = first.saturating_mul(2u32.saturating_pow(step)).min(max);
    grown.mul_f64(1.0 - jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0))
}

/// What a parent does about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start the next generation at this instant.
    RestartAt(DateTime<Utc>),
    /// Leave it alone until this instant, then start it.
    Quarantine {
        /// End of the rest.
        until: DateTime<Utc>,
    },
    /// Fail too.
    Escalate,
}

/// The deaths of one child under its policy.
#[derive(Debug, Clone)]
pub struct RestartWindow {
    policy: RestartPolicy,
    /// Deaths younger than the period, oldest first.
    deaths: VecDeque<DateTime<Utc>>,
    /// Restarts since the child was last useful.
    streak: u32,
}

impl RestartWindow {
    /// A clean record.
    pub fn new(policy: RestartPolicy) -> RestartWindow {
        RestartWindow { policy, deaths: VecDeque::new(), streak: 0 }
    }

    /// Counts a death and says what to do; `random` in `0..1` chooses within the jitter. When the
    /// policy is exhausted the record is cleared: after its rest the child starts afresh.
    pub fn on_exit(&mut self, now: DateTime<Utc>, random: f64) -> Decision {
        self.forget_before(now);
        self.deaths.push_back(now);
        if self.deaths.len() > self.policy.intensity as usize {
            self.deaths.clear();
            self.streak = 0;
            return match self.policy.exhausted {
                Exhausted::Quarantine(rest) => Decision::Quarantine { until: now + rest },
                Exhausted::Escalate => Decision::Escalate,
            };
        }
        Decision::RestartAt(now + self.pause(random))
    }

    /// The wait before the child is needed again although its last life ended well: grows like the
    /// wait after a death, but is not counted as one.
    pub fn pause(&mut self, random: f64) -> Duration {
        let wait = self.policy.backoff(self.streak, random);
        self.streak = self.streak.saturating_add(1);
        wait
    }

    /// The child delivered something of use at `now`: the back-off starts small again. A mere
    /// connect is not use, and neither is what was delivered before the last death: both would
    /// make accept-then-drop loops restart without pause. Deaths stay counted.
    pub fn useful_data(&mut self, now: DateTime<Utc>) {
        if self.deaths.back().is_none_or(|death| *death < now) {
            self.streak = 0;
        }
    }

    /// Deaths within the period that ends at `now`.
    pub fn recent_deaths(&mut self, now: DateTime<Utc>) -> usize {
        self.forget_before(now);
        self.deaths.len()
    }

    fn forget_before(&mut self, now: DateTime<Utc>) {
        while self.deaths.front().is_some_and(|death| *death + self.policy.period <= now) {
            self.deaths.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        "2026-11-20T14:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::milliseconds(milliseconds)
    }

    fn policy() -> RestartPolicy {
        RestartPolicy {
            intensity: 3,
            period: Duration::from_secs(60),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(3),
            jitter: 0.5,
            exhausted: Exhausted::Quarantine(Duration::from_secs(900)),
        }
    }

    #[test]
    fn fourth_death_within_a_minute_quarantines() {
        let mut window = RestartWindow::new(policy());
        let decisions = [0, 10_000, 20_000, 59_999].map(|ms| window.on_exit(at(ms), 0.0));
        assert_eq!(
            decisions,
            [
                Decision::RestartAt(at(1_000)),
                Decision::RestartAt(at(12_000)),
                Decision::RestartAt(at(23_000)),
                Decision::Quarantine { until: at(959_999) },
            ]
        );
    }

    #[test]
    fn a_death_leaves_the_window_when_the_period_has_passed() {
        let mut window = RestartWindow::new(policy());
        for ms in [0, 10_000, 20_000] {
            window.on_exit(at(ms), 0.0);
        }
        assert_eq!(window.recent_deaths(at(59_999)), 3);
        assert_eq!(window.on_exit(at(60_000), 0.0), Decision::RestartAt(at(63_000)));
        assert_eq!(window.recent_deaths(at(60_000)), 3);
    }

    #[test]
    fn the_record_is_clean_after_a_quarantine() {
        let mut window = RestartWindow::new(policy());
        for ms in [0, 1, 2, 3] {
            window.on_exit(at(ms), 0.0);
        }
        assert_eq!(window.recent_deaths(at(3)), 0);
        assert_eq!(window.on_exit(at(4), 0.0), Decision::RestartAt(at(1_004)));
    }

    #[test]
    fn an_exhausted_writer_escalates() {
        let mut window = RestartWindow::new(RestartPolicy::WRITER);
        let decisions = [0, 1_000, 2_000, 3_000].map(|ms| window.on_exit(at(ms), 0.7));
        assert_eq!(
            decisions,
            [
                Decision::RestartAt(at(100)),
                Decision::RestartAt(at(1_200)),
                Decision::RestartAt(at(2_400)),
                Decision::Escalate,
            ]
        );
    }

    #[test]
    fn backoff_doubles_to_its_maximum() {
        let waits = [0, 1, 2, 3, 40, u32::MAX].map(|streak| RestartPolicy::STREAM.backoff(streak, 0.0).as_millis());
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 30_000, 30_000]);
    }

    #[test]
    fn a_stream_is_tried_again_after_one_minute_and_at_least_every_thirty() {
        let waits = [0, 1, 4, 5, 9].map(|attempt| ReprobePolicy::default().wait(attempt, 0.0).as_secs());
        assert_eq!(waits, [60, 120, 960, 1_800, 1_800]);
    }

    #[test]
    fn jitter_only_shortens() {
        let waits = [0.0, 0.5, 1.0].map(|random| policy().backoff(5, random).as_millis());
        assert_eq!(waits, [3_000, 2_250, 1_500]);
    }

    #[test]
    fn useful_data_resets_the_backoff_but_not_the_count() {
        let mut window = RestartWindow::new(policy());
        window.on_exit(at(0), 0.0);
        window.on_exit(at(5_000), 0.0);
        window.useful_data(at(8_000));
        assert_eq!(window.on_exit(at(9_000), 0.0), Decision::RestartAt(at(10_000)));
        assert_eq!(window.on_exit(at(11_000), 0.0), Decision::Quarantine { until: at(911_000) });
    }

    #[test]
    fn pauses_grow_like_waits_after_deaths_and_are_not_counted() {
        let mut window = RestartWindow::new(policy());
        let pauses = [0, 1, 2, 3, 4].map(|_| window.pause(0.0).as_secs());
        assert_eq!(pauses, [1, 2, 3, 3, 3]);
        assert_eq!(window.recent_deaths(at(0)), 0);
        window.useful_data(at(0));
        assert_eq!(window.pause(0.0).as_secs(), 1);
    }

    #[test]
    fn data_from_before_the_last_death_resets_nothing() {
        let mut window = RestartWindow::new(policy());
        window.on_exit(at(0), 0.0);
        window.useful_data(at(0));
        assert_eq!(window.on_exit(at(5_000), 0.0), Decision::RestartAt(at(7_000)));
    }
}
