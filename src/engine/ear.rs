//! Whether a stream still tells what happens on one channel of a symbol. Silence alone says nothing,
//! because markets are quiet; silence while REST shows trading is deafness, unless what is missing
//! comes a moment later.
//!
//! Does not ask anybody: it says when to ask, and what the answers mean. All instants are venue time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::market::Span;

/// What REST shows may still be on its way by stream for so long.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(10);
/// A trade so shortly after the last frame may have been in it.
const TOGETHER: TimeDelta = TimeDelta::seconds(2);
/// Part of the bound after which REST is asked, and a further part over which symbols are spread: the
/// rest is for the answer.
const ASK_AFTER: f64 = 0.7;
const SPREAD: f64 = 0.1;

/// See the module.
#[derive(Debug, Clone)]
pub struct Ear {
    /// When the stream told something last; at first, when it began.
    heard_at: DateTime<Utc>,
    /// Up to when it is known that nothing was left out.
    nothing_missed_until: DateTime<Utc>,
    /// Since when it is known that something was.
    missed_since: Option<DateTime<Utc>>,
    /// REST is not asked again before.
    ask_from: DateTime<Utc>,
}

impl Ear {
    /// The channel was acknowledged at `now`.
    pub fn new(now: DateTime<Utc>) -> Ear {
        Ear { heard_at: now, nothing_missed_until: now, missed_since: None, ask_from: now }
    }

    /// The stream told something.
    pub fn heard(&mut self, now: DateTime<Utc>) {
        self.heard_at = self.heard_at.max(now);
        self.nothing_missed_until = self.nothing_missed_until.max(now);
        self.missed_since = None;
    }

    /// REST shows the newest trade, as of `asked_at`; `None` where there was none at all.
    pub fn traded(&mut self, newest: Option<DateTime<Utc>>, asked_at: DateTime<Utc>, now: DateTime<Utc>) {
        if newest.is_some_and(|at| at > self.nothing_missed_until + TOGETHER) {
            self.missed_since.get_or_insert(now);
        } else {
            self.nothing_missed_until = self.nothing_missed_until.max(asked_at);
        }
    }

    /// REST shows trading in a bucket that closed at `close` and of which the stream told nothing.
    pub fn missed(&mut self, close: DateTime<Utc>, now: DateTime<Utc>) {
        if self.heard_at < close {
            self.missed_since.get_or_insert(now);
        }
    }

    /// REST shows consecutive buckets, oldest first: each with whether anything traded in it. The one
    /// in which the stream spoke last says nothing.
    pub fn was_quiet_in(&mut self, buckets: impl Iterator<Item = (Span, bool)>) {
        let (known, heard_at) = (self.nothing_missed_until, self.heard_at);
        let since = buckets.filter(|(bucket, _)| bucket.to > known);
        let quiet = since.take_while(|(bucket, traded)| !traded || bucket.from <= heard_at);
        let until = quiet.filter(|(_, traded)| !traded).map(|(bucket, _)| bucket.to).last();
        self.nothing_missed_until = known.max(until.unwrap_or(known));
    }

    /// REST gave no answer.
    pub fn unanswered(&mut self, within: Duration, now: DateTime<Utc>) {
        self.ask_from = now + within.mul_f64(SPREAD / 2.0);
    }

    /// When REST is to be asked, so that deafness is noticed `within` the bound; `spread` in `0..1`
    /// keeps the symbols of a venue from asking together.
    pub fn ask_at(&self, within: Duration, spread: f64) -> DateTime<Utc> {
        (self.nothing_missed_until + within.mul_f64(ASK_AFTER + SPREAD * spread)).max(self.ask_from)
    }

    /// When there is something to do: to ask, or to judge.
    pub fn wake_at(&self, within: Duration, spread: f64) -> DateTime<Utc> {
        self.missed_since.map_or_else(|| self.ask_at(within, spread), |since| since + ON_ITS_WAY)
    }

    /// True while it is known that something was left out.
    pub fn is_suspect(&self) -> bool {
        self.missed_since.is_some()
    }

    /// True when what was left out has not come by stream either.
    pub fn is_deaf(&self, now: DateTime<Utc>) -> bool {
        self.missed_since.is_some_and(|since| since + ON_ITS_WAY <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(1000);

    fn t(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_183_200 + second, 0).unwrap()
    }

    #[test]
    fn a_quiet_market_is_asked_about_once_in_a_while_and_is_not_deaf() {
        let mut ear = Ear::new(t(0));
        ear.heard(t(100));
        assert_eq!((ear.ask_at(WITHIN, 0.0), ear.ask_at(WITHIN, 1.0)), (t(800), t(900)));
        ear.traded(Some(t(101)), t(800), t(801));
        assert_eq!((ear.is_suspect(), ear.wake_at(WITHIN, 0.0)), (false, t(1500)), "the frame told of that trade");
        ear.traded(None, t(1500), t(1501));
        // The minute in which it was heard, and one in which it was not.
        let minutes = (0..40).map(|minute| (Span::new(t(60 * minute), t(60 * minute + 60)), [1, 30].contains(&minute)));
        ear.was_quiet_in(minutes.clone());
        assert_eq!(ear.ask_at(WITHIN, 0.0), t(1800 + 700), "up to the minute in which it traded");
        ear.was_quiet_in(minutes);
        assert_eq!(ear.ask_at(WITHIN, 0.0), t(1800 + 700));
    }

    #[test]
    fn a_trade_that_does_not_come_by_stream_either_shows_deafness() {
        let mut ear = Ear::new(t(0));
        ear.traded(Some(t(650)), t(700), t(701));
        assert_eq!((ear.is_suspect(), ear.is_deaf(t(710)), ear.wake_at(WITHIN, 0.0)), (true, false, t(711)));
        assert!(ear.is_deaf(t(711)));
    }

    #[test]
    fn a_trade_that_comes_a_moment_later_was_on_its_way() {
        let mut ear = Ear::new(t(0));
        ear.traded(Some(t(699)), t(700), t(701));
        ear.heard(t(703));
        assert!(!ear.is_deaf(t(800)));
    }

    #[test]
    fn a_bucket_that_was_left_out_shows_deafness_unless_the_stream_has_spoken_since() {
        let mut ear = Ear::new(t(0));
        ear.heard(t(65));
        ear.missed(t(60), t(600));
        assert!(!ear.is_suspect());
        ear.missed(t(120), t(600));
        assert!(ear.is_deaf(t(610)));
    }

    #[test]
    fn without_an_answer_it_asks_again_soon() {
        let mut ear = Ear::new(t(0));
        ear.unanswered(WITHIN, t(700));
        assert_eq!(ear.ask_at(WITHIN, 0.0), t(750));
    }
}
