//! Audits of a symbol's series: pages of the exchange beside what is stored, oldest first. Runs beside
//! the other work of the actor; only what is repaired goes through it.
//!
//! A row that is contradicted is looked at twice before it counts, so that neither one wrong answer nor
//! a correction that arrives meanwhile is reported. What the ledger claims is not believed.

mod sums;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};

use super::SymbolActor;
use crate::actors::exchange::ExchangeActor;
use crate::actors::messages::audit::{AuditError, AuditSeries, Repair};
use crate::actors::messages::{FetchCandles, FetchError};
use crate::actors::venue::Venue;
use crate::engine::audit::{Comparison, Evidence, Held, compare};
use crate::engine::book::{Book, Call};
use crate::engine::page::{Findings, Page};
use crate::exchange::{ErrorKind, Instrument, VenueError};
use crate::market::audit::{Finding, FindingKind, SeriesAudit};
use crate::market::ledger::TOO_OLD;
use crate::market::{FinalCandle, Grid, Span};
use crate::store::spool::Backlog;
use crate::store::{CandleQuery, SeriesId, Store, StoreError, SymbolRow};

/// Reads of a stretch, from further and further away, before its rows count as not served.
const MOST_ATTEMPTS: u32 = 4;
/// Buckets that are looked at at once where nothing is read.
const UNREAD_AT_ONCE: u32 = 10_000;

/// Why a comparison ends before its end.
enum Cut {
    /// The whole series is asked for again.
    NotYet(String),
    /// It stays as far as it got.
    Never(String),
}

impl From<StoreError> for Cut {
    fn from(error: StoreError) -> Cut {
        if error.is_transient() { Cut::NotYet(error.to_string()) } else { Cut::Never(error.to_string()) }
    }
}

/// One comparison under way.
struct Auditor {
    asked: AuditSeries,
    /// The book as it was at the beginning: rules and reach.
    book: Book,
    id: SeriesId,
    row: Arc<SymbolRow>,
    instrument: Arc<Instrument>,
    venue: Venue,
    store: Arc<dyn Store>,
    backlog: Backlog,
    parent: Addr<ExchangeActor>,
    actor: Addr<SymbolActor>,
    audit: SeriesAudit,
}

/// What a stretch is compared with, and how it is put right.
#[derive(Default)]
struct Proof {
    page: Option<(Call, Page)>,
    candles: Vec<FinalCandle>,
    findings: Findings,
}

impl Handler<AuditSeries> for SymbolActor {
    type Result = ResponseActFuture<Self, Result<SeriesAudit, AuditError>>;

    fn handle(&mut self, asked: AuditSeries, ctx: &mut Context<Self>) -> Self::Result {
        let Some(series) = self.series.iter().find(|series| series.timeframe == asked.timeframe) else {
            let why = format!("{} has no series {}", self.setup.row.symbol, asked.timeframe);
            return Box::pin(async move { Err(AuditError::Never(why)) }.into_actor(self));
        };
        let setup = &self.setup;
        let auditor = Auditor {
            book: series.book.clone(),
            id: series.id,
            row: setup.row.clone(),
            instrument: setup.instrument.clone(),
            venue: setup.venue.clone(),
            store: setup.store.clone(),
            backlog: setup.backlog.clone(),
            parent: setup.parent.clone(),
            actor: ctx.address(),
            audit: SeriesAudit::new(&asked.exchange, &asked.symbol, asked.timeframe),
            asked,
        };
        Box::pin(auditor.run().into_actor(self))
    }
}

impl Auditor {
    async fn run(mut self) -> Result<SeriesAudit, AuditError> {
        match self.audit().await {
            Ok(()) => {}
            Err(Cut::NotYet(why)) => return Err(AuditError::NotYet(why)),
            Err(Cut::Never(why)) => self.audit.failure = Some(why),
        }
        Ok(self.audit)
    }

    async fn audit(&mut self) -> Result<(), Cut> {
        let span = self.span().await?;
        (self.audit.from, self.audit.to) = (Some(span.from), Some(span.to));
        if span.is_empty() {
            return Ok(());
        }
        if self.book.is_from_trades() {
            return self.with_trades(span).await;
        }
        self.with_exchange(span).await?;
        self.with_sums(span).await
    }

