//! What is recorded to be told: gaps by stretch and never for history, modes when they change, all in one
//! order that survives whatever dies.

use std::collections::BTreeMap;

use candlewick::market::{Span, SpanSet, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::store::event::What;
use candlewick::store::{Event, Store};
use chrono::TimeDelta;

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const MARKETS: [(&str, &str); 3] = [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "BTC/USD")];

/// Everything recorded; each number is one more than the last.
async fn events(stage: &Stage) -> Vec<Event> {
    let events = stage.store.events_after(0, 10_000).await.unwrap();
    assert!(events.iter().map(|event| event.number).eq(1..=events.len() as i64));
    events
}

fn modes<'a>(events: &'a [Event], exchange: &str) -> Vec<(Option<&'a str>, &'a str, &'a str)> {
    let of = events.iter().filter(|event| event.exchange == exchange);
    let mode = |event: &'a Event| match &event.what {
        What::ModeChanged { old, new, reason } => Some((old.as_deref(), new.as_str(), reason.as_str())),
        _ => None,
    };
    of.filter_map(mode).collect()
}

/// The gaps that are open for whoever adds up what was told, and how often something was told of gaps.
fn open_gaps(events: &[Event]) -> (BTreeMap<String, SpanSet>, usize) {
    let (mut open, mut told) = (BTreeMap::<String, SpanSet>::new(), 0);
    for event in events {
        let Some(timeframe) = event.timeframe else { continue };
        let gaps = open.entry(format!("{}:{}:{timeframe}", event.exchange, event.symbol)).or_default();
        match event.what {
            What::GapOpened { from, to, .. } => {
                assert!(gaps.within(Span::new(from, to)).is_empty(), "told twice: {event:?}");
                gaps.insert(Span::new(from, to));
            }
            What::GapHealed { from, to } | What::GapUnavailable { from, to, .. } => {
                assert!(gaps.covers(Span::new(from, to)), "never told as open: {event:?}");
                gaps.remove(Span::new(from, to));
            }
            What::CandleRevised { .. } | What::ModeChanged { .. } => continue,
        }
        told += 1;
    }
    open.retain(|_, gaps| !gaps.is_empty());
    (open, told)
}

fn drop_connections(stage: &Stage) {
    let kind = FaultKind::Drop { every: None };
    stage.inject(Fault::new(kind).on(Venue::KRAKEN).between(seconds(0), seconds(1)));
}

/// From now on Kraken cannot be reached.
fn cut_off(stage: &Stage) {
    drop_connections(stage);
    stage.transport.script(|_| Deed::Fail);
}

#[test]
fn a_first_backfill_is_no_gap_and_the_time_without_a_collector_is_one() {
    in_virtual_time(async {
        let mut stage = Stage::with(&MARKETS).await;
        stage.pass(minutes(10)).await;
        let first = events(&stage).await;
        assert_eq!(open_gaps(&first), (BTreeMap::new(), 0));
        assert_eq!(modes(&first, "kraken"), [(None, "live_websocket", "subscribed")]);
        assert_eq!(modes(&first, "binance"), [(None, "live_websocket", "subscribed")]);
        assert_eq!(modes(&first, "yahoo"), [(None, "live_rest_polling", "no_stream")]);

        stage.stop().await;
        let stopped = stage.now();
        stage.pass(minutes(60)).await;
        stage.start().await;
        stage.pass(minutes(20)).await;
        let all = events(&stage).await;
        let since = &all[first.len()..];
        assert_eq!(open_gaps(&all).0, BTreeMap::new(), "all is healed");
        for (exchange, _) in MARKETS {
            assert_eq!(modes(since, exchange), [], "a restart is no change");
            let of = |event: &&Event| event.exchange == exchange && event.what.kind() == "gap_opened";
            let opened: Vec<&Event> = since.iter().filter(of).collect();
            assert_eq!(opened.len(), 1, "{exchange}: {since:?}");
            let What::GapOpened { from, to, reason } = &opened[0].what else { unreachable!() };
            assert_eq!(reason, "collector_stopped");
            // Yahoo is believed late that nothing was traded.
            assert!((stopped - *from).abs() < TimeDelta::minutes(20) && *to > stopped + TimeDelta::minutes(10));
        }
    });
}

#[test]
fn a_lost_connection_is_told_with_its_reason() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(seconds(95)).await;
        drop_connections(&stage);
        stage.pass(minutes(5)).await;
        let expected = [
            (None, "live_websocket", "subscribed"),
            (Some("live_websocket"), "live_rest_polling", "connection_lost"),
            (Some("live_rest_polling"), "live_websocket", "subscribed"),
        ];
        let told = events(&stage).await;
        assert_eq!(modes(&told, "kraken"), expected);
        assert_eq!(open_gaps(&told).1, 0, "polled in time");
    });
}

#[test]
fn an_outage_is_a_few_events_whose_sum_is_nothing_in_the_end() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1, Timeframe::H1], TimeDelta::hours(4)).await;
        stage.start().await;
        stage.pass(minutes(10)).await;
        let before = events(&stage).await.len();
        cut_off(&stage);
        stage.pass(minutes(40)).await;
        let during = events(&stage).await;
        let (open, told) = open_gaps(&during);
        assert!(open.contains_key("kraken:BTC/USD:1m"), "{during:?}");
        assert!((1..10).contains(&told), "{told} in forty minutes: {during:#?}");
        assert_eq!(modes(&during[before..], "kraken")[0].1, "live_rest_polling");
        stage.transport.behave();
        stage.pass(minutes(90)).await;
        let after = events(&stage).await;
        assert_eq!(open_gaps(&after).0, BTreeMap::new());
        assert_eq!(modes(&after, "kraken").last().map(|mode| mode.1), Some("live_websocket"));
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
    });
}

#[test]
fn what_waits_in_the_spool_is_told_in_its_order() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        let folder = tempfile::tempdir().unwrap();
        stage.config.spool.folder = folder.path().to_owned();
        stage.store.pretend_server();
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.start().await;
        stage.pass(minutes(5)).await;
        assert_eq!(modes(&events(&stage).await, "kraken").len(), 1);
        stage.store.script(|call| match call {
            StoreCall::Write(_) | StoreCall::Candles(_) | StoreCall::Ledger(_) => Deed::Fail,
            _ => Deed::Proceed,
        });
        stage.pass(minutes(2)).await;
        let lost = stage.now();
        cut_off(&stage);
        stage.pass(minutes(10)).await;
        stage.transport.behave();
        stage.pass(minutes(10)).await;
        assert_eq!(events(&stage).await.len(), 1, "the store is away");
        stage.store.behave();
        stage.pass(minutes(5)).await;
        let told = events(&stage).await;
        let expected = [
            (None, "live_websocket", "subscribed"),
            (Some("live_websocket"), "live_rest_polling", "connection_lost"),
            (Some("live_rest_polling"), "live_websocket", "subscribed"),
        ];
        assert_eq!(modes(&told, "kraken"), expected);
        let fallback = told.iter().filter(|event| event.what.kind() == "mode_changed").nth(1).unwrap();
        assert!((fallback.time - lost).abs() < TimeDelta::minutes(2), "when it happened: {}", fallback.time);
        let (open, gaps) = open_gaps(&told);
        assert_eq!(open, BTreeMap::new());
        assert!(gaps >= 2, "{told:#?}");
    });
}
