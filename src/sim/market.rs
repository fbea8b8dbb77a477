//! One simulated market: its trades by time, id and position, and the bars they make.
//!
//! Trades come from a seeded tape or a replayed file and are the only source of truth; a bar is
//! nothing but the exact sum of its trades. Finished minutes and hours are kept, within bounds.
//! Knows no venue's formats and no fault but outages, in which nothing trades.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::calendar::{DAY, Frame, HOUR, MINUTE};
use super::decimal::AMOUNT_DECIMALS;
use super::listing::Listing;
use super::replay::Replay;
use super::tape::{SECOND_NS, SeededTape, Tick};

/// Minutes of trades, and hours of minute bars, kept per market.
const KEPT_MINUTES: usize = 128;
const KEPT_HOURS: usize = 64;
const KEPT_TOTALS: usize = 20_000;

/// Exact open, high, low, close and sums of some trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) volume: i128,
    /// Price times amount; its scale is the price's plus the amount's.
    pub(crate) quote: i128,
    pub(crate) bought: i128,
    pub(crate) bought_quote: i128,
    pub(crate) trades: u64,
    pub(crate) first_id: u64,
    pub(crate) last_id: u64,
}

impl Bar {
    fn of(tick: &Tick) -> Bar {
        let volume = i128::from(tick.amount);
        let quote = i128::from(tick.price) * volume;
        let taken = i128::from(tick.taker_buys);
        Bar {
            open: tick.price,
            high: tick.price,
            low: tick.price,
            close: tick.price,
            volume,
            quote,
            bought: volume * taken,
            bought_quote: quote * taken,
            trades: 1,
            first_id: tick.id,
            last_id: tick.id,
        }
    }

    /// The bar of a quiet bucket.
    pub(crate) fn flat(price: i64) -> Bar {
        Bar {
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            quote: 0,
            bought: 0,
            bought_quote: 0,
            trades: 0,
            first_id: 0,
            last_id: 0,
        }
    }

    /// The bar with one more trade.
    pub(crate) fn extended(bar: Option<Bar>, tick: &Tick) -> Bar {
        bar.map_or(Bar::of(tick), |bar| bar.then(&Bar::of(tick)))
    }

    fn then(self, later: &Bar) -> Bar {
        Bar {
            open: self.open,
            high: self.high.max(later.high),
            low: self.low.min(later.low),
            close: later.close,
            volume: self.volume + later.volume,
            quote: self.quote + later.quote,
            bought: self.bought + later.bought,
            bought_quote: self.bought_quote + later.bought_quote,
            trades: self.trades + later.trades,
            first_id: self.first_id,
            last_id: later.last_id,
        }
    }
}

fn joined(earlier: Option<Bar>, later: Option<Bar>) -> Option<Bar> {
    match (earlier, later) {
        (Some(earlier), Some(later)) => Some(earlier.then(&later)),
        (earlier, later) => earlier.or(later),
    }
}

fn bar_of<'a>(ticks: impl Iterator<Item = &'a Tick>) -> Option<Bar> {
    ticks.fold(None, |bar, tick| Some(Bar::extended(bar, tick)))
}

/// One bucket of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Unix seconds.
    pub(crate) open: i64,
    /// Start of the next bucket.
    pub(crate) next: i64,
    /// When it can no longer change.
    pub(crate) close: i64,
    /// Flat where `bar.trades` is 0.
    pub(crate) bar: Bar,
}

#[derive(Debug)]
enum Tape {
    Seeded(SeededTape),
    Replay(Arc<[Tick]>),
}

#[derive(Debug)]
struct State {
    tape: Tape,
    outages: Vec<(i64, i64)>,
    minutes: HashMap<i64, Arc<[Tick]>>,
    hours: HashMap<i64, Arc<[Option<Bar>]>>,
    totals: HashMap<(i64, i64), Option<Bar>>,
}

/// One market of one venue.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) listing: Listing,
    /// Digits after the point of every price in here.
    pub(crate) price_scale: u32,
    state: Mutex<State>,
}

impl Market {
    pub(crate) fn seeded(seed: u64, listing: Listing, start: i64, trades_per_minute: f64) -> Market {
        let tape = SeededTape::new(seed, &listing, start, trades_per_minute);
        Market::new(listing, Tape::Seeded(tape))
    }

    pub(crate) fn replayed(listing: Listing, replay: &Replay) -> Market {
        let decimals = listing.decimals.max(replay.decimals);
        let widen = 10i64.pow(decimals - replay.decimals);
        let ticks = replay.ticks.iter().map(|tick| Tick { price: tick.price.saturating_mul(widen), ..*tick }).collect();
        Market::new(Listing { decimals, ..listing }, Tape::Replay(ticks))
    }

    fn new(listing: Listing, tape: Tape) -> Market {
        let state =
            State { tape, outages: Vec::new(), minutes: HashMap::new(), hours: HashMap::new(), totals: HashMap::new() };
        Market { price_scale: listing.decimals, listing, state: Mutex::new(state) }
    }

