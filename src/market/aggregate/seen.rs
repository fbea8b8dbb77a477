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
