//! Commands over HTTP: one JSON object in, its reply out.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentType};
use actix_web::{HttpRequest, HttpResponse, web};

use super::problem::Problem;
use super::{Face, access};
use crate::control::{Asker, Command, RefusalKind, Reply};

/// Longest body.
const BODY_BYTES: usize = 64 * 1024;
/// Longest time in which it may come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// `POST /control`.
pub(super) async fn control(
    request: HttpRequest,
    payload: web::Payload,
    face: web::Data<Face>,
) -> Result<HttpResponse, Problem> {
    access::check_intent(&face, request.headers())?;
    if !is_json(&request) {
        let words = "a command is JSON; send Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let body = body(payload).await?;
    let text = std::str::from_utf8(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body is no UTF-8 text: {error}")))?;
    let command = match Command::from_json(text, Asker::Http) {
        Ok(command) => command,
        Err(reply) => return Ok(answer(&reply)),
    };
    match tokio::time::timeout(REPLY_TIMEOUT, face.remote.command(command)).await {
        Ok(Some(reply)) => Ok(answer(&reply)),
        Ok(None) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the collector has ended")),
        Err(_) => {
            let words = "no reply yet; send the same command with the same id again to hear what became of it";
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, words))
        }
    }
}

fn is_json(request: &HttpRequest) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

async fn body(payload: web::Payload) -> Result<web::Bytes, Problem> {
    let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a command has at most {BODY_BYTES} bytes"));
    match tokio::time::timeout(BODY_TIMEOUT, payload.to_bytes_limited(BODY_BYTES)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(error))) => Err(Problem::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

fn answer(reply: &Reply) -> HttpResponse {
    let status = match reply.error.as_ref().map(|refusal| refusal.kind) {
        None => StatusCode::OK,
        Some(RefusalKind::Malformed) => StatusCode::BAD_REQUEST,
        Some(RefusalKind::Invalid) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(RefusalKind::Unknown) => StatusCode::NOT_FOUND,
        Some(RefusalKind::Conflict) => StatusCode::CONFLICT,
        Some(RefusalKind::Store | RefusalKind::Stopping) => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpResponse::build(status).insert_header(ContentType::json()).body(reply.to_json())
}
