//! What is said while stored candles are compared with their exchange.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use actix::prelude::*;
use chrono::{DateTime, Utc};

use crate::control::audit::AuditJob;
use crate::engine::book::Call;
use crate::engine::page::Page;
use crate::market::audit::SeriesAudit;
use crate::market::{FinalCandle, Span, Symbol, Timeframe};

/// ControlActor -> AuditActor: carry out an audit that is recorded as begun. No reply: what becomes of
/// it is recorded. One that is lost is recorded as cut short by the next life.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct BeginAudit(pub AuditJob);

/// ControlActor -> AuditActor: before an audit is recorded as begun. Answered once those of earlier lives are
/// recorded as cut short, so that the new one is not taken for one of them.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Ready;

/// AuditActor -> Supervisor -> ExchangeActor -> SymbolActor: compare a series with its exchange, and
/// put right what differs where that is wanted. Reply: what was found, when all of it was compared.
/// Loss: with a SymbolActor; its next life is asked again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<SeriesAudit, AuditError>")]
pub struct AuditSeries {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Which series.
    pub timeframe: Timeframe,
    /// What to compare, as far as it is wanted and old enough.
    pub span: Span,
    /// Put right what differs.
    pub repairs: bool,
    /// Counts the buckets that were compared.
    pub progress: Arc<AtomicU64>,
}

/// Why a series was not compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Nobody serves it at this moment: it is asked for again.
    #[error("{0}")]
    NotYet(String),
    /// Asking again does not help.
    #[error("{0}")]
    Never(String),
}

/// A comparison -> its SymbolActor: write what the exchange says in the place of what is stored.
/// Reply: true once it is durable, in the store or in the spool.
/// Loss: with the SymbolActor, and with it the audit of the series.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Repair {
    /// Which series.
    pub timeframe: Timeframe,
    /// A read of the exchange.
    pub page: Option<(Call, Page)>,
    /// Candles that the stored trades add up to.
    pub candles: Vec<FinalCandle>,
    /// Rows that are taken away first.
    pub taken_away: Vec<DateTime<Utc>>,
    /// Buckets that are called complete and have no row.
    pub reopened: Vec<DateTime<Utc>>,
    /// Venue time of the evidence.
    pub judged_at: DateTime<Utc>,
}
