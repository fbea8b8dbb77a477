//! Faults as `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;

/// Paths there are, for those who ask for another one.
const PATHS: &str = "/live /ready /status /metrics /control";

/// A request that is not answered as its asker hoped.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    /// A fault and what to do about it.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), header: None }
    }

    /// With a header that belongs to its status.
    pub(super) fn with(self, name: HeaderName, value: &'static str) -> Problem {
        Problem { header: Some((name, HeaderValue::from_static(value))), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Fault"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let mut response = HttpResponse::build(self.status);
        if let Some(header) = &self.header {
            response.insert_header(header.clone());
        }
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.body(serde_json::to_string(&body).expect("texts and numbers are JSON"))
    }
}

/// There is nothing at a path.
pub(super) async fn unknown_path(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is at {path}; there are: {PATHS}")).error_response()
}

/// A path does not know a method.
pub(super) async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let method = if request.path() == "/control" { "POST" } else { "GET, HEAD" };
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} takes {method}", request.path()))
        .with(header::ALLOW, method)
        .error_response()
}
