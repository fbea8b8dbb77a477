//! Domain values: symbols, timeframes, bucket grids, candles, trades, coverage, aggregation and resampling. Pure.
//!
//! Nothing here does I/O, reads a clock or knows an exchange by name.

pub mod aggregate;
pub mod audit;
pub mod candle;
pub mod coverage;
pub mod exact_sum;
pub mod gaps;
pub mod grid;
pub mod ledger;
pub mod resample;
pub mod series;
pub mod symbol;
pub mod ticker;
pub mod timeframe;
pub mod trade;

pub use aggregate::{AggregateError, AggregateStats, Aggregator};
pub use candle::{Candle, FinalCandle, Rule, Source};
pub use coverage::{Span, SpanSet};
pub use exact_sum::ExactSum;
pub use grid::{Anchors, Grid, Session, WeekStart};
pub use series::SeriesName;
pub use symbol::Symbol;
pub use ticker::Ticker;
pub use timeframe::Timeframe;
pub use trade::{Side, Trade, TradeId};
