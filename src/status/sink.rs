//! Where statuses go besides the board: the store, Redis.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::ComponentStatus;

/// A component's status with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusRecord {
    /// The newest status.
    pub status: ComponentStatus,
    /// When the component first reported in this process.
    pub created_at: DateTime<Utc>,
    /// When anything but the heartbeat last changed.
    pub updated_at: DateTime<Utc>,
    /// When it last reported.
    pub heartbeat: DateTime<Utc>,
}

/// Why a sink did not take a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// The cause.
    pub message: String,
    /// The sink has logged it already.
    pub is_told: bool,
}

/// A place that statuses are written to. What could not be written is handed over again.
#[async_trait]
pub trait StatusSink: Send + Sync + std::fmt::Debug {
    /// Writes the newest status of components, and removes those that are gone.
    ///
    /// # Errors
    /// [`SinkError`]; nothing or all of it was written.
    async fn put(&self, records: &[StatusRecord], gone: &[String]) -> Result<(), SinkError>;

    /// After the last [`StatusSink::put`] of an ordered stop.
    ///
    /// # Errors
    /// [`SinkError`].
    async fn close(&self) -> Result<(), SinkError>;
}
