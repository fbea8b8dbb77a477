//! The venue's error codes, of REST and of the stream.

use std::time::Duration;

use crate::exchange::ErrorKind;

/// Who exceeds a limit is locked out of the endpoint for a minute.
const LOCKED_OUT: Duration = Duration::from_secs(60);

/// A refusal for calling too often.
pub const LIMITED: ErrorKind = ErrorKind::RateLimited { retry_after: Some(LOCKED_OUT) };

/// The class of an error of REST. Messages begin with the parameter that is meant.
pub fn of_rest(code: u64, message: &str) -> ErrorKind {
    match code {
        10_020 => about_parameter(message),
        11_010 => LIMITED,
        // Unknown and generic errors, maintenance, and codes nobody has documented: it may pass.
        _ => ErrorKind::Unavailable,
    }
}

/// The class of an error of the stream.
pub fn of_stream(code: u64, message: &str) -> ErrorKind {
    match code {
        10_001 => ErrorKind::UnknownSymbol,
        10_300 => about_parameter(message),
        10_305 | 11_010 => ErrorKind::RateLimited { retry_after: None },
        10_000 | 10_302 | 10_400 | 10_401 => ErrorKind::BadRequest,
        _ => ErrorKind::Unavailable,
    }
}

/// `symbol: invalid` against `limit: invalid`.
fn about_parameter(message: &str) -> ErrorKind {
    match message.split_once(':') {
        Some((parameter, _)) if parameter.trim() == "symbol" => ErrorKind::UnknownSymbol,
        _ => ErrorKind::BadRequest,
    }
}
