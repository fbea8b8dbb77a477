//! The commands of docs/operating.md, run as they stand there: backup and restore of both databases
//! beside a collector that writes, and the way from one to the other. Only places are exchanged, and
//! `systemctl` starts and stops the program directly.

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use candlewick::config::Config;
use candlewick::market::Span;
use candlewick::store::inventory::inventory;
use candlewick::store::{self, Access, CandleQuery, Store, StoredCandle};
use chrono::{DateTime, TimeDelta, Utc};
use postgres::{ESCAPED_PASSWORD, PASSWORD, Server, USER};
use program::{PATIENCE, Running, finished, simulator, text};
use tempfile::TempDir;

type Bar = (DateTime<Utc>, [f64; 5]);

const DOCUMENT: &str = include_str!("../docs/operating.md");
const UNIT: &str = include_str!("../deploy/candlewick.service");

/// A machine as the document takes it to be.
struct Machine {
    folder: TempDir,
    /// What stands in the document, and what it is here.
    places: Vec<(&'static str, String)>,
    database: String,
    simulated: String,
    daemon: Option<Running>,
    _simulator: Running,
}

impl Machine {
    /// A machine whose collector keeps `database` (as the document writes it), where time runs `speed`
    /// times as fast as it does for the other commands.
    fn new(database: &str, speed: &str, mut places: Vec<(&'static str, String)>) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        let folders = [("/var/lib/candlewick", "state"), ("/var/backups", "backups"), ("/etc/candlewick", "settings")];
        for (there, name) in folders {
            let here = folder.path().join(name);
            fs::create_dir(&here).unwrap();
            places.push((there, here.display().to_string()));
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_candlewick"), folder.path().join("bin/candlewick")).unwrap();
        let (running, line) = simulator(&["--speed", speed]);
        let simulated = line.split_whitespace().next().unwrap().to_owned();
        let mut machine =
            Machine { folder, places, database: String::new(), simulated, daemon: None, _simulator: running };
        machine.database = machine.here(database);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        machine.places.push(("127.0.0.1:8790", format!("127.0.0.1:{port}")));
        let config = format!(
            "database = \"{}\"\n[web]\nlisten = \"127.0.0.1:8790\"\n[spool]\nfolder = \"/var/lib/candlewick\"\n",
            machine.database
        );
        fs::write(machine.config(), machine.here(&config)).unwrap();
        machine
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("settings/candlewick.toml")
    }

    /// A text of the document with this machine's places.
    fn here(&self, text: &str) -> String {
        self.places.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    /// Runs the shell commands of a section's block that contains `part`. Returns what they printed.
    fn follow(&mut self, section: &str, part: &str) -> String {
        self.run(&block(section, "```sh\n", part))
    }

    /// Runs commands, one a line. Returns what they printed.
    fn run(&mut self, commands: &str) -> String {
        let mut printed = String::new();
        for command in commands.lines() {
            match command {
                "systemctl stop candlewick" => self.stop(),
                "systemctl start candlewick" => self.start(),
                command => printed.push_str(&self.shell(command)),
            }
        }
        printed
    }

    fn shell(&self, command: &str) -> String {
        self.try_shell(command).unwrap_or_else(|words| panic!("{command}: {words}"))
    }

    /// What a command printed; what it said when it failed.
    fn try_shell(&self, command: &str) -> Result<String, String> {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}/bin:{}:{path}", self.folder.path().display(), postgres::programs().display());
        let ran = Command::new("sh")
            .args(["-ec", &self.here(command)])
            .current_dir(self.folder.path())
            .envs([("PATH", path.as_str()), ("PGPASSWORD", PASSWORD)])
            .env("CANDLEWICK_CONFIG", self.config())
            .env_remove("CANDLEWICK_DATABASE")
            .output()
            .unwrap();
        let (said, words) = (text(&ran.stdout), text(&ran.stderr));
        if ran.status.success() { Ok(said + &words) } else { Err(said + &words) }
    }

    fn start(&mut self) {
        let config = self.config().display().to_string();
        let arguments = ["run", "--config", &config, "--database", &self.database, "--simulator", &self.simulated];
        let daemon = Running::start(&arguments);
        daemon.wait_for_words("collecting");
        self.daemon = Some(daemon);
    }

    fn stop(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.signal("TERM");
        assert_eq!(daemon.exit_code(), Some(0));
    }
}

/// A fenced block of a section that contains `part`.
fn block(section: &str, fence: &str, part: &str) -> String {
    let (_, rest) = DOCUMENT.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let own = rest.split("\n## ").next().unwrap();
    let mut blocks = own.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|commands| commands.contains(part)).expect("the block is there").to_owned()
}

async fn open(url: &str) -> std::sync::Arc<dyn Store> {
    store::open(url, Access::ReadOnly).await.unwrap()
}

/// Two hours of minutes of two exchanges, wanted the way the document wants them.
fn want(machine: &Machine) {
    let from = (Utc::now() - TimeDelta::hours(2)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for symbol in ["kraken BTC/USD", "binance BTC/USDT"] {
        machine.shell(&format!("candlewick symbols add {symbol} -t 1m --from {from} --database {}", machine.database));
    }
}

/// Waits until both series lack nothing before `until`.
async fn complete_to(url: &str, until: DateTime<Utc>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let store = open(url).await;
        let rows = inventory(&*store, until, |_| true).await.unwrap();
        if rows.len() == 2 && rows.iter().all(|row| row.covered_percent == 100.0) {
            return;
        }
        assert!(Instant::now() < deadline, "not complete to {until}: {rows:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Opening, prices and volume of all candles before `until`, by exchange.
async fn candles(url: &str, until: DateTime<Utc>) -> BTreeMap<String, Vec<Bar>> {
    let store = open(url).await;
    let mut found = BTreeMap::new();
    for symbol in store.symbols().await.unwrap() {
        let series = store.series_of(symbol.id).await.unwrap();
        // A symbol that nobody has collected has none.
        let Some(series) = series.first() else { continue };
        let query = CandleQuery { span: Span::new(DateTime::UNIX_EPOCH, until), limit: None, newest_first: false };
        let stored = store.candles(series.id, query).await.unwrap();
        let bars = stored.iter().map(|StoredCandle { candle, .. }| {
            (candle.open_time, [candle.open, candle.high, candle.low, candle.close, candle.volume])
        });
        found.insert(symbol.exchange, bars.collect());
    }
    found
}

/// A backup beside a collector that goes on for twelve minutes of its time; then the restore, after
/// which the collector fetches what the backup lacks. `section` tells how.
async fn back_and_forth(machine: &mut Machine, section: &str, make: &str, restore: &str) {
    let url = machine.database.clone();
    let now = DateTime::from_timestamp(Utc::now().timestamp().div_euclid(60) * 60, 0).unwrap();
    let later = now + TimeDelta::minutes(12);
    want(machine);
    machine.start();
    complete_to(&url, now).await;
    let said = machine.follow(section, make);
    complete_to(&url, later).await;
    let before = candles(&url, later).await;
    assert_eq!(before["binance"].len(), 132, "one for every minute: {said}");

    let commands = block(section, "```sh\n", restore);
    if restore == "pg_restore" {
        let (_, early) = commands.split_once("systemctl stop candlewick\n").unwrap();
        let refused = machine.try_shell(early.lines().next().unwrap()).unwrap_err();
        assert!(refused.contains("is being accessed by other users"), "{refused}");
        let dump = block(section, "```sh\n", make).replace("backup@", "collector@").replace(".dump", ".none");
        let refused = machine.try_shell(&dump).unwrap_err();
        assert!(refused.contains("permission denied for sequence"), "{refused}");
    }
    let (commands, _) = commands.split_once("systemctl start candlewick\n").unwrap();
    machine.run(commands);
    let restored = candles(&url, later).await;
    assert!((120..132).contains(&restored["binance"].len()), "what came after the backup is gone");
    machine.start();
    complete_to(&url, later).await;
    assert!(candles(&url, later).await == before, "what is there again differs");
    let said = machine.follow(section, restore);
    assert!(said.contains("agrees with what is stored"), "{said}");
    complete_to(&url, later).await;
    machine.stop();
}

#[test]
fn the_first_steps_lead_to_a_collector_that_answers() {
    let mut machine = Machine::new("sqlite:///var/lib/candlewick/candlewick.db", "60", Vec::new());
    let said = machine.follow("Install", "config check");
    assert!(said.contains("candlewick.toml is ok") && said.contains("kraken BTC/USD added"), "{said}");
    machine.start();
    // `/live` answers before anything is stored.
    program::wait_for("the first candle", || {
        machine.shell("candlewick status").contains("kraken:BTC/USD").then_some(())
    });
    let said = machine.follow("Watching", "/ready");
    for part in ["{\"live\":true}", "\"ready\":", "candlewick_collector_up 1", "kraken:BTC/USD", "verified: "] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    machine.stop();
}

#[tokio::test]
async fn a_backup_of_sqlite_beside_a_collector_is_restored_and_heals() {
    let mut machine = Machine::new("sqlite:///var/lib/candlewick/candlewick.db", "60", Vec::new());
    back_and_forth(&mut machine, "SQLite: backup and restore", "VACUUM INTO", "cp ").await;
}

/// A server on which docs/postgresql.md and docs/operating.md were followed, for what is called
/// `candles` there. Returns what stands in the documents, and what it is here.
fn prepared(server: &Server) -> Vec<(&'static str, String)> {
    let password = |sql: &str| sql.replace("'...'", &format!("'{PASSWORD}'"));
    let document = include_str!("../docs/postgresql.md");
    let blocks: Vec<_> = document.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    for statement in blocks[0].lines() {
        server.sql("postgres", &password(statement));
    }
    let url = server.url("candles").replace(&format!("//{USER}:"), "//candles_owner:");
    assert_eq!(finished(&["migrate", "--database", &url]).status.code(), Some(0));
    server.sql("candles", &password(blocks[1]));
    server.sql("candles", &password(&block("PostgreSQL: backup and restore", "```sql\n", "backup")));
    let (_, address) =
        server.shown("candles").rsplit_once('@').map(|(user, rest)| (user.to_owned(), rest.to_owned())).unwrap();
    let host = address.split('/').next().unwrap().to_owned();
    vec![("postgres://postgres@", format!("postgres://{USER}@")), ("db.example.org", host)]
}

#[tokio::test]
async fn a_dump_of_postgresql_beside_a_collector_is_restored_and_heals() {
    let server = Server::start(&[]);
    let places = prepared(&server);
    let mut machine = Machine::new("postgres://collector@db.example.org/candles", "60", places);
    machine.database = machine.database.replace("//collector@", &format!("//collector:{ESCAPED_PASSWORD}@"));
    let fence = || server.sql("candles", "SELECT fence FROM collector_lock").parse::<i64>().unwrap();
    back_and_forth(&mut machine, "PostgreSQL: backup and restore", "pg_dump", "pg_restore").await;
    // The dump was made in the first life, and each life after a restore counted on from there.
    assert_eq!(fence(), 2);
}

#[tokio::test]
async fn what_is_wanted_moves_from_sqlite_to_postgresql_and_candles_are_carried_over() {
    let server = Server::start(&[]);
    let places = prepared(&server);
    let mut machine = Machine::new("sqlite:///var/lib/candlewick/candlewick.db", "1", places);
    let url = machine.database.clone();
    let now = DateTime::from_timestamp(Utc::now().timestamp().div_euclid(60) * 60, 0).unwrap();
    want(&machine);
    machine.start();
    complete_to(&url, now).await;
    machine.stop();
    let section = "From SQLite to PostgreSQL";
    let said = machine.follow(section, "symbols import");
    assert!(said.contains("2 symbols"), "{said}");
    machine.follow(section, "--complete");
    let moved = candles(&server.url("candles"), now).await;
    assert!(moved["kraken"] == candles(&url, now).await["kraken"], "what was carried over differs");
    assert_eq!(moved["kraken"].len(), 120);
}

#[test]
fn a_service_has_more_time_to_stop_than_the_collector_takes() {
    let setting = |name: &str| UNIT.lines().find_map(|line| line.strip_prefix(name)).expect("it is set");
    let seconds: u64 = setting("TimeoutStopSec=").strip_suffix('s').unwrap().parse().unwrap();
    assert!(Duration::from_secs(seconds) > 2 * Config::default().shutdown.deadline);
    assert_eq!(setting("KillSignal="), "SIGTERM");
    assert_eq!(setting("RestartPreventExitStatus="), "2");
}
