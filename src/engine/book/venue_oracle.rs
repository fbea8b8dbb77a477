//! Drives a book against a small venue of its own: random truth, random faults, random restarts.
//! Whatever happened, the ledger must be true at the end, and no call may be made in vain for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::engine::budget::Priority;
use crate::engine::page::{Page, PageRules};
use crate::exchange::{Depth, QuietPolicy};
use crate::market::ledger::{JUST_CLOSED, TOO_OLD, VENUE_HOLE};
use crate::market::{Anchors, Candle, Session, Timeframe};

/// Buckets of history before the collector starts, while it lives in trouble, and in peace after.
const HISTORY: usize = 150;
const TROUBLED: usize = 40;
const PEACEFUL: usize = 200;
const DELAYS: &[Duration] = &[Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

#[derive(Debug, Clone)]
struct Plan {
    timeframe: Timeframe,
    is_session: bool,
    emits: bool,
    honours_end: bool,
    serves_newest_first: bool,
    limit: u32,
    /// 0: full, 1: newest rows, 2: age.
    depth: u8,
    has_span_limit: bool,
    listed_at: usize,
    quiet_percent: u32,
    fault_percent: u32,
    seed: u64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let grids = prop_oneof![
        6 => Just((Timeframe::M1, false)),
        1 => Just((Timeframe::H1, false)),
        1 => Just((Timeframe::D1, false)),
        1 => Just((Timeframe::W1, false)),
        1 => Just((Timeframe::Month1, false)),
        1 => Just((Timeframe::M15, true)),
        1 => Just((Timeframe::H1, true)),
        1 => Just((Timeframe::D1, true)),
    ];
    let venue = (any::<bool>(), prop::bool::weighted(0.7), any::<bool>(), 5u32..50, 0u8..3, prop::bool::weighted(0.25));
    let noise = (
        prop_oneof![Just(0usize), 0usize..120],
        prop_oneof![Just(0u32), Just(20), Just(60), Just(95)],
        prop_oneof![Just(0u32), Just(20), Just(60)],
        any::<u64>(),
    );
    (grids, venue, noise).prop_map(
        |((timeframe, is_session), venue, (listed_at, quiet_percent, fault_percent, seed))| {
            let (emits, honours_end, serves_newest_first, limit, depth, has_span_limit) = venue;
            Plan {
                timeframe,
                is_session,
                emits: emits && !is_session,
                honours_end,
                serves_newest_first,
                limit,
                depth,
                has_span_limit,
                listed_at,
                quiet_percent,
                fault_percent,
                seed,
            }
        },
    )
}

/// What a bucket holds at the venue.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Truth {
    row: Option<Candle>,
    visible_at: DateTime<Utc>,
}

struct Venue {
    plan: Plan,
    rules: SeriesRules,
    opens: Vec<DateTime<Utc>>,
    truth: Vec<Truth>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Empty,
    Capped(usize),
    SinceIgnored,
}

impl Venue {
    fn new(plan: &Plan, dice: &mut StdRng) -> Venue {
        let anchors = if plan.is_session {
            let at = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
            let session = Session { zone: chrono_tz::America::New_York, open: at(9, 30), close: at(16, 0) };
            Anchors { intraday_shift_s: 1800, session: Some(session), ..Anchors::default() }
        } else {
            Anchors::default()
        };
        let grid = Grid::new(plan.timeframe, anchors);
        let mut opens = vec![grid.open_of("2026-11-20T14:30:00Z".parse().unwrap())];
        for _ in 1..HISTORY + TROUBLED + PEACEFUL {
            opens.push(grid.next_open(*opens.last().unwrap()));
        }
        let depth = match plan.depth {
            _ if !plan.honours_end => Depth::NewestRows(plan.limit),
            0 => Depth::Full,
            1 => Depth::NewestRows(100),
            _ => Depth::Age(plan.timeframe.nominal() * 90),
        };
        let rules = SeriesRules {
            page: PageRules {
                grid,
                quiet: if plan.emits { QuietPolicy::Emits } else { QuietPolicy::Omits },
                settle: Duration::from_secs(2),
                settle_empty: Duration::from_secs(180),
            },
            depth,
            page_limit_rows: plan.limit,
            page_limit_span: plan.has_span_limit.then(|| plan.timeframe.nominal() * 20),
            honours_end: plan.honours_end,
            late_bar_delays: DELAYS,
            from_trades: FromTrades::Never,
        };
        let mut close = 100.0;
        let truth = opens
            .iter()
            .enumerate()
            .map(|(index, open)| {
                let shut = match anchors.session {
                    Some(session) if !plan.timeframe.is_daily_or_longer() => !session.is_open_at(*open),
                    Some(_) => grid.close_of(*open).format("%u").to_string().as_str() > "5",
                    None => false,
                };
                let is_quiet = shut || dice.random_range(0..100) < plan.quiet_percent;
                let is_hole = plan.emits && plan.fault_percent > 0 && dice.random_range(0..100) < 3;
                let mut row = Some(Candle { trades: Some(0), ..Candle::flat(*open, close) });
                if !is_quiet {
                    close = 100.0 + index as f64;
                    row = row.map(|row| Candle {
                        high: close,
                        close,
                        volume: 1.0 + index as f64,
                        trades: Some(7),
                        ..row
                    });
                }
                if index < plan.listed_at || is_hole || (is_quiet && !plan.emits) {
                    row = None;
                }
                // A late bar among quiet ones is only found again while the venue still serves it.
                let is_late = plan.fault_percent > 0
                    && (plan.emits || !matches!(depth, Depth::NewestRows(_)))
                    && (HISTORY - 3..HISTORY + TROUBLED).contains(&index)
                    && dice.random_range(0..100) < 20;
                let lateness = if is_late { dice.random_range(1..if plan.emits { 400 } else { 100 }) } else { 0 };
                Truth { row, visible_at: grid.close_of(*open) + TimeDelta::seconds(lateness) }
            })
            .collect();
        Venue { plan: plan.clone(), rules, opens, truth }
    }