    fn grid(&self) -> Grid {
        self.book.grid()
    }

    /// What of the span asked for is wanted, was looked at, and is old enough to be judged.
    async fn span(&self) -> Result<Span, Cut> {
        self.stored().await?;
        let (grid, now) = (self.grid(), self.venue.now());
        let known = self.store.series_of(self.row.id).await?.into_iter().find(|series| series.id == self.id);
        let wanted_from = grid.bucket_at(self.row.backfill_from);
        let observed = known.and_then(|series| series.observed_until).unwrap_or(wanted_from);
        let wanted = Span::new(wanted_from, observed.min(self.book.judged_until(now)).max(wanted_from));
        let asked = self.asked.span.intersect(wanted);
        if asked.is_empty() {
            return Ok(Span::new(wanted_from, wanted_from));
        }
        Ok(Span::new(grid.bucket_at(asked.from), grid.bucket_at(asked.to)))
    }

    /// Waits until the store has everything that was handed over.
    async fn stored(&self) -> Result<(), Cut> {
        if self.backlog.cleared().await { Ok(()) } else { Err(Cut::NotYet("the collector stops".to_owned())) }
    }

    /// Reads all of a span and compares it, page by page.
    async fn with_exchange(&mut self, span: Span) -> Result<(), Cut> {
        let served_from = self.book.served_from(self.venue.now()).unwrap_or(span.from).clamp(span.from, span.to);
        self.unread(Span::new(span.from, served_from), TOO_OLD).await?;
        let mut from = served_from;
        while from < span.to {
            from = self.page(Span::new(from, span.to)).await?;
        }
        Ok(())
    }

    /// Compares the first stretch of a span that one read covers. Returns how far it got.
    async fn page(&mut self, span: Span) -> Result<DateTime<Utc>, Cut> {
        let mut attempts = 0;
        loop {
            let (asked, call) = self.book.audit_call(span, attempts);
            let Some(page) = self.fetch(call).await? else {
                self.unread(asked, TOO_OLD).await?;
                return Ok(asked.to);
            };
            let (findings, reached) = self.book.evidence(asked, &page);
            let stretch = Span::new(asked.from, reached);
            let mut proof = Proof { page: Some((call, page)), candles: Vec::new(), findings };
            let mut comparison = self.compare(stretch, &proof).await?;
            attempts += 1;
            if comparison.unproven > 0 && attempts < MOST_ATTEMPTS {
                continue;
            }
            if comparison.is_contradiction()
                && let Some(page) = self.fetch(call).await?
            {
                let (findings, _) = self.book.evidence(asked, &page);
                proof = Proof { page: Some((call, page)), candles: Vec::new(), findings };
                let second = self.compare(stretch, &proof).await?;
                comparison = comparison.confirmed_by(&second);
            }
            self.conclude(stretch, comparison, proof).await?;
            return Ok(reached);
        }
    }

    /// Accounts for a stretch for which there is nothing to compare with.
    async fn unread(&mut self, span: Span, reason: &str) -> Result<(), Cut> {
        let grid = self.grid();
        let mut from = span.from;
        while from < span.to {
            let end = grid.opens(Span::new(from, span.to)).nth(UNREAD_AT_ONCE as usize).unwrap_or(span.to);
            let stretch = Span::new(from, end);
            let comparison = self.held(stretch, Evidence::None(reason)).await?;
            self.conclude(stretch, comparison, Proof::default()).await?;
            from = end;
        }
        Ok(())
    }

    /// A page; `None` when the venue says that it has nothing as old.
    async fn fetch(&self, call: Call) -> Result<Option<Page>, Cut> {
        let (instrument, timeframe) = (self.instrument.clone(), self.asked.timeframe);
        match self.parent.send(FetchCandles { instrument, timeframe, call }).await {
            Ok(Ok(page)) => {
                let (rows, sent_at) = (page.rows, page.sent_at);
                Ok(Some(Page { asked: page.call.span, rows, sent_at }))
            }
            Ok(Err(FetchError::Venue(VenueError { kind: ErrorKind::OutOfHistory, .. }))) => Ok(None),
            Ok(Err(FetchError::Cancelled)) | Err(_) => {
                Err(Cut::NotYet(format!("{} is being stopped", self.venue.id())))
            }
            Ok(Err(error)) => Err(Cut::Never(error.to_string())),
        }
    }

