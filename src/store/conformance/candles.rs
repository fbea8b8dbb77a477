//! Final candles: inserted, judged, revised, counted; the forming bar; queries.

use std::sync::Arc;

use super::super::rows::FLAG_OUT_OF_RANGE;
use super::super::{
    Coverage, LedgerChange, OldCandle, Revision, SeriesChange, SeriesId, SeriesOutcome, Store, WriteBatch,
};
use super::{CandleQuery, FinalCandle, Fixture, bar, everything, minute, minutes, observed, ok, refused, rest};
use crate::market::{Candle, Rule, Source, Timeframe};

pub(super) async fn new_candles_are_inserted_numbered_and_read_back(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    assert_eq!(ok(fixture.store.write(&WriteBatch::default()).await), []);
    let whole = Candle { quote_volume: Some(0.1), trades: None, vwap: Some(99.75), ..bar(1, 100.5) };
    let given = [rest(2, 101.0), observed(whole, Source::StreamClosed, minute(2)), rest(0, 99.0)];
    let outcome = fixture.save(&given).await;
    assert_eq!(outcome, SeriesOutcome { inserted: 3, last_sequence: 3, ..SeriesOutcome::default() });

    let stored = fixture.stored().await;
    assert_eq!(stored.iter().map(|row| row.candle).collect::<Vec<_>>(), [bar(0, 99.0), whole, bar(2, 101.0)]);
    let row = stored[1];
    assert_eq!((row.source, row.rule, row.observed_at), (Source::StreamClosed, Rule::Flag, minute(2)));
    assert_eq!((row.flags, row.revision), (0, 0));
    assert_eq!(row.first_written_at, row.updated_at);
    assert_eq!(ok(fixture.store.revisions(fixture.series, everything().span).await), []);
    let series = ok(fixture.store.series_of(fixture.symbol).await).remove(0);
    assert_eq!((series.last_sequence, series.observed_until), (3, None));
}

pub(super) async fn the_same_batch_twice_changes_nothing(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let change = SeriesChange {
        candles: (0..10).map(|n| rest(n, 100.0 + n as f64)).collect(),
        ledger: vec![LedgerChange::Set(minutes(0, 10), Coverage::Complete { verified: true })],
        extent: Some((minutes(-5, 12), "not_fetched")),
        forming: Some(bar(10, 111.0)),
        ..fixture.change()
    };
    let batch = WriteBatch { series: vec![change], ..WriteBatch::default() };
    ok(fixture.store.write(&batch).await);
    let before = (fixture.stored().await, ok(fixture.store.ledger(fixture.series).await));
    let outcomes = ok(fixture.store.write(&batch).await);
    assert_eq!(outcomes, [SeriesOutcome { unchanged: 10, last_sequence: 10, ..SeriesOutcome::default() }]);
    assert_eq!((fixture.stored().await, ok(fixture.store.ledger(fixture.series).await)), before);
    assert_eq!(ok(fixture.store.forming(fixture.series).await), Some(bar(10, 111.0)));
}

pub(super) async fn a_changed_final_value_is_a_counted_revision(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    fixture.save(&[rest(0, 100.0), rest(1, 101.0), rest(2, 102.0)]).await;
    let before = fixture.stored().await;
    let read_again = |n: i64, close: f64, later: i64| observed(bar(n, close), Source::Rest, minute(n + 2 + later));

    let outcome = fixture.save(&[read_again(0, 100.0, 1), read_again(1, 111.0, 1)]).await;
    let first = Revision { old: before[1], new: read_again(1, 111.0, 1) };
    let expected = SeriesOutcome {
        unchanged: 1,
        revisions: vec![first],
        last_sequence: 4,
        last_event: Some(1),
        ..SeriesOutcome::default()
    };
    assert_eq!(outcome, expected);
    let between = fixture.stored().await;
    assert_eq!(between[0], before[0], "an unchanged row is not written");
    assert_eq!((between[1].candle, between[1].revision), (bar(1, 111.0), 1));
    assert_eq!(between[1].first_written_at, before[1].first_written_at);
    assert!(between[1].updated_at >= before[1].updated_at);

    fixture.save(&[read_again(0, 90.0, 2)]).await;
    fixture.save(&[read_again(1, 112.0, 2)]).await;
    let after = fixture.stored().await;
    assert_eq!(after.iter().map(|row| row.revision).collect::<Vec<_>>(), [1, 2, 0]);
    let old = ok(fixture.store.revisions(fixture.series, everything().span).await);
    assert!(old.iter().all(|row| row.replaced_at >= row.stored.updated_at), "replaced after it was written: {old:?}");
    let stored = |old: &[OldCandle]| old.iter().map(|row| row.stored).collect::<Vec<_>>();
    assert_eq!(stored(&old), [before[1], before[0], between[1]], "oldest revision first");
    let first = ok(fixture.store.revisions(fixture.series, minutes(0, 1)).await);
    assert_eq!(stored(&first), [before[0]], "half-open");
    assert_eq!(ok(fixture.store.series_of(fixture.symbol).await)[0].last_sequence, 6);
}

