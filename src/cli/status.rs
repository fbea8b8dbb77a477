//! `candlewick status`: what the collector last wrote of itself and of every symbol.
//!
//! Asks the database, not the collector: it also tells when nobody has written for a while, and
//! which symbols are wanted that no collector has spoken of.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::Failure;
use super::database::{DatabaseArgs, block_on};
use super::lines::Time;
use super::listing::{self, Format, Row, say};
use crate::clock::Clock;
use crate::config::format_duration;
use crate::control::components::{self, ComponentLine};
use crate::status::{DAEMON, Health};
use crate::store::{Access, StatusRow};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A collector that let so many reports pass is taken to be gone.
const REPORTS_MISSED: i32 = 3;

/// Prints the status.
///
/// # Errors
/// Usage: every fault of the configuration; failed when the database cannot be read.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    let patience = TimeDelta::from_std(database.load_config()?.status.interval).unwrap_or(TimeDelta::MAX);
    let patience = patience.checked_mul(REPORTS_MISSED).unwrap_or(TimeDelta::MAX);
    block_on(async {
        let store = database.open(Access::ReadOnly).await?;
        let (statuses, symbols) = (store.statuses().await?, store.symbols().await?);
        say(words(&statuses, Clock::system().now(), patience));
        listing::print(args.format, components::lines(statuses.into_iter().map(ComponentLine::from), &symbols))
    })
}

/// Whether a collector is at work, in one sentence.
fn words(statuses: &[StatusRow], now: DateTime<Utc>, patience: TimeDelta) -> String {
    let Some(last) = statuses.iter().map(|row| row.heartbeat).max() else {
        return "no collector has run on this database yet; start one with: candlewick run".to_owned();
    };
    let age = now - last;
    let at = Time(last.trunc_subsecs(0));
    let stopped = Health::Stopped.as_str();
    if statuses.iter().any(|row| row.component == DAEMON && row.status == stopped) {
        return format!("the collector stopped at {at}");
    }
    let ago = age.to_std().map_or(Duration::ZERO, |age| Duration::from_secs(age.as_secs()));
    let ago = format_duration(ago);
    if age > patience {
        format!(
            "the collector last wrote at {at}, {ago} ago: it seems not to be running; start it with: candlewick run"
        )
    } else {
        format!("the collector last wrote at {at}, {ago} ago")
    }
}

impl Row for ComponentLine {
    const COLUMNS: &'static [&'static str] = &[
        "component",
        "status",
        "phase",
        "mode",
        "last_candle",
        "lag_ms",
        "coverage_percent",
        "restarts",
        "heartbeat",
        "message",
    ];

    fn cells(&self) -> Vec<String> {
        let time = |time: Option<Time>| time.map_or_else(String::new, |time| Time(time.0.trunc_subsecs(0)).to_string());
        // Never rounded up to a hundred that is not reached.
        let percent = |percent: f64| format!("{:.2}", (percent * 100.0).floor() / 100.0);
        vec![
            self.component.clone(),
            self.status.clone(),
            self.phase.clone(),
            self.mode.clone().unwrap_or_default(),
            time(self.last_candle),
            self.lag_ms.map_or_else(String::new, |lag| lag.to_string()),
            self.coverage_percent.map_or_else(String::new, percent),
            self.restarts.to_string(),
            time(self.heartbeat),
            self.message.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(component: &str, status: &str, heartbeat: &str) -> StatusRow {
        let heartbeat = heartbeat.parse().unwrap();
        StatusRow {
            component: component.to_owned(),
            exchange: None,
            symbol: None,
            status: status.to_owned(),
            mode: None,
            phase: "live".to_owned(),
            message: String::new(),
            last_candle: None,
            lag_ms: None,
            restarts: 0,
            coverage_percent: Some(99.999),
            created_at: heartbeat,
            updated_at: heartbeat,
            heartbeat,
        }
    }

    #[test]
    fn a_collector_is_told_from_its_newest_report() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let told = |rows: &[StatusRow]| words(rows, now, TimeDelta::seconds(90));
        let daemon = |status, heartbeat| row(DAEMON, status, heartbeat);
        assert_eq!(told(&[]), "no collector has run on this database yet; start one with: candlewick run");
        assert_eq!(
            told(&[
                daemon("running", "2026-11-20T11:50:00Z"),
                row("kraken:BTC/USD", "running", "2026-11-20T11:59:30Z")
            ]),
            "the collector last wrote at 2026-11-20T11:59:30Z, 30s ago"
        );
        assert_eq!(
            told(&[daemon("running", "2026-11-20T11:58:00Z")]),
            "the collector last wrote at 2026-11-20T11:58:00Z, 2m ago: it seems not to be running; start it with: candlewick run"
        );
        assert_eq!(told(&[daemon("stopped", "2026-11-20T11:58:00Z")]), "the collector stopped at 2026-11-20T11:58:00Z");
    }

    #[test]
    fn coverage_is_never_rounded_up() {
        assert_eq!(ComponentLine::from(row(DAEMON, "running", "2026-11-20T12:00:00Z")).cells()[6], "99.99");
    }
}
