//! The transport of the product: HTTP through reqwest, WebSockets through tungstenite, TLS through
//! one rustls configuration shared by both.
//!
//! Needs nothing of its process: no global TLS provider, no environment variables, no system
//! certificate store. Promises bounds on size and time, and messages without credentials. It does
//! not retry, follow redirects or judge silence on a WebSocket: that is the callers' business.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_tungstenite::Connector;

use super::proxy::Dialer;
pub use super::proxy::Proxy;
use super::{Transport, TransportError, WebSocket, http, tls, websocket};
use crate::exchange::{HttpReply, HttpRequest};

/// Bounds and routes of a [`NetTransport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetOptions {
    /// Time to make a connection: name, TCP, proxy and TLS; for WebSockets the upgrade too.
    pub connect_timeout: Duration,
    /// Longest silence while an HTTP reply is awaited or read.
    pub read_timeout: Duration,
    /// Longest time of one HTTP call from start to end.
    pub total_timeout: Duration,
    /// Largest HTTP body, after decompression.
    pub max_body_bytes: usize,
    /// Largest WebSocket message, its fragments joined.
    pub max_frame_bytes: usize,
    /// A proxy for everything.
    pub proxy: Option<Proxy>,
    /// PEM file of authorities to trust besides the public ones.
    pub ca_file: Option<PathBuf>,
}

impl Default for NetOptions {
    fn default() -> Self {
        NetOptions {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(60),
            max_body_bytes: 64 << 20,
            max_frame_bytes: 16 << 20,
            proxy: None,
            ca_file: None,
        }
    }
}

/// Why a transport could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The CA file is unreadable, no PEM, or holds no usable certificate.
    #[error("cannot use the CA file {}: {message}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The proxy's address cannot be used. It is not repeated, because it may hold a password.
    #[error("cannot use the proxy: {0}")]
    Proxy(&'static str),
    /// rustls refused its own defaults.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// reqwest refused its options.
    #[error("cannot set up HTTP")]
    Http(#[source] reqwest::Error),
}

/// The product's [`Transport`]. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct NetTransport {
    client: reqwest::Client,
    dialer: Dialer,
    tls: Connector,
    options: Arc<NetOptions>,
}

impl NetTransport {
    /// A transport with its own connection pool.
    ///
    /// # Errors
    /// When the CA file or the proxy cannot be used.
    pub fn new(options: NetOptions) -> Result<NetTransport, SetupError> {
        let config = tls::client_config(options.ca_file.as_deref())?;
        Ok(NetTransport {
            client: http::client(&options, &config)?,
            dialer: Dialer::new(options.proxy.as_ref())?,
            tls: Connector::Rustls(Arc::new(config)),
            options: Arc::new(options),
        })
    }
}

impl std::fmt::Debug for NetTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NetTransport").field(&self.options).finish()
    }
}

#[async_trait]
impl Transport for NetTransport {
    async fn http(&self, request: &HttpRequest) -> Result<HttpReply, TransportError> {
        let limit = self.options.total_timeout;
        let call = http::call(&self.client, request, &self.options);
        tokio::time::timeout(limit, call).await.unwrap_or(Err(TransportError::Timeout(limit)))
    }

    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError> {
        let limit = self.options.connect_timeout;
        let open = websocket::open(url, &self.dialer, self.tls.clone(), self.options.max_frame_bytes);
        tokio::time::timeout(limit, open).await.unwrap_or(Err(TransportError::Timeout(limit)))
    }
}
