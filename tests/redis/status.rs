//! The status layout: exactly as existing monitors read it, one record per component, gone after a stop.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use candlewick::market::Timeframe;
use chrono::{DateTime, Utc};
use redis::Commands;
use serde_json::Value;

use crate::monitor;
use crate::server::RedisServer;
use crate::stage::{Stage, until};
use crate::support::real_time::in_real_time;

fn component(redis: &mut redis::Connection, name: &str) -> Option<Value> {
    let id: Option<String> = redis.hget("process:components", name).unwrap();
    let data: Option<String> = redis.get(format!("process:data:{}", id?)).unwrap();
    serde_json::from_str(&data?).unwrap()
}

/// Waits until a component is mirrored in this status.
async fn until_status(redis: &mut redis::Connection, name: &str, status: &str) -> Value {
    until(name, || component(redis, name).filter(|data| data["status"] == status)).await
}

fn keys(redis: &mut redis::Connection) -> BTreeSet<String> {
    redis.keys::<_, Vec<String>>("*process:*").unwrap().into_iter().collect()
}

#[test]
fn every_component_has_one_record_in_the_known_layout_and_none_after_a_stop() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        let mut stage = Stage::with(&server.url(), &[]).await;
        stage.want("BTC/USD", &[Timeframe::M1, Timeframe::W1]).await;
        stage.until_live("BTC/USD").await;
        let data = until_status(&mut redis, "kraken:BTC/USD", "running").await;

        let keys_of = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
        let all = "process_id process_type component params status message created_at updated_at heartbeat";
        assert_eq!(keys_of(&data), names(all));
        assert_eq!(keys_of(&data["params"]), names("exchange symbol type interval"));
        let id = data["process_id"].as_str().unwrap();
        let created: DateTime<Utc> = data["created_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(id, format!("ohlcv:kraken:BTC/USD:{}", created.timestamp()));
        assert_eq!((&data["process_type"], &data["component"]), (&"ohlcv".into(), &"kraken:BTC/USD".into()));
        let params = serde_json::json!({"exchange": "kraken", "symbol": "BTC/USD", "type": "live_websocket", "interval": "1m,1w"});
        assert_eq!(data["params"], params);
        for time in ["created_at", "updated_at", "heartbeat"] {
            assert!(data[time].as_str().unwrap().ends_with("+00:00"), "{data}");
        }

        let active: BTreeMap<String, String> = redis.hgetall("process:active:ohlcv").unwrap();
        assert!(active[id].parse::<DateTime<Utc>>().unwrap() >= created);
        let components: BTreeMap<String, String> = redis.hgetall("process:components").unwrap();
        let expected = ["kraken", "kraken:BTC/USD", "ohlcv_daemon", "writer"];
        assert_eq!(components.keys().collect::<Vec<_>>(), expected);
        assert_eq!(active.keys().collect::<BTreeSet<_>>(), components.values().collect());
        let records: BTreeSet<_> = components.values().map(|id| format!("process:data:{id}")).collect();
        let hashes = ["process:active:ohlcv", "process:components"].map(str::to_owned);
        assert_eq!(keys(&mut redis), records.iter().cloned().chain(hashes).collect());
        let life: i64 = redis.ttl(format!("process:data:{id}")).unwrap();
        assert!(life > 7 * 24 * 3600, "a record outlives the longest timeframe: {life}");
        let life: i64 = redis.ttl(format!("process:data:{}", components["ohlcv_daemon"])).unwrap();
        assert!((3000..=3600).contains(&life), "{life}");

        let report = monitor::report(&server.url()).await.unwrap();
        assert!(report.contains("kraken:BTC/USD"), "{report}");
        assert!(report.contains("system health: ok, 4 of 4 components"), "{report}");

        stage.stop().await;
        assert_eq!(keys(&mut redis), BTreeSet::new());
        assert!(monitor::report(&server.url()).await.unwrap().contains("no process is active"));
    });
}

