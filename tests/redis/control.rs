//! The control channel: every command takes effect once by its id, whatever dies in between.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use candlewick::market::{Span, Timeframe};
use candlewick::store::SymbolState;
use chrono::TimeDelta;
use redis::Commands;
use redis::streams::StreamRangeReply;
use serde_json::{Value, json};

use crate::server::RedisServer;
use crate::stage::{PATIENCE, Stage, until};
use crate::support::real_time::in_real_time;

const CONTROL: &str = "candlewick:control";
const REPLIES: &str = "candlewick:control:replies";

fn give(redis: &mut redis::Connection, text: &str) -> String {
    redis.xadd(CONTROL, "*", &[("command", text)]).unwrap()
}

/// All replies so far: the entry they answer, and what they say.
fn replies(redis: &mut redis::Connection) -> Vec<(String, Value)> {
    let reply: StreamRangeReply = redis.xrange_all(REPLIES).unwrap();
    let read = |id: &redis::streams::StreamId| {
        let reply: Value = serde_json::from_str(&id.get::<String>("reply").unwrap()).unwrap();
        assert_eq!(id.get::<String>("id").unwrap(), reply["id"].as_str().unwrap_or_default());
        (id.get::<String>("entry").unwrap(), reply)
    };
    reply.ids.iter().map(read).collect()
}

async fn until_reply(redis: &mut redis::Connection, entry: &str) -> Value {
    until("a reply", || replies(redis).into_iter().find(|(of, _)| of == entry).map(|(_, reply)| reply)).await
}

async fn ask(redis: &mut redis::Connection, command: &Value) -> Value {
    let entry = give(redis, &command.to_string());
    until_reply(redis, &entry).await
}

/// Nothing waits to be read or acknowledged.
fn assert_settled(redis: &mut redis::Connection) {
    assert_eq!(redis.xlen::<_, usize>(CONTROL).unwrap(), 0);
    let pending: redis::streams::StreamPendingReply = redis.xpending(CONTROL, "candlewick").unwrap();
    assert_eq!(pending.count(), 0);
}

#[test]
fn a_symbol_added_over_the_channel_is_answered_gets_its_history_goes_live_and_disturbs_nobody() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        let stage = Stage::with(&server.url(), &["BTC/USD", "ETH/USD"]).await;
        for symbol in ["BTC/USD", "ETH/USD"] {
            stage.until_live(symbol).await;
        }
        let sockets = || stage.simulator.stats().exchanges["kraken"].sockets_opened;
        let before = sockets();
        let since = stage.clock.now() - TimeDelta::hours(2);
        let add = json!({"id": "a", "command": "add_symbol", "exchange": "kraken", "symbol": "SOL/USD",
            "timeframes": ["1m"], "from": since.to_rfc3339()});
        let reply = ask(&mut redis, &add).await;
        assert_eq!((&reply["ok"], &reply["changed"], &reply["repeated"]), (&json!(true), &json!(true), &json!(false)));
        assert!(reply["message"].as_str().unwrap().starts_with("kraken SOL/USD added: 1m from "), "{reply}");
        stage.until_live("SOL/USD").await;
        let store = stage.collector().store().clone();
        let rows = store.symbols().await.unwrap();
        let row = rows.iter().find(|row| row.symbol.as_str() == "SOL/USD").unwrap();
        let series = store.series_of(row.id).await.unwrap().remove(0);
        let ledger = store.ledger(series.id).await.unwrap();
        let history = Span::new(since + TimeDelta::minutes(1), stage.clock.now() - TimeDelta::minutes(5));
        assert!(candlewick::market::ledger::complete(&ledger).covers(history), "{ledger:?}");
        assert_eq!(sockets(), before, "nobody reconnects");
        for symbol in ["kraken:BTC/USD", "kraken:ETH/USD", "kraken:SOL/USD"] {
            assert_eq!(stage.status(symbol).unwrap().restarts, 0);
        }
        let again = ask(&mut redis, &add).await;
        assert_eq!((&again["repeated"], &again["message"]), (&json!(true), &reply["message"]));
        let recorded = store.command("a").await.unwrap().unwrap();
        assert_eq!((recorded.kind.as_str(), recorded.asked_by.as_str()), ("add_symbol", "redis"));
        let status = ask(&mut redis, &json!({"id": "s", "command": "status", "component": "kraken:SOL/USD"})).await;
        assert_eq!(status["components"][0]["component"], "kraken:SOL/USD");
        assert_settled(&mut redis);
    });
}

