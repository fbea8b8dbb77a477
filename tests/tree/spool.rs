//! A tree on a server that is away: symbols go on, fetch nothing twice, claim nothing, and begin anew
//! where the server refuses what it was promised.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use candlewick::market::{Grid, Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue, default_symbols};
use candlewick::status::Health;
use candlewick::store::SeriesChange;
use chrono::TimeDelta;
use tempfile::TempDir;

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const SYMBOLS: [(&str, &str); 3] = [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "BTC/USD")];

/// More than an hour of these comes to.
const ENOUGH: usize = 1 << 24;

/// Streamed, derived and polled symbols that are complete, on a store that counts as a server.
async fn on_a_server(max_bytes: usize) -> (Stage, TempDir) {
    let mut stage = Stage::new(SimConfig::default()).await;
    let folder = tempfile::tempdir().unwrap();
    stage.config.spool.folder = folder.path().to_owned();
    stage.config.spool.max_bytes = max_bytes;
    stage.store.pretend_server();
    for (exchange, name) in SYMBOLS {
        stage.want(exchange, name, &[Timeframe::M1, Timeframe::M5], TimeDelta::hours(2)).await;
    }
    stage.start().await;
    stage.until("streaming", seconds(5), |stage| stage.is_streaming("kraken:BTC/USD")).await;
    stage.pass(minutes(20)).await;
    (stage, folder)
}

/// From now on its disk is full: it can be read, and lacks what waits.
fn fill_up(stage: &Stage) {
    stage.store.script(|call| match call {
        StoreCall::Write(_) => Deed::Fail,
        _ => Deed::Proceed,
    });
}

/// From now on the server is away, but for its settings.
fn go_away(stage: &Stage) {
    stage.store.script(|call| match call {
        StoreCall::Write(_) | StoreCall::Candles(_) | StoreCall::Ledger(_) | StoreCall::OpenSeries(_) => Deed::Fail,
        _ => Deed::Proceed,
    });
}

fn requests(stage: &Stage) -> u64 {
    let all = SYMBOLS.iter().flat_map(|(exchange, _)| stage.requests(exchange).into_values());
    all.sum()
}

fn spooled_rows(stage: &Stage) -> u64 {
    stage.collector.as_ref().unwrap().totals().spool_rows
}

#[test]
fn what_has_piled_up_is_written_batch_by_batch() {
    in_virtual_time(async {
        const FULL: usize = 50;
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.config.writer.batch_rows = FULL;
        let names = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "ADA/USDT"];
        for name in names {
            stage.want("binance", name, &[Timeframe::M1], TimeDelta::hours(2)).await;
        }
        fill_up(&stage);
        stage.start().await;
        stage.pass(seconds(30)).await;
        let batches = Arc::new(Mutex::new(Vec::new()));
        let seen = batches.clone();
        stage.store.script(move |call| {
            if let StoreCall::Write(batch) = call {
                seen.lock().unwrap().push(batch.series.iter().map(SeriesChange::rows).collect::<Vec<_>>());
            }
            Deed::Proceed
        });
        stage.pass(minutes(5)).await;
        for name in names {
            stage.assert_minutes("binance", name, seconds(15)).await;
        }
        let batches = batches.lock().unwrap();
        let is_full = |rows: &&Vec<usize>| rows.iter().sum::<usize>() >= FULL;
        assert!(batches.iter().filter(is_full).count() >= names.len(), "{batches:?}");
        for rows in batches.iter().filter(|rows| !rows.is_empty()) {
            assert!(rows[..rows.len() - 1].iter().sum::<usize>() < FULL, "{rows:?}");
        }
    });
}

#[test]
fn one_transaction_has_the_changes_of_some_symbols_only_however_many_wait() {
    in_virtual_time(async {
        const SYMBOLS: usize = 400;
        const TOGETHER: usize = 256;
        let config = SimConfig { symbols_per_exchange: SYMBOLS, ..SimConfig::default() };
        let mut stage = Stage::new(config).await;
        for symbol in default_symbols(Venue::BINANCE, SYMBOLS) {
            stage.want("binance", symbol.as_str(), &[Timeframe::M1], TimeDelta::minutes(5)).await;
        }
        fill_up(&stage);
        stage.start().await;
        stage.pass(minutes(2)).await;
        let batches = Arc::new(Mutex::new(Vec::new()));
        let seen = batches.clone();
        stage.store.script(move |call| {
            if let StoreCall::Write(batch) = call {
                seen.lock().unwrap().push(batch.series.iter().map(|change| change.series).collect::<BTreeSet<_>>());
            }
            Deed::Proceed
        });
        stage.pass(minutes(2)).await;
        let batches = batches.lock().unwrap();
        let told: BTreeSet<_> = batches.iter().flatten().collect();
        assert_eq!(told.len(), SYMBOLS);
        assert_eq!(batches.iter().map(BTreeSet::len).max(), Some(TOGETHER));
    });
}

