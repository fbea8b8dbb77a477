//! WebSocket connections.

use std::time::Duration;

use candlewick::transport::net::NetOptions;
use candlewick::transport::{Frame, Transport, TransportError};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::servers::{Server, impatient, read_request, reply, serve, serve_bytes, transport};

/// A server whose connections speak WebSocket and are handled by `handle`.
async fn serve_socket<F, Fut>(handle: F) -> Server
where
    F: Fn(WebSocketStream<TcpStream>) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    serve(move |stream| {
        let handle = handle.clone();
        async move { handle(accept_async(stream).await.unwrap()).await }
    })
    .await
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it happens within ten seconds")
}

#[tokio::test]
async fn frames_of_every_kind_arrive_in_order_and_the_stream_ends_after_a_close() {
    let server = serve_socket(|mut socket| async move {
        for message in [
            Message::text("één"),
            Message::binary(vec![1, 2]),
            Message::Ping("a".into()),
            Message::Ping("b".into()),
            Message::text("between"),
            Message::Pong("".into()),
        ] {
            socket.send(message).await.unwrap();
        }
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    })
    .await;
    let mut connection = transport(impatient()).connect(&server.url("ws", "/v2")).await.unwrap();
    let frames = soon(connection.frames.by_ref().map(Result::unwrap).collect::<Vec<_>>()).await;
    let expected = [
        Frame::Text("één".into()),
        Frame::Binary(vec![1, 2].into()),
        Frame::Ping,
        Frame::Ping,
        Frame::Text("between".into()),
        Frame::Pong,
        Frame::Close,
    ];
    assert_eq!(frames, expected);
}

#[tokio::test]
async fn a_ping_is_answered_before_its_consumer_reads_again() {
    let (answers, mut received) = mpsc::unbounded_channel();
    let server = serve_socket(move |mut socket| {
        let answers = answers.clone();
        async move {
            socket.send(Message::Ping("payload".into())).await.unwrap();
            answers.send(socket.next().await.unwrap().unwrap()).unwrap();
            std::future::pending().await
        }
    })
    .await;
    let mut connection = transport(impatient()).connect(&server.url("ws", "/")).await.unwrap();
    assert_eq!(soon(connection.frames.next()).await.unwrap().unwrap(), Frame::Ping);
    assert_eq!(soon(received.recv()).await, Some(Message::Pong("payload".into())));
}

#[tokio::test]
async fn frames_are_sent_as_what_they_are() {
    let (requests, mut received) = mpsc::unbounded_channel();
    let server = serve_socket(move |mut socket| {
        let requests = requests.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                requests.send(message).unwrap();
            }
        }
    })
    .await;
    let mut connection = transport(impatient()).connect(&server.url("ws", "/")).await.unwrap();
    for frame in
        [Frame::Text("subscribe".into()), Frame::Binary(vec![7].into()), Frame::Ping, Frame::Pong, Frame::Close]
    {
        connection.sink.send(frame).await.unwrap();
    }
    let sent = [soon(received.recv()).await, soon(received.recv()).await, soon(received.recv()).await];
    assert_eq!(
        sent,
        [Some(Message::text("subscribe")), Some(Message::binary(vec![7])), Some(Message::Ping("".into()))]
    );
    let sent = [soon(received.recv()).await, soon(received.recv()).await];
    assert_eq!(sent, [Some(Message::Pong("".into())), Some(Message::Close(None))]);
}

