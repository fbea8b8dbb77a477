//! Many schedules on all cores: as many as asked for, or as many as fit into a time.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::{Outcome, setting};

/// Violations of one schedule that are told.
const MOST_TOLD: usize = 5;
/// What schedules differ by in memory.
const MEMORY_SLACK_BYTES: u64 = 48 << 20;
/// How often a long run says how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How long to go on.
#[derive(Clone, Copy)]
pub enum Length {
    Schedules(u64),
    Time(Duration),
}

impl Length {
    /// `CANDLEWICK_SECONDS`, else `CANDLEWICK_SCHEDULES`, else a few.
    pub fn of_settings() -> Length {
        match setting("CANDLEWICK_SECONDS", 0) {
            0 => Length::Schedules(setting("CANDLEWICK_SCHEDULES", 6)),
            seconds => Length::Time(Duration::from_secs(seconds)),
        }
    }
}

/// What all schedules showed.
#[derive(Default)]
pub struct Totals {
    schedules: u64,
    simulated: TimeDelta,
    lives: u64,
    crashes: u64,
    /// Of each kind of fault: how often it was scripted, and how often it struck.
    faults: BTreeMap<String, (u64, u64)>,
    pub candles: u64,
    trades: u64,
    unavailable: BTreeMap<String, u64>,
    /// Memory of the process after each schedule, in bytes, where the system tells it.
    memory: Vec<u64>,
    /// With the seed that repeats them.
    pub violations: Vec<String>,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scripted, struck) = self.faults.values().fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
        write!(
            f,
            "{} schedules, {:.1} simulated days, {} lives, {} crashes, {scripted} faults that struck {struck} times, \
             {} candles and {} trades checked, {} violations",
            self.schedules,
            self.simulated.num_minutes() as f64 / 1440.0,
            self.lives,
            self.crashes,
            self.candles,
            self.trades,
            self.violations.len(),
        )
    }
}

impl Totals {
    /// Nothing is kept of schedules that are over: towards the end they take no more memory than after
    /// the first ones. Only long runs tell.
    fn check_memory(&mut self) {
        let part = self.memory.len() / 4;
        if part < 10 {
            return;
        }
        let median = |part: &[u64]| {
            let mut sorted = part.to_vec();
            sorted.sort_unstable();
            sorted[sorted.len() / 2]
        };
        let early = median(&self.memory[part..2 * part]);
        let late = median(&self.memory[self.memory.len() - part..]);
        println!("memory: {} MB, later {} MB", early >> 20, late >> 20);
        if late > early + early / 4 + MEMORY_SLACK_BYTES {
            self.violations.push(format!("memory grew from {early} to {late} bytes"));
        }
    }

    /// Of each kind of fault how often it was scripted and struck, and what the venues could not tell any more.
    pub fn details(&self) -> String {
        let fault = |(kind, (scripted, struck)): (&String, &(u64, u64))| match scripted {
            0 => format!("  {kind}: {struck}"),
            _ => format!("  {kind}: {struck} (scripted {scripted} times)"),
        };
        let reason = |(reason, buckets): (&String, &u64)| format!("  {buckets} buckets unavailable: {reason}");
        let lines = self.faults.iter().map(fault).chain(self.unavailable.iter().map(reason));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn add(&mut self, seed: u64, outcome: Result<Outcome, Box<dyn Any + Send>>) {
        self.schedules += 1;
        self.memory.extend(resident_bytes());
        let told = self.violations.len();
        match outcome {
            Ok(outcome) => {
                self.simulated += outcome.simulated;
                self.lives += outcome.lives;
                self.crashes += outcome.crashes;
                for (kind, times) in outcome.scripted {
                    self.faults.entry(kind).or_default().0 += times;
                }
                for (kind, times) in outcome.struck {
                    self.faults.entry(kind).or_default().1 += times;
                }
                for (reason, buckets) in outcome.checked.unavailable {
                    *self.unavailable.entry(reason).or_default() += buckets;
                }
                self.candles += outcome.checked.candles;
                self.trades += outcome.trades;
                let some = outcome.checked.violations.iter().take(MOST_TOLD);
                self.violations.extend(some.map(|violation| format!("seed {seed}: {violation}")));
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let words = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
                self.violations.push(format!("seed {seed}: panic: {words}"));
            }
        }
        self.violations[told..].iter().for_each(|violation| println!("{violation}"));
    }
}

/// Runs schedules of consecutive seeds, from `CANDLEWICK_FIRST_SEED` (0) on, and says from time to
/// time how far it is.
pub fn run(length: Length, run_one: impl Fn(u64) -> Outcome + Sync) -> Totals {
    let began = Instant::now();
    let first = setting("CANDLEWICK_FIRST_SEED", 0);
    let next = AtomicU64::new(first);
    let take = || {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        let goes_on = match length {
            Length::Schedules(count) => seed - first < count,
            Length::Time(time) => began.elapsed() < time,
        };
        goes_on.then_some(seed)
    };
    let shared = Mutex::new((Totals::default(), began));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = take() {
                    let outcome = catch_unwind(AssertUnwindSafe(|| run_one(seed)));
                    let mut shared = shared.lock().unwrap();
                    let (totals, told_at) = &mut *shared;
                    totals.add(seed, outcome);
                    if told_at.elapsed() > TOLD_EVERY {
                        println!("{totals}, {:.0?}", began.elapsed());
                        *told_at = Instant::now();
                    }
                }
            });
        }
    });
    let mut totals = shared.into_inner().unwrap().0;
    totals.check_memory();
    totals
}

/// What the process has in memory, where the system tells it in the way of Linux.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
