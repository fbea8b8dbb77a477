//! Whoever fails ends alone, comes back by policy, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use candlewick::collector::{Collector, CollectorHandle};
use candlewick::market::Timeframe;
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::status::{Health, Phase};
use candlewick::store::Store;
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const BAD: &str = "kraken:ETH/USD";
const GOOD: [&str; 2] = ["BTC/USD", "SOL/USD"];

/// Three symbols on one connection; the ledger of ETH/USD cannot be read while `broken` is set.
/// Returns the times at which it was tried.
async fn with_a_bad_symbol(broken: &Arc<AtomicBool>) -> (Stage, Arc<std::sync::Mutex<Vec<DateTime<Utc>>>>) {
    let mut stage = Stage::new(SimConfig::default()).await;
    for name in ["BTC/USD", "ETH/USD", "SOL/USD"] {
        stage.want("kraken", name, &[Timeframe::M1], TimeDelta::hours(2)).await;
    }
    let symbols = stage.store.symbols().await.unwrap();
    let bad = symbols.iter().find(|row| row.symbol.as_str() == "ETH/USD").unwrap().id;
    let tries = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (clock, broken, log) = (stage.clock.clone(), broken.clone(), tries.clone());
    stage.store.script(move |call| match call {
        StoreCall::OpenSeries(id) if *id == bad => {
            log.lock().unwrap().push(clock.now());
            if broken.load(Ordering::Relaxed) { Deed::Panic } else { Deed::Proceed }
        }
        _ => Deed::Proceed,
    });
    stage.start().await;
    (stage, tries)
}

#[test]
fn a_symbol_that_panics_comes_back_by_policy_and_disturbs_no_other() {
    in_virtual_time(async {
        let broken = Arc::new(AtomicBool::new(true));
        let (stage, tries) = with_a_bad_symbol(&broken).await;
        let rests = |stage: &Stage| stage.status(BAD).is_some_and(|status| status.phase == Phase::Quarantined);
        stage.until("quarantine", seconds(40), rests).await;
        let tried = tries.lock().unwrap().clone();
        assert_eq!(tried.len(), 6, "five restarts, then the sixth death");
        for (n, pair) in tried.windows(2).enumerate() {
            // 1 s doubled at each death, shortened by up to a fifth, and a timer's millisecond or two.
            let (wait, most) = (pair[1] - pair[0], TimeDelta::seconds(1 << n));
            assert!(wait >= most * 4 / 5 && wait <= most + TimeDelta::milliseconds(5), "restart {n}: {wait}");
        }
        let status = stage.status(BAD).unwrap();
        assert_eq!((status.health, status.restarts), (Health::Error, 5));
        broken.store(false, Ordering::Relaxed);
        stage.pass_until(tried[5] + TimeDelta::minutes(15) - TimeDelta::seconds(1)).await;
        assert_eq!(tries.lock().unwrap().len(), 6, "it rests for fifteen minutes");
        stage.pass(seconds(3)).await;
        assert_eq!(tries.lock().unwrap().len(), 7);
        stage.until("streaming", seconds(2), |stage| stage.is_streaming(BAD)).await;
        assert_eq!(stage.restarts(BAD), 6);
        stage.pass(minutes(3)).await;
        for name in GOOD {
            assert!(stage.is_streaming(&format!("kraken:{name}")));
            assert_eq!(stage.restarts(&format!("kraken:{name}")), 0);
            stage.assert_minutes("kraken", name, seconds(15)).await;
            let from = stage.simulator.epoch() + TimeDelta::seconds(40);
            stage.assert_punctual("kraken", name, from, TimeDelta::seconds(6)).await;
        }
        stage.assert_minutes("kraken", "ETH/USD", seconds(15)).await;
        assert_eq!(stage.sockets_opened("kraken"), 2, "no connection was opened again");
    });
}

