//! Changes as they stand in the file: JSON, every number to its last bit.

use serde::{Deserialize, Serialize};

use super::file::{JobRow, NewJob, OwnerRow};
use super::{Entry, Waiting};
use crate::market::ledger::{Coverage, LedgerChange};
use crate::market::{Symbol, Timeframe};
use crate::store::{ModeChange, SeriesChange, SeriesId, SymbolId, TradesChange};

/// Whose changes a file holds, in names: keys mean nothing in another database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Key of the symbol.
    pub symbol: SymbolId,
    /// Its exchange.
    pub exchange: String,
    /// Unified name.
    pub name: Symbol,
    /// Its series.
    pub series: Vec<(SeriesId, Timeframe)>,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    series: &'a [SeriesChange],
    trades: Option<&'a TradesChange>,
    modes: &'a [ModeChange],
}

#[derive(Deserialize)]
struct Incoming {
    series: Vec<SeriesChange>,
    trades: Option<TradesChange>,
    #[serde(default)]
    modes: Vec<ModeChange>,
}

pub(super) fn row(entry: &Entry<'_>, spooled_at: i64) -> serde_json::Result<NewJob> {
    let payload = serde_json::to_string(&Outgoing { series: entry.series, trades: entry.trades, modes: entry.modes })?;
    let rows = entry.series.iter().map(SeriesChange::rows).sum::<usize>()
        + entry.trades.map_or(0, |change| change.trades.len());
    Ok(NewJob { symbol_id: entry.owner.symbol.0, spooled_at, rows: rows as i64, bytes: payload.len() as i64, payload })
}

pub(super) fn owner_row(owner: &Owner) -> serde_json::Result<OwnerRow> {
    Ok(OwnerRow { symbol_id: owner.symbol.0, description: serde_json::to_string(owner)? })
}

pub(super) fn waiting(row: JobRow) -> serde_json::Result<Waiting> {
    let Incoming { mut series, mut trades, mut modes } = serde_json::from_str(&row.payload)?;
    if row.only_adds {
        series.iter_mut().for_each(only_additions);
        // Whoever came after us may know better what is not complete.
        trades.iter_mut().for_each(|change| change.withdrawn.clear());
        modes.clear();
    }
    Ok(Waiting { ticket: row.id, symbol: SymbolId(row.symbol_id), series, trades, modes })
}

/// Leaves out what would take something back that others have stated since.
fn only_additions(change: &mut SeriesChange) {
    change.ledger.retain(|statement| matches!(statement, LedgerChange::Set(_, Coverage::Complete { .. })));
    change.forming = None;
    change.overdue = None;
}

/// The reason of an extent is one of few words that the program knows.
pub(in crate::store) mod extent {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::market::Span;
    use crate::market::ledger::{JUST_CLOSED, NOT_FETCHED, NOT_RUNNING};

    type Extent = Option<(Span, &'static str)>;

    pub fn serialize<S: Serializer>(extent: &Extent, serializer: S) -> Result<S::Ok, S::Error> {
        extent.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Extent, D::Error> {
        let Some((span, word)) = Option::<(Span, String)>::deserialize(deserializer)? else { return Ok(None) };
        let known = [NOT_FETCHED, NOT_RUNNING, JUST_CLOSED].into_iter().find(|known| *known == word);
        Ok(Some((span, known.ok_or_else(|| D::Error::custom(format!("unknown reason {word:?}")))?)))
    }
}
