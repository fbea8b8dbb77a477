//! Faults as data, and the board that decides which of them strikes now.
//!
//! Chance is drawn from the seed, the fault's place in the script and how often it was asked, so
//! the same requests meet the same faults. Reading scripts is `fault_script`'s work; doing the
//! damage is the venues' and the sockets'.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::market::Symbol;

use super::dice::{Dice, key_of};
use super::listing::Venue;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// All open sockets are closed without a close frame; again every `every` while the fault lasts.
    Drop {
        /// Period of repetition; `None` for once.
        every: Option<Duration>,
    },
    /// New HTTP and socket connections are refused.
    Refuse,
    /// Sockets stay subscribed but carry no data frames (acks and keep-alive go on).
    Stall,
    /// Sockets stay open but nothing is sent or read any more; HTTP requests are never answered.
    HalfOpen,
    /// HTTP 429.
    Http429 {
        /// `Retry-After`, where the reply carries one.
        retry_after: Option<Duration>,
    },
    /// HTTP 418.
    Http418 {
        /// `Retry-After`, where the reply carries one.
        retry_after: Option<Duration>,
    },
    /// A server error.
    Http5xx {
        /// 500 to 599.
        status: u16,
    },
    /// An HTML page with status 200 instead of JSON.
    Html,
    /// Bodies end half way, with the connection; socket frames are cut in half.
    Truncate,
    /// A frame of rubbish before a data frame; a rubbish body in REST.
    Rubbish,
    /// A data frame is sent twice.
    Duplicate,
    /// A data frame is sent after the one that follows it.
    OutOfOrder,
    /// A closed bar lacks part of its volume until this long after its close.
    LateRevision {
        /// How long the first value stands.
        lasting: Duration,
    },
    /// The REST row of a closed bar is missing until this long after its close.
    LateBar {
        /// How late the row is.
        delay: Duration,
    },
    /// Pages hold fewer rows than asked for.
    PageCap {
        /// Most rows in a page.
        rows: usize,
    },
    /// The lower bound of a request is ignored.
    IgnoreSince,
    /// Pages are empty.
    EmptyPage,
    /// The symbol is unknown to the venue.
    Delist,
    /// The venue's whole notion of time is off.
    ClockSkew {
        /// Milliseconds ahead of the simulation; negative: behind.
        by_ms: i64,
    },
    /// A socket is closed when it has lived this long.
    Lifetime {
        /// Age at which it ends.
        lifetime: Duration,
    },
    /// Replies are late.
    Slow {
        /// By how much, in simulated time.
        delay: Duration,
    },
    /// The venue is away: nothing trades, and the buckets inside have no rows at all, nor a truth.
    MissingRows,
    /// Maintenance: REST answers 503, sockets carry no data; Kraken announces it by status frames.
    Maintenance,
}

impl FaultKind {
    /// The name in scripts and statistics.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Drop { .. } => "drop",
            FaultKind::Refuse => "refuse",
            FaultKind::Stall => "stall",
            FaultKind::HalfOpen => "half_open",
            FaultKind::Http429 { .. } => "http_429",
            FaultKind::Http418 { .. } => "http_418",
            FaultKind::Http5xx { .. } => "http_5xx",
            FaultKind::Html => "html",
            FaultKind::Truncate => "truncate",
            FaultKind::Rubbish => "rubbish",
            FaultKind::Duplicate => "duplicate",
            FaultKind::OutOfOrder => "out_of_order",
            FaultKind::LateRevision { .. } => "late_revision",
            FaultKind::LateBar { .. } => "late_bar",
            FaultKind::PageCap { .. } => "page_cap",
            FaultKind::IgnoreSince => "ignore_since",
            FaultKind::EmptyPage => "empty_page",
            FaultKind::Delist => "delist",
            FaultKind::ClockSkew { .. } => "clock_skew",
            FaultKind::Lifetime { .. } => "lifetime",
            FaultKind::Slow { .. } => "slow",
            FaultKind::MissingRows => "missing_rows",
            FaultKind::Maintenance => "maintenance",
        }
    }
}

