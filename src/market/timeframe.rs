//! Timeframes: the lengths a candle may have. A week and a month are calendar buckets, not seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The length of a candle. Ordered from the shortest to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each variant is its own text in `TABLE`
pub enum Timeframe {
    S1,
    M1,
    M3,
    M5,
    M15,
    M30,
    H1,
    H2,
    H4,
    H6,
    H8,
    H12,
    D1,
    D3,
    W1,
    Month1,
}

/// The one list of timeframes: variant, text, length in seconds (nominal for the month).
const TABLE: [(Timeframe, &str, u64); 16] = [
    (Timeframe::S1, "1s", 1),
    (Timeframe::M1, "1m", 60),
    (Timeframe::M3, "3m", 180),
    (Timeframe::M5, "5m", 300),
    (Timeframe::M15, "15m", 900),
    (Timeframe::M30, "30m", 1800),
    (Timeframe::H1, "1h", 3600),
    (Timeframe::H2, "2h", 7200),
    (Timeframe::H4, "4h", 14_400),
    (Timeframe::H6, "6h", 21_600),
    (Timeframe::H8, "8h", 28_800),
    (Timeframe::H12, "12h", 43_200),
    (Timeframe::D1, "1d", 86_400),
    (Timeframe::D3, "3d", 259_200),
    (Timeframe::W1, "1w", 604_800),
    (Timeframe::Month1, "1M", 2_592_000),
];

/// A text that is no timeframe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown timeframe {0:?}; valid: 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M (1m is a minute, 1M a month)"
)]
pub struct TimeframeError(pub String);

impl Timeframe {
    /// All timeframes, shortest first.
    pub fn all() -> impl Iterator<Item = Timeframe> {
        TABLE.iter().map(|row| row.0)
    }

    /// The unified text: `1m`, `1h`, `1M`.
    pub fn as_str(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Length of a bucket; exact for everything but the month, for which it is 30 days.
    /// For schedules and estimates; bucket borders come from [`super::Grid`].
    pub fn nominal(self) -> Duration {
        Duration::from_secs(TABLE[self as usize].2)
    }

    /// True for day and longer: bars that session markets key by their local date.
    pub fn is_daily_or_longer(self) -> bool {
        self >= Timeframe::D1
    }
}

impl FromStr for Timeframe {
    type Err = TimeframeError;

    fn from_str(text: &str) -> Result<Self, TimeframeError> {
        TABLE.iter().find(|row| row.1 == text).map(|row| row.0).ok_or_else(|| TimeframeError(text.to_owned()))
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl serde::Serialize for Timeframe {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Timeframe {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timeframe_reads_back_from_its_own_text_and_the_table_is_in_order() {
        let mut seen = 0;
        for (index, (timeframe, text, _)) in TABLE.iter().enumerate() {
            assert_eq!(*timeframe as usize, index);
            assert_eq!(text.parse::<Timeframe>(), Ok(*timeframe));
            seen += 1;
        }
        assert_eq!(seen, 16);
    }

    #[test]
    fn a_minute_is_not_a_month() {
        assert_eq!("1m".parse::<Timeframe>(), Ok(Timeframe::M1));
        assert_eq!("1M".parse::<Timeframe>(), Ok(Timeframe::Month1));
        assert_eq!("7m".parse::<Timeframe>(), Err(TimeframeError("7m".into())));
    }
}
