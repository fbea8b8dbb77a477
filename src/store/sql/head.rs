//! What a transaction must know of a series: read once, changed as it goes, written back at its end.

use std::collections::HashMap;

use diesel::prelude::*;

use super::settings::candle_source_of;
use super::{Connection, dialect};
use crate::store::CandleSource;
use crate::store::fault::Fault;
use crate::store::tables::moment::Micros;
use crate::store::tables::{forming_candles, series, symbols};

/// A series as the transaction found it, and what it becomes.
pub struct SeriesHead {
    pub id: i64,
    pub symbol: i64,
    pub timeframe: String,
    pub observed_until: Option<Micros>,
    pub last_sequence: i64,
    pub candle_source: CandleSource,
    /// Nothing before this is written: it was pruned.
    pub kept_from: Option<Micros>,
    /// Open time of its forming bar. While there is one, no final candle is as new.
    pub forming: Option<Micros>,
    /// It is to be written back.
    pub is_changed: bool,
}

impl SeriesHead {
    /// Whose events its are.
    pub fn owner(&self) -> (i64, Option<&str>) {
        (self.symbol, Some(&self.timeframe))
    }
}

type HeadRow = (i64, Option<Micros>, i64, Option<Micros>, (i64, String), String, Option<Micros>);

/// The series as they are, by key.
pub fn read_heads(connection: &mut Connection, ids: &[i64]) -> Result<HashMap<i64, SeriesHead>, Fault> {
    let mut heads = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(dialect::KEYS_AT_ONCE) {
        let rows = series::table
            .inner_join(symbols::table)
            .left_join(forming_candles::table)
            .filter(series::id.eq_any(ids))
            .select((
                series::id,
                series::observed_until,
                series::last_sequence,
                series::kept_from,
                (series::symbol_id, series::timeframe),
                symbols::candle_source,
                forming_candles::open_time.nullable(),
            ))
            .load::<HeadRow>(connection)?;
        heads.extend(rows.into_iter().map(|(id, observed_until, last_sequence, kept_from, owner, source, forming)| {
            let (symbol, timeframe) = owner;
            let candle_source = candle_source_of(&source);
            let is_changed = false;
            let head = SeriesHead {
                id,
                symbol,
                timeframe,
                observed_until,
                last_sequence,
                candle_source,
                kept_from,
                forming,
                is_changed,
            };
            (id, head)
        }));
    }
    Ok(heads)
}
