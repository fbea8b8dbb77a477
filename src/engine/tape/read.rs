//! What a page of trades proves.

use chrono::{DateTime, TimeDelta, Utc};

use super::doubt::Quiet;
use super::ids::IdRange;
use super::{POLL, RETRY, Tape, TradeCall};
use crate::engine::budget::Priority;
use crate::exchange::{Depth, TradeCursor, TradeHistory, TradePage};
use crate::market::ledger::TRADES_NOT_SERVED;
use crate::market::{Span, Trade};

/// Reads that bring nothing before a stretch is given up.
const MOST_IDLE_READS: u32 = 5;
/// Why trades cannot be had.
const TOO_OLD: &str = "too_old: trades";

/// What a read brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Trades that were not known before, oldest first.
    pub trades: Vec<Trade>,
    /// The stretch that is complete now.
    pub known: Option<Span>,
    /// Stretches that will never be, with the reason.
    pub unavailable: Vec<(Span, &'static str)>,
    /// Ids that are complete now.
    pub ids: Option<IdRange>,
    /// Ids that the venue does not have, though it has their neighbours: inclusive ranges.
    pub absent: Vec<(u64, u64)>,
}

impl Tape {
    /// Takes the answer to a call that was sent at `sent_at`. `after_empty` is where the venue says
    /// to read on if the page is empty.
    pub fn read(
        &mut self,
        call: &TradeCall,
        page: TradePage,
        after_empty: Option<TradeCursor>,
        sent_at: DateTime<Utc>,
    ) -> Read {
        let mut read = Read { trades: vec![], known: None, unavailable: vec![], ids: None, absent: vec![] };
        let Some(rest) = self.rules.rest else { return read };
        let horizon = sent_at - self.rules.settle;
        let is_full = page.next.is_some();
        let received = page.trades.len();
        let known_newest = self.newest;
        self.newest = self.newest.max(page.trades.last().map(|last| last.time));
        if self.rules.ids_are_dense && !call.is_pass {
            read.ids = IdRange::of(&page.trades);
            read.absent = absent(&page.trades);
            read.trades = page.trades.iter().filter(|trade| !self.knows(trade)).cloned().collect();
        } else {
            read.trades.clone_from(&page.trades);
        }
        // How far back the ids tie what the page begins with to what is known.
        let since = read.ids.map(|ids| {
            self.learn_ids(ids);
            self.ids.holding(ids.first).map_or(ids.from, |range| range.from)
        });
        let since = since.or(page.trades.first().map(|first| first.time));
        let progress = match rest.history {
            TradeHistory::Forward(_) => self.forward(call, &page, after_empty, known_newest, sent_at, &mut read),
            TradeHistory::Backward(depth) => backward(call, since, page.next.is_some(), depth, horizon, &mut read),
            TradeHistory::Recent => recent(call, &page, horizon, &mut read),
        };
        if !call.is_pass {
            read.known.iter().for_each(|span| self.known.insert(*span));
            read.unavailable.iter().for_each(|(span, _)| self.unavailable.insert(*span));
            self.doubt_gaps(TimeDelta::zero());
        }
        if call.priority == Priority::Live && progress {
            let is_behind = is_full || read.known.is_none();
            self.plan_poll(call, received, is_behind, rest.page_limit_rows, sent_at);
        }
        self.account(call, progress, sent_at, &mut read);
        read
    }

    /// Pages that start at the gap's old end. Returns whether it brought us further.
    fn forward(
        &mut self,
        call: &TradeCall,
        page: &TradePage,
        after_empty: Option<TradeCursor>,
        known_newest: Option<DateTime<Utc>>,
        sent_at: DateTime<Utc>,
        read: &mut Read,
    ) -> bool {
        let (from, horizon) = (call.gap.from, sent_at - self.rules.settle);
        let is_window = after_empty.is_some();
        let next = if page.trades.is_empty() { after_empty } else { page.next.clone() };
        if page.trades.is_empty() && next.is_none() && known_newest.is_some_and(|newest| newest > from) {
            // Nothing more, although there is: that page proves nothing.
            return false;
        }
        let reached = match (page.trades.last(), &next) {
            (Some(last), Some(_)) => last.time,
            (Some(last), None) => last.time.max(horizon),
            (None, Some(TradeCursor::Time(time))) => (*time).min(horizon),
            (None, Some(_)) => from,
            (None, None) => horizon,
        };
        if let Some(left) = self.torn_from(page, from).filter(|_| !call.is_pass) {
            // Trades are missing between what is known and this page: read on from where they are.
            self.known.remove(Span::new(left.to, from.max(left.to + TimeDelta::microseconds(1))));
            return false;
        }
        if let Some(next) = next.clone().filter(|_| reached < from) {
            // Asked for from an earlier time on, it has not come to the gap yet.
            self.continuations.retain(|(at, _)| *at != from);
            self.continuations.push((from, next));
            return true;
        }
        let first = page.trades.first();
        let to = first.map_or(reached, |first| first.time);
        let quiet = Quiet { from, to, is_cut: first.is_some(), is_window };
        if !self.is_tied(call, first, from) && self.doubts_quiet(quiet, sent_at) {
            // What follows the first trade is beyond doubt.
            let follows = Span::new(quiet.to + TimeDelta::microseconds(1), reached);
            read.known = Some(follows).filter(|follows| quiet.is_cut && !call.is_pass && !follows.is_empty());
            // Reading begins at another place, unless it was from here on that there was nothing.
            self.continuations.retain(|(at, _)| *at != from || !quiet.is_cut);
            return self.is_patient(from);
        }
        self.doubts.retain(|at, _| *at < from || *at >= reached);
        if call.is_pass {
            let last = page.trades.last().and_then(|last| last.last_id.number());
            self.pass_end = last.or(self.pass_end.map(|(_, last)| last)).map(|last| (reached, last));
        }
        let moved = next.as_ref().is_some_and(|next| *next != call.cursor);
        // After an empty page the same place is asked for once more; a time needs no note where it is
        // the beginning of the gap.
        let is_end = page.trades.is_empty() && next.is_none();
        let next = if is_end { Some(call.cursor.clone()) } else { next };
        let is_noted = |next: &TradeCursor| match next {
            TradeCursor::Time(time) => is_end || (!page.trades.is_empty() && *time != reached),
            _ => true,
        };
        if let Some(next) = next.filter(is_noted) {
            self.continuations.retain(|(at, _)| *at != reached && *at != from);
            self.continuations.push((reached, next));
            // One for each end at which reading goes on.
            if self.continuations.len() > 8 {
                self.continuations.remove(0);
            }
        }
        let known = Span::new(from, reached);
        if !known.is_empty() {
            read.known = Some(known);
        }
        reached > from || moved
    }

