//! Trades of a file: checked, written, and claimed as far as the user says.

use std::collections::BTreeMap;
use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};

use super::faults::Faults;
use super::input::{self, Input};
use super::{Covers, Job};
use crate::cli::Failure;
use crate::cli::lines::Time;
use crate::cli::listing::count;
use crate::cli::live_view::grouped;
use crate::cli::progress::Progress;
use crate::cli::trade_rows::TradeRows;
use crate::market::{Span, Trade, TradeId};
use crate::store::{TradesChange, WriteBatch};

/// Rows of one transaction.
const BATCH: usize = 10_000;
/// Rows between two looks at the progress.
const STEP: u64 = 4_096;

/// Checks the file, then writes it.
pub(super) async fn import(job: &Job<'_>, input: &mut Input) -> Result<(), Failure> {
    let mut progress = input::progress();
    let survey = Survey::take(job, input, &mut progress)?;
    job.refuse_pruned(job.symbol.kept.trades, survey.first, "--trades")?;
    let claims = claims(job, &survey)?;
    let outcome = write_all(job, input, &mut progress).await;
    progress.finish();
    outcome?;
    if claims != TradesChange::new(job.symbol.id) {
        write(job, claims.clone()).await?;
    }
    tell(job, &survey, &claims)
}

/// What the file holds, all of it checked.
struct Survey {
    rows: u64,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    /// Where ids have no holes: the runs that the rows stand for, by their first id.
    ids: Option<IdRuns>,
}

