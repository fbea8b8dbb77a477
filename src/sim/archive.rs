//! What a market remembers: its tape, and the minutes and bars made from it, within bounds.

use std::collections::HashMap;
use std::sync::Arc;

use super::bar::{Bar, bar_of, joined};
use super::calendar::{DAY, HOUR, MINUTE};
use super::tape::{SECOND_NS, SeededTape, Tick};

/// Minutes of trades, and hours of minute bars, kept per market.
const KEPT_MINUTES: usize = 128;
const KEPT_HOURS: usize = 64;
const KEPT_TOTALS: usize = 20_000;

#[derive(Debug)]
pub(super) enum Tape {
    Seeded(SeededTape),
    Replay(Arc<[Tick]>),
}

#[derive(Debug)]
pub(super) struct Archive {
    pub(super) tape: Tape,
    outages: Vec<(i64, i64)>,
    minutes: HashMap<i64, Arc<[Tick]>>,
    hours: HashMap<i64, Arc<[Option<Bar>]>>,
    totals: HashMap<(i64, i64), Option<Bar>>,
}

impl Archive {
    pub(super) fn new(tape: Tape) -> Archive {
        Archive { tape, outages: Vec::new(), minutes: HashMap::new(), hours: HashMap::new(), totals: HashMap::new() }
    }

    pub(super) fn add_outage(&mut self, from: i64, to: i64) {
        match &mut self.tape {
            Tape::Seeded(tape) => tape.add_outage(from, to),
            Tape::Replay(ticks) => {
                let outside = |tick: &&Tick| !(from..to).contains(&(tick.time_ns / (MINUTE * SECOND_NS)));
                *ticks = ticks.iter().filter(outside).copied().collect();
            }
        }
        self.outages.push((from * MINUTE, to * MINUTE));
        self.minutes.retain(|minute, _| *minute < from);
        self.hours.retain(|hour, _| (*hour + HOUR) / MINUTE <= from);
        self.totals.retain(|(_, end), _| *end / MINUTE <= from);
    }

    pub(super) fn is_outage(&self, from: i64, to: i64) -> bool {
        self.outages.iter().any(|outage| outage.0 <= from && to <= outage.1)
    }

    pub(super) fn minute(&mut self, minute: i64) -> Arc<[Tick]> {
        match &mut self.tape {
            Tape::Replay(ticks) => {
                let at = |minute: i64| ticks.partition_point(|tick| tick.time_ns < minute * MINUTE * SECOND_NS);
                ticks[at(minute)..at(minute + 1)].into()
            }
            Tape::Seeded(tape) => {
                if let Some(ticks) = self.minutes.get(&minute) {
                    return ticks.clone();
                }
                let ticks: Arc<[Tick]> = tape.make_minute(minute).into();
                if self.minutes.len() >= KEPT_MINUTES {
                    self.minutes.clear();
                }
                self.minutes.insert(minute, ticks.clone());
                ticks
            }
        }
    }

    pub(super) fn count_before(&mut self, time_ns: i64) -> u64 {
        if let Tape::Replay(ticks) = &self.tape {
            return ticks.partition_point(|tick| tick.time_ns < time_ns) as u64;
        }
        let minute = time_ns.div_euclid(MINUTE * SECOND_NS);
        let inside = self.minute(minute).partition_point(|tick| tick.time_ns < time_ns) as u64;
        match &mut self.tape {
            Tape::Seeded(tape) => tape.before_minute(minute).trades + inside,
            Tape::Replay(_) => 0,
        }
    }

    pub(super) fn page(&mut self, position: u64, limit: usize, until_ns: i64) -> Vec<Tick> {
        if let Tape::Replay(ticks) = &self.tape {
            let from = ticks.len().min(position as usize);
            return ticks[from..].iter().take(limit).take_while(|tick| tick.time_ns < until_ns).copied().collect();
        }
        let until = (until_ns - 1).div_euclid(MINUTE * SECOND_NS) + 1;
        let Tape::Seeded(tape) = &mut self.tape else { return Vec::new() };
        let Some(first) = tape.minute_of(position, |counts| counts.trades, until) else { return Vec::new() };
        let mut found = Vec::with_capacity(limit.min(1_000));
        for minute in first..until {
            let ticks = self.minute(minute);
            let wanted = ticks.iter().filter(|tick| tick.id > position && tick.time_ns < until_ns);
            found.extend(wanted.take(limit - found.len()).copied());
            if found.len() >= limit {
                break;
            }
        }
        found
    }

    pub(super) fn bar(&mut self, from: i64, to: i64, until_ns: i64) -> Option<Bar> {
        // Whole seconds are finished up to here; what follows is summed trade by trade.
        let finished = to.min(until_ns.div_euclid(SECOND_NS));
        let (mut at, mut sum) = (from, None);
        while at < finished {
            let step = [DAY, HOUR, MINUTE]
                .into_iter()
                .find(|step| at.rem_euclid(*step) == 0 && at + step <= finished)
                .unwrap_or((MINUTE - at.rem_euclid(MINUTE)).min(finished - at));
            let part = match step {
                DAY | HOUR => self.total(at, step),
                MINUTE => self.minute_bar(at),
                _ => self.some_ticks(at * SECOND_NS, (at + step) * SECOND_NS),
            };
            sum = joined(sum, part);
            at += step;
        }
        let rest = self.some_ticks(at * SECOND_NS, until_ns.min(to * SECOND_NS));
        joined(sum, rest)
    }

    fn some_ticks(&mut self, from_ns: i64, to_ns: i64) -> Option<Bar> {
        if from_ns >= to_ns {
            return None;
        }
        let ticks = self.minute(from_ns.div_euclid(MINUTE * SECOND_NS));
        bar_of(ticks.iter().filter(|tick| from_ns <= tick.time_ns && tick.time_ns < to_ns))
    }

    fn minute_bar(&mut self, at: i64) -> Option<Bar> {
        let hour = at - at.rem_euclid(HOUR);
        self.hour(hour)[((at - hour) / MINUTE) as usize]
    }

    /// The minute bars of an hour, remembered.
    fn hour(&mut self, hour: i64) -> Arc<[Option<Bar>]> {
        if let Some(bars) = self.hours.get(&hour) {
            return bars.clone();
        }
        let bars: Arc<[Option<Bar>]> = (0..60).map(|n| bar_of(self.minute(hour / MINUTE + n).iter())).collect();
        if self.hours.len() >= KEPT_HOURS {
            self.hours.clear();
        }
        self.hours.insert(hour, bars.clone());
        bars
    }

    /// A whole hour or day, remembered.
    fn total(&mut self, at: i64, length: i64) -> Option<Bar> {
        let key = (at, at + length);
        if let Some(bar) = self.totals.get(&key) {
            return *bar;
        }
        let bar = if length == DAY {
            (0..24).fold(None, |sum, hour| joined(sum, self.total(at + hour * HOUR, HOUR)))
        } else {
            self.hour(at).iter().fold(None, |sum, bar| joined(sum, *bar))
        };
        if self.totals.len() >= KEPT_TOTALS {
            self.totals.clear();
        }
        self.totals.insert(key, bar);
        bar
    }
}