    /// Digits after the point of quote sums.
    pub(crate) fn quote_scale(&self) -> u32 {
        self.price_scale + AMOUNT_DECIMALS
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves caches that are merely incomplete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From minute `from` to minute `to` nothing trades. Only minutes that nobody has seen may be given.
    pub(crate) fn add_outage(&self, from: i64, to: i64) {
        let mut state = self.state();
        match &mut state.tape {
            Tape::Seeded(tape) => tape.add_outage(from, to),
            Tape::Replay(ticks) => {
                let outside = |tick: &&Tick| !(from..to).contains(&(tick.time_ns / (MINUTE * SECOND_NS)));
                *ticks = ticks.iter().filter(outside).copied().collect();
            }
        }
        state.outages.push((from * MINUTE, to * MINUTE));
        state.minutes.retain(|minute, _| *minute < from);
        state.hours.retain(|hour, _| (*hour + HOUR) / MINUTE <= from);
        state.totals.retain(|(_, end), _| *end / MINUTE <= from);
    }

    /// True when the venue was away during the whole of `[from, to)` (Unix seconds).
    pub(crate) fn is_outage(&self, from: i64, to: i64) -> bool {
        self.state().outages.iter().any(|outage| outage.0 <= from && to <= outage.1)
    }

    /// The trades with `from_ns <= time < to_ns`.
    pub(crate) fn ticks(&self, from_ns: i64, to_ns: i64) -> Vec<Tick> {
        let mut found = Vec::new();
        let mut state = self.state();
        let minute_ns = MINUTE * SECOND_NS;
        let mut minute = from_ns.div_euclid(minute_ns);
        while minute * minute_ns < to_ns {
            let ticks = state.minute(minute);
            found.extend(ticks.iter().filter(|tick| from_ns <= tick.time_ns && tick.time_ns < to_ns));
            minute += 1;
        }
        found
    }

    /// How many trades there were before an instant: the position of the first one at or after it.
    pub(crate) fn count_before(&self, time_ns: i64) -> u64 {
        self.state().count_before(time_ns)
    }

    /// The trades from a position on, up to `limit`, that happened before `until_ns`.
    pub(crate) fn page(&self, position: u64, limit: usize, until_ns: i64) -> Vec<Tick> {
        self.state().page(position, limit, until_ns)
    }

    /// The trade at a position, if it happened before `until_ns`.
    pub(crate) fn tick_at(&self, position: u64, until_ns: i64) -> Option<Tick> {
        self.page(position, 1, until_ns).first().copied()
    }

    /// Position of the first trade whose id is `id` or more.
    pub(crate) fn position_of_id(&self, id: u64) -> u64 {
        match &self.state().tape {
            Tape::Seeded(_) => id.saturating_sub(1),
            Tape::Replay(ticks) => ticks.partition_point(|tick| tick.id < id) as u64,
        }
    }

    /// Position of the first trade of the taker order `order_id` or a later one; `None` past `until_ns`.
    pub(crate) fn position_of_order(&self, order_id: u64, until_ns: i64) -> Option<u64> {
        let mut state = self.state();
        if let Tape::Replay(ticks) = &state.tape {
            return Some(ticks.partition_point(|tick| tick.order_id < order_id) as u64);
        }
        let until = until_ns.div_euclid(MINUTE * SECOND_NS) + 1;
        let Tape::Seeded(tape) = &mut state.tape else { return None };
        let minute = tape.minute_of(order_id.saturating_sub(1), |counts| counts.orders, until)?;
        let ticks = state.minute(minute);
        ticks.iter().find(|tick| tick.order_id >= order_id).map(|tick| tick.id - 1)
    }

    /// Price of the last trade before an instant.
    pub(crate) fn price_before(&self, time_ns: i64) -> Option<i64> {
        let mut state = self.state();
        let position = state.count_before(time_ns).checked_sub(1)?;
        state.page(position, 1, time_ns).first().map(|tick| tick.price)
    }

    /// The instant of the very first trade, if it lies before `until_ns`.
    pub(crate) fn first_trade_ns(&self, until_ns: i64) -> Option<i64> {
        self.tick_at(0, until_ns).map(|tick| tick.time_ns)
    }

    /// The sum of the trades of `[from, to)` (Unix seconds) that happened before `until_ns`.
    pub(crate) fn bar(&self, from: i64, to: i64, until_ns: i64) -> Option<Bar> {
        self.state().bar(from, to, until_ns)
    }

    /// The bucket that starts at `open`, as far as it has come before `until_ns`; flat when nothing
    /// traded, `None` before the first trade or when the venue was away all the time.
    pub(crate) fn bucket(&self, frame: Frame, open: i64, until_ns: i64) -> Option<Bucket> {
        let (next, close) = (frame.next(open), frame.close(open));
        let bar = match self.bar(open, next, until_ns) {
            Some(bar) => bar,
            None if self.is_outage(open, next) => return None,
            None => Bar::flat(self.price_before((open * SECOND_NS).min(until_ns))?),
        };
        Some(Bucket { open, next, close, bar })
    }
}

impl State {
    fn minute(&mut self, minute: i64) -> Arc<[Tick]> {
        match &mut self.tape {
            Tape::Replay(ticks) => {
                let at = |minute: i64| ticks.partition_point(|tick| tick.time_ns < minute * MINUTE * SECOND_NS);
                ticks[at(minute)..at(minute + 1)].into()
            }
            Tape::Seeded(tape) => {
                if let Some(ticks) = self.minutes.get(&minute) {
                    return ticks.clone();
                }
                let ticks: Arc<[Tick]> = tape.make_minute(minute).into();
                if self.minutes.len() >= KEPT_MINUTES {
                    self.minutes.clear();
                }
                self.minutes.insert(minute, ticks.clone());
                ticks
            }
        }
    }