    async fn compare(&self, span: Span, proof: &Proof) -> Result<Comparison, Cut> {
        self.held(span, Evidence::Page(&proof.findings)).await
    }

    /// Compares what is stored now.
    async fn held(&self, span: Span, evidence: Evidence<'_>) -> Result<Comparison, Cut> {
        self.stored().await?;
        let rows = self.store.candles(self.id, CandleQuery { span, limit: None, newest_first: false }).await?;
        let rows: Vec<_> = rows.into_iter().map(|row| row.candle).collect();
        let ledger = self.store.ledger(self.id).await?;
        Ok(compare(&self.grid(), self.book.quiet(), span, Held { rows: &rows, ledger: &ledger }, evidence))
    }

    /// Repairs what was found where that is wanted, and counts everything.
    async fn conclude(&mut self, span: Span, mut comparison: Comparison, proof: Proof) -> Result<(), Cut> {
        if self.asked.repairs && !comparison.findings.is_empty() {
            self.repair(span, &mut comparison, proof).await?;
        }
        self.audit.counts.checked += comparison.equal + comparison.missing;
        self.audit.counts.equal += comparison.equal;
        self.audit.counts.missing += comparison.missing;
        comparison.unavailable.iter().for_each(|(reason, buckets)| self.audit.give_up(reason, *buckets));
        comparison.findings.into_iter().for_each(|finding| self.audit.find(finding));
        self.asked.progress.fetch_add(self.grid().count(span), Ordering::Relaxed);
        Ok(())
    }

    /// Puts the findings right: first as any read would, then what precedence still protects (a row
    /// that claims to be observed later, say) by taking it away.
    async fn repair(&self, span: Span, comparison: &mut Comparison, proof: Proof) -> Result<(), Cut> {
        let mut wrong: BTreeMap<_, _> = comparison.findings.iter().map(|f| (f.open_time, f.kind)).collect();
        for is_forced in [false, true] {
            let is_taken =
                |kind: &FindingKind| *kind == FindingKind::Invented || (is_forced && *kind == FindingKind::Differs);
            let taken_away = wrong.iter().filter(|(_, kind)| is_taken(kind)).map(|(open, _)| *open).collect();
            let is_lost = |finding: &&Finding| finding.kind == FindingKind::Missing && finding.exchange.is_none();
            let lost = comparison.findings.iter().filter(is_lost).map(|finding| finding.open_time);
            let repair = Repair {
                timeframe: self.asked.timeframe,
                page: proof.page.clone(),
                candles: proof
                    .candles
                    .iter()
                    .filter(|row| wrong.contains_key(&row.candle.open_time))
                    .copied()
                    .collect(),
                taken_away,
                reopened: if is_forced { Vec::new() } else { lost.collect() },
                judged_at: self.venue.now(),
            };
            if !self.actor.send(repair).await.unwrap_or(false) {
                return Err(Cut::NotYet("the repair was not stored".to_owned()));
            }
            let left = self.compare(span, &proof).await?;
            wrong.retain(|open, kind| left.findings.iter().any(|f| (f.open_time, f.kind) == (*open, *kind)));
            if !wrong.values().any(|kind| *kind != FindingKind::Missing) {
                break;
            }
        }
        for finding in &mut comparison.findings {
            let is_had = finding.kind == FindingKind::Invented || finding.exchange.is_some();
            finding.repaired = is_had && !wrong.contains_key(&finding.open_time);
        }
        Ok(())
    }

    /// Stretches whose buckets begin at least this long before `span` are looked at with it.
    fn day_after(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> DateTime<Utc> {
        self.grid().ceil(from + TimeDelta::days(1)).min(to)
    }
}