/// One scripted fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The venue; `None` for all.
    pub exchange: Option<Venue>,
    /// The market; `None` for all, and for what concerns no market.
    pub symbol: Option<Symbol>,
    /// When it begins, from the start of the simulation (from now, when injected).
    pub after: Duration,
    /// How long it lasts; `None` for ever.
    pub lasting: Option<Duration>,
    /// Chance that it strikes when it could, 0 to 1.
    pub probability: f64,
    /// How often it strikes at most.
    pub count: Option<u64>,
    /// What goes wrong.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault that strikes everywhere, always, from the start.
    pub fn new(kind: FaultKind) -> Fault {
        Fault {
            exchange: None,
            symbol: None,
            after: Duration::ZERO,
            lasting: None,
            probability: 1.0,
            count: None,
            kind,
        }
    }

    /// Only at one venue.
    pub fn on(self, venue: Venue) -> Fault {
        Fault { exchange: Some(venue), ..self }
    }

    /// Only for one market.
    pub fn symbol(self, symbol: Symbol) -> Fault {
        Fault { symbol: Some(symbol), ..self }
    }

    /// Only in a window.
    pub fn between(self, after: Duration, lasting: Duration) -> Fault {
        Fault { after, lasting: Some(lasting), ..self }
    }

    /// Only so often.
    pub fn times(self, count: u64) -> Fault {
        Fault { count: Some(count), ..self }
    }

    /// Only sometimes.
    pub fn probability(self, probability: f64) -> Fault {
        Fault { probability, ..self }
    }
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// The window in Unix nanoseconds of the simulation's clock.
    from_ns: i64,
    to_ns: i64,
    key: u64,
    asked: AtomicU64,
    fired: AtomicU64,
}

impl Armed {
    fn concerns(&self, venue: Venue, symbol: Option<&Symbol>, now_ns: i64) -> bool {
        self.from_ns <= now_ns
            && now_ns < self.to_ns
            && self.fault.exchange.is_none_or(|only| only == venue)
            && self.fault.symbol.as_ref().is_none_or(|only| Some(only) == symbol)
    }

    /// Throws the dice once and counts a hit.
    fn strikes(&self) -> bool {
        if self.fault.count.is_some_and(|count| self.fired.load(Ordering::Relaxed) >= count) {
            return false;
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let hit = self.fault.probability >= 1.0 || Dice::new(self.key, asked as i64).unit() < self.fault.probability;
        if hit {
            self.fired.fetch_add(1, Ordering::Relaxed);
        }
        hit
    }

    /// Throws the dice for a thing rather than for an occasion: the same thing always fares alike.
    fn strikes_thing(&self, thing: i64) -> bool {
        self.fault.probability >= 1.0 || Dice::new(self.key, thing).unit() < self.fault.probability
    }

    /// Instants at which something begins, repeats or ends, after `now_ns`.
    fn next_edge(&self, now_ns: i64) -> Option<i64> {
        let repeat = match self.fault.kind {
            FaultKind::Drop { every: Some(every) } => {
                let period = duration_ns(every).max(1);
                let passed = (now_ns - self.from_ns).div_euclid(period) + 1;
                Some(self.from_ns.saturating_add(passed.saturating_mul(period))).filter(|at| *at < self.to_ns)
            }
            _ => None,
        };
        [Some(self.from_ns), repeat, Some(self.to_ns)].into_iter().flatten().filter(|at| *at > now_ns).min()
    }
}

/// All faults of a simulation.
#[derive(Debug, Default)]
pub(crate) struct FaultBoard {
    seed: u64,
    armed: RwLock<Vec<Arc<Armed>>>,
}

impl FaultBoard {
    pub(crate) fn new(seed: u64) -> FaultBoard {
        FaultBoard { seed, armed: RwLock::default() }
    }

    /// Adds a fault whose times count from `start_ns`; returns its window.
    pub(crate) fn arm(&self, fault: Fault, start_ns: i64) -> (i64, i64) {
        let mut armed = self.armed.write().unwrap_or_else(PoisonError::into_inner);
        let from_ns = start_ns.saturating_add(duration_ns(fault.after));
        let to_ns = fault.lasting.map_or(i64::MAX, |lasting| from_ns.saturating_add(duration_ns(lasting)));
        let key = key_of(self.seed ^ armed.len() as u64, fault.kind.name());
        armed.push(Arc::new(Armed { fault, from_ns, to_ns, key, asked: AtomicU64::new(0), fired: AtomicU64::new(0) }));
        (from_ns, to_ns)
    }

    fn find<T>(&self, mut visit: impl FnMut(&Armed) -> Option<T>) -> Option<T> {
        let armed = self.armed.read().unwrap_or_else(PoisonError::into_inner);
        armed.iter().find_map(|armed| visit(armed))
    }

    /// The first fault that is active, fits, is picked, and whose dice fall so. Counts it.
    pub(crate) fn strike<T>(
        &self,
        venue: Venue,
        symbol: Option<&Symbol>,
        now_ns: i64,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        self.find(|armed| {
            let picked = armed.concerns(venue, symbol, now_ns).then(|| pick(&armed.fault.kind)).flatten()?;
            armed.strikes().then_some(picked)
        })
    }

