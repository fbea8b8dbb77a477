//! One pass over old trades, in their order, that builds the candles of all series that lack them.
//! It holds the open buckets and nothing else, however many trades pass by.

use chrono::{DateTime, Utc};

use super::build::{Builder, Built};
use super::{CHUNK, LATENESS};
use crate::exchange::QuietPolicy;
use crate::market::{AggregateError, Grid, Span, SpanSet, Trade};

/// See the module.
#[derive(Debug)]
pub struct Pass {
    span: Span,
    reached: DateTime<Utc>,
    builder: Builder,
}

impl Pass {
    /// A pass over `span` for series that are given with the close before it, where it is known.
    pub fn new(span: Span, series: &[(Grid, Option<f64>)], quiet: QuietPolicy) -> Pass {
        Pass { span, reached: span.from, builder: Builder::new(series, span.from, LATENESS, quiet) }
    }

    /// What still has to be read; `None` when it is done.
    pub fn gap(&self) -> Option<Span> {
        Some(Span::new(self.reached, self.span.to)).filter(|gap| !gap.is_empty())
    }

    /// Takes the trades that follow; up to `reached` there are no others.
    ///
    /// # Errors
    /// Those of the aggregator: such trades cannot be counted exactly.
    pub fn feed(&mut self, trades: &[Trade], reached: DateTime<Utc>) -> Result<Vec<Built>, AggregateError> {
        for trade in trades.iter().filter(|trade| self.span.contains(trade.time)) {
            self.builder.push(trade)?;
        }
        self.reached = self.reached.max(reached.min(self.span.to));
        self.builder.advance(self.reached)
    }
}

/// The newest stretch for which series need trades: about a day, widened to whole buckets.
pub fn next_span(work: &[(Grid, SpanSet)]) -> Option<Span> {
    let to = work.iter().filter_map(|(_, wanted)| wanted.spans().last()).map(|span| span.to).max()?;
    let window = Span::new(to - CHUNK, to);
    let firsts = work.iter().filter_map(|(grid, wanted)| {
        let first = wanted.within(window).spans().first()?.from;
        Some(grid.bucket_at(first))
    });
    Some(Span::new(firsts.min()?, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Timeframe, TradeId};

    fn t(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_132_800 + minute * 60, 0).unwrap()
    }

    fn wanted(timeframe: Timeframe, from: i64, to: i64) -> (Grid, SpanSet) {
        (Grid::utc(timeframe), [Span::new(t(from), t(to))].into_iter().collect())
    }

    #[test]
    fn the_newest_day_comes_first_and_buckets_are_whole() {
        assert_eq!(next_span(&[]), None);
        let minutes = wanted(Timeframe::M1, -3000, 30);
        assert_eq!(next_span(std::slice::from_ref(&minutes)), Some(Span::new(t(-1410), t(30))));
        let hours = wanted(Timeframe::H1, -6000, -60);
        assert_eq!(next_span(&[minutes, hours]), Some(Span::new(t(-1440), t(30))));
        assert_eq!(next_span(&[wanted(Timeframe::M1, 10, 30)]), Some(Span::new(t(10), t(30))));
    }

    #[test]
    fn pages_that_overlap_and_trades_beyond_the_end_change_nothing() {
        let trade = |id: u64| {
            let number = TradeId::Number(id);
            let (price, amount) = (10.into(), 1.into());
            Trade { id: number.clone(), last_id: number, time: t(id as i64 / 4), price, amount, side: None }
        };
        let mut pass = Pass::new(Span::new(t(1), t(4)), &[(Grid::utc(Timeframe::M1), None)], QuietPolicy::Omits);
        let page = |range: std::ops::Range<u64>| range.map(trade).collect::<Vec<_>>();
        let mut built = pass.feed(&page(2..9), t(2)).unwrap();
        assert_eq!(pass.gap(), Some(Span::new(t(2), t(4))));
        built.extend(pass.feed(&page(8..30), t(7)).unwrap());
        assert_eq!(pass.gap(), None);
        let candles: Vec<_> =
            built.iter().flat_map(|built| &built.candles).map(|(c, ..)| (c.open_time, c.trades)).collect();
        assert_eq!(candles, [(t(1), Some(4)), (t(2), Some(4)), (t(3), Some(4))]);
    }
}
