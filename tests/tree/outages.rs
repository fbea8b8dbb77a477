//! A venue that is down, busy or banning: nobody is blamed, its waits are obeyed, gaps heal.

use std::time::Duration;

use candlewick::market::Timeframe;
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::status::{Health, Phase};
use candlewick::store::Store;
use chrono::TimeDelta;

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const SYMBOLS: [(&str, &str); 5] = [
    ("kraken", "BTC/USD"),
    ("kraken", "ETH/USD"),
    ("binance", "BTC/USDT"),
    ("binance", "ETH/USDT"),
    ("yahoo", "BTC/USD"),
];

/// Lives through a fault of a venue's HTTP for ten minutes; its sockets break at the beginning.
async fn lives_through(venue: Venue, kind: FaultKind) {
    let stage = Stage::with(&SYMBOLS).await;
    stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
    stage.pass(minutes(3)).await;
    let began = stage.now();
    stage.inject(Fault::new(FaultKind::Drop { every: None }).on(venue).times(1));
    stage.inject(Fault::new(kind).on(venue).between(Duration::ZERO, minutes(10)));
    stage
        .until("gate closed", minutes(2), |stage| {
            stage.status(venue.as_str()).is_some_and(|s| (s.phase, s.health) == (Phase::Waiting, Health::Error))
        })
        .await;
    stage.pass_until(began + TimeDelta::minutes(10)).await;
    // Back-off doubles from 5 s to at most 5 min: ten minutes are few calls, not thousands.
    let calls = stage.transport.contacts(venue.as_str(), began);
    let calls = calls.iter().filter(|(_, contact)| matches!(contact, Contact::Http(_))).count();
    assert!((4..=30).contains(&calls), "{calls} calls");
    for (exchange, name) in SYMBOLS {
        let status = stage.status(&format!("{exchange}:{name}")).unwrap();
        assert_eq!((status.restarts, status.phase), (0, Phase::Live), "{status:?}");
    }
    // The longest back-off may have begun just before the end.
    stage.until("gate open", minutes(6), |stage| stage.is_live(venue.as_str())).await;
    stage.pass(minutes(8)).await;
    for (exchange, name) in SYMBOLS {
        stage.assert_minutes(exchange, name, seconds(if exchange == "yahoo" { 300 } else { 15 })).await;
        assert_eq!(stage.restarts(&format!("{exchange}:{name}")), 0);
        if exchange != venue.as_str() && exchange != "yahoo" {
            stage.assert_punctual(exchange, name, began, TimeDelta::seconds(6)).await;
            assert_eq!(stage.sockets_opened(exchange), 2);
        }
    }
    assert!(stage.is_streaming("kraken:BTC/USD") && stage.is_streaming("binance:BTC/USDT"));
}

#[test]
fn a_venue_is_starting_until_it_was_tried_and_in_error_when_it_cannot_be_reached() {
    in_virtual_time(async {
        for (deed, expected) in [
            (Deed::Hang, (Health::Starting, Phase::Starting, "not reached yet".to_owned())),
            (Deed::Fail, (Health::Error, Phase::Waiting, "cannot connect to sim: told to refuse".to_owned())),
        ] {
            let mut stage = Stage::new(SimConfig::default()).await;
            stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
            stage.transport.script(move |_| deed);
            stage.start().await;
            let state = |s: &Stage| s.status("kraken").map(|s| (s.health, s.phase, s.message));
            stage.until("reported", seconds(1), |s| state(s).as_ref() == Some(&expected)).await;
            stage.pass(seconds(20)).await;
            assert_eq!(state(&stage), Some(expected));
        }
    });
}

#[test]
fn ten_minutes_of_server_errors_quarantine_nobody_and_heal() {
    in_virtual_time(lives_through(Venue::KRAKEN, FaultKind::Http5xx { status: 502 }));
    in_virtual_time(lives_through(Venue::BINANCE, FaultKind::Http5xx { status: 503 }));
}

#[test]
fn ten_minutes_of_web_pages_instead_of_data_quarantine_nobody_and_heal() {
    in_virtual_time(lives_through(Venue::BINANCE, FaultKind::Html));
    in_virtual_time(lives_through(Venue::KRAKEN, FaultKind::Html));
}

#[test]
fn ten_minutes_of_refused_connections_quarantine_nobody_and_heal() {
    in_virtual_time(lives_through(Venue::KRAKEN, FaultKind::Refuse));
    in_virtual_time(lives_through(Venue::YAHOO, FaultKind::Refuse));
}

