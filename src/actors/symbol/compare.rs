//! Trades are compared with candles where both are kept. Where ids are not consecutive, nothing else
//! shows that a stream was silent about a symbol that traded: what is missing is read again.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use tracing::warn;

use super::SymbolActor;
use crate::exchange::AmountUnit;
use crate::market::{Candle, Span, Trade};
use crate::store::{Store, StoreError, SymbolId};

/// The trades of rows within so long are read at once.
const READ_AT_ONCE: TimeDelta = TimeDelta::hours(1);
/// Trades of a bucket that closed so long ago are stored.
const STORED_AFTER: TimeDelta = TimeDelta::minutes(2);
/// The exchange's sum and ours may differ by this share: candles are printed in fewer digits.
const TOLERANCE: f64 = 1e-6;

/// What is to be compared.
pub(super) struct Comparison {
    symbol: SymbolId,
    rows: Vec<(Span, f64)>,
    /// Trades on their way to the store.
    waiting: Vec<Trade>,
}

impl Comparison {
    /// The stretches whose trades are less than their candle tells.
    pub async fn run(self, store: &dyn Store) -> Result<Vec<Span>, StoreError> {
        let mut short = Vec::new();
        let mut left = self.rows.as_slice();
        while let Some((first, _)) = left.first() {
            let near = left.iter().take_while(|(span, _)| span.to - first.from <= READ_AT_ONCE).count();
            let (rows, later) = left.split_at(near.max(1));
            left = later;
            let until = rows.last().map_or(first.to, |(last, _)| last.to);
            let stored = store.trades(self.symbol, Span::new(first.from, until)).await?;
            for (span, volume) in rows {
                let trades = stored.iter().chain(&self.waiting).filter(|trade| span.contains(trade.time));
                let sum: Decimal = trades.map(|trade| trade.amount).sum();
                if sum.to_f64().is_some_and(|sum| sum < volume * (1.0 - TOLERANCE)) {
                    short.push(*span);
                }
            }
        }
        Ok(short)
    }
}

impl SymbolActor {
    /// What of a page of candles can be compared with trades that count as complete.
    pub(super) fn comparison(&self, index: usize, rows: &[Candle], now: DateTime<Utc>) -> Option<Comparison> {
        let side = self.tape.as_ref().filter(|side| side.keeps && side.tape.can_be_wanting())?;
        // Contracts are converted, and their sums rounded.
        if index != 0 || self.setup.instrument.amount_unit != AmountUnit::Base {
            return None;
        }
        let grid = self.series[index].grid();
        let traded = rows.iter().filter(|row| row.volume > 0.0);
        let rows: Vec<_> = traded
            .map(|row| (Span::new(row.open_time, grid.next_open(row.open_time)), row.volume))
            .filter(|(span, _)| span.to < now - STORED_AFTER && side.tape.is_comparable(*span))
            .collect();
        let waiting = side.pending.trades.clone();
        (!rows.is_empty()).then_some(Comparison { symbol: side.pending.symbol, rows, waiting })
    }

    /// Reads stretches again whose trades are not all there.
    pub(super) fn read_again(&mut self, short: Vec<Span>, now: DateTime<Utc>) {
        let Some(side) = &mut self.tape else { return };
        for span in short {
            if side.tape.doubt(span) {
                warn!(%span, "trades are missing that the candle tells of; they are read again");
                side.withdraw(span, now);
            }
        }
    }
}
