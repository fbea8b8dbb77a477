//! One series inside a SymbolActor: its book, what feeds it live, and what waits to be saved.

mod built;

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::book::{Book, Conclusion};
use crate::engine::settle::{Tracker, Verdict};
use crate::market::ledger::{Coverage, JUST_CLOSED, LedgerChange, NOT_FETCHED};
use crate::market::{Candle, FinalCandle, Grid, Rule, Source, Span, SpanSet, Timeframe};
use crate::store::{SeriesChange, SeriesId};

/// How long after close and grace a stream may still settle its bucket before REST reads it.
const STREAM_PATIENCE: TimeDelta = TimeDelta::seconds(10);
/// How long after its close a bar built from a stream's trades is decided, at the latest.
const BUILD_GRACE: TimeDelta = TimeDelta::seconds(5);
/// How long after its close a derived bar may wait for its parts before it is read natively.
const DERIVE_PATIENCE: TimeDelta = TimeDelta::seconds(45);

/// While so many candles of a series wait for the store, no more are taken from a stream.
const MOST_WAITING: usize = 10_000;

/// Where live bars come from.
pub(super) enum Feed {
    /// The venue's own bars: by stream while one is attached, by polling otherwise.
    Native {
        /// Follows the stream; `None` where the venue has none.
        tracker: Option<Box<Tracker>>,
        /// How long after a close a frame of the same connection settles the bucket.
        grace: TimeDelta,
    },
    /// Built from the trades of a stream.
    Built {
        /// The oldest bucket the stream's trades have yet to decide; `None` without a stream.
        next: Option<DateTime<Utc>>,
    },
    /// The sums of a finer series of the same symbol.
    Derived {
        /// Index of the finer series.
        from: usize,
        /// The oldest bar not derived yet.
        next: DateTime<Utc>,
        /// Its parts are being read from the store.
        is_reading: bool,
    },
}

/// See the module.
pub(super) struct Series {
    pub id: SeriesId,
    pub timeframe: Timeframe,
    pub book: Book,
    pub feed: Feed,
    /// Open time and close time of the newest final bar.
    pub newest: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Opening of the newest bar of this life in which something traded.
    pub traded: Option<DateTime<Utc>>,
    /// Bars that were not taken since this was last asked, because too many wait.
    pub left_out: u64,
    /// What the next save takes.
    pub pending: SeriesChange,
    /// Complete stretches on their way to the store.
    unsaved: SpanSet,
    /// Complete stretches that wait in the spool.
    spooled: SpanSet,
    /// Up to here gaps were handed over, to be told.
    told_until: DateTime<Utc>,
}

impl Series {
    pub fn new(id: SeriesId, timeframe: Timeframe, book: Book, feed: Feed) -> Series {
        let newest = book.complete().spans().last().map(|span| {
            let open = book.grid().previous_open(span.to);
            (open, book.grid().close_of(open))
        });
        let pending = SeriesChange::new(id);
        Series {
            id,
            timeframe,
            book,
            feed,
            newest,
            traded: None,
            left_out: 0,
            pending,
            unsaved: SpanSet::new(),
            spooled: SpanSet::new(),
            told_until: DateTime::<Utc>::MIN_UTC,
        }
    }

    pub fn grid(&self) -> Grid {
        self.book.grid()
    }

    pub fn tracker(&mut self) -> Option<&mut Tracker> {
        match &mut self.feed {
            Feed::Native { tracker, .. } => tracker.as_deref_mut(),
            Feed::Built { .. } | Feed::Derived { .. } => None,
        }
    }

    /// True when a stream feeds it now; a derived series follows whatever feeds its parts.
    pub fn is_streamed(&self) -> bool {
        match &self.feed {
            Feed::Native { tracker, .. } => tracker.as_ref().is_some_and(|tracker| tracker.connection().is_some()),
            Feed::Built { next } => next.is_some(),
            Feed::Derived { .. } => true,
        }
    }

    /// From which bucket on REST has to wait for somebody else, and until when.
    fn owned(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let grid = self.grid();
        match &self.feed {
            Feed::Native { tracker, grace } => {
                let from = tracker.as_ref()?.owned_from()?;
                Some((from, grid.close_of(from) + *grace + STREAM_PATIENCE))
            }
            Feed::Built { next } => {
                let next = (*next)?;
                Some((next, grid.close_of(next) + BUILD_GRACE + STREAM_PATIENCE))
            }
            Feed::Derived { next, .. } => Some((*next, grid.close_of(*next) + DERIVE_PATIENCE)),
        }
    }