#[test]
fn ten_minutes_of_maintenance_quarantine_nobody_and_heal() {
    in_virtual_time(lives_through(Venue::KRAKEN, FaultKind::Maintenance));
}

#[test]
fn one_symbol_that_fails_while_others_succeed_costs_them_nothing() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        let polled = ["BTC/USDT", "ETH/USDT", "SOL/USDT"];
        for name in polled {
            stage.want("binance", name, &[Timeframe::M1], TimeDelta::hours(2)).await;
        }
        stage.poll_only("binance").await;
        stage.start().await;
        stage.pass(minutes(2)).await;
        let began = stage.now();
        let bad: candlewick::market::Symbol = "ETH/USDT".parse().unwrap();
        stage
            .inject(Fault::new(FaultKind::Rubbish).on(Venue::BINANCE).symbol(bad).between(Duration::ZERO, minutes(30)));
        stage.pass(minutes(30)).await;
        for name in ["BTC/USDT", "SOL/USDT"] {
            stage.assert_punctual("binance", name, began, TimeDelta::seconds(9)).await;
            assert_eq!(stage.restarts(&format!("binance:{name}")), 0);
        }
        assert!(stage.restarts("binance:ETH/USDT") > 0);
        stage.pass(minutes(16)).await;
        for name in polled {
            stage.assert_minutes("binance", name, seconds(15)).await;
        }
    });
}

/// Polls Binance, which turns everybody away once; returns when it was called again.
async fn turned_away_once(kind: FaultKind) -> (Stage, TimeDelta) {
    let mut stage = Stage::new(SimConfig::default()).await;
    stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::hours(2)).await;
    stage.poll_only("binance").await;
    stage.start().await;
    stage.pass(minutes(2)).await;
    let began = stage.now();
    stage.inject(Fault::new(kind).on(Venue::BINANCE).times(1));
    stage.until("a second call", minutes(20), |stage| stage.transport.contacts("binance", began).len() >= 2).await;
    let at: Vec<_> = stage.transport.contacts("binance", began).into_iter().map(|(at, _)| at).collect();
    let wait = at[1] - at[0];
    (stage, wait)
}

#[test]
fn the_venues_own_wait_is_obeyed_and_a_growing_one_where_it_names_none() {
    in_virtual_time(async {
        for (kind, seconds_waited) in [
            (FaultKind::Http429 { retry_after: Some(seconds(17)) }, 17),
            (FaultKind::Http429 { retry_after: None }, 5),
            (FaultKind::Http418 { retry_after: Some(seconds(240)) }, 240),
            (FaultKind::Http418 { retry_after: None }, 300),
        ] {
            let (stage, wait) = turned_away_once(kind.clone()).await;
            let least = TimeDelta::seconds(seconds_waited);
            assert!(wait >= least && wait <= least + TimeDelta::milliseconds(5), "{kind:?}: {wait}");
            stage.pass(minutes(2)).await;
            stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
            assert_eq!(stage.restarts("binance:BTC/USDT"), 0);
        }
    });
}

#[test]
fn a_ban_is_honoured_by_the_next_collector_on_the_same_database() {
    in_virtual_time(async {
        let stage = Stage::with(&[("binance", "BTC/USDT"), ("kraken", "BTC/USD")]).await;
        let mut stage = stage;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("binance:BTC/USDT")).await;
        stage.pass(minutes(2)).await;
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::BINANCE).times(1));
        stage.inject(Fault::new(FaultKind::Http418 { retry_after: Some(seconds(900)) }).on(Venue::BINANCE).times(1));
        let banned =
            |stage: &Stage| stage.status("binance").is_some_and(|s| s.message.starts_with("turned away until"));
        stage.until("banned", minutes(2), banned).await;
        stage.pass(seconds(2)).await;
        let rows = stage.store.exchanges().await.unwrap();
        let until = rows.iter().find(|row| row.name == "binance").unwrap().blocked_until.unwrap();
        let left = until - stage.now();
        assert!(left > TimeDelta::seconds(880) && left <= TimeDelta::seconds(900), "{left}");
        let banned_at = stage.now();
        stage.pass(minutes(2)).await;
        stage.stop().await;
        stage.pass(minutes(1)).await;
        stage.start().await;
        stage.until("kraken", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        assert!(banned(&stage), "{:?}", stage.status("binance"));
        stage.pass_until(until - TimeDelta::seconds(1)).await;
        assert_eq!(stage.transport.contacts("binance", banned_at), [], "not one call before the time");
        stage.until("streaming", seconds(5), |stage| stage.is_streaming("binance:BTC/USDT")).await;
        stage.pass(minutes(3)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
    });
}

