//! Retention: where what is kept begins, and what lies before it goes.

use std::sync::Arc;

use super::super::event::What;
use super::super::inventory::{Absence, verify};
use super::super::retention::{Cut, Held, Part, Prunable, Pruned};
use super::super::{
    Coverage, LedgerChange, LedgerEntry, NewSymbol, SeriesChange, Store, SymbolChange, TradesChange, WriteBatch,
};
use super::{Fixture, bar, minute, minutes, observed, ok, only_symbol, rest, wanted};
use crate::market::{Grid, Source, SpanSet, Timeframe, Trade, TradeId};

const DONE: Coverage = Coverage::Complete { verified: true };

fn candles(from: i64) -> Cut {
    Cut { part: Part::Candles(Timeframe::M1), from: minute(from) }
}

/// Sixty minutes that are complete, each of which was revised once; [30, 35) was told as a gap.
async fn an_hour(store: &Arc<dyn Store>) -> Fixture {
    let fixture = Fixture::new(store.clone()).await;
    let gap = LedgerChange::Set(minutes(30, 35), Coverage::missing("collector_stopped"));
    let held = (0..60).filter(|n| !(30..35).contains(n));
    let change = SeriesChange {
        candles: held.clone().map(|n| observed(bar(n, 1.0), Source::Stream, minute(n + 1))).collect(),
        ledger: vec![
            LedgerChange::Set(minutes(0, 30), DONE),
            gap,
            LedgerChange::Set(minutes(35, 60), Coverage::Complete { verified: false }),
        ],
        extent: Some((minutes(0, 60), "not_fetched")),
        overdue: Some(minute(60)),
        ..fixture.change()
    };
    ok(store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await);
    fixture.save(&held.map(|n| rest(n, 2.0)).collect::<Vec<_>>()).await;
    fixture
}

