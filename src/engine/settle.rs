//! Finality on the stream side: which bar a connection has settled (rules 1 and 2), which quiet
//! bucket it proves, and which bucket must be left to REST.
//!
//! The stream owns buckets that open after its subscription was acknowledged; the bucket of the
//! ack itself and everything before belong to REST. A connection that breaks owns nothing any more.
//!
//! While a second connection is to take over, the first one goes on settling and the second one only
//! listens. When the first ends, the second owns what follows, but of a bucket of which the first
//! had told more than it has told itself it settles nothing.

use std::cmp::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::exchange::QuietPolicy;
use crate::market::{Candle, Grid, Rule, Source, Span, SpanSet};

/// Stretches that are remembered of a stream's silence.
const SILENCES: usize = 256;

/// Names one connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ConnectionId(pub u64);

/// The venue data frames are judged by.
#[derive(Debug, Clone, Copy)]
pub struct StreamRules {
    /// Bucket borders.
    pub grid: Grid,
    /// The venue marks the last frame of a bucket.
    pub has_closed_flag: bool,
    /// Each frame carries the whole bar so far.
    pub is_cumulative: bool,
    /// How long after a close a frame of the same connection settles the bucket.
    pub grace: Duration,
    /// What the venue's REST prints for quiet buckets.
    pub quiet: QuietPolicy,
}

/// One candle frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CandleFrame {
    /// The bar so far.
    pub candle: Candle,
    /// The venue's closed flag, where it has one.
    pub closed: Option<bool>,
    /// The venue's stamp.
    pub stamped_at: Option<DateTime<Utc>>,
    /// A row of the snapshot sent after the ack.
    pub is_snapshot: bool,
}

/// What a frame, or the passing of time on a living connection, decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// A bar is final.
    Final(Candle, Source, Rule),
    /// The stream cannot settle these buckets; REST must.
    Unsettled(Span),
    /// A frame for a bucket that is settled already: read it again by REST.
    Reread(Span),
}

/// Follows one series on its connection.
#[derive(Debug, Clone)]
pub struct Tracker {
    rules: StreamRules,
    link: Option<Link>,
    /// The connection that is to take over.
    successor: Option<Link>,
    /// The newest settled bar: what a flat bar takes its price from.
    last: Option<(DateTime<Utc>, f64)>,
    /// The newest bar that a flag settled: both connections of a handover tell it.
    flagged: Option<Candle>,
    /// Owned buckets of which this connection told nothing.
    silent: SpanSet,
}

#[derive(Debug, Clone)]
struct Link {
    connection: ConnectionId,
    /// The oldest bucket the stream still has to settle. Starts after the bucket of the ack.
    next: DateTime<Utc>,
    /// The newest state of the newest bucket seen.
    open: Option<CandleFrame>,
    /// What the connection before this one had told last.
    told_before: Option<CandleFrame>,
}

impl Link {
    /// Takes the state of a bucket, unless a newer one is known.
    fn hear(&mut self, frame: CandleFrame) {
        let is_news = self.open.is_none_or(|open| match frame.candle.open_time.cmp(&open.candle.open_time) {
            Ordering::Less => false,
            Ordering::Equal => open.closed != Some(true) && !says_less(&frame, &open),
            Ordering::Greater => true,
        });
        if is_news {
            self.open = Some(frame);
        }
    }

    /// The state of a bucket, as far as this connection may settle it: no other may have told more.
    fn state_of(&self, open_time: DateTime<Utc>) -> Told {
        let of_bucket = |frame: &CandleFrame| frame.candle.open_time == open_time;
        let before = self.told_before.filter(of_bucket);
        match (self.open.filter(of_bucket), before) {
            (Some(frame), Some(before)) if tells_less(&frame, &before) => Told::InPart,
            (None, Some(_)) => Told::InPart,
            (Some(frame), _) => Told::All(frame),
            (None, None) => Told::Nothing,
        }
    }
}

/// What a connection has told of a bucket.
enum Told {
    All(CandleFrame),
    /// Another connection knew more.
    InPart,
    Nothing,
}

