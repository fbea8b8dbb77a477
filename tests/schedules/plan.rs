//! What a seed makes of a schedule, drawn before it begins.

use std::sync::Arc;
use std::time::Duration;

use candlewick::sim::Fault;
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::crash::{Course, Crash};
use super::faults;
use super::life::Life;
use super::markets::{Change, MARKETS, Market, changes};
use super::store::Spell;

/// So many markets in each schedule from its beginning, and so many that are added later.
const MARKETS_AT_ONCE: usize = 7;
const MARKETS_LATER: usize = 2;

/// A schedule.
pub struct Plan {
    pub seed: u64,
    pub dice: StdRng,
    pub epoch: DateTime<Utc>,
    /// When everything that goes wrong is over.
    pub end: DateTime<Utc>,
    pub trades_per_minute: f64,
    pub faults: Vec<Fault>,
    pub spells: Arc<[Spell]>,
    pub markets: Vec<Market>,
    pub wanted_from: DateTime<Utc>,
    pub changes: Vec<Change>,
}

impl Plan {
    pub fn of(seed: u64, hours: u64) -> Plan {
        let mut dice = StdRng::seed_from_u64(seed);
        let epoch = epoch(&mut dice, hours);
        let end = epoch + TimeDelta::hours(hours as i64);
        let lasting = Duration::from_secs(hours * 3600);
        let chosen: Vec<Market> = MARKETS.sample(&mut dice, MARKETS_AT_ONCE + MARKETS_LATER).copied().collect();
        let (markets, later) = chosen.split_at(MARKETS_AT_ONCE);
        let faults = faults::random(&mut dice, lasting, &chosen);
        let spells = Spell::random(&mut dice, epoch, end).into();
        let trades_per_minute = dice.random_range(0.3..4.0);
        let wanted_from = epoch - TimeDelta::hours(dice.random_range(1..30));
        let changes = changes(&mut dice, markets, later, (epoch, end));
        let markets = markets.to_vec();
        Plan { seed, dice, epoch, end, trades_per_minute, faults, spells, markets, wanted_from, changes }
    }

    /// One in which nothing goes wrong, at some exchanges of different kinds.
    pub fn calm(seed: u64, length: TimeDelta) -> Plan {
        let epoch: DateTime<Utc> = "2026-11-20T14:58:40Z".parse().expect("a time");
        let names = [("kraken", "BTC/USD"), ("binance", "SOL/USDT"), ("coinbase", "ETH/USD"), ("yahoo", "BTC/USD")];
        let is_chosen = |market: &&Market| names.contains(&(market.exchange, market.symbol));
        Plan {
            seed,
            dice: StdRng::seed_from_u64(seed),
            epoch,
            end: epoch + length,
            trades_per_minute: 6.0,
            faults: Vec::new(),
            spells: Arc::default(),
            markets: MARKETS.iter().filter(is_chosen).copied().collect(),
            wanted_from: epoch - TimeDelta::hours(2),
            changes: Vec::new(),
        }
    }

    /// The next life, and how long nothing runs after it.
    pub fn next_life(&mut self, now: DateTime<Utc>, course: &Arc<Course>) -> (Life, Option<Duration>) {
        let dice = &mut self.dice;
        let minutes = |dice: &mut StdRng, most: i64| TimeDelta::minutes(dice.random_range(1..most));
        let end = if dice.random_bool(0.3) { self.end.min(now + minutes(dice, 120)) } else { self.end };
        let frozen = dice.random_bool(0.2).then(|| {
            let how_long = Duration::from_secs(dice.random_range(1..2400));
            (now + minutes(dice, 60), how_long)
        });
        let life = Life {
            crash: Crash::somewhere(dice, course),
            end,
            is_orderly: dice.random_bool(0.5),
            clock_ahead: clock_ahead(dice),
            frozen,
        };
        let pause = dice.random_bool(0.5).then(|| Duration::from_secs(dice.random_range(1..2400)));
        (life, pause)
    }
}

/// Most schedules lie in a plain week; some have the end of a week, a month or of three days inside.
fn epoch(dice: &mut StdRng, hours: u64) -> DateTime<Utc> {
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
    if dice.random_bool(0.7) {
        return at("2026-11-16T00:00:00Z") + TimeDelta::seconds(dice.random_range(0..5 * 86_400));
    }
    let borders = ["2026-11-23T00:00:00Z", "2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z"];
    let before = TimeDelta::seconds(dice.random_range(0..hours as i64 * 3600));
    at(borders.choose(dice).expect("not empty")) - before
}

/// What a host without time service, or one that has just been corrected, believes.
fn clock_ahead(dice: &mut StdRng) -> TimeDelta {
    let by = match dice.random_range(0..10) {
        0..=5 => 0,
        6..=7 => dice.random_range(1..120),
        _ => dice.random_range(120..4 * 3600),
    };
    TimeDelta::seconds(if dice.random_bool(0.5) { by } else { -by })
}