async fn prunable(store: &Arc<dyn Store>) -> Prunable {
    let mut found = ok(store.prunable().await);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What the ledger says is so: from the beginning to the edge without a hole, each complete bucket a row.
async fn assert_true(fixture: &Fixture) {
    let symbol = only_symbol(&*fixture.store).await;
    let series = ok(fixture.store.series_of(fixture.symbol).await).remove(0);
    let from = symbol.candles_from(Timeframe::M1);
    let grid = Grid::utc(Timeframe::M1);
    assert_eq!(ok(verify(&*fixture.store, &series, grid, Absence::Forbidden, from).await), []);
}

pub(super) async fn what_is_cut_goes_piece_by_piece_with_its_ledger(store: Arc<dyn Store>) {
    let fixture = an_hour(&store).await;
    assert_eq!(ok(store.prunable().await), []);
    assert_eq!(ok(store.keep_from(fixture.symbol, &[candles(47)]).await), [candles(47)]);
    assert_eq!(ok(store.keep_from(fixture.symbol, &[candles(47)]).await), []);
    assert_eq!(ok(store.keep_from(fixture.symbol, &[candles(20)]).await), [], "only forward");
    let symbol = only_symbol(&*store).await;
    assert_eq!((symbol.backfill_from, symbol.candles_from(Timeframe::M1)), (minute(47), minute(47)));
    let what = prunable(&store).await;
    let key = Held::Series(fixture.series);
    assert_eq!((what.part, what.held, what.from), (Part::Candles(Timeframe::M1), key, minute(47)));
    assert_eq!(ok(store.count_before(&what).await), Pruned { rows: 42, revisions: 42, is_done: false });
    // Whoever is killed after any of them has left the truth behind.
    let mut pieces = Vec::new();
    loop {
        assert_true(&fixture).await;
        let piece = ok(store.prune(&what, 10).await);
        assert!(piece.rows <= 10 && piece.revisions <= 10, "{piece:?}");
        pieces.push(piece.rows);
        if piece.is_done {
            break;
        }
    }
    assert_eq!(pieces, [10, 10, 10, 10, 2]);
    assert_true(&fixture).await;
    assert_eq!(ok(store.prunable().await), []);
    assert_eq!(fixture.bars().await, (47..60).map(|n| bar(n, 2.0)).collect::<Vec<_>>());
    let old = ok(store.revisions(fixture.series, minutes(-9, 99)).await);
    assert_eq!(
        old.iter().map(|row| row.stored.candle).collect::<Vec<_>>(),
        (47..60).map(|n| bar(n, 1.0)).collect::<Vec<_>>()
    );
    let rest = LedgerEntry { span: minutes(47, 60), coverage: Coverage::Complete { verified: false } };
    assert_eq!(ok(store.ledger(fixture.series).await), [rest]);
    let series = ok(store.series_of(fixture.symbol).await).remove(0);
    assert_eq!((series.last_sequence, series.observed_until), (110, Some(minute(60))), "numbers go on");
    let numbers = ok(store.candles_after(fixture.series, 0, 100).await);
    assert_eq!(numbers.iter().map(|row| row.sequence).collect::<Vec<_>>(), (98..=110).collect::<Vec<_>>());
    let gone = ok(store.events_after(0, 500).await).pop().map(|event| event.what);
    let pruned = What::GapUnavailable { from: minute(30), to: minute(35), reason: "pruned".to_owned() };
    assert_eq!(gone, Some(pruned), "a gap that is cut off is told as one no more");
}

pub(super) async fn nothing_is_written_before_the_beginning(store: Arc<dyn Store>) {
    let fixture = an_hour(&store).await;
    ok(store.keep_from(fixture.symbol, &[candles(40)]).await);
    let what = prunable(&store).await;
    assert!(ok(store.prune(&what, 1000).await).is_done);
    // On its way, or in the spool, while that was cut.
    let late = SeriesChange {
        candles: (38..42).map(|n| rest(n, 3.0)).collect(),
        ledger: vec![LedgerChange::Set(minutes(0, 30), DONE), LedgerChange::Set(minutes(38, 42), DONE)],
        extent: Some((minutes(0, 62), "not_fetched")),
        overdue: Some(minute(60)),
        ..fixture.change()
    };
    let outcome = ok(store.write(&WriteBatch { series: vec![late], ..WriteBatch::default() }).await).remove(0);
    assert_eq!((outcome.inserted, outcome.revisions.len()), (0, 2));
    assert_eq!(fixture.bars().await.first(), Some(&bar(40, 3.0)));
    let ledger = ok(store.ledger(fixture.series).await);
    assert_eq!(ledger[0], LedgerEntry { span: minutes(40, 42), coverage: DONE });
    assert_eq!(ok(store.prunable().await), []);
    assert_true(&fixture).await;
}

pub(super) async fn the_beginning_of_the_symbol_follows_when_all_of_it_begins_later(store: Arc<dyn Store>) {
    let new = NewSymbol {
        timeframes: vec![Timeframe::M1, Timeframe::H1],
        collect_trades: true,
        ..wanted("kraken", "BTC/USD")
    };
    ok(store.add_symbol(&new).await);
    let id = only_symbol(&*store).await.id;
    for timeframe in new.timeframes.clone() {
        ok(store.open_series(id, timeframe).await);
    }
    let version = ok(store.settings_version().await);
    ok(store.keep_from(id, &[candles(120)]).await);
    assert!(ok(store.settings_version().await) > version, "a running collector notices");
    let hours = Cut { part: Part::Candles(Timeframe::H1), from: minute(60) };
    ok(store.keep_from(id, &[hours]).await);
    let symbol = only_symbol(&*store).await;
    assert_eq!(symbol.backfill_from, minute(0), "trades still begin there");
    assert_eq!(
        [Timeframe::M1, Timeframe::H1].map(|timeframe| symbol.candles_from(timeframe)),
        [minute(120), minute(60)]
    );
    assert_eq!(symbol.trades_from(), minute(0));
    ok(store.keep_from(id, &[Cut { part: Part::Trades, from: minute(90) }]).await);
    let symbol = only_symbol(&*store).await;
    assert_eq!((symbol.backfill_from, symbol.trades_from()), (minute(60), minute(90)));

    // Asked for again, it is wanted again: what is named, and no more than that.
    let minutes_again =
        NewSymbol { timeframes: vec![Timeframe::M1], backfill_from: minute(70), collect_trades: false, ..new.clone() };
    assert_eq!(ok(store.add_symbol(&minutes_again).await), SymbolChange::Widened);
    assert_eq!(ok(store.add_symbol(&minutes_again).await), SymbolChange::Unchanged);
    let symbol = only_symbol(&*store).await;
    assert_eq!((symbol.candles_from(Timeframe::M1), symbol.trades_from()), (minute(70), minute(90)));
    assert_eq!(ok(store.add_symbol(&NewSymbol { backfill_from: minute(-60), ..new }).await), SymbolChange::Widened);
    let symbol = only_symbol(&*store).await;
    assert_eq!([Timeframe::M1, Timeframe::H1].map(|timeframe| symbol.candles_from(timeframe)), [minute(-60); 2]);
    assert_eq!((symbol.backfill_from, symbol.trades_from()), (minute(-60), minute(-60)));
}

fn trade(id: u64, n: i64) -> Trade {
    let id = TradeId::Number(id);
    Trade { last_id: id.clone(), id, time: minute(n), price: 1.into(), amount: 2.into(), side: None }
}

pub(super) async fn trades_go_with_their_ledgers(store: Arc<dyn Store>) {
    ok(store.add_symbol(&NewSymbol { collect_trades: true, ..wanted("kraken", "BTC/USD") }).await);
    let id = only_symbol(&*store).await.id;
    let change = TradesChange {
        trades: (0..50).map(|n| trade(100 + n, n as i64)).collect(),
        complete_ids: vec![(100, 149)],
        complete_spans: vec![minutes(5, 50)],
        unavailable: vec![(minutes(0, 5), "too_old: trades".to_owned())],
        ..TradesChange::new(id)
    };
    let batch = WriteBatch { trades: vec![change.clone()], ..WriteBatch::default() };
    ok(store.write(&batch).await);
    ok(store.keep_from(id, &[Cut { part: Part::Trades, from: minute(33) }]).await);
    let what = prunable(&store).await;
    assert_eq!((what.part, what.held), (Part::Trades, Held::Trades(id)));
    assert_eq!(ok(store.count_before(&what).await).rows, 33);
    let mut pieces = Vec::new();
    loop {
        let piece = ok(store.prune(&what, 15).await);
        pieces.push(piece.rows);
        // What is called complete is there.
        let coverage = ok(store.trade_coverage(id).await);
        let first = ok(store.trades(id, minutes(-9, 99)).await).first().map(|trade| trade.id.clone());
        assert_eq!(first, Some(TradeId::Number(coverage.ids[0].0)));
        if piece.is_done {
            break;
        }
    }
    assert_eq!(pieces, [15, 15, 3]);
    let coverage = ok(store.trade_coverage(id).await);
    assert_eq!(coverage.ids, [(133, 149)]);
    assert_eq!(coverage.spans, SpanSet::from_iter([minutes(33, 50)]));
    assert_eq!(coverage.unavailable, []);
    assert_eq!(ok(store.trades(id, minutes(-9, 99)).await).len(), 17);
    assert_eq!(ok(store.prunable().await), []);
    // What was on its way does not come back.
    ok(store.write(&batch).await);
    assert_eq!(ok(store.trades(id, minutes(-9, 99)).await).len(), 17);
    assert_eq!(ok(store.trade_coverage(id).await), coverage);
    assert_eq!(ok(store.prunable().await), []);
}

pub(super) async fn many_trades_of_one_instant_go_at_once(store: Arc<dyn Store>) {
    ok(store.add_symbol(&NewSymbol { collect_trades: true, ..wanted("kraken", "BTC/USD") }).await);
    let id = only_symbol(&*store).await.id;
    let trades = (0..20).map(|n| trade(n, 3)).chain([trade(20, 4), trade(21, 9)]).collect();
    let change = TradesChange { trades, ..TradesChange::new(id) };
    ok(store.write(&WriteBatch { trades: vec![change], ..WriteBatch::default() }).await);
    ok(store.keep_from(id, &[Cut { part: Part::Trades, from: minute(5) }]).await);
    let what = prunable(&store).await;
    let piece = ok(store.prune(&what, 5).await);
    assert_eq!(piece, Pruned { rows: 20, revisions: 0, is_done: false });
    assert_eq!(ok(store.prune(&what, 5).await), Pruned { rows: 1, revisions: 0, is_done: true });
}
