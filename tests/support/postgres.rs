//! A PostgreSQL server of the test's own: a cluster in a temporary folder, on a free port and a
//! socket, gone when the test is, however that ends.
//!
//! The programs are Debian's (`postgresql`); `tests/servers.sh` installs them. The server refuses
//! to run as root: then it runs as nobody.
#![allow(dead_code)] // used by several test files, not all of it by each

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The superuser of every cluster; over TCP it must give its password.
pub const USER: &str = "candlewick";
/// With characters that must be escaped in a URL.
pub const PASSWORD: &str = "s3cret/@:%";
pub const ESCAPED_PASSWORD: &str = "s3cret%2F%40%3A%25";

const NOBODY: u32 = 65534;
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the newest installed version's programs.
pub fn programs() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let version = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
        let newest = versions.filter(|folder| folder.join("bin/initdb").exists()).max_by_key(version);
        let debian = newest.map(|folder| folder.join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let elsewhere = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
        debian.or_else(elsewhere).expect(
            "this test needs PostgreSQL's programs, which are not installed; run this once: sudo tests/servers.sh",
        )
    })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Starts a process that gets a signal when this one ends. The kernel sends it when the *thread*
/// that started it ends, so one thread starts them all and never ends.
fn spawn_kept(command: Command) -> Child {
    type Job = (Command, Sender<std::io::Result<Child>>);
    static KEEPER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, todo) = channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in todo {
                reply.send(command.spawn()).unwrap();
            }
        });
        Mutex::new(jobs)
    });
    let (reply, child) = channel();
    keeper.lock().unwrap().send((command, reply)).unwrap();
    child.recv().unwrap().expect("setpriv (util-linux) starts the server")
}

/// A command of PostgreSQL's, as a user that it accepts.
fn command(signal_at_our_end: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(signal) = signal_at_our_end {
        command.arg(format!("--pdeathsig={signal}"));
    }
    if is_root() {
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
    }
    command.arg(program).stdin(Stdio::null());
    command
}

/// A running server.
pub struct Server {
    process: Option<Child>,
    /// Removes the folder when we are killed.
    janitor: Child,
    folder: TempDir,
    port: u16,
}

/// A file of the server's, readable to it alone.
fn put(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

impl Server {
    /// A server that all tests of a file share.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Server::start(&[]))
    }

    /// A new cluster; `settings` are lines for its configuration.
    pub fn start(settings: &[&str]) -> Server {
        Server::start_with(settings, |_| {})
    }

    /// The same; `prepare` may [`put_file`](Server::put_file) files before it starts.
    pub fn start_with(settings: &[&str], prepare: impl FnOnce(&Server)) -> Server {
        let folder = tempfile::Builder::new().prefix("candlewick-postgres-").tempdir().unwrap();
        if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut janitor = Command::new("setpriv");
        janitor.args(["--pdeathsig=TERM", "sh", "-c"]);
        // It holds nothing open that somebody may wait for the end of.
        janitor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        janitor.arg(
            r#"trap 'kill $!; for i in 1 2 3 4 5 6 7 8 9; do rm -rf "$0" && exit; sleep 0.3; done' TERM
               while :; do sleep 60 & wait $!; done"#,
        );
        janitor.arg(folder.path());
        let janitor = spawn_kept(janitor);
        let password = folder.path().join("password");
        put(&password, PASSWORD);
        let made = command(None, &programs().join("initdb"))
            .args(["--username", USER, "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--pwfile"])
            .arg(&password)
            .arg("--pgdata")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = Server { process: None, janitor, folder, port: 0 };
        prepare(&server);
        // What is measured is the program, not the disk; nothing here outlives a crash anyhow.
        let mut lines = vec!["fsync = off", "full_page_writes = off", "max_connections = 200"];
        lines.extend(["listen_addresses = '127.0.0.1'", "logging_collector = off"]);
        lines.extend(settings);
        put(&server.path("data/postgresql.auto.conf"), &(lines.join("\n") + "\n"));
        server.resume();
        server
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file that only the server may read into its data folder.
    pub fn put_file(&self, name: &str, text: &str) {
        put(&self.path("data").join(name), text);
    }

    /// Starts a server that was stopped, on the port it had.
    pub fn resume(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.port == 0 {
                // Somebody else may take it before the server does: then another one is tried.
                self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            }
            let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
            let mut command = command(Some("QUIT"), &programs().join("postgres"));
            command.arg("-D").arg(self.path("data")).arg("-k").arg(self.folder.path());
            command.args(["-p", &self.port.to_string()]).stdout(Stdio::null()).stderr(log);
            let mut process = spawn_kept(command);
            loop {
                let mut ready = Command::new(programs().join("pg_isready"));
                ready.args(["-q", "-h"]).arg(self.folder.path()).args(["-p", &self.port.to_string()]);
                if ready.status().unwrap().success() {
                    self.process = Some(process);
                    return;
                }
                if process.try_wait().unwrap().is_some() {
                    self.port = 0;
                    break;
                }
                assert!(Instant::now() < deadline, "the server does not start: {}", self.log());
                thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("the server does not start: {}", self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        // The first line of this file is the server's process.
        let file = fs::read_to_string(self.path("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = file.lines().next() {
            // It may be gone already.
            let _ = Command::new("kill").args([&format!("-{name}"), pid]).stderr(Stdio::null()).status();
        }
    }

    /// Stops the server as an administrator does: sessions are told and ended.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Ends the server at once, as a crash does: it recovers when it starts again.
    pub fn crash(&mut self) {
        self.end("QUIT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut process) = self.process.take() {
            self.signal(signal);
            process.wait().unwrap();
        }
    }

    /// A new, empty database: its URL.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("candles_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database, with user and password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{ESCAPED_PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL as people are shown it.
    pub fn shown(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// What a program of somebody else's answers: rows, and columns parted by `|`.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h"]).arg(self.folder.path());
        psql.args(["-p", &self.port.to_string(), "-U", USER, "-d", database, "-c", sql]).env("PGTZ", "UTC");
        let output = psql.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// The name of the database in a URL that this file made.
pub fn name(url: &str) -> &str {
    let (_, path) = url.rsplit_once('/').unwrap();
    path.split('?').next().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.signal("QUIT");
            let _ = self.process.take().map(|mut process| process.wait());
        }
        let _ = self.janitor.kill();
        let _ = self.janitor.wait();
    }
}
