//! The state of components as it is told, by the command line and over HTTP in the same form.

use serde::Serialize;

use super::when::Time;
use crate::status::sink::StatusRecord;
use crate::store::{StatusRow, SymbolRow, SymbolState};

/// A component as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentLine {
    /// `exchange:symbol`, `exchange`, `writer` or `ohlcv_daemon`.
    pub component: String,
    /// Exchange id, where it belongs to one.
    pub exchange: Option<String>,
    /// Unified symbol, where it belongs to one.
    pub symbol: Option<String>,
    /// The word of its health; `none`: wanted, and no collector has spoken of it.
    pub status: String,
    /// What it is doing.
    pub phase: String,
    /// How it is kept live.
    pub mode: Option<String>,
    /// Open time of the newest final candle of the finest series.
    pub last_candle: Option<Time>,
    /// How far that candle's close lay behind venue time when it last reported.
    pub lag_ms: Option<i64>,
    /// Complete share of everything wanted, 0 to 100.
    pub coverage_percent: Option<f64>,
    /// How often it was started again after a failure.
    pub restarts: i64,
    /// Words for people.
    pub message: String,
    /// When anything but the heartbeat last changed.
    pub updated_at: Option<Time>,
    /// When it last reported.
    pub heartbeat: Option<Time>,
}

/// Components that have spoken, then the wanted symbols of which nobody has spoken.
pub fn lines(told: impl IntoIterator<Item = ComponentLine>, wanted: &[SymbolRow]) -> Vec<ComponentLine> {
    let mut lines: Vec<ComponentLine> = told.into_iter().collect();
    let is_silent = |symbol: &&SymbolRow| !lines.iter().any(|line| line.component == component(symbol));
    let silent: Vec<ComponentLine> = wanted.iter().filter(is_silent).map(ComponentLine::of_silent).collect();
    lines.extend(silent);
    lines
}

fn component(symbol: &SymbolRow) -> String {
    format!("{}:{}", symbol.exchange, symbol.symbol)
}

impl From<StatusRow> for ComponentLine {
    /// As it was last written to the store.
    fn from(row: StatusRow) -> ComponentLine {
        ComponentLine {
            component: row.component,
            exchange: row.exchange,
            symbol: row.symbol,
            status: row.status,
            phase: row.phase,
            mode: row.mode,
            last_candle: row.last_candle.map(Time),
            lag_ms: row.lag_ms,
            coverage_percent: row.coverage_percent,
            restarts: row.restarts,
            message: row.message,
            updated_at: Some(Time(row.updated_at)),
            heartbeat: Some(Time(row.heartbeat)),
        }
    }
}

impl From<StatusRecord> for ComponentLine {
    /// As it stands on the board.
    fn from(record: StatusRecord) -> ComponentLine {
        let status = record.status;
        ComponentLine {
            component: status.component,
            exchange: status.exchange,
            symbol: status.symbol,
            status: status.health.as_str().to_owned(),
            phase: status.phase.as_str().to_owned(),
            mode: status.mode.map(|mode| mode.as_str().to_owned()),
            last_candle: status.last_candle.map(Time),
            lag_ms: status.lag_ms,
            coverage_percent: status.coverage_percent,
            restarts: i64::try_from(status.restarts).unwrap_or(i64::MAX),
            message: status.message,
            updated_at: Some(Time(record.updated_at)),
            heartbeat: Some(Time(record.heartbeat)),
        }
    }
}

impl ComponentLine {
    /// A symbol that is wanted and that no collector has spoken of.
    fn of_silent(symbol: &SymbolRow) -> ComponentLine {
        let message = match &symbol.state {
            SymbolState::Active if symbol.only_ticker => "only its ticker is wanted".to_owned(),
            SymbolState::Active => "wanted; no collector has begun with it".to_owned(),
            SymbolState::Paused => "paused".to_owned(),
            SymbolState::Rejected(words) => format!("rejected: {words}"),
        };
        ComponentLine {
            component: component(symbol),
            exchange: Some(symbol.exchange.clone()),
            symbol: Some(symbol.symbol.to_string()),
            status: "none".to_owned(),
            phase: String::new(),
            mode: None,
            last_candle: None,
            lag_ms: None,
            coverage_percent: None,
            restarts: 0,
            message,
            updated_at: None,
            heartbeat: None,
        }
    }
}