    /// Like `strike`, but a thing (a bar, a socket) that is asked about again gets the same answer,
    /// and only the first answer is counted by the caller's choice of `thing`.
    pub(crate) fn strike_thing<T>(
        &self,
        venue: Venue,
        symbol: Option<&Symbol>,
        now_ns: i64,
        thing: i64,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        self.find(|armed| {
            let picked = armed.concerns(venue, symbol, now_ns).then(|| pick(&armed.fault.kind)).flatten()?;
            let hit = armed.strikes_thing(thing);
            if hit {
                armed.fired.fetch_add(1, Ordering::Relaxed);
            }
            hit.then_some(picked)
        })
    }

    /// Whether a state (delisting, maintenance) holds now. Not counted.
    pub(crate) fn holds<T>(
        &self,
        venue: Venue,
        symbol: Option<&Symbol>,
        now_ns: i64,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        self.find(|armed| armed.concerns(venue, symbol, now_ns).then(|| pick(&armed.fault.kind)).flatten())
    }

    /// When a market was or will be delisted without end.
    pub(crate) fn gone_from(&self, venue: Venue, symbol: &Symbol) -> Option<i64> {
        self.find(|armed| {
            let for_good = armed.fault.kind == FaultKind::Delist && armed.to_ns == i64::MAX;
            (for_good && armed.concerns(venue, Some(symbol), armed.from_ns)).then_some(armed.from_ns)
        })
    }

    /// The next instant at which a fault of the venue begins, repeats or ends.
    pub(crate) fn next_edge(&self, venue: Venue, now_ns: i64) -> Option<i64> {
        let armed = self.armed.read().unwrap_or_else(PoisonError::into_inner);
        let ours = armed.iter().filter(|armed| armed.fault.exchange.is_none_or(|only| only == venue));
        ours.filter_map(|armed| armed.next_edge(now_ns)).min()
    }

    /// True when a drop falls into `(after_ns, now_ns]`.
    pub(crate) fn dropped_between(&self, venue: Venue, after_ns: i64, now_ns: i64) -> bool {
        self.find(|armed| {
            let FaultKind::Drop { .. } = armed.fault.kind else { return None };
            let ours = armed.fault.exchange.is_none_or(|only| only == venue);
            let starts = after_ns < armed.from_ns && armed.from_ns <= now_ns;
            // The end of a drop's window is no drop.
            let repeats =
                armed.next_edge(after_ns).is_some_and(|at| at <= now_ns && at > armed.from_ns && at < armed.to_ns);
            (ours && (starts || repeats) && armed.strikes()).then_some(())
        })
        .is_some()
    }

    /// How often each kind struck.
    pub(crate) fn fired(&self) -> BTreeMap<&'static str, u64> {
        let armed = self.armed.read().unwrap_or_else(PoisonError::into_inner);
        let mut fired = BTreeMap::new();
        for armed in armed.iter() {
            *fired.entry(armed.fault.kind.name()).or_insert(0) += armed.fired.load(Ordering::Relaxed);
        }
        fired
    }
}

pub(crate) fn duration_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_in_its_window_and_no_more_often_than_counted() {
        let board = FaultBoard::new(7);
        let window = (Duration::from_secs(10), Duration::from_secs(5));
        board.arm(Fault::new(FaultKind::Html).on(Venue::KRAKEN).between(window.0, window.1).times(2), 0);
        let second = 1_000_000_000;
        let html =
            |venue, now| board.strike(venue, None, now, |kind| (*kind == FaultKind::Html).then_some(())).is_some();
        assert_eq!(board.next_edge(Venue::KRAKEN, 0), Some(10 * second));
        let hits =
            [(Venue::KRAKEN, 9), (Venue::BINANCE, 11), (Venue::KRAKEN, 11), (Venue::KRAKEN, 12), (Venue::KRAKEN, 13)]
                .map(|(venue, now)| html(venue, now * second));
        assert_eq!(hits, [false, false, true, true, false]);
        assert_eq!(board.fired(), BTreeMap::from([("html", 2)]));
    }

    #[test]
    fn the_same_seed_throws_the_same_dice() {
        let throws = |seed| {
            let board = FaultBoard::new(seed);
            board.arm(Fault::new(FaultKind::Rubbish).probability(0.5), 0);
            (0..64).map(|_| board.strike(Venue::YAHOO, None, 1, |_| Some(())).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
        let hits = throws(1).into_iter().filter(|hit| *hit).count();
        assert!((16..48).contains(&hits), "{hits}");
    }

    #[test]
    fn a_repeated_drop_falls_once_in_each_period() {
        let board = FaultBoard::new(1);
        let every = Some(Duration::from_secs(10));
        let fault = Fault::new(FaultKind::Drop { every }).between(Duration::from_secs(5), Duration::from_secs(25));
        board.arm(fault, 0);
        let drops: Vec<i64> = (0..40)
            .filter(|now| board.dropped_between(Venue::KRAKEN, (now - 1) * 1_000_000_000, now * 1_000_000_000))
            .collect();
        assert_eq!(drops, [5, 15, 25]);
    }
}