impl Tracker {
    /// A tracker without a connection.
    pub fn new(rules: StreamRules) -> Tracker {
        Tracker { rules, link: None, successor: None, last: None, flagged: None, silent: SpanSet::new() }
    }

    /// The connection that feeds this series.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.link.as_ref().map(|link| link.connection)
    }

    /// The oldest bucket the stream has yet to settle; everything before is REST's or done.
    pub fn owned_from(&self) -> Option<DateTime<Utc>> {
        self.link.as_ref().map(|link| link.next)
    }

    /// The newest state of the open bucket.
    pub fn forming(&self) -> Option<Candle> {
        self.link.as_ref().and_then(|link| link.open).map(|frame| frame.candle)
    }

    /// A subscription was acknowledged at `acked_at` (venue time): the stream owns from the next
    /// bucket on. While another connection lives, this one is its successor.
    pub fn attach(&mut self, connection: ConnectionId, acked_at: DateTime<Utc>) {
        let next = self.rules.grid.next_open(self.rules.grid.bucket_at(acked_at));
        let link = Link { connection, next, open: None, told_before: None };
        if self.connection().is_some_and(|current| current != connection) {
            self.successor = Some(link);
        } else {
            self.link = Some(link);
            self.silent = SpanSet::new();
        }
    }

    /// The connection is gone, and with it everything it had not settled; its successor takes over.
    pub fn detach(&mut self, connection: ConnectionId) {
        self.successor.take_if(|link| link.connection == connection);
        let Some(ended) = self.link.take_if(|link| link.connection == connection) else { return };
        self.silent = SpanSet::new();
        self.link =
            self.successor.take().map(|link| Link { next: link.next.max(ended.next), told_before: ended.open, ..link });
    }

    /// True for a bucket that was decided although the connection had told nothing of it: should
    /// anything have traded in it, the stream is deaf.
    pub fn was_silent_about(&self, open_time: DateTime<Utc>) -> bool {
        self.silent.contains(open_time)
    }

    /// REST has told what the stream was silent about.
    pub fn forget_silence(&mut self, span: Span) {
        self.silent.remove(span);
    }

    fn trim_silence(&mut self) {
        if self.silent.spans().len() > SILENCES
            && let Some(oldest) = self.silent.spans().first().copied()
        {
            self.silent.remove(oldest);
        }
    }

    /// Learns the close of a settled bar, whoever settled it.
    pub fn note_settled(&mut self, open_time: DateTime<Utc>, close: f64) {
        if self.last.is_none_or(|(known, _)| known <= open_time) {
            self.last = Some((open_time, close));
        }
    }

    /// Gives up on everything before `end` that is not settled: REST reads it.
    pub fn abandon_before(&mut self, end: DateTime<Utc>) {
        let Some(link) = &mut self.link else { return };
        while link.next < end {
            let (open_time, next) = (link.next, self.rules.grid.next_open(link.next));
            if matches!(link.state_of(open_time), Told::Nothing) {
                self.silent.insert(Span::new(open_time, next));
            }
            link.next = next;
        }
        if link.open.is_some_and(|frame| frame.candle.open_time < link.next) {
            link.open = None;
        }
        self.trim_silence();
    }

    /// Takes a frame of a connection. `is_settled` tells whether a bucket is complete in the ledger.
    pub fn frame(
        &mut self,
        connection: ConnectionId,
        frame: CandleFrame,
        is_settled: impl Fn(DateTime<Utc>) -> bool,
        verdicts: &mut Vec<Verdict>,
    ) {
        let grid = self.rules.grid;
        let open_time = frame.candle.open_time;
        if !grid.is_border(open_time) || !frame.candle.is_storable() {
            return;
        }
        if let Some(successor) = self.successor.as_mut().filter(|link| link.connection == connection) {
            return successor.hear(frame);
        }
        if self.connection() != Some(connection) {
            return;
        }
        let bucket = Span::new(open_time, grid.next_open(open_time));
        if is_settled(open_time) {
            // A snapshot repeats old bars by design, and so does the second connection of a handover;
            // anything else about a settled bucket is news.
            let is_repeated = self.flagged.is_some_and(|known| known == frame.candle) && frame.closed == Some(true);
            if !frame.is_snapshot && !is_repeated {
                verdicts.push(Verdict::Reread(bucket));
            }
            return;
        }
        self.settle_before(bucket.from, verdicts);
        if frame.closed == Some(true) {
            self.settle(frame.candle, Source::StreamClosed, Rule::Flag, verdicts);
        } else if let Some(link) = &mut self.link {
            link.hear(frame);
        }
    }

    /// The connection delivered something at `at` (venue time); all its earlier frames were handed over before.
    pub fn alive(&mut self, connection: ConnectionId, at: DateTime<Utc>, verdicts: &mut Vec<Verdict>) {
        if self.connection() != Some(connection) {
            return;
        }
        let end = self.rules.grid.last_closed_end(at - self.rules.grace);
        self.settle_before(end, verdicts);
    }

    /// Decides every owned bucket that lies before `end`, given that the connection outlived them.
    fn settle_before(&mut self, end: DateTime<Utc>, verdicts: &mut Vec<Verdict>) {
        let grid = self.rules.grid;
        while let Some(link) = &mut self.link
            && link.next < end
        {
            let open_time = link.next;
            let next = grid.next_open(open_time);
            match link.state_of(open_time) {
                // Told while the connection before this one still lived.
                Told::All(frame) if frame.closed == Some(true) => {
                    self.settle(frame.candle, Source::StreamClosed, Rule::Flag, verdicts);
                }
                Told::All(frame) if !self.rules.has_closed_flag && self.rules.is_cumulative => {
                    self.settle(frame.candle, Source::Stream, Rule::Stream, verdicts);
                }
                Told::Nothing
                    if self.rules.quiet == QuietPolicy::Emits
                        && let Some((_, close)) = self.last.filter(|(last, _)| grid.next_open(*last) == open_time) =>
                {
                    self.silent.insert(Span::new(open_time, next));
                    self.settle(Candle::flat(open_time, close), Source::Synthesised, Rule::Quiet, verdicts);
                }
                // A flag that never came, a bucket known only in part, or a quiet one without proof.
                told => {
                    link.next = next;
                    match told {
                        Told::All(_) => link.open = None,
                        Told::InPart => {}
                        Told::Nothing => self.silent.insert(Span::new(open_time, next)),
                    }
                    match verdicts.last_mut() {
                        Some(Verdict::Unsettled(span)) if span.to == open_time => span.to = next,
                        _ => verdicts.push(Verdict::Unsettled(Span::new(open_time, next))),
                    }
                }
            }
        }
        self.trim_silence();
    }

    /// Settles one bar and moves on behind it.
    fn settle(&mut self, candle: Candle, source: Source, rule: Rule, verdicts: &mut Vec<Verdict>) {
        let next = self.rules.grid.next_open(candle.open_time);
        if let Some(link) = &mut self.link {
            link.next = link.next.max(next);
            if link.open.is_some_and(|open| open.candle.open_time <= candle.open_time) {
                link.open = None;
            }
        }
        if rule == Rule::Flag {
            self.flagged = Some(candle);
        }
        self.note_settled(candle.open_time, candle.close);
        verdicts.push(Verdict::Final(candle, source, rule));
    }
}

/// True for a frame that says less than one already seen of the same bucket: fewer trades, less volume, or an earlier stamp.
pub fn says_less(frame: &CandleFrame, known: &CandleFrame) -> bool {
    let earlier = matches!((frame.stamped_at, known.stamped_at), (Some(a), Some(b)) if a < b);
    tells_less(frame, known) || earlier
}

/// [`says_less`] of frames of two connections, whose stamps do not compare.
fn tells_less(frame: &CandleFrame, known: &CandleFrame) -> bool {
    let fewer = |a: Option<u64>, b: Option<u64>| matches!((a, b), (Some(a), Some(b)) if a < b);
    fewer(frame.candle.trades, known.candle.trades) || frame.candle.volume < known.candle.volume
}

#[cfg(test)]
mod tests;
