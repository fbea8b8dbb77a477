//! Retention beside a running collector: what is cut goes, is not read again, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use candlewick::market::{Grid, Timeframe};
use candlewick::sim::SimConfig;
use candlewick::store::inventory::{Absence, grid_of, inventory, verify};
use candlewick::store::retention::{Cut, Part};
use candlewick::store::{CandleSource, Store, SymbolRow};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

async fn row(stage: &Stage) -> SymbolRow {
    stage.store.symbols().await.unwrap().remove(0)
}

/// Cuts as `candlewick prune` does.
async fn cut(stage: &Stage, part: Part, before: DateTime<Utc>) -> Cut {
    let row = row(stage).await;
    let cut = row.cut(part, before);
    assert_eq!(stage.store.keep_from(row.id, &[cut]).await.unwrap(), [cut]);
    cut
}

async fn until_pruned(stage: &Stage) {
    for _ in 0..600 {
        if stage.store.prunable().await.unwrap().is_empty() {
            return;
        }
        stage.pass(Duration::from_millis(500)).await;
    }
    panic!("still there: {:?}", stage.store.prunable().await.unwrap());
}

/// The ledger of every series says what is there.
async fn assert_true(stage: &Stage) {
    let row = row(stage).await;
    for series in stage.store.series_of(row.id).await.unwrap() {
        let grid = grid_of(&row, series.timeframe);
        let from = row.candles_from(series.timeframe);
        assert_eq!(verify(&*stage.store, &series, grid, Absence::Forbidden, from).await.unwrap(), []);
    }
}

fn calls(stage: &Stage, exchange: &str) -> u64 {
    stage.requests(exchange).values().sum()
}

#[test]
fn what_is_cut_under_a_running_collector_goes_and_is_not_read_again() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1, Timeframe::M5], TimeDelta::hours(6)).await;
        stage.start().await;
        stage.until("live", minutes(5), |stage| stage.is_live("kraken:BTC/USD")).await;
        stage.pass(minutes(20)).await;
        let began = calls(&stage, "kraken");
        stage.pass(minutes(20)).await;
        let usual = calls(&stage, "kraken") - began;

        let before = stage.now() - TimeDelta::hours(2);
        let at = cut(&stage, Part::Candles(Timeframe::M1), before).await;
        until_pruned(&stage).await;
        let began = calls(&stage, "kraken");
        stage.pass(minutes(20)).await;
        let called = calls(&stage, "kraken") - began;
        assert!(called <= usual + 3, "{called} calls, {usual} before");
        assert_eq!(stage.restarts("kraken:BTC/USD"), 0);
        assert!(stage.is_streaming("kraken:BTC/USD"), "its stream goes on");
        let stored = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        assert_eq!(stored[0].candle.open_time, at.from);
        let ledger = stage.ledger("kraken", "BTC/USD", Timeframe::M1).await;
        assert_eq!(ledger[0].span.from, at.from);
        assert_true(&stage).await;
        // The higher bars are as they were.
        let until = Grid::utc(Timeframe::M5).last_closed_end(stage.now() - seconds(20));
        stage.assert_complete("kraken", "BTC/USD", Timeframe::M5, until).await;
        let revised = stage.stored("kraken", "BTC/USD", Timeframe::M5).await;
        assert!(revised.iter().all(|row| row.revision == 0));
        let held = inventory(&*stage.store, stage.now(), |_| true).await.unwrap();
        assert_eq!((held[0].wanted.from, held[0].first_candle), (at.from, Some(at.from)));
        assert!(held[0].covered_percent > 98.0, "{held:?}");

        // Asked for again, it comes back.
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(5)).await;
        let from = Grid::utc(Timeframe::M1).bucket_at(stage.now() - TimeDelta::hours(5));
        stage.pass(minutes(10)).await;
        let stored = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        assert!((stored[0].candle.open_time - from).abs() <= TimeDelta::minutes(1), "{:?}", stored[0]);
        assert_true(&stage).await;
    });
}