#[test]
fn malformed_commands_are_answered_with_what_is_wrong_and_hold_nobody_up() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        let bad = [
            ("stop!", "malformed", "a command is an object, such as"),
            (r#"{"id":"x","command":"stop"}"#, "malformed", "valid: add_symbol remove_symbol"),
            (r#"{"id":"y","command":"pause","exchange":"kraken"}"#, "malformed", "missing field `symbol`"),
            (
                r#"{"id":"z","command":"add_symbol","exchange":"krakn","symbol":"BTC/USD"}"#,
                "invalid",
                "did you mean kraken?",
            ),
            (r#"{"id":"w","command":"audit","symbol":"BTC/USD"}"#, "invalid", "a symbol needs its exchange"),
        ];
        // Given before the collector is there.
        let given: Vec<_> = bad.iter().map(|(text, kind, words)| (give(&mut redis, text), kind, words)).collect();
        let nameless: String = redis.xadd(CONTROL, "*", &[("comand", "{}")]).unwrap();
        let stage = Stage::with(&server.url(), &[]).await;
        for (entry, kind, words) in given {
            let reply = until_reply(&mut redis, &entry).await;
            assert_eq!((&reply["ok"], &reply["error"]["kind"]), (&json!(false), &json!(kind)), "{reply}");
            assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{reply}");
        }
        let reply = until_reply(&mut redis, &nameless).await;
        assert!(reply["error"]["message"].as_str().unwrap().starts_with("the entry has no field command"), "{reply}");
        let good = json!({"id": "good", "command": "add_symbol", "exchange": "kraken", "symbol": "BTC/USD"});
        assert_eq!(ask(&mut redis, &good).await["ok"], true);
        assert_settled(&mut redis);
        stage.until_live("BTC/USD").await;
    });
}

#[test]
fn a_command_whose_effect_was_there_when_the_collector_died_takes_effect_once() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        let mut stage = Stage::with(&server.url(), &["BTC/USD"]).await;
        let pause = json!({"id": "p", "command": "pause", "exchange": "kraken", "symbol": "BTC/USD"}).to_string();
        let first = give(&mut redis, &pause);
        assert_eq!(until_reply(&mut redis, &first).await["changed"], true);
        stage.stop().await;
        // As a crash between effect and acknowledgement leaves it: delivered to the collector, not acknowledged.
        let second = give(&mut redis, &pause);
        let _: redis::Value = redis::cmd("XREADGROUP")
            .arg(&["GROUP", "candlewick", "collector", "STREAMS", CONTROL, ">"])
            .query(&mut redis)
            .unwrap();
        // Meanwhile somebody wants it otherwise.
        let mut config = stage.config.clone();
        config.redis.url = None;
        std::mem::swap(&mut config, &mut stage.config);
        stage.start().await;
        stage.collector().resume("kraken", &"BTC/USD".parse().unwrap()).await.unwrap();
        stage.stop().await;
        stage.config = config;
        stage.start().await;
        let reply = until_reply(&mut redis, &second).await;
        assert_eq!(
            (&reply["repeated"], &reply["message"]),
            (&json!(true), &json!("kraken BTC/USD is paused; it stays wanted"))
        );
        let rows = stage.collector().store().symbols().await.unwrap();
        assert_eq!(rows[0].state, SymbolState::Active, "it is not paused a second time");
        assert_settled(&mut redis);
    });
}

#[test]
fn a_command_whose_acknowledgement_is_lost_on_the_way_is_answered_again() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        let (url, cuts) = cutting_proxy(server.port(), b"XACK");
        let stage = Stage::with(&url, &["BTC/USD"]).await;
        stage.until_live("BTC/USD").await;
        cuts.store(true, Ordering::SeqCst);
        let pause = json!({"id": "p", "command": "pause", "exchange": "kraken", "symbol": "BTC/USD"});
        let reply = ask(&mut redis, &pause).await;
        assert!(!cuts.load(Ordering::SeqCst), "the connection was cut");
        assert_eq!((&reply["ok"], &reply["repeated"]), (&json!(true), &json!(true)));
        assert_eq!(replies(&mut redis).len(), 1);
        assert_settled(&mut redis);
    });
}

#[test]
fn commands_wait_for_a_redis_that_comes_back_and_a_stop_is_answered_and_not_repeated() {
    in_real_time(async {
        let mut server = RedisServer::start_durable();
        let mut stage = Stage::new(&server.url());
        stage.config.redis.prefix = String::new();
        stage.start().await;
        stage.want("BTC/USD", &[Timeframe::M1]).await;
        stage.until_live("BTC/USD").await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.restart();
        let mut redis = server.client();
        let reply = ask(&mut redis, &json!({"id": "s", "command": "shutdown"})).await;
        assert_eq!((&reply["ok"], &reply["message"]), (&json!(true), &json!("stopping in order")));
        let mut collector = stage.collector.take().unwrap();
        tokio::time::timeout(PATIENCE, collector.ended()).await.expect("it ends").unwrap();
        drop(collector);
        assert_settled(&mut redis);
        let late = give(&mut redis, &json!({"id": "s", "command": "shutdown"}).to_string());
        stage.start().await;
        assert_eq!(until_reply(&mut redis, &late).await["repeated"], true);
        stage.until_live("BTC/USD").await;
    });
}

/// A way to a local port that breaks, once per time it is told to, before it passes `word` on.
fn cutting_proxy(to: u16, word: &'static [u8]) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let cuts = Arc::new(AtomicBool::new(false));
    let told = cuts.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap());
            let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let told = told.clone();
            std::thread::spawn(move || {
                pass(from, into, |bytes| {
                    let has_word = bytes.windows(word.len()).any(|part| part == word);
                    has_word && told.swap(false, Ordering::SeqCst)
                });
            });
            std::thread::spawn(move || pass(server, client, |_| false));
        }
    });
    (url, cuts)
}

fn pass(mut from: TcpStream, mut into: TcpStream, is_cut: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if is_cut(&buffer[..count]) || into.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}
