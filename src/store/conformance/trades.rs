//! Trades, once each, and their ledger.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::super::{Store, SymbolId, TradeCoverage, TradesChange, WriteBatch};
use super::{Fixture, minute, minutes, ok, refused};
use crate::market::{Side, SpanSet, Trade, TradeId};

fn decimal(text: &str) -> Decimal {
    text.parse().expect("the suite's decimals are well formed")
}

fn trade(id: u64, n: i64) -> Trade {
    Trade {
        id: TradeId::Number(id),
        last_id: TradeId::Number(id),
        time: minute(n),
        price: decimal("105433.60"),
        amount: decimal("0.00027625"),
        side: Some(Side::Buy),
    }
}

fn change(fixture: &Fixture, trades: Vec<Trade>) -> TradesChange {
    TradesChange { trades, ..TradesChange::new(fixture.symbol) }
}

async fn save(fixture: &Fixture, change: TradesChange) {
    ok(fixture.store.write(&WriteBatch { trades: vec![change], ..WriteBatch::default() }).await);
}

pub(super) async fn trades_are_stored_once_and_read_in_order_with_exact_decimals(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let aggregated = Trade { last_id: TradeId::Number(14), side: None, ..trade(12, 2) };
    let tiny = Trade { price: decimal("0.000000000000000001"), side: Some(Side::Sell), ..trade(20, 0) };
    save(&fixture, change(&fixture, vec![aggregated.clone(), trade(11, 1), trade(10, 1), tiny.clone()])).await;
    let again = Trade { price: decimal("1"), ..trade(10, 3) };
    save(&fixture, change(&fixture, vec![again, trade(15, 3)])).await;
    let read = async |from, to| ok(fixture.store.trades(fixture.symbol, minutes(from, to)).await);
    assert_eq!(read(0, 9).await, [tiny, trade(10, 1), trade(11, 1), aggregated, trade(15, 3)]);
    assert_eq!(read(1, 2).await, [trade(10, 1), trade(11, 1)], "half-open");
    assert_eq!(read(0, 9).await[1].price.to_string(), "105433.60", "as printed, trailing zero and all");
}

pub(super) async fn ids_that_are_text_are_told_apart(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let text = |id: &str, n| {
        let id = TradeId::Text(Arc::from(id));
        Trade { id: id.clone(), last_id: id, ..trade(0, n) }
    };
    let (first, second) =
        (text("6e3c6c6e-69c4-4bb0-a6d6-1f7b1a4d1f4e", 1), text("0b4d5b39-8b39-4ad8-9a34-55a8e3c1f7cc", 2));
    save(&fixture, change(&fixture, vec![first.clone(), second.clone(), first.clone()])).await;
    save(&fixture, change(&fixture, vec![second.clone()])).await;
    assert_eq!(ok(fixture.store.trades(fixture.symbol, minutes(0, 9)).await), [first, second]);
}

pub(super) async fn id_ranges_and_spans_merge(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    assert_eq!(ok(fixture.store.trade_coverage(fixture.symbol).await), TradeCoverage::default());
    let ids = |complete_ids| TradesChange { complete_ids, ..change(&fixture, vec![]) };
    save(&fixture, ids(vec![(20, 29), (10, 12), (40, 40)])).await;
    assert_eq!(ok(fixture.store.trade_coverage(fixture.symbol).await).ids, [(10, 12), (20, 29), (40, 40)]);
    save(&fixture, ids(vec![(13, 15), (25, 26), (28, 35)])).await;
    assert_eq!(ok(fixture.store.trade_coverage(fixture.symbol).await).ids, [(10, 15), (20, 35), (40, 40)]);
    save(&fixture, ids(vec![(0, 50)])).await;
    let spans = vec![minutes(0, 2), minutes(5, 6), minutes(2, 3), minutes(4, 4)];
    save(&fixture, TradesChange { complete_spans: spans, ..change(&fixture, vec![]) }).await;
    let spans = SpanSet::from_iter([minutes(0, 3), minutes(5, 6)]);
    let expected = TradeCoverage { ids: vec![(0, 50)], spans, unavailable: vec![] };
    assert_eq!(ok(fixture.store.trade_coverage(fixture.symbol).await), expected);
}

