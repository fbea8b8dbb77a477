//! The file: its schema, how it is opened, and what is asked of it. Runs on threads that may block.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, SqliteConnection, sql_query};

use super::{Depth, Owner, SpoolError, damaged, shown};
use crate::store::StoreError;
use crate::store::fault::Fault;
use crate::store::sqlite::into_store_error;

diesel::table! {
    jobs (id) {
        id -> BigInt,
        symbol_id -> BigInt,
        spooled_at -> BigInt,
        rows -> BigInt,
        bytes -> BigInt,
        only_adds -> Bool,
        payload -> Text,
    }
}

diesel::table! {
    owners (symbol_id) {
        symbol_id -> BigInt,
        description -> Text,
    }
}

diesel::table! {
    holder (id) {
        id -> BigInt,
        fence -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(jobs, owners);

/// In the head of the file: "cwsp", and the version of the schema.
const APPLICATION: i64 = 0x6377_7370;
const VERSION: i64 = 1;

/// Tickets are never given out twice (AUTOINCREMENT). What is removed gives its space back.
const SCHEMA: &str = "
    PRAGMA auto_vacuum = FULL;
    BEGIN EXCLUSIVE;
    -- One sender's changes, in the order they came; times in microseconds of UTC.
    CREATE TABLE jobs (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        symbol_id  BIGINT  NOT NULL,
        spooled_at BIGINT  NOT NULL,
        rows       BIGINT  NOT NULL,
        bytes      BIGINT  NOT NULL,
        -- Others have written to the database since.
        only_adds  BOOLEAN NOT NULL DEFAULT 0,
        payload    TEXT    NOT NULL
    );
    -- Whose they are, in names.
    CREATE TABLE owners (symbol_id BIGINT PRIMARY KEY, description TEXT NOT NULL);
    -- The number under which the database's lock was held when they were written.
    CREATE TABLE holder (id BIGINT PRIMARY KEY CHECK (id = 1), fence BIGINT);
    INSERT INTO holder VALUES (1, NULL);
    PRAGMA application_id = 1668772720;
    PRAGMA user_version = 1;
    COMMIT;";

/// How long another program's lock is waited for: one that was just killed is gone in a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Insertable)]
#[diesel(table_name = jobs)]
pub(super) struct NewJob {
    pub symbol_id: i64,
    pub spooled_at: i64,
    pub rows: i64,
    pub bytes: i64,
    pub payload: String,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = jobs)]
pub(super) struct JobRow {
    pub id: i64,
    pub symbol_id: i64,
    pub only_adds: bool,
    pub payload: String,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = owners)]
pub(super) struct OwnerRow {
    pub symbol_id: i64,
    pub description: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Words {
    #[diesel(sql_type = Text)]
    words: String,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    jobs: i64,
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

/// What stopped a piece of work on the file.
pub(super) fn spool_error(fault: Fault, path: &Path) -> SpoolError {
    let path_text = shown(path);
    match into_store_error(fault, &path_text) {
        StoreError::Corrupt(message) => SpoolError::Damaged { path: path_text, message },
        source => SpoolError::File { path: path_text, source },
    }
}

/// Opens the file for this program alone, creating it when absent.
pub(super) fn open(path: &Path) -> Result<SqliteConnection, SpoolError> {
    let is_empty = create(path).map_err(|error| SpoolError::File {
        path: shown(path),
        source: StoreError::Unavailable { url: shown(path), message: error.to_string() },
    })?;
    let establish = || -> Result<SqliteConnection, Fault> {
        let mut connection = SqliteConnection::establish(&shown(path))
            .map_err(|error| StoreError::Unavailable { url: shown(path), message: error.to_string() })?;
        let timeout = BUSY_TIMEOUT.as_millis();
        connection.batch_execute(&format!("PRAGMA busy_timeout = {timeout}; PRAGMA locking_mode = EXCLUSIVE"))?;
        if is_empty {
            connection.batch_execute(SCHEMA)?;
        }
        Ok(connection)
    };
    let in_use = |error: SpoolError| match error {
        SpoolError::File { path, source: StoreError::Locked(_) } => SpoolError::InUse { path },
        SpoolError::Damaged { path, message } => SpoolError::Foreign { path, message },
        other => other,
    };
    let mut connection = establish().map_err(|fault| in_use(spool_error(fault, path)))?;
    let pragma = |connection: &mut SqliteConnection, name: &str| {
        let query = sql_query(format!("SELECT {name} AS number FROM pragma_{name}"));
        query.get_result::<Number>(connection).map(|row| row.number)
    };
    let known = pragma(&mut connection, "application_id").and_then(|application| {
        let version = pragma(&mut connection, "user_version")?;
        Ok((application, version))
    });
    match known.map_err(|error| in_use(spool_error(error.into(), path)))? {
        (APPLICATION, VERSION) => {}
        (APPLICATION, version) => {
            let message = format!("it has version {version}, this program knows {VERSION}");
            return Err(SpoolError::Foreign { path: shown(path), message });
        }
        _ => {
            let message = "it is a SQLite database of something else".to_owned();
            return Err(SpoolError::Foreign { path: shown(path), message });
        }
    }
    // Durable when a commit returns. WAL: one sync per commit. Taking the lock once keeps it.
    let lasting = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT";
    connection.batch_execute(lasting).map_err(|error| match spool_error(error.into(), path) {
        SpoolError::File { path, source: StoreError::Locked(_) } => SpoolError::InUse { path },
        other => other,
    })?;
    let checked = sql_query("SELECT quick_check AS words FROM pragma_quick_check").load::<Words>(&mut connection);
    let checked = checked.map_err(|error| spool_error(error.into(), path))?;
    match checked.first() {
        Some(line) if line.words == "ok" => Ok(connection),
        line => Err(damaged(path, line.map_or("it cannot be checked", |line| line.words.as_str()))),
    }
}

/// Makes an empty file that only its owner may read; true when there is nothing in it.
fn create(path: &Path) -> std::io::Result<bool> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let is_empty = options.open(path)?.metadata()?.len() == 0;
    if is_empty && let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // Its name is to survive a power cut as well.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
    }
    Ok(is_empty)
}

