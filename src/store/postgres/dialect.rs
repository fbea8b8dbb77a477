//! What only PostgreSQL says this way: rows in bulk by `UNNEST` (one array a column, so that a
//! statement is the same for one row and for thousands), and locks on rows.
//!
//! Locks are always taken in one order: the settings, series by id, symbols by id, the number of events.

use diesel::pg::sql_types::Array;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, SmallInt, Text};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::super::fault::Fault;
use super::super::tables::moment::{Micros, Moment};
use super::super::tables::records::{CandleRecord, CoverageRecord, FormingRecord, RevisionRecord, TradeRecord};
use super::super::tables::{series, settings, symbols};
use super::Connection;
use super::sql::head::SeriesHead;

/// It may be away while the program runs.
pub const IS_SERVER: bool = true;

/// The schema, step by step.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Names of the tables that are in the way of ours: a schema may hold others.
pub const TABLES: &str = "SELECT tablename::text AS text FROM pg_tables WHERE schemaname = current_schema() \
    AND tablename IN ('__diesel_schema_migrations', 'exchanges', 'symbols', 'settings', 'series', 'candles', \
    'candle_revisions', 'forming_candles', 'trades', 'coverage', 'trade_coverage', 'tickers', 'commands', \
    'process_status', 'collector_lock', 'events', 'event_head', 'open_gaps')";

/// A transaction in which every statement sees what is committed when it begins.
pub fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> QueryResult<T>,
) -> QueryResult<T> {
    diesel::Connection::transaction(connection, work)
}

/// Rows written by one statement: what it costs in memory stays small, and larger ones are no faster.
const ROWS_PER_STATEMENT: usize = 5000;

/// `INSERT INTO table (columns) SELECT * FROM UNNEST($1, $2, ...)` and what follows.
fn insertion(table: &str, columns: &[&str], on_conflict: &str) -> String {
    let arrays: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    format!("INSERT INTO {table} ({}) SELECT * FROM UNNEST({}) {on_conflict}", columns.join(", "), arrays.join(", "))
}

/// Replaces a row with the same key, unless it is the same.
fn replacement(table: &str, columns: &[&str], key: &str) -> String {
    let of = |row: &str| columns.iter().map(|column| format!("{row}.{column}")).collect::<Vec<_>>().join(", ");
    let (stored, new) = (of(table), of("excluded"));
    format!(
        "ON CONFLICT ({key}) DO UPDATE SET ({}) = ROW ({new}) WHERE ({stored}) IS DISTINCT FROM ({new})",
        columns.join(", ")
    )
}

/// Writes rows by arrays of their columns.
macro_rules! insert_rows {
    ($connection:expr, $rows:expr, $table:literal, $on_conflict:expr;
     $($($part:ident).+ : $type:ty as $column:literal),+ $(,)?) => {{
        let columns: &[&str] = &[$($column),+];
        for rows in $rows.chunks(ROWS_PER_STATEMENT) {
            sql_query(insertion($table, columns, &$on_conflict(columns)))
                $(.bind::<Array<$type>, _>(rows.iter().map(|row| &row.$($part).+).collect::<Vec<_>>()))+
                .execute($connection)?;
        }
    }};
}

/// New rows. Should somebody else have put one there by hand, it is replaced.
pub fn insert_candles(connection: &mut Connection, rows: &[CandleRecord]) -> Result<(), Fault> {
    insert_rows!(
        connection, rows, "candles", |columns: &_| replacement("candles", columns, "series_id, open_time");
        series_id: BigInt as "series_id",
        open_time: Moment as "open_time",
        open: Double as "open",
        high: Double as "high",
        low: Double as "low",
        close: Double as "close",
        volume: Double as "volume",
        quote_volume: Nullable<Double> as "quote_volume",
        trades: Nullable<BigInt> as "trades",
        vwap: Nullable<Double> as "vwap",
        source: SmallInt as "source",
        rule: SmallInt as "rule",
        flags: SmallInt as "flags",
        revision: Integer as "revision",
        sequence: BigInt as "sequence",
        observed_at: Moment as "observed_at",
        first_written_at: Moment as "first_written_at",
        updated_at: Moment as "updated_at",
    );
    Ok(())
}

pub fn replace_candles(connection: &mut Connection, rows: &[CandleRecord]) -> Result<(), Fault> {
    insert_candles(connection, rows)
}

pub fn insert_revisions(connection: &mut Connection, rows: &[RevisionRecord]) -> Result<(), Fault> {
    insert_rows!(
        connection, rows, "candle_revisions", |_: &_| String::new();
        old.series_id: BigInt as "series_id",
        old.open_time: Moment as "open_time",
        old.revision: Integer as "revision",
        old.open: Double as "open",
        old.high: Double as "high",
        old.low: Double as "low",
        old.close: Double as "close",
        old.volume: Double as "volume",
        old.quote_volume: Nullable<Double> as "quote_volume",
        old.trades: Nullable<BigInt> as "trades",
        old.vwap: Nullable<Double> as "vwap",
        old.source: SmallInt as "source",
        old.rule: SmallInt as "rule",
        old.flags: SmallInt as "flags",
        sequence: BigInt as "sequence",
        old.observed_at: Moment as "observed_at",
        old.first_written_at: Moment as "first_written_at",
        old.updated_at: Moment as "updated_at",
        replaced_at: Moment as "replaced_at",
    );
    Ok(())
}

