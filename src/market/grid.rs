//! Bucket borders. The venue decides where its buckets lie; its anchors are data in here.
//!
//! Promises: `open_of` is idempotent, `next_open(open_of(t)) > t`, buckets tile the line, and
//! `close_of` never lies after the next bucket's close. Does not know which buckets hold trades.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

use super::{Span, Timeframe};

/// The day on which a venue's weekly bucket opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeekStart {
    /// Calendar weeks (Binance, Yahoo, most others).
    Monday,
    /// Counted from the Unix epoch, a Thursday (Kraken's interval 10080).
    Thursday,
}

/// Regular trading hours of a session market, in the exchange's own time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The exchange's IANA time zone.
    pub zone: Tz,
    /// Start of the regular session, local.
    pub open: NaiveTime,
    /// End of the regular session, local. At or before `open` means the session runs past midnight.
    pub close: NaiveTime,
}

impl Session {
    /// The instant at which the session of a local date opens.
    pub fn opens_at(&self, date: NaiveDate) -> DateTime<Utc> {
        self.instant(date, self.open)
    }

    /// The instant at which the session that opened on a local date closes.
    pub fn closes_at(&self, date: NaiveDate) -> DateTime<Utc> {
        let date = if self.close <= self.open { date + Days::new(1) } else { date };
        self.instant(date, self.close)
    }

    /// The local date of an instant.
    pub fn date_of(&self, time: DateTime<Utc>) -> NaiveDate {
        time.with_timezone(&self.zone).date_naive()
    }

    /// True on a weekday between open and close. Holidays are not known: they look like quiet sessions.
    pub fn is_open_at(&self, time: DateTime<Utc>) -> bool {
        let today = self.date_of(time);
        [today.pred_opt(), Some(today)].into_iter().flatten().any(|date| {
            !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
                && self.opens_at(date) <= time
                && time < self.closes_at(date)
        })
    }

    /// The opening of the first session that starts after `time`.
    pub fn next_open_after(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let mut date = self.date_of(time);
        loop {
            let opens = self.opens_at(date);
            if opens > time && !matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
                return opens;
            }
            date = date + Days::new(1);
        }
    }

    /// The end of the last session that was over at `time`.
    pub fn last_close_before(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let mut date = self.date_of(time);
        loop {
            let closes = self.closes_at(date);
            if closes <= time && !matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
                return closes;
            }
            date = date - Days::new(1);
        }
    }

    /// A local wall time as an instant; a time that a clock change skips is moved past the change.
    fn instant(&self, date: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
        let local = date.and_time(time);
        self.zone
            .from_local_datetime(&local)
            .earliest()
            .or_else(|| self.zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest())
            .map_or_else(|| local.and_utc(), |instant| instant.with_timezone(&Utc))
    }
}

/// Where the buckets of one market lie. `Anchors::default()` is the epoch grid with Monday weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchors {
    /// Seconds by which hourly and longer intraday buckets are shifted from the epoch grid
    /// (1800 for New York equities, whose hours open at :30). Shorter buckets divide it.
    pub intraday_shift_s: i64,
    /// Opening day of weekly buckets.
    pub week_start: WeekStart,
    /// Session hours. Daily and longer bars of session markets are keyed by the local date at
    /// 00:00 UTC and close with the session.
    pub session: Option<Session>,
}

impl Default for Anchors {
    fn default() -> Self {
        Anchors { intraday_shift_s: 0, week_start: WeekStart::Monday, session: None }
    }
}

/// The buckets of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Length of a bucket.
    pub timeframe: Timeframe,
    /// Where buckets start.
    pub anchors: Anchors,
}

impl Grid {
    /// The grid of a timeframe under a market's anchors.
    pub fn new(timeframe: Timeframe, anchors: Anchors) -> Grid {
        Grid { timeframe, anchors }
    }

    /// The epoch grid: UTC buckets, Monday weeks.
    pub fn utc(timeframe: Timeframe) -> Grid {
        Grid::new(timeframe, Anchors::default())
    }

