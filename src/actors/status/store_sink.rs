//! The store as a place for statuses: they stay after a stop, as the last word.

use std::sync::Arc;

use async_trait::async_trait;

use crate::status::sink::{SinkError, StatusRecord, StatusSink};
use crate::store::{StatusRow, Store, StoreError};

/// Writes to the table `process_status`.
#[derive(Debug)]
pub struct StoreSink(pub Arc<dyn Store>);

#[async_trait]
impl StatusSink for StoreSink {
    async fn put(&self, records: &[StatusRecord], gone: &[String]) -> Result<(), SinkError> {
        let rows: Vec<StatusRow> = records.iter().map(row).collect();
        if !rows.is_empty() {
            self.0.put_statuses(&rows).await.map_err(fault)?;
        }
        if gone.is_empty() { Ok(()) } else { self.0.remove_statuses(gone).await.map_err(fault) }
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn fault(error: StoreError) -> SinkError {
    SinkError { message: error.to_string(), is_told: false }
}

fn row(record: &StatusRecord) -> StatusRow {
    let status = &record.status;
    StatusRow {
        component: status.component.clone(),
        exchange: status.exchange.clone(),
        symbol: status.symbol.clone(),
        status: status.health.as_str().to_owned(),
        mode: status.mode.map(|mode| mode.as_str().to_owned()),
        phase: status.phase.as_str().to_owned(),
        message: status.message.clone(),
        last_candle: status.last_candle,
        lag_ms: status.lag_ms,
        restarts: i64::try_from(status.restarts).unwrap_or(i64::MAX),
        coverage_percent: status.coverage_percent,
        created_at: record.created_at,
        updated_at: record.updated_at,
        heartbeat: record.heartbeat,
    }
}
