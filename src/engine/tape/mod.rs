//! The tape of one symbol: which stretches of its trades are known to be complete, which REST read
//! comes next, and what its answer proves. Work is what is wanted and not known; nothing else.
//!
//! Known is known by time. Where ids are dense they are a second witness: a stretch in which ids
//! are missing is not known whatever its times say, and is read again. All instants are venue time.
//!
//! Does not wait, store or call; candles are made of trades by [`build`] and passed on by [`pass`].

mod again;
pub mod build;
mod doubt;
pub mod ids;
pub mod live;
pub mod pass;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::again::Again;
use self::doubt::Doubt;
use self::ids::{IdRange, IdRanges};
use crate::engine::budget::Priority;
use crate::exchange::{TradeCursor, TradeHistory, TradeRest};
use crate::market::{Span, SpanSet, Trade};

pub use read::Read;

/// Trades may be told so much later than others that happened after them.
pub const LATENESS: Duration = Duration::from_secs(2);

fn lateness() -> TimeDelta {
    TimeDelta::from_std(LATENESS).unwrap_or_default()
}

/// The longest stretch that is read from its old end at a venue that reads forward: so that the
/// newest history comes first.
const CHUNK: TimeDelta = TimeDelta::days(1);
/// Bounds of the time between two polls.
const POLL: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::seconds(20));
/// Bounds of the wait after a read that brought nothing.
const RETRY: (TimeDelta, TimeDelta) = (TimeDelta::seconds(2), TimeDelta::hours(1));

/// What a symbol's tape is kept by.
#[derive(Debug, Clone, Copy)]
pub struct TapeRules {
    /// The venue's reads of trades; without them only the stream tells any.
    pub rest: Option<TradeRest>,
    /// Consecutive trades have consecutive ids.
    pub ids_are_dense: bool,
    /// How long after an instant REST knows all trades before it.
    pub settle: TimeDelta,
    /// Since when trades are collected; `None` when they are only read for candles.
    pub collects_from: Option<DateTime<Utc>>,
}

/// A read to make.
#[derive(Debug, Clone, PartialEq)]
pub struct TradeCall {
    /// Where the page lies.
    pub cursor: TradeCursor,
    /// What is wanted.
    pub gap: Span,
    /// What it is for.
    pub priority: Priority,
    /// Its trades are built into candles and not kept.
    pub is_pass: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Tape {
    rules: TapeRules,
    opened_at: DateTime<Utc>,
    known: SpanSet,
    unavailable: SpanSet,
    ids: IdRanges,
    /// Where exactly to read on from an instant: many trades may share it.
    continuations: Vec<(DateTime<Utc>, TradeCursor)>,
    /// Quiet stretches that one page told of, by their beginning.
    doubts: BTreeMap<DateTime<Utc>, Doubt>,
    /// Stretches that candles have shown to lack trades.
    wanting: SpanSet,
    /// Where a pass has got to, and the last id before it.
    pass_end: Option<(DateTime<Utc>, u64)>,
    /// Time of the newest trade heard or read.
    newest: Option<DateTime<Utc>>,
    /// Ends of id gaps that were read again.
    doubted: BTreeSet<(u64, u64)>,
    again: Again,
    next_poll_at: DateTime<Utc>,
    idle_reads: u32,
    retry_at: Option<DateTime<Utc>>,
}

impl Tape {
    /// The tape as the store has it; see [`Tape::reconsider`].
    pub fn new(
        rules: TapeRules,
        known: SpanSet,
        unavailable: SpanSet,
        ranges: Vec<IdRange>,
        now: DateTime<Utc>,
    ) -> Tape {
        let mut tape = Tape {
            rules,
            opened_at: now,
            known,
            unavailable,
            ids: IdRanges::default(),
            continuations: Vec::new(),
            doubts: BTreeMap::new(),
            wanting: SpanSet::new(),
            pass_end: None,
            newest: None,
            doubted: BTreeSet::new(),
            again: Again::from(now),
            next_poll_at: now,
            idle_reads: 0,
            retry_at: None,
        };
        for range in ranges {
            tape.learn_ids(range);
        }
        tape
    }

    /// What is stated and not complete after all, as ids tell, once nothing is on its way any more.
    pub fn reconsider(&mut self) -> Vec<Span> {
        // A connection claims what lies this much before its newest trade.
        self.doubt_gaps(lateness())
    }

    /// Trades are collected from later on now: what lies before is forgotten.
    pub fn keep_from(&mut self, from: DateTime<Utc>) {
        if self.rules.collects_from.is_none_or(|before| from <= before) {
            return;
        }
        self.rules.collects_from = Some(from);
        let gone = Span::new(DateTime::<Utc>::MIN_UTC, from);
        for spans in [&mut self.known, &mut self.unavailable, &mut self.wanting] {
            spans.remove(gone);
        }
        self.doubts.retain(|begin, _| *begin >= from);
        self.continuations.retain(|(at, _)| *at >= from);
    }

