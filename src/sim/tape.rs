//! The seeded tape: the trades of one market as a function of (seed, venue, symbol, minute).
//!
//! Any minute is made on demand and is the same however it is reached. Ids are dense from the
//! market's first trade; to number a minute's trades without making all earlier ones, the counts of
//! blocks of minutes are summed once and kept.

use super::calendar::{Hours, MINUTE};
use super::decimal::AMOUNT_DECIMALS;
use super::dice::{Dice, key_of};
use super::listing::{Kind, Listing};

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = MINUTE * SECOND_NS;
/// Minutes whose counts are summed into one checkpoint.
const BLOCK: i64 = 64;

/// One trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) id: u64,
    /// Id of the taker order that Binance's aggTrades merge by.
    pub(crate) order_id: u64,
    /// Unix nanoseconds, strictly rising within a market.
    pub(crate) time_ns: i64,
    /// In units of the market's last price digit.
    pub(crate) price: i64,
    /// In units of 10^-8.
    pub(crate) amount: i64,
    pub(crate) taker_buys: bool,
    pub(crate) is_market_order: bool,
}

/// How many trades and taker orders there are up to some point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) trades: u64,
    pub(crate) orders: u64,
}

impl Counts {
    fn plus(self, other: Counts) -> Counts {
        Counts { trades: self.trades + other.trades, orders: self.orders + other.orders }
    }
}

/// What a minute holds, before its trades are made.
#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    trades: u64,
    /// Trades of the one burst in the minute (0: none), which share a microsecond.
    burst: u64,
    /// The burst is one taker order at one price.
    is_one_order: bool,
}

impl Plan {
    fn counts(self) -> Counts {
        let merged = if self.is_one_order { self.burst.saturating_sub(1) } else { 0 };
        Counts { trades: self.trades, orders: self.trades - merged }
    }
}

/// A seeded market.
#[derive(Debug)]
pub(crate) struct SeededTape {
    key: u64,
    start: i64,
    hours: Hours,
    kind: Kind,
    level: f64,
    unit: f64,
    mean: f64,
    /// Minutes in which the whole venue was away: `[from, to)`.
    outages: Vec<(i64, i64)>,
    /// `checkpoints[n]`: counts before minute `start + n * BLOCK`.
    checkpoints: Vec<Counts>,
}

impl SeededTape {
    /// A market that has traded since minute `start` (Unix minutes).
    pub(crate) fn new(seed: u64, listing: &Listing, start: i64, trades_per_minute: f64) -> SeededTape {
        SeededTape {
            key: key_of(seed, &format!("{}:{}", listing.venue, listing.symbol)),
            start,
            hours: listing.hours(),
            kind: listing.kind,
            level: listing.level,
            unit: 10f64.powi(listing.decimals as i32),
            mean: trades_per_minute * listing.activity,
            outages: Vec::new(),
            checkpoints: vec![Counts::default()],
        }
    }

    /// Takes the venue away from minute `from` on; what lies before stays as it was.
    pub(crate) fn add_outage(&mut self, from: i64, to: i64) {
        self.outages.push((from, to));
        let kept = (from - self.start).max(0) / BLOCK;
        self.checkpoints.truncate(kept as usize + 1);
    }

    fn plan(&self, minute: i64) -> Plan {
        if minute < self.start
            || self.outages.iter().any(|&(from, to)| from <= minute && minute < to)
            || !self.hours.is_open_at(minute * MINUTE)
        {
            return Plan::default();
        }
        let mut dice = Dice::new(self.key, minute);
        let quiet = if self.mean >= 1.0 { 0.07 } else { 1.0 - self.mean };
        if dice.unit() < quiet {
            return Plan::default();
        }
        let trades = 1 + ((self.mean - 1.0).max(0.0) * dice.exponential()) as u64;
        let burst = if trades >= 2 && dice.below(4) == 0 { (2 + dice.below(3)).min(trades) } else { 0 };
        Plan { trades, burst, is_one_order: burst > 0 && dice.below(2) == 0 }
    }

    /// Counts of everything before a minute.
    pub(crate) fn before_minute(&mut self, minute: i64) -> Counts {
        if minute <= self.start {
            return Counts::default();
        }
        let block = (minute - self.start) / BLOCK;
        self.extend_to(block);
        let first = self.start + block * BLOCK;
        (first..minute).fold(self.checkpoints[block as usize], |sum, minute| sum.plus(self.plan(minute).counts()))
    }

    fn extend_to(&mut self, block: i64) {
        while (self.checkpoints.len() as i64) <= block {
            let last = self.checkpoints.len() as i64 - 1;
            let first = self.start + last * BLOCK;
            let sum = self.checkpoints[last as usize];
            let sum = (first..first + BLOCK).fold(sum, |sum, minute| sum.plus(self.plan(minute).counts()));
            self.checkpoints.push(sum);
        }
    }

