//! What an audit found: a line for each series on stdout, the buckets that differ in words on stderr.

use anyhow::anyhow;
use serde::Serialize;

use crate::cli::Failure;
use crate::cli::lines::Time;
use crate::cli::listing::{self, Format, Row, count, say};
use crate::control::audit::summary;
use crate::market::audit::{Finding, FindingKind, SeriesAudit};
use crate::market::{Candle, Symbol, Timeframe};

/// Buckets of each series that are told in words.
const MOST_TOLD: usize = 10;

/// Prints the report.
///
/// # Errors
/// Those of stdout.
pub fn print(format: Format, report: &[SeriesAudit]) -> Result<(), Failure> {
    for series in report {
        let name = format!("{} {} {}", series.exchange, series.symbol, series.timeframe);
        for finding in series.findings.iter().take(MOST_TOLD) {
            say(format_args!("{name} {}: {}", Time(finding.open_time), words(finding)));
        }
        let told = series.findings.len().min(MOST_TOLD) as u64;
        let more = (series.counts.revised + series.counts.missing).saturating_sub(told);
        if told > 0 && more > 0 {
            say(format_args!("{name}: and {more} more"));
        }
        if let Some(trades) = series.trades.as_ref().filter(|trades| trades.differ > 0) {
            let first = trades.first.iter().take(MOST_TOLD).map(|open| Time(*open).to_string()).collect::<Vec<_>>();
            say(format_args!("{name}: not the sums of the stored trades: {}", first.join(" ")));
        }
        if let Some(failure) = &series.failure {
            say(format_args!("{name} was not compared to its end: {failure}"));
        }
    }
    say(summary(report));
    listing::print(format, report.iter().map(Line::of))
}

/// Whether everything that could be compared is right now.
///
/// # Errors
/// Failed, when it is not.
pub fn verdict(report: &[SeriesAudit], repairs: bool) -> Result<(), Failure> {
    let wrong: u64 = report.iter().map(SeriesAudit::wrong).sum();
    let unequal = report.iter().filter(|series| series.trades.as_ref().is_some_and(|trades| trades.differ > 0)).count();
    let failed = report.iter().filter(|series| series.failure.is_some()).count();
    if report.iter().all(SeriesAudit::is_right) {
        return Ok(());
    }
    let mut faults = Vec::new();
    if wrong > 0 {
        let remedy = if repairs { "" } else { "; put them right with --repair" };
        faults.push(format!("{} wrong{remedy}", count(wrong, "bucket")));
    }
    if unequal > 0 {
        faults.push(format!("{} with candles that are not the sums of their trades", count(unequal as u64, "series")));
    }
    if failed > 0 {
        faults.push(format!("{} not compared to the end", count(failed as u64, "series")));
    }
    Err(Failure::Failed(anyhow!(faults.join("; "))))
}

/// What is wrong with a bucket, and what became of it.
fn words(finding: &Finding) -> String {
    let repaired = |done: &str| if finding.repaired { format!("; {done}") } else { String::new() };
    match (finding.kind, &finding.stored, &finding.exchange) {
        (FindingKind::Differs, Some(stored), Some(exchange)) => {
            format!("{}{}", differences(stored, exchange), repaired("corrected, the old value is kept"))
        }
        (FindingKind::Missing, _, Some(_)) => format!("not stored{}", repaired("fetched again")),
        (FindingKind::Missing, _, None) => "not stored, and the exchange does not serve it".to_owned(),
        (FindingKind::Invented | FindingKind::Differs, ..) => {
            format!("stored, and the exchange has nothing there{}", repaired("taken away, the old value is kept"))
        }
    }
}

fn differences(stored: &Candle, right: &Candle) -> String {
    let values = |row: &Candle| {
        [("open", row.open), ("high", row.high), ("low", row.low), ("close", row.close), ("volume", row.volume)]
    };
    let pairs = values(stored).into_iter().zip(values(right)).filter(|(a, b)| a.1 != b.1);
    let mut parts: Vec<String> = pairs.map(|((name, a), (_, b))| format!("{name} {a} instead of {b}")).collect();
    if let (Some(a), Some(b)) = (stored.trades, right.trades)
        && a != b
    {
        parts.push(format!("trades {a} instead of {b}"));
    }
    parts.join(", ")
}

/// A series as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    exchange: &'a str,
    symbol: &'a Symbol,
    timeframe: Timeframe,
    from: Option<Time>,
    to: Option<Time>,
    checked: u64,
    equal: u64,
    revised: u64,
    missing: u64,
    unavailable: u64,
    repaired: u64,
    /// Candles that were compared with the sums of their trades, and those that are not.
    sums: u64,
    sums_differ: u64,
    /// Why buckets are unavailable, or why not all were compared.
    reason: String,
    findings: &'a [Finding],
}

impl Line<'_> {
    fn of(series: &SeriesAudit) -> Line<'_> {
        let counts = &series.counts;
        let unavailable = series.unavailable.iter().map(|(reason, buckets)| format!("{buckets} {reason}"));
        let skipped = series.trades.as_ref().and_then(|trades| trades.skipped.as_ref());
        let skipped = skipped.map(|why| format!("trades not compared: {why}"));
        let reasons: Vec<String> = unavailable.chain(skipped).chain(series.failure.clone()).collect();
        Line {
            exchange: &series.exchange,
            symbol: &series.symbol,
            timeframe: series.timeframe,
            from: series.from.map(Time),
            to: series.to.map(Time),
            checked: counts.checked,
            equal: counts.equal,
            revised: counts.revised,
            missing: counts.missing,
            unavailable: counts.unavailable,
            repaired: counts.repaired,
            sums: series.trades.as_ref().map_or(0, |trades| trades.checked),
            sums_differ: series.trades.as_ref().map_or(0, |trades| trades.differ),
            reason: reasons.join("; "),
            findings: &series.findings,
        }
    }
}

impl Row for Line<'_> {
    const COLUMNS: &'static [&'static str] = &[
        "exchange",
        "symbol",
        "timeframe",
        "from",
        "to",
        "checked",
        "equal",
        "revised",
        "missing",
        "unavailable",
        "repaired",
        "sums",
        "sums_differ",
        "reason",
    ];

    fn cells(&self) -> Vec<String> {
        let time = |time: Option<Time>| time.map_or_else(String::new, |time| time.to_string());
        let counts = [self.checked, self.equal, self.revised, self.missing, self.unavailable, self.repaired];
        let sums = [self.sums, self.sums_differ];
        let mut cells = vec![self.exchange.to_owned(), self.symbol.to_string(), self.timeframe.to_string()];
        cells.extend([time(self.from), time(self.to)]);
        cells.extend(counts.iter().chain(&sums).map(u64::to_string));
        cells.push(self.reason.clone());
        cells
    }
}
