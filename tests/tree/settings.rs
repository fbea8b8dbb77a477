//! What to collect changes in the tables while the collector runs: noticed within two seconds, and
//! only what changed is touched.

use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::market::{Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, Venue};
use candlewick::status::{Health, Phase};
use candlewick::store::{CandleSource, ExchangeMode, ExchangeRow, Store, SymbolState};
use chrono::TimeDelta;

use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol};

const NEW: &str = "kraken:SOL/USD";
const OTHERS: [(&str, &str); 3] = [("kraken", "BTC/USD"), ("kraken", "ETH/USD"), ("binance", "BTC/USDT")];

/// What the change of a symbol may not touch: connections opened, and requests for other symbols.
fn others(stage: &Stage) -> (u64, u64, BTreeMap<String, u64>) {
    let mut requests = stage.requests("kraken");
    requests.retain(|what, _| what.contains("BTC/USD") || what.contains("ETH/USD"));
    requests.extend(stage.requests("binance"));
    (stage.sockets_opened("kraken"), stage.sockets_opened("binance"), requests)
}

/// Three symbols that have settled down to streaming, at the beginning of their ten quiet minutes
/// between two verifications.
async fn settled() -> Stage {
    let stage = Stage::with(&OTHERS).await;
    stage.until("streaming", seconds(1), |s| OTHERS.iter().all(|(e, n)| s.is_streaming(&format!("{e}:{n}")))).await;
    stage.pass(seconds(120)).await;
    stage
}

async fn assert_others_complete(stage: &Stage) {
    for (exchange, name) in OTHERS {
        let component = format!("{exchange}:{name}");
        assert!(stage.is_streaming(&component));
        assert_eq!(stage.restarts(&component), 0);
        stage.assert_minutes(exchange, name, seconds(15)).await;
    }
}