    /// Open time of the bucket that contains `time`. For daily and longer bars of session markets
    /// `time` is first turned into the local date, so that the result is the venue's key.
    pub fn bucket_at(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        match self.anchors.session {
            Some(session) if self.timeframe.is_daily_or_longer() => self.open_of(midnight(session.date_of(time))),
            _ => self.open_of(time),
        }
    }

    /// The largest bucket border at or before `time`, on the line of open times.
    pub fn open_of(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        match self.timeframe {
            Timeframe::Month1 => midnight(first_of_month(time.date_naive())),
            timeframe => {
                let length = timeframe.nominal().as_secs() as i64;
                let shift = self.shift_s();
                let seconds = time.timestamp();
                instant((seconds - shift).div_euclid(length) * length + shift)
            }
        }
    }

    /// Open time of the following bucket; `open` must be a border.
    pub fn next_open(&self, open: DateTime<Utc>) -> DateTime<Utc> {
        match self.timeframe {
            Timeframe::Month1 => midnight(first_of_month(open.date_naive()) + Months::new(1)),
            timeframe => open + TimeDelta::seconds(timeframe.nominal().as_secs() as i64),
        }
    }

    /// Open time of the preceding bucket; `open` must be a border.
    pub fn previous_open(&self, open: DateTime<Utc>) -> DateTime<Utc> {
        self.open_of(open - TimeDelta::milliseconds(1))
    }

    /// Open time `count` buckets before `open`.
    pub fn back(&self, open: DateTime<Utc>, count: u32) -> DateTime<Utc> {
        match self.timeframe {
            Timeframe::Month1 => midnight(first_of_month(open.date_naive()) - Months::new(count)),
            timeframe => open - TimeDelta::seconds(timeframe.nominal().as_secs() as i64 * i64::from(count)),
        }
    }

    /// The smallest border at or after `time`.
    pub fn ceil(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let open = self.open_of(time);
        if open == time { open } else { self.next_open(open) }
    }

    /// The instant (venue time) at which the bucket stops trading: the next border, or for daily
    /// and longer bars of session markets the end of the bucket's last session.
    pub fn close_of(&self, open: DateTime<Utc>) -> DateTime<Utc> {
        let next = self.next_open(open);
        match self.anchors.session {
            Some(session) if self.timeframe.is_daily_or_longer() => {
                let mut last_day = next.date_naive() - Days::new(1);
                // A week or a month ends with its last weekday; a lone weekend day keeps its own date.
                while last_day > open.date_naive() && matches!(last_day.weekday(), Weekday::Sat | Weekday::Sun) {
                    last_day = last_day - Days::new(1);
                }
                session.closes_at(last_day)
            }
            _ => next,
        }
    }

    /// True when `time` is a bucket border.
    pub fn is_border(&self, time: DateTime<Utc>) -> bool {
        match self.timeframe {
            Timeframe::Month1 => self.open_of(time) == time,
            // Every frame asks: without calendar arithmetic.
            timeframe => {
                let length = timeframe.nominal().as_secs() as i64;
                (time.timestamp() - self.shift_s()).rem_euclid(length) == 0 && time.timestamp_subsec_nanos() == 0
            }
        }
    }

