//! What a comparison of stored candles with their exchange found: counts and the buckets that differ.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Candle, Symbol, Timeframe};

/// Buckets that are told one by one, of each series; the others are only counted.
pub const MOST_FINDINGS: usize = 100;

/// The audit of one series, and its JSON form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesAudit {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Timeframe.
    pub timeframe: Timeframe,
    /// Start of what was compared; `None` when nothing was.
    pub from: Option<DateTime<Utc>>,
    /// End of what was compared, exclusive.
    pub to: Option<DateTime<Utc>>,
    /// Buckets.
    pub counts: AuditCounts,
    /// Buckets that cannot be compared any more, by reason.
    pub unavailable: BTreeMap<String, u64>,
    /// The first [`MOST_FINDINGS`] buckets that were not as they should be.
    pub findings: Vec<Finding>,
    /// The sums of the trades that are kept, where both are kept.
    pub trades: Option<TradesAudit>,
    /// Why it was not compared, or not to its end.
    pub failure: Option<String>,
}

/// Buckets of one series. Every one that was checked is one of equal, revised, missing and unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditCounts {
    /// Looked at.
    pub checked: u64,
    /// Stored as the exchange prints it, or empty here and there.
    pub equal: u64,
    /// Stored and not as the exchange prints it, or not printed there at all.
    pub revised: u64,
    /// Wanted and not stored.
    pub missing: u64,
    /// The exchange does not serve it (any more).
    pub unavailable: u64,
    /// Of those revised and missing how many are right now.
    pub repaired: u64,
}

/// Candles compared with the sums of the stored trades, where the trades' own ledger calls them complete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TradesAudit {
    /// Buckets compared.
    pub checked: u64,
    /// Buckets whose candle is not the sum of its trades.
    pub differ: u64,
    /// The first of them.
    pub first: Vec<DateTime<Utc>>,
    /// Why none were compared.
    pub skipped: Option<String>,
}

/// A bucket that was not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its open time; for a row that starts inside a bucket, that of the row.
    pub open_time: DateTime<Utc>,
    /// What is wrong.
    pub kind: FindingKind,
    /// As stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Candle>,
    /// As the exchange prints it, or as the trades add up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Candle>,
    /// It is right now.
    pub repaired: bool,
}

/// What is wrong with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The values differ.
    Differs,
    /// The exchange has no bar where one is stored.
    Invented,
    /// No bar is stored where there should be one.
    Missing,
}

impl SeriesAudit {
    /// An audit that has not looked at anything.
    pub fn new(exchange: &str, symbol: &Symbol, timeframe: Timeframe) -> SeriesAudit {
        SeriesAudit {
            exchange: exchange.to_owned(),
            symbol: symbol.clone(),
            timeframe,
            from: None,
            to: None,
            counts: AuditCounts::default(),
            unavailable: BTreeMap::new(),
            findings: Vec::new(),
            trades: None,
            failure: None,
        }
    }

    /// True when everything that could be compared is right now.
    pub fn is_right(&self) -> bool {
        self.wrong() == 0 && self.failure.is_none() && self.trades.as_ref().is_none_or(|trades| trades.differ == 0)
    }

    /// Buckets that are still wrong.
    pub fn wrong(&self) -> u64 {
        (self.counts.revised + self.counts.missing).saturating_sub(self.counts.repaired)
    }

    /// Counts a bucket that is not as it should be.
    pub fn find(&mut self, finding: Finding) {
        self.counts.checked += 1;
        match finding.kind {
            FindingKind::Differs | FindingKind::Invented => self.counts.revised += 1,
            FindingKind::Missing => self.counts.missing += 1,
        }
        self.counts.repaired += u64::from(finding.repaired);
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// Counts buckets that cannot be compared.
    pub fn give_up(&mut self, reason: &str, buckets: u64) {
        self.counts.checked += buckets;
        self.counts.unavailable += buckets;
        *self.unavailable.entry(reason.to_owned()).or_default() += buckets;
    }
}
