//! Requests and replies of the simulator as plain data, and what they need of HTTP's text forms.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// An HTTP request as it reached the simulator.
#[derive(Debug, Clone)]
pub struct SimRequest {
    /// `GET`, `POST` ...
    pub method: String,
    /// Path and query, percent-encoded, from the leading slash.
    pub target: String,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Who asks; limits are counted per address.
    pub peer: IpAddr,
}

impl SimRequest {
    /// A GET without headers from this machine.
    pub fn get(target: impl Into<String>) -> SimRequest {
        SimRequest {
            method: "GET".into(),
            target: target.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            peer: IpAddr::from([127, 0, 0, 1]),
        }
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: &str) -> SimRequest {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How a reply travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At once and complete.
    Whole,
    /// The connection ends after this many bytes of the body; its announced length stays whole.
    TruncateAt(usize),
    /// The connection is refused: there is no reply.
    Refuse,
    /// No answer ever comes.
    Hang,
    /// Complete, but this much later in simulated time.
    DelayBy(Duration),
}

/// An HTTP reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimReply {
    /// Status code.
    pub status: u16,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How it travels.
    pub delivery: Delivery,
}

impl SimReply {
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> SimReply {
        SimReply::typed(status, "application/json", body)
    }

    pub(crate) fn typed(status: u16, content_type: &str, body: impl Into<Bytes>) -> SimReply {
        SimReply {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            body: body.into(),
            delivery: Delivery::Whole,
        }
    }

    pub(crate) fn undelivered(delivery: Delivery) -> SimReply {
        SimReply { status: 0, headers: Vec::new(), body: Bytes::new(), delivery }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl ToString) -> SimReply {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The first header of a (lower case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request's path and query, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Percent-decoded path.
    pub(crate) path: String,
    query: Vec<(String, String)>,
}

impl Target {
    pub(crate) fn parse(target: &str) -> Target {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name, true), decode(value, true))
        });
        Target { path: decode(path, false), query: query.collect() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Adds the pairs of a form body: Kraken takes its parameters in either place.
    pub(crate) fn add_form(&mut self, body: &str) {
        self.query.extend(Target::parse(&format!("?{body}")).query);
    }
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A text as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Joins printed items with commas.
pub(crate) fn joined<T>(items: impl IntoIterator<Item = T>, mut print: impl FnMut(&mut String, T)) -> String {
    let mut out = String::new();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        print(&mut out, item);
    }
    out
}

/// RFC 3339 with a fixed number of fraction digits (0, 3, 6 or 9) and `Z`.
pub(crate) fn rfc3339(time_ns: i64, digits: usize) -> String {
    let time = DateTime::<Utc>::from_timestamp_nanos(time_ns);
    let mut text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
    if digits > 0 {
        let fraction = format!("{:09}", time_ns.rem_euclid(1_000_000_000));
        let _ = write!(text, ".{}", &fraction[..digits.min(9)]);
    }
    text.push('Z');
    text
}

/// The form of `Date` headers.
pub(crate) fn http_date(time_ns: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(time_ns).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_decoded() {
        let target = Target::parse("/yahoo/v8/finance/chart/%5EGSPC?symbols=%5B%22A%22%5D&q=a+b&flag");
        assert_eq!(target.path, "/yahoo/v8/finance/chart/^GSPC");
        assert_eq!(
            (target.get("symbols"), target.get("q"), target.get("flag")),
            (Some("[\"A\"]"), Some("a b"), Some(""))
        );
        assert_eq!(Target::parse("/a%zz%").path, "/a%zz%");
    }

    #[test]
    fn times_are_printed_in_the_forms_of_the_wire() {
        let time = 1_795_183_200_004_112_908;
        assert_eq!(rfc3339(time, 9), "2026-11-20T14:00:00.004112908Z");
        assert_eq!(rfc3339(time, 6), "2026-11-20T14:00:00.004112Z");
        assert_eq!(http_date(time), "Fri, 20 Nov 2026 14:00:00 GMT");
    }
}
