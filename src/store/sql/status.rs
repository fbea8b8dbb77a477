//! What operators see and what was asked: the tables `process_status` and `commands`.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::Connection;
use crate::store::fault::Fault;
use crate::store::rows::ASKED;
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
            commands::report.eq(&row.report),
        ))
        .on_conflict(commands::id)
        .do_nothing()
        .execute(connection)?;
    if inserted == 1 {
        return Ok(true);
    }
    // Asked in the table itself: now it has an outcome.
    let asked = commands::table.find(&row.id).filter(commands::outcome.eq(ASKED));
    let taken_up = diesel::update(asked)
        .set((commands::outcome.eq(&row.outcome), commands::report.eq(&row.report)))
        .execute(connection)?;
    Ok(taken_up == 1)
}

/// Changes outcome and report of a command that is not over.
pub fn update_command(
    connection: &mut Connection,
    id: &str,
    outcome: &str,
    report: Option<&str>,
) -> Result<bool, Fault> {
    let open = commands::table.find(id).filter(is_open());
    let updated =
        diesel::update(open).set((commands::outcome.eq(outcome), commands::report.eq(report))).execute(connection)?;
    Ok(updated == 1)
}

/// The condition of the index `commands_open`, letter by letter.
fn is_open() -> SqlLiteral<Bool> {
    sql("(outcome = 'asked' OR outcome LIKE 'begun:%')")
}

/// Commands that are not over, oldest first.
pub fn open_commands(connection: &mut Connection) -> Result<Vec<CommandRow>, Fault> {
    let records: Vec<CommandRecord> = commands::table.filter(is_open()).order(commands::asked_at).load(connection)?;
    records.into_iter().map(|record| Ok(into_row(record)?)).collect()
}

type CommandRecord = (String, String, String, String, Micros, String, Option<String>);

fn into_row(record: CommandRecord) -> Result<CommandRow, StoreError> {
    let (id, kind, body, asked_by, asked_at, outcome, report) = record;
    Ok(CommandRow { id, kind, body, asked_by, asked_at: instant(asked_at, "commands")?, outcome, report })
}

/// The command of an id, as recorded.
pub fn command(connection: &mut Connection, id: &str) -> Result<Option<CommandRow>, Fault> {
    let record = commands::table.find(id).get_result::<CommandRecord>(connection).optional()?;
    Ok(record.map(into_row).transpose()?)
}
