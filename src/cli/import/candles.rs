//! Candles of a file: checked, written, and claimed as far as the user says.

use std::collections::HashSet;
use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};

use super::candle_rows::CandleRows;
use super::faults::Faults;
use super::input::{self, Input};
use super::{Covers, Declared, Job};
use crate::cli::Failure;
use crate::cli::lines::Time;
use crate::cli::listing::{count, say};
use crate::cli::live_view::grouped;
use crate::cli::progress::Progress;
use crate::exchange::QuietPolicy;
use crate::market::ledger::select;
use crate::market::{Candle, FinalCandle, Grid, Rule, Span, SpanSet, Timeframe};
use crate::store::inventory::grid_of;
use crate::store::{CandleQuery, Coverage, LedgerChange, SeriesChange, SeriesId, WriteBatch};

/// Rows of one transaction.
const BATCH: usize = 5_000;
/// Rows between two looks at the progress.
const STEP: u64 = 4_096;

/// Checks the file, then writes it.
pub(super) async fn import(job: &Job<'_>, input: &mut Input) -> Result<(), Failure> {
    let timeframe = timeframe_of(job)?;
    let grid = grid_of(&job.symbol, timeframe);
    if job.symbol.anchors.is_none() && (job.venue.has_sessions || timeframe == Timeframe::W1) {
        return Err(Failure::usage(format_args!(
            "where {timeframe} bars of {} {} begin is not known before a collector has asked the exchange; \
             run one first: candlewick run",
            job.symbol.exchange, job.symbol.symbol
        )));
    }
    let mut progress = input::progress();
    let survey = Survey::take(job, input, &grid, &mut progress)?;
    let kept = job.symbol.kept.candles.get(&timeframe).copied();
    job.refuse_pruned(kept, survey.extent.from, &format!("-t {timeframe}"))?;
    let claims = claims(job, &grid, &survey)?;
    let known = job.store.series_of(job.symbol.id).await?.into_iter().find(|series| series.timeframe == timeframe);
    let known = known.map(|series| series.id);
    refuse_holes(job, &grid, &claims, &survey, known).await?;
    let series = match known {
        Some(series) => series,
        None => job.store.open_series(job.symbol.id, timeframe).await?.id,
    };
    let mut writing = Writing::new(job, series, grid).await?;
    let outcome = writing.write_all(input, &mut progress).await;
    progress.finish();
    outcome?;
    writing.claim(&claims).await?;
    tell(job, timeframe, &survey, &writing, &claims)
}

/// The timeframe: one that the symbol wants.
fn timeframe_of(job: &Job<'_>) -> Result<Timeframe, Failure> {
    let name = format!("{} {}", job.symbol.exchange, job.symbol.symbol);
    let wanted = &job.symbol.timeframes;
    let words = wanted.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(" ");
    match (job.args.timeframe, &wanted[..]) {
        (Some(timeframe), _) if wanted.contains(&timeframe) => Ok(timeframe),
        (None, [only]) => Ok(*only),
        (None, [_, ..]) => Err(Failure::usage(format_args!("say the timeframe with -t; {name} wants {words}"))),
        (asked, _) => {
            let wants = if wanted.is_empty() { "no candles".to_owned() } else { format!("only {words}") };
            let asked = asked.unwrap_or(Timeframe::M1);
            Err(Failure::usage(format_args!("{name} wants {wants}; first: candlewick symbols add {name} -t {asked}")))
        }
    }
}

/// What the file holds, all of it checked.
struct Survey {
    rows: u64,
    flagged: u64,
    /// The buckets of the rows.
    buckets: SpanSet,
    /// From the first to the last.
    extent: Span,
}

impl Survey {
    fn take(job: &Job<'_>, input: &mut Input, grid: &Grid, progress: &mut Progress) -> Result<Survey, Failure> {
        let (text, above, meter) = input.rewind()?;
        let mut rows = CandleRows::new(text, above)?;
        let mut faults = Faults::default();
        let mut order = Order::default();
        let (mut number, mut flagged, mut buckets) = (0, 0, SpanSet::new());
        while let Some((line, row)) = rows.next_row()? {
            number += 1;
            if number % STEP == 0 {
                meter.show(progress, "checking");
            }
            let checked = row.map_err(|fault| fault.to_string()).and_then(|candle| {
                check(&candle, grid, job.now)?;
                order.take(candle.open_time)?;
                Ok(candle)
            });
            match checked {
                Ok(candle) => {
                    flagged += u64::from(candle.is_out_of_range());
                    buckets.insert(Span::new(candle.open_time, grid.next_open(candle.open_time)));
                }
                Err(fault) => faults.add(line, fault),
            }
        }
        faults.finish(&input.name)?;
        match (buckets.spans().first(), buckets.spans().last()) {
            (Some(first), Some(last)) => {
                let extent = Span::new(first.from, last.to);
                Ok(Survey { rows: number, flagged, buckets, extent })
            }
            _ => Err(Failure::usage(format_args!("{} has a header and no row", input.name))),
        }
    }
}

