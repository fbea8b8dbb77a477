//! Who is let in, and what becomes of requests that are none.

use candlewick::config::WebConfig;
use candlewick::web::Bound;
use serde_json::json;

use super::ask::{MEANT, ask, get, raw};
use super::stage::{Stage, on_a_free_port};
use super::support::real_time::in_real_time;

#[test]
fn an_address_that_others_reach_needs_a_token() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = WebConfig { listen: listen.parse().unwrap(), ..on_a_free_port(None) };
        let error = Bound::bind(&config).unwrap_err().to_string();
        assert!(error.starts_with(&format!("web.listen {listen} can be reached from other machines")), "{error}");
    }
    let open = WebConfig { listen: "0.0.0.0:0".parse().unwrap(), ..on_a_free_port(Some("t")) };
    assert!(Bound::bind(&open).unwrap().is_some());
    assert!(Bound::bind(&WebConfig { enabled: false, ..on_a_free_port(None) }).unwrap().is_none());
}

#[test]
fn with_a_token_only_liveness_is_told_without_it() {
    in_real_time(async {
        let stage = Stage::new(Some("s3cret")).await;
        assert_eq!(get(stage.at(), "/live").await.status, 200);
        for path in ["/ready", "/status", "/metrics", "/control", "/nope"] {
            let refused = get(stage.at(), path).await;
            assert_eq!((refused.status, refused.problem().as_str()), (401, "send Authorization: Bearer TOKEN"));
            assert_eq!(refused.header("www-authenticate"), Some("bearer realm=\"candlewick\""));
        }
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "Basic s3cret", "s3cret"] {
            let refused = ask(stage.at(), "GET", "/status", &format!("Authorization: {wrong}\r\n"), "").await;
            assert_eq!(refused.status, 401, "{wrong}");
            refused.problem();
        }
        let token = "Authorization: bearer s3cret\r\n";
        assert_eq!(ask(stage.at(), "GET", "/status", token, "").await.status, 200);
        // The name by which it is called is no matter then.
        let named = format!("Host: candles.example.org\r\n{token}");
        assert_eq!(ask(stage.at(), "GET", "/status", &named, "").await.status, 200);
        // The token says that a command is meant; a web page is refused all the same.
        let body = json!({"id": "1", "command": "status"}).to_string();
        let json = format!("Content-Type: application/json\r\n{token}");
        assert_eq!(ask(stage.at(), "POST", "/control", &json, &body).await.status, 200);
        let page = format!("{json}Origin: http://candles.example.org\r\n");
        assert_eq!(ask(stage.at(), "POST", "/control", &page, &body).await.status, 403);
        stage.stop().await;
    });
}

#[test]
fn a_web_page_reaches_neither_status_nor_commands() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        let rebound = ask(stage.at(), "GET", "/status", "Host: evil.example:8790\r\n", "").await;
        assert_eq!(rebound.status, 421);
        assert!(rebound.problem().starts_with("without a token only localhost is answered"));
        assert_eq!(ask(stage.at(), "GET", "/status", "Host: localhost\r\n", "").await.status, 200);
        let body = json!({"id": "1", "command": "shutdown"}).to_string();
        let page = format!("{MEANT}Origin: http://evil.example\r\n");
        let refused = ask(stage.at(), "POST", "/control", &page, &body).await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, "commands are not taken from web pages (Origin header)")
        );
        let simple = ask(stage.at(), "POST", "/control", "Content-Type: application/json\r\n", &body).await;
        assert_eq!((simple.status, simple.problem().as_str()), (403, "a command needs the header X-Candlewick: 1"));
        assert_eq!(get(stage.at(), "/ready").await.status, 200, "nothing was stopped");
        stage.stop().await;
    });
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        let unknown = get(stage.at(), "/statuss?x=1").await;
        assert_eq!(unknown.status, 404);
        assert!(unknown.problem().starts_with("nothing is at /statuss; there are: /live /ready /status"));
        for (method, path, allowed) in
            [("POST", "/live", "get, head"), ("GET", "/control", "post"), ("DELETE", "/ready", "get, head")]
        {
            let wrong = ask(stage.at(), method, path, "", "").await;
            assert_eq!((wrong.status, wrong.header("allow")), (405, Some(allowed)), "{method} {path}");
            wrong.problem();
        }
        stage.stop().await;
    });
}

#[test]
fn rubbish_endless_heads_and_slow_ones_cost_nobody_else_anything() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        assert_eq!(raw(stage.at(), b"\x16\x03\x01 rubbish\r\n\r\n").await.status, 400);
        let endless = format!("GET /live HTTP/1.1\r\nHost: localhost\r\nX-Long: {}", "x".repeat(300_000));
        assert_eq!(raw(stage.at(), endless.as_bytes()).await.status, 431);
        let slow = tokio::time::Instant::now();
        assert_eq!(raw(stage.at(), b"GET /live HTTP/1.1\r\nHost: loc").await.status, 408);
        assert!(slow.elapsed().as_secs() < 15);
        assert_eq!(get(stage.at(), "/live").await.status, 200);
        stage.stop().await;
    });
}
