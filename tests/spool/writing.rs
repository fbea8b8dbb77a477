//! The writer with a server that goes away, is slow, locked or full: what it acknowledges is safe, in
//! order, and in the database when the server is back.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use candlewick::actors::messages::{SaveError, SaveSymbol, Saved};
use candlewick::actors::writer::{WriterActor, WriterSetup};
use candlewick::config::WriterConfig;
use candlewick::status::Tally;
use candlewick::store::spool::{Owner, Spool};
use candlewick::store::{SeriesChange, Store};
use candlewick::supervise::exit::{ChildExited, Exit, ExitGuard};
use candlewick::supervise::family::Family;
use candlewick::supervise::slot::SlotOwner;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::postgres::{Server, name};
use crate::real_time::in_real_time;
use crate::{LIMIT, held, minute, minutes, minutes_of, open, own_prices, priced, prices, spool};

/// Longest wait for anything; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a write may take.
pub const WRITE_PATIENCE: Duration = Duration::from_millis(500);

struct Parent(UnboundedSender<Exit>);

impl Actor for Parent {
    type Context = Context<Self>;
}

impl Handler<ChildExited<&'static str>> for Parent {
    type Result = ();

    fn handle(&mut self, message: ChildExited<&'static str>, _: &mut Context<Self>) {
        self.0.send(message.exit).unwrap();
    }
}

/// A writer, and everything it stands between.
pub struct Desk {
    pub spool: Arc<Spool>,
    pub tally: Tally,
    pub exits: UnboundedReceiver<Exit>,
    writer: Addr<WriterActor>,
    _parent: Addr<Parent>,
}

impl Desk {
    pub fn start(store: Arc<dyn Store>, spool: Spool) -> Desk {
        let (spool, tally) = (Arc::new(spool), Tally::default());
        let (told, exits) = unbounded_channel();
        let parent = Parent(told).start();
        let batch_age = Duration::from_millis(1);
        let writer = WriterActor::new(WriterSetup {
            store,
            spool: Some(spool.clone()),
            patience: WRITE_PATIENCE,
            config: WriterConfig { batch_rows: 2000, batch_age, queue_messages: 16 },
            tally: tally.clone(),
            publisher: None,
            feed: SlotOwner::default().slot(),
            status: SlotOwner::default().slot(),
            guard: ExitGuard::new("writer", 1, parent.clone().recipient()),
            member: Family::new().1,
        })
        .start();
        Desk { spool, tally, exits, writer, _parent: parent }
    }

    pub async fn save(&self, owner: &Arc<Owner>, change: SeriesChange) -> Result<Saved, SaveError> {
        let message =
            SaveSymbol { owner: owner.clone(), series: Arc::new(vec![change]), trades: None, modes: Vec::new() };
        self.writer.send(message).await.unwrap()
    }

    /// Saves what must go into the spool; gives the ticket.
    pub async fn spooled(&self, owner: &Arc<Owner>, change: SeriesChange) -> i64 {
        let saved = tokio::time::timeout(PATIENCE, self.save(owner, change)).await.expect("an answer");
        let Ok(Saved::Spooled { ticket }) = saved else { panic!("{saved:?}") };
        ticket
    }

    /// Waits until the store has everything.
    pub async fn cleared(&self) {
        let cleared = tokio::time::timeout(PATIENCE, self.spool.backlog().cleared()).await;
        assert_eq!(cleared, Ok(true), "{:?}", self.spool.backlog().depth());
    }

    /// Stops the writer, and gives back what outlives it.
    pub async fn stop(mut self) -> Arc<Spool> {
        self.writer.do_send(candlewick::actors::messages::Stop);
        assert_eq!(tokio::time::timeout(PATIENCE, self.exits.recv()).await.unwrap(), Some(Exit::Finished));
        self.spool
    }
}

