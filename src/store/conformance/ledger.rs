//! The ledger: what statements do to it, and that it always tiles its extent.

use std::sync::Arc;

use super::super::{Coverage, LedgerChange, LedgerEntry, SeriesChange, Store, WriteBatch};
use super::{Fixture, bar, minute, minutes, observed, ok, rest};
use crate::market::Source;

const VERIFIED: Coverage = Coverage::Complete { verified: true };
const UNVERIFIED: Coverage = Coverage::Complete { verified: false };

fn entry(from: i64, to: i64, coverage: Coverage) -> LedgerEntry {
    LedgerEntry { span: minutes(from, to), coverage }
}

fn gone(reason: &str) -> Coverage {
    Coverage::Unavailable { reason: reason.to_owned() }
}

fn late(attempts: u32) -> Coverage {
    Coverage::Missing { reason: "late_bar".to_owned(), attempts, next_attempt_at: Some(minute(99)) }
}

async fn state(fixture: &Fixture, ledger: Vec<LedgerChange>, extent: Option<(i64, i64)>) -> Vec<LedgerEntry> {
    let extent = extent.map(|(from, to)| (minutes(from, to), "not_fetched"));
    let change = SeriesChange { ledger, extent, ..fixture.change() };
    ok(fixture.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await);
    ok(fixture.store.ledger(fixture.series).await)
}

fn set(from: i64, to: i64, coverage: Coverage) -> LedgerChange {
    LedgerChange::Set(minutes(from, to), coverage)
}

pub(super) async fn statements_meet_what_is_there_as_promised(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let ledger = state(&fixture, vec![set(0, 10, late(2))], None).await;
    assert_eq!(ledger, [entry(0, 10, late(2))]);
    let ledger = state(&fixture, vec![set(4, 6, UNVERIFIED)], None).await;
    assert_eq!(ledger, [entry(0, 4, late(2)), entry(4, 6, UNVERIFIED), entry(6, 10, late(2))]);
    let ledger = state(&fixture, vec![set(0, 10, gone("too_old: rest"))], None).await;
    let old = || gone("too_old: rest");
    assert_eq!(ledger, [entry(0, 4, old()), entry(4, 6, UNVERIFIED), entry(6, 10, old())]);
    let ledger = state(&fixture, vec![set(6, 8, Coverage::missing("new_method"))], None).await;
    let reopened = Coverage::missing("new_method");
    let expected = [entry(0, 4, old()), entry(4, 6, UNVERIFIED), entry(6, 8, reopened), entry(8, 10, old())];
    assert_eq!(ledger, expected);
    let ledger = state(&fixture, vec![set(0, 10, VERIFIED), set(3, 7, UNVERIFIED)], None).await;
    assert_eq!(ledger, [entry(0, 10, VERIFIED)], "verified is not lost, and neighbours merge");
    let ledger = state(&fixture, vec![set(10, 12, VERIFIED), set(12, 12, late(1))], None).await;
    assert_eq!(ledger, [entry(0, 12, VERIFIED)], "a healthy series is one row that grows");
}

pub(super) async fn holes_of_the_extent_become_missing_and_the_edge_only_moves_forward(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let edge = async || ok(fixture.store.series_of(fixture.symbol).await).remove(0).observed_until;
    let hole = || Coverage::missing("not_fetched");
    let ledger = state(&fixture, vec![set(5, 7, VERIFIED)], Some((0, 10))).await;
    assert_eq!(ledger, [entry(0, 5, hole()), entry(5, 7, VERIFIED), entry(7, 10, hole())]);
    assert_eq!(edge().await, Some(minute(10)));
    let ledger = state(&fixture, vec![set(7, 8, VERIFIED)], Some((-3, 8))).await;
    let expected = [entry(-3, 5, hole()), entry(5, 8, VERIFIED), entry(8, 10, hole())];
    assert_eq!(ledger, expected, "the wanted span may begin earlier now");
    assert_eq!(edge().await, Some(minute(10)));
    assert_eq!(state(&fixture, vec![], Some((4, 4))).await, expected, "an empty extent says nothing");
    assert_eq!(edge().await, Some(minute(10)));
}

pub(super) async fn unverify_touches_only_what_is_complete(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    state(&fixture, vec![set(0, 4, VERIFIED), set(4, 6, late(1)), set(6, 8, gone("venue_hole"))], None).await;
    let ledger = state(&fixture, vec![LedgerChange::Unverify(minutes(-2, 20))], None).await;
    assert_eq!(ledger, [entry(0, 4, UNVERIFIED), entry(4, 6, late(1)), entry(6, 8, gone("venue_hole"))]);
    let ledger = state(&fixture, vec![LedgerChange::Unverify(minutes(0, 8)), set(0, 2, VERIFIED)], None).await;
    assert_eq!(ledger[..2], [entry(0, 2, VERIFIED), entry(2, 4, UNVERIFIED)], "statements are applied in order");
}

