//! The simulator on a real port, spoken to by real clients.

use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::sim::{SimConfig, Simulator, server};
use chrono::SecondsFormat;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

async fn start() -> (server::ServerHandle, Simulator, String) {
    // reqwest wants a process-wide provider; another test of this file may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock = Clock::scaled("2026-11-20T15:00:00Z".parse().unwrap(), 60.0);
    let simulator = Simulator::new(SimConfig { history_days: 2, ..SimConfig::default() }, clock);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let handle = server::serve(listener, simulator.clone()).unwrap();
    let host = handle.address().to_string();
    (handle, simulator, host)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("within the deadline")
}

#[tokio::test]
async fn one_port_serves_every_venue_the_clock_and_the_truth() {
    let (handle, simulator, host) = start().await;
    let client = reqwest::Client::builder().user_agent("Mozilla/5.0").build().unwrap();
    let get = |path: &str| {
        let request = client.get(format!("http://{host}{path}"));
        async move { soon(request.send()).await.unwrap() }
    };
    let clock: Value = serde_json::from_str(&get("/clock").await.text().await.unwrap()).unwrap();
    assert_eq!(clock["factor"], 60.0);
    assert_eq!(clock["epoch"], simulator.epoch().to_rfc3339_opts(SecondsFormat::Micros, true));
    let paths = [
        "/kraken/0/public/AssetPairs",
        "/binance/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22%5D",
        "/yahoo/v8/finance/chart/%5EGSPC?range=1d&interval=1d",
        "/truth/candles?exchange=kraken&symbol=BTC/USD&timeframe=1h",
        "/stats",
    ];
    for path in paths {
        let reply = get(path).await;
        assert_eq!(reply.status(), 200, "{path}");
        assert!(reply.headers()["date"].to_str().unwrap().starts_with("Fri, 20 Nov 2026 15:"), "{path}");
        serde_json::from_str::<Value>(&reply.text().await.unwrap()).unwrap();
    }
    soon(handle.stop()).await;
    assert!(client.get(format!("http://{host}/clock")).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn sockets_are_upgraded_and_carry_frames_both_ways_until_the_server_stops() {
    let (handle, simulator, host) = start().await;
    let (mut socket, _) = soon(tokio_tungstenite::connect_async(format!("ws://{host}/kraken/v2"))).await.unwrap();
    let ask = r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":true},"req_id":1}"#;
    soon(socket.send(Message::text(ask))).await.unwrap();
    let mut kinds = Vec::new();
    while kinds.len() < 4 {
        let frame = soon(socket.next()).await.unwrap().unwrap();
        let frame: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
        let kind = ["channel", "method"].iter().find_map(|name| frame[*name].as_str()).unwrap().to_owned();
        if kind != "heartbeat" {
            kinds.push(format!("{kind} {}", frame["type"].as_str().unwrap_or("-")));
        }
    }
    assert_eq!(kinds, ["status update", "subscribe -", "trade snapshot", "trade update"]);
    assert_eq!(simulator.stats().exchanges["kraken"].sockets_open, 1);

    let (mut raw, _) =
        soon(tokio_tungstenite::connect_async(format!("ws://{host}/binance/ws/btcusdt@aggTrade"))).await.unwrap();
    let frame = loop {
        match soon(raw.next()).await.unwrap().unwrap() {
            Message::Text(text) => break text,
            other => assert!(matches!(other, Message::Ping(_)), "{other}"),
        }
    };
    let frame: Value = serde_json::from_str(&frame).unwrap();
    assert_eq!((&frame["e"], &frame["s"]), (&"aggTrade".into(), &"BTCUSDT".into()));

    let refused = soon(tokio_tungstenite::connect_async(format!("ws://{host}/yahoo/ws"))).await.unwrap_err();
    assert!(
        matches!(&refused, tokio_tungstenite::tungstenite::Error::Http(reply) if reply.status() == 404),
        "{refused}"
    );
    soon(handle.stop()).await;
    let end = soon(async {
        loop {
            match socket.next().await {
                Some(Ok(_)) => {}
                end => break end,
            }
        }
    });
    assert!(!matches!(end.await, Some(Ok(_))));
    assert_eq!(simulator.stats().exchanges["kraken"].sockets_open, 0);
}

#[tokio::test]
async fn faults_posted_at_run_time_strike_real_connections() {
    let (_handle, _, host) = start().await;
    let client = reqwest::Client::new();
    let post = |body: &'static str| client.post(format!("http://{host}/faults")).body(body).send();
    let refused = soon(post(r#"{"kind":"nonsense"}"#)).await.unwrap();
    assert_eq!(refused.status(), 400);
    let url = format!("http://{host}/binance/api/v3/exchangeInfo");
    assert_eq!(
        soon(post(r#"[{"kind":"truncate","count":1},{"kind":"refuse","count":1}]"#)).await.unwrap().status(),
        200
    );
    // Refusals strike before a reply exists, so the cut body is the second request's.
    assert!(soon(client.get(&url).send()).await.unwrap_err().is_request());
    let cut = soon(client.get(&url).send()).await.unwrap();
    assert!(soon(cut.bytes()).await.unwrap_err().is_decode());
    assert_eq!(soon(client.get(&url).send()).await.unwrap().status(), 200);
}
