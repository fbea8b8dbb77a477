//! Logging: how the binary sets it up, and how repeated messages are kept from flooding it.
//!
//! The library only emits `tracing` events; installing a subscriber is the host's choice, so
//! [`Logging::install`] is called by the command line and by nothing else.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry};

/// What is logged, and how it looks. Words go to stderr; stdout belongs to data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Level of our own events. Other crates are logged at `warn` at most.
    pub level: LevelFilter,
    /// Form of a line.
    pub format: LogFormat,
    /// Levels of single targets, ours or another crate's: `candlewick::transport`, `hyper`.
    pub targets: BTreeMap<String, LevelFilter>,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Logging {
    fn default() -> Self {
        Logging { level: LevelFilter::INFO, format: LogFormat::Text, targets: BTreeMap::new() }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A part of a filter that is neither a level nor `target=level`.
    #[error("bad log filter {part:?}: expected {LEVELS}, or target={{level}} such as candlewick::transport=debug")]
    Filter {
        /// The part as given.
        part: String,
    },
    /// The process has a subscriber already.
    #[error("logging is already set up in this process")]
    Installed(#[from] TryInitError),
}

/// The words a level can be written with.
pub const LEVELS: &str = "one of off, error, warn, info, debug, trace";

/// Reads a level; numbers are no levels.
pub fn parse_level(text: &str) -> Option<LevelFilter> {
    text.chars().all(|c| c.is_ascii_alphabetic()).then(|| text.parse().ok()).flatten()
}

impl Logging {
    /// Changes the levels by a filter such as `debug` or `info,candlewick::transport=trace,hyper=info`.
    ///
    /// # Errors
    /// [`TelemetryError::Filter`] names the part that is not understood; nothing is changed then.
    pub fn apply(&mut self, filter: &str) -> Result<(), TelemetryError> {
        let mut changed = self.clone();
        for part in filter.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || TelemetryError::Filter { part: part.to_owned() };
            match part.split_once('=') {
                None => changed.level = parse_level(part).ok_or_else(bad)?,
                Some((target, level)) if !target.is_empty() => {
                    changed.targets.insert(target.to_owned(), parse_level(level).ok_or_else(bad)?);
                }
                Some(_) => return Err(bad()),
            }
        }
        *self = changed;
        Ok(())
    }

    /// What passes.
    pub fn filter(&self) -> Targets {
        Targets::new()
            .with_default(self.level.min(LevelFilter::WARN))
            .with_target(env!("CARGO_PKG_NAME"), self.level)
            .with_targets(self.targets.clone())
    }

    /// Installs a subscriber for the whole process that writes to stderr.
    ///
    /// # Errors
    /// [`TelemetryError::Installed`] when there is one already.
    pub fn install(&self) -> Result<(), TelemetryError> {
        self.install_into(std::io::stderr, std::io::IsTerminal::is_terminal(&std::io::stderr()))
    }

    /// Installs a subscriber for the whole process that writes its lines elsewhere: into a view
    /// that owns the terminal, for example. Text is coloured when `has_colours`.
    ///
    /// # Errors
    /// [`TelemetryError::Installed`] when there is one already.
    pub fn install_into<W>(&self, writer: W, has_colours: bool) -> Result<(), TelemetryError>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let lines = tracing_subscriber::fmt::layer().with_writer(writer);
        let lines: Box<dyn Layer<Registry> + Send + Sync> = match self.format {
            LogFormat::Text => Box::new(lines.with_ansi(has_colours)),
            LogFormat::Json => Box::new(lines.json().flatten_event(true)),
        };
        Ok(tracing_subscriber::registry().with(lines.with_filter(self.filter())).try_init()?)
    }
}

/// Lets a message of one kind pass at most once in a while, and counts what it held back. Pure:
/// the caller logs, and the count goes into the line.
#[derive(Debug, Clone)]
pub struct Repeats<K> {
    every: Duration,
    kinds: HashMap<K, Kind>,
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    passed_at: DateTime<Utc>,
    suppressed: u64,
}

