//! A story in sentences, for people.

use std::io::{self, Write};

use super::story::{State, Story};
use super::values::{Interval, Told};
use crate::market::Candle;

/// Writes the story.
///
/// # Errors
/// Those of the output.
pub fn tell(story: &Story, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} {} {} {}", story.exchange, story.symbol, story.timeframe, story.open_time)?;
    line(out, "state", state(story.state))?;
    if let Some(candle) = &story.candle {
        line(out, "candle", &values(&candle.candle))?;
        let doubt = if candle.is_out_of_range { "; open or close lies outside low..high, as printed" } else { "" };
        line(out, "source", &format!("{}, rule {}{doubt}", candle.source, candle.rule))?;
        line(
            out,
            "observed",
            &format!("{}; first written {}, last {}", candle.observed_at, candle.first_written_at, candle.updated_at),
        )?;
    }
    if let Some(forming) = &story.forming {
        line(out, "so far", &values(forming))?;
    }
    line(out, "why", &story.why)?;
    if let Some(parts) = &story.parts {
        let complete = if parts.is_complete { "all complete" } else { "not all complete now" };
        let count = parts.open_times.len();
        line(
            out,
            "parts",
            &format!("{count} candles of {} from {} to {}, {complete}", parts.timeframe, parts.from, parts.to),
        )?;
    }
    if let Some(trades) = &story.trades {
        let complete = if trades.is_complete { "all there" } else { "not known to be all" };
        let words = match (&trades.first_id, &trades.last_id) {
            (Some(first), Some(last)) => format!("{} stored, ids {first} to {last}, {complete}", trades.count),
            _ => "not kept".to_owned(),
        };
        line(out, "trades", &words)?;
    }
    match story.revisions.as_slice() {
        [] if story.candle.is_some() => line(out, "revisions", "none")?,
        revisions => revisions.iter().try_for_each(|old| line(out, "was", &revision(old)))?,
    }
    let neighbours = [("before", &story.ledger_before), ("ledger", &story.ledger), ("after", &story.ledger_after)];
    for (name, interval) in neighbours {
        if let Some(interval) = interval {
            line(out, name, &interval_words(interval))?;
        }
    }
    if story.ledger.is_none() {
        line(out, "ledger", "says nothing of it")?;
    }
    if !story.doing.is_empty() {
        line(out, "next", &story.doing)?;
    }
    out.flush()
}

fn line(out: &mut impl Write, name: &str, words: &str) -> io::Result<()> {
    writeln!(out, "  {name:<10} {words}")
}

fn state(state: State) -> &'static str {
    match state {
        State::Final => "final",
        State::Empty => "empty: no candle, and none is missing",
        State::Missing => "missing",
        State::Unavailable => "unavailable",
        State::Open => "open: it has not closed yet",
        State::NotObserved => "not observed yet",
        State::BeforeBackfill => "not wanted: before backfill_from",
        State::NotWanted => "not wanted",
        State::Violation => "lost: the ledger claims a candle that is not there",
    }
}

fn values(candle: &Candle) -> String {
    let Candle { open, high, low, close, volume, .. } = candle;
    let mut words = format!("open {open} high {high} low {low} close {close} volume {volume}");
    if let Some(trades) = candle.trades {
        words.push_str(&format!(" trades {trades}"));
    }
    for (name, value) in [("quote volume", candle.quote_volume), ("vwap", candle.vwap)] {
        if let Some(value) = value {
            words.push_str(&format!(" {name} {value}"));
        }
    }
    words
}

fn revision(old: &Told) -> String {
    let replaced = old.replaced_at.map_or_else(String::new, |at| format!(", until {at}"));
    format!("{} ({}, rule {}, observed {}{replaced})", values(&old.candle), old.source, old.rule, old.observed_at)
}

fn interval_words(interval: &Interval) -> String {
    let mut words = format!("{} to {} {}", interval.from, interval.to, interval.state);
    if interval.state == "complete" {
        words.push_str(if interval.verified { ", verified" } else { ", not verified" });
    }
    if let Some(reason) = &interval.reason {
        words.push_str(&format!(" ({reason})"));
    }
    if let Some(attempts) = interval.attempts.filter(|attempts| *attempts > 0) {
        words.push_str(&format!(", {attempts} attempts"));
    }
    if let Some(at) = &interval.next_attempt_at {
        words.push_str(&format!(", next at {at}"));
    }
    words
}