    /// The rules it is kept by.
    pub fn rules(&self) -> &TapeRules {
        &self.rules
    }

    /// Trades from an earlier time on are wanted too.
    pub fn collect_since(&mut self, from: DateTime<Utc>) {
        self.rules.collects_from = self.rules.collects_from.map(|own| own.min(from));
    }

    /// True where REST reads from old to new: then what is not kept can be built as it comes.
    pub fn reads_forward(&self) -> bool {
        self.rules.rest.is_some_and(|rest| matches!(rest.history, TradeHistory::Forward(_)))
    }

    /// The stretches that are complete.
    pub fn known(&self) -> &SpanSet {
        &self.known
    }

    /// The stretches that cannot be had.
    pub fn unavailable(&self) -> &SpanSet {
        &self.unavailable
    }

    /// Takes over what a connection has proven, and when its newest trade was. Returns the stretches
    /// that are not complete after all.
    pub fn heard(&mut self, proven: &[Span], ids: &[IdRange], newest: Option<DateTime<Utc>>) -> Vec<Span> {
        self.newest = self.newest.max(newest);
        if self.rules.collects_from.is_none() {
            return Vec::new();
        }
        proven.iter().for_each(|span| self.known.insert(*span));
        ids.iter().for_each(|range| self.learn_ids(*range));
        self.doubt_gaps(TimeDelta::zero())
    }

    fn learn_ids(&mut self, range: IdRange) {
        if self.rules.ids_are_dense {
            self.ids.insert(range);
            self.proven_by(range.first).into_iter().for_each(|span| self.known.insert(span));
        }
    }

    /// True when a trade has been heard or read before.
    pub fn knows(&self, trade: &Trade) -> bool {
        self.rules.ids_are_dense
            && trade.id.number().zip(trade.last_id.number()).is_some_and(|(first, last)| self.ids.touches(first, last))
    }

    /// True when some of the trades an aggregated one stands for are known, and others not.
    pub fn knows_in_part(&self, trade: &Trade) -> bool {
        let ids = trade.id.number().zip(trade.last_id.number());
        self.knows(trade) && ids.is_some_and(|(first, last)| !self.ids.holds(first, last))
    }

    /// The stretch that the ids around an id prove to be complete.
    pub fn proven_by(&self, id: u64) -> Option<Span> {
        let range = self.ids.holding(id)?;
        Some(Span::new(range.from + TimeDelta::microseconds(1), range.to)).filter(|span| !span.is_empty())
    }

    /// True where a stream can leave out trades without a trace, and REST has them.
    pub fn can_be_wanting(&self) -> bool {
        !self.rules.ids_are_dense && self.rules.rest.is_some_and(|rest| rest.history != TradeHistory::Recent)
    }

    /// True when a stretch counts as complete and has not been found wanting before.
    pub fn is_comparable(&self, span: Span) -> bool {
        self.known.covers(span) && self.wanting.within(span).is_empty()
    }

    /// A stretch lacks trades though it counts as complete: it is read again, once. False when it was.
    pub fn doubt(&mut self, span: Span) -> bool {
        let is_news = self.is_comparable(span);
        if is_news {
            self.known.remove(span);
            self.wanting.insert(span);
        }
        is_news
    }

    /// What of the stretches that a connection has proven stays so: where candles have shown that
    /// trades are lacking, only REST knows.
    pub fn believed(&self, proven: Vec<Span>) -> Vec<Span> {
        if self.wanting.is_empty() {
            return proven;
        }
        proven.into_iter().collect::<SpanSet>().subtract(&self.wanting).spans().to_vec()
    }

    /// A stretch between two known ids that are not neighbours is not complete; once. It counts as
    /// stated when it is up to so long before its end.
    fn doubt_gaps(&mut self, before_end: TimeDelta) -> Vec<Span> {
        let mut found = Vec::new();
        for (before, after) in self.ids.gaps() {
            let span = Span::new(before.to, after.from + TimeDelta::microseconds(1));
            let nearly = Span::new(before.to, after.from - before_end);
            let is_stated =
                self.known.covers(span) || !before_end.is_zero() && !nearly.is_empty() && self.known.covers(nearly);
            if is_stated && self.doubted.insert((before.last, after.first)) {
                self.known.remove(span);
                found.push(span);
            }
        }
        found
    }

    /// What is wanted and not known, up to where the stream or the present begins.
    pub fn missing(&self, now: DateTime<Utc>, live_from: Option<DateTime<Utc>>) -> SpanSet {
        let Some(from) = self.rules.collects_from else { return SpanSet::new() };
        let wanted = Span::new(from, self.edge(now, live_from));
        let gaps = if wanted.is_empty() { SpanSet::new() } else { self.known.gaps(wanted) };
        gaps.union(&self.wanting.subtract(&self.known)).subtract(&self.unavailable)
    }