    /// Accounts for what has closed by `now`. Polled series look `jitter` later, so that the
    /// symbols of a venue do not all ask in the same instant.
    pub fn observe(&mut self, now: DateTime<Utc>, jitter: TimeDelta) {
        let grid = self.grid();
        match &mut self.feed {
            Feed::Native { tracker: Some(tracker), grace } => {
                tracker.abandon_before(grid.last_closed_end(now - *grace - STREAM_PATIENCE));
            }
            Feed::Native { .. } | Feed::Built { next: None } => {}
            Feed::Built { next: Some(next) } => {
                *next = grid.last_closed_end(now - BUILD_GRACE - STREAM_PATIENCE).max(*next);
            }
            Feed::Derived { next, is_reading, .. } => {
                let overdue = grid.last_closed_end(now - DERIVE_PATIENCE);
                if !*is_reading && *next < overdue {
                    *next = overdue;
                }
            }
        }
        let owned_from = self.owned().map(|(from, _)| from);
        let look = if owned_from.is_some() { now } else { now - jitter };
        if let Some(span) = self.book.observe(look, owned_from) {
            self.state(LedgerChange::Set(span, Coverage::missing(JUST_CLOSED)));
        }
        for change in self.book.look_again(now) {
            self.state(change);
        }
        for change in self.book.retire(now) {
            self.state(change);
        }
        // A gap is told also where the ledger has nothing new to say.
        if self.next_gap_at().is_some_and(|at| at <= now) {
            self.pending.overdue = Some(self.book.overdue(now));
        }
    }

    /// When something that is missing becomes a gap that was not handed over.
    fn next_gap_at(&self) -> Option<DateTime<Utc>> {
        self.book.next_gap_at(self.told_until)
    }

    /// When it next has something to do by itself, always after `now`.
    pub fn wake_at(&self, now: DateTime<Utc>, jitter: TimeDelta) -> DateTime<Utc> {
        let wake = match self.owned() {
            Some((_, deadline)) if deadline > now => self.book.wake_at(now).min(deadline),
            Some(_) => self.book.wake_at(now),
            None => self.book.wake_at(now - jitter) + jitter,
        };
        self.next_gap_at().filter(|at| *at > now).map_or(wake, |at| wake.min(at))
    }

    /// States something that is no proof of completeness: it holds in the book at once and is
    /// written with the next save.
    pub fn state(&mut self, change: LedgerChange) {
        // Bars on their way to the store are not in the book yet: holes are not to be filled now.
        let edge = self.book.extent().to;
        self.book.stored(std::slice::from_ref(&change), Span::new(edge, edge));
        // However long the store is away, a stretch that grows stays one statement.
        if let (Some(LedgerChange::Set(last, said)), LedgerChange::Set(span, coverage)) =
            (self.pending.ledger.last_mut(), &change)
            && last.to == span.from
            && said == coverage
        {
            last.to = span.to;
        } else {
            self.pending.ledger.push(change);
        }
    }

    /// True when the bucket has its final row, stored or on its way.
    pub fn is_settled(&self, open_time: DateTime<Utc>) -> bool {
        self.book.is_complete(open_time) || self.unsaved.contains(open_time)
    }

    /// Takes what the stream side decided.
    pub fn take(&mut self, verdict: Verdict, observed_at: DateTime<Utc>) {
        match verdict {
            Verdict::Final(candle, source, rule) => {
                self.settle(FinalCandle { candle, source, rule, observed_at });
            }
            // The tracker no longer owns it, so the next look accounts for it as closed and missing.
            Verdict::Unsettled(_) => {}
            Verdict::Reread(span) => {
                self.book.doubt(span);
                self.state(LedgerChange::Unverify(span));
            }
        }
    }

    /// True when so much waits for the store that nothing more is taken: what comes now is not
    /// covered, and is fetched afterwards.
    fn is_full(&mut self, coming: usize) -> bool {
        let is_full = self.pending.candles.len() >= MOST_WAITING;
        self.left_out += if is_full { coming as u64 } else { 0 };
        is_full
    }

    /// Queues a bar that was settled without REST: covered, but not verified.
    pub fn settle(&mut self, settled: FinalCandle) {
        if self.is_full(1) {
            return;
        }
        let open = settled.candle.open_time;
        self.cover(Span::new(open, self.grid().next_open(open)), false);
        self.push(settled);
    }

    /// Queues the statement that a stretch is complete.
    pub fn cover(&mut self, span: Span, verified: bool) {
        let skipped = Span::new(self.book.extent().to, span.from);
        self.book.observe_through(span.to);
        if !skipped.is_empty() {
            self.state(LedgerChange::Set(skipped, Coverage::missing(JUST_CLOSED)));
        }
        self.pending.ledger.push(LedgerChange::Set(span, Coverage::Complete { verified }));
        self.unsaved.insert(span);
    }

