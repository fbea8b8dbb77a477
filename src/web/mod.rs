//! The HTTP interface for operators: health, status, metrics, commands.
//!
//! A guest of the collector: it asks a [`Remote`], on a thread of its own, and nothing waits for it.
//! Everything that comes in is bounded: heads, bodies, times, connections, requests per second. Every
//! fault is answered as `application/problem+json` (RFC 9457) with what to do about it.
//!
//! Without a token it listens on loopback only, and there answers only requests that name this
//! machine, so that no web page can reach it through a name of its own.

mod access;
mod commands;
mod health;
pub mod metrics;
mod problem;
mod rate;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, Route, guard, web};
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::collector::Remote;
use crate::config::{Secret, WebConfig};

/// Longest time in which the head of a request may come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection without a request stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Connections at a time; further ones wait.
const MOST_CONNECTIONS: usize = 256;
/// How long a stop waits for answers that are under way, in seconds.
const STOP_SECONDS: u64 = 2;

/// Why there is no HTTP interface.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Others could reach it, and nothing keeps them out.
    #[error(
        "web.listen {0} can be reached from other machines, so a token is needed: set web.token or \
         CANDLEWICK_WEB_TOKEN, or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address} (web.listen): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// An address that is ours already, so that a collector is not started in vain.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Secret>,
}

/// A server that answers; dropped, it goes on until its process ends.
pub struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    running: JoinHandle<()>,
}

/// What the handlers share.
struct Face {
    remote: Remote,
    door: access::Door,
}

impl Bound {
    /// Takes the address; `None` where the configuration wants no HTTP interface.
    ///
    /// # Errors
    /// [`WebError`].
    pub fn bind(config: &WebConfig) -> Result<Option<Bound>, WebError> {
        if !config.enabled {
            return Ok(None);
        }
        let address = config.listen;
        if config.token.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(WebError::NoToken(address));
        }
        let fault = |source| WebError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Some(Bound { listener, address, token: config.token.clone() }))
    }

    /// Answers for a collector from now on, until [`Server::stop`].
    ///
    /// # Errors
    /// [`WebError::Listen`].
    pub fn serve(self, remote: Remote) -> Result<Server, WebError> {
        let address = self.address;
        let face = web::Data::from(Arc::new(Face { remote, door: access::Door::new(self.token) }));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(face.clone())
                .wrap(from_fn(access::guard))
                .service(page("/live").route(read().to(health::live)))
                .service(page("/ready").route(read().to(health::ready)))
                .service(page("/status").route(read().to(health::status)))
                .service(page("/metrics").route(read().to(metrics::metrics)))
                .service(page("/control").route(web::post().to(commands::control)))
                .default_service(web::to(problem::unknown_path))
        })
        .workers(1)
        .disable_signals()
        .client_request_timeout(HEAD_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .max_connections(MOST_CONNECTIONS)
        .shutdown_timeout(STOP_SECONDS)
        .listen(self.listener)
        .map_err(|source| WebError::Listen { address, source })?
        .run();
        let handle = server.handle();
        let running = tokio::spawn(async move {
            if let Err(error) = server.await {
                error!(%error, "the HTTP interface ended; collecting goes on");
            }
        });
        info!(%address, "operators are answered over HTTP");
        Ok(Server { address, handle, running })
    }
}

impl Server {
    /// Where it listens; the port that was found where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: no new requests, and a moment for those under way.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        // A server that panicked has ended too.
        let _ = self.running.await;
    }
}

/// A path; other methods than its own are refused with words.
fn page(path: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(problem::wrong_method))
}

fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Method(Method::HEAD)))
}