#[test]
fn an_hour_without_the_server_costs_no_call_more_and_is_covered_when_it_was_replayed() {
    in_virtual_time(async {
        let (stage, _folder) = on_a_server(ENOUGH).await;
        let began = requests(&stage);
        stage.pass(minutes(30)).await;
        let healthy = requests(&stage) - began;
        let coverage = |stage: &Stage| {
            let of = |(exchange, name)| stage.status(&format!("{exchange}:{name}")).unwrap().coverage_percent.unwrap();
            SYMBOLS.map(of)
        };
        let before = coverage(&stage);

        go_away(&stage);
        let began = requests(&stage);
        stage.pass(minutes(60)).await;
        let called = requests(&stage) - began;
        // Some more: higher bars are read natively, for their parts cannot be read from the store.
        assert!(called <= healthy * 3, "{called} calls in an hour, {healthy} in half an hour before");
        for ((exchange, name), (then, now)) in SYMBOLS.into_iter().zip(before.into_iter().zip(coverage(&stage))) {
            assert_eq!(stage.restarts(&format!("{exchange}:{name}")), 0);
            assert!(
                then > 95.0 && now < 80.0,
                "{exchange}: {then} % before, {now} % after an hour that is not covered"
            );
        }
        let writer = stage.status("writer").unwrap();
        assert_eq!(writer.health, Health::Error);
        assert!(writer.message.starts_with("no space left for the database"), "{}", writer.message);
        assert!(writer.message.ends_with("wait in the spool"), "{}", writer.message);
        assert!(spooled_rows(&stage) > 3 * 60, "{}", spooled_rows(&stage));

        stage.store.behave();
        let began = requests(&stage);
        stage.until("replayed", seconds(20), |stage| spooled_rows(stage) == 0).await;
        stage.pass(minutes(5)).await;
        let called = requests(&stage) - began;
        assert!(called <= healthy / 2, "{called} calls in five minutes: what was spooled is not fetched again");
        assert_eq!(stage.status("writer").unwrap().health, Health::Running);
        for (exchange, name) in SYMBOLS {
            assert_eq!(stage.restarts(&format!("{exchange}:{name}")), 0);
            stage.assert_minutes(exchange, name, seconds(if exchange == "yahoo" { 300 } else { 15 })).await;
        }
        for (then, now) in before.into_iter().zip(coverage(&stage)) {
            assert!(now >= then.min(97.0), "{now} %");
        }
    });
}

#[test]
fn no_higher_bar_is_made_of_the_parts_that_a_server_has_while_others_wait() {
    in_virtual_time(async {
        let (stage, _folder) = on_a_server(ENOUGH).await;
        // In the middle of five minutes.
        stage.pass(minutes(3)).await;
        fill_up(&stage);
        let from = stage.now();
        stage.pass(minutes(22)).await;
        assert!(spooled_rows(&stage) > 3 * 20, "{}", spooled_rows(&stage));
        stage.store.behave();
        stage.until("replayed", seconds(20), |stage| spooled_rows(stage) == 0).await;
        stage.pass(minutes(5)).await;
        let mut bars = 0;
        for (exchange, name) in SYMBOLS {
            let until = Grid::utc(Timeframe::M5).last_closed_end(stage.now() - minutes(4));
            stage.assert_complete(exchange, name, Timeframe::M5, until).await;
            for row in stage.stored(exchange, name, Timeframe::M5).await {
                assert_eq!(row.revision, 0, "{exchange}: right from the beginning: {row:?}");
                bars += usize::from(row.candle.open_time >= from);
            }
        }
        assert!(bars >= 3 * 4, "only {bars} bars closed meanwhile");
    });
}

