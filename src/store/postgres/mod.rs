//! PostgreSQL: the store for those who run a server anyhow, with TimescaleDB or without.
//!
//! Promises what [`Store`](super::Store) promises, and nothing acknowledged is lost even by a power
//! cut (`synchronous_commit` is the server's). When the server goes away, calls give
//! [`StoreError::Unavailable`], and the next one connects again. Connections are driven by a thread
//! of the store's own, so any tokio runtime will do, and go on while their caller is gone.

mod bulk;
mod dialect;
mod error;
mod link;
mod location;
mod lock;
// Compiled once for each backend, on purpose: see there.
#[allow(clippy::duplicate_mod)]
#[path = "../sql/mod.rs"]
mod sql;
mod timescale;
mod tls;
mod wire;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::link::{Connection, Dialler, Engine, Pool};
use self::location::Location;
use self::lock::Guard;
use self::sql::{migrations, transaction};
pub use self::timescale::Timescale;
use super::fault::Fault;
use super::tables::moment::micros;
use super::{Access, CollectorLock, StoreError};
use crate::clock::Clock;

/// Connections that only read, beside the one that writes.
const READERS: usize = 4;

/// What [`sql`] calls this backend.
use PostgresStore as Backend;

/// Whether a URL names a server, a database and how to get in.
pub(super) fn check_url(url: &str) -> Result<(), StoreError> {
    Location::parse(url).map(drop)
}

/// A PostgreSQL database.
pub struct PostgresStore {
    url: String,
    clock: Clock,
    dialler: Arc<Dialler>,
    writer: Pool,
    readers: Pool,
    guard: Arc<Guard>,
    applied: Vec<String>,
    /// Last: everything above lives on it.
    _engine: Engine,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("url", &self.url).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...&sslrootcert=FILE`. Rows are
    /// stamped by `clock`. The database itself is never created: that takes rights a collector
    /// should not have.
    ///
    /// # Errors
    /// [`StoreError::Url`]; [`StoreError::Unavailable`] (no server, no such database or role, a
    /// wrong password, a certificate that is not trusted, each with words on what to do);
    /// [`StoreError::Corrupt`] for tables of another program; [`StoreError::NewerSchema`], and
    /// [`StoreError::OlderSchema`] unless `access` is [`Access::Create`].
    pub async fn open(url: &str, access: Access, clock: Clock) -> Result<PostgresStore, StoreError> {
        let location = Location::parse(url)?;
        let url = location.shown.clone();
        let unavailable = |message: String| StoreError::Unavailable { url: url.clone(), message };
        let engine = Engine::start().map_err(|error| unavailable(error.to_string()))?;
        let handle = engine.handle().ok_or_else(|| unavailable("it was closed".to_owned()))?;
        let dialler = Arc::new(Dialler::new(location, access, handle.clone())?);
        let first = Arc::clone(&dialler);
        let opening = handle.spawn_blocking(move || {
            let mut link = first.dial()?;
            let applied = link.run(&first.location, |connection| migrations::prepare(connection, access))?;
            Ok((link, applied))
        });
        let (link, applied) = opening.await.map_err(|error| unavailable(format!("opening it failed: {error}")))??;
        Ok(PostgresStore {
            clock,
            writer: Pool::new(Arc::clone(&dialler), 1, Some(link)),
            readers: Pool::new(Arc::clone(&dialler), READERS, None),
            dialler,
            guard: Arc::default(),
            applied,
            _engine: engine,
            url,
        })
    }

    /// Versions of the migrations that opening applied, oldest first.
    pub fn applied_migrations(&self) -> &[String] {
        &self.applied
    }

    /// The schema's version: opening has brought it to the newest one known.
    ///
    /// # Errors
    /// When the migrations inside this program cannot be read.
    pub fn schema_version(&self) -> Result<String, StoreError> {
        migrations::newest_version().map_err(|fault| match fault {
            Fault::Store(error) => error,
            Fault::Database(error) => StoreError::Corrupt(error.to_string()),
        })
    }

    /// Makes hypertables of candles and trades, or changes their settings, where the database has
    /// the extension; false where it has not.
    ///
    /// # Errors
    /// Those of the server: only the owner of the tables may do this.
    pub async fn prepare_timescale(&self, settings: Timescale) -> Result<bool, StoreError> {
        self.writer.run(move |connection| timescale::prepare(connection, settings)).await
    }

    /// The clock that stamps rows.
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn lock(&self, holder: String) -> Result<Box<dyn CollectorLock>, StoreError> {
        let (guard, dialler, now) = (Arc::clone(&self.guard), Arc::clone(&self.dialler), micros(self.now()));
        let taking = self.dialler.handle.spawn_blocking(move || guard.take(&dialler, &holder, now));
        taking.await.map_err(|error| StoreError::Unavailable { url: self.url.clone(), message: error.to_string() })?
    }

    /// Runs work in one transaction on the writing connection, as the collector if this store holds
    /// its lock.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (guard, dialler) = (Arc::clone(&self.guard), Arc::clone(&self.dialler));
        let fenced = move |connection: &mut Connection| {
            let fence = guard.fence(&dialler)?;
            transaction(connection, |connection| {
                if let Some(fence) = fence {
                    lock::check(connection, fence)?;
                }
                work(connection)
            })
        };
        self.writer.run(fenced).await
    }

    /// Runs work on a connection that reads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run(work).await
    }
}
