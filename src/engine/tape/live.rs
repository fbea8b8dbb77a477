//! The live end of a tape: what one connection has delivered since its ack, without a hole.
//!
//! A run begins a moment after the ack, or at an older trade that the ids tie it to. It ends with
//! the connection, with a trade whose id shows that others were lost, or when frames had to be
//! dropped; then a new run begins and what lies between is read by REST.

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
}

#[derive(Debug)]
struct Run {
    connection: ConnectionId,
    /// All trades of `[from, until)` have been delivered.
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// The newest trade in order, and whether it was delivered by this run.
    last: Option<u64>,
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
        Live { rules, run: None }
    }

    /// The connection that feeds the tape.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.run.as_ref().map(|run| run.connection)
    }

    /// Since when everything has been delivered; before it REST reads.
    pub fn from(&self) -> Option<DateTime<Utc>> {
        self.run.as_ref().map(|run| run.from)
    }

    /// Up to when everything has been delivered.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.run.as_ref().map(|run| run.until)
    }

    /// A subscription was acknowledged at `acked_at` (venue time).
    pub fn attach(&mut self, connection: ConnectionId, acked_at: DateTime<Utc>) {
        self.run = Some(Run::new(connection, acked_at + lateness(), &self.rules));
    }

    /// The connection is gone.
    pub fn detach(&mut self, connection: ConnectionId) {
        if self.connection() == Some(connection) {
            self.run = None;
        }
    }

    /// Frames were dropped on the way: what follows is a new run.
    pub fn interrupted(&mut self, now: DateTime<Utc>) {
        if let Some(run) = &self.run {
            self.run = Some(Run::new(run.connection, now + lateness(), &self.rules));
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
        if self.connection() != Some(connection) {
            return heard;
        }
        for trade in trades {
            self.one(trade, alive_at, &mut heard);
        }
        self.pass_time(alive_at, &mut heard);
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
                heard.fresh.push(trade.clone());
                run.last = Some(last);
                IdRange::of(std::slice::from_ref(&trade)).into_iter().for_each(|id| heard.ids.insert(id));
                self.count(&trade);
                self.catch_up(heard);
            }
        }
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
                _ => {
                    let trade = entry.remove();
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
mod tests {
    use super::*;
    use crate::market::Timeframe;

    const LINE: ConnectionId = ConnectionId(7);

    fn t(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_183_200 + second, 0).unwrap()
    }

    fn trade(id: u64, second: i64) -> Trade {
        let id = TradeId::Number(id);
        Trade { last_id: id.clone(), id, time: t(second), price: 10.into(), amount: 1.into(), side: None }
    }

    fn live(ids_are_dense: bool) -> Live {
        let grids = vec![Grid::utc(Timeframe::M1)];
        let mut live = Live::new(LiveRules { ids_are_dense, grids, quiet: QuietPolicy::Omits });
        live.attach(LINE, t(0));
        live
    }

    fn ids(heard: &Heard) -> Vec<(u64, u64)> {
        heard.ids.ranges().iter().map(|range| (range.first, range.last)).collect()
    }

    fn candles(heard: &Heard) -> Vec<(i64, Option<u64>)> {
        let all = heard.built.iter().flat_map(|built| &built.candles);
        all.map(|(candle, ..)| ((candle.open_time - t(0)).num_seconds(), candle.trades)).collect()
    }

    #[test]
    fn what_a_connection_delivers_without_a_hole_is_proven_and_built() {
        for dense in [true, false] {
            let mut live = live(dense);
            let heard = live.hear(LINE, vec![trade(5, 30), trade(6, 61), trade(7, 119)], t(119));
            assert_eq!(heard.proven, [Span::new(t(2), t(117))]);
            assert_eq!((ids(&heard), candles(&heard)), (if dense { vec![(5, 7)] } else { vec![] }, vec![]));
            let heard = live.hear(LINE, vec![], t(122));
            assert_eq!((&heard.proven, candles(&heard)), (&vec![Span::new(t(2), t(120))], vec![(60, Some(2))]));
        }
    }

    #[test]
    fn trades_in_another_order_wait_for_those_before_them() {
        let mut live = live(true);
        live.hear(LINE, vec![trade(5, 30)], t(30));
        let heard = live.hear(LINE, vec![trade(7, 32), trade(7, 32)], t(32));
        assert_eq!((heard.fresh.len(), ids(&heard)), (1, vec![]));
        let heard = live.hear(LINE, vec![trade(6, 31), trade(8, 33)], t(33));
        assert_eq!((heard.fresh.len(), ids(&heard), heard.broke), (2, vec![(6, 8)], false));
    }

    #[test]
    fn a_lost_trade_ends_the_run_and_what_waited_begins_the_next() {
        let mut live = live(true);
        live.hear(LINE, vec![trade(5, 30)], t(30));
        live.hear(LINE, vec![trade(7, 62)], t(62));
        let heard = live.hear(LINE, vec![trade(8, 66)], t(66));
        assert!(heard.broke);
        assert_eq!(ids(&heard), [(7, 8)]);
        assert_eq!(heard.proven[0], Span::new(t(2), t(28)), "nothing after the last trade before the hole");
        assert_eq!(live.from(), Some(t(62) + TimeDelta::microseconds(1)));
        let heard = live.hear(LINE, vec![trade(9, 130), trade(10, 185)], t(185));
        assert_eq!(candles(&heard), [(120, Some(1))], "the minute of the hole is not ours");
    }

    #[test]
    fn an_old_trade_of_the_ack_ties_the_run_to_what_was_before() {
        let mut live = live(true);
        live.recall(LINE, &trade(4, -100));
        live.recall(LINE, &trade(3, -110));
        let heard = live.hear(LINE, vec![trade(5, 30)], t(125));
        assert_eq!(heard.proven, [Span::new(t(-100) + TimeDelta::microseconds(1), t(123))]);
        assert_eq!(candles(&heard), [(0, Some(1))]);
        let mut sparse = super::tests::live(false);
        sparse.recall(LINE, &trade(4, -100));
        assert_eq!(sparse.from(), Some(t(2)), "without dense ids an old trade proves nothing");
    }

    #[test]
    fn a_trade_that_only_rest_tells_of_was_missed_where_ids_would_have_told() {
        let mut live = live(true);
        live.hear(LINE, vec![trade(9, 50)], t(62));
        // The venue was mute at first: nothing before the first trade shows that others are missing.
        assert!(live.missed(&[trade(8, 40)]));
        assert!(!live.missed(&[trade(7, 1), trade(10, 61)]), "before the run, and too young to have been told");
        let mut sparse = super::tests::live(false);
        sparse.hear(LINE, vec![trade(9, 50)], t(62));
        assert!(!sparse.missed(&[trade(9, 50)]), "what was heard is not told apart from what was not");
    }

    #[test]
    fn an_announced_trade_that_never_came_was_lost() {
        let mut live = live(true);
        live.announce(LINE, &TradeId::Number(4), t(-1));
        assert_eq!(live.from(), Some(t(1)));
        live.hear(LINE, vec![trade(5, 30)], t(30));
        let heard = live.announce(LINE, &TradeId::Number(5), t(40));
        assert_eq!((heard.broke, heard.proven), (false, vec![Span::new(t(1), t(38))]));
        let heard = live.announce(LINE, &TradeId::Number(6), t(60));
        assert!(heard.broke);
        assert_eq!(live.from(), Some(t(62)), "it may have been traded at that very instant, in the next minute");
        assert!(!live.hear(LINE, vec![trade(7, 63)], t(63)).broke);
        assert_eq!(candles(&live.hear(LINE, vec![], t(190))), [], "nothing is said of the minute it broke in");
    }

    #[test]
    fn a_run_ends_with_its_connection() {
        let mut live = live(true);
        assert_eq!(live.hear(ConnectionId(8), vec![trade(1, 1)], t(9)), Heard::default());
        live.interrupted(t(50));
        assert_eq!(live.from(), Some(t(52)));
        live.detach(ConnectionId(8));
        assert!(live.connection().is_some());
        live.detach(LINE);
        assert_eq!(live.from(), None);
    }
}