#[test]
fn an_outage_is_spooled_and_replayed_first_in_first_out() {
    in_real_time(async {
        let mut server = Server::start(&[]);
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        let (eth, eth_owner) = minutes_of(&*store, "ETH/USD").await;
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        let saved = desk.save(&owner, minutes(&btc, 0, 10)).await.unwrap();
        assert!(matches!(&saved, Saved::Stored(outcomes) if outcomes[0].inserted == 10), "{saved:?}");

        server.stop();
        let mut tickets = Vec::new();
        for n in 10..60 {
            tickets.push(desk.spooled(&owner, minutes(&btc, n, n + 1)).await);
            tickets.push(desk.spooled(&eth_owner, minutes(&eth, n, n + 1)).await);
        }
        // What is corrected afterwards comes afterwards.
        let later = SeriesChange { candles: vec![priced(20, 7.0, 50)], ..SeriesChange::new(btc.id) };
        tickets.push(desk.spooled(&owner, later).await);
        // The state of an open bucket is worth nothing in an hour.
        let forming = SeriesChange { forming: Some(priced(60, 1.0, 0).candle), ..SeriesChange::new(btc.id) };
        assert_eq!(desk.spooled(&owner, forming).await, *tickets.last().unwrap());
        assert!(tickets.is_sorted_by(|a, b| a < b), "{tickets:?}");
        let totals = desk.tally.totals();
        assert_eq!((totals.candles_stored, totals.spool_rows, totals.spool_limit_bytes), (10, 201, LIMIT));
        assert_eq!(totals.spool_bytes, desk.spool.backlog().depth().bytes);
        assert!(totals.write_failures >= 1);

        server.resume();
        desk.cleared().await;
        let mut expected = own_prices(0, 60);
        expected[20].1 = 7.0;
        assert_eq!(prices(&*store, &btc).await, expected);
        assert_eq!(prices(&*store, &eth).await, own_prices(10, 60));
        let ledger = store.ledger(btc.id).await.unwrap();
        assert_eq!(ledger.iter().map(|entry| entry.span).collect::<Vec<_>>(), [minutes(&btc, 0, 60).extent.unwrap().0]);
        // The numbers of changes tell their order.
        let order = server.sql(name(&url), "SELECT string_agg(extract(minute FROM open_time)::text, ',' ORDER BY sequence) FROM candles WHERE series_id = 1 AND sequence > 10");
        let in_order: Vec<_> = (10..60).filter(|n| *n != 20).chain([20]).map(|n| n.to_string()).collect();
        assert_eq!(order, in_order.join(","));
        let totals = desk.tally.totals();
        assert_eq!((totals.candles_stored, totals.revisions), (110, 1));

        let saved = desk.save(&owner, minutes(&btc, 60, 61)).await.unwrap();
        assert!(matches!(saved, Saved::Stored(_)), "straight again: {saved:?}");
        let totals = desk.tally.totals();
        assert_eq!((totals.spool_rows, totals.spool_bytes), (0, 0));
    });
}

#[test]
fn what_a_locked_server_does_not_take_in_time_is_spooled_and_stored_once() {
    in_real_time(async {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        let database = name(&url).to_owned();
        let locking = std::thread::spawn({
            let database = database.clone();
            move || server.try_sql(&database, "BEGIN; LOCK TABLE series; SELECT pg_sleep(600)")
        });
        let holder = "FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'series'::regclass";
        while server.sql(&database, &format!("SELECT count(*) {holder}")) != "1" {}
        for n in 0..5 {
            desk.spooled(&owner, minutes(&btc, n, n + 1)).await;
        }
        assert_eq!(
            server.sql(&database, &format!("SELECT pg_terminate_backend(pid) {holder}")),
            "t",
            "nobody waited for it"
        );
        assert!(locking.join().unwrap().is_err(), "it held the lock to the end");
        desk.cleared().await;
        assert_eq!(prices(&*store, &btc).await, own_prices(0, 5));
        assert!(held(&*store, &btc).await.iter().all(|row| row.revision == 0), "once");
    });
}

#[test]
fn a_slow_server_delays_nobody_and_a_write_that_was_given_up_and_succeeds_counts_once() {
    in_real_time(async {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$; \
                    CREATE TRIGGER slow AFTER INSERT ON candles FOR EACH STATEMENT EXECUTE FUNCTION slow()";
        server.sql(name(&url), slow);
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        for n in 0..4 {
            desk.spooled(&owner, minutes(&btc, n, n + 1)).await;
        }
        server.sql(name(&url), "DROP TRIGGER slow ON candles");
        desk.cleared().await;
        assert_eq!(prices(&*store, &btc).await, own_prices(0, 4));
        let row = store.series_of(btc.symbol).await.unwrap().remove(0);
        assert_eq!(row.last_sequence, 4, "each once");
    });
}

/// Makes every write end as on a server whose disk is full, until it is mended.
pub fn fill_disk(server: &Server, database: &str) {
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ \
                BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
                CREATE TRIGGER full_disk BEFORE INSERT ON candles FOR EACH STATEMENT EXECUTE FUNCTION full_disk()";
    server.sql(database, full);
}