    /// The known trades that should be the neighbours of a page that begins at `from`, and are not.
    fn torn_from(&self, page: &TradePage, from: DateTime<Utc>) -> Option<IdRange> {
        let first = page.trades.first()?.id.number().filter(|_| self.rules.ids_are_dense)?;
        self.ids.before(first).filter(|left| self.known.covers(Span::new(left.to, from)))
    }

    fn plan_poll(&mut self, call: &TradeCall, received: usize, is_behind: bool, limit: u32, sent_at: DateTime<Utc>) {
        let elapsed = (call.gap.to - call.gap.from).num_milliseconds().max(1);
        // A page should be less than half full when it is asked for.
        let half = i64::from(limit) * 2 / 5;
        let period = if is_behind {
            TimeDelta::zero()
        } else {
            let until_half = elapsed.saturating_mul(half) / (received.max(1) as i64);
            TimeDelta::milliseconds(until_half).clamp(POLL.0, POLL.1)
        };
        let settled = sent_at.timestamp().div_euclid(60) * 60 + 60;
        let minute = DateTime::from_timestamp(settled, 0).map_or(sent_at, |minute| minute + self.rules.settle);
        // A bar that closes meanwhile is wanted soon after.
        self.next_poll_at = (sent_at + period).min(minute.max(sent_at + POLL.0));
    }

    fn account(&mut self, call: &TradeCall, progress: bool, sent_at: DateTime<Utc>, read: &mut Read) {
        if progress {
            (self.idle_reads, self.retry_at) = (0, None);
            return;
        }
        self.idle_reads += 1;
        let is_old = call.gap.to < sent_at - TimeDelta::minutes(10);
        if self.idle_reads >= MOST_IDLE_READS && is_old && !call.is_pass {
            self.give_up(call.gap, sent_at);
            read.unavailable.push((call.gap, TRADES_NOT_SERVED));
            self.idle_reads = 0;
            return;
        }
        let wait = RETRY.0 * 2i32.saturating_pow(self.idle_reads.saturating_sub(1).min(12));
        self.retry_at = Some(sent_at + wait.min(RETRY.1));
    }
}

/// Pages that end at the gap's new end.
fn backward(
    call: &TradeCall,
    since: Option<DateTime<Utc>>,
    has_older: bool,
    depth: Depth,
    horizon: DateTime<Utc>,
    read: &mut Read,
) -> bool {
    let upper = if call.cursor == TradeCursor::Newest { call.gap.to.max(horizon) } else { call.gap.to };
    let lower = since.map(|since| since + TimeDelta::microseconds(1));
    let from = match (lower, has_older) {
        (Some(lower), true) => lower.max(call.gap.from),
        // Nothing older: that is all there ever was, or all that is kept.
        (lower, false) => {
            let end = lower.unwrap_or(upper).max(call.gap.from);
            if depth == Depth::Full {
                call.gap.from
            } else {
                let lost = Span::new(call.gap.from, end);
                read.unavailable.extend((!lost.is_empty()).then_some((lost, TOO_OLD)));
                end
            }
        }
        (None, true) => return false,
    };
    let known = Span::new(from, upper);
    read.known = (!known.is_empty()).then_some(known);
    read.known.is_some() || !read.unavailable.is_empty()
}

/// The newest trades are all there are.
fn recent(call: &TradeCall, page: &TradePage, horizon: DateTime<Utc>, read: &mut Read) -> bool {
    let Some(first) = page.trades.first() else { return false };
    let from = (first.time + TimeDelta::microseconds(1)).max(call.gap.from);
    let known = Span::new(from, horizon.max(from));
    let lost = Span::new(call.gap.from, from.min(call.gap.to));
    if !lost.is_empty() {
        read.unavailable.push((lost, TRADES_NOT_SERVED));
    }
    read.known = (!known.is_empty()).then_some(known);
    read.known.is_some() || !lost.is_empty()
}

/// Ids missing between neighbours of one page.
fn absent(trades: &[Trade]) -> Vec<(u64, u64)> {
    let pairs = trades.windows(2).filter_map(|pair| Some((pair[0].last_id.number()? + 1, pair[1].id.number()?)));
    pairs.filter(|(from, next)| from < next).map(|(from, next)| (from, next - 1)).collect()
}
