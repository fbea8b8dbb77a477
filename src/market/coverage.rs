//! Coverage arithmetic: half-open spans of time and sets of them. Kept in time, not in bucket counts.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The half-open interval `[from, to)` of UTC instants. Empty when `to <= from`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Start, inclusive.
    pub from: DateTime<Utc>,
    /// End, exclusive.
    pub to: DateTime<Utc>,
}

impl Span {
    /// `[from, to)`.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Span {
        Span { from, to }
    }

    /// True when nothing lies inside.
    pub fn is_empty(&self) -> bool {
        self.to <= self.from
    }

    /// True when the instant lies inside.
    pub fn contains(&self, time: DateTime<Utc>) -> bool {
        self.from <= time && time < self.to
    }

    /// The common part; empty spans for disjoint ones.
    pub fn intersect(&self, other: Span) -> Span {
        Span::new(self.from.max(other.from), self.to.min(other.to))
    }

    /// True when the two share an instant.
    pub fn overlaps(&self, other: Span) -> bool {
        !self.intersect(other).is_empty()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        write!(f, "[{}, {})", text(self.from), text(self.to))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of instants as sorted, disjoint, non-touching spans.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SpanSet {
    spans: Vec<Span>,
}

impl SpanSet {
    /// The empty set.
    pub fn new() -> SpanSet {
        SpanSet::default()
    }

    /// The spans, oldest first; neighbours never touch.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// True when the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a span, merging whatever it overlaps or touches.
    pub fn insert(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        // Spans strictly left of the new one stay; those that end before it touches are untouched.
        let first = self.spans.partition_point(|s| s.to < span.from);
        let last = self.spans.partition_point(|s| s.from <= span.to);
        let merged =
            self.spans[first..last].iter().fold(span, |acc, s| Span::new(acc.from.min(s.from), acc.to.max(s.to)));
        self.spans.splice(first..last, [merged]);
    }

    /// Removes a span.
    pub fn remove(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        let first = self.spans.partition_point(|s| s.to <= span.from);
        let last = self.spans.partition_point(|s| s.from < span.to);
        if first >= last {
            return;
        }
        let left = Span::new(self.spans[first].from, span.from);
        let right = Span::new(span.to, self.spans[last - 1].to);
        self.spans.splice(first..last, [left, right].into_iter().filter(|s| !s.is_empty()));
    }

    /// All instants of either set.
    pub fn union(&self, other: &SpanSet) -> SpanSet {
        let mut result = self.clone();
        for span in &other.spans {
            result.insert(*span);
        }
        result
    }

    /// The instants of `self` that are not in `other`.
    pub fn subtract(&self, other: &SpanSet) -> SpanSet {
        let mut result = self.clone();
        for span in &other.spans {
            result.remove(*span);
        }
        result
    }

    /// The part of the set inside a span.
    pub fn within(&self, span: Span) -> SpanSet {
        let first = self.spans.partition_point(|s| s.to <= span.from);
        let spans = self.spans[first..]
            .iter()
            .take_while(|s| s.from < span.to)
            .map(|s| s.intersect(span))
            .filter(|s| !s.is_empty())
            .collect();
        SpanSet { spans }
    }

    /// The parts of `span` that the set does not cover.
    pub fn gaps(&self, span: Span) -> SpanSet {
        SpanSet::from_iter([span]).subtract(self)
    }

    /// True when the instant is in the set.
    pub fn contains(&self, time: DateTime<Utc>) -> bool {
        let index = self.spans.partition_point(|s| s.to <= time);
        self.spans.get(index).is_some_and(|s| s.contains(time))
    }

    /// True when the whole span is in the set.
    pub fn covers(&self, span: Span) -> bool {
        span.is_empty() || {
            let index = self.spans.partition_point(|s| s.to <= span.from);
            self.spans.get(index).is_some_and(|s| s.from <= span.from && span.to <= s.to)
        }
    }

    /// Total length of all spans.
    pub fn duration(&self) -> chrono::TimeDelta {
        self.spans.iter().map(|s| s.to - s.from).sum()
    }
}

impl FromIterator<Span> for SpanSet {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> SpanSet {
        let mut set = SpanSet::new();
        for span in spans {
            set.insert(span);
        }
        set
    }
}

impl fmt::Debug for SpanSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.spans).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn t(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn s(from: i64, to: i64) -> Span {
        Span::new(t(from), t(to))
    }

    #[test]
    fn touching_spans_merge_and_removal_splits() {
        let mut set = SpanSet::from_iter([s(0, 10), s(20, 30), s(10, 20)]);
        assert_eq!(set.spans(), [s(0, 30)]);
        set.remove(s(5, 6));
        assert_eq!(set.spans(), [s(0, 5), s(6, 30)]);
        assert_eq!(set.gaps(s(-5, 40)).spans(), [s(-5, 0), s(5, 6), s(30, 40)]);
        assert!(set.covers(s(6, 30)) && !set.covers(s(4, 7)));
    }

    /// The oracle: one boolean per second.
    fn bits(set: &SpanSet) -> Vec<bool> {
        (0..64).map(|second| set.contains(t(second))).collect()
    }

    proptest! {
        #[test]
        fn sets_agree_with_a_bitmap(steps in prop::collection::vec((any::<bool>(), 0i64..64, 0i64..20), 0..40)) {
            let mut set = SpanSet::new();
            let mut bitmap = vec![false; 64];
            for (add, from, length) in steps {
                let to = (from + length).min(64);
                if add { set.insert(s(from, to)) } else { set.remove(s(from, to)) }
                bitmap[from as usize..to as usize].fill(add);
            }
            prop_assert_eq!(bits(&set), bitmap.clone());
            for pair in set.spans().windows(2) {
                prop_assert!(pair[0].to < pair[1].from, "neighbours must not touch");
            }
            let gaps = bits(&set.gaps(s(0, 64)));
            prop_assert!(gaps.iter().zip(&bitmap).all(|(gap, covered)| gap != covered));
        }

        #[test]
        fn union_and_subtraction_are_set_operations(a in prop::collection::vec((0i64..64, 0i64..9), 0..9),
                                                    b in prop::collection::vec((0i64..64, 0i64..9), 0..9)) {
            let build = |parts: &[(i64, i64)]| parts.iter().map(|(f, l)| s(*f, (f + l).min(64))).collect::<SpanSet>();
            let (x, y) = (build(&a), build(&b));
            let (bx, by) = (bits(&x), bits(&y));
            let expect = |f: fn(bool, bool) -> bool| bx.iter().zip(&by).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>();
            prop_assert_eq!(bits(&x.union(&y)), expect(|a, b| a || b));
            prop_assert_eq!(bits(&x.subtract(&y)), expect(|a, b| a && !b));
            prop_assert_eq!(bits(&x.within(s(10, 50))), (0..64).map(|i| bx[i] && (10..50).contains(&i)).collect::<Vec<_>>());
        }
    }
}
