//! The program as a process: started, listened to, signalled, and gone when the test is.
#![allow(dead_code)] // used by several test files, not all of it by each

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A run of the program that does not depend on the environment.
pub fn candlewick(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candlewick"));
    for variable in ["CANDLEWICK_CONFIG", "CANDLEWICK_DATABASE", "CANDLEWICK_REDIS", "CANDLEWICK_WEB_TOKEN"] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

pub fn finished(arguments: &[&str]) -> Output {
    candlewick(arguments).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("candles.db").display())
}

/// Waits until `look` gives something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A program that runs beside the test; killed when the test ends.
pub struct Running {
    pub child: Child,
    pub words: Arc<Mutex<String>>,
}

impl Running {
    pub fn start(arguments: &[&str]) -> Running {
        let mut child = candlewick(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let words = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&words);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                heard.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Running { child, words }
    }

    pub fn wait_for_words(&self, part: &str) {
        wait_for(part, || self.words.lock().unwrap().contains(part).then_some(()));
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        wait_for("the end of the program", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulator on a free port, and the line in which it introduces itself; the first word is its URL.
pub fn simulator(arguments: &[&str]) -> (Running, String) {
    let mut running = Running::start(&[&["sim", "--listen", "127.0.0.1:0"], arguments].concat());
    let mut line = String::new();
    BufReader::new(running.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (running, line)
}
