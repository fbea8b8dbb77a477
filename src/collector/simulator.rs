//! What a simulator tells of itself: its clock, and the markets it lists.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::StartError;
use crate::clock::Clock;
use crate::exchange::{Cost, HttpRequest, Method};
use crate::market::Symbol;
use crate::transport::net::{NetOptions, NetTransport};
use crate::transport::{Transport, TransportError};

#[derive(Deserialize)]
struct ClockAnswer {
    now: DateTime<Utc>,
    factor: f64,
}

#[derive(Deserialize)]
struct IndexAnswer {
    exchanges: BTreeMap<String, Listing>,
}

#[derive(Deserialize)]
struct Listing {
    symbols: Vec<Symbol>,
}

/// Reads the clock of a simulator, and goes with it.
pub(super) async fn clock(transport: &dyn Transport, base: &str) -> Result<Clock, StartError> {
    let answer: ClockAnswer = ask(transport, base, "/clock").await?;
    Ok(Clock::scaled(answer.now, answer.factor))
}

/// The markets of a simulator by exchange, the liveliest first.
///
/// # Errors
/// [`StartError::Simulator`] when it does not answer as one.
pub async fn simulated_markets(base: &str) -> Result<BTreeMap<String, Vec<Symbol>>, StartError> {
    let transport = NetTransport::new(NetOptions::default())?;
    let answer: IndexAnswer = ask(&transport, base, "/").await?;
    Ok(answer.exchanges.into_iter().map(|(exchange, listing)| (exchange, listing.symbols)).collect())
}

async fn ask<T: DeserializeOwned>(transport: &dyn Transport, base: &str, path: &str) -> Result<T, StartError> {
    let fail = |message: String| StartError::Simulator { url: base.to_owned(), message };
    let request = HttpRequest {
        method: Method::Get,
        url: format!("{}{path}", base.trim_end_matches('/')),
        headers: Vec::new(),
        body: None,
        cost: Cost { limit: 0, units: 0 },
    };
    let reply = transport.http(&request).await.map_err(|error: TransportError| fail(error.to_string()))?;
    serde_json::from_slice(&reply.body).map_err(|error| fail(error.to_string()))
}
