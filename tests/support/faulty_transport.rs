//! A transport that misbehaves by script and remembers when the venues were called.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};

use async_trait::async_trait;
use candlewick::clock::Clock;
use candlewick::exchange::{HttpReply, HttpRequest};
use candlewick::transport::{Frame, Transport, TransportError, WebSocket};
use chrono::{DateTime, Utc};
use futures_util::{Sink, SinkExt, Stream, StreamExt, stream};
use tokio::task::coop::consume_budget;

use super::Deed;
use super::in_memory::SimTransport;

/// What a script is shown before the venue is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    Http(String),
    Connect(String),
}

impl Contact {
    pub fn url(&self) -> &str {
        match self {
            Contact::Http(url) | Contact::Connect(url) => url,
        }
    }

    pub fn is_at(&self, exchange: &str) -> bool {
        self.url().contains(&format!("/{exchange}/"))
    }
}

type Script = Arc<dyn Fn(&Contact) -> Deed + Send + Sync>;
type Frames = Pin<Box<dyn Stream<Item = Result<Frame, TransportError>> + Send>>;
type Rewrite = Arc<dyn Fn(String) -> String + Send + Sync>;

/// See the module.
pub struct FaultyTransport {
    inner: SimTransport,
    clock: Clock,
    script: Mutex<Option<Script>>,
    rewrite: Mutex<Option<(Rewrite, Rewrite)>>,
    frames: Mutex<Option<usize>>,
    is_flooded: AtomicBool,
    contacts: Mutex<Vec<(DateTime<Utc>, Contact)>>,
}

impl FaultyTransport {
    pub fn new(inner: SimTransport, clock: Clock) -> FaultyTransport {
        FaultyTransport {
            inner,
            clock,
            script: Mutex::default(),
            rewrite: Mutex::default(),
            frames: Mutex::default(),
            is_flooded: AtomicBool::default(),
            contacts: Mutex::default(),
        }
    }

    /// From now on every contact is decided by `script`.
    pub fn script(&self, script: impl Fn(&Contact) -> Deed + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// No more misbehaviour.
    pub fn behave(&self) {
        *self.script.lock().unwrap() = None;
    }

    /// Frames of connections opened from now on pass through these on their way out and in.
    pub fn rewrite(
        &self,
        out: impl Fn(String) -> String + Send + Sync + 'static,
        back: impl Fn(String) -> String + Send + Sync + 'static,
    ) {
        *self.rewrite.lock().unwrap() = Some((Arc::new(out), Arc::new(back)));
    }

    /// Frames of connections opened from now on are left as they are.
    pub fn leave_frames(&self) {
        *self.rewrite.lock().unwrap() = None;
        *self.frames.lock().unwrap() = None;
    }

    /// Connections opened from now on break after so many frames.
    pub fn break_after(&self, frames: usize) {
        *self.frames.lock().unwrap() = Some(frames);
    }

    /// Connections opened from now on always have something to read, at once.
    pub fn flood(&self) {
        self.is_flooded.store(true, Ordering::Relaxed);
    }

    /// Every contact with an exchange at or after `from`, with its time.
    pub fn contacts(&self, exchange: &str, from: DateTime<Utc>) -> Vec<(DateTime<Utc>, Contact)> {
        let contacts = self.contacts.lock().unwrap();
        contacts.iter().filter(|(at, contact)| *at >= from && contact.is_at(exchange)).cloned().collect()
    }

    async fn obey(&self, contact: Contact) -> Result<(), TransportError> {
        self.contacts.lock().unwrap().push((self.clock.now(), contact.clone()));
        let script = self.script.lock().unwrap().clone();
        match script.map_or(Deed::Proceed, |script| script(&contact)) {
            Deed::Proceed => Ok(()),
            Deed::Panic => panic!("the transport was told to panic"),
            Deed::Hang => std::future::pending().await,
            Deed::Late(by) => {
                self.clock.sleep(by).await;
                Ok(())
            }
            Deed::Fail | Deed::Refuse => {
                Err(TransportError::Connect { host: "sim".to_owned(), message: "told to refuse".to_owned() })
            }
        }
    }
}

/// Frames, and whenever there is none a pong. Each costs some of tokio's cooperative budget, as a read
/// of a socket does.
fn flooded(mut frames: Frames) -> impl Stream<Item = Result<Frame, TransportError>> + Send {
    stream::poll_fn(move |cx| {
        ready!(pin!(consume_budget()).poll(cx));
        match frames.poll_next_unpin(cx) {
            Poll::Pending => Poll::Ready(Some(Ok(Frame::Pong))),
            frame => frame,
        }
    })
}

#[async_trait]
impl Transport for FaultyTransport {
    async fn http(&self, request: &HttpRequest) -> Result<HttpReply, TransportError> {
        self.obey(Contact::Http(request.url.clone())).await?;
        self.inner.http(request).await
    }

    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError> {
        self.obey(Contact::Connect(url.to_owned())).await?;
        let mut socket = self.inner.connect(url).await?;
        if let Some(frames) = *self.frames.lock().unwrap() {
            socket.frames = Box::pin(socket.frames.take(frames));
        }
        if self.is_flooded.load(Ordering::Relaxed) {
            socket.frames = Box::pin(flooded(socket.frames));
        }
        let Some((out, back)) = self.rewrite.lock().unwrap().clone() else { return Ok(socket) };
        let frames = socket.frames.map(move |frame| match frame {
            Ok(Frame::Text(text)) => Ok(Frame::Text(back(text.as_str().to_owned()).into())),
            other => other,
        });
        let sink = socket.sink.with(move |frame| {
            let frame = match frame {
                Frame::Text(text) => Frame::Text(out(text.as_str().to_owned()).into()),
                other => other,
            };
            std::future::ready(Ok::<_, TransportError>(frame))
        });
        let sink: Pin<Box<dyn Sink<Frame, Error = TransportError> + Send>> = Box::pin(sink);
        Ok(WebSocket { frames: Box::pin(frames), sink })
    }
}