pub(super) async fn a_withdrawn_stretch_loses_its_rows_and_keeps_them_as_revisions(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let candles: Vec<_> = (0..6).map(|n| observed(bar(n, 10.0), Source::Synthesised, minute(9))).collect();
    fixture.save(&candles).await;
    state(&fixture, vec![set(0, 2, VERIFIED), set(2, 6, UNVERIFIED)], None).await;
    let withdraw = LedgerChange::Withdraw(minutes(3, 5), late(1));
    let change = SeriesChange { ledger: vec![withdraw.clone()], ..fixture.change() };
    let batch = WriteBatch { series: vec![change], ..WriteBatch::default() };
    let outcome = ok(fixture.store.write(&batch).await).remove(0);
    assert_eq!((outcome.withdrawn, outcome.inserted, outcome.last_sequence), (2, 0, 8));
    assert_eq!(fixture.bars().await, [0, 1, 2, 5].map(|n| bar(n, 10.0)));
    let changes = ok(fixture.store.candles_after(fixture.series, 5, 10).await);
    let changes: Vec<_> = changes.iter().map(|row| (row.sequence, row.stored.candle, row.is_withdrawn)).collect();
    assert_eq!(changes, [(6, bar(5, 10.0), false), (7, bar(3, 10.0), true), (8, bar(4, 10.0), true)]);
    let ledger = ok(fixture.store.ledger(fixture.series).await);
    let expected = [entry(0, 2, VERIFIED), entry(2, 3, UNVERIFIED), entry(3, 5, late(1)), entry(5, 6, UNVERIFIED)];
    assert_eq!(ledger, expected);
    let old = ok(fixture.store.revisions(fixture.series, minutes(0, 9)).await);
    assert_eq!(old.iter().map(|row| row.stored.candle).collect::<Vec<_>>(), [bar(3, 10.0), bar(4, 10.0)]);
    assert_eq!(ok(fixture.store.write(&batch).await).remove(0).withdrawn, 0);
    assert_eq!(state(&fixture, vec![LedgerChange::Withdraw(minutes(0, 2), late(1))], None).await, expected);
    assert_eq!(fixture.bars().await.len(), 4, "what is verified stays");
}

pub(super) async fn statements_before_a_withdrawal_decide_what_it_takes_away(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let taken =
        [LedgerChange::Unverify(minutes(1, 2)), LedgerChange::Withdraw(minutes(1, 2), late(1)), set(1, 2, VERIFIED)];
    let take_away = async || {
        let change = SeriesChange { ledger: taken.to_vec(), ..fixture.change() };
        ok(fixture.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await).remove(0)
    };
    fixture.save(&(0..3).map(|n| rest(n, 10.0)).collect::<Vec<_>>()).await;
    state(&fixture, vec![set(0, 3, VERIFIED)], None).await;
    assert_eq!(take_away().await.withdrawn, 1);
    assert_eq!(fixture.bars().await, [bar(0, 10.0), bar(2, 10.0)]);
    assert_eq!(ok(fixture.store.ledger(fixture.series).await), [entry(0, 3, VERIFIED)]);

    // What comes back, is corrected and goes again finds its old values kept under numbers of their own.
    fixture.save(&[rest(1, 11.0)]).await;
    fixture.save(&[observed(bar(1, 12.0), Source::Rest, minute(9))]).await;
    assert_eq!(take_away().await.withdrawn, 1);
    let old = ok(fixture.store.revisions(fixture.series, minutes(1, 2)).await);
    let old: Vec<_> = old.iter().map(|row| (row.stored.revision, row.stored.candle)).collect();
    assert_eq!(old, [(0, bar(1, 10.0)), (1, bar(1, 11.0)), (2, bar(1, 12.0))]);
}

pub(super) async fn any_sequence_of_statements_agrees_with_one_cell_per_bucket(store: Arc<dyn Store>) {
    const LINE: i64 = 40;
    let fixture = Fixture::new(store).await;
    // A small generator of our own: the suite must not need more than the trait.
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut cells: Vec<Option<Coverage>> = vec![None; LINE as usize];
    for round in 0..60 {
        let mut changes = Vec::new();
        for _ in 0..draw(4) {
            let from = draw(LINE as u64) as i64;
            let to = (from + draw(9) as i64).min(LINE);
            let said = match draw(6) {
                0 => None,
                1 => Some(VERIFIED),
                2 => Some(UNVERIFIED),
                3 => Some(late(draw(3) as u32)),
                4 => Some(Coverage::missing("disconnected")),
                _ => Some(gone("too_old")),
            };
            for cell in &mut cells[from as usize..to.max(from) as usize] {
                *cell = match (cell.take(), &said) {
                    (Some(Coverage::Complete { .. }), None) => Some(UNVERIFIED),
                    (other, None) => other,
                    (Some(VERIFIED), Some(_)) => Some(VERIFIED),
                    (_, Some(Coverage::Complete { verified })) => Some(Coverage::Complete { verified: *verified }),
                    (Some(UNVERIFIED), Some(_)) => Some(UNVERIFIED),
                    (_, Some(other)) => Some(other.clone()),
                };
            }
            let span = minutes(from, to);
            changes.push(said.map_or(LedgerChange::Unverify(span), |coverage| LedgerChange::Set(span, coverage)));
        }
        let extent = (round % 3 == 0).then_some((0, LINE.min(round)));
        if let Some((from, to)) = extent {
            for cell in &mut cells[from as usize..to as usize] {
                cell.get_or_insert_with(|| Coverage::missing("not_fetched"));
            }
        }
        let ledger = state(&fixture, changes, extent).await;
        for (n, cell) in cells.iter().enumerate() {
            let holders: Vec<_> = ledger.iter().filter(|entry| entry.span.contains(minute(n as i64))).collect();
            assert!(holders.len() <= 1, "round {round}: minute {n} lies in two entries");
            assert_eq!(holders.first().map(|entry| &entry.coverage), cell.as_ref(), "round {round}, minute {n}");
        }
        for pair in ledger.windows(2) {
            assert!(pair[0].span.to <= pair[1].span.from, "round {round}: sorted");
            let touch = pair[0].span.to == pair[1].span.from;
            assert!(!touch || pair[0].coverage != pair[1].coverage, "round {round}: neighbours are merged");
        }
    }
    let edge = ok(fixture.store.series_of(fixture.symbol).await).remove(0).observed_until;
    assert_eq!(edge, Some(minute(LINE)), "every extent was seen");
}
