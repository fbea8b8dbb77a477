//! Points in time as users write them and as they are told, in options, files and commands.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Timelike, Utc};
use serde::{Serialize, Serializer};

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time; write 2025-11-10, 2025-11-10T17:24, 2025-11-10T17:24:00Z, or Unix seconds or milliseconds \
     (a time without zone is UTC)"
)]
pub struct WhenError(String);

/// Numbers from here on are milliseconds: as seconds they would lie after the year 5138, as
/// milliseconds they begin in March 1973.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// Reads an RFC 3339 time, a date (its midnight), a time without zone, Unix seconds or
/// milliseconds. Everything without a zone is UTC.
///
/// # Errors
/// [`WhenError`] shows the accepted forms.
pub fn parse(text: &str) -> Result<DateTime<Utc>, WhenError> {
    let text = text.trim();
    let fail = || WhenError(text.to_owned());
    if let Ok(number) = text.parse::<i64>() {
        let time = match number.checked_abs() {
            Some(size) if size < FIRST_MILLISECONDS => DateTime::from_timestamp(number, 0),
            _ => DateTime::from_timestamp_millis(number),
        };
        return time.filter(is_in_calendar).ok_or_else(fail);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc)).filter(is_in_calendar).ok_or_else(fail);
    }
    let local = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(chrono::NaiveTime::MIN));
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or(local)
        .map(|time| time.and_utc())
        .filter(is_in_calendar)
        .ok_or_else(fail)
}

/// Four-digit years: far enough from the limits of the time type that arithmetic on buckets is safe.
fn is_in_calendar(time: &DateTime<Utc>) -> bool {
    use chrono::Datelike;
    (1..=9999).contains(&time.year())
}

/// An instant: whole seconds without a fraction, everything else with six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub DateTime<Utc>);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_whole = self.0.nanosecond() < 1_000;
        let format = if is_whole { SecondsFormat::Secs } else { SecondsFormat::Micros };
        f.pad(&self.0.to_rfc3339_opts(format, true))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_written_form_of_an_instant_is_the_same_instant() {
        let instant: DateTime<Utc> = "2025-11-10T17:24:00Z".parse().unwrap();
        let forms = [
            "2025-11-10T17:24:00Z",
            "2025-11-10T18:24:00+01:00",
            "2025-11-10T17:24",
            "2025-11-10 17:24",
            "2025-11-10T17:24:00",
            "1762795440",
            "1762795440000",
        ];
        for form in forms {
            assert_eq!(parse(form), Ok(instant), "{form}");
        }
        assert_eq!(parse("2025-11-10"), Ok("2025-11-10T00:00:00Z".parse().unwrap()));
        assert_eq!(parse("2025-11-10T17:24:00.5"), Ok("2025-11-10T17:24:00.5Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_text() {
        for text in ["", "yesterday", "2025-13-01", "2025-02-30T00:00", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(parse(text), Err(WhenError(text.to_owned())));
        }
    }
}
