//! Candles beside the sums of the trades that are kept: what an exchange prints is compared with them,
//! what is built from trades is judged by them. Only stretches that the trades' ledger calls complete
//! say anything.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Auditor, Cut, Proof};
use crate::engine::page::Findings;
use crate::engine::tape::pass::Pass;
use crate::exchange::{AmountUnit, QuietPolicy};
use crate::market::audit::TradesAudit;
use crate::market::{Candle, FinalCandle, Span, SpanSet};
use crate::store::CandleQuery;

/// Stored trades that are read at once.
const TRADES_AT_ONCE: u32 = 5_000;
/// The exchange's volume and ours may differ by this share: candles are printed in fewer digits.
const TOLERANCE: f64 = 1e-6;
/// Buckets that are named of those that are not the sums of their trades.
const MOST_NAMED: usize = 20;
/// Reason: what the trades' ledger does not call complete cannot judge a candle.
const TRADES_INCOMPLETE: &str = "trades_incomplete";

impl Auditor {
    /// Judges candles that are built from trades by the trades that are kept.
    pub(super) async fn with_trades(&mut self, span: Span) -> Result<(), Cut> {
        let known = self.known(span).await?;
        let mut from = span.from;
        for stretch in known.spans().iter().copied().chain([Span::new(span.to, span.to)]) {
            self.unread(Span::new(from, stretch.from), TRADES_INCOMPLETE).await?;
            from = stretch.from;
            while from < stretch.to {
                let part = Span::new(from, self.day_after(from, stretch.to));
                let quiet = self.venue.capabilities().quiet;
                let (candles, findings) = self.built(part, quiet).await?;
                let proof = Proof { page: None, candles, findings };
                let comparison = self.compare(part, &proof).await?;
                self.conclude(part, comparison, proof).await?;
                from = part.to;
            }
        }
        Ok(())
    }

    /// Compares the exchange's candles with the sums of the trades, where both are kept.
    pub(super) async fn with_sums(&mut self, span: Span) -> Result<(), Cut> {
        if !self.row.collect_trades {
            return Ok(());
        }
        let mut trades = TradesAudit::default();
        if self.instrument.amount_unit != AmountUnit::Base {
            trades.skipped = Some("contracts are converted to the base currency, and their sums rounded".to_owned());
            self.audit.trades = Some(trades);
            return Ok(());
        }
        for stretch in self.known(span).await?.spans() {
            let mut from = stretch.from;
            while from < stretch.to {
                let part = Span::new(from, self.day_after(from, stretch.to));
                self.sum(part, &mut trades).await?;
                from = part.to;
            }
        }
        self.audit.trades = Some(trades);
        Ok(())
    }

    async fn sum(&self, span: Span, trades: &mut TradesAudit) -> Result<(), Cut> {
        // Without flat bars: a quiet bucket has no sum.
        let (_, sums) = self.built(span, QuietPolicy::Omits).await?;
        let sums: BTreeMap<DateTime<Utc>, Candle> = sums.finals.into_iter().map(|row| (row.open_time, row)).collect();
        let grid = self.grid();
        let with_before = Span::new(grid.previous_open(span.from), span.to);
        let query = CandleQuery { span: with_before, limit: None, newest_first: false };
        let rows = self.store.candles(self.id, query).await?;
        let rows: BTreeMap<DateTime<Utc>, Candle> = rows.into_iter().map(|r| (r.candle.open_time, r.candle)).collect();
        let complete = crate::market::ledger::complete(&self.store.ledger(self.id).await?);
        let capabilities = self.venue.capabilities();
        let counts = capabilities.trade_rest.is_none_or(|rest| rest.ids_are_dense)
            && capabilities.trade_stream.is_none_or(|stream| stream.ids_are_dense);
        for open in grid.opens(span).filter(|open| complete.contains(*open)) {
            let before = rows.get(&grid.previous_open(open)).map(|row| row.close);
            trades.checked += 1;
            if !is_sum(rows.get(&open), sums.get(&open), before, counts) {
                trades.differ += 1;
                if trades.first.len() < MOST_NAMED {
                    trades.first.push(open);
                }
            }
        }
        Ok(())
    }

    /// The whole buckets inside a span whose trades are all kept.
    async fn known(&self, span: Span) -> Result<SpanSet, Cut> {
        let grid = self.grid();
        let coverage = self.store.trade_coverage(self.row.id).await?;
        let parts = coverage.spans.within(span);
        let whole = parts.spans().iter().map(|part| Span::new(grid.ceil(part.from), grid.bucket_at(part.to)));
        Ok(whole.filter(|part| !part.is_empty()).collect())
    }

