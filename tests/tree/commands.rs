//! Commands as messages: carried out once by their id, recorded, answered; the tree follows at once.

use std::sync::atomic::{AtomicBool, Ordering};

use candlewick::actors::messages::Shutdown;
use candlewick::control::when::Time;
use candlewick::control::{Action, Asker, Command, RefusalKind, Reply};
use candlewick::market::Timeframe;
use candlewick::status::Phase;
use candlewick::store::{Store, SymbolState};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol};

async fn ask(stage: &Stage, command: Value) -> Reply {
    let command = Command::from_json(&command.to_string(), Asker::Message).unwrap();
    stage.collector.as_ref().unwrap().supervisor().send(command).await.unwrap()
}

fn refusal(reply: &Reply) -> (RefusalKind, &str) {
    let error = reply.error.as_ref().unwrap_or_else(|| panic!("not refused: {reply:?}"));
    assert!(!reply.ok && !reply.changed);
    (error.kind, error.message.as_str())
}

#[test]
fn a_symbol_added_by_a_command_is_live_within_a_second_and_the_others_notice_nothing() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(seconds(120)).await;
        let sockets = stage.sockets_opened("kraken");
        let add = json!({"id": "a", "command": "add_symbol", "exchange": "kraken", "symbol": "SOL/USD",
            "timeframes": ["1m"], "from": (stage.now() - TimeDelta::hours(2)).to_rfc3339()});
        let began = stage.now();
        let reply = ask(&stage, add.clone()).await;
        assert!(stage.now() - began < TimeDelta::milliseconds(100), "answered before anything is read");
        assert_eq!((reply.ok, reply.changed, reply.repeated), (true, true, false));
        let from = Time(began - TimeDelta::hours(2));
        assert_eq!(reply.message, format!("kraken SOL/USD added: 1m from {from}"));
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:SOL/USD")).await;
        stage.pass(minutes(3)).await;
        assert_eq!(stage.sockets_opened("kraken"), sockets);
        stage.assert_minutes("kraken", "SOL/USD", seconds(15)).await;

        let again = ask(&stage, add).await;
        assert_eq!(again, Reply { repeated: true, ..reply.clone() });
        let row = stage.store.command("a").await.unwrap().unwrap();
        assert_eq!((row.kind.as_str(), row.asked_by.as_str(), row.asked_at), ("add_symbol", "message", began));
        assert_eq!(row.outcome, format!("done: {}", reply.message));
        let other = json!({"id": "a", "command": "pause", "exchange": "kraken", "symbol": "SOL/USD"});
        assert_eq!(
            refusal(&ask(&stage, other).await),
            (RefusalKind::Conflict, "id \"a\" was another command's (add_symbol); choose a new one")
        );
        assert!(stage.is_streaming("kraken:SOL/USD"));
    });
}

#[test]
fn a_symbol_is_paused_resumed_widened_and_removed() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("binance", "BTC/USDT")]).await;
        stage.until("live", minutes(2), |stage| stage.is_live("kraken:BTC/USD")).await;
        let name =
            |id: &str, command: &str| json!({"id": id, "command": command, "exchange": "kraken", "symbol": "BTC/USD"});
        assert_eq!(ask(&stage, name("1", "pause")).await.message, "kraken BTC/USD is paused; it stays wanted");
        let paused = |stage: &Stage| stage.status("kraken:BTC/USD").is_some_and(|s| s.phase == Phase::Paused);
        stage.until("paused", seconds(1), paused).await;
        let again = ask(&stage, name("2", "pause")).await;
        assert_eq!((again.changed, again.message.as_str()), (false, "kraken BTC/USD is paused already"));
        assert_eq!(
            stage.store.command("2").await.unwrap().unwrap().outcome,
            "done (nothing to change): kraken BTC/USD is paused already"
        );
        let resumed = ask(&stage, name("3", "resume")).await;
        assert_eq!(resumed.message, "kraken BTC/USD is active again; what it missed is fetched");
        stage.until("live", minutes(2), |stage| stage.is_live("kraken:BTC/USD")).await;

        let before = stage.store.symbols().await.unwrap();
        let widen = |id: &str, hours: i64| {
            json!({"id": id, "command": "backfill", "exchange": "kraken", "symbol": "BTC/USD",
                "from": (stage.now() - TimeDelta::hours(hours)).to_rfc3339()})
        };
        assert!(!ask(&stage, widen("4", 1)).await.changed, "nothing is ever wanted less");
        assert_eq!(stage.store.symbols().await.unwrap(), before);
        let widened = ask(&stage, widen("5", 9)).await;
        assert!(
            widened.changed && widened.message.starts_with("kraken BTC/USD wants more now: 1m from "),
            "{widened:?}"
        );
        stage.pass(minutes(2)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        let row = stage.store.symbols().await.unwrap().into_iter().find(|row| row.exchange == "kraken").unwrap();
        assert!(stage.now() - row.backfill_from > TimeDelta::hours(8));
        assert_eq!(row.timeframes, [Timeframe::M1]);

        let removed = ask(&stage, name("6", "remove_symbol")).await;
        assert_eq!(removed.message, "kraken BTC/USD is not wanted any more; its candles stay");
        stage.until("gone", seconds(2), |stage| stage.status("kraken:BTC/USD").is_none()).await;
        let again = ask(&stage, name("7", "remove_symbol")).await;
        assert_eq!((again.ok, again.changed), (true, false));
        let (kind, message) =
            (RefusalKind::Unknown, "no symbol of exchange \"kraken\" is kept here; did you mean binance?");
        assert_eq!(refusal(&ask(&stage, name("8", "pause")).await), (kind, message));
        assert_eq!(
            stage.store.command("8").await.unwrap().unwrap().outcome,
            format!("refused: unknown: {message}"),
            "what is refused is recorded too"
        );
        assert_eq!(ask(&stage, name("8", "pause")).await.error.unwrap().message, message);
    });
}

