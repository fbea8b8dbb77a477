//! The envelope of REST replies, and what the venue's codes mean.

use std::time::Duration;

use serde::Deserialize;

use super::wire::Envelope;
use crate::exchange::wire::malformed;
use crate::exchange::{ErrorKind, HttpReply, VenueError};

/// The windows of all limits are two seconds long.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(2);

/// The `data` of a reply. Statuses that tell a ban, a limit or an outage speak before the body; beside
/// the others the body's code does, because errors come with 200 too.
pub fn read<'a, T: Deserialize<'a>>(reply: &'a HttpReply) -> Result<Vec<T>, VenueError> {
    match (reply.status, reply.status_error()) {
        (429, Some(error)) => return Err(VenueError { kind: limited(reply.retry_after()), ..error }),
        (403 | 418 | 500.., Some(error)) => return Err(error),
        _ => {}
    }
    let envelope = serde_json::from_slice::<Envelope<'a>>(&reply.body);
    if let Ok(Envelope { code: Some(code), msg, .. }) = &envelope
        && code.0 != "0"
    {
        let words = msg.as_ref().map_or("", |msg| &*msg.0);
        return Err(VenueError::new(kind_of(code.0, reply.retry_after()), format!("{} {words}", code.0)));
    }
    if let Some(error) = reply.status_error() {
        return Err(error);
    }
    let fault = |error: serde_json::Error| malformed(format!("{error} in: {}", reply.excerpt()));
    let data = envelope.map_err(fault)?.data.ok_or_else(|| malformed(format!("no data in: {}", reply.excerpt())))?;
    serde_json::from_str(data.get()).map_err(fault)
}

fn limited(retry_after: Option<Duration>) -> ErrorKind {
    ErrorKind::RateLimited { retry_after: Some(retry_after.unwrap_or(RATE_LIMIT_WAIT)) }
}

/// The class of a code, of REST (5xxxx) and of the sockets (6xxxx).
pub fn kind_of(code: &str, retry_after: Option<Duration>) -> ErrorKind {
    match code {
        "50011" | "60014" => limited(retry_after),
        // The instrument does not exist; for sockets also: not at this address.
        "51001" | "60018" => ErrorKind::UnknownSymbol,
        // Parameters that are empty, missing or conflicting; a request the socket cannot read.
        "50014" | "50015" | "50024" | "60012" => ErrorKind::BadRequest,
        // Invalid parameters, and ids of another kind of instrument.
        _ if code.starts_with("51") => ErrorKind::BadRequest,
        // Maintenance, timeouts, overload (50001, 50004, 50005, 50013, 50026), and what nobody has documented.
        _ => ErrorKind::Unavailable,
    }
}
