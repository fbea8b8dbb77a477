//! A running collector as others on other threads see it: asked and commanded, never waited for.

use std::sync::Arc;

use actix::prelude::*;

use crate::actors::Supervisor;
use crate::clock::Clock;
use crate::control::components::{self, ComponentLine};
use crate::control::{Command, Reply};
use crate::status::sink::StatusRecord;
use crate::status::{Board, Tally, Totals};
use crate::store::{Store, StoreError, SymbolState};

/// See the module. Clones speak of the same collector, and keep it neither running nor reachable.
#[derive(Clone)]
pub struct Remote {
    pub(super) addr: Addr<Supervisor>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) board: Board,
    pub(super) tally: Tally,
}

impl Remote {
    /// True until the collector has ended.
    pub fn is_alive(&self) -> bool {
        self.addr.connected()
    }

    /// The clock the collector lives by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The newest status of every component with its times, by name.
    pub fn records(&self) -> Vec<StatusRecord> {
        self.board.records()
    }

    /// Running totals.
    pub fn totals(&self) -> Totals {
        self.tally.totals()
    }

    /// The components that are to be kept: symbols that are not paused, as `exchange:symbol`. Those that
    /// were rejected are among them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn wanted(&self) -> Result<Vec<String>, StoreError> {
        let symbols = self.store.symbols().await?;
        let wanted = symbols.iter().filter(|row| row.state != SymbolState::Paused);
        Ok(wanted.map(|row| format!("{}:{}", row.exchange, row.symbol)).collect())
    }

    /// Every component as it is told, with the wanted symbols of which nobody has spoken.
    ///
    /// # Errors
    /// What the store says; [`Remote::records`] asks no store.
    pub async fn components(&self) -> Result<Vec<ComponentLine>, StoreError> {
        let symbols = self.store.symbols().await?;
        Ok(components::lines(self.records().into_iter().map(ComponentLine::from), &symbols))
    }

    /// Carries out a command, once by its id. `None` when the collector has ended.
    pub async fn command(&self, command: Command) -> Option<Reply> {
        self.addr.send(command).await.ok()
    }
}