    /// Queues the end of bars that were only inferred and that the venue denies.
    pub fn withdraw(&mut self, span: Span, sent_at: DateTime<Utc>) {
        let coverage = self.book.withdrawn(sent_at);
        self.state(LedgerChange::Withdraw(span, coverage));
    }

    /// Queues what a REST page proved.
    pub fn conclude(&mut self, conclusion: Conclusion, observed_at: DateTime<Utc>) {
        if let Some(last) = conclusion.candles.last().copied()
            && let Some(tracker) = self.tracker()
        {
            tracker.note_settled(last.open_time, last.close);
        }
        for candle in conclusion.candles {
            self.push(FinalCandle { candle, source: Source::Rest, rule: Rule::Rest, observed_at });
        }
        for change in &conclusion.ledger {
            if let LedgerChange::Set(span, Coverage::Complete { .. }) = change {
                self.unsaved.insert(*span);
            }
        }
        self.pending.ledger.extend(conclusion.ledger);
        if conclusion.forming.is_some() {
            self.pending.forming = conclusion.forming;
        }
    }

    /// Queues a bar.
    pub fn push(&mut self, settled: FinalCandle) {
        let open = settled.candle.open_time;
        if settled.candle.volume > 0.0 {
            self.traded = self.traded.max(Some(open));
        }
        if self.newest.is_none_or(|(newest, _)| newest <= open) {
            self.newest = Some((open, self.grid().close_of(open)));
        }
        self.pending.candles.push(settled);
    }

    /// Queues the state of the open bucket.
    pub fn form(&mut self, forming: Candle) {
        self.pending.forming = Some(forming);
    }

    /// True when something waits that should be durable soon.
    pub fn has_candles(&self) -> bool {
        !self.pending.candles.is_empty() || self.pending.forming.is_some()
    }

    /// True when anything waits.
    pub fn has_pending(&self) -> bool {
        self.has_candles() || !self.pending.ledger.is_empty() || self.pending.overdue.is_some()
    }

    /// Takes what waits, with the extent the ledger must tile and the edge behind which a gap is told.
    pub fn take_pending(&mut self, now: DateTime<Utc>) -> SeriesChange {
        let mut change = std::mem::replace(&mut self.pending, SeriesChange::new(self.id));
        let extent = self.book.extent();
        change.extent = (!extent.is_empty()).then_some((extent, NOT_FETCHED));
        self.told_until = self.book.overdue(now);
        change.overdue = Some(self.told_until);
        change
    }

    /// What is kept begins later now.
    pub fn keep_from(&mut self, from: DateTime<Utc>) {
        self.book.keep_from(from);
        let from = self.book.extent().from;
        self.pending.candles.retain(|settled| settled.candle.open_time >= from);
        self.pending.ledger.iter_mut().for_each(|change| {
            let span = change.span_mut();
            span.from = span.from.max(from);
        });
        self.pending.ledger.retain(|change| !change.span().is_empty());
        let before = Span::new(DateTime::<Utc>::MIN_UTC, from);
        self.unsaved.remove(before);
        self.spooled.remove(before);
    }

    /// A save has become durable, in the store or in the spool.
    pub fn saved(&mut self, change: &SeriesChange, is_spooled: bool) {
        let extent = change.extent.map_or_else(|| self.book.extent(), |(extent, _)| extent);
        let known = self.book.complete();
        self.book.stored(&change.ledger, extent);
        for statement in &change.ledger {
            if let LedgerChange::Set(span, Coverage::Complete { .. }) = statement {
                self.unsaved.remove(*span);
                if is_spooled {
                    let news = SpanSet::from_iter([*span]).subtract(&known);
                    news.spans().iter().for_each(|span| self.spooled.insert(*span));
                }
            }
        }
    }

    /// The store has what waited in the spool.
    pub fn replayed(&mut self) {
        self.spooled = SpanSet::new();
    }

    /// Complete share of everything wanted and looked at, and the share that needs no more work, both
    /// 0 to 1. What waits in the spool is neither.
    pub fn shares(&self) -> (f64, f64) {
        let (complete, settled) = self.book.shares();
        let extent = self.book.extent();
        let total = (extent.to - extent.from).num_seconds() as f64;
        let waiting =
            if total > 0.0 { self.spooled.within(extent).duration().num_seconds() as f64 / total } else { 0.0 };
        ((complete - waiting).max(0.0), (settled - waiting).max(0.0))
    }
}
