//! The simulator behind the transport seam: no sockets, so a paused or manual clock decides everything.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use candlewick::exchange::{HttpReply, HttpRequest, Method};
use candlewick::sim::{Delivery, SimFrame, SimRequest, SimSocketInput, Simulator};
use candlewick::transport::{Frame, Transport, TransportError, WebSocket};
use futures_util::{Sink, stream};

/// Mounts a simulator in memory. Any host will do: the path decides (`http://sim/kraken/0/public/Time`).
#[derive(Clone)]
pub struct SimTransport {
    pub simulator: Simulator,
    /// How long an unanswered request is waited for, in tokio's time.
    pub timeout: Duration,
}

impl SimTransport {
    pub fn new(simulator: Simulator) -> SimTransport {
        SimTransport { simulator, timeout: Duration::from_secs(10) }
    }
}

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Host, and path with query.
fn split(url: &str) -> Result<(&str, String), TransportError> {
    let fail = |message: &str| TransportError::Url { url: url.to_owned(), message: message.to_owned() };
    let (_, rest) = url.split_once("://").ok_or_else(|| fail("no scheme"))?;
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => Ok((&rest[..at], rest[at..].to_owned())),
        Some(at) => Ok((&rest[..at], format!("/{}", &rest[at..]))),
        None => Ok((rest, "/".to_owned())),
    }
}

fn refused(host: &str) -> TransportError {
    TransportError::Connect { host: host.to_owned(), message: "connection refused".to_owned() }
}

#[async_trait]
impl Transport for SimTransport {
    async fn http(&self, request: &HttpRequest) -> Result<HttpReply, TransportError> {
        let (host, target) = split(&request.url)?;
        let reply = self.simulator.http(&SimRequest {
            method: match request.method {
                Method::Get => "GET".to_owned(),
                Method::Post => "POST".to_owned(),
            },
            target,
            headers: request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: Bytes::from(request.body.clone().unwrap_or_default()),
            peer: PEER,
        });
        match reply.delivery {
            Delivery::Whole => {}
            Delivery::TruncateAt(_) => return Err(TransportError::Lost("body ended early".to_owned())),
            Delivery::Refuse => return Err(refused(host)),
            Delivery::Hang => {
                tokio::time::sleep(self.timeout).await;
                return Err(TransportError::Timeout(self.timeout));
            }
            Delivery::DelayBy(delay) => {
                let late = self.simulator.clock().sleep(delay);
                if tokio::time::timeout(self.timeout, late).await.is_err() {
                    return Err(TransportError::Timeout(self.timeout));
                }
            }
        }
        Ok(HttpReply { status: reply.status, headers: reply.headers, body: reply.body })
    }

    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError> {
        let (host, target) = split(url)?;
        let socket = match self.simulator.open_socket(&target, PEER) {
            Ok(socket) => socket,
            Err(reply) if reply.delivery == Delivery::Hang => {
                tokio::time::sleep(self.timeout).await;
                return Err(TransportError::Timeout(self.timeout));
            }
            Err(reply) if reply.status == 0 => return Err(refused(host)),
            Err(reply) => {
                let wait = reply.header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
                return Err(TransportError::Upgrade { status: reply.status, retry_after: wait });
            }
        };
        let input = socket.input();
        let sink = InputSink(input.clone());
        let frames = stream::unfold((socket, input), |(mut socket, input)| async move {
            let frame = match socket.next_frame().await? {
                SimFrame::Text(text) => Ok(Frame::Text(text.into())),
                SimFrame::Ping(_) => {
                    input.pong();
                    Ok(Frame::Ping)
                }
                SimFrame::Close(..) => Ok(Frame::Close),
                SimFrame::Abort => Err(TransportError::Lost("connection reset".to_owned())),
            };
            Some((frame, (socket, input)))
        });
        Ok(WebSocket { frames: Box::pin(frames), sink: Box::pin(sink) })
    }
}

/// What the client sends. Protocol frames but pongs mean nothing to the simulator.
struct InputSink(SimSocketInput);

impl Sink<Frame> for InputSink {
    type Error = TransportError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        match frame {
            Frame::Text(text) => self.0.text(text.as_str()),
            Frame::Pong => self.0.pong(),
            Frame::Binary(_) | Frame::Ping | Frame::Close => {}
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
}
