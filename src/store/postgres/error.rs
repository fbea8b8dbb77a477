//! What PostgreSQL says, in the store's own words. Decided by codes (SQLSTATE), never by texts,
//! which are in the server's language.

use std::error::Error as _;
use std::io;

use diesel::result::{ConnectionError, DatabaseErrorKind, Error};

use super::super::StoreError;
use super::super::fault::Fault;
use super::location::Location;
use super::wire::Heard;

/// What stopped a piece of work, in the store's words.
pub(super) fn into_store_error(fault: Fault, heard: &Heard, location: &Location) -> StoreError {
    match fault {
        Fault::Store(error) => error,
        Fault::Database(error) => from_database(error, heard, location),
    }
}

fn from_database(error: Error, heard: &Heard, location: &Location) -> StoreError {
    match error {
        // The cause of both is in the error that made the transaction end.
        Error::RollbackErrorOnCommit { commit_error, .. } => from_database(*commit_error, heard, location),
        Error::DatabaseError(kind, information) => {
            let words = match information.details() {
                Some(details) => format!("{} ({details})", information.message()),
                None => information.message().to_owned(),
            };
            match heard.take_code() {
                Some(code) => from_code(&code, words, location),
                None if heard.is_closed() || matches!(kind, DatabaseErrorKind::UnableToSendCommand) => {
                    unavailable(location, format!("the connection was lost: {words}"))
                }
                None => StoreError::Refused(words),
            }
        }
        other if heard.is_closed() => unavailable(location, format!("the connection was lost: {other}")),
        other => StoreError::Refused(other.to_string()),
    }
}

/// Codes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn from_code(code: &str, words: String, location: &Location) -> StoreError {
    match code {
        // disk_full
        "53100" => StoreError::Full(words),
        // read_only_sql_transaction
        "25006" => StoreError::ReadOnly(words),
        // insufficient_privilege
        "42501" => StoreError::ReadOnly(format!(
            "{words}; the role {} lacks a right, docs/postgresql.md lists them",
            location.user()
        )),
        // lock_not_available, serialization_failure, deadlock_detected
        "55P03" | "40001" | "40P01" => StoreError::Locked(words),
        // undefined_table, undefined_column, undefined_function: not our schema
        "42P01" | "42703" | "42883" => StoreError::Corrupt(words),
        // data_corrupted, index_corrupted
        "XX001" | "XX002" => StoreError::Corrupt(words),
        _ => match &code[..code.len().min(2)] {
            // connection exception, insufficient resources, operator intervention, system error,
            // and a transaction that was idle for too long
            "08" | "53" | "57" | "58" => unavailable(location, words),
            _ if code == "25P03" => unavailable(location, words),
            _ => StoreError::Refused(words),
        },
    }
}

fn unavailable(location: &Location, message: String) -> StoreError {
    StoreError::Unavailable { url: location.shown.clone(), message }
}

/// Nobody answered, or not as a server does.
pub(super) fn from_socket(cause: &io::Error, location: &Location) -> StoreError {
    let advice = match cause.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => "; does PostgreSQL run there?",
        // rustls puts what is wrong with a certificate into this kind.
        io::ErrorKind::InvalidData => "; see sslmode and sslrootcert in docs/postgresql.md",
        _ => "",
    };
    unavailable(location, format!("{cause}{advice}"))
}

/// The server answered and let nobody in.
pub(super) fn from_login(cause: &tokio_postgres::Error, location: &Location) -> StoreError {
    let Some(said) = cause.as_db_error() else {
        let why = cause.source().map(|source| format!(": {source}")).unwrap_or_default();
        return unavailable(location, format!("{cause}{why}"));
    };
    let (user, database) = (location.user(), location.database());
    let advice = match said.code().code() {
        // invalid_catalog_name
        "3D000" => format!("; create it: CREATE DATABASE {database} OWNER {user}"),
        // invalid_password
        "28P01" => format!(
            "; check the password (in the URL or PGPASSWORD), or create the role: CREATE ROLE {user} LOGIN PASSWORD '...'"
        ),
        // invalid_authorization_specification
        "28000" => format!("; create the role (CREATE ROLE {user} LOGIN PASSWORD '...') or let it in by pg_hba.conf"),
        // too_many_connections
        "53300" => "; raise max_connections, or that of the role or database".to_owned(),
        _ => String::new(),
    };
    unavailable(location, format!("{}{advice}", said.message()))
}

/// The first words after the login.
pub(super) fn from_setup(cause: ConnectionError, heard: &Heard, location: &Location) -> StoreError {
    match cause {
        ConnectionError::CouldntSetupConfiguration(error) => from_database(error, heard, location),
        other => unavailable(location, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_whether_waiting_helps() {
        let location = Location::parse("postgres://me@host/c").unwrap();
        let kind = |code: &str| {
            let error = from_code(code, "Wörter".to_owned(), &location);
            let name = match &error {
                StoreError::Unavailable { .. } => "unavailable",
                StoreError::Full(_) => "full",
                StoreError::ReadOnly(_) => "read-only",
                StoreError::Locked(_) => "locked",
                StoreError::Corrupt(_) => "corrupt",
                StoreError::Refused(_) => "refused",
                other => panic!("{other:?}"),
            };
            (name, error.is_transient())
        };
        for code in ["57P01", "57P02", "57P03", "57014", "53300", "53200", "08006", "58030", "25P03"] {
            assert_eq!(kind(code), ("unavailable", true), "{code}");
        }
        assert_eq!(kind("53100"), ("full", true));
        for code in ["25006", "42501"] {
            assert_eq!(kind(code), ("read-only", true), "{code}");
        }
        for code in ["55P03", "40001", "40P01"] {
            assert_eq!(kind(code), ("locked", true), "{code}");
        }
        for code in ["42P01", "XX001"] {
            assert_eq!(kind(code), ("corrupt", false), "{code}");
        }
        for code in ["23505", "23514", "22021", "22P02", "X", ""] {
            assert_eq!(kind(code), ("refused", false), "{code}");
        }
    }
}
