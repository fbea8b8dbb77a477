//! The newest status of every component, in memory, for whoever runs in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use super::ComponentStatus;
use super::sink::StatusRecord;

/// A shared view; clones see the same board.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<RwLock<BTreeMap<String, Box<StatusRecord>>>>);

impl Board {
    /// All components, by name.
    pub fn snapshot(&self) -> Vec<ComponentStatus> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().map(|record| record.status.clone()).collect()
    }

    /// All components with their times, by name.
    pub fn records(&self) -> Vec<StatusRecord> {
        self.records_of(|_| true)
    }

    /// The components that are chosen by their names, with their times.
    pub fn records_of(&self, is_chosen: impl Fn(&str) -> bool) -> Vec<StatusRecord> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let chosen = records.iter().filter(|(name, _)| is_chosen(name));
        chosen.map(|(_, record)| (**record).clone()).collect()
    }

    /// One component.
    pub fn get(&self, component: &str) -> Option<ComponentStatus> {
        self.record(component).map(|record| record.status)
    }

    /// One component with its times.
    pub fn record(&self, component: &str) -> Option<StatusRecord> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(component).map(|record| (**record).clone())
    }

    /// Replaces the status of a component, as heard `now`, and returns what stood there.
    pub fn put(&self, status: ComponentStatus, now: DateTime<Utc>) -> Option<ComponentStatus> {
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = records.get(&status.component);
        let created_at = before.map_or(now, |before| before.created_at);
        let updated_at = before.filter(|before| before.status == status).map_or(now, |before| before.updated_at);
        let record = StatusRecord { created_at, updated_at, heartbeat: now, status };
        records.insert(record.status.component.clone(), Box::new(record)).map(|before| before.status)
    }

    /// Removes a component.
    pub fn remove(&self, component: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(component);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Health;

    #[test]
    fn a_status_is_created_once_updated_by_changes_and_alive_by_every_report() {
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
        let board = Board::default();
        let starting = ComponentStatus::starting("kraken");
        assert_eq!(board.put(starting.clone(), at(1)), None);
        assert_eq!(board.put(starting.clone(), at(2)), Some(starting.clone()));
        let times = |board: &Board| {
            let record = board.record("kraken").unwrap();
            (record.created_at, record.updated_at, record.heartbeat)
        };
        assert_eq!(times(&board), (at(1), at(1), at(2)));
        let running = ComponentStatus { health: Health::Running, ..starting.clone() };
        assert_eq!(board.put(running.clone(), at(3)), Some(starting));
        assert_eq!(times(&board), (at(1), at(3), at(3)));
        assert_eq!(board.snapshot(), [running]);
        board.remove("kraken");
        assert_eq!(board.records(), []);
    }
}