#[test]
fn a_symbol_that_panics_while_deriving_is_complete_again() {
    in_virtual_time(async {
        let broken = Arc::new(AtomicBool::new(false));
        let (stage, tries) = with_a_bad_symbol(&broken).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming(BAD)).await;
        stage.pass(minutes(2)).await;
        // The next read of a derived bar's parts panics in the middle of its life.
        stage.want("kraken", "ETH/USD", &[Timeframe::M1, Timeframe::M5], TimeDelta::hours(2)).await;
        stage.until("widened", seconds(3), |_| tries.lock().unwrap().len() >= 2).await;
        let once = AtomicU32::new(0);
        stage.store.script(move |call| match call {
            StoreCall::Candles(_) if once.fetch_add(1, Ordering::Relaxed) == 0 => Deed::Panic,
            _ => Deed::Proceed,
        });
        stage.until("restarted", minutes(6), |stage| stage.restarts(BAD) == 1).await;
        stage.pass(minutes(12)).await;
        assert!(stage.is_streaming(BAD));
        stage.assert_minutes("kraken", "ETH/USD", seconds(15)).await;
        let until = "2026-11-20T15:10:00Z".parse().unwrap();
        stage.assert_complete("kraken", "ETH/USD", Timeframe::M5, until).await;
        for name in GOOD {
            assert_eq!(stage.restarts(&format!("kraken:{name}")), 0);
            stage.assert_minutes("kraken", name, seconds(15)).await;
        }
        assert_eq!(stage.sockets_opened("kraken"), 2);
    });
}

/// Panics at the first contact that is chosen, from now on.
fn panic_once(stage: &Stage, chosen: impl Fn(&Contact) -> bool + Send + Sync + 'static) -> Arc<AtomicU32> {
    let met = Arc::new(AtomicU32::new(0));
    let count = met.clone();
    stage.transport.script(move |contact| {
        if chosen(contact) && count.fetch_add(1, Ordering::Relaxed) == 0 { Deed::Panic } else { Deed::Proceed }
    });
    met
}

#[test]
fn an_exchange_that_panics_is_rebuilt_with_its_whole_family() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("yahoo", "AAPL"), ("binance", "BTC/USDT")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(2)).await;
        let from = stage.now();
        // Calls for candles are made in the ExchangeActor itself.
        let met = panic_once(&stage, |contact| contact.is_at("yahoo"));
        stage.until("panic", minutes(2), |_| met.load(Ordering::Relaxed) > 0).await;
        stage
            .until("rebuilt", seconds(5), |stage| stage.restarts("yahoo") == 1 && stage.is_polling("yahoo:AAPL"))
            .await;
        stage.pass(minutes(5)).await;
        stage.assert_punctual("yahoo", "AAPL", from, TimeDelta::seconds(30)).await;
        let met = panic_once(&stage, |contact| contact.is_at("kraken") && contact.url().contains("OHLC"));
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::KRAKEN).times(1));
        stage.until("panic", minutes(2), |_| met.load(Ordering::Relaxed) > 0).await;
        stage.until("rebuilt", seconds(5), |s| s.restarts("kraken") == 1 && s.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(3)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.assert_punctual("kraken", "BTC/USD", from, TimeDelta::seconds(10)).await;
        assert_eq!(stage.simulator.stats().exchanges["kraken"].sockets_open, 1, "the old family is gone");
        assert_eq!(stage.restarts("binance"), 0);
        assert_eq!(stage.sockets_opened("binance"), 2);
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
    });
}

#[test]
fn a_probe_that_panics_is_started_again() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        let met = panic_once(&stage, |contact| matches!(contact, Contact::Http(_)));
        stage.start().await;
        let waited = stage.until("streaming", seconds(10), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        assert!(waited >= seconds(4) && waited <= seconds(6), "{waited:?}");
        assert!(met.load(Ordering::Relaxed) > 0);
        assert_eq!(stage.restarts("kraken"), 0);
        stage.pass(minutes(2)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
    });
}

