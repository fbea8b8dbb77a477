//! What SQLite says, in the store's own words.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error};

use super::super::StoreError;
use super::super::fault::Fault;

/// What stopped a piece of work, in the store's words.
pub(in crate::store) fn into_store_error(fault: Fault, url: &str) -> StoreError {
    match fault {
        Fault::Store(error) => error,
        Fault::Database(error) => from_database(error, url),
    }
}

fn from_database(error: Error, url: &str) -> StoreError {
    match error {
        Error::DatabaseError(kind, information) => match kind {
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation => StoreError::Refused(information.message().to_owned()),
            _ => from_words(information.message(), url),
        },
        // The cause of both is in the error that made the transaction end.
        Error::RollbackErrorOnCommit { commit_error, .. } => from_database(*commit_error, url),
        other => StoreError::Refused(other.to_string()),
    }
}

/// Opening a file only ever says a result code's text.
pub(super) fn from_connection(error: ConnectionError, url: &str) -> StoreError {
    match error {
        ConnectionError::BadConnection(words) => from_words(&words, url),
        ConnectionError::CouldntSetupConfiguration(error) => from_database(error, url),
        other => StoreError::Unavailable { url: url.to_owned(), message: other.to_string() },
    }
}

/// The texts of SQLite's result codes (`sqlite3ErrStr` in its source, unchanged for many years).
/// Diesel hands on this text and not the code. A lock inside the database also names its table.
fn from_words(words: &str, url: &str) -> StoreError {
    let unavailable = |message: &str| StoreError::Unavailable { url: url.to_owned(), message: message.to_owned() };
    match words {
        "database or disk is full" => StoreError::Full(words.to_owned()),
        "attempt to write a readonly database" => StoreError::ReadOnly(words.to_owned()),
        "database is locked" | "locking protocol" => StoreError::Locked(words.to_owned()),
        "file is not a database" | "database disk image is malformed" => StoreError::Corrupt(words.to_owned()),
        "unable to open database file" => {
            unavailable("unable to open the file; check that it and its folder exist and may be read and written")
        }
        "disk I/O error" | "out of memory" | "access permission denied" => unavailable(words),
        _ if words.starts_with("database table is locked") || words.starts_with("database schema is locked") => {
            StoreError::Locked(words.to_owned())
        }
        _ => StoreError::Refused(words.to_owned()),
    }
}
