//! Liveness, readiness, status.

use std::time::Duration;

use serde_json::json;

use super::ask::{ask, get};
use super::stage::Stage;
use super::support::Deed;
use super::support::faulty_store::StoreCall;
use super::support::real_time::in_real_time;

#[test]
fn an_empty_wish_list_is_ready_and_a_fresh_symbol_is() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        let ready = get(stage.at(), "/ready").await;
        assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "reasons": []})));
        // A symbol that no simulated exchange knows is never fresh.
        stage.want("kraken", "NOPE/USD").await;
        let not_ready = stage.until("/ready", |answer| answer.body.contains("kraken:NOPE/USD: ")).await;
        assert_eq!(not_ready.status, 503);
        assert_eq!(not_ready.header("content-type"), Some("application/json"));
        assert_eq!(not_ready.json()["ready"], false);
        stage.want("kraken", "BTC/USD").await;
        let ready = stage.until("/ready", |answer| answer.status == 200).await;
        assert_eq!(ready.json(), json!({"ready": true, "reasons": []}));
        assert_eq!(get(stage.at(), "/live").await.json(), json!({"live": true}));
        stage.stop().await;
    });
}

#[test]
fn a_store_that_does_not_answer_and_a_collector_that_has_ended_are_not_ready_but_live() {
    in_real_time(async {
        let mut stage = Stage::new(None).await;
        stage.store.script(|call| match call {
            StoreCall::Symbols => Deed::Fail,
            _ => Deed::Proceed,
        });
        let fails = get(stage.at(), "/ready").await;
        assert_eq!(fails.status, 503);
        let reason = fails.json()["reasons"][0].as_str().unwrap().to_owned();
        assert!(reason.starts_with("the store cannot be reached: "), "{reason}");
        let status = get(stage.at(), "/status").await;
        assert_eq!(status.status, 200);
        assert!(status.json()["store_error"].is_string(), "{status:?}");
        assert!(!status.json()["components"].as_array().unwrap().is_empty(), "the board needs no store");

        stage.store.script(|call| match call {
            StoreCall::Symbols => Deed::Hang,
            _ => Deed::Proceed,
        });
        let hangs = get(stage.at(), "/ready").await;
        assert_eq!(
            (hangs.status, &hangs.json()["reasons"]),
            (503, &json!(["the store cannot be reached: no answer within 3s"]))
        );
        stage.store.script(|_| Deed::Proceed);
        stage.collector.stop().await.unwrap();
        let ended = get(stage.at(), "/ready").await;
        assert_eq!((ended.status, &ended.json()["reasons"]), (503, &json!(["the collector has ended"])));
        assert_eq!(get(stage.at(), "/status").await.json()["alive"], false);
        assert_eq!(get(stage.at(), "/live").await.status, 200);
        stage.server.stop().await;
    });
}

#[test]
fn status_tells_what_the_command_tells() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        stage.want("kraken", "BTC/USD").await;
        let is_live = |status: &serde_json::Value| {
            let components = status["components"].as_array().unwrap();
            components.iter().any(|line| line["symbol"] == "BTC/USD" && line["phase"] == "live")
        };
        let status = stage.until("/status", |answer| is_live(&answer.json())).await;
        assert_eq!(status.header("cache-control"), Some("no-store"));
        let told = status.json();
        assert_eq!((&told["alive"], &told["store_error"]), (&json!(true), &json!(null)));
        assert!(told["totals"]["candles_stored"].as_u64().unwrap() > 0, "{told}");
        let components = told["components"].as_array().unwrap();
        let names: Vec<_> = components.iter().map(|line| line["component"].as_str().unwrap()).collect();
        assert_eq!(names, ["kraken", "kraken:BTC/USD", "ohlcv_daemon", "writer"]);
        let keys: Vec<_> = components[1].as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = [
            "component",
            "exchange",
            "symbol",
            "status",
            "phase",
            "mode",
            "last_candle",
            "lag_ms",
            "coverage_percent",
            "restarts",
            "message",
            "updated_at",
            "heartbeat",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        let head = ask(stage.at(), "HEAD", "/status", "", "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        stage.stop().await;
    });
}

#[test]
fn an_asker_who_asks_too_often_is_told_to_wait() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        let flood = (0..80).map(|_| get(stage.at(), "/live"));
        let answers = futures_util::future::join_all(flood).await;
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
        assert!(!refused.is_empty() && refused.len() <= 30, "{} of 80 were refused", refused.len());
        assert_eq!(refused[0].header("retry-after"), Some("1"));
        assert_eq!(refused[0].problem(), "too many requests; wait a second");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(get(stage.at(), "/live").await.status, 200);
        stage.stop().await;
    });
}
