//! Connections over their life: opened without haste, replaced before the exchange ends them, found out
//! when they say nothing. In memory and in virtual time.
//!
//! With `CANDLEWICK_DAYS=7` connections live for a day and are replaced on each of seven; else they live
//! for two hours.

#[path = "../support/mod.rs"]
mod support;

mod deaf;
mod pacing;
mod rotation;
mod trouble;

use std::time::Duration;

use candlewick::market::Timeframe;
use candlewick::sim::{SimConfig, Venue};
use candlewick::status::VenueTotals;
use chrono::TimeDelta;
use support::stage::Stage;

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * hours)
}

/// A venue that lists so many markets, and nothing else.
fn alone(venue: Venue, symbols: usize, trades_per_minute: f64) -> SimConfig {
    SimConfig {
        exchanges: vec![venue],
        symbols_per_exchange: symbols,
        trades_per_minute,
        history_days: 1,
        ..SimConfig::default()
    }
}

/// Wants one-minute candles of the first symbols of a venue, and returns their names.
async fn want_many(stage: &Stage, venue: Venue, count: usize) -> Vec<String> {
    let names: Vec<String> =
        candlewick::sim::default_symbols(venue, count).iter().map(|symbol| symbol.as_str().to_owned()).collect();
    for name in &names {
        stage.want(venue.as_str(), name, &[Timeframe::M1], TimeDelta::minutes(2)).await;
    }
    names
}

/// What was counted of a venue.
fn totals(stage: &Stage, venue: &str) -> VenueTotals {
    stage.collector.as_ref().unwrap().totals().exchanges[venue].clone()
}