#[test]
fn an_added_symbol_is_live_within_two_seconds_and_the_others_notice_nothing() {
    in_virtual_time(async {
        let stage = settled().await;
        let before = others(&stage);
        stage.want("kraken", "SOL/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.until("noticed", seconds(2), |stage| stage.is_streaming(NEW)).await;
        stage.pass(minutes(3)).await;
        assert_eq!(others(&stage), before);
        stage.assert_minutes("kraken", "SOL/USD", seconds(15)).await;
        assert_others_complete(&stage).await;
    });
}

#[test]
fn a_symbol_added_beyond_the_probed_ones_is_told_when_it_does_not_exist() {
    in_virtual_time(async {
        let stage = settled().await;
        stage.want("kraken", "NOPE/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        let rejected = |s: &Stage| s.status("kraken:NOPE/USD").is_some_and(|s| s.phase == Phase::Rejected);
        stage.until("rejected", seconds(3), rejected).await;
        stage.pass(minutes(2)).await;
        assert_others_complete(&stage).await;
    });
}

#[test]
fn a_removed_symbol_ends_within_two_seconds_and_keeps_its_candles() {
    in_virtual_time(async {
        let stage = settled().await;
        stage.want("kraken", "SOL/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("added", seconds(2), |stage| stage.is_streaming(NEW)).await;
        stage.pass(minutes(1)).await;
        let series = stage.series("kraken", "SOL/USD", Timeframe::M1).await;
        let before = others(&stage);
        assert!(stage.store.remove_symbol("kraken", &symbol("SOL/USD")).await.unwrap());
        stage.until("gone", seconds(2), |stage| stage.status(NEW).is_none()).await;
        stage.pass(minutes(3)).await;
        assert_eq!(stage.status(NEW), None);
        assert!(stage.store.statuses().await.unwrap().iter().all(|row| row.component != NEW));
        assert!(!stage.store.ledger(series.id).await.unwrap().is_empty());
        assert_eq!(others(&stage), before);
        assert_others_complete(&stage).await;
        // It comes back with its history, and what it missed is fetched.
        stage.want("kraken", "SOL/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("back", seconds(2), |stage| stage.is_streaming(NEW)).await;
        stage.pass(minutes(2)).await;
        stage.assert_minutes("kraken", "SOL/USD", seconds(15)).await;
    });
}

#[test]
fn a_paused_symbol_rests_and_a_resumed_one_catches_up() {
    in_virtual_time(async {
        let stage = settled().await;
        stage.want("kraken", "SOL/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("added", seconds(2), |stage| stage.is_streaming(NEW)).await;
        stage.pass(minutes(1)).await;
        let before = others(&stage);
        let name = symbol("SOL/USD");
        assert!(stage.store.set_symbol_state("kraken", &name, &SymbolState::Paused).await.unwrap());
        let paused = |s: &Stage| s.status(NEW).is_some_and(|s| (s.phase, s.health) == (Phase::Paused, Health::Idle));
        stage.until("paused", seconds(2), paused).await;
        let calls = stage.calls("kraken", "OHLC SOL/USD 1");
        assert!(calls > 0);
        stage.pass(minutes(2)).await;
        assert!(paused(&stage));
        assert_eq!(stage.calls("kraken", "OHLC SOL/USD 1"), calls);
        assert!(stage.store.set_symbol_state("kraken", &name, &SymbolState::Active).await.unwrap());
        stage.until("resumed", seconds(2), |stage| stage.is_streaming(NEW)).await;
        stage.pass(minutes(2)).await;
        assert_eq!(stage.restarts(NEW), 0);
        stage.assert_minutes("kraken", "SOL/USD", seconds(15)).await;
        assert_eq!(others(&stage), before);
        assert_others_complete(&stage).await;
    });
}

#[test]
fn a_pause_outlives_what_the_venue_says_of_the_symbol() {
    in_virtual_time(async {
        let stage = settled().await;
        stage.want("kraken", "SOL/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("added", seconds(2), |stage| stage.is_streaming(NEW)).await;
        let name = symbol("SOL/USD");
        let state = async || {
            let rows = stage.store.symbols().await.unwrap();
            rows.into_iter().find(|row| row.symbol == name).map(|row| row.state)
        };
        assert!(stage.store.set_symbol_state("kraken", &name, &SymbolState::Paused).await.unwrap());
        stage.inject(
            Fault::new(FaultKind::Delist).on(Venue::KRAKEN).symbol(name.clone()).between(Duration::ZERO, minutes(70)),
        );
        let paused = |s: &Stage| s.status(NEW).is_some_and(|s| s.phase == Phase::Paused);
        stage.until("paused", seconds(2), paused).await;
        // The list is read every hour: without the symbol, then with it again.
        for _ in 0..3 {
            stage.pass(minutes(65)).await;
            assert!(paused(&stage));
            assert_eq!(state().await, Some(SymbolState::Paused));
        }
        assert!(stage.store.set_symbol_state("kraken", &name, &SymbolState::Active).await.unwrap());
        stage.until("resumed", seconds(2), |stage| stage.is_streaming(NEW)).await;
        stage.pass(minutes(2)).await;
        stage.assert_minutes("kraken", "SOL/USD", seconds(15)).await;
    });
}

#[test]
fn a_widened_symbol_gets_more_history_and_timeframes() {
    in_virtual_time(async {
        let stage = settled().await;
        stage.want("kraken", "SOL/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("added", seconds(2), |stage| stage.is_streaming(NEW)).await;
        stage.pass(minutes(1)).await;
        let before = others(&stage);
        stage.want("kraken", "SOL/USD", &[Timeframe::M5, Timeframe::H1], TimeDelta::hours(6)).await;
        stage.until("noticed", seconds(2), |s| s.status(NEW).is_some_and(|s| s.message == "1m,5m,1h")).await;
        stage.pass(minutes(4)).await;
        assert_eq!(stage.restarts(NEW), 0, "new settings are no failure");
        assert_eq!(others(&stage), before);
        stage.assert_minutes("kraken", "SOL/USD", seconds(15)).await;
        let (five, hour) = ("2026-11-20T15:05:00Z".parse().unwrap(), "2026-11-20T15:00:00Z".parse().unwrap());
        stage.assert_complete("kraken", "SOL/USD", Timeframe::M5, five).await;
        stage.assert_complete("kraken", "SOL/USD", Timeframe::H1, hour).await;
        assert_others_complete(&stage).await;
    });
}

#[test]
fn a_disabled_exchange_ends_and_an_enabled_one_catches_up() {
    in_virtual_time(async {
        let stage = settled().await;
        let rows = stage.store.exchanges().await.unwrap();
        let row = rows.into_iter().find(|row| row.name == "kraken").unwrap();
        stage.store.put_exchange(&ExchangeRow { enabled: false, ..row.clone() }).await.unwrap();
        let is_gone = |s: &Stage| s.statuses().iter().all(|s| s.exchange.as_deref() != Some("kraken"));
        stage.until("gone", seconds(2), is_gone).await;
        let disabled_at = stage.now();
        stage.pass(minutes(4)).await;
        assert!(is_gone(&stage), "{:?}", stage.statuses());
        assert_eq!(stage.transport.contacts("kraken", disabled_at), []);
        assert_eq!(stage.simulator.stats().exchanges["kraken"].sockets_open, 0);
        stage.store.put_exchange(&row).await.unwrap();
        stage.until("back", seconds(2), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(2)).await;
        for (exchange, name) in OTHERS {
            stage.assert_minutes(exchange, name, seconds(15)).await;
        }
        assert_eq!(stage.sockets_opened("binance"), 2);
    });
}

#[test]
fn an_exchange_that_is_disabled_and_enabled_at_once_has_one_family() {
    in_virtual_time(async {
        let stage = settled().await;
        let rows = stage.store.exchanges().await.unwrap();
        let row = rows.into_iter().find(|row| row.name == "kraken").unwrap();
        let collector = stage.collector.as_ref().unwrap();
        for enabled in [false, true, false, true] {
            stage.store.put_exchange(&ExchangeRow { enabled, ..row.clone() }).await.unwrap();
            collector.supervisor().send(candlewick::actors::messages::Refresh).await.unwrap();
            stage.pass(std::time::Duration::from_millis(20)).await;
        }
        stage.until("back", seconds(4), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(2)).await;
        assert_eq!(stage.simulator.stats().exchanges["kraken"].sockets_open, 1);
        for (exchange, name) in OTHERS {
            assert!(stage.is_streaming(&format!("{exchange}:{name}")));
            stage.assert_minutes(exchange, name, seconds(15)).await;
        }
    });
}

#[test]
fn an_exchange_switched_to_polling_closes_its_connections_and_one_switched_back_streams() {
    in_virtual_time(async {
        let stage = settled().await;
        let from = stage.now();
        stage.set_mode("kraken", ExchangeMode::Poll).await;
        let both = |stage: &Stage| [stage.is_streaming("kraken:BTC/USD"), stage.is_streaming("kraken:ETH/USD")];
        stage.until("polling", seconds(2), |stage| both(stage) == [false, false]).await;
        stage.pass(minutes(4)).await;
        assert_eq!(both(&stage), [false, false]);
        assert_eq!(stage.simulator.stats().exchanges["kraken"].sockets_open, 0);
        let connects = stage.transport.contacts("kraken", from);
        assert!(connects.iter().all(|(_, contact)| matches!(contact, Contact::Http(_))), "{connects:?}");
        stage.set_mode("kraken", ExchangeMode::Auto).await;
        stage.until("streaming", seconds(2), |stage| both(stage) == [true, true]).await;
        stage.pass(minutes(3)).await;
        for (exchange, name) in OTHERS {
            stage.assert_minutes(exchange, name, seconds(15)).await;
            stage.assert_punctual(exchange, name, from, TimeDelta::seconds(6)).await;
        }
        assert!(stage.is_streaming("binance:BTC/USDT"));
        assert_eq!(stage.sockets_opened("binance"), 2);
    });
}

#[test]
fn nothing_to_collect_is_said_and_the_first_symbol_starts_its_exchange() {
    in_virtual_time(async {
        let stage = Stage::with(&[]).await;
        stage.pass(seconds(10)).await;
        let said = stage.status("ohlcv_daemon").unwrap().message;
        assert_eq!(said, "nothing to collect: candlewick symbols add EXCHANGE SYMBOL");
        stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.until("streaming", seconds(2), |stage| stage.is_streaming("binance:BTC/USDT")).await;
    });
}

#[test]
fn trades_that_are_wanted_from_now_on_are_collected_at_once() {
    in_virtual_time(async {
        let stage = settled().await;
        let hour = TimeDelta::hours(1);
        stage.want_trades("kraken", "BTC/USD", &[Timeframe::M1], CandleSource::Venue, hour).await;
        stage.pass(minutes(5)).await;
        let span = Span::new(stage.now() - hour, stage.now() - seconds(20));
        let count = stage.assert_trades_in("kraken", "BTC/USD", span).await;
        assert!(count > 500, "{count}");
    });
}
