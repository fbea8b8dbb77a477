//! A venue of the registry, as its public addresses name it or as its simulated half plays it.

use std::sync::Arc;

use candlewick::clock::Clock;
use candlewick::exchange::{Capabilities, Dialect, registry};
use candlewick::market::Symbol;
use candlewick::sim::{SimConfig, Venue, default_symbols};
use chrono::{DateTime, Utc};

use crate::support::line::Line;

/// Its dialect at its public addresses.
pub fn public(id: &str) -> Arc<dyn Dialect> {
    let row = registry::find(id).unwrap();
    (row.build)(row.public_endpoints())
}

/// The capabilities of every venue.
pub fn all() -> impl Iterator<Item = &'static Capabilities> {
    registry::EXCHANGES.iter().map(|row| row.capabilities)
}

/// Friday, New York has been trading for hours, in the middle of a minute.
pub fn epoch() -> DateTime<Utc> {
    "2026-11-20T17:00:30Z".parse().unwrap()
}

/// A venue that limits nobody.
pub fn unlimited() -> SimConfig {
    SimConfig { history_days: 3, enforce_limits: false, ..SimConfig::default() }
}

/// The simulated venue on a clock that stands still.
pub fn standing(id: &str, config: SimConfig) -> Line {
    Line::new(id, config, Clock::manual(epoch()))
}

/// The simulated venue on tokio's paused clock.
pub fn running(id: &str, config: SimConfig) -> Line {
    Line::new(id, config, Clock::scaled(epoch(), 1.0))
}

/// The markets a simulated venue lists first; the first is the busiest.
pub fn symbols(id: &str, count: usize) -> Vec<Symbol> {
    default_symbols(id.parse::<Venue>().unwrap(), count)
}
