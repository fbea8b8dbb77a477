//! What one sink has still to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::status::Board;
use crate::status::sink::{StatusRecord, StatusSink};

/// A sink and what it has not been told yet.
pub(super) struct Outlet {
    sink: Arc<dyn StatusSink>,
    /// Components with news.
    news: BTreeSet<String>,
    gone: BTreeSet<String>,
    written_at: BTreeMap<String, Instant>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Free,
    Writing,
    Closed,
}

/// What is handed over in one write.
pub(super) struct Due {
    pub records: Vec<StatusRecord>,
    pub gone: Vec<String>,
}

impl Outlet {
    pub(super) fn new(sink: Arc<dyn StatusSink>) -> Outlet {
        Outlet { sink, news: BTreeSet::new(), gone: BTreeSet::new(), written_at: BTreeMap::new(), state: State::Free }
    }

    pub(super) fn sink(&self) -> Arc<dyn StatusSink> {
        self.sink.clone()
    }

    pub(super) fn news(&mut self, component: &str) {
        self.gone.remove(component);
        self.news.insert(component.to_owned());
    }

    pub(super) fn gone(&mut self, component: &str) {
        self.news.remove(component);
        self.written_at.remove(component);
        self.gone.insert(component.to_owned());
    }

    /// Begins a write with everything on the board that is due; `None` while one is under way.
    pub(super) fn take_due(&mut self, board: &Board, interval: Duration) -> Option<Due> {
        if self.state != State::Free {
            return None;
        }
        self.state = State::Writing;
        let now = Instant::now();
        let is_due =
            |name: &str| self.news.contains(name) || self.written_at.get(name).is_none_or(|at| now - *at >= interval);
        let records = board.records_of(is_due);
        self.news.clear();
        self.written_at.extend(records.iter().map(|record| (record.status.component.clone(), now)));
        Some(Due { records, gone: std::mem::take(&mut self.gone).into_iter().collect() })
    }

    pub(super) fn written(&mut self) {
        self.state = State::Free;
    }

    /// Everything is due again, not this write alone: a sink that was away may have lost the rest.
    pub(super) fn not_written(&mut self, due: Due) {
        self.state = State::Free;
        self.written_at.clear();
        // One that came back meanwhile is not gone.
        self.gone.extend(due.gone.into_iter().filter(|name| !self.news.contains(name)));
    }

    pub(super) fn closed(&mut self) {
        self.state = State::Closed;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
}
