//! The parts of a story as values; their fields are the JSON form.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cli::lines::Time;
use crate::market::{Candle, Rule, Source, Timeframe};
use crate::store::rows::FLAG_OUT_OF_RANGE;
use crate::store::{Coverage, LedgerEntry, StoredCandle};

/// A final value, with its provenance.
#[derive(Debug, Serialize)]
pub struct Told {
    #[serde(flatten)]
    pub candle: Candle,
    pub source: Source,
    pub rule: Rule,
    pub revision: i32,
    pub observed_at: Time,
    pub first_written_at: Time,
    pub updated_at: Time,
    /// When another value took its place, or it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<Time>,
    /// The exchange printed an open or a close outside low..high.
    pub is_out_of_range: bool,
}

impl Told {
    /// A stored value, or an old one with the time of its end.
    pub fn of(row: &StoredCandle, replaced_at: Option<DateTime<Utc>>) -> Told {
        Told {
            candle: row.candle,
            source: row.source,
            rule: row.rule,
            revision: row.revision,
            observed_at: Time(row.observed_at),
            first_written_at: Time(row.first_written_at),
            updated_at: Time(row.updated_at),
            replaced_at: replaced_at.map(Time),
            is_out_of_range: row.flags & FLAG_OUT_OF_RANGE != 0,
        }
    }
}

/// An interval of the ledger.
#[derive(Debug, Serialize)]
pub struct Interval {
    pub from: Time,
    pub to: Time,
    pub state: &'static str,
    pub verified: bool,
    pub reason: Option<String>,
    pub attempts: Option<u32>,
    pub next_attempt_at: Option<Time>,
}

impl From<&LedgerEntry> for Interval {
    fn from(entry: &LedgerEntry) -> Interval {
        let (state, verified, reason, attempts, next) = match &entry.coverage {
            Coverage::Complete { verified } => ("complete", *verified, None, None, None),
            Coverage::Unavailable { reason } => ("unavailable", false, Some(reason.clone()), None, None),
            Coverage::Missing { reason, attempts, next_attempt_at } => {
                ("missing", false, Some(reason.clone()), Some(*attempts), *next_attempt_at)
            }
        };
        let next_attempt_at = next.map(Time);
        Interval {
            from: Time(entry.span.from),
            to: Time(entry.span.to),
            state,
            verified,
            reason,
            attempts,
            next_attempt_at,
        }
    }
}

/// The finer bars that a derived one is the sum of.
#[derive(Debug, Serialize)]
pub struct Parts {
    pub timeframe: Timeframe,
    pub from: Time,
    pub to: Time,
    /// Open times of those that are stored.
    pub open_times: Vec<Time>,
    /// The ledger calls all of them complete.
    pub is_complete: bool,
}

/// The trades that a candle is built from.
#[derive(Debug, Serialize)]
pub struct Trades {
    /// Rows that are stored; an aggregated one counts as one.
    pub count: u64,
    /// Ids of the first ones.
    pub ids: Vec<String>,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
    /// The trades' own ledger calls the bucket complete.
    pub is_complete: bool,
}
