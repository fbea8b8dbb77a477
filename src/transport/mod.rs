//! Bytes in and out: HTTP calls and WebSocket connections, bounded in size and time.
//!
//! [`Transport`] is the seam: the product uses [`net::NetTransport`]; deterministic tests mount the
//! simulator behind the same trait. No venue is known here.

mod http;
pub mod net;
mod proxy;
mod tls;
mod websocket;

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::exchange::{HttpReply, HttpRequest};

/// A frame of a WebSocket connection. Protocol pings are answered by the transport and passed on
/// as [`Frame::Ping`], because they prove life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(Utf8Bytes),
    /// Binary.
    Binary(Bytes),
    /// A protocol ping, already answered.
    Ping,
    /// A protocol pong.
    Pong,
    /// The peer closed in order.
    Close,
}

/// An open WebSocket connection. Dropping it closes the socket.
pub struct WebSocket {
    /// Frames received; ends after a close or an error.
    pub frames: Pin<Box<dyn Stream<Item = Result<Frame, TransportError>> + Send>>,
    /// Frames to send.
    pub sink: Pin<Box<dyn Sink<Frame, Error = TransportError> + Send>>,
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSocket")
    }
}

/// Why bytes did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection: refused, unreachable, name not resolved, TLS failed.
    #[error("cannot connect to {host}: {message}")]
    Connect {
        /// Host and port, without path or credentials.
        host: String,
        /// The cause.
        message: String,
    },
    /// The deadline passed.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// A body or frame was larger than allowed.
    #[error("answer larger than {limit_bytes} bytes")]
    TooLarge {
        /// The configured limit.
        limit_bytes: usize,
    },
    /// The WebSocket upgrade was refused with an HTTP status.
    #[error("WebSocket upgrade refused with HTTP {status}")]
    Upgrade {
        /// The status.
        status: u16,
        /// `Retry-After`, where the refusal carried one.
        retry_after: Option<std::time::Duration>,
    },
    /// The connection broke while in use.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The URL cannot be used.
    #[error("bad URL {url:?}: {message}")]
    Url {
        /// The URL, credentials removed.
        url: String,
        /// What is wrong.
        message: String,
    },
}

/// Makes calls and connections.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// One HTTP call; the reply is complete and within the size limit.
    ///
    /// # Errors
    /// Everything but a complete HTTP reply; HTTP error statuses are replies.
    async fn http(&self, request: &HttpRequest) -> Result<HttpReply, TransportError>;

    /// Opens a WebSocket connection.
    ///
    /// # Errors
    /// When no connection was made in time.
    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError>;
}
