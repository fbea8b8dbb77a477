//! What Prometheus reads is what docs/metrics.md and deploy/alerts.yml speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candlewick::web::metrics::METRICS;

use super::ask::get;
use super::stage::{Stage, in_real_time};

const REFERENCE: &str = include_str!("../../docs/metrics.md");
const ALERTS: &str = include_str!("../../deploy/alerts.yml");

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
        for counter in ["candles_stored", "rest_calls", "frames", "connections"] {
            assert!(values[format!("candlewick_{counter}_total").as_str()] >= 1.0, "{counter}: {}", scrape.body);
        }
        assert_eq!(get(stage.at(), "/metrics").await.status, 200);
        stage.collector.remove_symbol("kraken", &"BTC/USD".parse().unwrap()).await.unwrap();
        stage.until("/metrics", |answer| !answer.body.contains("BTC/USD")).await;
        stage.stop().await;
    });
}
