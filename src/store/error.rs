//! Why a store cannot do something, in words that say what to do, and whether waiting may help.

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no backend or cannot be read.
    #[error(
        "bad database URL {url:?}: {message}; write sqlite://PATH (sqlite://candlewick.db) or postgres://USER@HOST/DATABASE"
    )]
    Url {
        /// The URL, credentials removed.
        url: String,
        /// What is wrong.
        message: String,
    },
    /// The database cannot be opened or reached now.
    #[error("cannot open {url}: {message}")]
    Unavailable {
        /// The URL, credentials removed.
        url: String,
        /// The cause.
        message: String,
    },
    /// Somebody else holds a lock; waiting may help.
    #[error("the database is locked by another program; close it or wait ({0})")]
    Locked(String),
    /// No space left.
    #[error("no space left for the database; free some and nothing is lost ({0})")]
    Full(String),
    /// The database or its folder cannot be written.
    #[error("the database cannot be written; check the permissions ({0})")]
    ReadOnly(String),
    /// Another collector is running on this database.
    #[error("another collector holds this database ({holder}); stop it first, or use another --database")]
    Held {
        /// Who, as written in the lock.
        holder: String,
    },
    /// The schema has migrations this program does not know.
    #[error("the database has schema version {found}, this program knows up to {known}; use a newer candlewick")]
    NewerSchema {
        /// Newest migration found.
        found: String,
        /// Newest migration known.
        known: String,
    },
    /// The schema is older than this program needs.
    #[error("the database lacks {pending} migration(s); run `candlewick migrate`")]
    OlderSchema {
        /// How many are pending.
        pending: usize,
    },
    /// The file is no database, or a broken one.
    #[error("the database is damaged or not a database: {0}")]
    Corrupt(String),
    /// One change of the batch can never be stored.
    #[error("the database refused the data: {0}")]
    Refused(String),
    /// A row that this program cannot read.
    #[error("unreadable row in {table}: {message}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong, with the key of the row.
        message: String,
    },
}

impl StoreError {
    /// True when the same write may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            StoreError::Unavailable { .. } | StoreError::Locked(_) | StoreError::Full(_) | StoreError::ReadOnly(_)
        )
    }
}
