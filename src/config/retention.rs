//! How long what is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use super::duration::format_duration;
use super::section::{Fault, Section, Setting, join};
use crate::market::Timeframe;

/// How long candles, trades and events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionConfig {
    /// How often what is older is removed; beginnings move in steps of this.
    pub every: Duration,
    /// How long candles are kept, by timeframe; others for ever.
    pub candles: BTreeMap<Timeframe, Duration>,
    /// How long trades are kept; `None`: for ever.
    pub trades: Option<Duration>,
    /// How long events are kept.
    pub events: Duration,
}

impl Default for RetentionConfig {
    fn default() -> RetentionConfig {
        RetentionConfig {
            every: Duration::from_secs(3600),
            candles: BTreeMap::new(),
            trades: None,
            events: Duration::from_secs(30 * 86_400),
        }
    }
}

/// The shortest that anything is kept, and of candles so many bars: what was just written is still
/// confirmed by REST and summed up.
const SHORTEST: Duration = Duration::from_secs(3600);
const FEWEST_BARS: u32 = 10;

/// Reads the section `retention`.
pub(super) fn read(section: &mut Section<'_>, retention: &mut RetentionConfig) {
    section.read_wait("every", &mut retention.every);
    section.read("trades", &mut retention.trades);
    section.read("events", &mut retention.events);
    for (key, kept) in [("trades", retention.trades), ("events", Some(retention.events))] {
        if let Some(kept) = kept.filter(|kept| *kept < SHORTEST) {
            section.fault(key, too_short(SHORTEST, kept));
        }
    }
    section.named("candles", |word, value, faults| {
        let path = join("retention.candles", word);
        let read = word.parse::<Timeframe>().map_err(|error| error.to_string()).and_then(|timeframe| {
            let kept = Duration::read(value)?;
            let shortest = SHORTEST.max(timeframe.nominal() * FEWEST_BARS);
            if kept < shortest { Err(too_short(shortest, kept)) } else { Ok((timeframe, kept)) }
        });
        match read {
            Ok((timeframe, kept)) => {
                retention.candles.insert(timeframe, kept);
            }
            Err(message) => faults.push(Fault { path, message }),
        }
    });
}

fn too_short(shortest: Duration, kept: Duration) -> String {
    format!("must be at least {}, is {}", format_duration(shortest), format_duration(kept))
}
