//! When a page is believed that nothing was traded. A venue that ignores the start of a request, or
//! fails to find what it has, answers just as one where nothing was traded.
//!
//! A quiet beginning is beyond doubt when the page ties what follows to what comes before it: by an
//! earlier trade or by ids. So reading begins ever earlier until it meets a trade; where it meets
//! none, the same answer has to be given again after a while.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Tape, TradeCall};
use crate::market::Trade;

/// Quiet beginnings up to this length are believed.
const SHORT_LEAD: TimeDelta = TimeDelta::minutes(1);
/// Without any trade after it, quiet up to this length is believed.
const SHORT_END: TimeDelta = TimeDelta::minutes(10);
/// After this time the same answer is believed.
const PROOF: TimeDelta = TimeDelta::minutes(10);
/// Reading begins earlier by this much at most.
const MOST_EARLIER: TimeDelta = TimeDelta::days(7);
/// How often an answer may change before it counts as none.
const MOST_CHANGES: u32 = 20;

/// What a page says of the time before its first trade.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// A trade ends it; otherwise the page was empty.
    pub is_cut: bool,
    /// The venue reads such stretches window by window: an empty one says nothing of what follows.
    pub is_window: bool,
}

/// A quiet stretch that is not believed yet.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The first trade after it, in the answer that has to be given again.
    first: Option<DateTime<Utc>>,
    since: DateTime<Utc>,
    changes: u32,
    /// How much earlier reading begins.
    earlier: TimeDelta,
    pub again_at: DateTime<Utc>,
}

impl Tape {
    /// True when the page that was asked for from `from` on begins with what is known there.
    pub(super) fn is_tied(&self, call: &TradeCall, first: Option<&Trade>, from: DateTime<Utc>) -> bool {
        let Some(first) = first else { return false };
        let id = first.id.number().filter(|_| self.rules.ids_are_dense);
        match (id, self.pass_end) {
            _ if first.time <= from && !call.is_pass => true,
            (Some(id), Some((end, last))) if call.is_pass && end == from => id <= last + 1,
            (Some(id), _) => first.time <= from || self.ids.holds(id.saturating_sub(1), id),
            (None, _) => first.time <= from,
        }
    }

    /// Takes note of a quiet stretch that nothing ties to what comes before. True when it needs to be
    /// told once more.
    pub(super) fn doubts_quiet(&mut self, quiet: Quiet, sent_at: DateTime<Utc>) -> bool {
        let length = quiet.to - quiet.from;
        let proof = if quiet.is_window { TimeDelta::zero() } else { PROOF };
        if length <= if quiet.is_cut { SHORT_LEAD } else { SHORT_END } {
            return false;
        }
        let first = quiet.is_cut.then_some(quiet.to);
        let known = self.doubts.remove(&quiet.from);
        if let Some(doubt) = &known
            && doubt.first == first
            && sent_at - doubt.since >= proof
        {
            return false;
        }
        let before = known.as_ref().map_or(TimeDelta::zero(), |doubt| doubt.earlier);
        let reaches_back = quiet.is_cut && !quiet.is_window;
        let earlier = if reaches_back { (before * 2).max(length * 2).min(MOST_EARLIER) } else { before };
        let (since, changes) = match &known {
            Some(doubt) if doubt.first == first => (doubt.since, doubt.changes),
            other => (sent_at, other.as_ref().map_or(0, |doubt| doubt.changes + 1)),
        };
        // Another question, or one whose answer need not age, can be asked at once.
        let is_ready = earlier > before || proof.is_zero();
        let again_at = if is_ready { sent_at } else { sent_at + PROOF / 10 };
        self.doubts.insert(quiet.from, Doubt { first, since, changes, earlier, again_at });
        true
    }

    /// False when answers about a stretch keep changing.
    pub(super) fn is_patient(&self, from: DateTime<Utc>) -> bool {
        self.doubts.get(&from).is_none_or(|doubt| doubt.changes < MOST_CHANGES)
    }

    /// True while a doubtful stretch is left alone.
    pub(super) fn rests(&self, from: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.doubts.get(&from).is_some_and(|doubt| now < doubt.again_at)
    }

    /// Where reading begins for what is wanted from `from` on.
    pub(super) fn start_of(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        from - self.doubts.get(&from).map_or(TimeDelta::zero(), |doubt| doubt.earlier)
    }
}
