//! The way to a host: straight, through an HTTP proxy (CONNECT) or through a SOCKS5 proxy.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hyper::service::Service;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use reqwest::Url;
use tokio::net::TcpStream;

use super::http::causes;
use super::net::SetupError;

/// Address of a proxy, `http://` or `socks5://`, with or without `user:password@`. The proxy
/// resolves names. Printed without its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

impl FromStr for Proxy {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Proxy, SetupError> {
        let mut url = Url::parse(text).map_err(|_| SetupError::Proxy("it is not a URL such as http://host:port"))?;
        match (url.scheme(), url.port()) {
            ("http", _) | ("socks5h", Some(_)) => {}
            // The h means that the proxy resolves names. Ours would block a thread for it.
            ("socks5" | "socks5h", port) => {
                let port = port.unwrap_or(1080);
                let is_set = url.set_scheme("socks5h").is_ok() && url.set_port(Some(port)).is_ok();
                if !is_set {
                    return Err(SetupError::Proxy("it names no host"));
                }
            }
            _ => return Err(SetupError::Proxy("its address must begin with http:// or socks5://")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(SetupError::Proxy("it names no host"));
        }
        Ok(Proxy(url))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = if self.0.username().is_empty() { "" } else { "…@" };
        write!(f, "{}://{hidden}{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Proxy {
    /// The proxy as reqwest takes it.
    pub(super) fn for_http(&self) -> Result<reqwest::Proxy, SetupError> {
        reqwest::Proxy::all(self.0.clone()).map_err(SetupError::Http)
    }

    /// Its address and decoded credentials apart.
    fn parts(&self) -> Option<Intercept> {
        let anywhere = hyper::Uri::from_static("http://host.invalid/");
        Matcher::builder().all(self.0.as_str()).build().intercept(&anywhere)
    }
}

/// Makes TCP connections for WebSockets. Names with several addresses are tried side by side, so
/// that a host whose IPv6 is broken does not cost the whole timeout.
#[derive(Clone)]
pub(super) enum Dialer {
    Straight(TowerToHyperService<HttpConnector>),
    Connect(TowerToHyperService<Tunnel<HttpConnector>>),
    Socks(TowerToHyperService<SocksV5<HttpConnector>>),
}

impl Dialer {
    pub(super) fn new(proxy: Option<&Proxy>) -> Result<Dialer, SetupError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // A peer that vanished without a word is found by the kernel too, whatever callers expect.
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let Some(proxy) = proxy else {
            return Ok(Dialer::Straight(TowerToHyperService::new(tcp)));
        };
        let parts = proxy.parts().ok_or(SetupError::Proxy("its address cannot be used"))?;
        if proxy.0.scheme() == "http" {
            let tunnel = Tunnel::new(parts.uri().clone(), tcp);
            let tunnel = match parts.basic_auth() {
                Some(auth) => tunnel.with_auth(auth.clone()),
                None => tunnel,
            };
            return Ok(Dialer::Connect(TowerToHyperService::new(tunnel)));
        }
        let socks = SocksV5::new(parts.uri().clone(), tcp);
        let socks = match parts.raw_auth() {
            Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
            None => socks,
        };
        Ok(Dialer::Socks(TowerToHyperService::new(socks)))
    }

    /// A connection to `host:port`, or why there is none.
    pub(super) async fn dial(&self, authority: &str) -> Result<TcpStream, String> {
        let uri = hyper::Uri::builder().scheme("http").authority(authority).path_and_query("/").build();
        let uri = uri.map_err(|error| error.to_string())?;
        let stream = match self {
            Dialer::Straight(dialer) => dialer.call(uri).await.map_err(|error| causes(&error)),
            Dialer::Connect(dialer) => dialer.call(uri).await.map_err(|error| causes(&error)),
            Dialer::Socks(dialer) => dialer.call(uri).await.map_err(|error| causes(&error)),
        };
        stream.map(TokioIo::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_printed_without_its_credentials() {
        let cases = [
            ("http://127.0.0.1:3128", "http://127.0.0.1:3128"),
            ("http://user:secret@proxy.example:3128/", "http://…@proxy.example:3128"),
            ("socks5://user:secret@proxy.example", "socks5h://…@proxy.example:1080"),
            ("socks5h://proxy.example:9050", "socks5h://proxy.example:9050"),
        ];
        for (text, printed) in cases {
            assert_eq!(format!("{:?}", text.parse::<Proxy>().unwrap()), printed);
        }
    }

    #[test]
    fn credentials_are_percent_decoded() {
        let proxy: Proxy = "socks5://us%40er:se%3Acret@proxy.example".parse().unwrap();
        assert_eq!(proxy.parts().unwrap().raw_auth(), Some(("us@er", "se:cret")));
    }

    #[test]
    fn an_unusable_proxy_says_why_without_repeating_it() {
        let faults = ["secret", "https://user:secret@host", "ftp://secret", "socks5:secret"]
            .map(|text| text.parse::<Proxy>().unwrap_err().to_string());
        assert_eq!(
            faults,
            [
                "cannot use the proxy: it is not a URL such as http://host:port",
                "cannot use the proxy: its address must begin with http:// or socks5://",
                "cannot use the proxy: its address must begin with http:// or socks5://",
                "cannot use the proxy: it names no host",
            ]
        );
    }
}
