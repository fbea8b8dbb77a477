//! Which trade ids were counted: the memory that recognises duplicates.
//!
//! Numeric ids are kept as ranges, so a venue with dense ids costs one entry for ever; others cost
//! one entry per trade of the lateness window. What falls out of the window is forgotten.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::market::{Trade, TradeId};

/// What the memory says of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Certainly not counted yet.
    New,
    /// Counted before.
    Duplicate,
    /// Some of its ids were counted, others not.
    Overlap,
    /// Older than the window, and its id may be one of the forgotten.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
    /// Time of its newest trade, microseconds.
    newest: i64,
}

#[derive(Debug, Default)]
pub(super) struct SeenIds {
    /// Ascending, disjoint, not touching. The last one is never forgotten.
    ranges: VecDeque<Range>,
    /// The highest number forgotten.
    forgotten: Option<u64>,
    texts: HashSet<Arc<str>>,
    /// The texts in order of arrival, with their trades' times.
    texts_in_order: VecDeque<(i64, Arc<str>)>,
    has_forgotten_text: bool,
}

impl SeenIds {
    /// Looks a trade up. Times before `watermark` lie outside the window.
    pub(super) fn look_up(&self, trade: &Trade, time: i64, watermark: i64) -> Sight {
        match &trade.id {
            TradeId::Number(first) => {
                let last = last_number(trade, *first);
                let Some(newest) = self.ranges.back() else { return Sight::New };
                if *first > newest.last {
                    return Sight::New;
                }
                let range = self.ranges[self.ranges.partition_point(|range| range.last < *first)];
                if range.first <= *first && last <= range.last {
                    Sight::Duplicate
                } else if range.first <= last {
                    Sight::Overlap
                } else if time < watermark && self.forgotten.is_some_and(|forgotten| *first <= forgotten) {
                    Sight::Unknown
                } else {
                    Sight::New
                }
            }
            TradeId::Text(text) if self.texts.contains(text) => Sight::Duplicate,
            TradeId::Text(_) if time < watermark && self.has_forgotten_text => Sight::Unknown,
            TradeId::Text(_) => Sight::New,
        }
    }

    /// Remembers a trade that was found to be new.
    pub(super) fn remember(&mut self, trade: &Trade, time: i64) {
        match &trade.id {
            TradeId::Number(first) => {
                self.remember_range(Range { first: *first, last: last_number(trade, *first), newest: time })
            }
            TradeId::Text(text) => {
                self.texts.insert(text.clone());
                self.texts_in_order.push_back((time, text.clone()));
            }
        }
    }

    fn remember_range(&mut self, range: Range) {
        match self.ranges.back_mut() {
            Some(newest) if touches(newest, &range) => {
                newest.last = range.last;
                newest.newest = newest.newest.max(range.newest);
            }
            Some(newest) if newest.last > range.first => self.insert_between(range),
            _ => self.ranges.push_back(range),
        }
    }

    fn insert_between(&mut self, mut range: Range) {
        let mut index = self.ranges.partition_point(|other| other.last < range.first);
        if touches(&range, &self.ranges[index])
            && let Some(next) = self.ranges.remove(index)
        {
            range = Range { first: range.first, last: next.last, newest: range.newest.max(next.newest) };
        }
        if index > 0 && touches(&self.ranges[index - 1], &range) {
            index -= 1;
            let previous = self.ranges[index];
            self.ranges[index] =
                Range { first: previous.first, last: range.last, newest: range.newest.max(previous.newest) };
        } else {
            self.ranges.insert(index, range);
        }
    }

    /// Forgets what lies outside the window.
    #[inline]
    pub(super) fn forget_before(&mut self, watermark: i64) {
        while self.ranges.len() > 1 && self.ranges[0].newest < watermark {
            self.forgotten = self.forgotten.max(self.ranges.pop_front().map(|range| range.last));
        }
        while self.texts_in_order.front().is_some_and(|(time, _)| *time < watermark) {
            if let Some((_, text)) = self.texts_in_order.pop_front() {
                self.texts.remove(&text);
                self.has_forgotten_text = true;
            }
        }
    }

    /// Entries held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ranges.len() + self.texts.len()
    }
}

fn touches(left: &Range, right: &Range) -> bool {
    left.last.checked_add(1) == Some(right.first)
}

/// The last number of a trade; a range written backwards counts as its first id alone.
fn last_number(trade: &Trade, first: u64) -> u64 {
    trade.last_id.number().map_or(first, |last| last.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    fn trade(first: u64, last: u64) -> Trade {
        Trade {
            id: TradeId::Number(first),
            last_id: TradeId::Number(last),
            time: chrono::DateTime::UNIX_EPOCH,
            price: Decimal::ONE,
            amount: Decimal::ONE,
            side: None,
        }
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut seen = SeenIds::default();
        for (first, last) in [(10, 10), (20, 29), (12, 14), (11, 11), (15, 19), (u64::MAX, u64::MAX)] {
            assert_eq!(seen.look_up(&trade(first, last), 0, i64::MIN), Sight::New);
            seen.remember(&trade(first, last), 0);
        }
        assert_eq!(seen.len(), 2);
        assert_eq!(seen.look_up(&trade(10, 29), 0, i64::MIN), Sight::Duplicate);
        assert_eq!(seen.look_up(&trade(9, 10), 0, i64::MIN), Sight::Overlap);
        assert_eq!(seen.look_up(&trade(u64::MAX, u64::MAX), 0, i64::MIN), Sight::Duplicate);
    }

    #[test]
    fn what_fell_out_of_the_window_is_unknown_and_what_lies_in_it_is_not() {
        let mut seen = SeenIds::default();
        for (id, time) in [(10, 0), (20, 100), (30, 200)] {
            seen.remember(&trade(id, id), time);
        }
        seen.forget_before(150);
        assert_eq!(seen.len(), 1);
        let sight = |id, time| seen.look_up(&trade(id, id), time, 150);
        assert_eq!(
            [sight(10, 0), sight(19, 149), sight(19, 150), sight(25, 0), sight(30, 0)],
            [Sight::Unknown, Sight::Unknown, Sight::New, Sight::New, Sight::Duplicate]
        );
    }

    proptest! {
        #[test]
        fn ranges_agree_with_a_set_of_ids(steps in prop::collection::vec((0u64..80, 0u64..5), 0..80)) {
            let mut seen = SeenIds::default();
            let mut ids = HashSet::new();
            for (first, length) in steps {
                let row = trade(first, first + length);
                let known = (first..=first + length).filter(|id| ids.contains(id)).count() as u64;
                let expected = match known {
                    0 => Sight::New,
                    known if known == length + 1 => Sight::Duplicate,
                    _ => Sight::Overlap,
                };
                prop_assert_eq!(seen.look_up(&row, 0, i64::MIN), expected);
                if expected == Sight::New {
                    seen.remember(&row, 0);
                    ids.extend(first..=first + length);
                }
                let runs = (0..90).filter(|id| ids.contains(id) && !ids.contains(&(id + 1))).count();
                prop_assert_eq!(seen.len(), runs);
            }
        }
    }
}