pub(super) async fn the_last_of_equal_open_times_wins(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let outcome = fixture.save(&[rest(0, 1.0), rest(1, 5.0), rest(0, 2.0), rest(0, 3.0)]).await;
    assert_eq!(outcome, SeriesOutcome { inserted: 2, last_sequence: 2, ..SeriesOutcome::default() });
    assert_eq!(fixture.bars().await, [bar(0, 3.0), bar(1, 5.0)]);
}

pub(super) async fn a_series_named_twice_sees_its_own_rows(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let mut batch = fixture.batch(&[rest(0, 1.0), rest(1, 2.0)]);
    batch.series.push(SeriesChange { candles: vec![rest(1, 2.0), rest(2, 3.0)], ..fixture.change() });
    let outcomes = ok(fixture.store.write(&batch).await);
    let expected = [
        SeriesOutcome { inserted: 2, last_sequence: 2, ..SeriesOutcome::default() },
        SeriesOutcome { inserted: 1, unchanged: 1, last_sequence: 3, ..SeriesOutcome::default() },
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(fixture.bars().await, [bar(0, 1.0), bar(1, 2.0), bar(2, 3.0)]);
}

pub(super) async fn a_refused_change_leaves_nothing_of_its_batch(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let other = ok(fixture.store.open_series(fixture.symbol, Timeframe::H1).await).id;
    let good = || SeriesChange {
        candles: vec![rest(0, 1.0)],
        ledger: vec![LedgerChange::Set(minutes(0, 1), Coverage::Complete { verified: true })],
        extent: Some((minutes(0, 1), "not_fetched")),
        forming: Some(bar(1, 1.0)),
        ..fixture.change()
    };
    let with = |candles: Vec<FinalCandle>| SeriesChange { candles, ..SeriesChange::new(other) };
    let infinite = Candle { high: f64::INFINITY, ..bar(1, 2.0) };
    let negative = Candle { volume: -1.0, ..bar(1, 2.0) };
    let bad = [
        with(vec![rest(0, f64::NAN)]),
        with(vec![rest(0, 1.0), observed(infinite, Source::Rest, minute(3))]),
        with(vec![observed(negative, Source::Rest, minute(3))]),
        SeriesChange { forming: Some(infinite), ..SeriesChange::new(other) },
        SeriesChange::new(SeriesId(other.0 + 1)),
    ];
    let cases = bad.len();
    for bad in bad {
        refused(fixture.store.write(&WriteBatch { series: vec![good(), bad], ..WriteBatch::default() }).await);
        assert_eq!(fixture.stored().await, []);
        assert_eq!(ok(fixture.store.ledger(fixture.series).await), []);
        assert_eq!(ok(fixture.store.forming(fixture.series).await), None);
    }
    assert_eq!(cases, 5);
    let series = ok(fixture.store.series_of(fixture.symbol).await).remove(0);
    assert_eq!((series.last_sequence, series.observed_until), (0, None));
    ok(fixture.store.write(&WriteBatch { series: vec![good()], ..WriteBatch::default() }).await);
    assert_eq!(fixture.bars().await, [bar(0, 1.0)], "the good one alone is stored");
}

pub(super) async fn queries_are_half_open_limited_and_oldest_first(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    fixture.save(&(0..6).map(|n| rest(n, 100.0)).collect::<Vec<_>>()).await;
    let found = async |from, to, limit, newest_first| {
        let query = CandleQuery { span: minutes(from, to), limit, newest_first };
        let rows = ok(fixture.store.candles(fixture.series, query).await);
        rows.iter().map(|row| (row.candle.open_time - minute(0)).num_minutes()).collect::<Vec<_>>()
    };
    assert_eq!(found(1, 4, None, false).await, [1, 2, 3]);
    assert_eq!(found(1, 5, Some(2), false).await, [1, 2]);
    assert_eq!(found(1, 5, Some(2), true).await, [3, 4]);
    assert_eq!(found(0, 6, Some(0), true).await, [0; 0]);
    assert_eq!(found(4, 4, None, false).await, [0; 0]);
    let other = ok(fixture.store.open_series(fixture.symbol, Timeframe::H1).await).id;
    assert_eq!(ok(fixture.store.candles(other, everything()).await), []);
}

pub(super) async fn a_venues_odd_bar_is_stored_as_printed_and_flagged(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let odd = Candle { open: 1.0, ..bar(0, 100.0) };
    let outcome = fixture.save(&[observed(odd, Source::Rest, minute(2)), rest(1, 100.0)]).await;
    assert_eq!(outcome.inserted, 2);
    let stored = fixture.stored().await;
    assert_eq!((stored[0].candle, stored[0].flags), (odd, FLAG_OUT_OF_RANGE));
    assert_eq!(stored[1].flags, 0);
    fixture.save(&[observed(bar(0, 100.0), Source::Rest, minute(3))]).await;
    assert_eq!(fixture.stored().await[0].flags, 0, "the flag belongs to the value");
    assert_eq!(ok(fixture.store.revisions(fixture.series, everything().span).await)[0].stored.flags, FLAG_OUT_OF_RANGE);
}

pub(super) async fn the_forming_bar_is_replaced_and_yields_to_a_final_one(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let show = async |forming: Option<Candle>, finals: &[FinalCandle]| {
        let change = SeriesChange { forming, candles: finals.to_vec(), ..fixture.change() };
        ok(fixture.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await);
        ok(fixture.store.forming(fixture.series).await)
    };
    let details = Candle { quote_volume: Some(3.5), vwap: Some(100.25), trades: None, ..bar(5, 101.0) };
    assert_eq!(show(Some(details), &[]).await, Some(details));
    assert_eq!(show(Some(bar(5, 102.0)), &[]).await, Some(bar(5, 102.0)), "replaced in place");
    assert_eq!(show(Some(bar(4, 1.0)), &[]).await, Some(bar(5, 102.0)), "an older bucket is no news");
    assert_eq!(show(None, &[rest(4, 100.0)]).await, Some(bar(5, 102.0)), "an earlier final bar leaves it alone");
    assert_eq!(show(None, &[rest(5, 103.0)]).await, None, "its own final bar removes it");
    assert_eq!(show(Some(bar(5, 1.0)), &[]).await, None, "a settled bucket does not form again");
    assert_eq!(show(Some(bar(7, 9.0)), &[rest(6, 100.0)]).await, Some(bar(7, 9.0)), "one settles, the next forms");
    assert_eq!(show(Some(bar(8, 9.0)), &[rest(8, 100.0)]).await, None, "a later final bar removes it");
    assert_eq!(fixture.bars().await, [bar(4, 100.0), bar(5, 103.0), bar(6, 100.0), bar(8, 100.0)]);
}

pub(super) async fn a_large_batch_over_stored_rows_is_counted_exactly(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    const ROWS: i64 = 10_000;
    // Every third row is there already, every sixth of them with another value.
    let before: Vec<_> =
        (0..ROWS).filter(|n| n % 3 == 0).map(|n| rest(n, if n % 6 == 0 { 50.0 } else { 70.0 })).collect();
    fixture.save(&before).await;
    let batch: Vec<_> = (0..ROWS).rev().map(|n| rest(n, 70.0)).collect();
    let outcome = fixture.save(&batch).await;
    let there = before.len() as u64;
    let revised = (0..ROWS).filter(|n| n % 6 == 0).count() as u64;
    assert_eq!((outcome.inserted, outcome.unchanged, outcome.outranked), (ROWS as u64 - there, there - revised, 0));
    assert_eq!(outcome.revisions.len() as u64, revised);
    assert_eq!(outcome.last_sequence, ROWS + revised as i64);
    let stored = fixture.bars().await;
    assert_eq!(stored, (0..ROWS).map(|n| bar(n, 70.0)).collect::<Vec<_>>());
    assert_eq!(ok(fixture.store.revisions(fixture.series, everything().span).await).len() as u64, revised);
}

pub(super) async fn changes_are_read_in_the_order_of_their_numbers(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let after = async |sequence: i64, limit: u32| {
        let rows = ok(fixture.store.candles_after(fixture.series, sequence, limit).await);
        rows.iter().map(|row| (row.sequence, row.stored.candle, row.stored.revision)).collect::<Vec<_>>()
    };
    assert_eq!(after(0, 10).await, []);
    fixture.save(&[rest(3, 103.0), rest(4, 104.0), rest(5, 105.0)]).await;
    fixture.save(&[rest(0, 100.0)]).await;
    assert_eq!(
        after(0, 10).await,
        [(1, bar(3, 103.0), 0), (2, bar(4, 104.0), 0), (3, bar(5, 105.0), 0), (4, bar(0, 100.0), 0)],
        "a number is the order of the change, not of time"
    );
    // A correction takes a new number, and its old one is gone.
    fixture.save(&[observed(bar(4, 114.0), Source::Rest, minute(9))]).await;
    assert_eq!(after(1, 10).await, [(3, bar(5, 105.0), 0), (4, bar(0, 100.0), 0), (5, bar(4, 114.0), 1)]);
    assert_eq!(after(1, 2).await, [(3, bar(5, 105.0), 0), (4, bar(0, 100.0), 0)]);
    assert_eq!(after(5, 10).await, []);
    let whole = ok(fixture.store.candles_after(fixture.series, 4, 1).await).remove(0);
    assert_eq!(whole.stored, fixture.stored().await[2], "the whole row");
    let series = ok(fixture.store.series_of(fixture.symbol).await).remove(0);
    assert_eq!(series.last_sequence, 5);
    // The same value again is no change.
    fixture.save(&[observed(bar(4, 114.0), Source::Rest, minute(12))]).await;
    assert_eq!(after(5, 10).await, []);
    assert_eq!(ok(fixture.store.candles_after(SeriesId(fixture.series.0 + 1), 0, 10).await), []);
}
