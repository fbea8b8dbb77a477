//! Instants as both databases keep them: `TIMESTAMPTZ` in PostgreSQL, microseconds in SQLite.

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, SqlType};
use diesel::sqlite::Sqlite;

use super::super::StoreError;

/// The type of a column that holds an instant.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(sqlite_type(name = "Long"), postgres_type(oid = 1184, array_oid = 1185))]
pub struct Moment;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Moment)]
pub struct Micros(pub i64);

/// An instant as it is stored.
pub fn micros(time: DateTime<Utc>) -> Micros {
    Micros(time.timestamp_micros())
}

/// A stored instant.
pub fn instant(Micros(micros): Micros, table: &'static str) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| StoreError::Row { table, message: format!("{micros} is no instant in microseconds") })
}

/// A stored instant that may be absent.
pub fn optional_instant(micros: Option<Micros>, table: &'static str) -> Result<Option<DateTime<Utc>>, StoreError> {
    micros.map(|micros| instant(micros, table)).transpose()
}

impl ToSql<Moment, Sqlite> for Micros {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0);
        Ok(IsNull::No)
    }
}

impl FromSql<Moment, Sqlite> for Micros {
    fn from_sql(value: <Sqlite as diesel::backend::Backend>::RawValue<'_>) -> deserialize::Result<Micros> {
        <i64 as FromSql<BigInt, Sqlite>>::from_sql(value).map(Micros)
    }
}

/// 2000-01-01, from which PostgreSQL counts its microseconds.
const PG_EPOCH: i64 = 946_684_800_000_000;
/// The first instant a `TIMESTAMPTZ` can hold, in the year 4714 BC; what is earlier is `-infinity`.
/// Its last one, in the year 294276, is later than anything that can be said here.
const PG_FIRST: i64 = -211_813_488_000_000_000;

/// An instant as PostgreSQL sends it: microseconds since its epoch.
fn to_pg(micros: Micros) -> i64 {
    let moment = micros.0.saturating_sub(PG_EPOCH);
    if moment < PG_FIRST { i64::MIN } else { moment }
}

/// The way back. An infinity becomes what no instant can be.
fn from_pg(moment: i64) -> Micros {
    Micros(moment.saturating_add(PG_EPOCH))
}

impl ToSql<Moment, Pg> for Micros {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <i64 as ToSql<BigInt, Pg>>::to_sql(&to_pg(*self), &mut out.reborrow())
    }
}

impl FromSql<Moment, Pg> for Micros {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Micros> {
        <i64 as FromSql<BigInt, Pg>>::from_sql(value).map(from_pg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_to_the_microsecond_and_rubbish_is_named() {
        let time: DateTime<Utc> = "2025-11-10T17:23:53.971744Z".parse().unwrap();
        assert_eq!(instant(micros(time), "candles").unwrap(), time);
        let error = instant(Micros(i64::MAX), "candles").unwrap_err().to_string();
        assert_eq!(error, "unreadable row in candles: 9223372036854775807 is no instant in microseconds");
    }

    #[test]
    fn postgresql_counts_from_the_year_2000_and_has_infinities_at_both_ends() {
        let midnight: DateTime<Utc> = "2000-01-01T00:00:00.000001Z".parse().unwrap();
        assert_eq!(to_pg(micros(midnight)), 1);
        assert_eq!(to_pg(micros(DateTime::UNIX_EPOCH)), -PG_EPOCH);
        for n in [0, -1, 1_763_640_000_000_000, -62_135_596_800_000_000] {
            assert_eq!(from_pg(to_pg(Micros(n))), Micros(n));
        }
        assert_eq!(to_pg(micros(DateTime::<Utc>::MIN_UTC)), i64::MIN);
        for infinity in [i64::MIN, i64::MAX] {
            assert!(instant(from_pg(infinity), "candles").is_err());
        }
    }
}
