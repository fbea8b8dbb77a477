//! Durations as people write them: `10s`, `5m`, `1h30m`, `250ms`, `7d`.

use std::time::Duration;

/// Units from large to small, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Beyond this a duration is a slip of the pen, and instants computed from it could overflow.
const LONGEST_DAYS: u64 = 36_500;

/// Reads a duration: whole numbers with units `d h m s ms`, larger units first, each at most once.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("expected a duration such as \"10s\", \"5m\" or \"1h30m\", is {text:?}");
    let mut rest = text.trim();
    let mut units = UNITS.iter();
    let mut milliseconds: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, size) = units.find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(bad)?;
        rest = &rest[letters..];
        milliseconds = number.checked_mul(*size).and_then(|ms| milliseconds.checked_add(ms)).ok_or_else(bad)?;
    }
    if milliseconds > LONGEST_DAYS * 86_400_000 {
        return Err(format!("must be at most {LONGEST_DAYS}d, is {text:?}"));
    }
    Ok(Duration::from_millis(milliseconds))
}

/// Writes a duration so that [`parse_duration`] reads it back, down to milliseconds.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write_the_same_text() {
        let cases =
            [("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("1h30m", 5_400_000), ("1d2h3m4s5ms", 93_784_005)];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)));
            assert_eq!(format_duration(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "30m1h", "1s1s", "1w", "99999999999999999999s", "10sé"] {
            let message = format!("expected a duration such as \"10s\", \"5m\" or \"1h30m\", is {text:?}");
            assert_eq!(parse_duration(text), Err(message));
        }
        assert_eq!(parse_duration("36501d"), Err("must be at most 36500d, is \"36501d\"".to_owned()));
    }
}
