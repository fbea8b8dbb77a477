//! An audit as data: which series are compared, and how its course and its end are told.

use chrono::{DateTime, Utc};

use super::command::Audit;
use super::when::{self, Time};
use crate::market::audit::{AuditCounts, SeriesAudit};
use crate::market::{Span, Symbol, Timeframe};
use crate::store::{SymbolRow, SymbolState};

/// An audit that can be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditJob {
    /// The command's id.
    pub id: String,
    /// What is compared, by exchange, symbol and timeframe.
    pub series: Vec<AuditedSeries>,
    /// Buckets that open inside, as far as they are wanted.
    pub span: Span,
    /// What differs is put right.
    pub repairs: bool,
}

/// A series to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedSeries {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: Symbol,
    /// Timeframe.
    pub timeframe: Timeframe,
}

impl AuditJob {
    /// The job that a command asks for, of the symbols that it names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn plan(id: &str, asked: &Audit, symbols: &[SymbolRow], now: DateTime<Utc>) -> Result<AuditJob, Vec<String>> {
        let mut faults = Vec::new();
        let mut timeframes = Vec::new();
        for word in
            asked.timeframes.as_deref().unwrap_or_default().split([',', ';', ' ']).filter(|word| !word.is_empty())
        {
            match word.parse::<Timeframe>() {
                Ok(timeframe) => timeframes.push(timeframe),
                Err(error) => faults.push(error.to_string()),
            }
        }
        let mut time = |name: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(when::parse).transpose();
            parsed.unwrap_or_else(|error| {
                faults.push(format!("{name}: {error}"));
                None
            })
        };
        let (from, to) = (time("from", &asked.from), time("to", &asked.to));
        if let Some(from) = from.filter(|from| *from > now) {
            faults.push(format!("from {} lies in the future; it is {} now", Time(from), Time(now)));
        } else if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            faults.push(format!("to {} does not lie after from {}", Time(to), Time(from)));
        }
        let collected = symbols.iter().filter(|row| row.collect_candles && !row.only_ticker);
        let held: Vec<(&SymbolRow, Timeframe)> =
            collected.flat_map(|row| row.timeframes.iter().map(move |timeframe| (row, *timeframe))).collect();
        for asked in timeframes.iter().filter(|asked| !held.iter().any(|(_, held)| held == *asked)) {
            let mut known: Vec<Timeframe> = held.iter().map(|(_, held)| *held).collect();
            known.sort();
            known.dedup();
            let known = known.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(" ");
            faults.push(format!("no series of {asked} is kept there; there are: {known}"));
        }
        let is_asked = |timeframe: &Timeframe| timeframes.is_empty() || timeframes.contains(timeframe);
        let series: Vec<AuditedSeries> = held
            .into_iter()
            .filter(|(_, timeframe)| is_asked(timeframe))
            .map(|(row, timeframe)| AuditedSeries {
                exchange: row.exchange.clone(),
                symbol: row.symbol.clone(),
                timeframe,
            })
            .collect();
        if series.is_empty() && faults.is_empty() {
            faults
                .push("no candles are wanted there; add some with: candlewick symbols add EXCHANGE SYMBOL".to_owned());
        }
        if let (Some(_), [row]) = (&asked.symbol, symbols)
            && row.state == SymbolState::Paused
        {
            faults.push(format!("{} {} is paused; first: candlewick symbols resume {0} {1}", row.exchange, row.symbol));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let span = Span::new(from.unwrap_or(DateTime::<Utc>::MIN_UTC), to.unwrap_or(DateTime::<Utc>::MAX_UTC));
        Ok(AuditJob { id: id.to_owned(), series, span, repairs: asked.repair })
    }
}

/// How far an audit is, in buckets. Its words are the outcome of a command that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Course {
    /// Compared.
    pub done: u64,
    /// To be compared, as far as that is known.
    pub of: u64,
}

impl Course {
    /// The words.
    pub fn words(&self, rest: &str) -> String {
        format!("{} of {} buckets compared; {rest}", self.done, self.of)
    }

    /// Reads the words back, with what follows them.
    pub fn read(words: &str) -> Option<(Course, &str)> {
        let (course, rest) = words.split_once(" buckets compared; ")?;
        let (done, of) = course.split_once(" of ")?;
        Some((Course { done: done.parse().ok()?, of: of.parse().ok()? }, rest))
    }
}

/// The sum of a report, in words.
pub fn summary(series: &[SeriesAudit]) -> String {
    let total = |count: fn(&AuditCounts) -> u64| series.iter().map(|one| count(&one.counts)).sum::<u64>();
    let mut words = format!(
        "{} series, {} buckets: {} equal, {} revised, {} missing, {} unavailable, {} repaired",
        series.len(),
        total(|c| c.checked),
        total(|c| c.equal),
        total(|c| c.revised),
        total(|c| c.missing),
        total(|c| c.unavailable),
        total(|c| c.repaired)
    );
    let sums = series.iter().filter_map(|one| one.trades.as_ref());
    let (checked, differ) = sums.fold((0, 0), |sum, trades| (sum.0 + trades.checked, sum.1 + trades.differ));
    if checked > 0 {
        words.push_str(&format!("; {differ} of {checked} candles are not the sums of their trades"));
    }
    let failed = series.iter().filter(|one| one.failure.is_some()).count();
    if failed > 0 {
        words.push_str(&format!("; {failed} series could not be compared to the end"));
    }
    words
}

#[cfg(test)]
mod tests;
