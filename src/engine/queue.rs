//! Calls waiting for the rate budget: which one goes next.
//!
//! By priority; within one priority keys (symbols) take turns, and within a key calls keep their
//! order. So that a venue whose live calls alone fill its limit still gets its history, after
//! `PATIENCE` calls that passed a lower priority by, the next one is the lower's. A call that waits for a limit keeps everything behind it off that limit, so
//! cheap calls cannot starve an expensive one; calls of other limits pass. Pure: the caller sends.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};

use super::budget::{Admission, Budget, Priority};
use crate::exchange::Cost;

/// Calls that may leave while ones of a lower priority wait, before one of those has its turn.
const PATIENCE: u32 = 4;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<T> {
    /// Send this; it is taken from the queue and charged to the budget.
    Ready(T),
    /// Nothing may leave before this instant.
    WaitUntil(DateTime<Utc>),
    /// Nothing waits.
    Empty,
}

/// The waiting calls of one exchange, keyed by whom they serve.
#[derive(Debug, Clone)]
pub struct RequestQueue<K, T> {
    lanes: [Lane<K, T>; Priority::ALL.len()],
    /// Calls that have left in a row while others of a lower priority waited.
    passed_by: u32,
}

/// The calls of one priority.
#[derive(Debug, Clone)]
struct Lane<K, T> {
    /// Keys that have calls waiting, the next to be served first.
    turns: VecDeque<K>,
    /// Never empty for a key in `turns`, and absent for any other.
    waiting: BTreeMap<K, VecDeque<(Cost, T)>>,
}

impl<K: Ord + Clone, T> Lane<K, T> {
    fn push(&mut self, key: K, cost: Cost, item: T) {
        let calls = self.waiting.entry(key.clone()).or_default();
        if calls.is_empty() {
            self.turns.push_back(key);
        }
        calls.push_back((cost, item));
    }

    fn cost_at(&self, turn: usize) -> Option<Cost> {
        let (cost, _) = self.waiting.get(self.turns.get(turn)?)?.front()?;
        Some(*cost)
    }

    fn take_at(&mut self, turn: usize) -> Option<T> {
        let key = self.turns.remove(turn)?;
        let calls = self.waiting.get_mut(&key)?;
        let (_, item) = calls.pop_front()?;
        if calls.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        Some(item)
    }
}

impl<K: Ord + Clone, T> RequestQueue<K, T> {
    /// An empty queue.
    pub fn new() -> RequestQueue<K, T> {
        let lanes = Priority::ALL.map(|_| Lane { turns: VecDeque::new(), waiting: BTreeMap::new() });
        RequestQueue { lanes, passed_by: 0 }
    }

    /// Adds a call at the end of its key's calls.
    pub fn push(&mut self, priority: Priority, key: K, cost: Cost, item: T) {
        self.lanes[priority as usize].push(key, cost, item);
    }

    /// Takes the next call the budget admits at `now`.
    pub fn pop_ready(&mut self, budget: &mut Budget, now: DateTime<Utc>) -> Next<T> {
        let mut exhausted: Vec<usize> = Vec::new();
        let mut earliest: Option<DateTime<Utc>> = None;
        for priority in self.order() {
            let lane = &mut self.lanes[priority as usize];
            for turn in 0..lane.turns.len() {
                let Some(cost) = lane.cost_at(turn) else { continue };
                if exhausted.contains(&cost.limit) {
                    // With every limit taken nothing further back can leave.
                    if exhausted.len() >= budget.limits().len() {
                        break;
                    }
                    continue;
                }
                match budget.request(cost, priority, now) {
                    Admission::Go => {
                        if let Some(item) = lane.take_at(turn) {
                            let passes_by =
                                self.lanes[priority as usize + 1..].iter().any(|lane| !lane.turns.is_empty());
                            self.passed_by =
                                if passes_by && self.passed_by < PATIENCE { self.passed_by + 1 } else { 0 };
                            return Next::Ready(item);
                        }
                    }
                    Admission::WaitUntil(until) => {
                        exhausted.push(cost.limit);
                        earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
                    }
                }
            }
        }
        earliest.map_or(Next::Empty, Next::WaitUntil)
    }

    /// The order in which priorities are looked at: the most urgent that waits comes second when
    /// the one behind it has been passed by often enough.
    fn order(&self) -> [Priority; Priority::ALL.len()] {
        let mut order = Priority::ALL;
        let mut waiting = (0..order.len()).filter(|lane| !self.lanes[*lane].turns.is_empty());
        if self.passed_by >= PATIENCE
            && let (Some(_), Some(lower)) = (waiting.next(), waiting.next())
        {
            order[..=lower].rotate_right(1);
        }
        order
    }

    /// Removes all calls of a key, most urgent first, so that their askers can be told.
    pub fn cancel(&mut self, key: &K) -> Vec<T> {
        let mut cancelled = Vec::new();
        for lane in &mut self.lanes {
            if let Some(calls) = lane.waiting.remove(key) {
                lane.turns.retain(|turn| turn != key);
                cancelled.extend(calls.into_iter().map(|(_, item)| item));
            }
        }
        cancelled
    }

    /// Calls waiting with a priority.
    pub fn waiting(&self, priority: Priority) -> usize {
        self.lanes[priority as usize].waiting.values().map(VecDeque::len).sum()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.turns.is_empty())
    }
}

impl<K: Ord + Clone, T> Default for RequestQueue<K, T> {
    fn default() -> Self {
        RequestQueue::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;

    use super::*;
    use crate::exchange::RateLimit;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        "2026-11-20T14:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::milliseconds(milliseconds)
    }

