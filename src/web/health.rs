//! Whether the process answers, whether the collector does its work, and what every component says.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Face;
use crate::collector::Remote;
use crate::control::components::ComponentLine;
use crate::control::when::Time;
use crate::status::sink::StatusRecord;
use crate::status::{Health, Totals};

/// Longest wait for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// A final candle may lie so far behind, besides two of its timeframes.
const GRACE: Duration = Duration::from_secs(120);
/// Symbols that are named when none is fresh.
const MOST_NAMED: usize = 10;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct Told {
    /// The collector's time.
    time: Time,
    /// False when it has ended.
    alive: bool,
    /// Why the wanted symbols could not be asked for; `components` are then those that have spoken.
    store_error: Option<String>,
    components: Vec<ComponentLine>,
    totals: Totals,
}

/// `GET /live`.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "live": true }))
}

/// `GET /ready`.
pub(super) async fn ready(face: web::Data<Face>) -> HttpResponse {
    let reasons = obstacles(&face.remote).await;
    let readiness = Readiness { ready: reasons.is_empty(), reasons };
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

/// `GET /status`.
pub(super) async fn status(face: web::Data<Face>) -> HttpResponse {
    let remote = &face.remote;
    let (components, store_error) = match in_time(remote.components()).await {
        Ok(components) => (components, None),
        Err(why) => (remote.records().into_iter().map(ComponentLine::from).collect(), Some(why)),
    };
    HttpResponse::Ok().json(Told {
        time: Time(remote.clock().now()),
        alive: remote.is_alive(),
        store_error,
        components,
        totals: remote.totals(),
    })
}

/// Why the collector does not do its work; empty when it does.
async fn obstacles(remote: &Remote) -> Vec<String> {
    if !remote.is_alive() {
        return vec!["the collector has ended".to_owned()];
    }
    match in_time(remote.wanted()).await {
        Err(why) => vec![format!("the store cannot be reached: {why}")],
        Ok(wanted) => staleness(&wanted, &remote.records(), remote.clock().now()),
    }
}

async fn in_time<T, E: std::fmt::Display>(asked: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(STORE_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {STORE_TIMEOUT:?}")),
    }
}

/// Why no wanted symbol is fresh; empty when one is, or none is wanted.
fn staleness(wanted: &[String], records: &[StatusRecord], now: DateTime<Utc>) -> Vec<String> {
    let mut reasons = Vec::new();
    for name in wanted {
        let record = records.iter().find(|record| record.status.component == *name);
        match record.map_or(Err("not begun".to_owned()), |record| freshness(record, now)) {
            Ok(()) => return Vec::new(),
            Err(why) => reasons.push(format!("{name}: {why}")),
        }
    }
    let more = reasons.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        reasons.truncate(MOST_NAMED);
        reasons.push(format!("and {more} more symbols that are not fresh"));
    }
    reasons
}

/// Nothing more could be there, or why not.
fn freshness(record: &StatusRecord, now: DateTime<Utc>) -> Result<(), String> {
    let status = &record.status;
    let Some(finest) = status.timeframes.first() else {
        // Its ticker or its trades alone: whoever keeps them judges their age.
        return match status.health {
            Health::Running | Health::Processing | Health::Idle => Ok(()),
            Health::Starting | Health::Error | Health::Stopped => Err(in_words(record)),
        };
    };
    if status.health == Health::Idle {
        return Ok(());
    }
    let Some(lag_ms) = status.lag_ms else { return Err(in_words(record)) };
    let lag = lag_ms.saturating_add((now - record.heartbeat).num_milliseconds().max(0));
    let patience = 2 * finest.nominal() + GRACE;
    if u128::try_from(lag).unwrap_or(0) <= patience.as_millis() {
        return Ok(());
    }
    Err(format!("its newest {} candle lies {} s behind", finest.as_str(), lag / 1000))
}

fn in_words(record: &StatusRecord) -> String {
    let status = &record.status;
    match status.message.as_str() {
        "" => status.phase.as_str().to_owned(),
        words => format!("{}, {words}", status.phase.as_str()),
    }
}