/// What can be said of one row alone.
fn check(candle: &Candle, grid: &Grid, now: DateTime<Utc>) -> Result<(), String> {
    let open = Time(candle.open_time);
    if !grid.is_border(candle.open_time) {
        let (timeframe, border) = (grid.timeframe, Time(grid.open_of(candle.open_time)));
        return Err(format!("no {timeframe} bar opens at {open}; the one around it opens at {border}"));
    }
    let close = grid.close_of(candle.open_time);
    if close > now {
        let what = if candle.open_time > now { "lies in the future" } else { "is still open" };
        return Err(format!("the bar of {open} {what}; it closes at {}", Time(close)));
    }
    Ok(())
}

/// Rows run one way through time, so that a file of any length is compared in little memory.
#[derive(Default)]
struct Order {
    last: Option<DateTime<Utc>>,
    is_descending: Option<bool>,
}

impl Order {
    fn take(&mut self, open: DateTime<Utc>) -> Result<(), String> {
        let Some(last) = self.last else {
            self.last = Some(open);
            return Ok(());
        };
        if open == last {
            return Err(format!("the bar of {} stands there twice", Time(open)));
        }
        let is_descending = *self.is_descending.get_or_insert(open < last);
        if is_descending != (open < last) {
            let way = if is_descending { "newest" } else { "oldest" };
            return Err(format!("{} comes after {}; sort the rows by time, {way} first", Time(open), Time(last)));
        }
        self.last = Some(open);
        Ok(())
    }
}

/// What the user says is complete, in whole buckets.
fn claims(job: &Job<'_>, grid: &Grid, survey: &Survey) -> Result<SpanSet, Failure> {
    let mut claims: SpanSet = job.args.complete.then_some(survey.extent).into_iter().collect();
    for covers in &job.args.covers {
        match covers {
            Covers::Rows => claims = claims.union(&survey.buckets),
            Covers::Span(asked) => {
                let whole = Span::new(grid.ceil(asked.from), grid.open_of(asked.to));
                if whole.is_empty() {
                    let timeframe = grid.timeframe;
                    return Err(Failure::usage(format_args!("--covers {asked} holds no whole {timeframe} bar")));
                }
                let closed = grid.last_closed_end(job.now);
                if whole.to > closed {
                    return Err(Failure::usage(format_args!(
                        "--covers {asked} reaches past the newest closed bar, which ends at {}",
                        Time(closed)
                    )));
                }
                claims.insert(whole);
            }
        }
    }
    Ok(claims)
}

/// Where the exchange prints a bar for every bucket, one without is not complete, whoever says so.
async fn refuse_holes(
    job: &Job<'_>,
    grid: &Grid,
    claims: &SpanSet,
    survey: &Survey,
    series: Option<SeriesId>,
) -> Result<(), Failure> {
    if job.venue.quiet != QuietPolicy::Emits {
        return Ok(());
    }
    let (mut lacking, mut first) = (0, None);
    for span in claims.subtract(&survey.buckets).spans() {
        let stored = match series {
            Some(series) => opens(job, series, *span).await?,
            None => HashSet::new(),
        };
        if stored.len() as u64 == grid.count(*span) {
            continue;
        }
        lacking += grid.count(*span) - stored.len() as u64;
        first = first.or_else(|| grid.opens(*span).find(|open| !stored.contains(open)));
    }
    match first {
        None => Ok(()),
        Some(first) => Err(Failure::usage(format_args!(
            "{} of what is said to be complete have no bar, the first at {}, and {} prints one for each; say less, or \
             --covers rows for exactly the bars in the file. Nothing was written",
            count(lacking, "bucket"),
            Time(first),
            job.venue.id
        ))),
    }
}

/// The open times of the stored rows inside a span.
async fn opens(job: &Job<'_>, series: SeriesId, span: Span) -> Result<HashSet<DateTime<Utc>>, Failure> {
    const PAGE: u32 = 10_000;
    let mut opens = HashSet::new();
    let mut from = span.from;
    loop {
        let query = CandleQuery { span: Span::new(from, span.to), limit: Some(PAGE), newest_first: false };
        let rows = job.store.candles(series, query).await?;
        opens.extend(rows.iter().map(|row| row.candle.open_time));
        match rows.last() {
            Some(last) if rows.len() == PAGE as usize => from = last.candle.open_time + TimeDelta::microseconds(1),
            _ => return Ok(opens),
        }
    }
}

/// The second reading.
struct Writing<'a> {
    job: &'a Job<'a>,
    series: SeriesId,
    grid: Grid,
    /// What the exchange has confirmed: a bucket without a row is quiet there.
    verified: SpanSet,
    inserted: u64,
    unchanged: u64,
    outranked: u64,
    replaced: SpanSet,
    replacements: u64,
}

