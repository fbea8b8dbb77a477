//! Trades are compared with candles where both are kept. Where ids are not consecutive, nothing else
//! shows that a stream was silent about a symbol that traded: what is missing is read again.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use tracing::warn;

use super::SymbolActor;
use crate::exchange::AmountUnit;
use crate::market::ledger::LedgerChange;
use crate::market::{Candle, Span, Trade, TradeId};
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
            // What was on its way may have arrived since.
            let arrived: HashSet<&TradeId> = stored.iter().map(|trade| &trade.id).collect();
            let waiting = self.waiting.iter().filter(|trade| !arrived.contains(&trade.id));
            let trades: Vec<&Trade> = stored.iter().chain(waiting).collect();
            for (span, volume) in rows {
                let of_row = trades.iter().filter(|trade| span.contains(trade.time));
                let sum: Decimal = of_row.map(|trade| trade.amount).sum();
                if sum.to_f64().is_some_and(|sum| sum < volume * (1.0 - TOLERANCE)) {
                    short.push(*span);
                }
            }
        }
        Ok(short)
    }
}

impl SymbolActor {
    /// True where candles can tell that trades were left out.
    fn compares_trades(&self) -> bool {
        // Contracts are converted, and their sums rounded.
        self.tape.as_ref().is_some_and(|side| side.keeps && side.tape.can_be_wanting())
            && self.setup.instrument.amount_unit == AmountUnit::Base
    }

    /// A stream claims all trades of a stretch: candles of its time that were read before have not been
    /// compared with them, and are read once more. So it is where an exchange was mute for a while.
    pub(super) fn compare_claimed(&mut self, claimed: Span, now: DateTime<Utc>) {
        let compares = self.compares_trades();
        let Some(series) = self.series.first_mut().filter(|series| compares && !series.book.is_from_trades()) else {
            return;
        };
        let from = series.grid().bucket_at(claimed.from);
        let read = Span::new(from, series.grid().ceil(claimed.to).min(series.book.fresh_from(now)));
        if !read.is_empty() {
            series.state(LedgerChange::Unverify(read));
        }
    }

    /// What of a page of candles can be compared with trades that count as complete.
    pub(super) fn comparison(&self, index: usize, rows: &[Candle], now: DateTime<Utc>) -> Option<Comparison> {
        let side = self.tape.as_ref().filter(|_| index == 0 && self.compares_trades())?;
        let grid = self.series[index].grid();
        let traded = rows.iter().filter(|row| row.volume > 0.0);
        let rows: Vec<_> = traded
            .map(|row| (Span::new(row.open_time, grid.next_open(row.open_time)), row.volume))
            .filter(|(span, _)| span.to < now - STORED_AFTER && side.tape.is_comparable(*span))
            .collect();
        let being_saved = self.trades_being_saved.iter().flat_map(|change| &change.trades);
        let waiting = being_saved.chain(&side.pending.trades).cloned().collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Symbol, Timeframe};
    use crate::store::{self, Access, CandleSource, NewSymbol, TradesChange, WriteBatch};

    fn trade(id: u64, time: DateTime<Utc>) -> Trade {
        let id = TradeId::Number(id);
        Trade { last_id: id.clone(), id, time, price: Decimal::ONE, amount: Decimal::ONE, side: None }
    }

    #[tokio::test]
    async fn a_trade_that_arrives_while_sums_are_compared_counts_once() {
        let store = store::open("sqlite://:memory:", Access::Create).await.unwrap();
        let from: DateTime<Utc> = "2026-11-20T14:00:00Z".parse().unwrap();
        let new = NewSymbol {
            exchange: "okx".to_owned(),
            symbol: "BTC/USDT".parse::<Symbol>().unwrap(),
            timeframes: vec![Timeframe::M1],
            backfill_from: from,
            collect_trades: true,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        store.add_symbol(&new).await.unwrap();
        let symbol = store.symbols().await.unwrap()[0].id;
        let trades = vec![trade(1, from), trade(2, from)];
        let change = TradesChange { trades: trades.clone(), ..TradesChange::new(symbol) };
        store.write(&WriteBatch { trades: vec![change], ..WriteBatch::default() }).await.unwrap();

        let minute = Span::new(from, from + TimeDelta::minutes(1));
        let short = async |volume: f64, waiting: &[Trade]| {
            let comparison = Comparison { symbol, rows: vec![(minute, volume)], waiting: waiting.to_vec() };
            comparison.run(&*store).await.unwrap()
        };
        assert_eq!(short(2.0, &trades).await, []);
        assert_eq!(short(3.0, &trades).await, [minute], "both are stored by now");
        assert_eq!(short(3.0, &[trade(2, from), trade(3, from)]).await, []);
    }
}