    /// All rows the venue would show at `at`, oldest first, the open bucket's included.
    fn rows(&self, at: DateTime<Utc>) -> Vec<Candle> {
        let edge = self.rules.depth_edge(at);
        let mut rows = Vec::new();
        for (open, truth) in self.opens.iter().zip(&self.truth) {
            let Some(row) = truth.row else { continue };
            let close = self.rules.page.grid.close_of(*open);
            if *open > at || edge.is_some_and(|edge| *open < edge) {
                continue;
            }
            if at < close {
                rows.push(Candle { volume: row.volume / 2.0 + 0.25, ..row });
            } else if at >= truth.visible_at {
                rows.push(row);
            }
        }
        if let Depth::NewestRows(count) = self.rules.depth {
            rows.drain(..rows.len().saturating_sub(count as usize));
        }
        rows
    }

    fn serve(&self, asked: Span, at: DateTime<Utc>, fault: Fault) -> Vec<Candle> {
        let mut rows = self.rows(at);
        let limit = self.plan.limit as usize;
        let mut from_the_end = self.plan.serves_newest_first || !self.plan.honours_end;
        match fault {
            Fault::Empty => return Vec::new(),
            Fault::SinceIgnored => from_the_end = true,
            _ => rows.retain(|row| asked.from <= row.open_time && (!self.plan.honours_end || row.open_time < asked.to)),
        }
        let kept = rows.len().min(if let Fault::Capped(cap) = fault { cap.min(limit) } else { limit });
        if from_the_end { rows.split_off(rows.len() - kept) } else { rows[..kept].to_vec() }
    }
}

/// What a store would hold, and what was asked.
#[derive(Default)]
struct Kept {
    rows: BTreeMap<DateTime<Utc>, Candle>,
    entries: Vec<LedgerEntry>,
    observed_until: Option<DateTime<Utc>>,
    calls: usize,
    /// Reads that asked for a bucket and did not bring it.
    absences: BTreeMap<DateTime<Utc>, u32>,
}

impl Kept {
    fn store(&mut self, book: &mut Book, changes: &[LedgerChange]) {
        let before = ledger::select(&self.entries, |c| *c == Coverage::Complete { verified: true });
        self.entries = ledger::apply(&self.entries, changes, Some((book.extent(), NOT_FETCHED)));
        self.observed_until = Some(book.extent().to);
        book.stored(changes, book.extent());
        assert_eq!(book.entries(), self.entries);
        let after = ledger::select(&self.entries, |c| *c == Coverage::Complete { verified: true });
        assert!(before.subtract(&after).is_empty(), "verified was lost");
    }
}

