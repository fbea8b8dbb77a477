//! The ordered stop: sources hand over, the writer flushes, status says stopped, all within the deadline.

use candlewick::market::Timeframe;
use candlewick::store::Store;
use chrono::TimeDelta;

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

#[test]
fn what_was_settled_before_the_stop_is_stored_and_every_component_says_stopped() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("binance:BTC/USDT")).await;
        // Binance flags a bar within a second of its close; the writer would wait for company.
        let close = "2026-11-20T15:04:00Z".parse().unwrap();
        stage.pass_until(close).await;
        let settled = |stage: &Stage| stage.last_candle("binance:BTC/USDT") >= Some(close - TimeDelta::minutes(1));
        stage.until("settled", seconds(10), settled).await;
        let began = tokio::time::Instant::now();
        stage.stop().await;
        assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
        let open = close - TimeDelta::minutes(1);
        assert!(stage.stored_at("binance", "BTC/USDT", open).await.is_some(), "the last final was handed over");
        stage.assert_complete("binance", "BTC/USDT", Timeframe::M1, close).await;
        let rows = stage.store.statuses().await.unwrap();
        let said: Vec<_> = rows.iter().map(|row| (row.component.as_str(), row.status.as_str())).collect();
        let components = [
            "binance",
            "binance:BTC/USDT",
            "kraken",
            "kraken:BTC/USD",
            "ohlcv_daemon",
            "writer",
            "yahoo",
            "yahoo:BTC/USD",
        ];
        assert_eq!(said, components.map(|component| (component, "stopped")));
        assert!(stage.store.lock_collector("the next one").await.is_ok(), "the lock is free");
        let stopped_at = stage.now();
        stage.pass(minutes(5)).await;
        for venue in ["kraken", "binance", "yahoo"] {
            assert_eq!(stage.transport.contacts(venue, stopped_at + TimeDelta::milliseconds(1)), []);
            assert_eq!(stage.simulator.stats().exchanges[venue].sockets_open, 0);
        }
    });
}

#[test]
fn a_stop_at_any_moment_of_a_minute_leaves_a_ledger_that_the_next_collector_completes() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD"), ("binance", "BTC/USDT")]).await;
        for pause in [1, 39, 40, 41, 43, 59, 60, 97, 180] {
            stage.pass(seconds(pause)).await;
            stage.stop().await;
            stage.pass(seconds(pause % 7)).await;
            stage.start().await;
        }
        stage.pass(minutes(3)).await;
        for (exchange, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT")] {
            stage.assert_minutes(exchange, name, seconds(15)).await;
        }
    });
}

#[test]
fn a_venue_that_never_answers_does_not_hold_up_the_stop() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD"), ("yahoo", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(2)).await;
        stage.transport.script(|contact| match contact {
            Contact::Http(_) => Deed::Hang,
            Contact::Connect(_) => Deed::Proceed,
        });
        stage.pass(seconds(65)).await;
        let began = tokio::time::Instant::now();
        stage.stop().await;
        assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    });
}

#[test]
fn a_store_that_hangs_does_not_hold_up_the_stop_beyond_its_deadline() {
    in_virtual_time(async {
        let mut stage = Stage::new(candlewick::sim::SimConfig::default()).await;
        stage.config.shutdown.deadline = seconds(4);
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.start().await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(seconds(30)).await;
        stage.store.script(|call| if matches!(call, StoreCall::Write(_)) { Deed::Hang } else { Deed::Proceed });
        stage.pass(seconds(30)).await;
        let began = tokio::time::Instant::now();
        stage.stop().await;
        let took = began.elapsed();
        assert!(took >= seconds(4) && took < seconds(5), "{took:?}");
        let rows = stage.store.statuses().await.unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.status == "stopped"), "{rows:?}");
    });
}

#[test]
fn a_symbol_that_is_still_reading_its_ledger_does_not_hold_up_the_stop() {
    in_virtual_time(async {
        let mut stage = Stage::new(candlewick::sim::SimConfig::default()).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.store.script(|call| if matches!(call, StoreCall::Ledger(_)) { Deed::Hang } else { Deed::Proceed });
        stage.start().await;
        stage.pass(seconds(30)).await;
        let began = tokio::time::Instant::now();
        stage.stop().await;
        assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    });
}

#[test]
fn a_store_that_is_full_is_ridden_out_and_a_stop_gives_up_in_time() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD"), ("binance", "BTC/USDT")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(1)).await;
        let full = |call: &StoreCall<'_>| if matches!(call, StoreCall::Write(_)) { Deed::Fail } else { Deed::Proceed };
        stage.store.script(full);
        stage.pass(minutes(3)).await;
        assert_eq!(stage.restarts("kraken:BTC/USD") + stage.restarts("binance:BTC/USDT"), 0);
        stage.store.behave();
        stage.pass(minutes(2)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
        stage.store.script(full);
        stage.pass(minutes(2)).await;
        let began = tokio::time::Instant::now();
        stage.stop().await;
        assert!(began.elapsed() < seconds(11), "{:?}", began.elapsed());
        stage.store.behave();
        stage.start().await;
        stage.pass(minutes(2)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
    });
}

#[test]
fn a_writer_that_is_stopped_while_the_store_is_away_gives_up_soon_after() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(3)).await;
        stage.store.script(|call| if matches!(call, StoreCall::Write(_)) { Deed::Fail } else { Deed::Proceed });
        stage.pass(minutes(2)).await;
        stage.stop().await;
        stage.pass(seconds(20)).await;
        // Whoever writes now would do so without the lock.
        assert_eq!(std::sync::Arc::strong_count(&stage.store), 1, "somebody still holds the store");
        let series = stage.series("kraken", "BTC/USD", Timeframe::M1).await;
        stage.store.behave();
        stage.pass(minutes(5)).await;
        assert_eq!(stage.series("kraken", "BTC/USD", Timeframe::M1).await, series);
        stage.start().await;
        stage.pass(minutes(3)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
    });
}