#[test]
fn a_stream_that_panics_is_opened_again() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("kraken", "ETH/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(seconds(70)).await;
        let met = panic_once(&stage, |contact| matches!(contact, Contact::Connect(_)));
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::KRAKEN).times(1));
        stage.until("panic", seconds(2), |_| met.load(Ordering::Relaxed) > 0).await;
        let both = |stage: &Stage| stage.is_streaming("kraken:BTC/USD") && stage.is_streaming(BAD);
        stage.until("streaming", seconds(3), both).await;
        assert_eq!(stage.restarts("kraken") + stage.restarts(BAD), 0);
        stage.pass(minutes(3)).await;
        for name in ["BTC/USD", "ETH/USD"] {
            stage.assert_minutes("kraken", name, seconds(15)).await;
        }
    });
}

/// Panics in the next `times` writes.
fn panic_in_writes(stage: &Stage, times: u32) -> Arc<AtomicU32> {
    let left = Arc::new(AtomicU32::new(times));
    let count = left.clone();
    stage.store.script(move |call| match call {
        StoreCall::Write(_) if count.load(Ordering::Relaxed) > 0 => {
            count.fetch_sub(1, Ordering::Relaxed);
            Deed::Panic
        }
        _ => Deed::Proceed,
    });
    left
}

#[test]
fn a_writer_that_panics_loses_no_batch() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "AAPL")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(2)).await;
        let from = stage.now();
        let left = panic_in_writes(&stage, 3);
        stage.until("panics", seconds(10), |_| left.load(Ordering::Relaxed) == 0).await;
        stage.pass(minutes(3)).await;
        for (venue, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT")] {
            assert_eq!(stage.restarts(&format!("{venue}:{name}")), 0, "senders wait for the next writer");
            stage.assert_minutes(venue, name, seconds(15)).await;
            stage.assert_punctual(venue, name, from, TimeDelta::seconds(6)).await;
        }
    });
}

#[test]
fn a_writer_beyond_its_policy_ends_the_collector_with_an_error() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        panic_in_writes(&stage, u32::MAX);
        let mut collector: CollectorHandle = stage.collector.take().unwrap();
        let ended = tokio::time::timeout(minutes(2), collector.ended()).await.unwrap();
        assert_eq!(ended.unwrap_err().to_string(), "the collector failed: writer keeps failing: Panicked");
        // Its lock is free and nothing calls the venue any more.
        stage.store.behave();
        let quiet_from = stage.now() + TimeDelta::seconds(1);
        stage.pass(minutes(5)).await;
        assert_eq!(stage.transport.contacts("kraken", quiet_from), []);
        assert_eq!(stage.simulator.stats().exchanges["kraken"].sockets_open, 0);
        stage.start().await;
        stage.pass(minutes(2)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
    });
}

#[test]
fn a_status_actor_that_keeps_panicking_stops_no_candle() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.store.script(|call| match call {
            StoreCall::PutStatuses(_) => Deed::Panic,
            _ => Deed::Proceed,
        });
        let from = stage.now();
        stage.pass(minutes(5)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.assert_punctual("kraken", "BTC/USD", from, TimeDelta::seconds(6)).await;
        stage.store.behave();
        stage.pass(minutes(2)).await;
        let rows = stage.store.statuses().await.unwrap();
        let row = rows.iter().find(|row| row.component == "kraken:BTC/USD").unwrap();
        assert!(row.heartbeat > stage.now() - TimeDelta::seconds(40), "{row:?}");
    });
}

#[test]
fn a_second_collector_on_the_same_database_is_turned_away() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        let second = Collector::builder()
            .store(stage.reopen().await)
            .clock(stage.clock.clone())
            .transport(stage.transport.clone())
            .simulator("http://sim")
            .start()
            .await;
        let message = second.err().unwrap().to_string();
        assert!(message.starts_with("another collector holds this database"), "{message}");
    });
}