    fn edge(&self, now: DateTime<Utc>, live_from: Option<DateTime<Utc>>) -> DateTime<Utc> {
        let settled = now - self.rules.settle;
        live_from.map_or(settled, |live| live.min(settled))
    }

    /// Complete share of everything wanted, 0 to 1.
    pub fn share(&self, now: DateTime<Utc>, live_from: Option<DateTime<Utc>>) -> f64 {
        let Some(from) = self.rules.collects_from else { return 1.0 };
        let total = (self.edge(now, live_from) - from).num_seconds() as f64;
        if total <= 0.0 {
            return 1.0;
        }
        1.0 - self.missing(now, live_from).duration().num_seconds() as f64 / total
    }

    /// True while trades from before this life are still to be read.
    pub fn is_backfilling(&self, now: DateTime<Utc>, live_from: Option<DateTime<Utc>>) -> bool {
        self.missing(now, live_from).spans().first().is_some_and(|gap| gap.from < self.opened_at)
    }

    /// The read that is due at `now`. `live_from` is where a stream has taken over; `pass_gap` is
    /// what a pass over trades that are not kept still has to read.
    pub fn call(
        &self,
        now: DateTime<Utc>,
        live_from: Option<DateTime<Utc>>,
        pass_gap: Option<Span>,
    ) -> Option<TradeCall> {
        let rest = self.rules.rest?;
        if self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        let edge = self.edge(now, live_from);
        let is_poll = |gap: &&Span| live_from.is_none() && gap.to == edge && gap.from >= self.opened_at;
        let missing = self.missing(now, live_from);
        let gaps = missing.spans().iter().rev().map(|gap| (gap, self.chunk(*gap, rest.history)));
        // What lies just before the stream is read in one piece, once REST knows all of it.
        let is_growing =
            |gap: &Span| gap.to == edge && gap.to - gap.from <= POLL.1 && live_from.is_some_and(|live| edge < live);
        let due = |(whole, part): &(&Span, Span)| {
            (!is_poll(whole) || self.next_poll_at <= now) && !is_growing(whole) && !self.rests(part.from, now)
        };
        if let Some((whole, gap)) = gaps.into_iter().find(due) {
            let priority = match whole {
                whole if is_poll(&whole) => Priority::Live,
                whole if whole.from >= self.opened_at => Priority::Repair,
                _ => Priority::Backfill,
            };
            return Some(TradeCall { cursor: self.cursor(gap, edge, rest.history), gap, priority, is_pass: false });
        }
        let is_due = |gap: &Span| self.reads_forward() && !self.rests(gap.from, now);
        let gap = pass_gap.filter(is_due)?;
        let cursor = self.cursor(gap, edge, rest.history);
        Some(TradeCall { cursor, gap, priority: Priority::Backfill, is_pass: true })
    }

    /// When something becomes due by itself, always after `now`.
    pub fn wake_at(&self, now: DateTime<Utc>, live_from: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        self.rules.rest?;
        let poll = (live_from.is_none() && self.rules.collects_from.is_some()).then_some(self.next_poll_at);
        let again = self.doubts.values().map(|doubt| doubt.again_at);
        let grown = live_from.map(|live| live + self.rules.settle);
        [poll, self.retry_at, grown, self.again_at()].into_iter().flatten().chain(again).filter(|at| *at > now).min()
    }

    fn chunk(&self, gap: Span, history: TradeHistory) -> Span {
        if !matches!(history, TradeHistory::Forward(_)) || gap.to - gap.from <= CHUNK {
            return gap;
        }
        let newest = gap.to - TimeDelta::microseconds(1);
        let day = newest.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        Span::new(gap.from.max(day), gap.to)
    }

    fn cursor(&self, gap: Span, edge: DateTime<Utc>, history: TradeHistory) -> TradeCursor {
        match history {
            TradeHistory::Recent => TradeCursor::Newest,
            TradeHistory::Forward(_) => {
                let known = self.continuations.iter().rev().find(|(at, _)| *at == gap.from);
                known.map_or_else(|| TradeCursor::Time(self.start_of(gap.from)), |(_, cursor)| cursor.clone())
            }
            TradeHistory::Backward(_) => {
                // Known trades beyond the gap, or at least of its last instant.
                let last_instant = gap.to - TimeDelta::microseconds(1);
                let mut ranges = self.ids.ranges().iter();
                let beyond = ranges.clone().find(|range| range.to >= gap.to);
                let right = beyond.or_else(|| ranges.rfind(|range| range.to >= last_instant));
                match right.filter(|range| range.from >= gap.from) {
                    Some(range) => TradeCursor::BeforeId(crate::market::TradeId::Number(range.first)),
                    None if gap.to >= edge => TradeCursor::Newest,
                    None => TradeCursor::BeforeTime(gap.to),
                }
            }
        }
    }
}
