//! What only SQLite says this way: statements in bulk. Locks are not needed: a transaction that
//! writes has the database for itself from its first statement on (`BEGIN IMMEDIATE`).

use diesel::connection::{AnsiTransactionManager, TransactionManager, TransactionManagerStatus};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::super::fault::Fault;
use super::super::tables::moment::{Micros, Moment};
use super::super::tables::records::{
    CandleRecord, CoverageRecord, EventRecord, FormingRecord, RevisionRecord, TradeRecord,
};
use super::super::tables::{candle_revisions, candles, coverage, events, forming_candles, series};
use super::Connection;
use super::sql::head::SeriesHead;

/// It is a file, as near as the program itself.
pub const IS_SERVER: bool = false;

/// Keys named in one statement: few enough that what is held for it at once stays small.
pub const KEYS_AT_ONCE: usize = 100;

/// The schema, step by step.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Names of the tables that are in the way of ours: a file has one owner.
pub const TABLES: &str = "SELECT name AS text FROM sqlite_schema WHERE type = 'table'";

/// A transaction that has the database for itself from its begin (SQLite itself rolls back when the
/// disk is full).
pub fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> QueryResult<T>,
) -> QueryResult<T> {
    // Left open only by a panic in an earlier piece of work.
    if let TransactionManagerStatus::Valid(status) = AnsiTransactionManager::transaction_manager_status_mut(connection)
        && status.transaction_depth().is_some()
    {
        AnsiTransactionManager::rollback_transaction(connection)?;
    }
    connection.immediate_transaction(work)
}

/// New candles or trades that are gathered before they are written: the largest statement of `write_rows`.
pub const ROWS_AT_ONCE: usize = 128;

/// Writes rows in statements of fixed sizes, so that each is prepared once and then only bound.
/// 128 rows of the widest table stay far below SQLite's 32,766 bound values.
macro_rules! write_rows {
    ($connection:expr, $rows:expr, $chunk:ident => $statement:expr) => {{
        let mut rest: &[_] = $rows;
        while !rest.is_empty() {
            rest = write_rows!(@step $connection, rest, $chunk => $statement, 128, 16, 4, 1);
        }
        Ok(())
    }};
    (@step $connection:expr, $rows:expr, $chunk:ident => $statement:expr, $size:literal $(, $smaller:literal)*) => {
        match $rows.split_first_chunk::<$size>() {
            Some(($chunk, rest)) => {
                $statement.execute($connection)?;
                rest
            }
            None => write_rows!(@step $connection, $rows, $chunk => $statement $(, $smaller)*),
        }
    };
    (@step $connection:expr, $rows:expr, $chunk:ident => $statement:expr) => { $rows };
}

pub fn insert_candles(connection: &mut Connection, rows: &[CandleRecord]) -> Result<(), Fault> {
    write_rows!(connection, rows, chunk => diesel::insert_into(candles::table).values(chunk))
}

pub fn replace_candles(connection: &mut Connection, rows: &[CandleRecord]) -> Result<(), Fault> {
    write_rows!(connection, rows, chunk => diesel::replace_into(candles::table).values(chunk))
}

pub fn insert_revisions(connection: &mut Connection, rows: &[RevisionRecord]) -> Result<(), Fault> {
    write_rows!(connection, rows, chunk => diesel::insert_into(candle_revisions::table).values(chunk))
}

pub fn replace_forming(connection: &mut Connection, rows: &[FormingRecord]) -> Result<(), Fault> {
    write_rows!(connection, rows, chunk => diesel::replace_into(forming_candles::table).values(chunk))
}

pub fn insert_events(connection: &mut Connection, rows: &[EventRecord]) -> Result<(), Fault> {
    write_rows!(connection, rows, chunk => diesel::insert_into(events::table).values(chunk))
}

/// Known ids are left alone.
pub fn insert_trades(connection: &mut Connection, rows: &[TradeRecord]) -> Result<(), Fault> {
    write_rows!(connection, rows, chunk => InsertTrades(chunk))
}

/// `N` trades, but for known ids. diesel's own statement with `ON CONFLICT` has no name among the prepared
/// ones: its text would be written out, and be looked for, at every execution.
struct InsertTrades<'a, const N: usize>(&'a [TradeRecord; N]);

impl<const N: usize> QueryId for InsertTrades<'_, N> {
    type QueryId = InsertTrades<'static, N>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const N: usize> QueryFragment<Sqlite> for InsertTrades<'_, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("INSERT INTO trades (symbol_id, trade_id, venue_id, last_trade_id, time, price, amount, side)");
        for (index, row) in self.0.iter().enumerate() {
            out.push_sql(if index == 0 { " VALUES (" } else { "), (" });
            out.push_bind_param::<BigInt, _>(&row.symbol_id)?;
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(&row.trade_id)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(&row.venue_id)?;
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(&row.last_trade_id)?;
            out.push_sql(", ");
            out.push_bind_param::<Moment, _>(&row.time)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(&row.price)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(&row.amount)?;
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(&row.side)?;
        }
        out.push_sql(") ON CONFLICT (symbol_id, trade_id, venue_id) DO NOTHING");
        Ok(())
    }

    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<const N: usize> RunQueryDsl<Connection> for InsertTrades<'_, N> {}

/// The entries of a series' ledger that overlap or touch `[from, to]`, by series and oldest first.
pub fn read_ledgers(
    connection: &mut Connection,
    windows: &[(i64, Micros, Micros)],
) -> Result<Vec<CoverageRecord>, Fault> {
    let mut records = Vec::with_capacity(windows.len());
    for &(series, from, to) in windows {
        let touching: Vec<CoverageRecord> = coverage::table
            .filter(coverage::series_id.eq(series))
            .filter(coverage::from_time.le(to))
            .filter(coverage::to_time.ge(from))
            .order(coverage::from_time)
            .select(CoverageRecord::as_select())
            .load(connection)?;
        records.extend(touching);
    }
    Ok(records)
}

/// Deletes entries by series and begin, then replaces or adds others.
pub fn write_ledgers(
    connection: &mut Connection,
    deleted: &[(i64, Micros)],
    written: &[CoverageRecord],
) -> Result<(), Fault> {
    for &key in deleted {
        diesel::delete(coverage::table.find(key)).execute(connection)?;
    }
    for record in written {
        diesel::replace_into(coverage::table).values(record).execute(connection)?;
    }
    Ok(())
}

pub fn update_heads(connection: &mut Connection, heads: &[&SeriesHead]) -> Result<(), Fault> {
    for head in heads {
        diesel::update(series::table.find(head.id))
            .set((series::observed_until.eq(head.observed_until), series::last_sequence.eq(head.last_sequence)))
            .execute(connection)?;
    }
    Ok(())
}

pub fn lock_settings(_: &mut Connection) -> Result<(), Fault> {
    Ok(())
}

pub fn lock_ledgers(_: &mut Connection, _series: &[i64], _symbols: &[i64]) -> Result<(), Fault> {
    Ok(())
}

/// One program at a time brings the schema up to date.
pub fn lock_schema(_: &mut Connection) -> Result<(), Fault> {
    Ok(())
}
