//! What stops a piece of work on a connection, before it is put into the store's words.

use diesel::result::Error;

use super::StoreError;

/// Named so that `?` works on both kinds.
#[derive(Debug)]
pub enum Fault {
    /// Already in the store's words.
    Store(StoreError),
    /// Still in the database's.
    Database(Error),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Store(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Database(error)
    }
}

impl Fault {
    /// A change that can never be stored.
    pub fn refused(message: impl Into<String>) -> Fault {
        Fault::Store(StoreError::Refused(message.into()))
    }
}
