//! One simulated market: its trades by time, id and position, and the bars they make.
//!
//! Trades come from a seeded tape or a replayed file and are the only source of truth; a bar is
//! nothing but the exact sum of its trades. Finished minutes and hours are kept, within bounds.
//! Knows no venue's formats and no fault but outages, in which nothing trades.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::archive::{Archive, Tape};
use super::bar::Bar;
use super::calendar::{Frame, MINUTE};
use super::decimal::AMOUNT_DECIMALS;
use super::listing::Listing;
use super::replay::Replay;
use super::tape::{SECOND_NS, SeededTape, Tick};

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

/// One market of one venue.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) listing: Listing,
    /// Digits after the point of every price in here.
    pub(crate) price_scale: u32,
    state: Mutex<Archive>,
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
        Market { price_scale: listing.decimals, listing, state: Mutex::new(Archive::new(tape)) }
    }

    /// Digits after the point of quote sums.
    pub(crate) fn quote_scale(&self) -> u32 {
        self.price_scale + AMOUNT_DECIMALS
    }

    fn state(&self) -> MutexGuard<'_, Archive> {
        // A panic while the lock was held leaves caches that are merely incomplete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From minute `from` to minute `to` nothing trades. Only minutes that nobody has seen may be given.
    pub(crate) fn add_outage(&self, from: i64, to: i64) {
        self.state().add_outage(from, to);
    }

    /// True when the venue was away during the whole of `[from, to)` (Unix seconds).
    pub(crate) fn is_outage(&self, from: i64, to: i64) -> bool {
        self.state().is_outage(from, to)
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

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::calendar::{DAY, HOUR};
    use super::super::listing::{Venue, listing_of};
    use super::*;

    const START: i64 = 1_795_132_800; // 2026-11-20T00:00:00Z

    fn market(venue: Venue, symbol: &str) -> Market {
        Market::seeded(3, listing_of(venue, &symbol.parse().unwrap()), START / MINUTE, 12.0)
    }

    fn all_day(market: &Market) -> Vec<Tick> {
        market.ticks(START * SECOND_NS, (START + DAY) * SECOND_NS)
    }

    #[test]
    fn ids_are_dense_times_rise_and_every_way_to_a_trade_finds_the_same_one() {
        for symbol in ["BTC/USDT", "DOGE/USD", "SOL/USD"] {
            let ticks = all_day(&market(Venue::KRAKEN, symbol));
            // Reached the other way round, from a market that has made nothing yet.
            let fresh = market(Venue::KRAKEN, symbol);
            let until = (START + DAY) * SECOND_NS;
            let last = fresh.tick_at(ticks.len() as u64 - 1, until);
            assert_eq!(last.as_ref(), ticks.last(), "{symbol}");
            assert!(ticks.len() > 20, "{symbol} has {} trades", ticks.len());
            assert_eq!(fresh.tick_at(ticks.len() as u64, until), None);
            assert_eq!(fresh.page(0, usize::MAX, until), ticks);
            for (position, pair) in ticks.windows(2).enumerate() {
                assert_eq!((pair[0].id, pair[1].id), (position as u64 + 1, position as u64 + 2));
                assert!(pair[0].time_ns < pair[1].time_ns);
                assert!(pair[1].order_id - pair[0].order_id <= 1);
                assert_eq!(fresh.count_before(pair[1].time_ns), position as u64 + 1);
            }
        }
    }

    #[test]
    fn bursts_share_a_microsecond_and_some_of_them_are_one_order() {
        let market = market(Venue::BINANCE, "BTC/USDT");
        let ticks = all_day(&market);
        let same = |a: &Tick, b: &Tick| a.time_ns / 1_000 == b.time_ns / 1_000;
        let bursts = ticks.windows(2).filter(|pair| same(&pair[0], &pair[1])).count();
        let merged: Vec<_> = ticks.windows(2).filter(|pair| pair[0].order_id == pair[1].order_id).collect();
        assert!(bursts > 100 && merged.len() > 50 && merged.len() < bursts, "{bursts} {}", merged.len());
        for pair in merged {
            assert!(same(&pair[0], &pair[1]) && pair[0].price == pair[1].price);
            let until = (START + DAY) * SECOND_NS;
            let first = ticks.iter().position(|tick| tick.order_id == pair[0].order_id).unwrap() as u64;
            assert_eq!(market.position_of_order(pair[0].order_id, until), Some(first));
        }
    }

    /// The bar of some trades, one by one, in another arithmetic.
    fn by_hand(market: &Market, ticks: &[Tick]) -> Option<(Decimal, Decimal, Decimal, Decimal, Decimal, Decimal, u64)> {
        let price = |tick: &Tick| Decimal::new(tick.price, market.price_scale);
        let amount = |tick: &Tick| Decimal::new(tick.amount, AMOUNT_DECIMALS);
        Some((
            price(ticks.first()?),
            ticks.iter().map(price).max()?,
            ticks.iter().map(price).min()?,
            price(ticks.last()?),
            ticks.iter().map(amount).sum(),
            ticks.iter().map(|tick| price(tick) * amount(tick)).sum(),
            ticks.len() as u64,
        ))
    }

    #[test]
    fn every_bar_is_the_exact_sum_of_its_trades() {
        let market = market(Venue::BINANCE, "ETH/USDT");
        let ticks = all_day(&market);
        let now_ns = (START + 20 * HOUR + 1_234) * SECOND_NS + 567_890_123;
        let mut checked = 0;
        for length in [1, 60, 180, 900, HOUR, 4 * HOUR, DAY] {
            let buckets = if length == 1 { 36_000..36_600 } else { 0..DAY / length };
            for index in buckets {
                let from = START + index * length;
                let inside = |tick: &&Tick| {
                    from * SECOND_NS <= tick.time_ns
                        && tick.time_ns < (from + length) * SECOND_NS
                        && tick.time_ns < now_ns
                };
                let expected: Vec<Tick> = ticks.iter().filter(inside).copied().collect();
                let price = |value: i64| Decimal::new(value, market.price_scale);
                let bar = market.bar(from, from + length, now_ns).map(|bar| {
                    let volume = Decimal::from_i128_with_scale(bar.volume, AMOUNT_DECIMALS);
                    let quote = Decimal::from_i128_with_scale(bar.quote, market.quote_scale());
                    (price(bar.open), price(bar.high), price(bar.low), price(bar.close), volume, quote, bar.trades)
                });
                assert_eq!(bar, by_hand(&market, &expected), "{length} s from {from}");
                checked += usize::from(bar.is_some());
            }
        }
        assert!(checked > 1_000, "{checked}");
    }

    #[test]
    fn equities_trade_in_new_york_sessions_only() {
        let market = market(Venue::YAHOO, "AAPL");
        let ticks = all_day(&market);
        let (first, last) = (ticks.first().unwrap().time_ns, ticks.last().unwrap().time_ns);
        let (opens, closes) = (START + 52_200, START + 75_600); // 14:30 and 21:00 UTC
        assert!(opens * SECOND_NS <= first && last < closes * SECOND_NS);
        assert!(first < (opens + 1_800) * SECOND_NS && last > (closes - 1_800) * SECOND_NS);
        let saturday = market.ticks((START + DAY) * SECOND_NS, (START + 2 * DAY) * SECOND_NS);
        assert_eq!(saturday, []);
    }

    #[test]
    fn in_an_outage_nothing_trades_and_ids_stay_dense() {
        let market = market(Venue::KRAKEN, "BTC/USD");
        let before = market.ticks(START * SECOND_NS, (START + HOUR) * SECOND_NS);
        let minute = START / MINUTE;
        market.add_outage(minute + 60, minute + 90);
        assert_eq!(market.ticks(START * SECOND_NS, (START + HOUR) * SECOND_NS), before);
        assert_eq!(market.ticks((START + HOUR) * SECOND_NS, (START + 90 * MINUTE) * SECOND_NS), []);
        let after = market.ticks((START + 90 * MINUTE) * SECOND_NS, (START + DAY) * SECOND_NS);
        assert_eq!(after[0].id, before.len() as u64 + 1);
        let frame = Frame::every(MINUTE);
        assert_eq!(market.bucket(frame, START + 70 * MINUTE, i64::MAX / 2), None);
        assert!(market.bucket(Frame::every(HOUR), START + HOUR, (START + 3 * HOUR) * SECOND_NS).is_some());
    }
}