#[tokio::test]
async fn a_flood_arrives_whole_and_in_order() {
    const FRAMES: usize = 20_000;
    let server = serve_socket(|mut socket| async move {
        for number in 0..FRAMES {
            socket.feed(Message::text(number.to_string())).await.unwrap();
        }
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    })
    .await;
    let mut connection = transport(impatient()).connect(&server.url("ws", "/")).await.unwrap();
    let mut count = 0;
    while let Some(frame) = soon(connection.frames.next()).await {
        if let Frame::Text(text) = frame.unwrap() {
            assert_eq!(text.as_str(), count.to_string());
            count += 1;
        }
    }
    assert_eq!(count, FRAMES);
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection_whole_or_in_fragments() {
    let whole = [&[0x81, 11][..], b"0123456789a"].concat();
    let fragments = [&[0x01, 6][..], b"012345", &[0x80, 5], b"6789a"].concat();
    for bytes in [whole, fragments] {
        let server = serve(move |stream| {
            let bytes = bytes.clone();
            async move {
                let mut socket = accept_async(stream).await.unwrap();
                socket.get_mut().write_all(&bytes).await.unwrap();
                std::future::pending().await
            }
        })
        .await;
        let limited = |max_frame_bytes| transport(NetOptions { max_frame_bytes, ..impatient() });
        let mut connection = limited(11).connect(&server.url("ws", "/")).await.unwrap();
        assert_eq!(soon(connection.frames.next()).await.unwrap().unwrap(), Frame::Text("0123456789a".into()));
        let mut connection = limited(10).connect(&server.url("ws", "/")).await.unwrap();
        let error = soon(connection.frames.next()).await.unwrap().unwrap_err();
        assert!(matches!(error, TransportError::TooLarge { limit_bytes: 10 }), "{error:?}");
        assert!(soon(connection.frames.next()).await.is_none());
    }
}

#[tokio::test]
async fn rubbish_and_an_end_without_a_close_are_losses() {
    // A frame cut short, text that is no UTF-8, reserved bits, a masked frame, nothing at all.
    let cases: [&[u8]; 5] = [b"\x81\x0512", b"\x81\x02\xff\xff", b"\xf1\x01a", b"\x81\x81\x00\x00\x00\x00a", b""];
    for bytes in cases {
        let server = serve(move |stream| async move {
            let mut socket = accept_async(stream).await.unwrap();
            socket.get_mut().write_all(bytes).await.unwrap();
        })
        .await;
        let mut connection = transport(impatient()).connect(&server.url("ws", "/")).await.unwrap();
        let error = soon(connection.frames.next()).await.unwrap().unwrap_err();
        assert!(matches!(error, TransportError::Lost(_)), "{error:?} for {bytes:?}");
        assert!(soon(connection.frames.next()).await.is_none());
    }
}

#[tokio::test]
async fn a_refused_upgrade_tells_status_and_wait() {
    let limited = serve_bytes("HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n").await;
    let error = transport(impatient()).connect(&limited.url("ws", "/")).await.unwrap_err();
    let seven = Some(Duration::from_secs(7));
    assert!(matches!(error, TransportError::Upgrade { status: 429, retry_after } if retry_after == seven), "{error:?}");

    let page = serve_bytes(reply("200 OK", "<html></html>")).await;
    let error = transport(impatient()).connect(&page.url("ws", "/")).await.unwrap_err();
    assert!(matches!(error, TransportError::Upgrade { status: 200, retry_after: None }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_upgrades_ends_at_the_connect_timeout() {
    let server = serve(|mut stream| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    for scheme in ["ws", "wss"] {
        let error = transport(impatient()).connect(&server.url(scheme, "/")).await.unwrap_err();
        assert!(matches!(error, TransportError::Timeout(limit) if limit == impatient().connect_timeout), "{error:?}");
    }
}

#[tokio::test]
async fn a_bad_stream_url_is_told_without_credentials() {
    let error = transport(impatient()).connect("http://user:secret@host/").await.unwrap_err();
    assert_eq!(error.to_string(), r#"bad URL "http://host/": a WebSocket URL begins with ws:// or wss://"#);
}

#[tokio::test]
async fn silence_on_an_open_connection_is_left_to_the_caller() {
    let server = serve_socket(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let mut connection = transport(impatient()).connect(&server.url("ws", "/")).await.unwrap();
    let longer_than_any_timeout = impatient().connect_timeout + impatient().read_timeout;
    let silent = tokio::time::timeout(longer_than_any_timeout, connection.frames.next()).await;
    assert!(silent.is_err(), "{silent:?}");
}

#[tokio::test]
async fn dropping_a_connection_closes_its_socket() {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let server = serve(move |stream| {
        let ends = ends.clone();
        async move {
            let mut socket = accept_async(stream).await.unwrap();
            ends.send(socket.get_mut().read(&mut [0; 16]).await.unwrap()).unwrap();
        }
    })
    .await;
    let connection = transport(impatient()).connect(&server.url("ws", "/")).await.unwrap();
    drop(connection);
    assert_eq!(soon(ended.recv()).await, Some(0));
}
