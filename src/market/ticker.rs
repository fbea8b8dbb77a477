//! The newest prices of a market, as venues print them on request.

use chrono::{DateTime, Utc};

/// A ticker. Prices in quote currency; what the venue does not print is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ticker {
    /// The venue's own time, where it prints one.
    pub time: Option<DateTime<Utc>>,
    /// Price of the last trade.
    pub last: Option<f64>,
    /// Best bid.
    pub bid: Option<f64>,
    /// Best ask.
    pub ask: Option<f64>,
    /// Volume of the venue's last 24 hours in base currency.
    pub volume: Option<f64>,
    /// The same in quote currency.
    pub quote_volume: Option<f64>,
}

impl Ticker {
    /// True when every number is finite: what may be stored at all.
    pub fn is_finite(&self) -> bool {
        let numbers = [self.last, self.bid, self.ask, self.volume, self.quote_volume];
        numbers.into_iter().flatten().all(f64::is_finite)
    }
}
