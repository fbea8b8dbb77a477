//! What all venues share: the clock, the markets, the faults, the counters.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::clock::Clock;

use super::calendar::{Frame, MINUTE};
use super::dice::mix;
use super::fault::{Fault, FaultBoard, FaultKind, duration_ns};
use super::limits::Limits;
use super::listing::{Venue, listing_of};
use super::market::{Bucket, Market};
use super::stats::Counters;
use super::tape::SECOND_NS;
use super::{SimConfig, default_symbols};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) epoch: DateTime<Utc>,
    pub(crate) venues: Vec<Venue>,
    pub(crate) enforce_limits: bool,
    markets: BTreeMap<Venue, Vec<Arc<Market>>>,
    /// Every name a market goes by at its venue.
    names: HashMap<(Venue, String), usize>,
    pub(crate) faults: FaultBoard,
    pub(crate) counters: Counters,
    limits: Mutex<Limits>,
    /// Changes when a fault is injected: sockets must think again about when to wake.
    pub(crate) changed: watch::Sender<u64>,
}

impl World {
    pub(crate) fn new(config: SimConfig, clock: Clock) -> World {
        let epoch = clock.now();
        let mut venues = config.exchanges;
        venues.sort_unstable();
        venues.dedup();
        let start_minute = (epoch.timestamp().div_euclid(86_400) - i64::from(config.history_days)) * 1_440;
        let mut markets = BTreeMap::new();
        let mut names = HashMap::new();
        for &venue in &venues {
            let mut symbols = match config.symbols.get(&venue) {
                Some(symbols) => symbols.clone(),
                None => default_symbols(venue, config.symbols_per_exchange),
            };
            if let Some(replay) = &config.replay
                && venue.half().replays()
                && !symbols.contains(&replay.symbol)
            {
                symbols.push(replay.symbol.clone());
            }
            let list = markets.entry(venue).or_insert_with(Vec::new);
            for symbol in symbols {
                let listing = listing_of(venue, &symbol);
                for name in [&listing.id, &listing.altname, &listing.wsname, &symbol.as_str().to_owned()] {
                    names.entry((venue, name.clone())).or_insert(list.len());
                }
                let market = match &config.replay {
                    Some(replay) if replay.symbol == symbol => Market::replayed(listing, replay),
                    _ => Market::seeded(config.seed, listing, start_minute, config.trades_per_minute),
                };
                list.push(Arc::new(market));
            }
        }
        let world = World {
            epoch,
            clock,
            venues,
            enforce_limits: config.enforce_limits,
            markets,
            names,
            faults: FaultBoard::new(config.seed),
            counters: Counters::default(),
            limits: Mutex::default(),
            changed: watch::Sender::new(0),
        };
        for fault in config.faults {
            world.arm(fault, epoch.timestamp_nanos_opt().unwrap_or(0), 0);
        }
        world
    }

    /// Adds a fault whose times count from `start_ns`. What has been shown cannot be unsaid: an
    /// outage begins `shown_minutes` after the running minute at the earliest.
    pub(crate) fn arm(&self, fault: Fault, start_ns: i64, shown_minutes: i64) {
        let is_outage = fault.kind == FaultKind::MissingRows;
        let (exchange, symbol) = (fault.exchange, fault.symbol.clone());
        let (from_ns, to_ns) = self.faults.arm(fault, start_ns);
        if is_outage {
            for (venue, market) in self.markets.iter().flat_map(|(venue, list)| list.iter().map(move |m| (*venue, m))) {
                let concerned = exchange.is_none_or(|only| only == venue)
                    && symbol.as_ref().is_none_or(|only| *only == market.listing.symbol);
                if concerned {
                    let minute_ns = MINUTE * SECOND_NS;
                    let unseen = self.now_ns(venue).div_euclid(minute_ns) + shown_minutes;
                    market.add_outage((from_ns.div_euclid(minute_ns)).max(unseen), to_ns.div_euclid(minute_ns));
                }
            }
        }
    }

    /// The clock, which shows microseconds, at the end of the shown one: trades of one microsecond
    /// are told apart by nanoseconds and are seen together.
    pub(crate) fn clock_ns(&self) -> i64 {
        self.clock.now().timestamp_micros() * 1_000 + 999
    }

    /// How far a venue's idea of the time is ahead of the clock.
    pub(crate) fn skew_ns(&self, venue: Venue, clock_ns: i64) -> i64 {
        let skew = self.faults.holds(venue, None, clock_ns, |kind| match kind {
            FaultKind::ClockSkew { by_ms } => Some(*by_ms),
            _ => None,
        });
        skew.unwrap_or(0).saturating_mul(1_000_000)
    }

    /// The time as a venue sees it.
    pub(crate) fn now_ns(&self, venue: Venue) -> i64 {
        let clock_ns = self.clock_ns();
        clock_ns.saturating_add(self.skew_ns(venue, clock_ns))
    }

    pub(crate) fn limits(&self) -> MutexGuard<'_, Limits> {
        // Counters stay usable whatever happened while the lock was held.
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The markets a venue lists now.
    pub(crate) fn listed(&self, venue: Venue) -> impl Iterator<Item = &Arc<Market>> {
        let markets = self.markets.get(&venue).map_or(&[][..], Vec::as_slice);
        markets.iter().filter(|market| self.is_listed(market))
    }

