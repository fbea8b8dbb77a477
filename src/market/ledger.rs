//! The coverage ledger as values: what a stretch of a series' time line is known to hold.

use chrono::{DateTime, Utc};

use super::Span;

/// The state of a stretch of a series' time line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Every bucket has its final row or is proven empty.
    Complete {
        /// REST has confirmed it.
        verified: bool,
    },
    /// A known gap.
    Missing {
        /// Why: `not_fetched`, `disconnected`, `late_bar`, ...
        reason: String,
        /// Reads that brought nothing so far.
        attempts: u32,
        /// Not to be asked for before this.
        next_attempt_at: Option<DateTime<Utc>>,
    },
    /// The venue does not have it.
    Unavailable {
        /// Why, in a word (`too_old`, `before_listing`, `venue_hole`), and after a colon the methods tried.
        reason: String,
    },
}

impl Coverage {
    /// A gap nobody has tried to fill yet.
    pub fn missing(reason: &str) -> Coverage {
        Coverage::Missing { reason: reason.to_owned(), attempts: 0, next_attempt_at: None }
    }
}

/// One interval of a series' ledger. Intervals of a series never overlap; neighbours equal in
/// state, reason and verified are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The stretch, on bucket borders.
    pub span: Span,
    /// Its state.
    pub coverage: Coverage,
}

/// A statement about a stretch of the ledger. How it meets what is there:
/// `Complete` replaces `Missing` and `Unavailable`, and `verified` is never lost to an unverified
/// `Complete`; `Missing` and `Unavailable` replace each other but never `Complete`;
/// `Unverify` turns complete stretches into unverified ones and touches nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerChange {
    /// States the coverage of a stretch.
    Set(Span, Coverage),
    /// What was complete there is to be read again by REST.
    Unverify(Span),
}