    fn count_before(&mut self, time_ns: i64) -> u64 {
        if let Tape::Replay(ticks) = &self.tape {
            return ticks.partition_point(|tick| tick.time_ns < time_ns) as u64;
        }
        let minute = time_ns.div_euclid(MINUTE * SECOND_NS);
        let inside = self.minute(minute).partition_point(|tick| tick.time_ns < time_ns) as u64;
        match &mut self.tape {
            Tape::Seeded(tape) => tape.before_minute(minute).trades + inside,
            Tape::Replay(_) => 0,
        }
    }

    fn page(&mut self, position: u64, limit: usize, until_ns: i64) -> Vec<Tick> {
        if let Tape::Replay(ticks) = &self.tape {
            let from = ticks.len().min(position as usize);
            return ticks[from..].iter().take(limit).take_while(|tick| tick.time_ns < until_ns).copied().collect();
        }
        let until = (until_ns - 1).div_euclid(MINUTE * SECOND_NS) + 1;
        let Tape::Seeded(tape) = &mut self.tape else { return Vec::new() };
        let Some(first) = tape.minute_of(position, |counts| counts.trades, until) else { return Vec::new() };
        let mut found = Vec::with_capacity(limit.min(1_000));
        for minute in first..until {
            let ticks = self.minute(minute);
            let wanted = ticks.iter().filter(|tick| tick.id > position && tick.time_ns < until_ns);
            found.extend(wanted.take(limit - found.len()).copied());
            if found.len() >= limit {
                break;
            }
        }
        found
    }

    fn bar(&mut self, from: i64, to: i64, until_ns: i64) -> Option<Bar> {
        // Whole seconds are finished up to here; what follows is summed trade by trade.
        let finished = to.min(until_ns.div_euclid(SECOND_NS));
        let (mut at, mut sum) = (from, None);
        while at < finished {
            let step = [DAY, HOUR, MINUTE]
                .into_iter()
                .find(|step| at.rem_euclid(*step) == 0 && at + step <= finished)
                .unwrap_or((MINUTE - at.rem_euclid(MINUTE)).min(finished - at));
            let part = match step {
                DAY | HOUR => self.total(at, step),
                MINUTE => self.minute_bar(at),
                _ => self.some_ticks(at * SECOND_NS, (at + step) * SECOND_NS),
            };
            sum = joined(sum, part);
            at += step;
        }
        let rest = self.some_ticks(at * SECOND_NS, until_ns.min(to * SECOND_NS));
        joined(sum, rest)
    }

    fn some_ticks(&mut self, from_ns: i64, to_ns: i64) -> Option<Bar> {
        if from_ns >= to_ns {
            return None;
        }
        let ticks = self.minute(from_ns.div_euclid(MINUTE * SECOND_NS));
        bar_of(ticks.iter().filter(|tick| from_ns <= tick.time_ns && tick.time_ns < to_ns))
    }

    fn minute_bar(&mut self, at: i64) -> Option<Bar> {
        let hour = at - at.rem_euclid(HOUR);
        self.hour(hour)[((at - hour) / MINUTE) as usize]
    }

    /// The minute bars of an hour, remembered.
    fn hour(&mut self, hour: i64) -> Arc<[Option<Bar>]> {
        if let Some(bars) = self.hours.get(&hour) {
            return bars.clone();
        }
        let bars: Arc<[Option<Bar>]> = (0..60).map(|n| bar_of(self.minute(hour / MINUTE + n).iter())).collect();
        if self.hours.len() >= KEPT_HOURS {
            self.hours.clear();
        }
        self.hours.insert(hour, bars.clone());
        bars
    }

    /// A whole hour or day, remembered.
    fn total(&mut self, at: i64, length: i64) -> Option<Bar> {
        let key = (at, at + length);
        if let Some(bar) = self.totals.get(&key) {
            return *bar;
        }
        let bar = if length == DAY {
            (0..24).fold(None, |sum, hour| joined(sum, self.total(at + hour * HOUR, HOUR)))
        } else {
            self.hour(at).iter().fold(None, |sum, bar| joined(sum, *bar))
        };
        if self.totals.len() >= KEPT_TOTALS {
            self.totals.clear();
        }
        self.totals.insert(key, bar);
        bar
    }
}
