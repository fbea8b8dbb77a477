//! The trades of one market in the order of time, for a stream subscription.
//!
//! Reads ahead to the end of the running minute and no further, because a fault may still decide
//! that nothing trades in the next one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::calendar::MINUTE;
use super::market::Market;
use super::tape::{SECOND_NS, Tick};

pub(crate) struct Feed {
    pub(crate) market: Arc<Market>,
    ahead: VecDeque<Tick>,
    /// Trades before this instant have been read.
    read_until_ns: i64,
}

impl Feed {
    /// Trades after `now_ns`.
    pub(crate) fn after(market: Arc<Market>, now_ns: i64) -> Feed {
        let mut feed = Feed { market, ahead: VecDeque::new(), read_until_ns: now_ns + 1 };
        feed.read_minute();
        feed
    }

    fn read_minute(&mut self) {
        let minute_ns = MINUTE * SECOND_NS;
        let end = (self.read_until_ns.div_euclid(minute_ns) + 1) * minute_ns;
        self.ahead.extend(self.market.ticks(self.read_until_ns, end));
        self.read_until_ns = end;
    }

    /// The next trade up to and including `now_ns`.
    pub(crate) fn take(&mut self, now_ns: i64) -> Option<Tick> {
        while self.ahead.is_empty() && self.read_until_ns <= now_ns {
            self.read_minute();
        }
        if self.ahead.front()?.time_ns > now_ns { None } else { self.ahead.pop_front() }
    }

    /// When to look again: the next trade, or the end of what has been read.
    pub(crate) fn next_ns(&self) -> i64 {
        self.ahead.front().map_or(self.read_until_ns, |tick| tick.time_ns)
    }
}
