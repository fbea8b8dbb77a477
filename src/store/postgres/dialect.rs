//! What only PostgreSQL says this way: rows in [bulk](Bulk), and locks on rows.
//!
//! Locks are always taken in one order: the settings, series by id, symbols by id, the number of events.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, SmallInt, Text};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::super::fault::Fault;
use super::super::tables::moment::{Micros, Moment, instant};
use super::super::tables::records::{
    CandleRecord, CoverageRecord, EventRecord, FormingRecord, RevisionRecord, TradeRecord,
};
use super::super::tables::{series, settings, symbols};
use super::Connection;
use super::bulk::{Bulk, Column};
use super::sql::head::SeriesHead;

/// It may be away while the program runs.
pub const IS_SERVER: bool = true;

/// Keys named in one statement: each statement is a journey to the server.
pub const KEYS_AT_ONCE: usize = 500;

/// New candles or trades that are gathered before they are written, for the same reason.
pub const ROWS_AT_ONCE: usize = 5000;

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

/// Replaces a row with the same key, unless it is the same.
fn replacement(table: &str, columns: &[&str], key: &str) -> String {
    let of = |row: &str| columns.iter().map(|column| format!("{row}.{column}")).collect::<Vec<_>>().join(", ");
    let (stored, new) = (of(table), of("excluded"));
    format!(
        "ON CONFLICT ({key}) DO UPDATE SET ({}) = ROW ({new}) WHERE ({stored}) IS DISTINCT FROM ({new})",
        columns.join(", ")
    )
}

/// Rows of one series from which on it pays to update them by a statement of their own.
const WORTH_AN_UPDATE: usize = 100;

/// What stands around arrays of columns.
struct Around {
    before: String,
    after: String,
    is_repeated: bool,
}

/// Writes rows by arrays of their columns, and counts those that were written. `$around` makes what stands around
/// them of the columns' names.
macro_rules! write_rows {
    ($connection:expr, $rows:expr, $around:expr;
     $($($part:ident).+ : $type:ty as $column:literal),+ $(,)?) => {{
        let Around { before, after, is_repeated } = $around(&[$($column),+]);
        let mut written = 0;
        for rows in $rows.chunks(ROWS_PER_STATEMENT) {
            let columns = ($(Column::<$type, _>::of(rows.iter().map(|row| &row.$($part).+)),)+);
            written += Bulk { before: &before, columns, after: &after, is_repeated }.execute($connection)?;
        }
        written
    }};
}

/// New rows; `after` says what becomes of one that is there already.
fn insertion(table: &str, columns: &[&str], after: String) -> Around {
    Around { before: format!("INSERT INTO {table} ({})", columns.join(", ")), after, is_repeated: true }
}

/// The columns of candles.
macro_rules! write_candles {
    ($connection:expr, $rows:expr, $around:expr) => {
        write_rows!(
            $connection, $rows, $around;
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
        )
    };
}

/// New rows. Should somebody else have put one there by hand, it is replaced.
pub fn insert_candles(connection: &mut Connection, rows: &[CandleRecord]) -> Result<(), Fault> {
    let key = "series_id, open_time";
    write_candles!(connection, rows, |columns: &[_]| {
        insertion("candles", columns, replacement("candles", columns, key))
    });
    Ok(())
}

/// Rows that are there. Should somebody have deleted one by hand since it was read, it is written anew.
pub fn replace_candles(connection: &mut Connection, rows: &[CandleRecord]) -> Result<(), Fault> {
    let mut others = Vec::new();
    for rows in rows.chunk_by(|one, next| one.series_id == next.series_id) {
        if rows.len() < WORTH_AN_UPDATE || update_candles(connection, rows)? < rows.len() {
            others.extend_from_slice(rows);
        }
    }
    insert_candles(connection, &others)
}

