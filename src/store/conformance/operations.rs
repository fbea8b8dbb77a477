//! Statuses, commands and the lock.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::maybe_done;

use super::super::rows::ASKED;
use super::super::{CommandRow, StatusRow, Store, StoreError};
use super::{minute, ok};

fn status(component: &str) -> StatusRow {
    StatusRow {
        component: component.to_owned(),
        exchange: Some("kraken".to_owned()),
        symbol: Some("BTC/USD".to_owned()),
        status: "running".to_owned(),
        mode: Some("live_websocket".to_owned()),
        phase: "live".to_owned(),
        message: "all is well".to_owned(),
        last_candle: Some(minute(3)),
        lag_ms: Some(1200),
        restarts: 2,
        coverage_percent: Some(99.5),
        created_at: minute(0),
        updated_at: minute(1),
        heartbeat: minute(4),
    }
}

pub(super) async fn statuses_are_replaced_and_removed_by_component(store: Arc<dyn Store>) {
    let bare = StatusRow {
        exchange: None,
        symbol: None,
        mode: None,
        last_candle: None,
        lag_ms: None,
        coverage_percent: None,
        ..status("ohlcv_daemon")
    };
    ok(store.put_statuses(&[bare.clone(), status("kraken:BTC/USD"), status("kraken")]).await);
    let worse = StatusRow { status: "error".to_owned(), ..status("kraken:BTC/USD") };
    ok(store.put_statuses(std::slice::from_ref(&worse)).await);
    assert_eq!(ok(store.statuses().await), [status("kraken"), worse, bare.clone()], "by component");
    ok(store.remove_statuses(&["kraken".to_owned(), "kraken:BTC/USD".to_owned(), "nobody".to_owned()]).await);
    assert_eq!(ok(store.statuses().await), [bare]);
}

pub(super) async fn a_command_is_recorded_once_by_its_id(store: Arc<dyn Store>) {
    let row = CommandRow {
        id: "7f1c".to_owned(),
        kind: "pause".to_owned(),
        body: r#"{"pause":{"exchange":"kraken"}}"#.to_owned(),
        asked_by: "http".to_owned(),
        asked_at: minute(0),
        outcome: "done".to_owned(),
        report: Some(r#"[{"checked":3}]"#.to_owned()),
    };
    assert!(ok(store.record_command(&row).await));
    assert!(!ok(store.record_command(&CommandRow { outcome: "refused: again".to_owned(), ..row.clone() }).await));
    assert_eq!(ok(store.command("7f1c").await), Some(row.clone()), "the first one stays");
    assert_eq!(ok(store.command("7f1d").await), None);
    assert!(ok(store.record_command(&CommandRow { id: "7f1d".to_owned(), ..row }).await));
}

/// An actor that waits for one call polls none of its others meanwhile.
pub(super) async fn a_call_that_nobody_polls_holds_nobody_up(store: Arc<dyn Store>) {
    let row = |id: String| CommandRow {
        id,
        kind: "pause".to_owned(),
        body: "{}".to_owned(),
        asked_by: "cli".to_owned(),
        asked_at: minute(0),
        outcome: "done".to_owned(),
        report: None,
    };
    let rows: Vec<_> = (0..9).map(|n| row(n.to_string())).collect();
    let mut writes: Vec<_> = rows.iter().map(|row| maybe_done(store.record_command(row))).collect();
    let mut reads: Vec<_> = rows.iter().map(|row| maybe_done(store.command(&row.id))).collect();
    // Once each: they are begun, and most of them wait.
    poll_fn(|cx| {
        for call in &mut writes {
            let _is_ready = call.poll_unpin(cx);
        }
        for call in &mut reads {
            let _is_ready = call.poll_unpin(cx);
        }
        Poll::Ready(())
    })
    .await;
    let others = async {
        assert!(ok(store.record_command(&row("new".to_owned())).await));
        assert!(ok(store.command("new").await).is_some());
    };
    let patience = Duration::from_secs(30);
    assert!(tokio::time::timeout(patience, others).await.is_ok(), "calls wait for one that nobody polls");
    for call in &mut writes {
        (&mut *call).await;
        assert_eq!(Pin::new(call).take_output().map(ok), Some(true), "it was carried out once");
    }
    for call in &mut reads {
        (&mut *call).await;
        assert!(Pin::new(call).take_output().is_some_and(|found| found.is_ok()));
    }
}

pub(super) async fn a_command_that_is_asked_in_the_table_is_open_until_it_has_an_outcome(store: Arc<dyn Store>) {
    let row = |id: &str, n: i64, outcome: &str| CommandRow {
        id: id.to_owned(),
        kind: "audit".to_owned(),
        body: "{}".to_owned(),
        asked_by: "cli".to_owned(),
        asked_at: minute(n),
        outcome: outcome.to_owned(),
        report: None,
    };
    for asked in [row("b", 2, ASKED), row("a", 1, ASKED), row("c", 0, "done: before"), row("d", 3, "begun: it")] {
        assert!(ok(store.record_command(&asked).await));
    }
    let open = async || ok(store.open_commands().await).into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(open().await, ["a", "b", "d"], "oldest first");
    assert!(ok(store.record_command(&row("a", 9, "refused: no")).await), "what was asked has an outcome now");
    assert_eq!(ok(store.command("a").await), Some(row("a", 1, "refused: no")));
    assert!(ok(store.record_command(&row("b", 9, "begun: 0 of 7")).await));
    assert!(ok(store.update_command("b", "begun: 3 of 7", None).await));
    assert_eq!(open().await, ["b", "d"]);
    assert!(ok(store.update_command("b", "done: all", Some("[1]")).await));
    assert!(!ok(store.update_command("b", "begun: again", None).await), "what is over stays over");
    let over = CommandRow { report: Some("[1]".to_owned()), ..row("b", 2, "done: all") };
    assert_eq!(ok(store.command("b").await), Some(over));
    assert!(!ok(store.update_command("nobody", "done: all", None).await));
    assert_eq!(open().await, ["d"]);
}

pub(super) async fn the_collector_lock_is_held_once(store: Arc<dyn Store>) {
    let lock = ok(store.lock_collector("the first").await);
    assert!(matches!(store.lock_collector("the second").await, Err(StoreError::Held { .. })));
    drop(lock);
    drop(ok(store.lock_collector("the third").await));
}