impl<K: Eq + Hash> Repeats<K> {
    /// A limiter that passes one message of a kind in each `every`.
    pub fn new(every: Duration) -> Repeats<K> {
        Repeats { every, kinds: HashMap::new() }
    }

    /// Whether a message of this kind is logged now: `Some` with the number of its like that were
    /// held back since the last one, or `None` to hold it back.
    pub fn admit(&mut self, kind: K, now: DateTime<Utc>) -> Option<u64> {
        let every = self.every;
        match self.kinds.get_mut(&kind) {
            Some(known) if now < known.passed_at + every => {
                known.suppressed += 1;
                None
            }
            Some(known) => {
                known.passed_at = now;
                Some(std::mem::take(&mut known.suppressed))
            }
            None => {
                self.kinds.insert(kind, Kind { passed_at: now, suppressed: 0 });
                Some(0)
            }
        }
    }

    /// Forgets the kinds that have been quiet long enough to pass again, and returns those with
    /// messages held back, so that the last burst is counted too. Call it now and then: it also
    /// keeps the table small.
    pub fn settle(&mut self, now: DateTime<Utc>) -> Vec<(K, u64)> {
        let every = self.every;
        self.kinds
            .extract_if(|_, kind| now >= kind.passed_at + every)
            .filter(|(_, kind)| kind.suppressed > 0)
            .map(|(key, kind)| (key, kind.suppressed))
            .collect()
    }
}

impl<K: Eq + Hash> Default for Repeats<K> {
    /// Ten seconds.
    fn default() -> Self {
        Repeats::new(Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tracing::Level;

    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        "2026-11-20T14:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::milliseconds(milliseconds)
    }

    #[test]
    fn other_crates_stay_at_warn_whatever_our_level() {
        let mut logging = Logging::default();
        logging.apply("debug").unwrap();
        let filter = logging.filter();
        assert!(filter.would_enable("candlewick::actors", &Level::DEBUG));
        assert!(!filter.would_enable("candlewick::actors", &Level::TRACE));
        assert!(filter.would_enable("hyper", &Level::WARN));
        assert!(!filter.would_enable("hyper", &Level::INFO));
    }

    #[test]
    fn a_filter_names_targets() {
        let mut logging = Logging::default();
        logging.apply("warn, candlewick::transport=trace,hyper=info").unwrap();
        assert_eq!(logging.level, LevelFilter::WARN);
        let filter = logging.filter();
        assert!(filter.would_enable("candlewick::transport::net", &Level::TRACE));
        assert!(!filter.would_enable("candlewick::actors", &Level::INFO));
        assert!(filter.would_enable("hyper", &Level::INFO));
    }

    #[test]
    fn a_bad_filter_names_its_bad_part_and_changes_nothing() {
        let mut logging = Logging::default();
        let faults = ["debug,loud", "debug,hyper=3", "=debug"].map(|filter| match logging.apply(filter) {
            Err(TelemetryError::Filter { part }) => part,
            other => panic!("{other:?}"),
        });
        assert_eq!(faults, ["loud", "hyper=3", "=debug"]);
        assert_eq!(logging, Logging::default());
    }

    #[test]
    fn the_same_message_passes_every_ten_seconds_with_a_count() {
        let mut repeats = Repeats::default();
        let passed = [0, 1, 9_999, 10_000, 10_001, 20_000].map(|ms| repeats.admit("lost", at(ms)));
        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
        assert_eq!(repeats.admit("timeout", at(20_000)), Some(0));
    }

    #[test]
    fn settling_reports_the_last_burst_once() {
        let mut repeats = Repeats::default();
        for ms in [0, 1, 2] {
            repeats.admit("lost", at(ms));
        }
        repeats.admit("timeout", at(5_000));
        assert_eq!(repeats.settle(at(9_999)), vec![]);
        assert_eq!(repeats.settle(at(10_000)), vec![("lost", 2)]);
        assert_eq!(repeats.settle(at(60_000)), vec![]);
        assert_eq!(repeats.admit("lost", at(60_000)), Some(0));
    }
}
