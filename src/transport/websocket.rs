//! WebSocket connections over tungstenite.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::SplitStream;
use futures_util::{SinkExt, Stream, StreamExt};
use reqwest::Url;
use reqwest::header::{HeaderValue, USER_AGENT};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::http::{authority, causes, text_headers, without_credentials};
use super::proxy::Dialer;
use super::{Frame, TransportError, WebSocket};
use crate::exchange::HttpReply;

/// Bytes read at once. A flood of small frames then costs few system calls.
const READ_BUFFER_BYTES: usize = 128 << 10;

/// Bytes that may wait for a peer that does not read. We send subscriptions and pings only.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// What an upgrade presents itself as; REST calls carry their own.
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a connection; the caller bounds the time.
pub(super) async fn open(
    url: &str,
    dialer: &Dialer,
    tls: Connector,
    limit_bytes: usize,
) -> Result<WebSocket, TransportError> {
    let bad = |message: String| TransportError::Url { url: without_credentials(url), message };
    let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
    if !matches!(parsed.scheme(), "ws" | "wss") {
        return Err(bad("a WebSocket URL begins with ws:// or wss://".to_owned()));
    }
    let host = authority(&parsed);
    let mut request = parsed.as_str().into_client_request().map_err(|error| bad(causes(&error)))?;
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_frame_size(Some(limit_bytes))
        .max_message_size(Some(limit_bytes));

    let stream = dialer.dial(&host).await.map_err(|message| TransportError::Connect { host: host.clone(), message })?;
    let (socket, _) = client_async_tls_with_config(request, stream, Some(config), Some(tls))
        .await
        .map_err(|error| refusal(error, host))?;
    let (sink, stream) = socket.split();
    Ok(WebSocket {
        frames: Box::pin(Frames { socket: stream, ahead: None, limit_bytes }),
        sink: Box::pin(
            sink.sink_map_err(move |error| loss(error, limit_bytes))
                .with(|frame| ready(Ok::<_, TransportError>(message(frame)))),
        ),
    })
}

/// The received half. tungstenite answers a ping when it is next read from, so after a ping it is
/// read from at once: a consumer busy with the ping must not delay the pong.
struct Frames {
    socket: SplitStream<Socket>,
    /// What that early read found.
    ahead: Option<Option<Result<Message, Error>>>,
    limit_bytes: usize,
}

impl Stream for Frames {
    type Item = Result<Frame, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = match self.ahead.take() {
                Some(next) => next,
                None => std::task::ready!(self.socket.poll_next_unpin(cx)),
            };
            let frame = match next {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(loss(error, self.limit_bytes)))),
                Some(Ok(Message::Text(text))) => Frame::Text(text),
                Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
                Some(Ok(Message::Pong(_))) => Frame::Pong,
                Some(Ok(Message::Close(_))) => Frame::Close,
                Some(Ok(Message::Ping(_))) => {
                    if let Poll::Ready(next) = self.socket.poll_next_unpin(cx) {
                        self.ahead = Some(next);
                    }
                    Frame::Ping
                }
                // Raw frames are never read, only written.
                Some(Ok(Message::Frame(_))) => continue,
            };
            return Poll::Ready(Some(Ok(frame)));
        }
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::Text(text),
        Frame::Binary(bytes) => Message::Binary(bytes),
        Frame::Ping => Message::Ping(Bytes::new()),
        Frame::Pong => Message::Pong(Bytes::new()),
        Frame::Close => Message::Close(None),
    }
}

/// Why there is no connection.
fn refusal(error: Error, host: String) -> TransportError {
    match error {
        Error::Http(response) => {
            let reply = HttpReply {
                status: response.status().as_u16(),
                headers: text_headers(response.headers()),
                body: Default::default(),
            };
            TransportError::Upgrade { status: reply.status, retry_after: reply.retry_after() }
        }
        other => TransportError::Connect { host, message: causes(&other) },
    }
}

/// Why a connection ended.
fn loss(error: Error, limit_bytes: usize) -> TransportError {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => TransportError::TooLarge { limit_bytes },
        other => TransportError::Lost(causes(&other)),
    }
}