    /// The venue's time at which a market is delisted for good: nobody trades there from then on.
    pub(crate) fn gone_from_ns(&self, market: &Market) -> Option<i64> {
        let venue = market.listing.venue;
        let at = self.faults.gone_from(venue, &market.listing.symbol)?;
        Some(at.saturating_add(self.skew_ns(venue, at)))
    }

    /// False once a fault has delisted the market.
    pub(crate) fn is_listed(&self, market: &Market) -> bool {
        self.was_listed(market, 0)
    }

    /// Whether a market was listed so long ago.
    pub(crate) fn was_listed(&self, market: &Market, ago_ns: i64) -> bool {
        let pick = |kind: &FaultKind| (*kind == FaultKind::Delist).then_some(());
        let (venue, symbol) = (market.listing.venue, &market.listing.symbol);
        self.faults.holds(venue, Some(symbol), self.clock_ns().saturating_sub(ago_ns), pick).is_none()
    }

    /// A market by any of its names, delisted or not.
    pub(crate) fn any_market(&self, venue: Venue, name: &str) -> Option<&Arc<Market>> {
        self.markets.get(&venue)?.get(*self.names.get(&(venue, name.to_owned()))?)
    }

    /// A market by any of its names, while it is listed.
    pub(crate) fn market(&self, venue: Venue, name: &str) -> Option<&Arc<Market>> {
        self.any_market(venue, name).filter(|market| self.is_listed(market))
    }

    /// Throws the dice of a fault that concerns one request or frame of a market.
    pub(crate) fn strike<T>(&self, market: &Market, pick: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        let listing = &market.listing;
        self.faults.strike(listing.venue, Some(&listing.symbol), self.clock_ns(), pick)
    }

    /// Whether a fault without parameters strikes a request of a market.
    pub(crate) fn strikes(&self, market: &Market, wanted: FaultKind) -> bool {
        self.strike(market, |kind| (*kind == wanted).then_some(())).is_some()
    }

    /// The rows a fault cuts a page of a market to, where one does.
    pub(crate) fn page_cap(&self, market: &Market) -> Option<usize> {
        self.strike(market, |kind| match kind {
            FaultKind::PageCap { rows } => Some(*rows),
            _ => None,
        })
    }

    /// A bucket as the venue shows it now: late bars are still absent, revised ones still wrong.
    pub(crate) fn shown(&self, market: &Market, mut bucket: Bucket, is_row: bool) -> Option<Bucket> {
        let listing = &market.listing;
        let clock_ns = self.clock_ns();
        let age_ns = clock_ns + self.skew_ns(listing.venue, clock_ns) - bucket.close * SECOND_NS;
        if age_ns < 0 {
            return Some(bucket);
        }
        let thing = mix(bucket.open as u64 ^ mix((bucket.next - bucket.open) as u64)) as i64;
        let strike = |pick: fn(&FaultKind, i64) -> Option<()>| {
            let pick = |kind: &FaultKind| pick(kind, age_ns);
            self.faults.strike_thing(listing.venue, Some(&listing.symbol), clock_ns, thing, pick).is_some()
        };
        let is_late = |kind: &FaultKind, age_ns: i64| {
            matches!(kind, FaultKind::LateBar { delay } if age_ns < duration_ns(*delay)).then_some(())
        };
        if is_row && strike(is_late) {
            return None;
        }
        let is_early = |kind: &FaultKind, age_ns: i64| {
            matches!(kind, FaultKind::LateRevision { lasting } if age_ns < duration_ns(*lasting)).then_some(())
        };
        if bucket.bar.volume > 1 && strike(is_early) {
            // A tenth of the volume, cut to an even unit, has not been counted yet.
            let missing = (bucket.bar.volume / 10).max(1);
            bucket.bar.quote -= bucket.bar.quote * missing / bucket.bar.volume;
            bucket.bar.volume -= missing;
            bucket.bar.bought = bucket.bar.bought.min(bucket.bar.volume);
            bucket.bar.bought_quote = bucket.bar.bought_quote.min(bucket.bar.quote);
        }
        Some(bucket)
    }

    /// The rows a venue that emits quiet buckets shows from `first_open` on: up to `limit` buckets
    /// that start before `to` and have begun.
    pub(crate) fn rows(&self, market: &Market, frame: Frame, first_open: i64, to: i64, limit: usize) -> Vec<Bucket> {
        let now_ns = self.now_ns(market.listing.venue);
        let Some(first_ns) = market.first_trade_ns(now_ns) else { return Vec::new() };
        let now = now_ns.div_euclid(SECOND_NS);
        let mut open = first_open.max(frame.open(first_ns.div_euclid(SECOND_NS)));
        let mut rows = Vec::new();
        while open < to && open <= now && rows.len() < limit {
            let bucket = market.bucket(frame, open, now_ns).and_then(|bucket| self.shown(market, bucket, true));
            rows.extend(bucket);
            open = frame.next(open);
        }
        rows
    }
}