#[test]
fn a_redis_that_is_away_at_the_start_or_later_costs_the_mirror_only() {
    in_real_time(async {
        let mut server = RedisServer::stopped(&["--appendonly", "no"]);
        let mut stage = Stage::new(&server.url());
        stage.config.status.interval = Duration::from_secs(3);
        stage.start().await;
        stage.want("BTC/USD", &[Timeframe::M1]).await;
        stage.until_live("BTC/USD").await;
        server.restart();
        let all = |redis: &mut redis::Connection| redis.hlen::<_, usize>("process:components").unwrap() == 4;
        for _ in 0..2 {
            let mut redis = server.client();
            until("all components: what was lost with the server", || all(&mut redis).then_some(())).await;
            until_status(&mut redis, "kraken:BTC/USD", "running").await;
            server.kill();
            let before = stage.status("kraken:BTC/USD").unwrap().last_candle;
            until("candles go on", || (stage.status("kraken:BTC/USD").unwrap().last_candle > before).then_some(()))
                .await;
            server.restart();
        }
        server.kill();
        let began = tokio::time::Instant::now();
        stage.stop().await;
        assert!(began.elapsed() < Duration::from_secs(5), "a stop does not wait for it: {:?}", began.elapsed());
    });
}

#[test]
fn what_a_crashed_life_left_is_replaced_and_strangers_are_left_alone() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        for (component, id) in [
            ("kraken:BTC/USD", "ohlcv:kraken:BTC/USD:1000"),
            ("kraken:GONE/USD", "ohlcv:kraken:GONE/USD:1000"),
            ("bot", "bot:bot:1000"),
        ] {
            let _: () = redis.hset("process:components", component, id).unwrap();
            let _: () = redis.hset("process:active:ohlcv", id, "2026-11-19T00:00:00+00:00").unwrap();
        }
        // The record of the component that is gone has expired.
        let _: () = redis.set("process:data:ohlcv:kraken:BTC/USD:1000", "{}").unwrap();
        let mut stage = Stage::with(&server.url(), &["BTC/USD"]).await;
        until_status(&mut redis, "kraken:BTC/USD", "running").await;
        assert!(!keys(&mut redis).contains("process:data:ohlcv:kraken:BTC/USD:1000"));
        let components: BTreeMap<String, String> = redis.hgetall("process:components").unwrap();
        assert!(!components.contains_key("kraken:GONE/USD") && components["bot"] == "bot:bot:1000", "{components:?}");
        let active: BTreeMap<String, String> = redis.hgetall("process:active:ohlcv").unwrap();
        assert!(active.keys().all(|id| !id.ends_with(":1000") || id.starts_with("bot:")), "{active:?}");
        // A symbol that is removed takes its record along.
        stage.collector().remove_symbol("kraken", &"BTC/USD".parse().unwrap()).await.unwrap();
        until("its record is gone", || component(&mut redis, "kraken:BTC/USD").is_none().then_some(())).await;
        stage.stop().await;
        assert_eq!(keys(&mut redis), ["process:active:ohlcv", "process:components"].map(str::to_owned).into());
    });
}

#[test]
fn writes_are_at_most_one_a_second_and_a_prefix_stands_before_every_key() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        let watched = watch(&server);
        // Everything is due all the time.
        let mut stage = Stage::new(&server.url());
        stage.config.status.interval = Duration::from_millis(100);
        stage.config.redis.prefix = "mine:".to_owned();
        stage.start().await;
        for symbol in ["BTC/USD", "ETH/USD", "SOL/USD"] {
            stage.want(symbol, &[Timeframe::M1]).await;
        }
        let key = "mine:process:components";
        until("all components", || (redis.hlen::<_, usize>(key).unwrap() == 6).then_some(())).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let writes = status_writes(&watched.lock().unwrap());
        assert!(writes.len() >= 4, "{writes:?}");
        // The first one may have been slow, on a busy machine, and the second not.
        let time = writes[writes.len() - 1] - writes[0];
        assert!((writes.len() - 1) as f64 <= time + 1.0, "{writes:?}");
        let all: Vec<String> = redis.keys("*").unwrap();
        assert!(!all.is_empty() && all.iter().all(|key| key.starts_with("mine:")), "{all:?}");
        stage.stop().await;
    });
}

/// Every command the server gets from now on, as its MONITOR tells it.
fn watch(server: &RedisServer) -> Arc<Mutex<Vec<String>>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    stream.write_all(b"MONITOR\r\n").unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            heard.lock().unwrap().push(line);
        }
    });
    lines
}

/// When transactions with records of components ended, in seconds.
fn status_writes(lines: &[String]) -> Vec<f64> {
    let client = |line: &str| line.split(['[', ']']).nth(1).map(str::to_owned);
    let writer = lines.iter().find(|line| line.contains("\"mine:process:data:")).and_then(|line| client(line));
    let ends = lines.iter().filter(|line| line.ends_with("\"EXEC\"") && client(line) == writer);
    ends.map(|line| line[1..].split(' ').next().unwrap().parse().unwrap()).collect()
}
