use super::*;
use proptest::prelude::*;

const DONE: Coverage = Coverage::Complete { verified: true };
const UNVERIFIED: Coverage = Coverage::Complete { verified: false };

fn t(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(minute * 60, 0).unwrap()
}

fn s(from: i64, to: i64) -> Span {
    Span::new(t(from), t(to))
}

fn entry(from: i64, to: i64, coverage: Coverage) -> LedgerEntry {
    LedgerEntry { span: s(from, to), coverage }
}

fn set(from: i64, to: i64, coverage: Coverage) -> LedgerChange {
    LedgerChange::Set(s(from, to), coverage)
}

fn gone(reason: &str) -> Coverage {
    Coverage::Unavailable { reason: reason.to_owned() }
}

#[test]
fn a_healthy_series_is_one_entry_that_grows() {
    let mut ledger = Vec::new();
    for minute in 0..10 {
        let changes = [set(minute, minute + 1, DONE)];
        let next = apply(&ledger, &changes, Some((s(0, minute + 1), "not_fetched")));
        let diff = LedgerDiff::between(&ledger, &next);
        assert_eq!((diff.deleted.len(), diff.updated.len() + diff.inserted.len()), (0, 1));
        ledger = next;
    }
    assert_eq!(ledger, [entry(0, 10, DONE)]);
}

#[test]
fn holes_of_the_extent_become_missing_on_both_sides_of_what_is_known() {
    let ledger = apply(&[], &[set(4, 6, UNVERIFIED)], Some((s(0, 10), "not_fetched")));
    let missing = Coverage::missing("not_fetched");
    assert_eq!(ledger, [entry(0, 4, missing.clone()), entry(4, 6, UNVERIFIED), entry(6, 10, missing)]);
}

#[test]
fn a_statement_inside_an_entry_splits_it_and_the_diff_touches_only_the_parts() {
    let old = [entry(0, 10, Coverage::missing("not_fetched")), entry(10, 20, DONE)];
    let new = apply(&old, &[set(3, 5, DONE)], None);
    let missing = Coverage::missing("not_fetched");
    assert_eq!(
        LedgerDiff::between(&old, &new),
        LedgerDiff {
            deleted: vec![],
            updated: vec![entry(0, 3, missing.clone())],
            inserted: vec![entry(3, 5, DONE), entry(5, 10, missing)],
        }
    );
}

#[test]
fn neighbours_with_different_attempts_or_reasons_stay_apart() {
    let late = |attempts| Coverage::Missing { reason: "late_bar".into(), attempts, next_attempt_at: None };
    let changes = [set(0, 1, late(1)), set(1, 2, late(2)), set(2, 3, gone("too_old")), set(3, 4, gone("too_old"))];
    assert_eq!(apply(&[], &changes, None), [entry(0, 1, late(1)), entry(1, 2, late(2)), entry(2, 4, gone("too_old"))]);
}

#[test]
fn complete_outlives_missing_and_verified_outlives_unverified_until_unverify() {
    let old = [entry(0, 10, DONE)];
    assert_eq!(apply(&old, &[set(2, 4, Coverage::missing("disconnected"))], None), old);
    assert_eq!(apply(&old, &[set(2, 4, UNVERIFIED)], None), old);
    assert_eq!(
        apply(&old, &[LedgerChange::Unverify(s(2, 4))], None),
        [entry(0, 2, DONE), entry(2, 4, UNVERIFIED), entry(4, 10, DONE)]
    );
    assert_eq!(apply(&[], &[LedgerChange::Unverify(s(2, 4))], None), []);
}

#[test]
fn only_what_is_unverified_can_be_withdrawn() {
    let old = [entry(0, 4, DONE), entry(4, 8, UNVERIFIED)];
    let withdrawn = apply(&old, &[LedgerChange::Withdraw(s(2, 6), Coverage::missing("venue_hole"))], None);
    let missing = entry(4, 6, Coverage::missing("venue_hole"));
    assert_eq!(withdrawn, [entry(0, 4, DONE), missing, entry(6, 8, UNVERIFIED)]);
    assert_eq!(apply(&[], &[LedgerChange::Withdraw(s(2, 4), DONE)], None), []);
}

// --- against an oracle with one cell per minute ---------------------------------------------

const LINE: i64 = 48;
type Cells = Vec<Option<Coverage>>;

fn cells(ledger: &[LedgerEntry]) -> Cells {
    (0..LINE)
        .map(|minute| {
            let mut holders = ledger.iter().filter(|entry| entry.span.contains(t(minute)));
            let found = holders.next().map(|entry| entry.coverage.clone());
            assert!(holders.next().is_none(), "minute {minute} lies in two entries");
            found
        })
        .collect()
}