#[test]
fn a_flat_bar_that_the_venue_denies_is_withdrawn_although_it_waits() {
    in_virtual_time(async {
        let (stage, _folder) = on_a_server(ENOUGH).await;
        fill_up(&stage);
        // Nothing trades while the connection lives on, and later REST has no rows of that time.
        let outage = Fault::new(FaultKind::MissingRows).on(Venue::KRAKEN);
        stage.inject(outage.between(Duration::ZERO, minutes(6)));
        let from = stage.now();
        stage.pass(minutes(40)).await;
        let stored = async || {
            let rows = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
            rows.iter().map(|row| row.candle.open_time).filter(|open| *open > from).collect::<Vec<_>>()
        };
        assert_eq!(stored().await.len(), 0, "everything waits");
        stage.store.behave();
        stage.until("replayed", seconds(20), |stage| spooled_rows(stage) == 0).await;
        stage.pass(minutes(3)).await;
        let span = Span::new(from, stage.now() - TimeDelta::minutes(1));
        let truth = stage.truth("kraken", "BTC/USD", Timeframe::M1, span);
        assert!(truth.len() > 30 && truth.len() < 40, "{}", truth.len());
        assert_eq!(stored().await[..truth.len()], truth.iter().map(|real| real.open_time).collect::<Vec<_>>());
    });
}

#[test]
fn a_full_spool_stops_the_coverage_and_what_was_missed_is_fetched_afterwards() {
    in_virtual_time(async {
        const LITTLE: usize = 10_000;
        let (stage, _folder) = on_a_server(LITTLE).await;
        go_away(&stage);
        stage.pass(minutes(20)).await;
        let full = stage.collector.as_ref().unwrap().totals();
        assert!(full.spool_bytes >= LITTLE as u64, "{full:?}");
        stage.pass(minutes(40)).await;
        let later = stage.collector.as_ref().unwrap().totals();
        assert_eq!((later.spool_rows, later.spool_bytes), (full.spool_rows, full.spool_bytes));
        let writer = stage.status("writer").unwrap();
        assert!(writer.message.ends_with(" of 10000 bytes) wait in the spool"), "{}", writer.message);
        stage.store.behave();
        stage.until("replayed", seconds(20), |stage| spooled_rows(stage) == 0).await;
        stage.pass(minutes(10)).await;
        for (exchange, name) in SYMBOLS {
            assert_eq!(stage.restarts(&format!("{exchange}:{name}")), 0);
            stage.assert_minutes(exchange, name, seconds(if exchange == "yahoo" { 300 } else { 15 })).await;
        }
    });
}

#[test]
fn a_tree_that_is_started_with_a_full_spool_replays_it_before_it_reads_its_ledgers() {
    in_virtual_time(async {
        let (mut stage, _folder) = on_a_server(ENOUGH).await;
        go_away(&stage);
        stage.pass(minutes(30)).await;
        stage.stop().await;
        stage.start().await;
        // The server is still away: nobody reads a ledger, nobody dies.
        stage.pass(minutes(10)).await;
        assert!(spooled_rows(&stage) > 60, "{}", spooled_rows(&stage));
        let stopped = stage.now() - TimeDelta::minutes(10);
        let began = requests(&stage);
        stage.store.behave();
        stage.until("replayed", seconds(20), |stage| spooled_rows(stage) == 0).await;
        stage.pass(minutes(6)).await;
        for (exchange, name) in SYMBOLS {
            assert_eq!(stage.restarts(&format!("{exchange}:{name}")), 0);
            stage.assert_minutes(exchange, name, seconds(if exchange == "yahoo" { 300 } else { 15 })).await;
        }
        assert!(stage.collector.as_ref().unwrap().totals().candles_stored >= 2 * 30, "replayed, not fetched");
        let called = requests(&stage) - began;
        assert!(called < 40, "{called} calls for the ten minutes since {stopped}");
    });
}

#[test]
fn a_symbol_whose_spooled_changes_are_refused_begins_anew_and_heals() {
    in_virtual_time(async {
        let (stage, _folder) = on_a_server(ENOUGH).await;
        let poisoned = stage.series("kraken", "BTC/USD", Timeframe::M1).await.id;
        go_away(&stage);
        stage.pass(minutes(10)).await;
        let is_poisoned = Arc::new(AtomicBool::new(true));
        let poison = is_poisoned.clone();
        stage.store.script(move |call| match call {
            StoreCall::Write(batch)
                if poison.load(Ordering::Relaxed) && batch.series.iter().any(|change| change.series == poisoned) =>
            {
                Deed::Refuse
            }
            _ => Deed::Proceed,
        });
        stage.until("replayed", seconds(20), |stage| spooled_rows(stage) == 0).await;
        is_poisoned.store(false, Ordering::Relaxed);
        let refused = stage.collector.as_ref().unwrap().totals().dropped["refused_by_store"];
        assert!(refused >= 10, "{refused}");
        stage.pass(minutes(5)).await;
        assert!(stage.restarts("kraken:BTC/USD") >= 1);
        for (exchange, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT")] {
            stage.assert_minutes(exchange, name, seconds(15)).await;
        }
        assert_eq!(stage.restarts("binance:BTC/USDT"), 0);
    });
}
