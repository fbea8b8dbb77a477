//! Requests a dialect wants made and the replies it reads: plain data, shared with the transport.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{ErrorKind, VenueError};

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST with a JSON body.
    Post,
}

/// What a call costs, in units of one of the venue's declared limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Index into `Capabilities::limits`.
    pub limit: usize,
    /// Units (requests or weight).
    pub units: u32,
}

/// One HTTP call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Method.
    pub method: Method,
    /// Whole URL, query included, percent-encoded.
    pub url: String,
    /// Header names (lower case) and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body of a POST.
    pub body: Option<String>,
    /// What it costs.
    pub cost: Cost,
}

/// A complete reply, body read and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Header names (lower case) and values; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl HttpReply {
    /// A reply with a status and a body, for decoding stored bodies.
    pub fn new(status: u16, body: impl Into<Bytes>) -> HttpReply {
        HttpReply { status, headers: Vec::new(), body: body.into() }
    }

    /// The first header of a (lower case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `Retry-After` in seconds or as an HTTP date (which is compared with the reply's `Date`).
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let until = DateTime::parse_from_rfc2822(value).ok()?;
        (until.with_timezone(&Utc) - self.date()?).to_std().ok()
    }

    /// The server's clock at the reply, from the `Date` header (whole seconds).
    pub fn date(&self) -> Option<DateTime<Utc>> {
        let date = DateTime::parse_from_rfc2822(self.header("date")?).ok()?;
        Some(date.with_timezone(&Utc))
    }

    /// The body as text, invalid UTF-8 replaced, cut for messages.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The error of a status that no dialect reads further: 418 and 403 from an edge are bans,
    /// 429 and 999 are limits, 5xx and everything unexpected is an outage. `None` for 2xx.
    pub fn status_error(&self) -> Option<VenueError> {
        let retry_after = self.retry_after();
        let kind = match self.status {
            200..=299 => return None,
            403 | 418 => ErrorKind::Banned { retry_after },
            429 | 999 => ErrorKind::RateLimited { retry_after },
            404 | 400 | 422 => ErrorKind::BadRequest,
            _ => ErrorKind::Unavailable,
        };
        Some(VenueError::new(kind, format!("HTTP {}: {}", self.status, self.excerpt())))
    }
}

/// Percent-encodes a text for use in a path segment or a query value.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let mut reply = HttpReply::new(429, "");
        reply.headers = vec![("retry-after".into(), "7".into())];
        assert_eq!(reply.retry_after(), Some(Duration::from_secs(7)));
        reply.headers = vec![
            ("date".into(), "Fri, 20 Nov 2026 14:00:00 GMT".into()),
            ("retry-after".into(), "Fri, 20 Nov 2026 14:02:00 GMT".into()),
        ];
        assert_eq!(reply.retry_after(), Some(Duration::from_secs(120)));
        reply.headers = vec![("retry-after".into(), "soon".into())];
        assert_eq!(reply.retry_after(), None);
    }

    #[test]
    fn reserved_characters_are_percent_encoded() {
        assert_eq!(percent_encode("^GSPC"), "%5EGSPC");
        assert_eq!(percent_encode("EURUSD=X"), "EURUSD%3DX");
        assert_eq!(percent_encode("币"), "%E5%B8%81");
    }
}
