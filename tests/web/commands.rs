//! Commands over HTTP: the same as over every other channel.

use candlewick::store::Store;
use serde_json::json;

use super::ask::{MEANT, ask, command, get, raw};
use super::stage::Stage;
use super::support::real_time::in_real_time;

#[test]
fn a_symbol_is_added_paused_and_removed_once_by_the_id_of_each_command() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        let add = json!({"id": "a", "command": "add_symbol", "exchange": "kraken", "symbol": "BTC/USD"});
        let added = command(stage.at(), &add).await;
        assert_eq!((added.status, added.header("content-type")), (200, Some("application/json")));
        let reply = added.json();
        assert_eq!((&reply["ok"], &reply["changed"], &reply["repeated"]), (&json!(true), &json!(true), &json!(false)));
        let again = command(stage.at(), &add).await.json();
        assert_eq!((&again["repeated"], &again["message"]), (&json!(true), &reply["message"]));
        assert_eq!(stage.store.command("a").await.unwrap().unwrap().asked_by, "http");
        stage.until("/ready", |answer| answer.status == 200).await;
        stage.until("/status", |answer| answer.body.contains("live_websocket")).await;
        let name = |id: &str, what: &str| json!({"id": id, "command": what, "exchange": "kraken", "symbol": "BTC/USD"});
        assert_eq!(command(stage.at(), &name("p", "pause")).await.json()["changed"], true);
        stage.until("/status", |answer| answer.body.contains("\"phase\":\"paused\"")).await;
        assert_eq!(command(stage.at(), &name("r", "remove_symbol")).await.json()["changed"], true);
        stage.until("/status", |answer| !answer.body.contains("kraken:BTC/USD")).await;
        stage.stop().await;
    });
}

#[test]
fn every_refusal_has_its_status_and_the_reply_says_why() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        let cases = [
            (400, "malformed", json!({"id": "1", "command": "add"})),
            (404, "unknown", json!({"id": "2", "command": "pause", "exchange": "kraken", "symbol": "ETH/USD"})),
            (422, "invalid", json!({"id": "3", "command": "add_symbol", "exchange": "krakn", "symbol": "ETH/USD"})),
            (422, "invalid", json!({"id": "4", "command": "audit", "symbol": "BTC/USD"})),
            (409, "conflict", json!({"id": "4", "command": "shutdown"})),
        ];
        for (status, kind, body) in cases {
            let refused = command(stage.at(), &body).await;
            let reply = refused.json();
            assert_eq!((refused.status, &reply["error"]["kind"]), (status, &json!(kind)), "{reply}");
            assert_eq!((&reply["ok"], &reply["id"]), (&json!(false), &body["id"]));
        }
        stage.stop().await;
    });
}

#[test]
fn bodies_that_are_no_commands_are_refused_before_they_are_read_whole() {
    in_real_time(async {
        let stage = Stage::new(None).await;
        let form = ask(stage.at(), "POST", "/control", "X-Candlewick: 1\r\nContent-Type: text/plain\r\n", "{}").await;
        assert_eq!(
            (form.status, form.problem().as_str()),
            (415, "a command is JSON; send Content-Type: application/json")
        );
        let large = ask(stage.at(), "POST", "/control", MEANT, &" ".repeat(64 * 1024 + 1)).await;
        assert_eq!((large.status, large.problem().as_str()), (413, "a command has at most 65536 bytes"));
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let chunked = format!(
            "POST /control HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{MEANT}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
        );
        assert_eq!(raw(stage.at(), chunked.as_bytes()).await.status, 413);
        let head = format!(
            "POST /control HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{MEANT}Content-Length: 2\r\n\r\n"
        );
        let binary = raw(stage.at(), &[head.as_bytes(), &[0xff, 0xfe]].concat()).await;
        assert_eq!(binary.status, 400);
        assert!(binary.problem().starts_with("the body is no UTF-8 text"));
        assert_eq!(get(stage.at(), "/live").await.status, 200);
        stage.stop().await;
    });
}
