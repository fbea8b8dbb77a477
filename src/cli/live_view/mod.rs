//! What a running collector looks like: full screen on a terminal, plain lines elsewhere.
//!
//! [`Watcher`] reads the collector and its store into a [`Snapshot`]; drawing is a function of
//! snapshots and knows neither. Nothing here feeds anything back to the collector.

mod layout;
mod notices;
mod plain;
mod screen;
mod watcher;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use notices::Notices;
pub use plain::Plain;
pub use screen::Screen;
pub use watcher::Watcher;

use crate::market::{Candle, Source, Timeframe};
use crate::status::{ComponentStatus, Totals};

/// Arrivals that are remembered.
const ARRIVALS: usize = 200;

/// A candle that was just stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Exchange id.
    pub exchange: Arc<str>,
    /// Unified symbol.
    pub symbol: Arc<str>,
    /// Timeframe.
    pub timeframe: Timeframe,
    /// The bar.
    pub candle: Candle,
    /// Where it came from.
    pub source: Source,
}

/// Everything the view shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The collector's time.
    pub now: DateTime<Utc>,
    /// How many of its seconds pass in one of ours.
    pub speed: f64,
    /// Where the candles are kept.
    pub database: Arc<str>,
    /// Totals since the start.
    pub totals: Totals,
    /// Candles stored in the last second (ours).
    pub candles_per_second: f64,
    /// Missing stretches.
    pub gaps: u64,
    /// Symbols, by exchange and name.
    pub symbols: Vec<ComponentStatus>,
    /// Exchanges that someone should look at.
    pub troubles: Vec<String>,
    /// Candles just stored, oldest first, numbered without end so that nobody shows one twice.
    pub arrivals: VecDeque<Arrival>,
    /// Number of the first arrival kept.
    pub first_arrival: u64,
    /// The last warnings of the log.
    pub notices: Vec<String>,
}

impl Snapshot {
    /// How many symbols still read history.
    pub fn backfilling(&self) -> usize {
        self.symbols.iter().filter(|status| status.phase == crate::status::Phase::Backfilling).count()
    }
}

/// Either view.
pub enum View {
    /// Full screen.
    Screen(Screen),
    /// Lines.
    Plain(Plain<io::Stdout>),
}

impl View {
    /// Shows the newest state.
    ///
    /// # Errors
    /// Nobody reads our lines any longer.
    pub fn show(&mut self, snapshot: Snapshot) -> io::Result<()> {
        match self {
            View::Screen(screen) => {
                screen.show(snapshot);
                Ok(())
            }
            View::Plain(plain) => plain.show(&snapshot),
        }
    }
}

/// Thousands apart: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A price or amount with as many digits as say something.
fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if value == 0.0 => 0,
        _ if size >= 10_000.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 0.1 => 5,
        _ => 8,
    };
    format!("{value:.digits$}")
}

/// A span of time in milliseconds, short.
fn lag(milliseconds: i64) -> String {
    match milliseconds / 1000 {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 91_200.15, 270.456, 1.15321, 0.00000472].map(number),
            ["0", "91200.1", "270.46", "1.15321", "0.00000472"]
        );
        assert_eq!([0, 119_999, 120_000, 7_200_000, 172_800_000].map(lag), ["0s", "119s", "2m", "2h", "2d"]);
    }
}