/// The documented meeting of a statement and a cell, written out case by case.
fn oracle(cells: &mut Cells, change: &LedgerChange) {
    let (LedgerChange::Set(span, _) | LedgerChange::Unverify(span) | LedgerChange::Withdraw(span, _)) = change;
    for minute in 0..LINE {
        if !span.contains(t(minute)) {
            continue;
        }
        let cell = &mut cells[minute as usize];
        match change {
            LedgerChange::Unverify(_) if matches!(cell, Some(Coverage::Complete { .. })) => {
                *cell = Some(UNVERIFIED);
            }
            LedgerChange::Withdraw(_, coverage) if *cell == Some(UNVERIFIED) => *cell = Some(coverage.clone()),
            LedgerChange::Unverify(_) | LedgerChange::Withdraw(..) => {}
            LedgerChange::Set(_, Coverage::Complete { verified }) => {
                let kept = *cell == Some(DONE);
                *cell = Some(Coverage::Complete { verified: *verified || kept });
            }
            LedgerChange::Set(_, other) => {
                if !matches!(cell, Some(Coverage::Complete { .. })) {
                    *cell = Some(other.clone());
                }
            }
        }
    }
}

fn any_coverage() -> impl Strategy<Value = Coverage> {
    prop_oneof![
        Just(DONE),
        Just(UNVERIFIED),
        Just(Coverage::missing("not_fetched")),
        (0u32..3).prop_map(|attempts| Coverage::Missing {
            reason: "late_bar".into(),
            attempts,
            next_attempt_at: Some(t(100)),
        }),
        Just(gone("too_old")),
    ]
}

fn any_change() -> impl Strategy<Value = LedgerChange> {
    (0..LINE, -1i64..12, 0..20u8, any_coverage()).prop_map(|(from, length, kind, coverage)| {
        let span = s(from, (from + length).min(LINE));
        match kind {
            0..3 => LedgerChange::Unverify(span),
            3..6 => LedgerChange::Withdraw(span, coverage),
            _ => LedgerChange::Set(span, coverage),
        }
    })
}

proptest! {
    #[test]
    fn the_ledger_agrees_with_one_cell_per_bucket(
        batches in prop::collection::vec(
            (prop::collection::vec(any_change(), 0..6), prop::option::of((0i64..LINE, 0i64..LINE))), 1..8)
    ) {
        let mut ledger = Vec::new();
        let mut expected: Cells = vec![None; LINE as usize];
        for (changes, extent) in batches {
            let extent = extent.map(|(from, length)| (s(from, (from + length).min(LINE)), "not_fetched"));
            for change in &changes {
                oracle(&mut expected, change);
            }
            if let Some((span, reason)) = extent {
                for minute in (0..LINE).filter(|minute| span.contains(t(*minute))) {
                    expected[minute as usize].get_or_insert_with(|| Coverage::missing(reason));
                }
            }

            let next = apply(&ledger, &changes, extent);
            prop_assert_eq!(&cells(&next), &expected);
            for entry in &next {
                prop_assert!(!entry.span.is_empty());
            }
            for pair in next.windows(2) {
                prop_assert!(pair[0].span.to <= pair[1].span.from, "sorted and apart");
                prop_assert!(pair[0].span.to < pair[1].span.from || pair[0].coverage != pair[1].coverage, "merged");
            }

            // A part of the ledger around the window gives the same result as all of it.
            if let Some(window) = window(&changes, extent.map(|(span, _)| span)) {
                let touching = |entry: &&LedgerEntry| entry.span.from <= window.to && entry.span.to >= window.from;
                let part: Vec<_> = ledger.iter().filter(touching).cloned().collect();
                let rest: Vec<_> = ledger.iter().filter(|entry| !touching(entry)).cloned().collect();
                let mut whole = [apply(&part, &changes, extent), rest].concat();
                whole.sort_by_key(|entry| entry.span.from);
                prop_assert_eq!(&whole, &next);
            } else {
                prop_assert_eq!(&ledger, &next);
            }

            // The diff does what it says.
            let diff = LedgerDiff::between(&ledger, &next);
            let mut replayed: Vec<_> = ledger
                .iter()
                .filter(|old| !diff.deleted.contains(old))
                .filter(|old| !diff.updated.iter().any(|new| new.span.from == old.span.from))
                .cloned()
                .chain(diff.updated.iter().cloned())
                .chain(diff.inserted.iter().cloned())
                .collect();
            replayed.sort_by_key(|entry| entry.span.from);
            prop_assert_eq!(&replayed, &next);
            ledger = next;
        }
    }

    #[test]
    fn saying_the_same_again_changes_nothing(changes in prop::collection::vec(any_change(), 0..6),
                                             statement in any_change(), extent in (0i64..LINE, 0i64..LINE)) {
        let extent = Some((s(extent.0, (extent.0 + extent.1).min(LINE)), "not_fetched"));
        let ledger = apply(&[], &changes, extent);
        let once = apply(&ledger, std::slice::from_ref(&statement), extent);
        prop_assert_eq!(&apply(&once, std::slice::from_ref(&statement), extent), &once);
    }
}