impl Survey {
    fn take(job: &Job<'_>, input: &mut Input, progress: &mut Progress) -> Result<Survey, Failure> {
        let are_dense = job.venue.trade_rest.is_some_and(|rest| rest.ids_are_dense)
            || job.venue.trade_stream.is_some_and(|stream| stream.ids_are_dense);
        let (text, above, meter) = input.rewind()?;
        let mut rows = TradeRows::new(text, above).map_err(Failure::into_usage)?;
        if !rows.have_ids() {
            return Err(Failure::usage(format_args!(
                "{} has no column id; a trade is told from another by the exchange's id",
                input.name
            )));
        }
        let mut faults = Faults::default();
        let mut ids = are_dense.then(IdRuns::default);
        let mut number = 0u64;
        let mut times: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
        while let Some((line, row)) = rows.next_row()? {
            number += 1;
            if number.is_multiple_of(STEP) {
                meter.show(progress, "checking");
            }
            let checked = row.map_err(|fault| fault.to_string()).and_then(|trade| {
                let numbers = check(&trade, job.now)?;
                Ok((trade.time, numbers))
            });
            match checked {
                Ok((time, numbers)) => {
                    times = Some(times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
                    match (&mut ids, numbers) {
                        (Some(ids), Some((first, last))) => ids.insert(first, last),
                        (_, None) => ids = None,
                        (None, _) => {}
                    }
                }
                Err(fault) => faults.add(line, fault),
            }
        }
        faults.finish(&input.name)?;
        match times {
            Some((first, last)) => Ok(Survey { rows: number, first, last, ids }),
            None => Err(Failure::usage(format_args!("{} has a header and no row", input.name))),
        }
    }
}

/// What can be said of one row alone. Gives its ids where they are numbers.
fn check(trade: &Trade, now: DateTime<Utc>) -> Result<Option<(u64, u64)>, String> {
    if trade.time > now {
        return Err(format!("{} lies in the future", Time(trade.time)));
    }
    match (&trade.id, &trade.last_id) {
        (TradeId::Number(first), TradeId::Number(last)) if first > last => {
            Err(format!("the last id {last} is smaller than the id {first}"))
        }
        (TradeId::Number(_), TradeId::Number(last)) if *last > TradeId::LARGEST => {
            Err(format!("the id {last} is larger than a database number"))
        }
        (TradeId::Number(first), TradeId::Number(last)) => Ok(Some((*first, *last))),
        (first, last) if first == last => Ok(None),
        (first, last) => Err(format!("the ids {first} to {last} are no numbers, so they are no range")),
    }
}

/// Runs of ids without holes: first id to last id, never touching.
#[derive(Debug, Default, PartialEq)]
struct IdRuns(BTreeMap<u64, u64>);

impl IdRuns {
    fn insert(&mut self, first: u64, last: u64) {
        let (mut from, mut to) = (first, last);
        if let Some((start, end)) = self.0.range(..=first).next_back().map(|(start, end)| (*start, *end))
            && end.saturating_add(1) >= first
        {
            if end >= last {
                return;
            }
            from = start;
        }
        while let Some((start, end)) = self.0.range(first..=to.saturating_add(1)).next().map(|(s, e)| (*s, *e)) {
            self.0.remove(&start);
            to = to.max(end);
        }
        self.0.insert(from, to);
    }
}

/// What the user says is complete.
fn claims(job: &Job<'_>, survey: &Survey) -> Result<TradesChange, Failure> {
    let mut claims = TradesChange::new(job.symbol.id);
    for covers in &job.args.covers {
        if let Covers::Span(span) = covers {
            if span.to > job.now {
                return Err(Failure::usage(format_args!("--covers {span} reaches into the future")));
            }
            claims.complete_spans.push(*span);
        }
    }
    match &survey.ids {
        _ if !job.args.complete => {}
        None => claims.complete_spans.push(Span::new(survey.first, survey.last + TimeDelta::microseconds(1))),
        Some(IdRuns(runs)) => {
            let mut holes = runs.iter().zip(runs.iter().skip(1)).map(|((_, end), (start, _))| (end + 1, start - 1));
            if let Some((from, to)) = holes.next() {
                let more = match holes.count() as u64 {
                    0 => String::new(),
                    more => format!(", and {} more", count(more, "run")),
                };
                return Err(Failure::usage(format_args!(
                    "the rows are not complete: the ids {from} to {to} are missing{more}, and the ids of {} have no \
                     holes; leave out --complete, or claim the time you know of with --covers FROM..TO. Nothing was \
                     written",
                    job.venue.id
                )));
            }
            claims.complete_ids.extend(runs.iter().map(|(first, last)| (*first, *last)));
        }
    }
    Ok(claims)
}

async fn write_all(job: &Job<'_>, input: &mut Input, progress: &mut Progress) -> Result<(), Failure> {
    let (text, above, meter) = input.rewind()?;
    let mut rows = TradeRows::new(text, above)?;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some((line, row)) = rows.next_row()? {
        batch.push(row.map_err(|fault| fault.on_line(line))?);
        if batch.len() == BATCH {
            let trades = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            write(job, TradesChange { trades, ..TradesChange::new(job.symbol.id) }).await?;
            meter.show(progress, "writing");
        }
    }
    write(job, TradesChange { trades: batch, ..TradesChange::new(job.symbol.id) }).await
}

async fn write(job: &Job<'_>, change: TradesChange) -> Result<(), Failure> {
    job.store.write(&WriteBatch { trades: vec![change], ..WriteBatch::default() }).await?;
    Ok(())
}

/// What was done.
fn tell(job: &Job<'_>, survey: &Survey, claims: &TradesChange) -> Result<(), Failure> {
    let mut complete: Vec<String> =
        claims.complete_ids.iter().map(|(first, last)| format!("ids {first} to {last}")).collect();
    complete.extend(claims.complete_spans.iter().map(|span| format!("from {} to {}", Time(span.from), Time(span.to))));
    let complete = match &complete[..] {
        [] => "nothing is claimed; --complete or --covers do so".to_owned(),
        claims => format!("{}, by your word", claims.join("; ")),
    };
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{} {} trades from {} to {}",
        job.symbol.exchange,
        job.symbol.symbol,
        Time(survey.first),
        Time(survey.last)
    )?;
    writeln!(out, "rows             {}", grouped(survey.rows))?;
    writeln!(out, "complete         {complete}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_of_ids_agree_with_a_set(inserts in prop::collection::vec((1u64..60, 0u64..5), 0..40)) {
            let mut runs = IdRuns::default();
            let mut set = std::collections::BTreeSet::new();
            for (first, more) in inserts {
                runs.insert(first, first + more);
                set.extend(first..=first + more);
            }
            let listed = runs.0.iter().flat_map(|(first, last)| *first..=*last).collect::<Vec<_>>();
            prop_assert_eq!(listed, set.into_iter().collect::<Vec<_>>());
            let ends = runs.0.values().zip(runs.0.keys().skip(1));
            prop_assert!(ends.into_iter().all(|(end, next)| end + 1 < *next), "runs never touch: {:?}", runs);
        }
    }
}
