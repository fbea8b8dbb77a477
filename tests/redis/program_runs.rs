//! The program with `--redis`.

use redis::Commands;
use serde_json::json;

use crate::program::{Running, finished, simulator, text, url, wait_for};
use crate::server::RedisServer;

#[test]
fn the_daemon_takes_a_symbol_and_a_stop_from_redis_and_ends_well() {
    let server = RedisServer::start();
    let mut redis = server.client();
    let folder = tempfile::tempdir().unwrap();
    let (_simulator, line) = simulator(&["--speed", "60"]);
    let simulated = line.split_whitespace().next().unwrap();
    let places = ["--database", &url(folder.path()), "--redis", &server.url(), "--simulator", simulated];
    let mut daemon = Running::start(&[&["run"], &places[..]].concat());
    let mut give = |command: serde_json::Value| {
        let _: String = redis.xadd("candlewick:control", "*", &[("command", command.to_string())]).unwrap();
    };
    give(json!({"id": "1", "command": "add_symbol", "exchange": "kraken", "symbol": "BTC/USD"}));
    let mut look = server.client();
    wait_for("bars", || (look.llen::<_, usize>("ohlcv:kraken:BTC/USD:1m").unwrap() == 500).then_some(()));
    let status: String = wait_for("its status", || {
        let id: Option<String> = look.hget("process:components", "kraken:BTC/USD").unwrap();
        look.get(format!("process:data:{}", id?)).unwrap()
    });
    assert!(status.contains("\"component\":\"kraken:BTC/USD\""), "{status}");
    give(json!({"id": "2", "command": "shutdown"}));
    assert_eq!(daemon.exit_code(), Some(0), "{}", daemon.words.lock().unwrap());
    assert!(daemon.words.lock().unwrap().contains("stopped by a command"));
    assert_eq!(look.exists::<_, bool>("process:components"), Ok(false));
    let listed = finished(&["symbols", "list", "--format", "csv", "--database", &url(folder.path())]);
    assert!(text(&listed.stdout).contains("kraken,BTC/USD,1m,"), "{}", text(&listed.stdout));
}

#[test]
fn an_address_that_cannot_be_is_a_fault_of_usage_and_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(&["run", "--database", &url(folder.path()), "--redis", "http://user:secret@host"]);
    assert_eq!(run.status.code(), Some(2));
    let words = text(&run.stderr);
    assert!(words.contains("write redis://HOST:PORT/DATABASE, or rediss:// for TLS"), "{words}");
    assert!(!words.contains("secret"), "{words}");
}