pub fn replace_forming(connection: &mut Connection, rows: &[FormingRecord]) -> Result<(), Fault> {
    insert_rows!(
        connection, rows, "forming_candles", |columns: &_| replacement("forming_candles", columns, "series_id");
        series_id: BigInt as "series_id",
        open_time: Moment as "open_time",
        open: Double as "open",
        high: Double as "high",
        low: Double as "low",
        close: Double as "close",
        volume: Double as "volume",
        quote_volume: Nullable<Double> as "quote_volume",
        trades: Nullable<BigInt> as "trades",
        vwap: Nullable<Double> as "vwap",
        updated_at: Moment as "updated_at",
    );
    Ok(())
}

/// Known ids are left alone.
pub fn insert_trades(connection: &mut Connection, rows: &[TradeRecord]) -> Result<(), Fault> {
    insert_rows!(
        connection, rows, "trades", |_: &_| "ON CONFLICT DO NOTHING".to_owned();
        symbol_id: BigInt as "symbol_id",
        trade_id: BigInt as "trade_id",
        venue_id: Text as "venue_id",
        last_trade_id: BigInt as "last_trade_id",
        time: Moment as "time",
        price: Text as "price",
        amount: Text as "amount",
        side: Nullable<Text> as "side",
    );
    Ok(())
}

/// The entries of a series' ledger that overlap or touch `[from, to]`, by series and oldest first.
pub fn read_ledgers(
    connection: &mut Connection,
    windows: &[(i64, Micros, Micros)],
) -> Result<Vec<CoverageRecord>, Fault> {
    if windows.is_empty() {
        return Ok(Vec::new());
    }
    let query = "SELECT coverage.* FROM UNNEST($1, $2, $3) AS spoken_of (series_id, from_time, to_time) \
                 JOIN coverage ON coverage.series_id = spoken_of.series_id \
                 AND coverage.from_time <= spoken_of.to_time AND coverage.to_time >= spoken_of.from_time \
                 ORDER BY coverage.series_id, coverage.from_time";
    let records = sql_query(query)
        .bind::<Array<BigInt>, _>(windows.iter().map(|(series, ..)| series).collect::<Vec<_>>())
        .bind::<Array<Moment>, _>(windows.iter().map(|(_, from, _)| from).collect::<Vec<_>>())
        .bind::<Array<Moment>, _>(windows.iter().map(|(.., to)| to).collect::<Vec<_>>())
        .load(connection)?;
    Ok(records)
}

/// Deletes entries by series and begin, then replaces or adds others.
pub fn write_ledgers(
    connection: &mut Connection,
    deleted: &[(i64, Micros)],
    written: &[CoverageRecord],
) -> Result<(), Fault> {
    if !deleted.is_empty() {
        let query = "DELETE FROM coverage USING UNNEST($1, $2) AS gone (series_id, from_time) \
                     WHERE coverage.series_id = gone.series_id AND coverage.from_time = gone.from_time";
        sql_query(query)
            .bind::<Array<BigInt>, _>(deleted.iter().map(|(series, _)| series).collect::<Vec<_>>())
            .bind::<Array<Moment>, _>(deleted.iter().map(|(_, from)| from).collect::<Vec<_>>())
            .execute(connection)?;
    }
    insert_rows!(
        connection, written, "coverage", |columns: &_| replacement("coverage", columns, "series_id, from_time");
        series_id: BigInt as "series_id",
        from_time: Moment as "from_time",
        to_time: Moment as "to_time",
        state: Text as "state",
        verified: Bool as "verified",
        reason: Nullable<Text> as "reason",
        attempts: BigInt as "attempts",
        next_attempt_at: Nullable<Moment> as "next_attempt_at",
        updated_at: Moment as "updated_at",
    );
    Ok(())
}

pub fn update_heads(connection: &mut Connection, heads: &[&SeriesHead]) -> Result<(), Fault> {
    if heads.is_empty() {
        return Ok(());
    }
    let query = "UPDATE series SET observed_until = head.observed_until, last_sequence = head.last_sequence \
                 FROM UNNEST($1, $2, $3) AS head (id, observed_until, last_sequence) WHERE series.id = head.id";
    sql_query(query)
        .bind::<Array<BigInt>, _>(heads.iter().map(|head| &head.id).collect::<Vec<_>>())
        .bind::<Array<Nullable<Moment>>, _>(heads.iter().map(|head| &head.observed_until).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(heads.iter().map(|head| &head.last_sequence).collect::<Vec<_>>())
        .execute(connection)?;
    Ok(())
}

/// Changes of what to collect come one after the other.
pub fn lock_settings(connection: &mut Connection) -> Result<(), Fault> {
    settings::table.select(settings::version).for_update().first::<i64>(connection)?;
    Ok(())
}

/// Whoever changes a ledger holds its series (of trades, its symbol) to the end of the transaction.
/// Ids are sorted: two writers never wait for each other.
pub fn lock_ledgers(connection: &mut Connection, series: &[i64], symbols: &[i64]) -> Result<(), Fault> {
    if !series.is_empty() {
        let rows = series::table.filter(series::id.eq_any(series)).order(series::id).select(series::id);
        rows.for_update().load::<i64>(connection)?;
    }
    if !symbols.is_empty() {
        let rows = symbols::table.filter(symbols::id.eq_any(symbols)).order(symbols::id).select(symbols::id);
        rows.for_update().load::<i64>(connection)?;
    }
    Ok(())
}

/// One program at a time brings the schema up to date.
pub fn lock_schema(connection: &mut Connection) -> Result<(), Fault> {
    sql_query("SELECT pg_advisory_xact_lock(-1129270852, 0)").execute(connection)?;
    Ok(())
}
