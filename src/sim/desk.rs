//! What a connection is subscribed to, and what there is to tell: trades as they happen, candles as
//! they form and close. How it is written is the venue's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::bar::Bar;
use super::calendar::Frame;
use super::dice::Dice;
use super::feed::Feed;
use super::market::{Bucket, Market};
use super::tape::{SECOND_NS, Tick};
use super::world::World;

const MILLISECOND_NS: i64 = 1_000_000;

/// How a venue tells candles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// What changed is told on whole multiples of this; `None`: with every trade.
    pub(crate) beat_ns: Option<i64>,
    /// The last state of each bucket is told once more, as closed, just after the close.
    pub(crate) closes: bool,
}

/// Something to tell.
pub(crate) enum News<'a> {
    /// Trades, in order.
    Trades(&'a [Tick]),
    /// The state of a bucket at an instant.
    Candle { bucket: Bucket, is_closed: bool, at_ns: i64 },
}

/// Subscriptions by the venue's own key for them.
pub(crate) struct Desk<K> {
    ids: BTreeMap<K, u64>,
    lines: BTreeMap<u64, Line<K>>,
    next_id: u64,
    schedule: BinaryHeap<Reverse<(i64, u64)>>,
}

struct Line<K> {
    key: K,
    feed: Feed,
    candles: Option<Candles>,
}

struct Candles {
    manner: Manner,
    frame: Frame,
    open: i64,
    next: i64,
    bar: Option<Bar>,
}

impl<K: Ord + Clone> Desk<K> {
    pub(crate) fn new() -> Desk<K> {
        Desk { ids: BTreeMap::new(), lines: BTreeMap::new(), next_id: 0, schedule: BinaryHeap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.ids.keys()
    }

    pub(crate) fn holds(&self, key: &K) -> bool {
        self.ids.contains_key(key)
    }

    /// Tells the trades of a market from now on.
    pub(crate) fn add_trades(&mut self, key: K, market: Arc<Market>, now_ns: i64) {
        self.add(Line { key, feed: Feed::after(market, now_ns), candles: None });
    }

    /// Tells its candles, from the running one on.
    pub(crate) fn add_candles(&mut self, key: K, market: Arc<Market>, frame: Frame, manner: Manner, now_ns: i64) {
        let open = frame.open(now_ns.div_euclid(SECOND_NS));
        let next = frame.next(open);
        let bar = market.bar(open, next, now_ns + 1);
        let candles = Candles { manner, frame, open, next, bar };
        self.add(Line { key, feed: Feed::after(market, now_ns), candles: Some(candles) });
    }

    fn add(&mut self, line: Line<K>) {
        let id = self.next_id;
        self.next_id += 1;
        self.schedule.push(Reverse((line.next_event(), id)));
        self.ids.insert(line.key.clone(), id);
        self.lines.insert(id, line);
    }

    /// Ends a subscription; false when there was none.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        self.ids.remove(key).is_some_and(|id| self.lines.remove(&id).is_some())
    }

    /// When there will be something to tell.
    pub(crate) fn due_ns(&self) -> Option<i64> {
        self.schedule.peek().map(|Reverse((at, _))| *at)
    }

    /// Tells everything that is due. Delisted markets are silent; what they had to tell before, and could
    /// not because nobody read on, is told.
    pub(crate) fn tell(&mut self, world: &World, now_ns: i64, mut say: impl FnMut(&K, &Market, News<'_>)) {
        while let Some(&Reverse((at, id))) = self.schedule.peek() {
            if at > now_ns {
                break;
            }
            self.schedule.pop();
            let Some(line) = self.lines.get_mut(&id) else { continue };
            let market = line.feed.market.clone();
            let is_listed = world.was_listed(&market, now_ns.saturating_sub(at));
            // Where it was listed or delisted in between, one event after the other.
            let until = if is_listed == world.is_listed(&market) { now_ns } else { at };
            let key = &line.key;
            let mut say = |news: News<'_>| {
                if is_listed {
                    say(key, &market, news);
                }
            };
            match &mut line.candles {
                None => {
                    let ticks: Vec<Tick> = std::iter::from_fn(|| line.feed.take(until)).collect();
                    if !ticks.is_empty() {
                        say(News::Trades(&ticks));
                    }
                }
                Some(candles) if candles.manner.closes => candles.catch_up(world, &mut line.feed, at, say),
                Some(candles) => candles.follow(&mut line.feed, until, say),
            }
            self.schedule.push(Reverse((line.next_event(), id)));
        }
    }
}

impl<K> Line<K> {
    /// When this line has to be looked at again.
    fn next_event(&self) -> i64 {
        let next_trade = self.feed.next_ns();
        let Some(candles) = &self.candles else { return next_trade };
        let beat_ns = candles.manner.beat_ns.unwrap_or(1);
        let beat = next_trade + (beat_ns - next_trade.rem_euclid(beat_ns)) % beat_ns;
        if candles.manner.closes && beat >= candles.next * SECOND_NS {
            candles.closing_ns(&self.feed.market)
        } else {
            beat
        }
    }
}

impl Candles {
    /// The closing frame's instant: a few to a few dozen milliseconds after the close.
    fn closing_ns(&self, market: &Market) -> i64 {
        let delay_ms = 3 + Dice::new(market.price_scale.into(), self.next).below(40) as i64;
        self.next * SECOND_NS + delay_ms * MILLISECOND_NS
    }

    fn bucket(&self, bar: Bar) -> Bucket {
        Bucket { open: self.open, next: self.next, close: self.next, bar }
    }

    /// A venue that says when a bucket is closed, at `at`.
    fn catch_up(&mut self, world: &World, feed: &mut Feed, at_ns: i64, mut say: impl FnMut(News<'_>)) {
        let market = feed.market.clone();
        let mut changed = false;
        while let Some(tick) = feed.take(at_ns.min(self.next * SECOND_NS - 1)) {
            self.bar = Some(Bar::extended(self.bar, &tick));
            changed = true;
        }
        if at_ns < self.closing_ns(&market) {
            if let Some(bar) = self.bar.filter(|_| changed) {
                say(News::Candle { bucket: self.bucket(bar), is_closed: false, at_ns });
            }
            return;
        }
        // An empty bucket gets its frame too, unless the venue itself was away.
        let bar = self.bar.or_else(|| {
            let is_away = market.is_outage(self.open, self.next);
            if is_away { None } else { market.price_before(self.open * SECOND_NS).map(Bar::flat) }
        });
        let shown = bar.and_then(|bar| world.shown(&market, self.bucket(bar), false));
        if let Some(bucket) = shown {
            say(News::Candle { bucket, is_closed: true, at_ns });
        }
        self.open = self.next;
        self.next = self.frame.next(self.open);
        self.bar = None;
    }

    /// A venue that only tells what traded, up to `now_ns`.
    fn follow(&mut self, feed: &mut Feed, now_ns: i64, mut say: impl FnMut(News<'_>)) {
        let mut changed_at = None;
        loop {
            let tick = feed.take(now_ns);
            let open = tick.map(|tick| self.frame.open(tick.time_ns.div_euclid(SECOND_NS)));
            if open != Some(self.open)
                && let (Some(at_ns), Some(bar)) = (changed_at, self.bar)
            {
                say(News::Candle { bucket: self.bucket(bar), is_closed: false, at_ns });
            }
            let (Some(tick), Some(open)) = (tick, open) else { return };
            if open != self.open {
                (self.open, self.next, self.bar) = (open, self.frame.next(open), None);
            }
            self.bar = Some(Bar::extended(self.bar, &tick));
            changed_at = Some(tick.time_ns);
        }
    }
}
