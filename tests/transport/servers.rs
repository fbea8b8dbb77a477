//! Small local servers, each doing exactly what a test says.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use candlewick::exchange::{Cost, HttpRequest, Method};
use candlewick::transport::net::{NetOptions, NetTransport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A listener whose connections are handled until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.address.port())
    }
}

/// Serves every connection with `handle`.
pub async fn serve<F, Fut>(handle: F) -> Server
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(handle(stream));
        }
    });
    Server { address, task }
}

/// Answers each request of a connection with the same bytes, then closes it.
pub async fn serve_bytes(reply: impl Into<Vec<u8>>) -> Server {
    let reply = reply.into();
    serve(move |mut stream| {
        let reply = reply.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&reply).await;
        }
    })
    .await
}

/// Sends these bytes after a request and then holds the connection open in silence.
pub async fn serve_then_stall(reply: &'static [u8]) -> Server {
    serve(move |mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(reply).await.unwrap();
        std::future::pending().await
    })
    .await
}

/// The head and the body of a request, as text.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte as char),
            Err(_) => return text,
        }
    }
    let length = header(&text, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    text + std::str::from_utf8(&body).unwrap()
}

/// A header of a request's head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A reply with a declared length.
pub fn reply(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

pub fn get(url: String) -> HttpRequest {
    HttpRequest { method: Method::Get, url, headers: Vec::new(), body: None, cost: Cost { limit: 0, units: 1 } }
}

/// Options that lose patience quickly, so that tests of patience are quick; others never reach them.
pub fn impatient() -> NetOptions {
    NetOptions {
        connect_timeout: Duration::from_millis(300),
        read_timeout: Duration::from_millis(400),
        ..NetOptions::default()
    }
}

pub fn transport(options: NetOptions) -> NetTransport {
    NetTransport::new(options).unwrap()
}
