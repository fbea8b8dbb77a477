//! The program as a process on a server: two collectors, one database.

use crate::postgres::{Server, name};
use crate::program::{Running, finished, simulator, text, wait_for};

#[test]
fn a_daemon_that_was_fenced_out_ends_and_says_who_has_taken_over() {
    let server = Server::shared();
    let url = server.database();
    let (_simulated, line) = simulator(&["--exchanges", "kraken", "--symbols", "2", "--speed", "60"]);
    let simulator = line.split_whitespace().next().unwrap();
    let wished = finished(&["symbols", "add", "kraken", "BTC/USD", "-t", "1m", "--database", &url]);
    assert_eq!(wished.status.code(), Some(0), "{}", text(&wished.stderr));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("candlewick.toml");
    std::fs::write(&config, format!("[spool]\nfolder = {:?}\n", folder.path())).unwrap();
    let run = ["run", "--config", config.to_str().unwrap(), "--database", &url, "--simulator", simulator];
    let mut daemon = Running::start(&run);
    wait_for("candles", || (server.try_sql(name(&url), "SELECT count(*) FROM candles").ok()? != "0").then_some(()));

    let second = finished(&run);
    assert_eq!(second.status.code(), Some(1));
    let words = text(&second.stderr);
    assert!(words.contains("another collector holds this database (pid "), "{words}");

    server.sql(name(&url), "UPDATE collector_lock SET fence = fence + 1, holder = 'the other one'");
    let counted = server.sql(name(&url), "SELECT count(*) FROM candles");
    assert_eq!(daemon.exit_code(), Some(1));
    let words = daemon.words.lock().unwrap().clone();
    assert!(words.contains("another collector holds this database (the other one)"), "{words}");
    assert!(!words.contains("s3cret"), "{words}");
    assert_eq!(server.sql(name(&url), "SELECT count(*) FROM candles"), counted);
}