    /// What the stored trades of a stretch of whole buckets add up to.
    async fn built(&self, span: Span, quiet: QuietPolicy) -> Result<(Vec<FinalCandle>, Findings), Cut> {
        let grid = self.grid();
        let before = Span::new(grid.previous_open(span.from), span.from);
        let query = CandleQuery { span: before, limit: Some(1), newest_first: true };
        let close = self.store.candles(self.id, query).await?.first().map(|row| row.candle.close);
        let mut pass = Pass::new(span, &[(grid, close)], quiet);
        let (mut last, observed_at) = (None, self.venue.clock.now());
        let (mut candles, mut complete) = (BTreeMap::new(), SpanSet::new());
        while let Some(gap) = pass.gap() {
            let page = self.store.trades_page(self.row.id, gap, last.as_ref(), TRADES_AT_ONCE).await?;
            let newest = page.last().filter(|_| page.len() == TRADES_AT_ONCE as usize).cloned();
            let reached = newest.as_ref().map_or(gap.to, |newest| newest.time);
            last = newest;
            for built in pass.feed(&page, reached).map_err(|error| Cut::Never(error.to_string()))? {
                built.complete.iter().for_each(|span| complete.insert(*span));
                for (candle, source, rule) in built.candles {
                    candles.insert(candle.open_time, FinalCandle { candle, source, rule, observed_at });
                }
            }
        }
        let candles: Vec<FinalCandle> = candles.into_values().collect();
        let finals = candles.iter().map(|row| row.candle).collect();
        Ok((candles, Findings { finals, complete, ..Findings::default() }))
    }
}

/// True when a candle is the sum of its trades as far as exchanges print sums: an open may repeat the
/// close before it, volumes are rounded, and trades are counted alike only where ids are consecutive.
fn is_sum(row: Option<&Candle>, sum: Option<&Candle>, before: Option<f64>, counts: bool) -> bool {
    let (row, sum) = match (row.filter(|row| row.volume > 0.0), sum) {
        (None, None) => return true,
        (Some(row), Some(sum)) => (row, sum),
        _ => return false,
    };
    let repeats = before == Some(row.open);
    let count = !counts || row.trades.is_none_or(|trades| Some(trades) == sum.trades);
    count
        && (row.open == sum.open || repeats)
        && (row.high == sum.high || (repeats && row.high == row.open && row.open > sum.high))
        && (row.low == sum.low || (repeats && row.low == row.open && row.open < sum.low))
        && row.close == sum.close
        && (row.volume - sum.volume).abs() <= TOLERANCE * row.volume.max(sum.volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candle_is_the_sum_of_its_trades_as_exchanges_print_sums() {
        let open_time = DateTime::from_timestamp(1_795_183_200, 0).unwrap();
        let sum = Candle {
            open: 2.0,
            high: 5.0,
            low: 2.0,
            close: 3.0,
            volume: 7.0,
            trades: Some(4),
            ..Candle::flat(open_time, 0.0)
        };
        let is_sum = |row: Candle| is_sum(Some(&row), Some(&sum), Some(1.0), true);
        assert!(is_sum(sum));
        assert!(
            is_sum(Candle { open: 1.0, ..sum }) && is_sum(Candle { open: 1.0, low: 1.0, ..sum }),
            "repeats the close before"
        );
        assert!(is_sum(Candle { volume: 7.000_000_1, ..sum }) && is_sum(Candle { trades: None, ..sum }));
        let wrong = [
            Candle { open: 1.5, ..sum },
            Candle { high: 6.0, ..sum },
            Candle { low: 1.0, ..sum },
            Candle { close: 3.5, ..sum },
            Candle { volume: 7.1, ..sum },
            Candle { trades: Some(5), ..sum },
        ];
        assert!(wrong.iter().all(|row| !is_sum(*row)));
        let row = Candle { trades: Some(5), ..sum };
        assert!(super::is_sum(Some(&row), Some(&sum), None, false), "where ids have gaps trades are counted otherwise");
        let flat = Candle::flat(open_time, 1.0);
        assert!(super::is_sum(Some(&flat), None, None, true) && super::is_sum(None, None, None, true));
        assert!(!super::is_sum(Some(&flat), Some(&sum), None, true) && !super::is_sum(Some(&sum), None, None, true));
    }
}
