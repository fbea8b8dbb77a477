//! Large batches, repeated keys, and many who write at once.

use std::sync::Arc;

use candlewick::market::{Grid, Span, Timeframe, Trade, TradeId};
use candlewick::store::inventory::{Absence, inventory, verify};
use candlewick::store::{LedgerChange, SeriesChange, StoreError, TradesChange, WriteBatch};
use diesel::Connection;

use crate::postgres::{Server, name};
use crate::{batch, held, minute, minutes, minutes_of, open};

#[tokio::test]
async fn a_hundred_thousand_rows_are_one_batch_like_any_other() {
    const ROWS: i64 = 100_000;
    let server = Server::shared();
    let url = server.database();
    let store = open(&url).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    let outcomes = store.write(&batch(vec![minutes(&series, 0, ROWS)])).await.unwrap();
    assert_eq!((outcomes[0].inserted, outcomes[0].last_sequence), (ROWS as u64, ROWS));
    assert_eq!(held(&*store, &series).await, (ROWS as usize, 1));
    let row = store.series_of(series.symbol).await.unwrap().remove(0);
    let violations = verify(&*store, &row, Grid::utc(Timeframe::M1), Absence::Forbidden, minute(0)).await.unwrap();
    assert_eq!(violations, []);

    // Written again they cost no write: no version of a row is newer than it was.
    let newest = "SELECT max(xmin::text::bigint) FROM candles";
    let before = server.sql(name(&url), newest);
    let outcomes = store.write(&batch(vec![minutes(&series, 0, ROWS)])).await.unwrap();
    assert_eq!((outcomes[0].inserted, outcomes[0].unchanged), (0, ROWS as u64));
    assert_eq!(server.sql(name(&url), newest), before);
}

#[tokio::test]
async fn keys_that_come_twice_in_a_batch_are_one_row() {
    let server = Server::shared();
    let store = open(&server.database()).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    let mut change = minutes(&series, 0, 50);
    change.candles.extend(minutes(&series, 0, 50).candles);
    let mut again = minutes(&series, 20, 60);
    for new in &mut again.candles {
        new.candle.close = 101.0;
        new.candle.high = 101.0;
    }
    let outcomes = store.write(&batch(vec![change, again])).await.unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.inserted).sum::<u64>(), 60);
    assert_eq!(outcomes[1].revisions.len(), 30);
    assert_eq!(held(&*store, &series).await, (60, 1));

    let trade = |id: u64| Trade {
        id: TradeId::Number(id),
        last_id: TradeId::Number(id),
        time: minute(0),
        price: "1.50".parse().unwrap(),
        amount: "2".parse().unwrap(),
        side: None,
    };
    let change =
        TradesChange { trades: (0..6000).map(|n| trade(n % 2000)).collect(), ..TradesChange::new(series.symbol) };
    store.write(&WriteBatch { trades: vec![change], ..WriteBatch::default() }).await.unwrap();
    let span = Span::new(minute(0), minute(1));
    assert_eq!(store.trades(series.symbol, span).await.unwrap().len(), 2000);
}