    /// Open times of all buckets that start inside `span`, oldest first.
    pub fn opens(&self, span: Span) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let grid = *self;
        let mut next = grid.ceil(span.from);
        std::iter::from_fn(move || {
            (next < span.to).then(|| {
                let open = next;
                next = grid.next_open(open);
                open
            })
        })
    }

    /// How many buckets start inside `span`.
    pub fn count(&self, span: Span) -> u64 {
        if span.to <= span.from {
            return 0;
        }
        let (first, end) = (self.ceil(span.from), self.ceil(span.to));
        match self.timeframe {
            Timeframe::Month1 => self.opens(span).count() as u64,
            timeframe => (end - first).num_seconds().max(0) as u64 / timeframe.nominal().as_secs(),
        }
    }

    /// The end of the newest bucket whose close lies at or before `now` (venue time): everything
    /// before the result is past.
    pub fn last_closed_end(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let mut open = self.bucket_at(now);
        while self.close_of(open) > now {
            open = self.previous_open(open);
        }
        self.next_open(open)
    }

    /// True when every bucket of this grid lies inside one bucket of `coarser`, so that the coarser
    /// bars are sums of these. Equal grids nest. Intraday buckets count as nesting in the daily
    /// and longer ones of a session market, because no bucket holds trading of two sessions.
    pub fn nests_in(&self, coarser: &Grid) -> bool {
        let (length, whole) = (self.timeframe.nominal().as_secs() as i64, coarser.timeframe.nominal().as_secs() as i64);
        if self.anchors.session != coarser.anchors.session {
            return false;
        }
        match (self.timeframe, coarser.timeframe) {
            (Timeframe::Month1, timeframe) => timeframe == Timeframe::Month1,
            (_, timeframe) if timeframe.is_daily_or_longer() && !self.timeframe.is_daily_or_longer() => {
                86_400 % length == 0 && (self.shift_s() == 0 || self.anchors.session.is_some())
            }
            (timeframe, Timeframe::Month1) => timeframe == Timeframe::D1,
            _ => whole % length == 0 && (coarser.shift_s() - self.shift_s()) % length == 0,
        }
    }

    fn shift_s(&self) -> i64 {
        match self.timeframe {
            // 1970-01-05 was the first Monday after the epoch.
            Timeframe::W1 => match self.anchors.week_start {
                WeekStart::Monday => 4 * 86_400,
                WeekStart::Thursday => 0,
            },
            timeframe if timeframe.is_daily_or_longer() => 0,
            timeframe => self.anchors.intraday_shift_s.rem_euclid(timeframe.nominal().as_secs() as i64),
        }
    }
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

fn first_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap_or(date)
}

