//! From a URL to a database: which backend it names, and what may be done there.

use std::sync::Arc;

use super::postgres::Timescale;
use super::{Store, StoreError, postgres, sqlite};
use crate::clock::Clock;

/// What a program wants of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To use it, creating it when absent and bringing its schema up to date.
    Create,
    /// To change what is there already; an older schema is an error.
    ReadWrite,
    /// To look only; an older schema is an error.
    ReadOnly,
}

/// Opens the database a URL names: `sqlite://PATH`, `sqlite://:memory:`, a path that ends in `.db`,
/// or `postgres://USER@HOST/DATABASE`.
///
/// # Errors
/// [`StoreError::Url`] for a scheme this version does not know; those of [`sqlite::SqliteStore::open`]
/// and [`postgres::PostgresStore::open`].
pub async fn open(url: &str, access: Access) -> Result<Arc<dyn Store>, StoreError> {
    open_with_clock(url, access, Clock::system()).await
}

/// [`open`] with a clock of the caller's: it stamps `first_written_at` and `updated_at`.
///
/// # Errors
/// Those of [`open`].
pub async fn open_with_clock(url: &str, access: Access, clock: Clock) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match open_backend(url, access, clock).await? {
        Backend::Sqlite(store) => Arc::new(store),
        Backend::Postgres(store) => Arc::new(store),
    })
}

/// Whether a URL can be read, without opening what it names.
///
/// # Errors
/// [`StoreError::Url`].
pub fn check_url(url: &str) -> Result<(), StoreError> {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        None | Some("sqlite") => sqlite::check_url(url),
        Some("postgres" | "postgresql") => postgres::check_url(url),
        Some(_) => Err(url_fault(url, "unknown scheme")),
    }
}

enum Backend {
    Sqlite(sqlite::SqliteStore),
    Postgres(postgres::PostgresStore),
}

async fn open_backend(url: &str, access: Access, clock: Clock) -> Result<Backend, StoreError> {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        None | Some("sqlite") => sqlite::SqliteStore::open(url, access, clock).await.map(Backend::Sqlite),
        Some("postgres" | "postgresql") => {
            postgres::PostgresStore::open(url, access, clock).await.map(Backend::Postgres)
        }
        Some(_) => Err(url_fault(url, "unknown scheme")),
    }
}

/// A fault of a URL, without the credentials it may carry.
pub(super) fn url_fault(url: &str, message: &str) -> StoreError {
    StoreError::Url { url: without_credentials(url), message: message.to_owned() }
}

/// The URL without user, password and parameters; what cannot be understood is cut rather than shown.
fn without_credentials(url: &str) -> String {
    let url = if url.starts_with("sqlite:") { url } else { url.split_once('?').map_or(url, |(url, _)| url) };
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

/// What [`migrate`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version now.
    pub version: String,
    /// Versions applied, oldest first; empty when it was up to date.
    pub applied: Vec<String>,
    /// Candles and trades are hypertables of TimescaleDB.
    pub is_timescale: bool,
}

/// Creates the database where it is absent (a PostgreSQL database must exist) and brings its schema
/// up to date. A PostgreSQL database with the extension timescaledb gets hypertables.
///
/// # Errors
/// Those of [`open`].
pub async fn migrate(url: &str, timescale: Timescale) -> Result<Migrated, StoreError> {
    let (version, applied, is_timescale) = match open_backend(url, Access::Create, Clock::system()).await? {
        Backend::Sqlite(store) => (store.schema_version()?, store.applied_migrations().to_vec(), false),
        Backend::Postgres(store) => {
            let is_timescale = store.prepare_timescale(timescale).await?;
            (store.schema_version()?, store.applied_migrations().to_vec(), is_timescale)
        }
    };
    Ok(Migrated { version, applied, is_timescale })
}
