//! The simulator on a port: plain HTTP/1.1 and WebSocket upgrades, everything on one listener.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::{Delivery, SimFrame, SimReply, SimRequest, SimSocket, Simulator};

/// Larger request bodies are refused.
const BODY_LIMIT_BYTES: usize = 1 << 20;

/// A running server. Dropping it stops the server without waiting.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ServerHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, closes all connections, and waits until they are gone.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // A panic of the accept loop has been reported by the panic hook.
        let _ = (&mut self.task).await;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Serves a simulator on a listener. Needs a tokio runtime.
///
/// # Errors
/// When the listener does not know its own address.
pub fn serve(listener: TcpListener, simulator: Simulator) -> std::io::Result<ServerHandle> {
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, simulator, stopped));
    Ok(ServerHandle { address, stop, task })
}

async fn accept(listener: TcpListener, simulator: Simulator, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Nothing but the end is ever announced.
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve_connection(stream, peer.ip(), simulator.clone()));
                }
                // Out of descriptors, or the peer left meanwhile: neither ends the server.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    connections.shutdown().await;
}

async fn serve_connection(stream: TcpStream, peer: IpAddr, simulator: Simulator) {
    // Small frames must not wait for each other; without it the connection still works.
    let _ = stream.set_nodelay(true);
    let (upgraded, mut upgrades) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request| answer(request, peer, simulator.clone(), upgraded.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        // The venue's own Date, not this machine's.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // Refused requests end the connection with an error on purpose.
    let _ = connection.await;
    // The service, and with it the sender, is gone: what is queued is all there will be.
    while let Some((upgrade, socket)) = upgrades.recv().await {
        pump(upgrade, socket).await;
    }
}

type Upgrades = tokio::sync::mpsc::UnboundedSender<(hyper::upgrade::OnUpgrade, SimSocket)>;

/// The connection is closed without a reply.
#[derive(Debug, thiserror::Error)]
#[error("connection refused by the simulation")]
struct Refused;

async fn answer(
    mut request: Request<Incoming>,
    peer: IpAddr,
    simulator: Simulator,
    upgrades: Upgrades,
) -> Result<Response<SimBody>, Refused> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    if let Some(accept_key) = key {
        return match simulator.open_socket(&target, peer) {
            Ok(socket) => {
                // The receiver outlives the connection that runs this service.
                let _ = upgrades.send((hyper::upgrade::on(&mut request), socket));
                let mut response = Response::new(SimBody::whole(Bytes::new()));
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                let headers = response.headers_mut();
                headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
                headers.extend(accept_key.parse().map(|key| (SEC_WEBSOCKET_ACCEPT, key)));
                Ok(response)
            }
            Err(reply) => deliver(reply, &simulator).await,
        };
    }
    let headers = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let headers = headers.collect();
    let method = request.method().as_str().to_owned();
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT_BYTES).collect().await else {
        return deliver(SimReply::typed(413, "text/plain", "Payload Too Large"), &simulator).await;
    };
    let reply = simulator.http(&SimRequest { method, target, headers, body: body.to_bytes(), peer });
    deliver(reply, &simulator).await
}

async fn deliver(reply: SimReply, simulator: &Simulator) -> Result<Response<SimBody>, Refused> {
    let mut sent = reply.body.len();
    match reply.delivery {
        Delivery::Whole => {}
        Delivery::TruncateAt(bytes) => sent = bytes.min(sent),
        Delivery::Refuse => return Err(Refused),
        Delivery::Hang => return std::future::pending().await,
        Delivery::DelayBy(delay) => simulator.clock().sleep(delay).await,
    }
    let mut response = Response::builder().status(reply.status).header(CONTENT_LENGTH, reply.body.len());
    for (name, value) in &reply.headers {
        response = response.header(name.as_str(), value.as_str());
    }
    let is_cut = sent < reply.body.len();
    response.body(SimBody { data: Some(reply.body.slice(..sent)), is_cut, has_paused: false }).map_err(|_| Refused)
}

/// A body that may break off before its announced end.
struct SimBody {
    data: Option<Bytes>,
    is_cut: bool,
    has_paused: bool,
}

impl SimBody {
    fn whole(data: Bytes) -> SimBody {
        SimBody { data: Some(data), is_cut: false, has_paused: false }
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        match self.data.take().filter(|data| !data.is_empty()) {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if self.is_cut && !self.has_paused => {
                // hyper writes what it has when a body pauses, and nothing when it fails at once.
                self.has_paused = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None if self.is_cut => Poll::Ready(Some(Err(Refused))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.is_cut && self.data.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.data {
            Some(data) if !self.is_cut => SizeHint::with_exact(data.len() as u64),
            _ => SizeHint::new(),
        }
    }
}

/// Carries frames between a simulated connection and a real one until either ends.
async fn pump(upgrade: hyper::upgrade::OnUpgrade, mut socket: SimSocket) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let input = socket.input();
    loop {
        // A deaf connection reads nothing either, so that pings stay unanswered.
        let is_deaf = socket.is_deaf();
        tokio::select! {
            frame = socket.next_frame() => {
                let message = match frame {
                    Some(SimFrame::Text(text)) => Message::text(text),
                    Some(SimFrame::Ping(payload)) => Message::Ping(payload.into()),
                    Some(SimFrame::Close(code, reason)) => {
                        let frame = CloseFrame { code: code.into(), reason: reason.into() };
                        // The peer may be gone already; the connection ends either way.
                        let _ = stream.close(Some(frame)).await;
                        return;
                    }
                    Some(SimFrame::Abort) | None => return,
                };
                if stream.send(message).await.is_err() {
                    return;
                }
            }
            message = stream.next(), if !is_deaf => match message {
                Some(Ok(Message::Text(text))) => input.text(text.as_str()),
                Some(Ok(Message::Pong(_))) => input.pong(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
