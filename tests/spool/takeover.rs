//! Another collector that takes over while we were away is never overwritten by what we have spooled.

use candlewick::market::Span;
use candlewick::store::{Coverage, LedgerChange, SeriesChange};
use candlewick::supervise::exit::Exit;

use crate::postgres::{Server, name};
use crate::real_time::in_real_time;
use crate::writing::{Desk, PATIENCE, fill_disk, mend_disk};
use crate::{append, minute, minutes, minutes_of, open, own_prices, priced, prices, spool};

#[test]
fn a_writer_that_was_fenced_out_ends_and_writes_nothing_and_its_spool_stays() {
    in_real_time(async {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        let _lock = store.lock_collector("the first").await.unwrap();
        fill_disk(server, name(&url));
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        desk.spooled(&owner, minutes(&btc, 0, 5)).await;
        server.sql(name(&url), "UPDATE collector_lock SET fence = fence + 1, holder = 'the second'");
        mend_disk(server, name(&url));
        let exit = tokio::time::timeout(PATIENCE, desk.exits.recv()).await.unwrap();
        let words = "another collector holds this database (the second); stop it first, or use another --database";
        assert_eq!(exit, Some(Exit::Failed(words.to_owned())));
        assert_eq!(prices(&*store, &btc).await, []);
        assert_eq!(desk.spool.backlog().depth().jobs, 1);
    });
}

#[test]
fn a_database_that_is_not_what_it_was_ends_the_writer_and_the_spool_stays() {
    in_real_time(async {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        fill_disk(server, name(&url));
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        desk.spooled(&owner, minutes(&btc, 0, 5)).await;
        server.sql(name(&url), "ALTER TABLE coverage RENAME TO somewhere_else");
        mend_disk(server, name(&url));
        let exit = tokio::time::timeout(PATIENCE, desk.exits.recv()).await.unwrap();
        let Some(Exit::Failed(words)) = exit else { panic!("{exit:?}") };
        assert!(words.contains("coverage"), "{words}");
        assert_eq!(desk.spool.backlog().depth().jobs, 1, "nothing is dropped");
        assert_eq!(desk.tally.totals().dropped.get("refused_by_store"), None);
    });
}

/// Spools statements under one holding of the lock, lets `between` happen, and replays them.
async fn replayed_after(between: &str) -> (Vec<(i64, f64)>, Vec<(Span, Coverage)>) {
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
    let folder = tempfile::tempdir().unwrap();
    let first = store.lock_collector("the first").await.unwrap();
    let spooled = spool(folder.path(), store.url()).await.unwrap();
    assert!(!spooled.take_up(first.fence()).await.unwrap());
    let span = |from, to| Span::new(minute(from), minute(to));
    // Both know minutes 0 to 4, unverified.
    let mut known = minutes(&btc, 0, 5);
    known.ledger = vec![LedgerChange::Set(span(0, 5), Coverage::Complete { verified: false })];
    store.write(&candlewick::store::WriteBatch { series: vec![known], ..Default::default() }).await.unwrap();
    // We have an older value of minute 2, take minute 4 back, and know minutes 5 to 9.
    let older = SeriesChange { candles: vec![priced(2, 1.0, 1)], ..SeriesChange::new(btc.id) };
    append(&spooled, &owner, older).await;
    let back = LedgerChange::Withdraw(span(4, 5), Coverage::missing("venue_hole"));
    append(&spooled, &owner, SeriesChange { ledger: vec![back], ..SeriesChange::new(btc.id) }).await;
    append(&spooled, &owner, minutes(&btc, 5, 10)).await;
    drop((spooled, first));

    server.sql(name(&url), between);
    let again = store.lock_collector("the first again").await.unwrap();
    let spooled = spool(folder.path(), store.url()).await.unwrap();
    let others_came = spooled.take_up(again.fence()).await.unwrap();
    assert_eq!(others_came, between.starts_with("UPDATE"));
    // A second start does not forget it.
    drop((spooled, again));
    let third = store.lock_collector("the first, once more").await.unwrap();
    let spooled = spool(folder.path(), store.url()).await.unwrap();
    assert!(!spooled.take_up(third.fence()).await.unwrap(), "nobody came since");
    let desk = Desk::start(store.clone(), spooled);
    desk.cleared().await;
    let ledger = store.ledger(btc.id).await.unwrap().into_iter().map(|entry| (entry.span, entry.coverage)).collect();
    (prices(&*store, &btc).await, ledger)
}

#[test]
fn what_is_replayed_after_others_have_had_the_database_only_adds_to_it() {
    in_real_time(async {
        let span = |from, to| Span::new(minute(from), minute(to));
        let complete = |verified| Coverage::Complete { verified };
        let (held, ledger) = replayed_after("SELECT 1").await;
        assert_eq!(held, own_prices(0, 10).into_iter().filter(|(n, _)| *n != 4).collect::<Vec<_>>());
        let missing = Coverage::missing("venue_hole");
        assert_eq!(ledger, [(span(0, 4), complete(false)), (span(4, 5), missing), (span(5, 10), complete(true))]);

        let taken = "UPDATE collector_lock SET fence = fence + 1, holder = 'another one'";
        let (held, ledger) = replayed_after(taken).await;
        assert_eq!(held, own_prices(0, 10), "minute 4 is theirs to take back");
        assert_eq!(ledger, [(span(0, 5), complete(false)), (span(5, 10), complete(true))]);
    });
}
