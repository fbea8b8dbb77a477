//! One transaction: what fails in one table leaves nothing in any other.

use std::sync::Arc;

use super::super::{Coverage, LedgerChange, ModeChange, SeriesChange, Store, TickerChange, TradesChange, WriteBatch};
use super::{Fixture, bar, everything, minute, minutes, observed, ok, rest};
use crate::market::{Source, Ticker, Trade, TradeId};

/// Every table that one batch can change.
const TABLES: [&str; 12] = [
    "candles",
    "candle_revisions",
    "forming_candles",
    "coverage",
    "series",
    "trades",
    "trade_coverage",
    "tickers",
    "symbols",
    "open_gaps",
    "event_head",
    "events",
];

/// Everything that can be read of the symbol, part by part.
async fn all_of(fixture: &Fixture) -> Vec<String> {
    let (store, span) = (&fixture.store, everything().span);
    vec![
        format!("{:?}", fixture.stored().await),
        format!("{:?}", ok(store.revisions(fixture.series, span).await)),
        format!("{:?}", ok(store.forming(fixture.series).await)),
        format!("{:?}", ok(store.ledger(fixture.series).await)),
        format!("{:?}", ok(store.series_of(fixture.symbol).await)),
        format!("{:?}", ok(store.trades(fixture.symbol, minutes(0, 9)).await)),
        format!("{:?}", ok(store.trade_coverage(fixture.symbol).await)),
        format!("{:?}", ok(store.tickers().await)),
        format!("{:?}", ok(store.events_after(0, 100).await)),
    ]
}

/// A batch that changes every table: a bar is revised and one is new, a gap is told, and the rest.
fn batch_of_all(fixture: &Fixture) -> WriteBatch {
    let trade = Trade {
        id: TradeId::Number(7),
        last_id: TradeId::Number(7),
        time: minute(0),
        price: 2.into(),
        amount: 1.into(),
        side: None,
    };
    let ticker = Ticker { time: Some(minute(3)), last: Some(2.0), ..Ticker::default() };
    WriteBatch {
        series: vec![SeriesChange {
            candles: vec![observed(bar(0, 2.0), Source::Rest, minute(9)), rest(1, 3.0)],
            ledger: vec![
                LedgerChange::Set(minutes(0, 2), Coverage::Complete { verified: true }),
                LedgerChange::Set(minutes(2, 6), Coverage::missing("disconnected")),
            ],
            extent: Some((minutes(0, 6), "not_fetched")),
            forming: Some(bar(6, 4.0)),
            overdue: Some(minute(6)),
            ..fixture.change()
        }],
        trades: vec![TradesChange {
            trades: vec![trade],
            complete_ids: vec![(7, 7)],
            ..TradesChange::new(fixture.symbol)
        }],
        tickers: vec![TickerChange { symbol: fixture.symbol, ticker, observed_at: minute(3) }],
        modes: vec![ModeChange {
            symbol: fixture.symbol,
            mode: "live_websocket".to_owned(),
            reason: "connected".to_owned(),
            at: minute(3),
        }],
    }
}

pub(super) async fn a_statement_that_fails_leaves_nothing_of_its_batch(
    store: Arc<dyn Store>,
    fails: impl AsyncFn(&str, bool),
) {
    let fixture = Fixture::new(store).await;
    let first = SeriesChange {
        candles: vec![rest(0, 1.0)],
        ledger: vec![LedgerChange::Set(minutes(0, 1), Coverage::Complete { verified: true })],
        extent: Some((minutes(0, 1), "not_fetched")),
        ..fixture.change()
    };
    ok(fixture.store.write(&WriteBatch { series: vec![first], ..WriteBatch::default() }).await);
    let (before, batch) = (all_of(&fixture).await, batch_of_all(&fixture));
    for table in TABLES {
        fails(table, true).await;
        let result = fixture.store.write(&batch).await;
        fails(table, false).await;
        assert!(result.is_err(), "the batch changes {table}: {result:?}");
        assert_eq!(all_of(&fixture).await, before, "{table} could not be written");
    }
    ok(fixture.store.write(&batch).await);
    let after = all_of(&fixture).await;
    let same: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before == after).collect();
    assert!(same.is_empty(), "nothing but the fault was in the way: {same:?}");
    let told = ok(fixture.store.events_after(0, 100).await);
    let told: Vec<_> = told.iter().map(|event| (event.number, event.what.kind())).collect();
    assert_eq!(told, [(1, "candle_revised"), (2, "gap_opened"), (3, "mode_changed")]);
}
