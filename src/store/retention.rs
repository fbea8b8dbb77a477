//! Where what is kept begins: what lies before was pruned, is not wanted, and is removed piece by piece.
//!
//! A cut is a statement first ([`Store::keep_from`](super::Store::keep_from)): from that moment on
//! nothing before it is wanted or written, and whoever is killed afterwards has promised nothing that
//! is not so. Rows go later ([`Store::prune`](super::Store::prune)), each piece in one transaction with
//! the ledger that speaks of it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

use super::inventory::grid_of;
use super::{SeriesId, SymbolId, SymbolRow};
use crate::market::{Symbol, Timeframe};

/// Rows that are removed in one transaction: some milliseconds, for which whoever writes waits.
pub const ROWS_AT_ONCE: u32 = 2000;

/// What of a symbol is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The candles of one timeframe, with their old values.
    Candles(Timeframe),
    /// Its trades.
    Trades,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Candles(timeframe) => timeframe.fmt(f),
            Part::Trades => f.write_str("trades"),
        }
    }
}

/// Where something of a symbol is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// What.
    pub part: Part,
    /// The first instant that is kept; of candles a bucket border.
    pub from: DateTime<Utc>,
}

/// Where what was pruned of a symbol begins; what is not named begins with `backfill_from`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// By timeframe, on bucket borders.
    pub candles: BTreeMap<Timeframe, DateTime<Utc>>,
    /// Its trades.
    pub trades: Option<DateTime<Utc>>,
}

impl SymbolRow {
    /// Since when candles of a timeframe are wanted.
    pub fn candles_from(&self, timeframe: Timeframe) -> DateTime<Utc> {
        self.kept.candles.get(&timeframe).map_or(self.backfill_from, |kept| self.backfill_from.max(*kept))
    }

    /// Since when its trades are wanted.
    pub fn trades_from(&self) -> DateTime<Utc> {
        self.kept.trades.map_or(self.backfill_from, |kept| self.backfill_from.max(kept))
    }

    /// Since when a part of it is wanted.
    pub fn begin(&self, part: Part) -> DateTime<Utc> {
        match part {
            Part::Candles(timeframe) => self.candles_from(timeframe),
            Part::Trades => self.trades_from(),
        }
    }

    /// The cut that keeps everything of a part since `instant`, and the bucket that contains it.
    pub fn cut(&self, part: Part, instant: DateTime<Utc>) -> Cut {
        let from = match part {
            Part::Candles(timeframe) => grid_of(self, timeframe).bucket_at(instant),
            Part::Trades => instant,
        };
        Cut { part, from }
    }

    /// Everything of it that is collected, as it can be cut.
    pub fn parts(&self) -> Vec<Part> {
        let timeframes: &[Timeframe] = if self.collect_candles { &self.timeframes } else { &[] };
        let candles = timeframes.iter().copied().map(Part::Candles);
        candles.chain(self.collect_trades.then_some(Part::Trades)).collect()
    }
}

/// Something that begins before what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prunable {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// What.
    pub part: Part,
    /// Where it is kept.
    pub held: Held,
    /// What lies before goes.
    pub from: DateTime<Utc>,
}

/// The key of what is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Candles.
    Series(SeriesId),
    /// Trades.
    Trades(SymbolId),
}

/// What one piece of pruning removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Candles or trades.
    pub rows: u64,
    /// Old values of candles.
    pub revisions: u64,
    /// Nothing is left from before the beginning.
    pub is_done: bool,
}