#[test]
fn a_configured_retention_keeps_pace_and_restarts_nobody() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.config.retention.every = minutes(10);
        stage.config.retention.candles = [(Timeframe::M1, minutes(60))].into();
        stage.want("kraken", "BTC/USD", &[Timeframe::M1, Timeframe::M5], TimeDelta::hours(3)).await;
        stage.start().await;
        for _ in 0..4 {
            stage.pass(minutes(33)).await;
            until_pruned(&stage).await;
            let first = stage.stored("kraken", "BTC/USD", Timeframe::M1).await[0].candle.open_time;
            let age = stage.now() - first;
            assert!(age >= TimeDelta::minutes(60) && age <= TimeDelta::minutes(82), "{age}");
            assert_true(&stage).await;
        }
        assert_eq!(stage.restarts("kraken:BTC/USD"), 0);
        let totals = stage.collector.as_ref().unwrap().totals();
        assert!(totals.pruned["candles"] > 100, "{:?}", totals.pruned);
        let until = Grid::utc(Timeframe::M5).last_closed_end(stage.now() - seconds(20));
        stage.assert_complete("kraken", "BTC/USD", Timeframe::M5, until).await;
        assert_eq!(row(&stage).await.kept.candles.keys().copied().collect::<Vec<_>>(), [Timeframe::M1]);
    });
}

#[test]
fn what_died_while_it_pruned_leaves_the_truth_and_goes_on() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::days(8)).await;
        stage.start().await;
        stage.until("live", minutes(30), |stage| stage.is_live("binance:BTC/USDT")).await;
        let pieces = Arc::new(AtomicU32::new(0));
        let counted = pieces.clone();
        stage.store.script(move |call| match call {
            StoreCall::Prune => match counted.fetch_add(1, Ordering::Relaxed) {
                1 => Deed::Panic,
                3 => Deed::Fail,
                _ => Deed::Proceed,
            },
            _ => Deed::Proceed,
        });
        let before = stage.now() - TimeDelta::hours(3);
        let at = cut(&stage, Part::Candles(Timeframe::M1), before).await;
        stage.until("a panic", minutes(1), |_| pieces.load(Ordering::Relaxed) >= 2).await;
        assert_true(&stage).await;
        // Stopped on the way, the next start goes on.
        stage.stop().await;
        assert_true(&stage).await;
        assert!(stage.stored("binance", "BTC/USDT", Timeframe::M1).await[0].candle.open_time < at.from);
        stage.start().await;
        until_pruned(&stage).await;
        assert!(pieces.load(Ordering::Relaxed) >= 5);
        stage.pass(minutes(2)).await;
        assert_true(&stage).await;
        assert_eq!(stage.stored("binance", "BTC/USDT", Timeframe::M1).await[0].candle.open_time, at.from);
        assert_eq!(row(&stage).await.backfill_from, at.from, "all of the symbol begins there");
    });
}

#[test]
fn trades_go_and_the_candles_that_were_built_from_them_stay() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        let hours = TimeDelta::hours(3);
        stage.want_trades("binance", "BTC/USDT", &[Timeframe::M1], CandleSource::Trades, hours).await;
        stage.start().await;
        stage.until("live", minutes(20), |stage| stage.is_live("binance:BTC/USDT")).await;
        stage.pass(minutes(10)).await;
        let candles = stage.stored("binance", "BTC/USDT", Timeframe::M1).await;
        let at = cut(&stage, Part::Trades, stage.now() - TimeDelta::hours(1)).await;
        until_pruned(&stage).await;
        let began = calls(&stage, "binance");
        stage.pass(minutes(10)).await;
        assert!(calls(&stage, "binance") - began < 30, "{:?}", stage.requests("binance"));
        let id = row(&stage).await.id;
        let everything = candlewick::market::Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        let trades = stage.store.trades(id, everything).await.unwrap();
        assert!(trades.len() > 10 && trades.iter().all(|trade| trade.time >= at.from), "{:?}", trades.first());
        let coverage = stage.store.trade_coverage(id).await.unwrap();
        assert!(coverage.spans.spans()[0].from >= at.from, "{coverage:?}");
        let kept = stage.stored("binance", "BTC/USDT", Timeframe::M1).await;
        assert_eq!(kept[..candles.len()], candles, "none was built again, none went");
        assert_true(&stage).await;

        // The next life reads trades from the new beginning only.
        stage.stop().await;
        stage.start().await;
        stage.pass(minutes(10)).await;
        let trades = stage.store.trades(id, everything).await.unwrap();
        assert!(trades.iter().all(|trade| trade.time >= at.from), "{:?}", trades.first());
        assert_eq!(stage.stored("binance", "BTC/USDT", Timeframe::M1).await[..candles.len()], candles);
    });
}
