//! Which stretches between printed trades the ledger does not call complete. Keeps no trades.

use chrono::{DateTime, SubsecRound, Utc};

use crate::cli::lines::Time;
use crate::cli::listing::count;
use crate::market::{Span, Trade};
use crate::store::TradeCoverage;

/// Follows trades in their order.
pub(super) struct Doubt<'a> {
    coverage: &'a TradeCoverage,
    /// Where the range begins, if that was said.
    from: Option<DateTime<Utc>>,
    last: Option<Place>,
    /// The first stretch in doubt, and how many there are.
    first: Option<Span>,
    stretches: u64,
    /// The newest one ends at the newest trade: it may grow.
    is_open: bool,
}

/// A trade's place.
#[derive(Clone, Copy)]
struct Place {
    time: DateTime<Utc>,
    ids: Option<(u64, u64)>,
}

/// True when all ids from `from` to `to` are complete.
pub(super) fn has_ids(coverage: &TradeCoverage, from: u64, to: u64) -> bool {
    let index = coverage.ids.partition_point(|range| range.1 < from);
    coverage.ids.get(index).is_some_and(|range| range.0 <= from && to <= range.1)
}

impl<'a> Doubt<'a> {
    /// Nothing was printed yet of a range.
    pub(super) fn new(coverage: &'a TradeCoverage, from: Option<DateTime<Utc>>) -> Doubt<'a> {
        Doubt { coverage, from, last: None, first: None, stretches: 0, is_open: false }
    }

    /// The next trade.
    pub(super) fn trade(&mut self, trade: &Trade) {
        let place = Place { time: trade.time, ids: trade.id.number().zip(trade.last_id.number()) };
        match (self.last, self.from) {
            (Some(last), _) => {
                let by_id = last.ids.zip(place.ids).is_some_and(|(a, b)| {
                    // Times may disagree with ids by a little.
                    has_ids(self.coverage, a.0.min(b.0), a.1.max(b.1))
                });
                self.stretch(Span::new(last.time, place.time), by_id);
            }
            (None, Some(from)) => {
                // Ids before it that are complete lie before the range. None is smaller than 1.
                let by_id = place.ids.is_some_and(|ids| has_ids(self.coverage, ids.0.saturating_sub(1).max(1), ids.0));
                self.stretch(Span::new(from, place.time), by_id);
            }
            (None, None) => {}
        }
        self.last = Some(place);
    }

    /// The range ends, if that was said.
    pub(super) fn end(&mut self, to: Option<DateTime<Utc>>) {
        if let (Some(last), Some(to)) = (self.last, to) {
            let by_id = last.ids.is_some_and(|ids| has_ids(self.coverage, ids.1, ids.1.saturating_add(1)));
            self.stretch(Span::new(last.time, to), by_id);
        }
    }

    fn stretch(&mut self, span: Span, by_id: bool) {
        let is_proven = by_id || self.coverage.spans.covers(span) && self.last_is_covered(span);
        if is_proven {
            self.is_open = false;
            return;
        }
        match &mut self.first {
            None => self.first = Some(span),
            Some(first) if self.is_open && self.stretches == 1 => first.to = span.to,
            Some(_) => {}
        }
        self.stretches += u64::from(!self.is_open);
        self.is_open = true;
    }

    /// Two trades of one instant lie in no span; the instant itself must be complete.
    fn last_is_covered(&self, span: Span) -> bool {
        !span.is_empty() || self.coverage.spans.contains(span.from)
    }

    /// What is in doubt, if anything is.
    pub(super) fn words(&self) -> Option<String> {
        let Span { from, to } = self.first?;
        let more = match self.stretches - 1 {
            0 => String::new(),
            more => format!(", and in {} later", count(more, "stretch")),
        };
        let (from, to) = (Time(from.trunc_subsecs(3)), Time(to.trunc_subsecs(3)));
        Some(format!("trades may be missing between {from} and {to}{more}: the ledger does not call them complete"))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::market::{SpanSet, TradeId};

    fn at(second: i64) -> DateTime<Utc> {
        "2026-11-20T14:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
    }

    fn trade(id: u64, second: i64) -> Trade {
        let id = TradeId::Number(id);
        Trade { last_id: id.clone(), id, time: at(second), price: 1.into(), amount: 1.into(), side: None }
    }

    /// The words on trades of one per second, by id.
    fn words(coverage: &TradeCoverage, from: Option<i64>, ids: &[u64], to: Option<i64>) -> Option<String> {
        let mut doubt = Doubt::new(coverage, from.map(at));
        ids.iter().for_each(|id| doubt.trade(&trade(*id, *id as i64)));
        doubt.end(to.map(at));
        doubt.words()
    }

    fn between(from: i64, to: i64, more: &str) -> Option<String> {
        let (from, to) = (Time(at(from)), Time(at(to)));
        Some(format!("trades may be missing between {from} and {to}{more}: the ledger does not call them complete"))
    }

    #[test]
    fn ids_prove_what_lies_between_trades_and_at_the_ends_of_a_range() {
        let ids = |ids: &[(u64, u64)]| TradeCoverage { ids: ids.to_vec(), ..TradeCoverage::default() };
        assert_eq!(words(&ids(&[(10, 20)]), None, &[11, 12, 15], None), None);
        assert_eq!(words(&ids(&[(10, 20)]), Some(5), &[11, 12, 15], Some(40)), None, "10 and 16 lie outside");
        assert_eq!(
            words(&ids(&[(11, 15)]), Some(5), &[11, 12, 15], Some(40)),
            between(5, 11, ", and in 1 stretch later")
        );
        assert_eq!(words(&ids(&[(1, 20)]), Some(0), &[1, 2, 3], Some(9)), None, "there is no id before the first");
        assert_eq!(words(&ids(&[(10, 12), (15, 20)]), None, &[11, 12, 15, 16], None), between(12, 15, ""));
        assert_eq!(words(&ids(&[]), None, &[11, 12, 15], None), between(11, 15, ""), "one stretch");
        let holes = ids(&[(1, 2), (4, 5), (7, 8)]);
        assert_eq!(words(&holes, None, &[1, 2, 4, 5, 7], None), between(2, 4, ", and in 1 stretch later"));
        assert_eq!(words(&ids(&[]), None, &[11], None), None, "one trade alone has nothing beside it");
    }

    #[test]
    fn stretches_of_time_prove_the_same() {
        let spans = |spans: &[(i64, i64)]| TradeCoverage {
            spans: spans.iter().map(|(from, to)| Span::new(at(*from), at(*to))).collect::<SpanSet>(),
            ..TradeCoverage::default()
        };
        assert_eq!(words(&spans(&[(0, 30)]), Some(0), &[11, 12, 15], Some(30)), None);
        assert_eq!(words(&spans(&[(0, 30)]), Some(0), &[11, 12, 15], Some(31)), between(15, 31, ""));
        assert_eq!(words(&spans(&[(0, 12), (14, 30)]), None, &[11, 12, 15], None), between(12, 15, ""));
    }
}
