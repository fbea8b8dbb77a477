//! A client that sends what it is told to and hides nothing of the answer.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The head, lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The words of a fault, after checking that it is told as one.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &self.status.into()));
        assert!(problem["title"].is_string());
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// Sends bytes and reads until the server closes.
pub async fn raw(to: SocketAddr, bytes: &[u8]) -> Answer {
    let talking = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        // A server that has heard enough may close before it has read all.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), talking).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// A request with further headers (`"Name: value\r\n"`).
pub async fn ask(to: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {to}\r\n") };
    let head = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}\r\n");
    raw(to, format!("{head}{body}").as_bytes()).await
}

pub async fn get(to: SocketAddr, path: &str) -> Answer {
    ask(to, "GET", path, "", "").await
}

/// What a command needs to be taken.
pub const MEANT: &str = "X-Candlewick: 1\r\nContent-Type: application/json\r\n";

pub async fn command(to: SocketAddr, body: &Value) -> Answer {
    ask(to, "POST", "/control", MEANT, &body.to_string()).await
}
