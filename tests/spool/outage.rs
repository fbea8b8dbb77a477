//! An hour without the database, and a daemon that is killed in the midst of it and started again
//! before it is over: real processes, sockets and servers.

use std::thread;
use std::time::{Duration, Instant};

use candlewick::market::Span;
use candlewick::store::inventory::inventory;
use candlewick::store::{self, Access, Store};
use chrono::{DateTime, TimeDelta, Utc};

use crate::check::{self, Checked};
use crate::postgres::{Server, name};
use crate::program::{Running, finished, text, wait_for};
use crate::simulated::Simulated;
use crate::{spool, trades};

/// Simulated seconds in a second.
const SPEED: u64 = 120;
/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is wanted: exchanges that stream candles and one that does not, timeframes that are derived,
/// and trades that no REST call gives again.
const WISHES: [&str; 6] = [
    "kraken,BTC/USD,\"1m,5m\",false",
    "kraken,ETH/USD,1m,false",
    "binance,BTC/USDT,\"1m,5m,1h\",false",
    "binance,ETH/USDT,1m,true",
    "bybit,BTC/USDT,1m,true",
    "hyperliquid,BTC/USDC:USDC,1m,true",
];

fn wait_until(simulated: &Simulated, time: DateTime<Utc>, daemon: &mut Running) {
    while simulated.now() < time {
        assert_eq!(daemon.child.try_wait().unwrap(), None, "it died by itself: {}", daemon.words.lock().unwrap());
        thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until everything before `until` is held or known to be unavailable.
async fn whole(store: &dyn Store, until: DateTime<Utc>, daemon: &Running) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open: Vec<_> = inventory(store, until, |_| true)
            .await
            .unwrap()
            .into_iter()
            .filter(|s| s.covered_percent < 100.0)
            .collect();
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "not whole: {open:#?}\n{}", daemon.words.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn after_an_hour_without_the_database_and_a_kill_every_candle_is_there_once_and_nothing_is_spooled() {
    let mut server = Server::start(&[]);
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    // Waits for the network are not scaled.
    let patience = "connect_timeout = \"2s\"\nread_timeout = \"2s\"\ntotal_timeout = \"4s\"\n";
    let place = format!("[transport]\n{patience}[spool]\nfolder = {:?}\npatience = \"1s\"\n", folder.path());
    let config = file("candlewick.toml", &place);
    let simulated = Simulated::start(SPEED, &["--exchanges", "kraken,binance,bybit,hyperliquid", "--symbols", "4"]);
    let from = simulated.now() - TimeDelta::hours(5);
    let rows = WISHES.map(|wish| format!("{wish},{}\n", from.format("%FT%TZ")));
    let wishes = format!("exchange,symbol,timeframes,trades,from\n{}", rows.concat());
    let imported = finished(&["symbols", "import", &file("symbols.csv", &wishes), "--database", &database]);
    assert_eq!(imported.status.code(), Some(0), "{}", text(&imported.stderr));
    let run = || Running::start(&["run", "--config", &config, "--database", &database, "--simulator", &simulated.url]);
    let waiting = |name: &str| {
        let files = std::fs::read_dir(folder.path()).unwrap().flatten();
        files
            .filter(|file| file.file_name().to_string_lossy().ends_with(name))
            .map(|file| file.metadata().unwrap().len())
            .sum::<u64>()
    };

    let mut daemon = run();
    let store = store::open(&database, Access::ReadOnly).await.unwrap();
    let first = simulated.now();
    whole(&*store, first, &daemon).await;
    let streamed = "SELECT count(*) FROM process_status WHERE mode = 'live_websocket'";
    wait_for("streams", || (server.sql(name(&database), streamed) == "6").then_some(()));

    let away = simulated.now();
    server.stop();
    wait_until(&simulated, away + TimeDelta::minutes(30), &mut daemon);
    assert!(waiting(".spool-wal") + waiting(".spool") > 0);
    let killed = simulated.now();
    daemon.signal("KILL");
    assert_eq!(daemon.exit_code(), None);
    let mut daemon = run();
    daemon.wait_for_words("waiting for the database");
    wait_until(&simulated, away + TimeDelta::minutes(60), &mut daemon);
    server.resume();
    daemon.wait_for_words("replaying what an earlier life could not write");
    daemon.wait_for_words("the store has everything that waited in the spool");
    // The second life heals what the first could not see.
    let until = simulated.now();
    whole(&*store, until, &daemon).await;
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0), "{}", daemon.words.lock().unwrap());

    let spooled = spool(folder.path(), store.url()).await.unwrap();
    assert!(spooled.backlog().is_empty(), "{:?}", spooled.backlog().depth());
    let ask = |path: &str| simulated.get(path);
    let mut checked = Checked::default();
    check::structure(&*store, &mut checked).await;
    check::values(&*store, &ask, until, &mut checked).await;
    let counted = trades::check(&*store, &ask, until, &mut checked.violations).await;
    assert!(checked.violations.is_empty(), "{:#?}\n{}", checked.violations, daemon.words.lock().unwrap());
    assert!(checked.candles > 6 * 280, "only {} candles", checked.candles);
    assert!(counted > 1_000, "only {counted} trades");

    // What was streamed in the outage before the kill can only come out of the spool: of its trades
    // this exchange gives but the last ten again.
    let outage = Span::new(away + TimeDelta::minutes(1), killed - TimeDelta::minutes(5));
    let symbols = store.symbols().await.unwrap();
    let row = symbols.iter().find(|row| row.exchange == "hyperliquid").unwrap();
    let coverage = store.trade_coverage(row.id).await.unwrap();
    assert!(coverage.spans.covers(outage), "{outage} is not covered: {coverage:?}");
    let kept = store.trades(row.id, outage).await.unwrap().len();
    assert!(kept > 50, "only {kept} trades");
}

#[test]
fn a_daemon_that_is_stopped_while_the_database_is_away_stops_in_order_and_the_next_one_replays() {
    let mut server = Server::start(&[]);
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("candlewick.toml");
    std::fs::write(&config, format!("[spool]\nfolder = {:?}\n", folder.path())).unwrap();
    let simulated = Simulated::start(SPEED, &["--exchanges", "binance", "--symbols", "2"]);
    let wished = finished(&["symbols", "add", "binance", "BTC/USDT", "-t", "1m", "--trades", "--database", &database]);
    assert_eq!(wished.status.code(), Some(0), "{}", text(&wished.stderr));
    let config = config.to_str().unwrap();
    let run = || Running::start(&["run", "--config", config, "--database", &database, "--simulator", &simulated.url]);
    let mut daemon = run();
    wait_for("trades", || (server.sql(name(&database), "SELECT count(*) FROM trades") != "0").then_some(()));
    server.stop();
    daemon.wait_for_words("the store cannot be written");
    wait_until(&simulated, simulated.now() + TimeDelta::minutes(10), &mut daemon);
    let began = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0), "{}", daemon.words.lock().unwrap());
    assert!(began.elapsed() < Duration::from_secs(9), "nobody waits for the server: {:?}", began.elapsed());
    assert!(!daemon.words.lock().unwrap().contains("in time"), "{}", daemon.words.lock().unwrap());

    server.resume();
    let mut daemon = run();
    daemon.wait_for_words("the store has everything that waited in the spool");
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0), "{}", daemon.words.lock().unwrap());
}
