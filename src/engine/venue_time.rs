//! Venue time: the exchange's clock as far as we can prove it.
//!
//! Every stamp a venue puts on a frame or reply was taken before we received it, so
//! `stamp - received_at` never exceeds the true offset of its clock. The largest such difference
//! seen lately is therefore a lower bound: judging closes by it can be late by the fastest
//! delivery, never early. A `Date` header also bounds the offset from above (its second had not
//! ended when the request left), which reveals a venue clock that was set back.

use chrono::{DateTime, TimeDelta, Utc};

/// How long a sample counts; drift beyond it is followed.
const WINDOW: TimeDelta = TimeDelta::minutes(5);

/// The learned offset between a venue's clock and ours.
#[derive(Debug, Clone, Default)]
pub struct VenueTime {
    /// Largest offset seen in the current window, and when the window began.
    current: Option<(TimeDelta, DateTime<Utc>)>,
    /// Largest offset of the window before.
    previous: Option<TimeDelta>,
}

impl VenueTime {
    /// True once the venue has told us its time.
    pub fn is_known(&self) -> bool {
        self.current.is_some()
    }

    /// The venue's clock minus ours; zero while unknown.
    pub fn offset(&self) -> TimeDelta {
        match (self.current, self.previous) {
            (Some((current, _)), Some(previous)) => current.max(previous),
            (Some((current, _)), None) => current,
            _ => TimeDelta::zero(),
        }
    }

    /// Venue time at an instant of our clock; not ahead of the venue's own clock.
    pub fn at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.offset()
    }

    /// The instant of our clock at which the venue's shows `venue_time`.
    pub fn to_ours(&self, venue_time: DateTime<Utc>) -> DateTime<Utc> {
        venue_time - self.offset()
    }

    /// Learns from a stamp the venue took before we received it at `received_at`.
    pub fn observe(&mut self, stamp: DateTime<Utc>, received_at: DateTime<Utc>) {
        let sample = stamp - received_at;
        match &mut self.current {
            Some((offset, since)) if received_at - *since < WINDOW => *offset = (*offset).max(sample),
            Some((offset, since)) => {
                self.previous = Some(*offset);
                (*offset, *since) = (sample, received_at);
            }
            None => self.current = Some((sample, received_at)),
        }
    }

    /// Learns from a `Date` header, which is cut to whole seconds: the venue's clock was below
    /// `date + 1 s` when the request left at `sent_at`. Contradicting earlier samples are dropped.
    pub fn observe_date(&mut self, date: DateTime<Utc>, sent_at: DateTime<Utc>, received_at: DateTime<Utc>) {
        let upper = date + TimeDelta::seconds(1) - sent_at;
        if self.is_known() && self.offset() > upper {
            self.previous = None;
            self.current = None;
        }
        self.observe(date, received_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis((1_795_183_200 + seconds) * 1000 + millis).unwrap()
    }

    #[test]
    fn the_fastest_delivery_gives_the_offset_and_slow_ones_do_not_lower_it() {
        let mut time = VenueTime::default();
        assert!(!time.is_known());
        time.observe(at(5, 0), at(0, 300));
        time.observe(at(6, 0), at(1, 20));
        time.observe(at(7, 0), at(9, 0));
        assert_eq!(time.offset(), TimeDelta::milliseconds(4980));
        assert_eq!(time.at(at(10, 0)), at(14, 980));
        assert_eq!(time.to_ours(at(14, 980)), at(10, 0));
    }

    #[test]
    fn a_venue_clock_set_back_is_seen_in_the_date_of_the_next_reply() {
        let mut time = VenueTime::default();
        time.observe(at(30, 0), at(0, 0));
        time.observe_date(at(10, 0), at(10, 400), at(10, 500));
        assert_eq!(time.offset(), TimeDelta::milliseconds(-500));
    }

    #[test]
    fn old_samples_are_forgotten_after_two_windows() {
        let mut time = VenueTime::default();
        time.observe(at(2, 0), at(0, 0));
        time.observe(at(301, 0), at(301, 0));
        assert_eq!(time.offset(), TimeDelta::seconds(2), "the window before still counts");
        time.observe(at(602, 0), at(602, 0));
        assert_eq!(time.offset(), TimeDelta::zero());
    }
}