pub fn mend_disk(server: &Server, database: &str) {
    server.sql(database, "DROP TRIGGER full_disk ON candles");
}

#[test]
fn what_a_server_with_a_full_disk_cannot_take_waits_until_there_is_room() {
    in_real_time(async {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        fill_disk(server, name(&url));
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        for n in 0..20 {
            desk.spooled(&owner, minutes(&btc, n, n + 1)).await;
        }
        assert_eq!(prices(&*store, &btc).await, []);
        mend_disk(server, name(&url));
        desk.cleared().await;
        assert_eq!(prices(&*store, &btc).await, own_prices(0, 20));
    });
}

#[test]
fn a_full_spool_lets_senders_wait_and_they_are_answered_when_the_server_is_back() {
    in_real_time(async {
        let server = Server::shared();
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        fill_disk(server, name(&url));
        let folder = tempfile::tempdir().unwrap();
        let small = Spool::open(folder.path(), store.url(), 1).await.unwrap();
        let desk = Desk::start(store.clone(), small);
        desk.spooled(&owner, minutes(&btc, 0, 1)).await;
        let mut waiting = Box::pin(desk.save(&owner, minutes(&btc, 1, 2)));
        let early = tokio::time::timeout(Duration::from_secs(1), &mut waiting).await;
        assert!(early.is_err(), "nothing is acknowledged that is not safe: {early:?}");
        assert_eq!(desk.spool.backlog().depth().jobs, 1);
        mend_disk(server, name(&url));
        let answered = tokio::time::timeout(PATIENCE, waiting).await.expect("an answer");
        assert!(matches!(answered, Ok(Saved::Stored(_) | Saved::Spooled { .. })), "{answered:?}");
        desk.cleared().await;
        assert_eq!(prices(&*store, &btc).await, own_prices(0, 2));
    });
}

#[test]
fn a_change_that_is_refused_for_good_is_split_off_and_counted_and_the_others_are_stored() {
    in_real_time(async {
        let mut server = Server::start(&[]);
        let url = server.database();
        let store = open(&url).await;
        let mut markets = Vec::new();
        for symbol in ["AAA/USD", "BBB/USD", "CCC/USD", "DDD/USD", "EEE/USD"] {
            markets.push(minutes_of(&*store, symbol).await);
        }
        let poisoned = markets[2].0.clone();
        let poison = format!(
            "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.series_id = {} THEN \
             RAISE EXCEPTION 'never' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER poison BEFORE INSERT ON candles FOR EACH ROW EXECUTE FUNCTION poison()",
            poisoned.id.0
        );
        server.sql(name(&url), &poison);
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        server.stop();
        for n in 0..3 {
            for (series, owner) in &markets {
                desk.spooled(owner, minutes(series, n, n + 1)).await;
            }
        }
        server.resume();
        desk.cleared().await;
        for (series, owner) in &markets {
            let is_poisoned = series.id == poisoned.id;
            let expected = if is_poisoned { vec![] } else { own_prices(0, 3) };
            assert_eq!(prices(&*store, series).await, expected);
            assert_eq!(store.ledger(series.id).await.unwrap().is_empty(), is_poisoned, "not covered");
            assert_eq!(desk.spool.backlog().take_refused(owner.symbol), is_poisoned);
        }
        assert_eq!(desk.tally.totals().dropped["refused_by_store"], 3);
        assert_eq!(desk.tally.totals().candles_stored, 12);
    });
}

#[test]
fn a_writer_that_stops_while_the_server_is_away_leaves_everything_to_the_next() {
    in_real_time(async {
        let mut server = Server::start(&[]);
        let url = server.database();
        let store = open(&url).await;
        let (btc, owner) = minutes_of(&*store, "BTC/USD").await;
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::start(store.clone(), spool(folder.path(), store.url()).await.unwrap());
        server.stop();
        desk.spooled(&owner, minutes(&btc, 0, 5)).await;
        drop(desk.stop().await);

        let again = spool(folder.path(), store.url()).await.unwrap();
        assert_eq!(again.backlog().depth().jobs, 1);
        let desk = Desk::start(store.clone(), again);
        // New ones queue up behind the old ones.
        desk.spooled(&owner, minutes(&btc, 5, 6)).await;
        server.resume();
        desk.cleared().await;
        assert_eq!(prices(&*store, &btc).await, own_prices(0, 6));
        assert_eq!(held(&*store, &btc).await[0].candle.open_time, minute(0));
    });
}
