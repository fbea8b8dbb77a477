//! The venues' calendars: where buckets start and when markets trade.
//!
//! Deliberately not the product's grid: the simulator is what the product is checked against, and a
//! mistake shared by both would hide itself. Instants are Unix seconds.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 86_400;

/// When a market trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hours {
    /// Around the clock.
    Always,
    /// 9:30 to 16:00 in New York, Monday to Friday.
    NewYork,
    /// Monday to Friday, midnight to midnight in London: Yahoo's foreign exchange.
    London,
}

impl Hours {
    pub(crate) fn zone(self) -> Tz {
        match self {
            Hours::Always => chrono_tz::UTC,
            Hours::NewYork => chrono_tz::America::New_York,
            Hours::London => chrono_tz::Europe::London,
        }
    }

    pub(crate) fn date_of(self, second: i64) -> NaiveDate {
        instant(second).with_timezone(&self.zone()).date_naive()
    }

    /// Opening and closing of a local date; `None` on days without trading.
    pub(crate) fn session(self, date: NaiveDate) -> Option<(i64, i64)> {
        let is_weekend = matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
        match self {
            Hours::Always => Some((self.midnight(date), self.midnight(date + Days::new(1)))),
            _ if is_weekend => None,
            Hours::NewYork => Some((self.local(date, 9, 30), self.local(date, 16, 0))),
            Hours::London => Some((self.midnight(date), self.midnight(date + Days::new(1)))),
        }
    }

    pub(crate) fn is_open_at(self, second: i64) -> bool {
        match self {
            Hours::Always => true,
            // New York's session lies in 13:30..21:00 UTC all year; the zone is only asked inside.
            Hours::NewYork if !(48_600..75_600).contains(&second.rem_euclid(DAY)) => false,
            _ => self.session(self.date_of(second)).is_some_and(|(opens, closes)| opens <= second && second < closes),
        }
    }

    pub(crate) fn midnight(self, date: NaiveDate) -> i64 {
        self.local(date, 0, 0)
    }

    fn local(self, date: NaiveDate, hour: u32, minute: u32) -> i64 {
        let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or(NaiveTime::MIN);
        let local = date.and_time(time);
        // None of the hours used here is skipped or repeated by a clock change in these zones.
        self.zone().from_local_datetime(&local).earliest().map_or(local.and_utc().timestamp(), |t| t.timestamp())
    }

    /// The first session that opens after `second`.
    fn next_session(self, second: i64) -> (i64, i64) {
        let mut date = self.date_of(second);
        loop {
            if let Some(session) = self.session(date).filter(|session| session.0 > second) {
                return session;
            }
            date = date + Days::new(1);
        }
    }

    /// The last session that opened at or before `second`.
    pub(crate) fn last_session(self, second: i64) -> (i64, i64) {
        let mut date = self.date_of(second);
        loop {
            if let Some(session) = self.session(date).filter(|session| session.0 <= second) {
                return session;
            }
            date = date - Days::new(1);
        }
    }
}

/// One way of cutting the time line into buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Multiples of `len` counted from `anchor`.
    Fixed { len: i64, anchor: i64 },
    /// Calendar months, UTC.
    Month,
    /// Buckets of `len` counted from each session's opening; the last one ends with the session.
    Session { hours: Hours, len: i64 },
    /// Local days.
    Days { hours: Hours },
    /// Local weeks from Monday.
    Weeks { hours: Hours },
    /// Groups of local months: 1 or 3.
    Months { hours: Hours, months: u32 },
}

impl Frame {
    pub(crate) const fn every(len: i64) -> Frame {
        Frame::Fixed { len, anchor: 0 }
    }

    /// Calendar weeks, which open on Monday 00:00 UTC (the epoch was a Thursday).
    pub(crate) const MONDAYS: Frame = Frame::Fixed { len: 7 * DAY, anchor: 4 * DAY };

    /// Start of the bucket that holds `second`.
    pub(crate) fn open(self, second: i64) -> i64 {
        match self {
            Frame::Fixed { len, anchor } => second - (second - anchor).rem_euclid(len),
            Frame::Month => Hours::Always.midnight(first_of_month(Hours::Always.date_of(second), 1)),
            Frame::Session { hours, len } => {
                let (opens, closes) = hours.last_session(second);
                let inside = second.min(closes - 1) - opens;
                opens + inside - inside % len
            }
            Frame::Days { hours } => hours.midnight(hours.date_of(second)),
            Frame::Weeks { hours } => {
                let date = hours.date_of(second);
                hours.midnight(date - Days::new(u64::from(date.weekday().num_days_from_monday())))
            }
            Frame::Months { hours, months } => hours.midnight(first_of_month(hours.date_of(second), months)),
        }
    }