/// Whole seconds as an instant; values chrono cannot hold collapse to the epoch's far ends.
fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or(if seconds < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn new_york() -> Anchors {
        Anchors {
            intraday_shift_s: 1800,
            session: Some(Session {
                zone: chrono_tz::America::New_York,
                open: NaiveTime::from_hms_opt(9, 30, 0).unwrap(),
                close: NaiveTime::from_hms_opt(16, 0, 0).unwrap(),
            }),
            ..Anchors::default()
        }
    }

    #[test]
    fn weeks_open_on_the_venues_day_and_months_on_the_first() {
        let friday = at("2026-11-20T14:00:00Z");
        assert_eq!(Grid::utc(Timeframe::W1).open_of(friday), at("2026-11-16T00:00:00Z"));
        let thursday = Anchors { week_start: WeekStart::Thursday, ..Anchors::default() };
        assert_eq!(Grid::new(Timeframe::W1, thursday).open_of(friday), at("2026-11-19T00:00:00Z"));
        let month = Grid::utc(Timeframe::Month1);
        assert_eq!(month.open_of(friday), at("2026-11-01T00:00:00Z"));
        assert_eq!(month.next_open(at("2026-12-01T00:00:00Z")), at("2027-01-01T00:00:00Z"));
        assert_eq!(month.back(at("2026-01-01T00:00:00Z"), 2), at("2025-11-01T00:00:00Z"));
    }

    #[test]
    fn new_york_hours_open_at_half_past_and_days_close_with_the_session() {
        let hour = Grid::new(Timeframe::H1, new_york());
        assert_eq!(hour.open_of(at("2026-11-20T15:10:00Z")), at("2026-11-20T14:30:00Z"));
        assert_eq!(
            Grid::new(Timeframe::M30, new_york()).open_of(at("2026-11-20T15:10:00Z")),
            at("2026-11-20T15:00:00Z")
        );
        let day = Grid::new(Timeframe::D1, new_york());
        assert_eq!(day.close_of(at("2026-11-20T00:00:00Z")), at("2026-11-20T21:00:00Z"));
        assert_eq!(day.close_of(at("2026-07-20T00:00:00Z")), at("2026-07-20T20:00:00Z"));
        let week = Grid::new(Timeframe::W1, new_york());
        assert_eq!(week.close_of(at("2026-11-16T00:00:00Z")), at("2026-11-20T21:00:00Z"));
        // Late evening in New York is already tomorrow in UTC, but not for the key.
        assert_eq!(day.bucket_at(at("2026-11-21T02:00:00Z")), at("2026-11-20T00:00:00Z"));
    }

    #[test]
    fn a_session_skips_weekends_and_knows_its_next_opening() {
        let session = new_york().session.unwrap();
        assert!(session.is_open_at(at("2026-11-20T14:30:00Z")));
        assert!(!session.is_open_at(at("2026-11-20T21:00:00Z")));
        assert!(!session.is_open_at(at("2026-11-21T15:00:00Z")));
        assert_eq!(session.next_open_after(at("2026-11-20T21:00:00Z")), at("2026-11-23T14:30:00Z"));
        assert_eq!(session.last_close_before(at("2026-11-23T14:29:00Z")), at("2026-11-20T21:00:00Z"));
    }

    #[test]
    fn the_newest_closed_bucket_ends_where_the_open_one_begins() {
        let minute = Grid::utc(Timeframe::M1);
        assert_eq!(minute.last_closed_end(at("2026-11-20T14:00:59Z")), at("2026-11-20T14:00:00Z"));
        let day = Grid::new(Timeframe::D1, new_york());
        assert_eq!(day.last_closed_end(at("2026-11-20T20:59:00Z")), at("2026-11-20T00:00:00Z"));
        assert_eq!(day.last_closed_end(at("2026-11-20T21:00:00Z")), at("2026-11-21T00:00:00Z"));
    }

    proptest! {
        #[test]
        fn buckets_tile_the_line(seconds in 0i64..4_000_000_000, index in 0usize..16, shift in 0i64..7200, monday: bool) {
            let timeframe = Timeframe::all().nth(index).unwrap();
            let week_start = if monday { WeekStart::Monday } else { WeekStart::Thursday };
            let grid = Grid::new(timeframe, Anchors { intraday_shift_s: shift, week_start, session: None });
            let time = instant(seconds);
            let open = grid.open_of(time);
            let next = grid.next_open(open);
            prop_assert!(open <= time && time < next);
            prop_assert_eq!(grid.open_of(open), open);
            prop_assert_eq!(grid.open_of(next), next);
            prop_assert_eq!(grid.previous_open(next), open);
            prop_assert_eq!(grid.back(next, 1), open);
            prop_assert_eq!(grid.count(Span::new(open, next)), 1);
            prop_assert_eq!(grid.opens(Span::new(open, next)).collect::<Vec<_>>(), vec![open]);
        }

        #[test]
        fn nested_buckets_never_cross_a_coarser_border(seconds in 0i64..4_000_000_000, fine in 0usize..16, coarse in 0usize..16,
                                                       shift in prop::sample::select(vec![0i64, 900, 1800]), monday: bool) {
            let week_start = if monday { WeekStart::Monday } else { WeekStart::Thursday };
            let anchors = Anchors { intraday_shift_s: shift, week_start, session: None };
            let grid = |index: usize| Grid::new(Timeframe::all().nth(index).unwrap(), anchors);
            let (fine, coarse) = (grid(fine), grid(coarse));
            let border = coarse.open_of(instant(seconds));
            if fine.nests_in(&coarse) {
                prop_assert!(fine.is_border(border), "{border} is no border of {}", fine.timeframe);
            } else {
                let opens = coarse.opens(Span::new(border, border + TimeDelta::days(400))).take(30).collect::<Vec<_>>();
                prop_assert!(fine.timeframe > coarse.timeframe || opens.iter().any(|open| !fine.is_border(*open)));
            }
        }
    }
}
