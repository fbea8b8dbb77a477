//! A server that goes away and comes back, and collectors that lose it.

use std::time::{Duration, Instant};

use candlewick::store::StoreError;

use crate::postgres::{Server, name};
use crate::{batch, held, minutes, minutes_of, open};

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error @ StoreError::Unavailable { .. }) if error.is_transient())
}

#[tokio::test]
async fn a_server_that_went_away_is_unavailable_and_the_next_call_after_its_return_connects() {
    let mut server = Server::start(&[]);
    let url = server.database();
    let store = open(&url).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    store.write(&batch(vec![minutes(&series, 0, 10)])).await.unwrap();
    assert_eq!(held(&*store, &series).await, (10, 1));

    server.stop();
    let began = Instant::now();
    for _ in 0..3 {
        let written = store.write(&batch(vec![minutes(&series, 10, 20)])).await;
        assert!(is_unavailable(&written), "{written:?}");
        let read = store.ledger(series.id).await;
        assert!(is_unavailable(&read), "{read:?}");
    }
    let words = store.exchanges().await.unwrap_err().to_string();
    let shown = server.shown(name(&url));
    assert!(words.starts_with(&format!("cannot open {shown}: ")), "{words}");
    assert!(words.ends_with("; does PostgreSQL run there?"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for a server that is not there");

    server.resume();
    store.write(&batch(vec![minutes(&series, 10, 20)])).await.unwrap();
    assert_eq!(held(&*store, &series).await, (20, 1));
}

#[tokio::test]
async fn a_session_that_is_ended_costs_one_call_at_most() {
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    // Waits until they are gone.
    let end_all = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'candlewick'";
    for n in 0..5 {
        server.sql(name(&url), end_all);
        let first = store.write(&batch(vec![minutes(&series, n, n + 1)])).await;
        assert!(first.is_ok() || is_unavailable(&first), "{first:?}");
        store.write(&batch(vec![minutes(&series, n, n + 1)])).await.unwrap();
    }
    assert_eq!(held(&*store, &series).await, (5, 1));
}

#[tokio::test]
async fn work_whose_caller_is_gone_is_finished() {
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    for n in 0..20 {
        let change = batch(vec![minutes(&series, n * 100, (n + 1) * 100)]);
        let mut writing = Box::pin(store.write(&change));
        assert!(futures_util::poll!(&mut writing).is_pending());
        tokio::time::sleep(Duration::from_millis(n as u64)).await;
        drop(writing);
    }
    // The writer is one: whatever was begun before this is through after it.
    store.write(&batch(vec![minutes(&series, 0, 1)])).await.unwrap();
    let row = store.series_of(series.symbol).await.unwrap().remove(0);
    let (candles, _) = held(&*store, &series).await;
    assert_eq!((candles % 100, row.last_sequence), (0, candles as i64), "whole transactions only");
    assert!(candles > 0);
}

#[test]
fn a_store_works_on_whatever_runtime_asks_and_outlives_the_one_it_was_opened_on() {
    let url = Server::shared().database();
    let one_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let opener = one_thread();
    let store = opener.block_on(open(&url));
    let series = opener.block_on(minutes_of(&*store, "BTC/USD"));
    drop(opener);
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    many.block_on(async { store.write(&batch(vec![minutes(&series, 0, 10)])).await }).unwrap();
    assert_eq!(one_thread().block_on(held(&*store, &series)), (10, 1));
    // Dropped inside a runtime, as an actor's would be.
    one_thread().block_on(async move { drop(store) });
}

#[tokio::test]
async fn a_collector_that_lost_its_lock_cannot_write_after_another_has_taken_over() {
    let server = Server::shared();
    let url = server.database();
    let (first, second) = (open(&url).await, open(&url).await);
    let series = minutes_of(&*first, "BTC/USD").await;
    let first_lock = first.lock_collector("the first").await.unwrap();
    first.write(&batch(vec![minutes(&series, 0, 10)])).await.unwrap();
    let Err(StoreError::Held { holder }) = second.lock_collector("the second").await else { panic!("locked twice") };
    assert!(holder.starts_with(&format!("pid {}, since 2", std::process::id())), "{holder}");
    assert!(holder.ends_with(": the first"), "{holder}");

    // Its connections die; nobody else comes: it goes on.
    let end_holder = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(server.sql(name(&url), end_holder), "t");
    let holders = end_holder.replace("pg_terminate_backend(pid)", "count(*)");
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.sql(name(&url), &holders) != "1" {
        // It takes the lock again when it has noticed; until then its number is good.
        first.write(&batch(vec![minutes(&series, 10, 20)])).await.unwrap();
        assert!(Instant::now() < deadline, "the lock was not taken again");
    }
    assert!(second.lock_collector("the second").await.is_err(), "it has taken its lock again");

    // They die, and somebody else is faster.
    let thief = "UPDATE collector_lock SET fence = fence + 1, holder = 'the thief'";
    server.sql(name(&url), end_holder);
    server.sql(name(&url), thief);
    for _ in 0..2 {
        let error = first.write(&batch(vec![minutes(&series, 20, 30)])).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "another collector holds this database (the thief); stop it first, or use another --database"
        );
        assert!(!error.is_transient());
    }
    assert_eq!(held(&*first, &series).await, (20, 1), "reading is allowed, and nothing was written");
    drop(first_lock);

    let second_lock = second.lock_collector("the second").await.unwrap();
    second.write(&batch(vec![minutes(&series, 20, 30)])).await.unwrap();
    assert_eq!(server.sql(name(&url), "SELECT fence FROM collector_lock"), "3");
    drop(second_lock);
    drop(first.lock_collector("the first again").await.unwrap());
}

#[tokio::test]
async fn a_takeover_waits_for_a_transaction_that_has_seen_its_number() {
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    let _lock = store.lock_collector("the first").await.unwrap();
    let takeover = "UPDATE collector_lock SET fence = fence + 1, holder = 'the second'";
    let writing = async {
        let mut done = 0;
        for n in 0..200 {
            match store.write(&batch(vec![minutes(&series, n * 50, (n + 1) * 50)])).await {
                Ok(_) => done += 1,
                Err(StoreError::Held { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        done
    };
    let taking = tokio::task::spawn_blocking({
        let database = name(&url).to_owned();
        move || {
            std::thread::sleep(Duration::from_millis(60));
            // At the moment of the takeover everything that will ever be there is there.
            server.sql(&database, &format!("BEGIN; {takeover}; SELECT count(*) FROM candles; COMMIT"))
        }
    });
    let (done, counted) = tokio::join!(writing, taking);
    assert!(done < 200, "the takeover came in between");
    assert_eq!(counted.unwrap(), (done * 50).to_string());
    assert_eq!(held(&*store, &series).await.0, done as usize * 50);
}