/// How much waits up to a ticket, and the newest ticket ever given out.
pub(super) fn depth(connection: &mut SqliteConnection, through: i64) -> Result<Depth, Fault> {
    let query = "SELECT count(*) AS jobs, coalesce(sum(rows), 0) AS rows, coalesce(sum(bytes), 0) AS bytes, \
                 coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0) AS last FROM jobs WHERE id <= $1";
    let counted = sql_query(query).bind::<BigInt, _>(through).get_result(connection)?;
    let Counted { jobs, rows, bytes, last } = counted;
    let unsigned = |number: i64| number.max(0) as u64;
    let (jobs, rows, bytes) = (unsigned(jobs), unsigned(rows), unsigned(bytes));
    Ok(Depth { jobs, rows, bytes, last, ..Depth::default() })
}

/// Those of whom something waits.
pub(super) fn owners(connection: &mut SqliteConnection) -> Result<Vec<Owner>, Fault> {
    let waiting = owners::table.filter(owners::symbol_id.eq_any(jobs::table.select(jobs::symbol_id)));
    let rows: Vec<OwnerRow> = waiting.order(owners::symbol_id).load(connection)?;
    let read = |row: OwnerRow| serde_json::from_str(&row.description);
    rows.into_iter().map(|row| read(row).map_err(|error| StoreError::Corrupt(error.to_string()).into())).collect()
}

/// The lock is held under this number from now on. True when somebody else held it in between and
/// something waits.
pub(super) fn take_up(connection: &mut SqliteConnection, fence: Option<i64>) -> Result<bool, Fault> {
    connection.immediate_transaction(|connection| {
        let before: Option<i64> = holder::table.select(holder::fence).first(connection)?;
        let is_next = match (before, fence) {
            (Some(before), Some(fence)) => fence == before + 1,
            _ => true,
        };
        let mut marked = 0;
        if !is_next {
            marked = diesel::update(jobs::table).set(jobs::only_adds.eq(true)).execute(connection)?;
        }
        diesel::update(holder::table).set(holder::fence.eq(fence)).execute(connection)?;
        Ok(marked > 0)
    })
}

/// Far below SQLite's 32,766 values per statement.
const ROWS_PER_STATEMENT: usize = 500;

/// Appends, and gives the last ticket.
pub(super) fn append(connection: &mut SqliteConnection, owners: &[OwnerRow], rows: &[NewJob]) -> Result<i64, Fault> {
    connection.immediate_transaction(|connection| {
        for owner in owners {
            diesel::replace_into(owners::table).values(owner).execute(connection)?;
        }
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            diesel::insert_into(jobs::table).values(rows).execute(connection)?;
        }
        let last: Option<i64> = jobs::table.select(diesel::dsl::max(jobs::id)).first(connection)?;
        Ok(last.unwrap_or_default())
    })
}

pub(super) fn read(connection: &mut SqliteConnection, after: i64, limit: usize) -> Result<Vec<JobRow>, Fault> {
    let oldest = jobs::table.filter(jobs::id.gt(after)).order(jobs::id).limit(limit as i64);
    Ok(oldest.select(JobRow::as_select()).load(connection)?)
}

/// Removes everything up to a ticket, and says how much that was.
pub(super) fn remove(connection: &mut SqliteConnection, through: i64) -> Result<Depth, Fault> {
    connection.immediate_transaction(|connection| {
        let removed = depth(connection, through)?;
        diesel::delete(jobs::table.filter(jobs::id.le(through))).execute(connection)?;
        Ok(removed)
    })
}
