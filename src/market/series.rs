//! The name of a series: the unit that is wanted, covered, numbered and told.

use std::fmt;
use std::sync::Arc;

use super::{Symbol, Timeframe};

/// A series. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesName {
    /// Exchange id.
    pub exchange: Arc<str>,
    /// Unified name.
    pub symbol: Symbol,
    /// Timeframe.
    pub timeframe: Timeframe,
}

impl SeriesName {
    /// The series of a symbol and timeframe.
    pub fn new(exchange: impl Into<Arc<str>>, symbol: Symbol, timeframe: Timeframe) -> SeriesName {
        SeriesName { exchange: exchange.into(), symbol, timeframe }
    }
}

impl fmt::Display for SeriesName {
    /// `kraken BTC/USD 1m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.exchange, self.symbol, self.timeframe)
    }
}