    /// Start of the bucket after the one that starts at `open`.
    pub(crate) fn next(self, open: i64) -> i64 {
        match self {
            Frame::Fixed { len, .. } => open + len,
            Frame::Month => Frame::Months { hours: Hours::Always, months: 1 }.next(open),
            Frame::Session { hours, len } => {
                let (_, closes) = hours.last_session(open);
                if open + len < closes { open + len } else { hours.next_session(open).0 }
            }
            Frame::Days { hours } => hours.midnight(hours.date_of(open) + Days::new(1)),
            Frame::Weeks { hours } => hours.midnight(hours.date_of(open) + Days::new(7)),
            Frame::Months { hours, months } => hours.midnight(hours.date_of(open) + Months::new(months)),
        }
    }

    /// When the bucket that starts at `open` can no longer change: with its session, where it has one.
    pub(crate) fn close(self, open: i64) -> i64 {
        let next = self.next(open);
        match self {
            Frame::Session { hours, len } => next.min(open + len).min(hours.last_session(open).1),
            Frame::Days { hours } | Frame::Weeks { hours } | Frame::Months { hours, .. } => {
                let closes = hours.last_session(next - 1).1;
                if closes > open { closes.min(next) } else { next }
            }
            _ => next,
        }
    }

    /// The first bucket that starts at or after `second`.
    pub(crate) fn first_from(self, second: i64) -> i64 {
        let open = self.open(second);
        if open >= second { open } else { self.next(open) }
    }
}

fn first_of_month(date: NaiveDate, months: u32) -> NaiveDate {
    let month0 = date.month0() - date.month0() % months;
    NaiveDate::from_ymd_opt(date.year(), month0 + 1, 1).unwrap_or(date)
}

/// The instant of a Unix second; far outside every calendar it stops at the epoch.
pub(crate) fn instant(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp()
    }

    #[test]
    fn weeks_and_months_open_where_each_venue_opens_them() {
        let friday = at("2026-11-20T14:00:00Z");
        assert_eq!(Frame::MONDAYS.open(friday), at("2026-11-16T00:00:00Z"));
        assert_eq!(Frame::every(7 * DAY).open(friday), at("2026-11-19T00:00:00Z"));
        assert_eq!(Frame::Month.open(friday), at("2026-11-01T00:00:00Z"));
        assert_eq!(Frame::Month.next(at("2026-12-01T00:00:00Z")), at("2027-01-01T00:00:00Z"));
        let new_york = Hours::NewYork;
        assert_eq!(Frame::Weeks { hours: new_york }.open(friday), at("2026-11-16T05:00:00Z"));
        assert_eq!(Frame::Weeks { hours: new_york }.close(at("2026-11-16T05:00:00Z")), at("2026-11-20T21:00:00Z"));
        assert_eq!(Frame::Months { hours: new_york, months: 3 }.open(friday), at("2026-10-01T04:00:00Z"));
    }

    #[test]
    fn new_york_buckets_follow_the_session_through_clock_changes() {
        let ninety = Frame::Session { hours: Hours::NewYork, len: 90 * MINUTE };
        assert_eq!(ninety.open(at("2026-11-20T16:10:00Z")), at("2026-11-20T16:00:00Z"));
        assert_eq!(ninety.open(at("2026-07-20T15:10:00Z")), at("2026-07-20T15:00:00Z"));
        let hour = Frame::Session { hours: Hours::NewYork, len: HOUR };
        let last = at("2026-11-20T20:30:00Z");
        assert_eq!((hour.close(last), hour.next(last)), (at("2026-11-20T21:00:00Z"), at("2026-11-23T14:30:00Z")));
        assert!(Hours::NewYork.is_open_at(at("2026-07-20T13:30:00Z")));
        assert!(!Hours::NewYork.is_open_at(at("2026-11-20T14:29:59Z")));
        assert!(!Hours::NewYork.is_open_at(at("2026-11-21T15:00:00Z")));
        assert!(Hours::London.is_open_at(at("2026-07-19T23:00:00Z")), "Monday begins in London at 23:00 UTC");
    }
}
