//! What operators see and what was asked: the tables `process_status` and `commands`.

use diesel::prelude::*;

use super::Connection;
use crate::store::fault::Fault;
use crate::store::tables::moment::{Micros, instant, micros, optional_instant};
use crate::store::tables::{commands, process_status};
use crate::store::{CommandRow, StatusRow, StoreError};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = process_status, treat_none_as_default_value = false, treat_none_as_null = true)]
struct StatusRecord {
    component: String,
    exchange: Option<String>,
    symbol: Option<String>,
    status: String,
    mode: Option<String>,
    phase: String,
    message: String,
    last_candle: Option<Micros>,
    lag_ms: Option<i64>,
    restarts: i64,
    coverage_percent: Option<f64>,
    created_at: Micros,
    updated_at: Micros,
    heartbeat: Micros,
}

impl StatusRecord {
    fn new(row: &StatusRow) -> StatusRecord {
        StatusRecord {
            component: row.component.clone(),
            exchange: row.exchange.clone(),
            symbol: row.symbol.clone(),
            status: row.status.clone(),
            mode: row.mode.clone(),
            phase: row.phase.clone(),
            message: row.message.clone(),
            last_candle: row.last_candle.map(micros),
            lag_ms: row.lag_ms,
            restarts: row.restarts,
            coverage_percent: row.coverage_percent,
            created_at: micros(row.created_at),
            updated_at: micros(row.updated_at),
            heartbeat: micros(row.heartbeat),
        }
    }

    fn into_row(self) -> Result<StatusRow, StoreError> {
        const TABLE: &str = "process_status";
        Ok(StatusRow {
            last_candle: optional_instant(self.last_candle, TABLE)?,
            created_at: instant(self.created_at, TABLE)?,
            updated_at: instant(self.updated_at, TABLE)?,
            heartbeat: instant(self.heartbeat, TABLE)?,
            component: self.component,
            exchange: self.exchange,
            symbol: self.symbol,
            status: self.status,
            mode: self.mode,
            phase: self.phase,
            message: self.message,
            lag_ms: self.lag_ms,
            restarts: self.restarts,
            coverage_percent: self.coverage_percent,
        })
    }
}

pub fn put_statuses(connection: &mut Connection, rows: &[StatusRow]) -> Result<(), Fault> {
    for row in rows {
        let record = StatusRecord::new(row);
        diesel::insert_into(process_status::table)
            .values(&record)
            .on_conflict(process_status::component)
            .do_update()
            .set(&record)
            .execute(connection)?;
    }
    Ok(())
}

pub fn remove_statuses(connection: &mut Connection, components: &[String]) -> Result<(), Fault> {
    for component in components {
        diesel::delete(process_status::table.find(component)).execute(connection)?;
    }
    Ok(())
}

pub fn statuses(connection: &mut Connection) -> Result<Vec<StatusRow>, Fault> {
    let records =
        process_status::table.order(process_status::component).select(StatusRecord::as_select()).load(connection)?;
    records.into_iter().map(|record| Ok(record.into_row()?)).collect()
}

pub fn record_command(connection: &mut Connection, row: &CommandRow) -> Result<bool, Fault> {
    let inserted = diesel::insert_into(commands::table)
        .values((
            commands::id.eq(&row.id),
            commands::kind.eq(&row.kind),
            commands::body.eq(&row.body),
            commands::asked_by.eq(&row.asked_by),
            commands::asked_at.eq(micros(row.asked_at)),
            commands::outcome.eq(&row.outcome),
        ))
        .on_conflict(commands::id)
        .do_nothing()
        .execute(connection)?;
    Ok(inserted == 1)
}

/// The command of an id, as recorded.
pub fn command(connection: &mut Connection, id: &str) -> Result<Option<CommandRow>, Fault> {
    type Record = (String, String, String, String, Micros, String);
    let record = commands::table.find(id).first::<Record>(connection).optional()?;
    let Some((id, kind, body, asked_by, asked_at, outcome)) = record else { return Ok(None) };
    Ok(Some(CommandRow { id, kind, body, asked_by, asked_at: instant(asked_at, "commands")?, outcome }))
}
