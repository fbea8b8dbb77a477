//! Ranges of trade ids that are known to be complete, with the times at their ends.

use chrono::{DateTime, Utc};

use crate::market::Trade;

/// Consecutive ids without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id.
    pub first: u64,
    /// Last id, inclusive.
    pub last: u64,
    /// Time of the first trade.
    pub from: DateTime<Utc>,
    /// Time of the last trade.
    pub to: DateTime<Utc>,
}

impl IdRange {
    /// The range of some trades in order; `None` without numeric ids.
    pub fn of(trades: &[Trade]) -> Option<IdRange> {
        let (first, last) = (trades.first()?, trades.last()?);
        let (from, to) = (first.time, last.time);
        Some(IdRange { first: first.id.number()?, last: last.last_id.number()?, from, to })
    }
}

/// Sorted ranges that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdRanges {
    ranges: Vec<IdRange>,
}

impl IdRanges {
    /// Adds a range, joining what it overlaps or touches.
    pub fn insert(&mut self, range: IdRange) {
        let start = self.ranges.partition_point(|other| other.last.saturating_add(1) < range.first);
        let end = self.ranges.partition_point(|other| other.first <= range.last.saturating_add(1));
        let joined = self.ranges[start..end.max(start)].iter().fold(range, |a, b| IdRange {
            first: a.first.min(b.first),
            last: a.last.max(b.last),
            from: if b.first < a.first { b.from } else { a.from },
            to: if b.last > a.last { b.to } else { a.to },
        });
        self.ranges.splice(start..end.max(start), [joined]);
    }

    /// True when the ids from `first` to `last` are all known.
    pub fn holds(&self, first: u64, last: u64) -> bool {
        let index = self.ranges.partition_point(|range| range.last < first);
        self.ranges.get(index).is_some_and(|range| range.first <= first && last <= range.last)
    }

    /// True when any of the ids from `first` to `last` is known.
    pub fn touches(&self, first: u64, last: u64) -> bool {
        let index = self.ranges.partition_point(|range| range.last < first);
        self.ranges.get(index).is_some_and(|range| range.first <= last)
    }

    /// The range that holds an id.
    pub fn holding(&self, id: u64) -> Option<IdRange> {
        let index = self.ranges.partition_point(|range| range.last < id);
        self.ranges.get(index).filter(|range| range.first <= id).copied()
    }

    /// The range before the one that holds an id: what an id is missing after.
    pub fn before(&self, id: u64) -> Option<IdRange> {
        let index = self.ranges.partition_point(|range| range.last < id);
        self.ranges.get(index).filter(|range| range.first == id)?;
        self.ranges.get(index.checked_sub(1)?).copied()
    }

    /// Neighbours with missing ids between them.
    pub fn gaps(&self) -> impl DoubleEndedIterator<Item = (IdRange, IdRange)> + '_ {
        self.ranges.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The ranges, lowest first.
    pub fn ranges(&self) -> &[IdRange] {
        &self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(second: u64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_183_200 + second as i64, 0).unwrap()
    }

    /// Trade n happens in second n.
    fn range(first: u64, last: u64) -> IdRange {
        IdRange { first, last, from: t(first), to: t(last) }
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one_with_the_times_of_its_ends() {
        let mut ids = IdRanges::default();
        for (first, last) in [(10, 19), (30, 39), (50, 59), (20, 29), (35, 49), (70, 70)] {
            ids.insert(range(first, last));
        }
        assert_eq!(ids.ranges(), [range(10, 59), range(70, 70)]);
        ids.insert(range(1, 90));
        assert_eq!(ids.ranges(), [range(1, 90)]);
    }

    #[test]
    fn what_is_known_is_found_by_id() {
        let mut ids = IdRanges::default();
        ids.insert(range(10, 19));
        ids.insert(range(30, 39));
        assert!(ids.holds(10, 19) && ids.holds(31, 31) && !ids.holds(19, 20) && !ids.holds(25, 26));
        assert!(ids.touches(19, 20) && ids.touches(0, 10) && !ids.touches(20, 29) && !ids.touches(40, 99));
        assert_eq!((ids.holding(12), ids.holding(20)), (Some(range(10, 19)), None));
        assert_eq!(ids.gaps().collect::<Vec<_>>(), [(range(10, 19), range(30, 39))]);
    }
}