    fn budget(capacities: &[u32]) -> Budget {
        let limits = capacities
            .iter()
            .map(|capacity| RateLimit { name: "requests", capacity: *capacity, window: Duration::from_secs(60) })
            .collect::<Vec<_>>();
        Budget::new(&limits, at(0))
    }

    const ONE: Cost = Cost { limit: 0, units: 1 };

    fn drain(queue: &mut RequestQueue<&'static str, u32>, budget: &mut Budget) -> (Vec<u32>, Next<u32>) {
        let mut taken = Vec::new();
        loop {
            match queue.pop_ready(budget, at(0)) {
                Next::Ready(item) => taken.push(item),
                end => return (taken, end),
            }
        }
    }

    #[test]
    fn priorities_go_in_order_keys_take_turns_and_none_waits_for_ever() {
        let mut queue = RequestQueue::new();
        for item in [10, 11, 12] {
            queue.push(Priority::Backfill, "BTC/USD", ONE, item);
        }
        queue.push(Priority::Backfill, "ETH/USD", ONE, 20);
        queue.push(Priority::Backfill, "XRP/USD", ONE, 30);
        queue.push(Priority::Backfill, "ETH/USD", ONE, 21);
        queue.push(Priority::Verification, "BTC/USD", ONE, 40);
        queue.push(Priority::Live, "XRP/USD", ONE, 1);
        queue.push(Priority::Repair, "XRP/USD", ONE, 2);
        assert_eq!(queue.waiting(Priority::Backfill), 6);
        assert_eq!(drain(&mut queue, &mut budget(&[100])), (vec![1, 2, 10, 20, 40, 30, 11, 21, 12], Next::Empty));
        assert!(queue.is_empty());
    }

    #[test]
    fn history_has_its_turn_after_four_live_calls() {
        let mut queue = RequestQueue::new();
        for item in 1..=10 {
            queue.push(Priority::Live, "BTC/USD", ONE, item);
        }
        for item in [20, 21, 22] {
            queue.push(Priority::Backfill, "BTC/USD", ONE, item);
        }
        let (order, _) = drain(&mut queue, &mut budget(&[100]));
        assert_eq!(order, [1, 2, 3, 4, 20, 5, 6, 7, 8, 21, 9, 10, 22]);
    }

    #[test]
    fn tickers_give_way_to_candles_of_now_and_go_before_those_of_the_past() {
        let mut queue = RequestQueue::new();
        queue.push(Priority::Backfill, "BTC/USD", ONE, 5);
        queue.push(Priority::Ticker, "tickers", ONE, 4);
        for item in [1, 2] {
            queue.push(Priority::Live, "BTC/USD", ONE, item);
        }
        queue.push(Priority::Repair, "BTC/USD", ONE, 6);
        assert_eq!(drain(&mut queue, &mut budget(&[100])).0, [1, 2, 4, 6, 5]);
    }

    #[test]
    fn a_waiting_call_keeps_cheaper_ones_behind_it() {
        let mut queue = RequestQueue::new();
        queue.push(Priority::Live, "BTC/USD", Cost { limit: 0, units: 6 }, 1);
        queue.push(Priority::Live, "ETH/USD", Cost { limit: 0, units: 6 }, 2);
        queue.push(Priority::Live, "XRP/USD", ONE, 3);
        queue.push(Priority::Backfill, "XRP/USD", ONE, 4);
        assert_eq!(drain(&mut queue, &mut budget(&[10])), (vec![1], Next::WaitUntil(at(61_000))));
        assert_eq!(queue.waiting(Priority::Live), 2);
        assert_eq!(queue.waiting(Priority::Backfill), 1);
    }

    #[test]
    fn calls_of_another_limit_pass() {
        let mut queue = RequestQueue::new();
        for item in [1, 2] {
            queue.push(Priority::Live, "BTC/USD", ONE, item);
        }
        queue.push(Priority::Live, "ETH/USD", Cost { limit: 1, units: 1 }, 3);
        queue.push(Priority::Backfill, "XRP/USD", Cost { limit: 1, units: 1 }, 4);
        assert_eq!(drain(&mut queue, &mut budget(&[1, 10])), (vec![1, 3, 4], Next::WaitUntil(at(61_000))));
    }

    #[test]
    fn a_block_holds_everything() {
        let mut queue = RequestQueue::new();
        queue.push(Priority::Live, "BTC/USD", ONE, 1);
        let mut budget = budget(&[10]);
        budget.block_until(at(5_000));
        assert_eq!(queue.pop_ready(&mut budget, at(0)), Next::WaitUntil(at(5_000)));
        assert_eq!(queue.pop_ready(&mut budget, at(5_000)), Next::Ready(1));
    }

    #[test]
    fn cancelling_a_key_returns_its_calls_and_leaves_the_others() {
        let mut queue = RequestQueue::new();
        queue.push(Priority::Backfill, "BTC/USD", ONE, 1);
        queue.push(Priority::Backfill, "ETH/USD", ONE, 2);
        queue.push(Priority::Live, "BTC/USD", ONE, 3);
        queue.push(Priority::Backfill, "BTC/USD", ONE, 4);
        assert_eq!(queue.cancel(&"BTC/USD"), vec![3, 1, 4]);
        assert_eq!(queue.cancel(&"BTC/USD"), Vec::<u32>::new());
        assert_eq!(drain(&mut queue, &mut budget(&[100])), (vec![2], Next::Empty));
    }
}
