//! The newest status of every component, in memory, for whoever runs in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::ComponentStatus;

/// A shared view; clones see the same board.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<RwLock<BTreeMap<String, ComponentStatus>>>);

impl Board {
    /// All components, by name.
    pub fn snapshot(&self) -> Vec<ComponentStatus> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One component.
    pub fn get(&self, component: &str) -> Option<ComponentStatus> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(component).cloned()
    }

    /// Replaces the status of a component and returns what stood there.
    pub fn put(&self, status: ComponentStatus) -> Option<ComponentStatus> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(status.component.clone(), status)
    }

    /// Removes a component.
    pub fn remove(&self, component: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(component);
    }
}
