//! The live end of a tape: what one connection has delivered since its ack, without a hole.
//!
//! A run begins a moment after the ack, or at an older trade that the ids tie it to. It ends with
//! the connection, with a trade whose id shows that others were lost, or when frames had to be
//! dropped; then a new run begins and what lies between is read by REST. A connection that is to
//! take over feeds the same run, and carries it on when the first one ends, if by then the run
//! reaches to where its own deliveries began.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono::{DateTime, TimeDelta, Utc};

use super::build::{Builder, Built};
use super::ids::{IdRange, IdRanges};
use super::{LATENESS, lateness};
use crate::engine::settle::ConnectionId;
use crate::exchange::QuietPolicy;
use crate::market::{Grid, Span, Trade, TradeId};

/// Trades that wait for the ones before them, at most.
const MOST_AHEAD: usize = 2_000;

/// How a symbol's live trades are followed.
#[derive(Debug, Clone)]
pub struct LiveRules {
    /// Consecutive trades have consecutive ids.
    pub ids_are_dense: bool,
    /// Series to build.
    pub grids: Vec<Grid>,
    /// What the venue prints for quiet buckets.
    pub quiet: QuietPolicy,
}

/// What a connection brought.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    /// Trades not delivered before by this run.
    pub fresh: Vec<Trade>,
    /// Stretches complete now.
    pub proven: Vec<Span>,
    /// Id ranges complete now.
    pub ids: IdRanges,
    /// Candles that this decides.
    pub built: Vec<Built>,
    /// Something was lost: a new run has begun.
    pub broke: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Live {
    rules: LiveRules,
    run: Option<Run>,
    successor: Option<Successor>,
}

/// A connection that is to take over.
#[derive(Debug, Clone, Copy)]
struct Successor {
    connection: ConnectionId,
    /// Since when it has delivered everything.
    from: DateTime<Utc>,
    /// The venue's newest stamp on its frames.
    alive_at: DateTime<Utc>,
}

#[derive(Debug)]
struct Run {
    connection: ConnectionId,
    /// All trades of `[from, until)` have been delivered.
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// The newest trade in order.
    last: Option<u64>,
    /// The oldest one before which others may come yet; 0 where the run goes on from a known one.
    first: u64,
    /// Trades whose predecessors have not come yet, and since when they wait.
    ahead: BTreeMap<u64, Trade>,
    waiting_since: Option<DateTime<Utc>>,
    builder: Option<Builder>,
}

impl Run {
    fn new(connection: ConnectionId, from: DateTime<Utc>, rules: &LiveRules) -> Run {
        Run {
            connection,
            from,
            until: from,
            last: None,
            first: 0,
            ahead: BTreeMap::new(),
            waiting_since: None,
            builder: builder(rules, from),
        }
    }
}

fn builder(rules: &LiveRules, from: DateTime<Utc>) -> Option<Builder> {
    let series: Vec<_> = rules.grids.iter().map(|grid| (*grid, None)).collect();
    (!series.is_empty()).then(|| Builder::new(&series, from, LATENESS, rules.quiet))
}

impl Live {
    /// No connection yet.
    pub fn new(rules: LiveRules) -> Live {
        Live { rules, run: None, successor: None }
    }