#[test]
fn a_venue_that_turns_away_the_first_call_is_not_called_before_its_time() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.inject(Fault::new(FaultKind::Http429 { retry_after: Some(seconds(120)) }).on(Venue::KRAKEN).times(1));
        let began = stage.now();
        stage.start().await;
        stage.until("streaming", seconds(130), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        let at: Vec<_> = stage.transport.contacts("kraken", began).into_iter().map(|(at, _)| at - began).collect();
        assert!(at[0] < TimeDelta::seconds(1), "{at:?}");
        assert!(at[1] >= TimeDelta::seconds(120) && at[1] < TimeDelta::seconds(121), "{at:?}");
    });
}

#[test]
fn a_connect_that_is_turned_away_is_not_tried_before_its_time_while_rest_goes_on() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(seconds(70)).await;
        let began = stage.now();
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::KRAKEN).times(1));
        stage.inject(Fault::new(FaultKind::Http429 { retry_after: Some(seconds(200)) }).on(Venue::KRAKEN).times(1));
        stage.pass(seconds(190)).await;
        let connects = |stage: &Stage| {
            let contacts = stage.transport.contacts("kraken", began);
            contacts
                .into_iter()
                .filter(|(_, c)| matches!(c, Contact::Connect(_)))
                .map(|(at, _)| at - began)
                .collect::<Vec<_>>()
        };
        assert_eq!(connects(&stage).len(), 1, "{:?}", connects(&stage));
        assert!(stage.is_polling("kraken:BTC/USD"));
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.until("streaming", seconds(30), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        assert_eq!(connects(&stage).len(), 2, "{:?}", connects(&stage));
    });
}

#[test]
fn more_candles_than_may_wait_for_the_store_are_counted_and_fetched_afterwards() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("binance", "BTC/USDT", &[Timeframe::S1], TimeDelta::minutes(5)).await;
        stage.start().await;
        stage.until("streaming", seconds(5), |stage| stage.is_streaming("binance:BTC/USDT")).await;
        stage.pass(minutes(1)).await;
        stage.store.script(|call| if matches!(call, StoreCall::Write(_)) { Deed::Fail } else { Deed::Proceed });
        // Ten thousand wait; three hours have more seconds.
        stage.pass(minutes(180)).await;
        let dropped = |stage: &Stage| stage.collector.as_ref().unwrap().totals().dropped;
        let left_out = dropped(&stage)["candles_while_the_store_is_away"];
        assert!((100..1_500).contains(&left_out), "{left_out}");
        stage.store.behave();
        // The writer tries again every few seconds.
        stage.pass(seconds(30)).await;
        let left_out = dropped(&stage)["candles_while_the_store_is_away"];
        stage.pass(minutes(15)).await;
        assert_eq!(dropped(&stage)["candles_while_the_store_is_away"], left_out);
        assert_eq!(stage.restarts("binance:BTC/USDT"), 0);
        let until = stage.now() - TimeDelta::seconds(30);
        stage.assert_complete("binance", "BTC/USDT", Timeframe::S1, until).await;
    });
}

#[test]
fn where_the_buckets_of_a_symbol_lie_is_stored_before_its_candles_though_the_disk_was_full() {
    in_virtual_time(async {
        // Within the session of New York, whose hours begin at half past.
        let mut stage = Stage::at("2026-11-20T16:40:00Z".parse().unwrap(), SimConfig::default()).await;
        stage.store.script(|call| match call {
            StoreCall::SetAnchors(_) => Deed::Fail,
            _ => Deed::Proceed,
        });
        stage.want("yahoo", "MSFT", &[Timeframe::H1], TimeDelta::hours(2)).await;
        stage.start().await;
        stage.pass(minutes(2)).await;
        let symbol = stage.store.symbols().await.unwrap().remove(0);
        assert!(symbol.anchors.is_none());
        assert_eq!(stage.store.series_of(symbol.id).await.unwrap(), [], "nobody could tell where its buckets lie");
        stage.store.behave();
        stage.pass(minutes(5)).await;
        assert!(stage.store.symbols().await.unwrap()[0].anchors.is_some());
        assert!(!stage.stored("yahoo", "MSFT", Timeframe::H1).await.is_empty());
    });
}
