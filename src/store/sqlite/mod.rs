//! SQLite: the store that needs no set-up. One file, one writer, readers that never block.
//!
//! Promises what [`Store`](super::Store) promises. A killed process loses nothing that was acknowledged; a power
//! cut may cost the newest transactions (`synchronous = NORMAL`), never the agreement of candles and
//! ledger. Every connection has a thread of its own, so any tokio runtime will do.

mod connection;
mod dialect;
mod error;
mod location;
mod lock;
// Compiled once for each backend, on purpose: see there.
#[allow(clippy::duplicate_mod)]
#[path = "../sql/mod.rs"]
mod sql;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sqlite::SqliteConnection as Connection;

pub(super) use self::connection::Lane;
use self::connection::{BUSY_TIMEOUT, connect};
pub(super) use self::error::into_store_error;
use self::location::Location;
use self::sql::{migrations, transaction};
use super::fault::Fault;
use super::{Access, CollectorLock, StoreError};
use crate::clock::Clock;

/// Connections that only read, beside the one that writes.
const READERS: usize = 3;

/// What [`sql`] calls this backend.
use SqliteStore as Backend;

/// Whether a URL names a file.
pub(super) fn check_url(url: &str) -> Result<(), StoreError> {
    Location::parse(url).map(drop)
}

/// A SQLite database.
pub struct SqliteStore {
    url: String,
    location: Location,
    clock: Clock,
    writer: Lane,
    /// Empty for a database in memory: it has one connection, which does everything.
    readers: Vec<Lane>,
    memory_lock: Arc<AtomicBool>,
    applied: Vec<String>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("url", &self.url).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens `sqlite://PATH`, `sqlite://:memory:` or a path that ends in `.db`. Rows are stamped by `clock`.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Unavailable`] (no such file, with words on what to do),
    /// [`StoreError::Corrupt`] (not a database, or another program's), [`StoreError::NewerSchema`],
    /// and [`StoreError::OlderSchema`] unless `access` is [`Access::Create`].
    pub async fn open(url: &str, access: Access, clock: Clock) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_patiently(url, access, clock, BUSY_TIMEOUT).await
    }

    async fn open_patiently(
        url: &str,
        access: Access,
        clock: Clock,
        busy_timeout: Duration,
    ) -> Result<SqliteStore, StoreError> {
        let location = Location::parse(url)?;
        let (task_location, task_url) = (location.clone(), url.to_owned());
        let open = move || open_lanes(&task_location, access, busy_timeout, &task_url);
        let (writer, readers, applied) = tokio::task::spawn_blocking(open).await.map_err(|error| {
            StoreError::Unavailable { url: url.to_owned(), message: format!("opening it failed: {error}") }
        })??;
        Ok(SqliteStore { url: url.to_owned(), location, clock, writer, readers, memory_lock: Arc::default(), applied })
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
        migrations::newest_version().map_err(|fault| into_store_error(fault, &self.url))
    }

    /// The clock that stamps rows.
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn lock(&self, holder: String) -> Result<Box<dyn CollectorLock>, StoreError> {
        match &self.location {
            Location::Memory => lock::lock_memory(&self.memory_lock),
            Location::File(path) => lock::lock_file(path, &holder),
        }
    }

    /// Runs work in one transaction on the writing connection.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.writer.run(move |connection| transaction(connection, work)).await;
        result.map_err(|fault| into_store_error(fault, &self.url))
    }

    /// Runs work on the connection that reads and has the least to do.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let lane = self.readers.iter().min_by_key(|lane| lane.load()).unwrap_or(&self.writer);
        lane.run(work).await.map_err(|fault| into_store_error(fault, &self.url))
    }
}

type Lanes = (Lane, Vec<Lane>, Vec<String>);

fn open_lanes(location: &Location, access: Access, busy_timeout: Duration, url: &str) -> Result<Lanes, StoreError> {
    if let Location::File(path) = location
        && access != Access::Create
        && !path.exists()
    {
        let message = "there is no such file; `candlewick run`, `demo` and `symbols add` create it".to_owned();
        return Err(StoreError::Unavailable { url: url.to_owned(), message });
    }
    let mut writer = connect(location, access, busy_timeout, url)?;
    // A database in memory is always new.
    let schema_access = if *location == Location::Memory { Access::Create } else { access };
    let applied = migrations::prepare(&mut writer, schema_access).map_err(|fault| into_store_error(fault, url))?;
    let readers = match location {
        Location::Memory => Vec::new(),
        Location::File(_) => (0..READERS)
            .map(|_| Lane::new(connect(location, Access::ReadOnly, busy_timeout, url)?, url))
            .collect::<Result<Vec<_>, _>>()?,
    };
    Ok((Lane::new(writer, url)?, readers, applied))
}