    /// The minute that holds the trade (or taker order) at a position counted from 0; `None` when it
    /// is not before minute `until`.
    pub(crate) fn minute_of(&mut self, index: u64, of: fn(Counts) -> u64, until: i64) -> Option<i64> {
        let blocks = (until - self.start).max(0) / BLOCK + 1;
        while of(*self.checkpoints.last()?) <= index && (self.checkpoints.len() as i64) <= blocks {
            self.extend_to(self.checkpoints.len() as i64);
        }
        let block = self.checkpoints.partition_point(|sum| of(*sum) <= index).checked_sub(1)?;
        let mut sum = self.checkpoints[block];
        let first = self.start + block as i64 * BLOCK;
        for minute in first..(first + BLOCK).min(until) {
            sum = sum.plus(self.plan(minute).counts());
            if of(sum) > index {
                return Some(minute);
            }
        }
        None
    }

    /// The price level at the start of a minute: noise in octaves from minutes to weeks.
    fn log_level(&self, minute: i64) -> f64 {
        const OCTAVES: [(i64, f64); 6] =
            [(3, 0.0006), (17, 0.0015), (71, 0.003), (480, 0.008), (2_880, 0.02), (20_160, 0.05)];
        let mut sum = self.level.ln();
        for (period, height) in OCTAVES {
            let (cell, inside) = (minute.div_euclid(period), minute.rem_euclid(period));
            let at = |cell| Dice::new(self.key ^ period as u64, cell).unit() - 0.5;
            let t = inside as f64 / period as f64;
            let smooth = t * t * (3.0 - 2.0 * t);
            sum += 2.0 * height * (at(cell) * (1.0 - smooth) + at(cell + 1) * smooth);
        }
        sum
    }

    /// All trades of a minute, in order.
    pub(crate) fn make_minute(&mut self, minute: i64) -> Vec<Tick> {
        let plan = self.plan(minute);
        if plan.trades == 0 {
            return Vec::new();
        }
        let before = self.before_minute(minute);
        let mut dice = Dice::new(self.key ^ 0x7121_c3a5, minute);
        let mut offsets: Vec<i64> = (0..plan.trades).map(|_| dice.below(MINUTE_NS as u64) as i64).collect();
        // Now and then a trade falls on the first or the last instant of a minute: where off-by-one mistakes live.
        if dice.below(24) == 0 {
            offsets[0] = 0;
        }
        if dice.below(24) == 0 {
            let last = offsets.len() - 1;
            offsets[last] = MINUTE_NS - 1_000;
        }
        offsets.sort_unstable();
        let burst_at = dice.below(plan.trades - plan.burst + 1) as usize;
        let burst = burst_at..burst_at + plan.burst as usize;
        if !burst.is_empty() {
            // One microsecond, told apart by nanoseconds, and early enough to end within the minute.
            let first = offsets[burst.start] - offsets[burst.start] % 1_000;
            for (n, offset) in offsets[burst.clone()].iter_mut().enumerate() {
                *offset = first + n as i64;
            }
        }
        let (low, high) = (self.log_level(minute), self.log_level(minute + 1));
        let mut ticks: Vec<Tick> = Vec::with_capacity(offsets.len());
        let mut last_offset = -1;
        let mut orders = before.orders;
        for (n, offset) in offsets.into_iter().enumerate() {
            let offset = offset.max(last_offset + 1).min(MINUTE_NS - 1);
            last_offset = offset;
            let continues = plan.is_one_order && burst.contains(&n) && n > burst.start;
            let in_burst = burst.contains(&n) && n > burst.start;
            let mut taker_buys = dice.below(2) == 0;
            let spread = if taker_buys { 0.5 } else { -0.5 };
            let level = (low + (high - low) * offset as f64 / MINUTE_NS as f64).exp() * self.unit;
            let jitter = (dice.unit() - 0.5) * level * 0.0004;
            let mut price = ((level + jitter + spread).round() as i64).max(1);
            if in_burst {
                let previous = ticks[n - 1];
                taker_buys = previous.taker_buys;
                let step = if continues { 0 } else { 1 };
                price = (previous.price + if taker_buys { step } else { -step }).max(1);
            }
            orders += u64::from(!continues);
            ticks.push(Tick {
                id: before.trades + n as u64 + 1,
                order_id: orders,
                time_ns: minute * MINUTE_NS + offset,
                price,
                amount: self.amount(&mut dice),
                taker_buys,
                is_market_order: dice.below(2) == 0,
            });
        }
        ticks
    }

    fn amount(&self, dice: &mut Dice) -> i64 {
        let one = 10f64.powi(AMOUNT_DECIMALS as i32);
        match self.kind {
            // Whole shares.
            Kind::Equity | Kind::Index => (1 + dice.below(900) as i64) * one as i64,
            Kind::Currency => 0,
            Kind::Crypto => {
                let notional = 900.0 * dice.exponential() * dice.exponential();
                ((notional / self.level * one) as i64).max(1)
            }
        }
    }
}