    /// The connection that feeds the tape.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.run.as_ref().map(|run| run.connection)
    }

    /// True for the connection that feeds the tape and for the one that is to take over.
    pub fn hears(&self, connection: ConnectionId) -> bool {
        self.connection() == Some(connection) || self.follows(connection)
    }

    fn follows(&self, connection: ConnectionId) -> bool {
        self.successor.is_some_and(|next| next.connection == connection)
    }

    /// Since when everything has been delivered; before it REST reads.
    pub fn from(&self) -> Option<DateTime<Utc>> {
        self.run.as_ref().map(|run| run.from)
    }

    /// Up to when everything has been delivered.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.run.as_ref().map(|run| run.until)
    }

    /// A subscription was acknowledged at `acked_at` (venue time). While another connection lives,
    /// this one is its successor.
    pub fn attach(&mut self, connection: ConnectionId, acked_at: DateTime<Utc>) {
        let from = acked_at + lateness();
        if self.connection().is_some_and(|current| current != connection) {
            self.successor = Some(Successor { connection, from, alive_at: acked_at });
        } else {
            self.run = Some(Run::new(connection, from, &self.rules));
        }
    }

    /// The connection is gone; its successor takes over.
    pub fn detach(&mut self, connection: ConnectionId) {
        self.successor.take_if(|next| next.connection == connection);
        let Some(ended) = self.run.take_if(|run| run.connection == connection) else { return };
        self.run = self.successor.take().map(|next| {
            if ended.until >= next.from {
                return Run { connection: next.connection, ..ended };
            }
            // What it delivered so far went into a run that does not reach to it.
            Run::new(next.connection, next.from.max(next.alive_at + lateness()), &self.rules)
        });
    }

    /// Frames of a connection were dropped on the way: what follows is a new run.
    pub fn interrupted(&mut self, connection: ConnectionId, now: DateTime<Utc>) {
        if let Some(next) = self.successor.as_mut().filter(|next| next.connection == connection) {
            next.from = now + lateness();
        } else if self.connection() == Some(connection) {
            self.run = Some(Run::new(connection, now + lateness(), &self.rules));
        }
    }

    /// What the run claims is not true: another begins.
    pub fn begin_anew(&mut self, now: DateTime<Utc>) {
        if let Some(connection) = self.connection() {
            self.interrupted(connection, now);
        }
    }

    /// True when some of these trades, which REST told of and nobody had heard, belong to what the run
    /// claims to have delivered.
    pub fn missed(&self, trades: &[Trade]) -> bool {
        let Some(run) = self.run.as_ref().filter(|_| self.rules.ids_are_dense) else { return false };
        trades.iter().any(|trade| run.from <= trade.time && trade.time < run.until)
    }

    /// The venue sent an old trade with its ack: an id to continue from.
    pub fn recall(&mut self, connection: ConnectionId, trade: &Trade) {
        let dense = self.rules.ids_are_dense;
        let Some(run) = self.run.as_mut().filter(|run| run.connection == connection && dense) else { return };
        // Only before anything else was heard: the ids tie what follows to this trade.
        if run.ahead.is_empty()
            && run.until <= run.from
            && let Some(last) = trade.last_id.number()
            && run.last.is_none_or(|known| known < last)
            && trade.time < run.from
        {
            run.last = Some(last);
            (run.from, run.until) = (trade.time + TimeDelta::microseconds(1), trade.time + TimeDelta::microseconds(1));
            run.builder = builder(&self.rules, run.from);
        }
    }

    /// Takes trades in the order of their arrival. `alive_at` is the venue's newest stamp on any
    /// frame of the connection.
    pub fn hear(&mut self, connection: ConnectionId, trades: Vec<Trade>, alive_at: DateTime<Utc>) -> Heard {
        let mut heard = Heard::default();
        if !self.hears(connection) {
            return heard;
        }
        // Without dense ids a trade of the successor says nothing of those before it.
        let until = self.until().filter(|_| self.follows(connection) && !self.rules.ids_are_dense);
        for trade in trades {
            self.one(trade, alive_at, &mut heard);
        }
        match self.successor.as_mut().filter(|next| next.connection == connection) {
            Some(next) => next.alive_at = next.alive_at.max(alive_at),
            None => self.pass_time(alive_at, &mut heard),
        }
        if let (Some(run), Some(until)) = (&mut self.run, until) {
            run.until = until;
        }
        heard
    }

    /// The venue says which trade was the last at `stamp`.
    pub fn announce(&mut self, connection: ConnectionId, id: &TradeId, stamp: DateTime<Utc>) -> Heard {
        let mut heard = Heard::default();
        let (dense, rules) = (self.rules.ids_are_dense, self.rules.clone());
        let Some(run) = self.run.as_mut().filter(|run| run.connection == connection && dense) else { return heard };
        let Some(id) = id.number() else { return heard };
        // It may have happened in that very instant, or be stamped a little later than the words of it.
        let from = stamp + lateness();
        match run.last {
            // Trades and announcements travel together: one that is still missing now was lost.
            Some(last) if last < id && run.ahead.is_empty() => {
                *run = Run { last: Some(id), ..Run::new(connection, from, &rules) };
                heard.broke = true;
            }
            None => {
                run.last = Some(id);
                let from = run.from.min(from);
                (run.from, run.until) = (from, from.max(run.until));
                run.builder = builder(&rules, from);
            }
            _ => {}
        }
        self.pass_time(stamp, &mut heard);
        heard
    }

    fn one(&mut self, trade: Trade, alive_at: DateTime<Utc>, heard: &mut Heard) {
        let Some(run) = &mut self.run else { return };
        let (first, last) = (trade.id.number(), trade.last_id.number());
        let (Some(first), Some(last), true) = (first, last, self.rules.ids_are_dense) else {
            heard.fresh.push(trade.clone());
            return self.count(&trade);
        };
        match run.last {
            Some(_) if last < run.first && run.from <= trade.time => self.earlier(trade, heard),
            Some(known) if last <= known => {}
            Some(known) if first > known + 1 => {
                if let Entry::Vacant(place) = run.ahead.entry(first) {
                    heard.fresh.push(trade.clone());
                    place.insert(trade);
                    run.waiting_since.get_or_insert(alive_at);
                }
            }
            // Part of it was told before, in another cut: REST tells it apart.
            Some(known) if first <= known => self.restart(trade.time, heard),
            _ => {
                if run.last.is_none() {
                    run.first = first;
                }
                heard.fresh.push(trade.clone());
                run.last = Some(last);
                IdRange::of(std::slice::from_ref(&trade)).into_iter().for_each(|id| heard.ids.insert(id));
                self.count(&trade);
                self.catch_up(heard);
            }
        }
    }

    /// Takes a trade that comes after the one the run began with, and was traded before it. Should
    /// there be others between them, their ids tell.
    fn earlier(&mut self, trade: Trade, heard: &mut Heard) {
        let Some(run) = &mut self.run else { return };
        IdRange::of(std::slice::from_ref(&trade)).into_iter().for_each(|id| heard.ids.insert(id));
        if let (Some(first), Some(last)) = (trade.id.number(), trade.last_id.number())
            && last + 1 == run.first
        {
            run.first = first;
            self.count(&trade);
        }
        heard.fresh.push(trade);
    }

    /// Takes the waiting trades whose turn has come.
    fn catch_up(&mut self, heard: &mut Heard) {
        loop {
            let Some(run) = &mut self.run else { return };
            let Some(entry) = run.ahead.first_entry() else {
                run.waiting_since = None;
                return;
            };
            match run.last {
                Some(last) if *entry.key() > last + 1 => return,
                Some(last) if *entry.key() <= last => drop(entry.remove()),
                before => {
                    let trade = entry.remove();
                    if before.is_none() {
                        run.first = trade.id.number().unwrap_or(0);
                    }
                    run.last = trade.last_id.number();
                    IdRange::of(std::slice::from_ref(&trade)).into_iter().for_each(|id| heard.ids.insert(id));
                    self.count(&trade);
                }
            }
        }
    }

    fn count(&mut self, trade: &Trade) {
        let Some(run) = &mut self.run else { return };
        // An error means numbers beyond exact arithmetic: the venue's own candles remain.
        if let Some(builder) = &mut run.builder
            && builder.push(trade).is_err()
        {
            run.builder = None;
        }
        run.until = run.until.max(trade.time - lateness());
    }

    /// A new run from a trade on; those that wait belong to it.
    fn restart(&mut self, from: DateTime<Utc>, heard: &mut Heard) {
        let Some(old) = self.run.take() else { return };
        heard.proven.extend(proven(&old));
        heard.broke = true;
        self.run =
            Some(Run { ahead: old.ahead, ..Run::new(old.connection, from + TimeDelta::microseconds(1), &self.rules) });
        self.catch_up(heard);
    }

    fn pass_time(&mut self, alive_at: DateTime<Utc>, heard: &mut Heard) {
        let Some(run) = &mut self.run else { return };
        if let (Some(since), Some(first)) = (run.waiting_since, run.ahead.values().next()) {
            if alive_at - since > lateness() || run.ahead.len() > MOST_AHEAD {
                let from = first.time;
                self.restart(from, heard);
            }
        } else {
            run.until = run.until.max(alive_at - lateness());
        }
        let Some(run) = &mut self.run else { return };
        heard.proven.extend(proven(run));
        if let Some(builder) = &mut run.builder {
            match builder.advance(run.until) {
                Ok(built) => heard.built.extend(built),
                Err(_) => run.builder = None,
            }
        }
    }
}

fn proven(run: &Run) -> Option<Span> {
    Some(Span::new(run.from, run.until)).filter(|span| !span.is_empty())
}

#[cfg(test)]
mod tests;
