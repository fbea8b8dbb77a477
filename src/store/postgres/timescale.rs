//! TimescaleDB: candles and trades in chunks of time, old chunks compressed. An extra of
//! `candlewick migrate` for databases that have the extension; rows in compressed chunks are corrected
//! like any other (TimescaleDB 2.11 or newer).

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types};

use super::Connection;
use super::sql::transaction;
use crate::store::fault::Fault;

/// How TimescaleDB keeps candles and trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timescale {
    /// How much time a chunk spans.
    pub chunk_interval: Duration,
    /// How old a chunk is when it is compressed.
    pub compress_after: Duration,
}

impl Default for Timescale {
    fn default() -> Timescale {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Timescale { chunk_interval: 7 * DAY, compress_after: 30 * DAY }
    }
}

/// A table that becomes a hypertable: its name, its time, what rows of a chunk are compressed
/// together, and in which order.
const TABLES: [[&str; 4]; 2] =
    [["candles", "open_time", "series_id", "open_time"], ["trades", "time", "symbol_id", "time, trade_id, venue_id"]];

/// What must be done to `trades` before.
const TRADES_BY_TIME: &str = include_str!("trades_by_time.sql");

/// What a connection sets: a correction may unpack as many rows as it needs. Versions that have a limit
/// refuse one that is spread over more than 100,000; others know no such setting.
pub(super) const SESSION: &str = "DO $$ BEGIN \
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN \
        PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false); \
    END IF; \
    EXCEPTION WHEN OTHERS THEN NULL; END $$";

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = sql_types::Bool)]
    is_so: bool,
}

fn is_so(connection: &mut Connection, condition: &str) -> Result<bool, Fault> {
    Ok(sql_query(format!("SELECT {condition} AS is_so")).get_result::<Answer>(connection)?.is_so)
}

/// Makes hypertables where the extension is, and gives them the settings; false where it is not.
pub(super) fn prepare(connection: &mut Connection, settings: Timescale) -> Result<bool, Fault> {
    if !is_so(connection, "EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')")? {
        return Ok(false);
    }
    transaction(connection, |connection| {
        for [table, time, segment, order] in TABLES {
            let is_hypertable = format!(
                "EXISTS (SELECT FROM timescaledb_information.hypertables \
                 WHERE hypertable_schema = current_schema() AND hypertable_name = '{table}')"
            );
            if !is_so(connection, &is_hypertable)? {
                if table == "trades" {
                    connection.batch_execute(TRADES_BY_TIME)?;
                }
                connection.batch_execute(&creation(table, time, segment, order, settings))?;
            }
            connection.batch_execute(&policy(table, settings))?;
        }
        Ok(true)
    })
}

fn seconds(duration: Duration) -> String {
    format!("INTERVAL '{} seconds'", duration.as_secs())
}

fn creation(table: &str, time: &str, segment: &str, order: &str, settings: Timescale) -> String {
    format!(
        "SELECT create_hypertable('{table}', '{time}', chunk_time_interval => {}, \
         create_default_indexes => false, migrate_data => true); \
         ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = '{segment}', \
         timescaledb.compress_orderby = '{order}')",
        seconds(settings.chunk_interval)
    )
}

/// The settings may have changed since the tables were made.
fn policy(table: &str, settings: Timescale) -> String {
    format!(
        "SELECT set_chunk_time_interval('{table}', {}); \
         SELECT remove_compression_policy('{table}', if_exists => true); \
         SELECT add_compression_policy('{table}', compress_after => {})",
        seconds(settings.chunk_interval),
        seconds(settings.compress_after)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_name_what_timescaledb_needs() {
        let [table, time, segment, order] = TABLES[1];
        assert_eq!(
            creation(table, time, segment, order, Timescale::default()),
            "SELECT create_hypertable('trades', 'time', chunk_time_interval => INTERVAL '604800 seconds', \
             create_default_indexes => false, migrate_data => true); \
             ALTER TABLE trades SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol_id', \
             timescaledb.compress_orderby = 'time, trade_id, venue_id')"
        );
        assert_eq!(
            policy("candles", Timescale { compress_after: Duration::from_secs(60), ..Timescale::default() }),
            "SELECT set_chunk_time_interval('candles', INTERVAL '604800 seconds'); \
             SELECT remove_compression_policy('candles', if_exists => true); \
             SELECT add_compression_policy('candles', compress_after => INTERVAL '60 seconds')"
        );
    }
}
