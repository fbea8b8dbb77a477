//! The schema a connection finds, and the way to the newest one.

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::result::Error;
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types};
use diesel_migrations::MigrationHarness;

use super::{Connection, dialect, transaction};
use crate::store::fault::Fault;
use crate::store::{Access, StoreError};

type Database = <Connection as diesel::Connection>::Backend;

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = sql_types::Text)]
    text: String,
}

fn texts(connection: &mut Connection, query: &str) -> Result<Vec<String>, Fault> {
    Ok(sql_query(query).load::<Text>(connection)?.into_iter().map(|row| row.text).collect())
}

/// Versions of the embedded migrations that the database lacks, oldest first.
///
/// # Errors
/// [`StoreError::NewerSchema`] for a version this program does not know, [`StoreError::Corrupt`]
/// for a database that belongs to another program.
fn pending(connection: &mut Connection) -> Result<Vec<String>, Fault> {
    let tables = texts(connection, dialect::TABLES)?;
    let applied = if tables.iter().any(|name| name == "__diesel_schema_migrations") {
        texts(connection, "SELECT version AS text FROM __diesel_schema_migrations ORDER BY version")?
    } else if tables.is_empty() {
        Vec::new()
    } else {
        let message = format!("it holds tables of another program ({})", tables.join(", "));
        return Err(StoreError::Corrupt(message).into());
    };
    let known = known_versions()?;
    if let Some(found) = applied.iter().rev().find(|version| !known.contains(version)) {
        let known = newest_version()?;
        return Err(StoreError::NewerSchema { found: found.clone(), known }.into());
    }
    Ok(known.into_iter().filter(|version| !applied.contains(version)).collect())
}

/// Version of the newest embedded migration.
pub fn newest_version() -> Result<String, Fault> {
    Ok(known_versions()?.pop().unwrap_or_default())
}

fn known_versions() -> Result<Vec<String>, Fault> {
    let migrations: Vec<Box<dyn Migration<Database>>> = dialect::MIGRATIONS.migrations().map_err(migration_fault)?;
    let mut versions: Vec<String> = migrations.iter().map(|migration| migration.name().version().to_string()).collect();
    versions.sort();
    Ok(versions)
}

/// Brings the schema up to date and returns the versions applied. With [`Access::Create`] only;
/// any other access finds an older schema and says so.
pub fn prepare(connection: &mut Connection, access: Access) -> Result<Vec<String>, Fault> {
    let missing = pending(connection)?;
    if missing.is_empty() {
        return Ok(missing);
    }
    if access != Access::Create {
        return Err(StoreError::OlderSchema { pending: missing.len() }.into());
    }
    // Two programs may create one database at the same time: the second finds nothing left to do.
    transaction(connection, |connection| {
        dialect::lock_schema(connection)?;
        pending(connection)?;
        let applied = connection.run_pending_migrations(dialect::MIGRATIONS).map_err(migration_fault)?;
        Ok(applied.iter().map(MigrationVersion::to_string).collect())
    })
}

/// The database's own fault where there is one underneath.
fn migration_fault(error: Box<dyn std::error::Error + Send + Sync>) -> Fault {
    match error.downcast::<Error>() {
        Ok(error) => Fault::Database(*error),
        Err(other) => Fault::Database(Error::QueryBuilderError(other)),
    }
}
