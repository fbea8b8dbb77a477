//! The bytes between us and the server: the socket, TLS, and an ear for error codes.
//!
//! diesel hands on the text of an error, which the server may say in any language, and not its
//! code (SQLSTATE). The code is therefore read as it passes: [`Tap`] follows the frames of the
//! protocol (a type byte, a length, a body), looks into error responses only, and changes nothing.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::Host;
use tokio_rustls::TlsConnector;

use super::location::{Location, TlsMode};
use super::tls::server_name;

/// A socket, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What the tap has heard so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    code: Mutex<Option<String>>,
    is_closed: AtomicBool,
}

impl Heard {
    /// The code of the last error response, which is forgotten.
    pub(super) fn take_code(&self) -> Option<String> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// True once the server has hung up or the network failed.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn set_code(&self, code: String) {
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
    }

    /// Nobody listens any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }
}

/// Largest error response that is looked into; real ones have some hundred bytes.
const MOST_BYTES: usize = 64 * 1024;
const ERROR_RESPONSE: u8 = b'E';

/// Follows frames through arbitrary pieces of the stream.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of the body that are still to come.
    rest: usize,
    is_error: bool,
}

impl Frames {
    /// Takes the next bytes; gives the code of every error response that ends in them.
    fn follow(&mut self, mut bytes: &[u8], mut found: impl FnMut(String)) {
        while let Some(&first) = bytes.first() {
            if self.rest == 0 {
                self.head.push(first);
                bytes = &bytes[1..];
                if let [kind, length @ ..] = self.head.as_slice()
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    // The length counts itself.
                    self.rest = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                    self.is_error = *kind == ERROR_RESPONSE && self.rest <= MOST_BYTES;
                    self.head.clear();
                }
                continue;
            }
            let (part, after) = bytes.split_at(self.rest.min(bytes.len()));
            if self.is_error {
                self.body.extend_from_slice(part);
            }
            self.rest -= part.len();
            bytes = after;
            if self.rest == 0 && self.is_error {
                if let Some(code) = code_of(&self.body) {
                    found(code);
                }
                self.body.clear();
            }
        }
    }
}

/// The field `C` of an error response: fields are a letter and a text that ends with a zero.
fn code_of(body: &[u8]) -> Option<String> {
    let field = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&b'C'))?;
    std::str::from_utf8(&field[1..]).ok().map(str::to_owned)
}

/// A stream that is listened to.
pub(super) struct Tap {
    stream: Box<dyn Stream>,
    frames: Frames,
    heard: Arc<Heard>,
}

impl AsyncRead for Tap {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let this = self.get_mut();
        match &polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                let heard = &this.heard;
                this.frames.follow(&buffer.filled()[before..], |code| heard.set_code(code));
            }
            Poll::Ready(_) => this.heard.close(),
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Err(_)) = polled {
            self.heard.close();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Tap {
    /// Connects to the first host of the location that answers, in the order of the URL.
    pub(super) async fn connect(location: &Location, tls: &TlsConnector, heard: Arc<Heard>) -> io::Result<Tap> {
        let config = &location.config;
        let (ports, addresses) = (config.get_ports(), config.get_hostaddrs());
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the URL names no host");
        for (at, host) in config.get_hosts().iter().enumerate() {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            let dialling = async {
                match host {
                    Host::Unix(folder) => {
                        Ok(Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?) as Box<_>)
                    }
                    Host::Tcp(name) => {
                        let stream = match addresses.get(at) {
                            Some(address) => TcpStream::connect((*address, port)).await?,
                            None => TcpStream::connect((name.as_str(), port)).await?,
                        };
                        prepare(&stream, config)?;
                        encrypted(stream, name, location.tls, tls).await
                    }
                }
            };
            let limit = config.get_connect_timeout().copied().unwrap_or_default();
            match tokio::time::timeout(limit, dialling).await {
                Ok(Ok(stream)) => return Ok(Tap { stream, frames: Frames::default(), heard }),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")),
            }
        }
        Err(last)
    }
}

/// A peer that vanishes without a word is noticed.
fn prepare(stream: &TcpStream, config: &tokio_postgres::Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if config.get_keepalives() {
        let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(interval) = config.get_keepalives_interval() {
            keepalive = keepalive.with_interval(interval);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
    Ok(())
}

/// Asks the server whether it speaks TLS (`SSLRequest`; it answers with one byte) and begins it.
async fn encrypted(
    mut stream: TcpStream,
    host: &str,
    mode: TlsMode,
    tls: &TlsConnector,
) -> io::Result<Box<dyn Stream>> {
    if mode == TlsMode::Disable {
        return Ok(Box::new(stream));
    }
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => Ok(Box::new(tls.connect(server_name(host)?, stream).await?)),
        _ if mode == TlsMode::Prefer => Ok(Box::new(stream)),
        _ => Err(io::Error::other("the server does not speak TLS, which sslmode asks for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind], length.as_slice(), body].concat()
    }

    #[test]
    fn codes_are_heard_however_the_stream_is_cut() {
        let error = |code: &str| frame(b'E', format!("SERROR\0VERROR\0C{code}\0Mkein Platz\0\0").as_bytes());
        let stream = [
            frame(b'R', &[0, 0, 0, 0]),
            frame(b'Z', b"I"),
            error("53100"),
            // A row that looks like an error response is none.
            frame(b'D', b"E\0\0\0\x05C00000\0"),
            frame(b'1', b""),
            error("57P01"),
        ]
        .concat();
        let mut cuts = 0;
        for size in 1..stream.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in stream.chunks(size) {
                frames.follow(piece, |code| found.push(code));
            }
            assert_eq!(found, ["53100", "57P01"], "pieces of {size} bytes");
            cuts += 1;
        }
        assert!(cuts > 50);
    }
}
