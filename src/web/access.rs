//! Who is let in: the rate, the token, and on loopback the name by which we were called.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use tokio::time::Instant;

use super::Face;
use super::problem::Problem;
use super::rate::Rate;
use crate::config::Secret;

/// Says that a command was meant: no web page can send it without being asked first.
const INTENT: HeaderName = HeaderName::from_static("x-candlewick");

/// See the module.
pub(super) struct Door {
    token: Option<Secret>,
    rate: Mutex<Rate>,
}

impl Door {
    pub(super) fn new(token: Option<Secret>) -> Door {
        Door { token, rate: Mutex::default() }
    }

    fn check(&self, request: &ServiceRequest) -> Result<(), Problem> {
        let who = request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).admits(who, Instant::now()) {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; wait a second")
                .with(header::RETRY_AFTER, "1"));
        }
        match &self.token {
            // It tells nothing but that somebody answers.
            Some(_) if request.path() == "/live" => Ok(()),
            Some(token) => check_token(token, request.headers()),
            None => check_name(request.headers()),
        }
    }
}

/// Lets in or refuses, and says how answers may be used.
pub(super) async fn guard(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let checked = match request.app_data::<web::Data<Face>>() {
        Some(face) => face.door.check(&request),
        None => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no collector")),
    };
    let mut response = match checked {
        Ok(()) => next.call(request).await?,
        Err(problem) => request.into_response(problem.error_response()),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Refuses what a web page may have sent. Commands say that they are meant by a token (which
/// [`Door`] has checked) or by a header that pages cannot set.
pub(super) fn check_intent(face: &Face, headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "commands are not taken from web pages (Origin header)"));
    }
    let is_meant = headers.get(INTENT).is_some_and(|value| value.as_bytes() == b"1");
    if face.door.token.is_some() || is_meant {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "a command needs the header X-Candlewick: 1"))
}

fn check_token(token: &Secret, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if given.is_some_and(|(_, given)| is_same(given.trim().as_bytes(), token.text().as_bytes())) {
        return Ok(());
    }
    let words = if given.is_some() { "the token is not the right one" } else { "send Authorization: Bearer TOKEN" };
    Err(Problem::new(StatusCode::UNAUTHORIZED, words).with(header::WWW_AUTHENTICATE, "Bearer realm=\"candlewick\""))
}

/// Equality whose time does not tell where two texts differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// A page of another site can reach loopback through a name that it made point there; the request
/// then carries that name.
fn check_name(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    if host.to_str().is_ok_and(is_own_name) {
        return Ok(());
    }
    let words = "without a token only localhost is answered; set web.token to be reached by another name";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, words))
}

fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for own in ["localhost", "LOCALHOST:8790", "127.0.0.1", "127.0.0.1:8790", "127.8.8.8:1", "[::1]:8790", "[::1]"]
        {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in ["", "evil.example", "localhost.evil.example:8790", "10.0.0.1:8790", "[::2]:1", "127.0.0.1.nip"]
        {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same(b"secret", b"secret"));
        for other in [&b"secre"[..], b"secret1", b"Secret", b""] {
            assert!(!is_same(b"secret", other));
        }
    }
}
