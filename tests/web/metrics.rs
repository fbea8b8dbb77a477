//! What Prometheus reads is what docs/metrics.md and deploy/alerts.yml speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use candlewick::sim::{Fault, FaultKind, Venue};
use candlewick::web::metrics::METRICS;

use super::ask::get;
use super::stage::Stage;
use super::support::real_time::in_real_time;

const REFERENCE: &str = include_str!("../../docs/metrics.md");
const ALERTS: &str = include_str!("../../deploy/alerts.yml");

/// The value of a series in a scrape.
fn value(body: &str, series: &str) -> Option<f64> {
    body.lines().find_map(|told| told.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Cells of the rows of a table whose first cell is a name.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn every_metric_is_documented_and_the_other_way_round() {
    let (metrics, _) = REFERENCE.split_once("## Reasons").unwrap();
    let documented = rows(metrics);
    let exposed = METRICS.map(|metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        vec![format!("`{}`", metric.name), metric.kind.to_owned(), labels.join(" "), metric.help.to_owned()]
    });
    assert_eq!(documented, exposed);
}

#[test]
fn every_reason_is_documented_and_the_other_way_round() {
    let (_, reasons) = REFERENCE.split_once("## Reasons").unwrap();
    let documented: BTreeSet<String> = rows(reasons).iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let mut counted = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/actors")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let calls = text.split(".dropped(").skip(1).map(|rest| rest.trim_start());
            counted.extend(calls.map(|rest| {
                rest.strip_prefix('"').expect("a reason is a literal").split('"').next().unwrap().to_owned()
            }));
        }
    }
    assert_eq!(documented, counted);
}

#[test]
fn alerts_are_made_of_metrics_that_exist() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = ALERTS.split(|c| !is_part(c)).filter(|word| word.starts_with("candlewick_"));
    let named: BTreeSet<&str> = words.collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        assert!(METRICS.iter().any(|metric| metric.name == name), "deploy/alerts.yml names {name}");
    }
}

#[test]
fn a_scrape_holds_the_values_of_a_collector_at_work() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        stage.want("kraken", "BTC/USD").await;
        let line = r#"candlewick_symbol_coverage_ratio{exchange="kraken",symbol="BTC/USD"} "#;
        let is_covered =
            |body: &str| body.lines().any(|told| told.strip_prefix(line).is_some_and(|ratio| ratio != "0"));
        let scrape = stage.until("/metrics", |answer| is_covered(&answer.body)).await;
        assert_eq!(scrape.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let mut values = BTreeMap::new();
        for told in scrape.body.lines().filter(|told| !told.starts_with('#')) {
            let (name, value) = told.rsplit_once(' ').unwrap();
            assert!(values.insert(name, value.parse::<f64>().unwrap()).is_none(), "{name} is told twice");
        }
        let symbol = r#"exchange="kraken",symbol="BTC/USD""#;
        let of_symbol = |name: &str| values[format!("candlewick_symbol_{name}{{{symbol}}}").as_str()];
        assert_eq!(of_symbol("timeframe_seconds"), 60.0);
        assert_eq!(of_symbol("restarts_total"), 0.0);
        assert!((0.0..600.0).contains(&of_symbol("lag_seconds")), "{}", scrape.body);
        assert_eq!(values[format!(r#"candlewick_symbol_mode{{{symbol},mode="live_websocket"}}"#).as_str()], 1.0);
        assert_eq!(values[r#"candlewick_exchange_health{exchange="kraken",health="running"}"#], 1.0);
        assert_eq!(values["candlewick_collector_up"], 1.0);
        assert!(values["candlewick_candles_stored_total"] >= 1.0, "{}", scrape.body);
        for counter in ["rest_calls", "frames", "connections"] {
            let name = format!(r#"candlewick_{counter}_total{{exchange="kraken"}}"#);
            assert!(values[name.as_str()] >= 1.0, "{counter}: {}", scrape.body);
        }
        assert_eq!(get(stage.at(), "/metrics").await.status, 200);
        stage.collector.remove_symbol("kraken", &"BTC/USD".parse().unwrap()).await.unwrap();
        stage.until("/metrics", |answer| !answer.body.contains("BTC/USD")).await;
        stage.stop().await;
    });
}

#[test]
fn gaps_are_told_while_they_are_open_and_counted_when_they_heal() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        stage.want("binance", "BTC/USDT").await;
        let open = r#"candlewick_symbol_open_gaps{exchange="binance",symbol="BTC/USDT"}"#;
        let healed = r#"candlewick_gaps_healed_total{exchange="binance"}"#;
        let times = r#"candlewick_time_to_final_seconds_count{exchange="binance"}"#;
        let at_once = r#"candlewick_time_to_final_seconds_bucket{exchange="binance",le="120"}"#;
        let ratio = r#"candlewick_symbol_coverage_ratio{exchange="binance",symbol="BTC/USDT"}"#;
        let is = |body: &str, series: &str, right: fn(f64) -> bool| value(body, series).is_some_and(right);
        let before = stage.until("/metrics", |answer| {
            is(&answer.body, ratio, |ratio| ratio == 1.0) && is(&answer.body, times, |count| count >= 2.0)
        });
        let before = before.await.body;
        assert_eq!((value(&before, open), value(&before, healed)), (Some(0.0), Some(0.0)), "{before}");
        assert!(is(&before, times, |count| count < 60.0), "history took no time to become final: {before}");
        let connects = r#"candlewick_rate_budget_used_ratio{exchange="binance",limit="connects"}"#;
        assert_eq!(
            value(&before, connects),
            Some(2.0 / 300.0),
            "the trial and one connection, of 300 in five minutes: {before}"
        );

        // The stream breaks, and nothing is answered for five minutes.
        stage.simulator.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::BINANCE).times(1));
        let outage = Fault::new(FaultKind::Refuse).on(Venue::BINANCE);
        stage.simulator.inject(outage.between(Duration::ZERO, Duration::from_secs(300)));
        stage.until("/metrics", |answer| is(&answer.body, open, |gaps| gaps == 1.0)).await;
        let after = stage.until("/metrics", |answer| is(&answer.body, open, |gaps| gaps == 0.0)).await.body;
        assert_eq!(value(&after, healed), Some(1.0), "{after}");
        let weight = r#"candlewick_rate_budget_used_ratio{exchange="binance",limit="request weight"}"#;
        assert!(is(&after, weight, |ratio| ratio > 0.0 && ratio < 1.0), "the call that healed it is charged: {after}");
        assert!(value(&after, times).unwrap() > value(&before, times).unwrap() + 2.0, "{after}");
        assert!(value(&after, times) > value(&after, at_once), "what came late is in a later class: {after}");
        stage.stop().await;
    });
}
