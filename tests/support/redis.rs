//! A real Redis server for a test: a free port, a temporary folder, gone when the test process is.
#![allow(dead_code)] // used by several test files, not all of it by each

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs the server and ends it when our end of its standard input closes, however that happens.
const WATCHED: &str = r#"redis-server "$@" >server.log 2>&1 & echo $!; read line; kill -9 $! 2>/dev/null; wait"#;

/// See the module.
pub struct RedisServer {
    port: u16,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    running: Option<(Child, String)>,
}

impl RedisServer {
    /// A server that keeps nothing on the disk: stopped and started again, it is empty.
    pub fn start() -> RedisServer {
        RedisServer::with(&["--appendonly", "no"])
    }

    /// A server that has everything on the disk before it answers.
    pub fn start_durable() -> RedisServer {
        RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A server with further arguments.
    pub fn with(arguments: &[&str]) -> RedisServer {
        let mut server = RedisServer::stopped(arguments);
        server.restart();
        server
    }

    /// A server that is not running yet.
    pub fn stopped(arguments: &[&str]) -> RedisServer {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        RedisServer { port, folder: tempfile::tempdir().unwrap(), arguments, running: None }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A plain client, which knows nothing of candlewick.
    pub fn client(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        let (mut child, pid) = self.running.take().expect("it runs");
        let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
        assert!(killed.success());
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// Starts it, on the same port and folder.
    pub fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let installed = Command::new("redis-server").arg("--version").output();
        assert!(
            installed.is_ok(),
            "redis-server is not installed; these tests need it: apt-get install -y redis-server"
        );
        let port = self.port.to_string();
        let mut child = Command::new("sh")
            .args(["-c", WATCHED, "sh", "--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.running = Some((child, pid.trim().to_owned()));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.answers() {
            let log = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "redis-server does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answer = [0; 5];
        stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG"
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
