//! Simulated exchanges in a process of their own, and what they know.
#![allow(dead_code)] // used by several test files, not all of it by each

use std::io::{Read, Write as _};
use std::net::TcpStream;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::program::{Running, simulator};

/// A simulator in a process of its own.
pub struct Simulated {
    /// Held for its life.
    _running: Running,
    pub url: String,
}

impl Simulated {
    /// One whose clock runs `speed` times as fast as ours.
    pub fn start(speed: u64, arguments: &[&str]) -> Simulated {
        let speed = speed.to_string();
        let (running, line) = simulator(&[&["--speed", &speed, "--history-days", "2"], arguments].concat());
        let Some(url) = line.split_whitespace().next() else {
            panic!("no simulator: {}", running.words.lock().unwrap());
        };
        Simulated { url: url.to_owned(), _running: running }
    }

    /// The body of an answer to a `GET`.
    pub fn get(&self, path: &str) -> Vec<u8> {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}: {}", String::from_utf8_lossy(&answer));
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        answer.split_off(head + 4)
    }

    pub fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path)).unwrap()
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.json("/clock")["now"].as_str().unwrap().parse().unwrap()
    }

    /// Every simulated market, by exchange.
    pub fn markets(&self) -> Vec<(String, String)> {
        let index = self.json("/");
        let listing = |(exchange, row): (&String, &Value)| {
            let symbols = row["symbols"].as_array().unwrap().clone();
            symbols.into_iter().map(|name| (exchange.clone(), name.as_str().unwrap().to_owned())).collect::<Vec<_>>()
        };
        index["exchanges"].as_object().unwrap().iter().flat_map(listing).collect()
    }
}
