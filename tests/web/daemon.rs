//! The program itself with its HTTP interface.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::json;

use super::ask::{MEANT, ask, command, get};
use super::program::{Running, candlewick, finished, simulator, text, url, wait_for};

/// A configuration file with a section `[web]` that listens on a port that was free a moment ago.
fn configured(folder: &std::path::Path, more: &str) -> (String, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = folder.join("candlewick.toml");
    let database = url(folder);
    std::fs::write(&path, format!("database = {database:?}\n[web]\nlisten = \"{address}\"\n{more}")).unwrap();
    (path.display().to_string(), address)
}

#[tokio::test]
async fn a_daemon_answers_obeys_and_says_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let (_simulator, line) = simulator(&["--speed", "60"]);
    let simulated = line.split_whitespace().next().unwrap();
    let (config, at) = configured(folder.path(), "");
    let mut daemon = Running::start(&["run", "--config", &config, "--simulator", simulated]);
    daemon.wait_for_words(&format!("operators are answered over HTTP address={at}"));
    assert_eq!(get(at, "/ready").await.json(), json!({"ready": true, "reasons": []}));
    let add = json!({"id": "a", "command": "add_symbol", "exchange": "kraken", "symbol": "BTC/USD"});
    assert_eq!(command(at, &add).await.status, 200);
    let deadline = std::time::Instant::now() + super::program::PATIENCE;
    while !get(at, "/status").await.body.contains("live_websocket") {
        assert!(std::time::Instant::now() < deadline, "never streamed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let stop = command(at, &json!({"id": "s", "command": "shutdown"})).await;
    assert_eq!((stop.status, stop.json()["message"].as_str()), (200, Some("stopping in order")));
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(daemon.words.lock().unwrap().contains("stopped by a command"));
    assert!(tokio::net::TcpStream::connect(at).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_token_of_the_environment_goes_before_the_file_and_a_signal_stops_the_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let (config, at) = configured(folder.path(), "token = \"of-the-file\"\n");
    let mut child = candlewick(&["run", "--config", &config])
        .env("CANDLEWICK_WEB_TOKEN", "of-the-environment")
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the server", || std::net::TcpStream::connect(at).ok());
    let status = |token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        async move { ask(at, "GET", "/ready", &header, "").await.status }
    };
    assert_eq!(status("of-the-environment").await, 200);
    assert_eq!(status("of-the-file").await, 401);
    assert_eq!(ask(at, "POST", "/control", MEANT, "{}").await.status, 401);
    let killed = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let code = wait_for("the end", || child.try_wait().unwrap()).code();
    assert_eq!(code, Some(0));
}

#[test]
fn a_start_without_a_token_on_an_open_address_or_on_one_that_is_taken_fails_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (config, at) = configured(folder.path(), "");
    let text_of_config = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text_of_config.replace("127.0.0.1", "0.0.0.0")).unwrap();
    let open = finished(&["run", "--config", &config]);
    assert_eq!(open.status.code(), Some(2));
    let words = text(&open.stderr);
    assert!(words.contains("a token is needed: set web.token or CANDLEWICK_WEB_TOKEN"), "{words}");
    std::fs::write(&config, text_of_config).unwrap();
    let _taken = TcpListener::bind(at).unwrap();
    let taken = finished(&["run", "--config", &config]);
    assert_eq!(taken.status.code(), Some(1));
    let words = text(&taken.stderr);
    assert!(words.contains(&format!("cannot listen on {at} (web.listen)")), "{words}");
    assert!(!folder.path().join("candles.db").exists(), "nothing was begun");
}
