//! What is held of what is wanted, and whether the ledger tells the truth.
//!
//! [`inventory`] answers from the ledger and never counts rows. [`verify`] does count them: it is
//! the proof of the invariant, a list of violations as data. Neither changes anything.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::{CandleQuery, Coverage, Holding, LedgerEntry, SeriesId, SeriesRow, Store, StoreError, SymbolId, SymbolRow};
use crate::market::ledger::{NOT_FETCHED, complete};
use crate::market::{Grid, Span, SpanSet, Symbol, Timeframe};

/// What is held of one wanted series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesInventory {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Timeframe.
    pub timeframe: Timeframe,
    /// Its key; `None` when no collector has begun with it.
    pub series: Option<SeriesId>,
    /// From the bucket in which the wanted time begins to the newest closed one.
    pub wanted: Span,
    /// Complete share of `wanted`, 0 to 100; 100 when nothing is wanted yet.
    pub covered_percent: f64,
    /// Share of `wanted` that REST has confirmed, 0 to 100.
    pub verified_percent: f64,
    /// What is missing or unavailable inside `wanted` and before `lag`, oldest first. Stretches the
    /// ledger does not speak of are missing as [`NOT_FETCHED`].
    pub gaps: Vec<LedgerEntry>,
    /// What was not looked at yet because no collector was running: heals when one does.
    pub lag: Option<Span>,
    /// Open time of the oldest final candle.
    pub first_candle: Option<DateTime<Utc>>,
    /// Open time of the newest final candle.
    pub last_candle: Option<DateTime<Utc>>,
}

/// The inventory of every series whose candles are wanted and for which `choose` holds, by exchange, symbol and timeframe.
/// `now` is venue time.
pub async fn inventory(
    store: &dyn Store,
    now: DateTime<Utc>,
    choose: impl Fn(&SymbolRow) -> bool,
) -> Result<Vec<SeriesInventory>, StoreError> {
    let mut symbols = store.symbols().await?;
    symbols.retain(|symbol| symbol.collect_candles && !symbol.only_ticker && choose(symbol));
    let ids: Vec<SymbolId> = symbols.iter().map(|symbol| symbol.id).collect();
    let holdings: HashMap<(SymbolId, Timeframe), Holding> = store
        .holdings(&ids)
        .await?
        .into_iter()
        .map(|holding| ((holding.series.symbol, holding.series.timeframe), holding))
        .collect();
    let of_symbol = |symbol| {
        let holdings = &holdings;
        let held = move |&timeframe| take(symbol, timeframe, holdings.get(&(symbol.id, timeframe)), now);
        symbol.timeframes.iter().map(held)
    };
    Ok(symbols.iter().flat_map(of_symbol).collect())
}

fn take(symbol: &SymbolRow, timeframe: Timeframe, held: Option<&Holding>, now: DateTime<Utc>) -> SeriesInventory {
    let grid = grid_of(symbol, timeframe);
    let wanted = wanted_span(&grid, symbol.candles_from(timeframe), now);
    let entries = held.map_or(&[][..], |held| &held.ledger);
    // An import speaks of what no collector has looked at yet.
    let spoken = entries.last().map(|entry| entry.span.to);
    let observed = held.and_then(|held| held.series.observed_until).max(spoken).unwrap_or(wanted.from);
    let looked_at = Span::new(wanted.from, wanted.to.min(observed));
    let lag = Span::new(wanted.from.max(observed), wanted.to);
    let covered = complete(entries);
    let verified = entries.iter().filter(|entry| entry.coverage == Coverage::Complete { verified: true });
    SeriesInventory {
        exchange: symbol.exchange.clone(),
        symbol: symbol.symbol.clone(),
        timeframe,
        series: held.map(|held| held.series.id),
        wanted,
        covered_percent: percent(&covered, wanted),
        verified_percent: percent(&verified.map(|entry| entry.span).collect(), wanted),
        gaps: gaps(entries, looked_at),
        lag: (!lag.is_empty()).then_some(lag),
        first_candle: held.and_then(|held| held.first_candle),
        last_candle: held.and_then(|held| held.last_candle),
    }
}

/// The grid of a symbol's series: the epoch's until the venue has said otherwise.
pub fn grid_of(symbol: &SymbolRow, timeframe: Timeframe) -> Grid {
    let anchors = symbol.anchors.as_ref().and_then(|anchors| anchors.to_anchors());
    Grid::new(timeframe, anchors.unwrap_or_default())
}

fn wanted_span(grid: &Grid, backfill_from: DateTime<Utc>, now: DateTime<Utc>) -> Span {
    let from = grid.bucket_at(backfill_from);
    Span::new(from, grid.last_closed_end(now).max(from))
}

fn percent(part: &SpanSet, wanted: Span) -> f64 {
    if wanted.is_empty() {
        return 100.0;
    }
    let milliseconds = |length: TimeDelta| length.num_milliseconds() as f64;
    100.0 * milliseconds(part.within(wanted).duration()) / milliseconds(wanted.to - wanted.from)
}

fn gaps(entries: &[LedgerEntry], span: Span) -> Vec<LedgerEntry> {
    let known: SpanSet = entries.iter().map(|entry| entry.span).collect();
    let holes = known.gaps(span);
    let unspoken = holes.spans().iter().map(|&span| LedgerEntry { span, coverage: Coverage::missing(NOT_FETCHED) });
    let incomplete = entries.iter().filter(|entry| !matches!(entry.coverage, Coverage::Complete { .. }));
    let mut gaps: Vec<LedgerEntry> = incomplete
        .map(|entry| LedgerEntry { span: entry.span.intersect(span), coverage: entry.coverage.clone() })
        .filter(|entry| !entry.span.is_empty())
        .chain(unspoken)
        .collect();
    gaps.sort_by_key(|entry| entry.span.from);
    gaps
}