#[tokio::test]
async fn a_row_that_is_deleted_by_hand_while_it_is_corrected_is_there_afterwards() {
    // Many rows of one series are updated by key, few are inserted and conflict.
    for rows in [10, 200] {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let series = minutes_of(&*store, "BTC/USD").await;
        store.write(&batch(vec![minutes(&series, 0, rows)])).await.unwrap();
        // Between the reading of the rows that a batch meets and their correction.
        let delete = format!("DELETE FROM candles WHERE open_time = '{}' AND revision = 0", minute(4).to_rfc3339());
        server.sql(
            name(&url),
            &format!(
                "CREATE FUNCTION by_hand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {delete}; RETURN NULL; END $$;
                 CREATE TRIGGER by_hand AFTER INSERT ON candles FOR EACH STATEMENT EXECUTE FUNCTION by_hand()"
            ),
        );
        let mut again = minutes(&series, 0, rows + 2);
        for new in &mut again.candles[..rows as usize] {
            new.candle.close = 101.0;
            new.candle.high = 101.0;
        }
        let outcomes = store.write(&batch(vec![again])).await.unwrap();
        assert_eq!((outcomes[0].inserted, outcomes[0].revisions.len()), (2, rows as usize));
        assert_eq!(held(&*store, &series).await, (rows as usize + 2, 1));
        let closes = "SELECT count(*) FROM candles WHERE close = 101 AND revision = 1";
        assert_eq!(server.sql(name(&url), closes), rows.to_string());
        let kept =
            "SELECT count(*) || ' of ' || min(close) || ' to ' || max(close) FROM candle_revisions WHERE revision = 0";
        assert_eq!(server.sql(name(&url), kept), format!("{rows} of 100 to 100"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_of_the_same_ledgers_neither_lose_a_word_nor_wait_in_a_circle() {
    const WRITERS: i64 = 8;
    const ROUNDS: i64 = 12;
    let url = Server::shared().database();
    let mut stores = Vec::new();
    for _ in 0..WRITERS {
        stores.push(open(&url).await);
    }
    let mut all = Vec::new();
    for symbol in ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD"] {
        all.push(minutes_of(&*stores[0], symbol).await);
    }
    let all = Arc::new(all);
    let tasks: Vec<_> = (0..WRITERS)
        .zip(&stores)
        .map(|(writer, store)| {
            let (store, all) = (Arc::clone(store), Arc::clone(&all));
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let n = round * WRITERS + writer;
                    let mut changes: Vec<SeriesChange> = all.iter().map(|series| minutes(series, n, n + 1)).collect();
                    // In an order of its own, as if it knew nothing of the others.
                    changes.rotate_left((n % 4) as usize);
                    if writer % 2 == 1 {
                        changes.reverse();
                    }
                    for change in &mut changes {
                        change.ledger.push(LedgerChange::Unverify(Span::new(minute(n), minute(n + 1))));
                    }
                    store.write(&batch(changes)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let total = WRITERS * ROUNDS;
    for series in all.iter() {
        let row = stores[0].series_of(series.symbol).await.unwrap().remove(0);
        assert_eq!(row.last_sequence, total);
        assert_eq!(row.observed_until, Some(minute(total)));
        assert_eq!(held(&*stores[0], series).await, (total as usize, 1));
    }
    let rows = inventory(&*stores[0], minute(total), |_| true).await.unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert_eq!((row.covered_percent, row.verified_percent, row.lag), (100.0, 0.0, None));
        assert_eq!((row.first_candle, row.last_candle), (Some(minute(0)), Some(minute(total - 1))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_held_too_long_is_named_and_readers_do_not_wait_for_it() {
    use diesel::connection::SimpleConnection;
    use diesel_async::AsyncPgConnection;
    use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

    let url = Server::shared().database();
    let store = open(&url).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    let (go, stopped) = std::sync::mpsc::channel::<()>();
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let other = tokio::task::spawn_blocking(move || {
        let mut other = AsyncConnectionWrapper::<AsyncPgConnection>::establish(&url).unwrap();
        other.batch_execute("BEGIN; SELECT FROM series FOR UPDATE").unwrap();
        locked.send(()).unwrap();
        stopped.recv().unwrap();
        other.batch_execute("ROLLBACK").unwrap();
    });
    is_locked.await.unwrap();
    let writing = batch(vec![minutes(&series, 0, 10)]);
    let (error, read) = tokio::join!(store.write(&writing), held(&*store, &series));
    assert_eq!(read, (0, 0));
    let error = error.unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)) && error.is_transient(), "{error:?}");
    go.send(()).unwrap();
    other.await.unwrap();
    store.write(&writing).await.unwrap();
    assert_eq!(held(&*store, &series).await, (10, 1));
}
