//! What operators see: the state of every component, and running totals. A side branch of the data
//! flow that never feeds anything back.

pub mod board;
pub mod sink;
pub mod tally;
pub mod venue_tally;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::market::Timeframe;

pub use board::Board;
pub use tally::{Tally, Totals};
pub use venue_tally::{VenueTally, VenueTotals};

/// The component name of the collector itself.
pub const DAEMON: &str = "ohlcv_daemon";

/// Health of a component, in the words that existing process monitors read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not yet at work.
    Starting,
    /// At work and up to date.
    Running,
    /// Working off a backlog.
    Processing,
    /// Nothing to do (paused, market closed).
    Idle,
    /// Someone should look.
    Error,
    /// Ended in order.
    Stopped,
}

impl Health {
    /// The word written to stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Starting => "starting",
            Health::Running => "running",
            Health::Processing => "processing",
            Health::Idle => "idle",
            Health::Error => "error",
            Health::Stopped => "stopped",
        }
    }
}

/// How a symbol is kept live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// WebSocket candles.
    LiveWebsocket,
    /// Aligned REST polling.
    LiveRestPolling,
    /// WebSocket trades, of which candles are built.
    LiveTrade,
    /// No candles and no trades: its ticker is read every few seconds.
    Ticker,
}

impl Mode {
    /// The word written to stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::LiveWebsocket => "live_websocket",
            Mode::LiveRestPolling => "live_rest_polling",
            Mode::LiveTrade => "live_trade",
            Mode::Ticker => "ticker",
        }
    }
}

/// What a component is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Coming up.
    Starting,
    /// History is being read; live candles arrive all the same.
    Backfilling,
    /// History is complete, live candles arrive.
    Live,
    /// The user paused it.
    Paused,
    /// Restarts did not help; it rests.
    Quarantined,
    /// The venue does not know it, or has nothing of what is wanted of it.
    Rejected,
    /// Waiting for the venue.
    Waiting,
    /// Ended.
    Stopped,
}

impl Phase {
    /// The word written to stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Backfilling => "backfilling",
            Phase::Live => "live",
            Phase::Paused => "paused",
            Phase::Quarantined => "quarantined",
            Phase::Rejected => "rejected",
            Phase::Waiting => "waiting",
            Phase::Stopped => "stopped",
        }
    }
}

/// The state of one component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentStatus {
    /// `exchange:symbol`, `exchange` or [`DAEMON`].
    pub component: String,
    /// Exchange id, where it belongs to one.
    pub exchange: Option<String>,
    /// Unified symbol, where it belongs to one.
    pub symbol: Option<String>,
    /// Health.
    pub health: Health,
    /// Wanted timeframes, shortest first.
    pub timeframes: Vec<Timeframe>,
    /// How it is kept live.
    pub mode: Option<Mode>,
    /// What it is doing.
    pub phase: Phase,
    /// Words for people.
    pub message: String,
    /// Open time of the newest final candle of the finest series.
    pub last_candle: Option<DateTime<Utc>>,
    /// How far that candle's close lies behind venue time.
    pub lag_ms: Option<i64>,
    /// How often it was started again after a failure.
    pub restarts: u64,
    /// Complete share of everything wanted, 0 to 100.
    pub coverage_percent: Option<f64>,
    /// Share that needs no more work (complete or unavailable), 0 to 100.
    pub settled_percent: Option<f64>,
    /// Stretches that are missing although they are overdue, without history still to be read.
    pub open_gaps: Option<u64>,
}

impl ComponentStatus {
    /// A component that is coming up.
    pub fn starting(component: impl Into<String>) -> ComponentStatus {
        ComponentStatus {
            component: component.into(),
            exchange: None,
            symbol: None,
            health: Health::Starting,
            timeframes: Vec::new(),
            mode: None,
            phase: Phase::Starting,
            message: String::new(),
            last_candle: None,
            lag_ms: None,
            restarts: 0,
            coverage_percent: None,
            settled_percent: None,
            open_gaps: None,
        }
    }

    /// True when an operator should hear of the change at once: health, mode, phase, restarts, the words of
    /// an error, and those of the daemon, which say what is collected.
    pub fn is_news_after(&self, before: &ComponentStatus) -> bool {
        (self.health, self.mode, self.phase, self.restarts)
            != (before.health, before.mode, before.phase, before.restarts)
            || ((self.health == Health::Error || self.component == DAEMON) && self.message != before.message)
    }
}