fn drive(plan: &Plan) {
    let dice = &mut StdRng::seed_from_u64(plan.seed);
    let venue = Venue::new(plan, dice);
    let grid = venue.rules.page.grid;
    let mut kept = Kept::default();
    let start = venue.opens[HISTORY] + TimeDelta::seconds(20);
    let peace = venue.opens[HISTORY + TROUBLED];
    let end = venue.opens[HISTORY + TROUBLED + PEACEFUL - 2] + TimeDelta::seconds(600).min(TimeDelta::seconds(59));
    let mut now = start;
    let mut wanted = HISTORY / 2;
    let open_book = |kept: &mut Kept, wanted: usize, now| {
        let (mut book, changes) =
            Book::open(venue.rules, venue.opens[wanted], kept.entries.clone(), kept.observed_until, now);
        kept.store(&mut book, &changes);
        book
    };
    let mut book = open_book(&mut kept, wanted, now);
    while now < end {
        let is_peaceful = now >= peace;
        if !is_peaceful && plan.fault_percent > 0 && dice.random_range(0..100) < 2 {
            now += TimeDelta::from_std(plan.timeframe.nominal()).unwrap() * dice.random_range(0..9)
                + TimeDelta::seconds(dice.random_range(0..50));
            wanted = wanted.saturating_sub(dice.random_range(0..30)).max(1);
            book = open_book(&mut kept, wanted, now);
        }
        let retired = book.retire(now);
        if !retired.is_empty() {
            kept.store(&mut book, &retired);
            assert_eq!(book.retire(now), vec![]);
        }
        if let Some(span) = book.observe(now, None) {
            // A stream settles some buckets before REST is asked.
            let mut changes = vec![LedgerChange::Set(span, Coverage::missing(JUST_CLOSED))];
            if !is_peaceful && dice.random_range(0..100) < plan.fault_percent {
                for open in grid.opens(span) {
                    let index = venue.opens.binary_search(&open).unwrap();
                    if let Some(row) = venue.truth[index].row {
                        kept.rows.insert(open, row);
                        let bucket = Span::new(open, grid.next_open(open));
                        changes.push(LedgerChange::Set(bucket, Coverage::Complete { verified: false }));
                    }
                }
            }
            kept.store(&mut book, &changes);
        }
        let Some(call) = book.urgent_call(now).or_else(|| book.background_call(now)) else {
            let wake = book.wake_at(now);
            assert!(wake > now, "waking at {wake} lies in the past of {now}");
            now = wake.min(end);
            continue;
        };
        assert!(!call.span.is_empty() && grid.is_border(call.span.from) && grid.is_border(call.span.to), "{call:?}");
        if let Some(longest) = venue.rules.page_limit_span
            && plan.timeframe != Timeframe::Month1
            && plan.honours_end
        {
            assert!((call.span.to - call.span.from).to_std().unwrap() <= longest, "{call:?}");
        }
        let fault = match dice.random_range(0..100) {
            roll if is_peaceful || roll >= plan.fault_percent => Fault::None,
            roll if roll % 3 == 0 => Fault::Empty,
            roll if roll % 3 == 1 => Fault::Capped(dice.random_range(4..12)),
            _ => Fault::SinceIgnored,
        };
        let rows = venue.serve(call.span, now, fault);
        kept.calls += 1;
        for open in grid.opens(call.span).filter(|open| rows.iter().all(|row| row.open_time != *open)) {
            *kept.absences.entry(open).or_default() += 1;
        }
        let page = Page { asked: call.span, rows, sent_at: now };
        let conclusion = book.conclude(&call, &page);
        for candle in &conclusion.candles {
            assert!(grid.close_of(candle.open_time) + venue.rules.page.settle <= now, "a forming row was called final");
            kept.rows.insert(candle.open_time, *candle);
        }
        let before = kept.entries.clone();
        kept.store(&mut book, &conclusion.ledger);
        book.concluded(&call, &conclusion);
        book.verified(&call, &conclusion, now);
        if call.priority != Priority::Verification {
            assert!(before != kept.entries, "{call:?} at {now} with {fault:?} changed nothing in {before:#?}");
        }
        now += TimeDelta::milliseconds(200);
    }
    check(&venue, &book, &kept, end);
}

fn check(venue: &Venue, book: &Book, kept: &Kept, now: DateTime<Utc>) {
    let grid = venue.rules.page.grid;
    let extent = book.extent();
    let tiles: SpanSet = kept.entries.iter().map(|entry| entry.span).collect();
    assert!(tiles.covers(extent), "{extent} is not tiled by {tiles:?}");
    let edge = venue.rules.depth_edge(now);
    for entry in &kept.entries {
        for open in grid.opens(entry.span.intersect(extent)) {
            let index = venue.opens.binary_search(&open).unwrap();
            let truth = venue.truth[index];
            let context = || format!("bucket {index} {open} in {entry:?} of {:?}", venue.plan);
            match &entry.coverage {
                Coverage::Complete { .. } => {
                    assert_eq!(kept.rows.get(&open), truth.row.as_ref(), "{}", context());
                    assert!(truth.row.is_some() || !venue.plan.emits, "{}", context());
                }
                Coverage::Unavailable { reason } if reason == TOO_OLD => {
                    assert!(edge.is_some_and(|edge| open < edge), "{}", context());
                }
                Coverage::Unavailable { reason } => {
                    let needed = if reason.starts_with(VENUE_HOLE) { 2 } else { 4 };
                    let absences = kept.absences.get(&open).copied().unwrap_or(0);
                    assert!(absences >= needed, "{absences} absences, {}", context());
                }
                Coverage::Missing { .. } => {
                    let age = now - grid.close_of(open);
                    assert!(age < TimeDelta::minutes(130), "still missing: {}", context());
                }
            }
        }
    }
    let buckets = HISTORY + TROUBLED + PEACEFUL;
    assert!(kept.calls <= 6 * buckets, "{} calls for {buckets} buckets of {:?}", kept.calls, venue.plan);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_book_ends_with_the_truth_whatever_the_venue_does(plan in plans()) {
        drive(&plan);
    }
}
