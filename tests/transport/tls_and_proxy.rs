//! TLS with an authority of our own, and proxies, for calls and connections alike.

use std::sync::Arc;

use candlewick::transport::net::{NetOptions, NetTransport, SetupError};
use candlewick::transport::{Frame, Transport, TransportError};
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::servers::{Server, get, header, impatient, read_request, reply, serve, serve_bytes, transport};

/// An authority's certificate in a file, and a server configuration it vouches for, for `localhost`.
fn authority() -> (NamedTempFile, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (file, TlsAcceptor::from(Arc::new(config)))
}

/// An HTTPS server that says `secure`.
async fn serve_https(tls: TlsAcceptor) -> Server {
    serve(move |stream| {
        let tls = tls.clone();
        async move {
            if let Ok(mut stream) = tls.accept(stream).await {
                read_request(&mut stream).await;
                stream.write_all(reply("200 OK", "secure").as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    })
    .await
}

/// A secure WebSocket server that says `secure`.
async fn serve_wss(tls: TlsAcceptor) -> Server {
    serve(move |stream| {
        let tls = tls.clone();
        async move {
            if let Ok(stream) = tls.accept(stream).await {
                let mut socket = accept_async(stream).await.unwrap();
                socket.send(Message::text("secure")).await.unwrap();
                while socket.next().await.is_some() {}
            }
        }
    })
    .await
}

/// Calls and connects, and expects both servers' greetings.
async fn expect_both(transport: &NetTransport, https: &Server, wss: &Server) {
    assert_eq!(transport.http(&get(https.url("https", "/"))).await.unwrap().body, "secure");
    let mut connection = transport.connect(&wss.url("wss", "/")).await.unwrap();
    assert_eq!(connection.frames.next().await.unwrap().unwrap(), Frame::Text("secure".into()));
}

/// Calls and connects, and expects that neither finds a connection; returns the two causes.
async fn expect_neither(transport: &NetTransport, https: &Server, wss: &Server) -> [String; 2] {
    let errors = [
        transport.http(&get(https.url("https", "/"))).await.unwrap_err(),
        transport.connect(&wss.url("wss", "/")).await.unwrap_err(),
    ];
    let ports = [https.address.port(), wss.address.port()];
    let mut ports = ports.into_iter();
    errors.map(|error| match error {
        TransportError::Connect { host, message } => {
            assert_eq!(host, format!("localhost:{}", ports.next().unwrap()));
            message
        }
        other => panic!("{other:?}"),
    })
}

fn trusting(file: &NamedTempFile) -> NetOptions {
    NetOptions { ca_file: Some(file.path().to_owned()), ..NetOptions::default() }
}

#[tokio::test]
async fn an_authority_of_our_own_is_trusted_and_an_unknown_one_refused() {
    let (file, tls) = authority();
    let (https, wss) = (serve_https(tls.clone()).await, serve_wss(tls).await);
    expect_both(&transport(trusting(&file)), &https, &wss).await;
    for message in expect_neither(&transport(NetOptions::default()), &https, &wss).await {
        assert!(message.contains("UnknownIssuer"), "{message}");
    }
}

#[test]
fn an_unusable_ca_file_is_told_by_name() {
    let file = NamedTempFile::new().unwrap();
    let Err(SetupError::CaFile { path, message }) = NetTransport::new(trusting(&file)) else {
        panic!("an empty file was accepted");
    };
    assert_eq!((path.as_path(), message.as_str()), (file.path(), "it holds no certificate"));

    let absent = NetOptions { ca_file: Some(file.path().with_extension("absent")), ..NetOptions::default() };
    let error = NetTransport::new(absent).unwrap_err();
    assert!(matches!(error, SetupError::CaFile { .. }), "{error:?}");
}

/// What a proxy was asked for, and with which credentials.
type Asked = (String, Option<String>);

/// An HTTP proxy that tunnels wherever it is asked to.
async fn serve_connect_proxy() -> (Server, UnboundedReceiver<Asked>) {
    let (asked, received) = unbounded_channel();
    let server = serve(move |mut stream| {
        let asked: UnboundedSender<Asked> = asked.clone();
        async move {
            let head = read_request(&mut stream).await;
            let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
            asked.send((target.clone(), header(&head, "proxy-authorization").map(str::to_owned))).unwrap();
            let mut upstream = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
    })
    .await;
    (server, received)
}

/// The bytes that follow a count, which follows `prefix` bytes nobody looks at.
async fn read_counted(stream: &mut TcpStream, prefix: usize) -> Vec<u8> {
    let mut head = vec![0; prefix + 1];
    stream.read_exact(&mut head).await.unwrap();
    let mut bytes = vec![0; usize::from(head[prefix])];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// A SOCKS5 proxy (RFC 1928, 1929) that wants a user and password and tunnels to names.
async fn serve_socks_proxy() -> (Server, UnboundedReceiver<Asked>) {
    let (asked, received) = unbounded_channel();
    let server = serve(move |mut stream| {
        let asked: UnboundedSender<Asked> = asked.clone();
        async move {
            // Greeting: version and methods, of which 2 is user and password.
            let methods = read_counted(&mut stream, 1).await;
            assert!(methods.contains(&2), "{methods:?}");
            stream.write_all(&[5, 2]).await.unwrap();
            let user = read_counted(&mut stream, 1).await;
            let password = read_counted(&mut stream, 0).await;
            let credentials = String::from_utf8([&user[..], b":", &password].concat()).unwrap();
            stream.write_all(&[1, 0]).await.unwrap();
            // Version, command, reserved, kind of address (3 is a name), the name, the port.
            let name = read_counted(&mut stream, 4).await;
            let target = format!("{}:{}", String::from_utf8(name).unwrap(), stream.read_u16().await.unwrap());
            asked.send((target.clone(), Some(credentials))).unwrap();
            let mut upstream = TcpStream::connect(target).await.unwrap();
            stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
    })
    .await;
    (server, received)
}

async fn expect_tunnels(scheme: &str, proxy: Server, mut asked: UnboundedReceiver<Asked>, credentials: &str) {
    let (file, tls) = authority();
    let (https, wss) = (serve_https(tls.clone()).await, serve_wss(tls).await);
    let proxy_url = format!("{scheme}://user:se%3Acret@{}", proxy.address);
    let options = NetOptions { proxy: Some(proxy_url.parse().unwrap()), ..trusting(&file) };
    expect_both(&transport(options), &https, &wss).await;
    for server in [&https, &wss] {
        let target = format!("localhost:{}", server.address.port());
        assert_eq!(asked.recv().await, Some((target, Some(credentials.to_owned()))));
    }
}

#[tokio::test]
async fn an_http_proxy_tunnels_calls_and_connections() {
    let (proxy, asked) = serve_connect_proxy().await;
    // user:se:cret
    expect_tunnels("http", proxy, asked, "Basic dXNlcjpzZTpjcmV0").await;
}

#[tokio::test]
async fn a_socks_proxy_tunnels_calls_and_connections() {
    let (proxy, asked) = serve_socks_proxy().await;
    expect_tunnels("socks5", proxy, asked, "user:se:cret").await;
}

#[tokio::test]
async fn a_proxy_that_refuses_leaves_no_connection_and_no_credentials_in_the_message() {
    let (file, tls) = authority();
    let (https, wss) = (serve_https(tls.clone()).await, serve_wss(tls).await);
    let proxy = serve_bytes("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    let proxy_url = format!("http://user:secret@{}", proxy.address);
    let options =
        NetOptions { proxy: Some(proxy_url.parse().unwrap()), ca_file: trusting(&file).ca_file, ..impatient() };
    for message in expect_neither(&transport(options), &https, &wss).await {
        assert!(message.contains("proxy auth") && !message.contains("secret"), "{message}");
    }
}
