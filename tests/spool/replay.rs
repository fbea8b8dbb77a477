//! A replay that was cut off, and a spool that comes to the wrong database.

use candlewick::store::spool::SpoolError;
use candlewick::store::{SeriesChange, WriteBatch};

use crate::postgres::{Server, name};
use crate::real_time::in_real_time;
use crate::writing::Desk;
use crate::{append, minutes, minutes_of, open, own_prices, priced, prices, spool};

#[test]
fn killed_between_the_servers_commit_and_the_spools_removal_it_is_replayed_twice_and_changes_nothing() {
    in_real_time(async {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        let folder = tempfile::tempdir().unwrap();
        let before = spool(folder.path(), store.url()).await.unwrap();
        let corrected = SeriesChange { candles: vec![priced(3, 7.0, 50)], ..SeriesChange::new(btc.id) };
        let jobs = [minutes(&btc, 0, 10), corrected, minutes(&btc, 10, 12)];
        for job in &jobs {
            append(&before, &owner, job.clone()).await;
        }
        // As a life would that is killed before it has removed anything.
        for series in jobs {
            store.write(&WriteBatch { series: vec![series], ..WriteBatch::default() }).await.unwrap();
        }
        drop(before);
        let rows = "SELECT string_agg(candles::text, ';' ORDER BY open_time) FROM candles";
        let revisions = "SELECT count(*) FROM candle_revisions";
        let ledger = "SELECT string_agg(coverage::text, ';' ORDER BY from_time) FROM coverage";
        let all = |sql: &str| server.sql(name(&url), sql);
        let stored = [all(rows), all(revisions), all(ledger)];

        let desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        desk.cleared().await;
        assert_eq!([all(rows), all(revisions), all(ledger)], stored);
        let mut expected = own_prices(0, 12);
        expected[3].1 = 7.0;
        assert_eq!(prices(&*store, &btc).await, expected);
        assert_eq!(desk.tally.totals().candles_stored, 0, "nothing was new");
    });
}

#[test]
fn a_spool_of_another_database_is_not_replayed() {
    in_real_time(async {
        let server = Server::shared();
        let (own, other) = (open(&server.database()).await, open(&server.database()).await);
        let (btc, owner) = minutes_of(&*own, "BTC/USD").await;
        // The same keys, another market.
        let (eth, _) = minutes_of(&*other, "ETH/USD").await;
        assert_eq!((btc.id, btc.symbol), (eth.id, eth.symbol));
        let folder = tempfile::tempdir().unwrap();
        let spooled = spool(folder.path(), own.url()).await.unwrap();
        append(&spooled, &owner, minutes(&btc, 0, 5)).await;
        let error = spooled.belongs_to(&*other).await.unwrap_err();
        assert!(matches!(&error, SpoolError::OtherDatabase { .. }) && !error.is_transient(), "{error:?}");
        let words = error.to_string();
        let path = spooled.path().display();
        let begin = format!(
            "the spool {path} belongs to another database (it holds rows of kraken BTC/USD, which has other keys here)"
        );
        assert!(words.starts_with(&begin), "{words}");
        assert_eq!(spooled.backlog().depth().jobs, 1, "nothing was dropped");
        spooled.belongs_to(&*own).await.unwrap();

        // A symbol that is not wanted any more keeps its series, and what waits for them.
        assert!(own.remove_symbol("kraken", &"BTC/USD".parse().unwrap()).await.unwrap());
        spooled.belongs_to(&*own).await.unwrap();
        let desk = Desk::start(own.clone(), spooled);
        desk.cleared().await;
        assert_eq!(prices(&*own, &btc).await, own_prices(0, 5));
    });
}