impl<'a> Writing<'a> {
    async fn new(job: &'a Job<'a>, series: SeriesId, grid: Grid) -> Result<Writing<'a>, Failure> {
        let ledger = job.store.ledger(series).await?;
        let verified = select(&ledger, |coverage| *coverage == Coverage::Complete { verified: true });
        Ok(Writing {
            job,
            series,
            grid,
            verified,
            inserted: 0,
            unchanged: 0,
            outranked: 0,
            replaced: SpanSet::new(),
            replacements: 0,
        })
    }

    async fn write_all(&mut self, input: &mut Input, progress: &mut Progress) -> Result<(), Failure> {
        let (text, above, meter) = input.rewind()?;
        let mut rows = CandleRows::new(text, above)?;
        let mut batch = Vec::with_capacity(BATCH);
        while let Some((line, row)) = rows.next_row()? {
            let candle = row.map_err(|fault| fault.on_line(line))?;
            // It was so when it was read first.
            check(&candle, &self.grid, self.job.now).map_err(|fault| anyhow::anyhow!("line {line}: {fault}"))?;
            batch.push(candle);
            if batch.len() == BATCH {
                self.write(&mut batch).await?;
                meter.show(progress, "writing");
            }
        }
        self.write(&mut batch).await
    }

    async fn write(&mut self, batch: &mut Vec<Candle>) -> Result<(), Failure> {
        self.leave_out_quiet(batch).await?;
        let source = self.job.args.source.unwrap_or(Declared::Derived).into();
        let observed_at = self.job.now;
        let declared = |candle| FinalCandle { candle, source, rule: Rule::Imported, observed_at };
        let change =
            SeriesChange { candles: batch.drain(..).map(declared).collect(), ..SeriesChange::new(self.series) };
        let outcomes = self.job.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await?;
        for outcome in outcomes {
            self.inserted += outcome.inserted;
            self.unchanged += outcome.unchanged;
            self.outranked += outcome.outranked;
            for revision in outcome.revisions {
                let open = revision.new.candle.open_time;
                self.replaced.insert(Span::new(open, self.grid.next_open(open)));
                self.replacements += 1;
            }
        }
        Ok(())
    }

    /// Leaves out bars of buckets of which the exchange has said that nothing traded.
    async fn leave_out_quiet(&mut self, batch: &mut Vec<Candle>) -> Result<(), Failure> {
        let opens_of_batch = || batch.iter().map(|candle| candle.open_time);
        let (Some(first), Some(last)) = (opens_of_batch().min(), opens_of_batch().max()) else { return Ok(()) };
        let known = self.verified.within(Span::new(first, self.grid.next_open(last)));
        let mut stored = HashSet::new();
        for span in known.spans() {
            stored.extend(opens(self.job, self.series, *span).await?);
        }
        let before = batch.len();
        batch.retain(|candle| !known.contains(candle.open_time) || stored.contains(&candle.open_time));
        self.outranked += (before - batch.len()) as u64;
        Ok(())
    }

    /// Tells the ledger what is complete by the user's word, and what the exchange is to confirm again.
    async fn claim(&self, claims: &SpanSet) -> Result<(), Failure> {
        let again = self.replaced.spans().iter().map(|span| LedgerChange::Unverify(*span));
        let complete = |span: &Span| LedgerChange::Set(*span, Coverage::Complete { verified: false });
        let ledger: Vec<LedgerChange> = again.chain(claims.spans().iter().map(complete)).collect();
        if !ledger.is_empty() {
            let change = SeriesChange { ledger, ..SeriesChange::new(self.series) };
            self.job.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await?;
        }
        Ok(())
    }
}

/// What was done.
fn tell(
    job: &Job<'_>,
    timeframe: Timeframe,
    survey: &Survey,
    writing: &Writing<'_>,
    claims: &SpanSet,
) -> Result<(), Failure> {
    let Span { from, to } = survey.extent;
    let name = format!("{} {}", job.symbol.exchange, job.symbol.symbol);
    let complete = match claims.spans() {
        [] => "nothing is claimed; --complete or --covers do so".to_owned(),
        [only] => format!("from {} to {}, by your word", Time(only.from), Time(only.to)),
        several => format!("{}, by your word", count(several.len() as u64, "stretch")),
    };
    let mut out = std::io::stdout();
    writeln!(out, "{name} {timeframe} from {} to {}", Time(from), Time(to))?;
    writeln!(out, "rows             {}", grouped(survey.rows))?;
    writeln!(out, "stored           {}", grouped(writing.inserted))?;
    writeln!(out, "there already    {}", grouped(writing.unchanged))?;
    writeln!(out, "replaced others  {}", grouped(writing.replacements))?;
    writeln!(out, "left out         {}", grouped(writing.outranked))?;
    writeln!(out, "flagged          {}", grouped(survey.flagged))?;
    writeln!(out, "complete         {complete}")?;
    out.flush()?;
    if writing.outranked > 0 {
        say("what was left out differs from what the exchange has said, which counts for more");
    }
    if survey.flagged > 0 {
        say("flagged: open or close lies outside low..high; stored as it is");
    }
    if from < job.symbol.backfill_from {
        let wanted = Time(job.symbol.backfill_from);
        say(format_args!(
            "{name} is wanted from {wanted} on only; what is older is kept, and completed when it is wanted too: \
             candlewick symbols add {name} -t {timeframe} --from {}",
            Time(from)
        ));
    }
    Ok(())
}