/// What the venue's rule makes of a bucket without a row inside a complete stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It prints a bar for every bucket: one is missing.
    Forbidden,
    /// It prints nothing for quiet buckets, always or sometimes.
    Allowed,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// The ledger does not say what is there.
    Untiled(Span),
    /// The ledger says two things of one stretch.
    Overlap(Span),
    /// An interval of the ledger that ends before it begins, or starts or ends inside a bucket.
    CrookedInterval(Span),
    /// Complete, says the ledger, but these buckets have no row, and the venue prints one for each.
    RowsMissing {
        /// From the first to after the last of a run of buckets.
        span: Span,
        /// How many buckets.
        buckets: u64,
    },
    /// A row that starts inside a bucket.
    RowOffGrid(DateTime<Utc>),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Untiled(span) => write!(f, "the ledger has a hole at {span}"),
            Violation::Overlap(span) => write!(f, "two intervals of the ledger share {span}"),
            Violation::CrookedInterval(span) => write!(f, "the interval {span} does not lie on bucket borders"),
            Violation::RowsMissing { span, buckets } => {
                write!(f, "{buckets} bucket(s) in {span} are said to be complete and have no candle")
            }
            Violation::RowOffGrid(time) => write!(f, "the candle at {} starts inside a bucket", time.to_rfc3339()),
        }
    }
}

/// Rows compared at once; a series of any length is checked in little memory.
const PAGE: u32 = 10_000;

/// Checks the invariant of one series: from the bucket of `backfill_from` to `observed_until` the
/// ledger tiles the line without hole or overlap, and every bucket inside a complete stretch has its
/// row unless the venue's rule allows its absence. An empty list is the proof.
pub async fn verify(
    store: &dyn Store,
    series: &SeriesRow,
    grid: Grid,
    absence: Absence,
    backfill_from: DateTime<Utc>,
) -> Result<Vec<Violation>, StoreError> {
    // The ledger first: rows that arrive while we read can only add to what it said.
    let entries = store.ledger(series.id).await?;
    let mut violations = check_tiling(&entries, &grid, backfill_from, series.observed_until);
    if let Some(first) = entries.first().map(|first| first.span.from) {
        // History that was asked for after the ledger was begun, and that no collector has seen yet, is
        // a gap, but the ledger does not lie about it unless candles are there.
        let begins = |violation: &Violation| matches!(violation, Violation::Untiled(span) if span.to <= first);
        let query =
            CandleQuery { span: Span::new(DateTime::<Utc>::MIN_UTC, first), limit: Some(1), newest_first: false };
        if violations.iter().any(begins) && store.candles(series.id, query).await?.is_empty() {
            violations.retain(|violation| !begins(violation));
        }
    }
    for span in complete(&entries).spans() {
        check_rows(store, series.id, &grid, absence, *span, &mut violations).await?;
    }
    Ok(violations)
}

fn check_tiling(
    entries: &[LedgerEntry],
    grid: &Grid,
    backfill_from: DateTime<Utc>,
    observed_until: Option<DateTime<Utc>>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut known = SpanSet::new();
    for LedgerEntry { span, .. } in entries {
        if span.is_empty() || !grid.is_border(span.from) || !grid.is_border(span.to) {
            violations.push(Violation::CrookedInterval(*span));
        }
        violations.extend(known.within(*span).spans().iter().copied().map(Violation::Overlap));
        known.insert(*span);
    }
    if let Some(observed_until) = observed_until {
        let extent = Span::new(grid.bucket_at(backfill_from), observed_until);
        violations.extend(known.gaps(extent).spans().iter().copied().map(Violation::Untiled));
    }
    violations
}

async fn check_rows(
    store: &dyn Store,
    series: SeriesId,
    grid: &Grid,
    absence: Absence,
    span: Span,
    violations: &mut Vec<Violation>,
) -> Result<(), StoreError> {
    let mut missing: Option<(Span, u64)> = None;
    let report = |violations: &mut Vec<Violation>, missing: Option<(Span, u64)>| {
        violations.extend(missing.map(|(span, buckets)| Violation::RowsMissing { span, buckets }));
    };
    let mut expected = grid.opens(span).peekable();
    let mut from = span.from;
    loop {
        let query = CandleQuery { span: Span::new(from, span.to), limit: Some(PAGE), newest_first: false };
        let rows = store.candles(series, query).await?;
        let is_last_page = rows.len() < PAGE as usize;
        for open_time in rows.iter().map(|row| row.candle.open_time).chain(is_last_page.then_some(span.to)) {
            while let Some(absent) = expected.next_if(|open| *open < open_time) {
                if absence == Absence::Allowed {
                    continue;
                }
                let bucket = Span::new(absent, grid.next_open(absent));
                missing = match missing {
                    Some((run, buckets)) if run.to == bucket.from => {
                        Some((Span::new(run.from, bucket.to), buckets + 1))
                    }
                    other => {
                        report(violations, other);
                        Some((bucket, 1))
                    }
                };
            }
            if expected.next_if_eq(&open_time).is_none() && open_time < span.to {
                violations.push(Violation::RowOffGrid(open_time));
            }
        }
        match rows.last() {
            Some(last) if !is_last_page => from = last.candle.open_time + TimeDelta::microseconds(1),
            _ => break,
        }
    }
    report(violations, missing);
    Ok(())
}