pub(super) async fn what_the_venue_does_not_have_gives_way_to_what_it_has(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let complete = |spans| TradesChange { complete_spans: spans, ..change(&fixture, vec![]) };
    let lacks = |from, to, why: &str| TradesChange {
        unavailable: vec![(minutes(from, to), why.to_owned())],
        ..change(&fixture, vec![])
    };
    save(&fixture, complete(vec![minutes(3, 4)])).await;
    save(&fixture, lacks(0, 8, "not_served: trades")).await;
    save(&fixture, lacks(1, 2, "again")).await;
    save(&fixture, complete(vec![minutes(6, 7)])).await;
    let coverage = ok(fixture.store.trade_coverage(fixture.symbol).await);
    assert_eq!(coverage.spans, SpanSet::from_iter([minutes(3, 4), minutes(6, 7)]));
    let expected = [(0, 3), (4, 6), (7, 8)].map(|(from, to)| (minutes(from, to), "not_served: trades".to_owned()));
    assert_eq!(coverage.unavailable, expected);
}

pub(super) async fn what_turns_out_to_lack_trades_is_complete_no_more(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let complete = |spans| TradesChange { complete_spans: spans, ..change(&fixture, vec![]) };
    save(&fixture, complete(vec![minutes(0, 3), minutes(5, 9)])).await;
    save(&fixture, TradesChange { withdrawn: vec![minutes(2, 6), minutes(7, 8)], ..change(&fixture, vec![]) }).await;
    let spans = SpanSet::from_iter([minutes(0, 2), minutes(6, 7), minutes(8, 9)]);
    assert_eq!(ok(fixture.store.trade_coverage(fixture.symbol).await).spans, spans);
    let again = TradesChange { withdrawn: vec![minutes(0, 1)], ..complete(vec![minutes(0, 9)]) };
    save(&fixture, again).await;
    assert_eq!(ok(fixture.store.trade_coverage(fixture.symbol).await).spans, SpanSet::from_iter([minutes(0, 9)]));
}

pub(super) async fn trades_are_read_in_pages_and_by_id(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let aggregated = Trade { last_id: TradeId::Number(14), ..trade(12, 2) };
    // Three of one instant, more than a page holds.
    let all = [trade(9, 1), trade(10, 1), trade(11, 1), aggregated.clone(), trade(15, 3)];
    save(&fixture, change(&fixture, all.to_vec())).await;
    let (mut read, mut pages) = (Vec::new(), 0);
    loop {
        let page = ok(fixture.store.trades_page(fixture.symbol, minutes(0, 9), read.last(), 2).await);
        if page.is_empty() {
            break;
        }
        pages += 1;
        read.extend(page);
    }
    assert_eq!((read, pages), (all.to_vec(), 3));
    let from_end = async |newer| ok(fixture.store.trade_from_end(fixture.symbol, minutes(1, 3), newer).await);
    assert_eq!((from_end(0).await, from_end(3).await), (Some(aggregated.clone()), Some(trade(9, 1))));
    assert_eq!((from_end(4).await, from_end(u64::MAX).await), (None, None));
    let find = async |id| ok(fixture.store.trade(fixture.symbol, id).await);
    assert_eq!((find(10).await, find(13).await), (Some(trade(10, 1)), Some(aggregated)));
    assert_eq!((find(8).await, find(16).await, find(u64::MAX).await), (None, None, None));
}

pub(super) async fn impossible_trades_are_refused_with_their_batch(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let backwards = Trade { last_id: TradeId::Number(3), ..trade(4, 1) };
    let huge = trade(u64::MAX, 1);
    let cases = [
        change(&fixture, vec![trade(1, 0), backwards]),
        change(&fixture, vec![trade(1, 0), huge]),
        TradesChange { complete_ids: vec![(5, 4)], ..change(&fixture, vec![trade(1, 0)]) },
        TradesChange { complete_ids: vec![(0, u64::MAX)], ..change(&fixture, vec![trade(1, 0)]) },
        TradesChange { symbol: SymbolId(fixture.symbol.0 + 1), ..change(&fixture, vec![trade(1, 0)]) },
    ];
    let count = cases.len();
    for bad in cases {
        let good = TradesChange { complete_ids: vec![(1, 1)], ..change(&fixture, vec![trade(1, 0)]) };
        refused(fixture.store.write(&WriteBatch { trades: vec![good, bad], ..WriteBatch::default() }).await);
        assert_eq!(ok(fixture.store.trades(fixture.symbol, minutes(0, 9)).await), []);
        assert_eq!(ok(fixture.store.trade_coverage(fixture.symbol).await), TradeCoverage::default());
    }
    assert_eq!(count, 5);
}
