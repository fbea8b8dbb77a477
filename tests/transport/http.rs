//! HTTP calls.

use std::io::Write;
use std::time::Duration;

use candlewick::exchange::{HttpReply, Method};
use candlewick::transport::net::NetOptions;
use candlewick::transport::{Transport, TransportError};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::servers::{get, header, impatient, read_request, reply, serve, serve_bytes, serve_then_stall, transport};

#[tokio::test]
async fn a_call_carries_its_headers_and_body_and_returns_status_headers_and_body() {
    let (requests, mut received) = mpsc::unbounded_channel();
    let server = serve(move |mut stream| {
        let requests = requests.clone();
        async move {
            requests.send(read_request(&mut stream).await).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Used-Weight: 12\r\ncontent-length: 2\r\n\r\n[]").await.unwrap();
        }
    })
    .await;
    let mut request = get(server.url("http", "/info?a=%5EGSPC"));
    request.method = Method::Post;
    request.headers = vec![("user-agent", "Mozilla/5.0".to_owned())];
    request.body = Some(r#"{"type":"meta"}"#.to_owned());
    let reply = transport(NetOptions::default()).http(&request).await.unwrap();
    let headers = vec![("x-used-weight".to_owned(), "12".to_owned()), ("content-length".to_owned(), "2".to_owned())];
    assert_eq!(reply, HttpReply { status: 200, headers, body: "[]".into() });

    let sent = received.recv().await.unwrap();
    assert!(sent.starts_with("POST /info?a=%5EGSPC HTTP/1.1\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n{\"type\":\"meta\"}"), "{sent}");
    assert_eq!(header(&sent, "user-agent"), Some("Mozilla/5.0"));
    assert_eq!(header(&sent, "content-type"), Some("application/json"));
}

#[tokio::test]
async fn html_and_error_statuses_are_replies() {
    let page = "<html><h1>Bad gateway</h1></html>";
    let server = serve_bytes(reply("502 Bad Gateway", page)).await;
    let reply = transport(NetOptions::default()).http(&get(server.url("http", "/"))).await.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (502, page.as_bytes()));
}

#[tokio::test]
async fn a_redirect_is_a_reply() {
    let server = serve_bytes("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let reply = transport(NetOptions::default()).http(&get(server.url("http", "/"))).await.unwrap();
    assert_eq!((reply.status, reply.header("location")), (302, Some("http://127.0.0.1:1/")));
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    let packed = encoder.finish().unwrap();
    let mut reply =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len()).into_bytes();
    reply.extend_from_slice(&packed);
    reply
}

fn limited(max_body_bytes: usize) -> NetOptions {
    NetOptions { max_body_bytes, ..NetOptions::default() }
}

#[tokio::test]
async fn the_size_limit_holds_after_decompression() {
    let body = vec![b' '; 100_000];
    let server = serve_bytes(gzip(&body)).await;
    let request = get(server.url("http", "/"));
    assert_eq!(transport(limited(100_000)).http(&request).await.unwrap().body, body);
    let error = transport(limited(99_999)).http(&request).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLarge { limit_bytes: 99_999 }), "{error:?}");
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_declared_or_not() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n";
    for server in [serve_bytes(reply("200 OK", "0123456789a")).await, serve_bytes(chunked).await] {
        let request = get(server.url("http", "/"));
        assert_eq!(transport(limited(11)).http(&request).await.unwrap().body, "0123456789a");
        let error = transport(limited(10)).http(&request).await.unwrap_err();
        assert!(matches!(error, TransportError::TooLarge { limit_bytes: 10 }), "{error:?}");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_lost() {
    let mut broken_gzip = gzip(&[b' '; 1000]);
    let middle = broken_gzip.len() - 12;
    broken_gzip[middle] ^= 0xff;
    let cases = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1,2".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n[1,2\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
        b"".to_vec(),
        b"rubbish\r\n\r\n".to_vec(),
        broken_gzip,
    ];
    for bytes in cases {
        let server = serve_bytes(bytes.clone()).await;
        let error = transport(NetOptions::default()).http(&get(server.url("http", "/"))).await.unwrap_err();
        assert!(matches!(error, TransportError::Lost(_)), "{error:?} for {:?}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn silence_ends_at_the_read_timeout_before_and_within_a_body() {
    for sent in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1,2"] {
        let server = serve_then_stall(sent).await;
        let error = transport(impatient()).http(&get(server.url("http", "/"))).await.unwrap_err();
        assert!(matches!(error, TransportError::Timeout(limit) if limit == impatient().read_timeout), "{error:?}");
    }
}

#[tokio::test]
async fn a_trickle_ends_at_the_total_timeout() {
    let server = serve(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let total_timeout = Duration::from_millis(500);
    let transport = transport(NetOptions { total_timeout, ..NetOptions::default() });
    let error = transport.http(&get(server.url("http", "/"))).await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout(limit) if limit == total_timeout), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_greets_ends_at_the_connect_timeout() {
    let server = serve(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let error = transport(impatient()).http(&get(server.url("https", "/"))).await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout(limit) if limit == impatient().connect_timeout), "{error:?}");
}

#[tokio::test]
async fn a_refused_connection_names_the_host_without_credentials() {
    // Bound and closed again: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = transport(impatient()).http(&get(format!("http://user:secret@{address}/path"))).await.unwrap_err();
    let refused = "error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)";
    assert_eq!(error.to_string(), format!("cannot connect to {address}: {refused}"));

    let error = transport(impatient()).connect(&format!("ws://user:secret@{address}/path")).await.unwrap_err();
    let refused = "tcp connect error: Connection refused (os error 111)";
    assert_eq!(error.to_string(), format!("cannot connect to {address}: {refused}"));
}

#[tokio::test]
async fn a_bad_url_is_told_without_credentials() {
    let error = transport(impatient()).http(&get("http://user:secret@ho st/".to_owned())).await.unwrap_err();
    assert_eq!(error.to_string(), r#"bad URL "http://ho st/": invalid international domain name"#);
}
