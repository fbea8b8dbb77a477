//! The status of the components in the layout that existing process monitors read:
//!
//! * string `process:data:{process_id}`: JSON `{process_id, process_type, component, params{exchange, symbol, type,
//!   interval}, status, message, created_at, updated_at, heartbeat}`, times ISO 8601 in UTC,
//!   `process_id` = `ohlcv:{component}:{unix seconds}`;
//! * hash `process:active:ohlcv`: `process_id` -> time of the last report;
//! * hash `process:components`: component -> its newest `process_id`.
//!
//! One record per component: what an earlier life left is taken away when its component reports
//! again, or when its record has expired. A record outlives the longest timeframe of its component
//! and several reports, so that none expires while somebody keeps it. After an ordered stop nothing
//! is left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use redis::{Pipeline, pipe};
use serde_json::json;

use super::link::{Link, Redis, RedisError};
use crate::status::sink::{SinkError, StatusRecord, StatusSink};

/// The type of all our processes.
const TYPE: &str = "ohlcv";
/// A record is never kept shorter than this.
const SHORTEST_LIFE: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug)]
pub struct ProcessCache {
    link: Link,
    prefix: String,
    /// How often an unchanged component is written.
    interval: Duration,
    /// The process id of every component that is written.
    ids: Mutex<HashMap<String, String>>,
    is_swept: Mutex<bool>,
}

impl ProcessCache {
    /// A cache that is written every `interval`.
    pub fn new(redis: &Arc<Redis>, prefix: &str, interval: Duration) -> ProcessCache {
        ProcessCache {
            link: redis.link(),
            prefix: prefix.to_owned(),
            interval,
            ids: Mutex::default(),
            is_swept: Mutex::default(),
        }
    }

    fn ids(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data_key(&self, id: &str) -> String {
        format!("{}process:data:{id}", self.prefix)
    }

    fn active_key(&self) -> String {
        format!("{}process:active:{TYPE}", self.prefix)
    }

    fn components_key(&self) -> String {
        format!("{}process:components", self.prefix)
    }

    /// Removes ids of ours whose records have expired: those of components that never came back.
    async fn sweep(&self) -> Result<(), RedisError> {
        if std::mem::replace(&mut *self.is_swept.lock().unwrap_or_else(PoisonError::into_inner), true) {
            return Ok(());
        }
        let mut listing = pipe();
        listing.hgetall(self.components_key()).hkeys(self.active_key());
        let (components, active): (HashMap<String, String>, Vec<String>) = self.link.run(&listing).await?;
        let ours = |id: &&String| id.starts_with(&format!("{TYPE}:"));
        let ids: Vec<&String> = active.iter().chain(components.values()).filter(ours).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut asking = pipe();
        ids.iter().for_each(|id| {
            asking.exists(self.data_key(id));
        });
        let there: Vec<bool> = self.link.run(&asking).await?;
        let mut removing = pipe();
        for id in ids.iter().zip(there).filter(|(_, there)| !there).map(|(id, _)| *id) {
            removing.hdel(self.active_key(), id).ignore();
            for (component, _) in components.iter().filter(|(_, newest)| *newest == id) {
                removing.hdel(self.components_key(), component).ignore();
            }
        }
        if removing.is_empty() { Ok(()) } else { self.link.run(&removing).await }
    }

    /// Ids that stand in Redis for components which this life has not written yet.
    async fn left_behind(&self, components: &[&str]) -> Result<Vec<String>, RedisError> {
        let new: Vec<&str> = {
            let ids = self.ids();
            components.iter().copied().filter(|component| !ids.contains_key(*component)).collect()
        };
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let mut asking = pipe();
        new.iter().for_each(|component| {
            asking.hget(self.components_key(), *component);
        });
        let found: Vec<Option<String>> = self.link.run(&asking).await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn remove_process(&self, writing: &mut Pipeline, id: &str) {
        writing.del(self.data_key(id)).ignore().hdel(self.active_key(), id).ignore();
    }

    async fn write(&self, records: &[StatusRecord], gone: &[String]) -> Result<(), RedisError> {
        self.sweep().await?;
        let names: Vec<&str> = records.iter().map(|record| record.status.component.as_str()).collect();
        let old = self.left_behind(&names).await?;
        let mut writing = pipe();
        writing.atomic();
        let mut ids = self.ids().clone();
        for component in gone {
            if let Some(id) = ids.remove(component) {
                self.remove_process(&mut writing, &id);
            }
            writing.hdel(self.components_key(), component).ignore();
        }
        let written: Vec<(&StatusRecord, String)> = records.iter().map(|record| (record, process_id(record))).collect();
        for id in old.iter().filter(|old| !written.iter().any(|(_, id)| id == *old)) {
            self.remove_process(&mut writing, id);
        }
        for (record, id) in written {
            let component = &record.status.component;
            if let Some(before) = ids.insert(component.clone(), id.clone()).filter(|before| *before != id) {
                self.remove_process(&mut writing, &before);
            }
            writing.set_ex(self.data_key(&id), data(record, &id), self.life(record).as_secs()).ignore();
            writing.hset(self.active_key(), &id, iso(record.heartbeat)).ignore();
            writing.hset(self.components_key(), component, &id).ignore();
        }
        self.link.run::<()>(&writing).await?;
        *self.ids() = ids;
        Ok(())
    }

    fn life(&self, record: &StatusRecord) -> Duration {
        let longest = record.status.timeframes.iter().map(|timeframe| timeframe.nominal()).max().unwrap_or_default();
        (longest.max(self.interval * 4) * 2).max(SHORTEST_LIFE)
    }
}

#[async_trait]
impl StatusSink for ProcessCache {
    async fn put(&self, records: &[StatusRecord], gone: &[String]) -> Result<(), SinkError> {
        self.write(records, gone).await.map_err(|error| SinkError { message: error.to_string(), is_told: true })
    }

    async fn close(&self) -> Result<(), SinkError> {
        let mut removing = pipe();
        removing.atomic();
        for (component, id) in self.ids().drain() {
            self.remove_process(&mut removing, &id);
            removing.hdel(self.components_key(), component).ignore();
        }
        self.link.run::<()>(&removing).await.map_err(|error| SinkError { message: error.to_string(), is_told: true })
    }
}

fn process_id(record: &StatusRecord) -> String {
    format!("{TYPE}:{}:{}", record.status.component, record.created_at.timestamp())
}

/// `2026-11-20T15:00:20.000000+00:00`: the form that readers of any age take.
fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, false)
}

fn data(record: &StatusRecord, id: &str) -> String {
    let status = &record.status;
    let timeframes: Vec<&str> = status.timeframes.iter().map(|timeframe| timeframe.as_str()).collect();
    json!({
        "process_id": id,
        "process_type": TYPE,
        "component": status.component,
        "params": {
            "exchange": status.exchange,
            "symbol": status.symbol,
            "type": status.mode.map_or(status.phase.as_str(), |mode| mode.as_str()),
            "interval": (!timeframes.is_empty()).then(|| timeframes.join(",")),
        },
        "status": status.health.as_str(),
        "message": status.message,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at),
        "heartbeat": iso(record.heartbeat),
    })
    .to_string()
}
