//! One HTTP call, bounded in time and size.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, Url};
use rustls::ClientConfig;

use super::TransportError;
use super::net::{NetOptions, SetupError};
use crate::exchange::{HttpReply, HttpRequest, Method};

/// A client that does exactly what it is told: no environment, no redirects. A redirect is a reply:
/// followed silently it would spend budget nobody counted, and hide that a venue has moved.
pub(super) fn client(options: &NetOptions, tls: &ClientConfig) -> Result<Client, SetupError> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .tcp_nodelay(true)
        .no_proxy();
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(proxy.for_http()?);
    }
    builder.build().map_err(SetupError::Http)
}

/// Makes a call and reads its whole reply.
pub(super) async fn call(
    client: &Client,
    request: &HttpRequest,
    options: &NetOptions,
) -> Result<HttpReply, TransportError> {
    let url = Url::parse(&request.url)
        .map_err(|error| TransportError::Url { url: without_credentials(&request.url), message: error.to_string() })?;
    let host = authority(&url);
    let mut builder = match request.method {
        Method::Get => client.get(url),
        Method::Post => client.post(url),
    };
    if let Some(body) = &request.body {
        builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
    }
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    let response = builder.send().await.map_err(|error| failure(error, &host, options))?;
    let status = response.status().as_u16();
    let headers = text_headers(response.headers());
    let body = read_body(response, &host, options).await?;
    Ok(HttpReply { status, headers, body })
}

/// Header names (lower case, as the `http` crate keeps them) and those values that are text.
pub(super) fn text_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// Reads by chunks and counts what came out of decompression: a declared length is only a promise.
async fn read_body(mut response: Response, host: &str, options: &NetOptions) -> Result<Bytes, TransportError> {
    let limit_bytes = options.max_body_bytes;
    let declared = response.content_length().map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if declared > limit_bytes {
        return Err(TransportError::TooLarge { limit_bytes });
    }
    let mut body = BytesMut::with_capacity(declared);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if chunk.len() > limit_bytes - body.len() => {
                return Err(TransportError::TooLarge { limit_bytes });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(failure(error, host, options)),
        }
    }
}

fn failure(error: reqwest::Error, host: &str, options: &NetOptions) -> TransportError {
    if error.is_timeout() {
        let limit = if error.is_connect() { options.connect_timeout } else { options.read_timeout };
        return TransportError::Timeout(limit);
    }
    let is_connect = error.is_connect();
    let is_builder = error.is_builder();
    // The URL may carry credentials, and our message names the host.
    let message = causes(&error.without_url());
    if is_connect {
        TransportError::Connect { host: host.to_owned(), message }
    } else if is_builder {
        TransportError::Url { url: host.to_owned(), message }
    } else {
        TransportError::Lost(message)
    }
}

/// An error with its causes, each once.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// `host:port` of a URL, the port given or the scheme's own.
pub(super) fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// A URL, however broken, without what stands before an `@` in its authority.
pub(super) fn without_credentials(url: &str) -> String {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |length| start + length);
    match url[start..end].rfind('@') {
        Some(at) => format!("{}{}", &url[..start], &url[start + at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_credentials() {
        let cases = [
            ("https://user:secret@host/path?q=a@b", "https://host/path?q=a@b"),
            ("ws://se@cret@host", "ws://host"),
            ("user:secret@host", "host"),
            ("https://host/path@2", "https://host/path@2"),
            ("", ""),
        ];
        for (url, printed) in cases {
            assert_eq!(without_credentials(url), printed);
        }
    }
}