#[test]
fn what_cannot_be_is_refused_in_the_words_of_the_command_line() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        let add =
            json!({"id": "1", "command": "add_symbol", "exchange": "krakn", "symbol": "btc/usd", "timeframes": "7m"});
        let reply = ask(&stage, add).await;
        let (kind, message) = refusal(&reply);
        assert_eq!(kind, RefusalKind::Invalid);
        for part in ["did you mean kraken?", "did you mean BTC/USD?", "unknown timeframe \"7m\"; valid: 1s 1m"] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        let bare = json!({"id": "2", "command": "backfill", "exchange": "kraken", "symbol": "BTC/USD"});
        assert_eq!(
            refusal(&ask(&stage, bare).await),
            (RefusalKind::Invalid, "since when is missing; give from or backfill_days")
        );
        let future =
            json!({"id": "3", "command": "backfill", "exchange": "kraken", "symbol": "BTC/USD", "from": "2030-01-01"});
        assert!(refusal(&ask(&stage, future).await).1.contains("lies in the future"));
        assert_eq!(stage.store.symbols().await.unwrap().len(), 1);
    });
}

#[test]
fn status_tells_the_components_and_is_not_recorded() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.pass(seconds(30)).await;
        let all = ask(&stage, json!({"id": "1", "command": "status"})).await;
        assert_eq!(all.components.as_ref().unwrap(), &stage.statuses());
        let one = ask(&stage, json!({"id": "1", "command": "status", "component": "kraken:BTC/USD"})).await;
        let told: Value = serde_json::from_str(&one.to_json()).unwrap();
        assert_eq!(told["components"][0]["component"], "kraken:BTC/USD");
        assert_eq!(told["components"][0]["mode"], "live_websocket");
        assert_eq!(stage.store.command("1").await.unwrap(), None);
        let unknown = ask(&stage, json!({"id": "1", "command": "status", "component": "kraken:ETH/USD"})).await;
        let (kind, message) = refusal(&unknown);
        assert_eq!(
            (kind, message),
            (RefusalKind::Unknown, "no component \"kraken:ETH/USD\"; known: kraken kraken:BTC/USD ohlcv_daemon writer")
        );
    });
}

#[test]
fn a_command_sent_again_after_a_crash_before_its_record_changes_nothing_more() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.store.set_symbol_state("kraken", &symbol("BTC/USD"), &SymbolState::Paused).await.unwrap();
        // The first record is lost with the life that was about to write it.
        let is_first = AtomicBool::new(true);
        stage.store.script(move |call| match call {
            StoreCall::RecordCommand(_) if is_first.swap(false, Ordering::Relaxed) => Deed::Panic,
            _ => Deed::Proceed,
        });
        let pause = json!({"id": "p", "command": "resume", "exchange": "kraken", "symbol": "BTC/USD"});
        let reply = ask(&stage, pause).await;
        assert_eq!(
            (reply.ok, reply.changed, reply.message.as_str()),
            (true, false, "kraken BTC/USD is active already")
        );
        stage.until("live", minutes(2), |stage| stage.is_live("kraken:BTC/USD")).await;
        assert_eq!(stage.restarts("kraken:BTC/USD"), 0);
    });
}

#[test]
fn a_stop_by_command_is_answered_recorded_and_in_order() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.pass(minutes(2)).await;
        let reply = ask(&stage, json!({"id": "s", "command": "shutdown"})).await;
        assert_eq!((reply.ok, reply.message.as_str()), (true, "stopping in order"));
        let mut collector = stage.collector.take().unwrap();
        // A second stop neither cuts the first one short nor waits for ever.
        collector.supervisor().do_send(Shutdown);
        collector.ended().await.unwrap();
        let statuses = stage.store.statuses().await.unwrap();
        assert!(statuses.iter().all(|row| row.status == "stopped") && !statuses.is_empty(), "{statuses:?}");
        assert_eq!(stage.store.command("s").await.unwrap().unwrap().outcome, "done: stopping in order");
        assert!(collector.command(Command::new("t", Action::Shutdown)).await.is_none());

        stage.start().await;
        let again = ask(&stage, json!({"id": "s", "command": "shutdown"})).await;
        assert!(again.repeated && again.ok);
        stage.pass(minutes(1)).await;
        assert!(stage.is_live("kraken:BTC/USD"), "a stop is carried out once by its id");
    });
}

#[test]
fn a_stop_that_cannot_be_recorded_is_not_begun() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.store.script(|call| match call {
            StoreCall::RecordCommand(_) => Deed::Fail,
            _ => Deed::Proceed,
        });
        let reply = ask(&stage, json!({"id": "s", "command": "shutdown"})).await;
        assert_eq!(refusal(&reply).0, RefusalKind::Store);
        stage.pass(seconds(30)).await;
        assert!(stage.is_streaming("kraken:BTC/USD"));
    });
}