/// Updates rows of one series by key, so that no conflict has to be found and locked before; counts
/// those that were there. The series and the time they span stand in the statement as constants: of
/// compressed rows TimescaleDB unpacks what constants select, and otherwise all.
fn update_candles(connection: &mut Connection, rows: &[CandleRecord]) -> Result<usize, Fault> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(0) };
    let (from, to) = (instant(first.open_time, "candles")?, instant(last.open_time, "candles")?);
    let among = format!(
        "candles.series_id = {} AND candles.open_time BETWEEN TIMESTAMPTZ '{}' AND TIMESTAMPTZ '{}'",
        first.series_id,
        from.to_rfc3339(),
        to.to_rfc3339()
    );
    Ok(write_candles!(connection, rows, |columns: &[&str]| {
        let (names, of_new) = (columns.join(", "), columns.iter().map(|column| format!("new.{column}")));
        let before = format!("WITH new ({names}) AS (");
        let after = format!(
            ") UPDATE candles SET ({names}) = ROW ({}) FROM new WHERE {among} AND candles.open_time = new.open_time",
            of_new.collect::<Vec<_>>().join(", ")
        );
        Around { before, after, is_repeated: false }
    }))
}

pub fn insert_revisions(connection: &mut Connection, rows: &[RevisionRecord]) -> Result<(), Fault> {
    write_rows!(
        connection, rows, |columns: &[_]| insertion("candle_revisions", columns, String::new());
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
    write_rows!(
        connection, rows,
        |columns: &[_]| insertion("forming_candles", columns, replacement("forming_candles", columns, "series_id"));
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

pub fn insert_events(connection: &mut Connection, rows: &[EventRecord]) -> Result<(), Fault> {
    write_rows!(
        connection, rows, |columns: &[_]| insertion("events", columns, String::new());
        number: BigInt as "number",
        time: Moment as "time",
        symbol_id: BigInt as "symbol_id",
        timeframe: Nullable<Text> as "timeframe",
        kind: Text as "kind",
        body: Text as "body",
    );
    Ok(())
}

/// Known ids are left alone.
pub fn insert_trades(connection: &mut Connection, rows: &[TradeRecord]) -> Result<(), Fault> {
    write_rows!(
        connection, rows, |columns: &[_]| insertion("trades", columns, "ON CONFLICT DO NOTHING".to_owned());
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
    let columns = (
        Column::<BigInt, _>::of(windows.iter().map(|(series, ..)| series)),
        Column::<Moment, _>::of(windows.iter().map(|(_, from, _)| from)),
        Column::<Moment, _>::of(windows.iter().map(|(.., to)| to)),
    );
    let before = "WITH spoken_of (series_id, from_time, to_time) AS (";
    let after = ") SELECT coverage.series_id, coverage.from_time, coverage.to_time, state, verified, reason, attempts, \
                 next_attempt_at, updated_at FROM spoken_of JOIN coverage ON coverage.series_id = spoken_of.series_id \
                 AND coverage.from_time <= spoken_of.to_time AND coverage.to_time >= spoken_of.from_time \
                 ORDER BY coverage.series_id, coverage.from_time";
    Ok(Bulk { before, columns, after, is_repeated: true }.load(connection)?)
}

/// Deletes entries by series and begin, then replaces or adds others.
pub fn write_ledgers(
    connection: &mut Connection,
    deleted: &[(i64, Micros)],
    written: &[CoverageRecord],
) -> Result<(), Fault> {
    if !deleted.is_empty() {
        let columns = (
            Column::<BigInt, _>::of(deleted.iter().map(|(series, _)| series)),
            Column::<Moment, _>::of(deleted.iter().map(|(_, from)| from)),
        );
        let before = "WITH gone (series_id, from_time) AS (";
        let after = ") DELETE FROM coverage USING gone \
                     WHERE coverage.series_id = gone.series_id AND coverage.from_time = gone.from_time";
        Bulk { before, columns, after, is_repeated: true }.execute(connection)?;
    }
    write_rows!(
        connection, written,
        |columns: &[_]| insertion("coverage", columns, replacement("coverage", columns, "series_id, from_time"));
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
    let columns = (
        Column::<BigInt, _>::of(heads.iter().map(|head| &head.id)),
        Column::<Nullable<Moment>, _>::of(heads.iter().map(|head| &head.observed_until)),
        Column::<BigInt, _>::of(heads.iter().map(|head| &head.last_sequence)),
    );
    let before = "WITH head (id, observed_until, last_sequence) AS (";
    let after = ") UPDATE series SET observed_until = head.observed_until, last_sequence = head.last_sequence \
                 FROM head WHERE series.id = head.id";
    Bulk { before, columns, after, is_repeated: true }.execute(connection)?;
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
