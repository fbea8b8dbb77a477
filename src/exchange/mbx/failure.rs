//! Bodies of REST replies, and what the venue means when it refuses.

use super::Product;
use super::token::quoted_fractions;
use super::wire::Failure;
use crate::exchange::wire::malformed;
use crate::exchange::{ErrorKind, HttpReply, VenueError};

/// Decodes the body of a good reply; where that fails on bare fractions, once more with quotes
/// around them.
pub fn read<R>(
    product: &Product,
    reply: &HttpReply,
    decode: impl Fn(&str) -> Result<Result<R, VenueError>, serde_json::Error>,
) -> Result<R, VenueError> {
    if reply.status_error().is_some() {
        return Err(failure(product, reply, None));
    }
    let text = String::from_utf8_lossy(&reply.body);
    let decoded = decode(&text).or_else(|fault| quoted_fractions(&text).map_or(Err(fault), |quoted| decode(&quoted)));
    decoded.unwrap_or_else(|fault| Err(failure(product, reply, Some(fault))))
}

/// The error of a reply, by status where an edge speaks, else by the venue's own code. `fault` is
/// what was wrong with the body of a reply that claims success.
fn failure(product: &Product, reply: &HttpReply, fault: Option<serde_json::Error>) -> VenueError {
    let body = serde_json::from_slice::<Failure<'_>>(&reply.body).ok();
    let (retry_after, name) = (reply.retry_after(), product.capabilities.name);
    let (kind, advice) = match (reply.status, &body) {
        (418, _) => (ErrorKind::Banned { retry_after }, String::new()),
        (429, _) => (ErrorKind::RateLimited { retry_after }, String::new()),
        (403, _) => (
            ErrorKind::Banned { retry_after },
            format!("{name}'s firewall refuses this address, slow down or use another; "),
        ),
        (451, _) => (
            ErrorKind::Banned { retry_after },
            format!("{name} refuses the country of this address, {}", product.refused_country),
        ),
        (500.., _) => (ErrorKind::Unavailable, String::new()),
        (_, Some(failure)) => (kind_of_code(failure.code), String::new()),
        (_, None) => match (fault, reply.status_error()) {
            (None, Some(error)) => return error,
            (fault, _) => {
                let fault = fault.map_or_else(String::new, |fault| fault.to_string());
                return malformed(format!("{fault} in: {}", reply.excerpt()));
            }
        },
    };
    let words = body.map_or_else(|| reply.excerpt(), |failure| format!("{} {}", failure.code, failure.msg));
    VenueError::new(kind, format!("{advice}HTTP {}: {words}", reply.status))
}

/// The class of the venue's own (negative) error codes.
pub fn kind_of_code(code: i64) -> ErrorKind {
    match code {
        -1121 => ErrorKind::UnknownSymbol,
        -1003 => ErrorKind::RateLimited { retry_after: None },
        // Unknown, disconnected, unexpected response, timeout, overloaded, shutting down.
        -1000 | -1001 | -1006 | -1007 | -1008 | -1016 => ErrorKind::Unavailable,
        // Characters, parameters, intervals and values that the venue does not take.
        _ if code < 0 => ErrorKind::BadRequest,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::{decode_candles, decode_instruments, decode_trades};
    use super::*;
    use crate::exchange::binance::SPOT;
    use crate::market::Timeframe;
    use std::time::Duration;

    const UNKNOWN_SYMBOL_BODY: &str = include_str!("../../../tests/fixtures/binance/error_unknown_symbol.json");

    #[test]
    fn errors_are_classed_by_status_and_by_the_venues_code() {
        let retry_after = Some(Duration::from_secs(30));
        let coded = |code: i64| format!("{{\"code\":{code},\"msg\":\"words\"}}");
        let html = || "<html><body>Bad Gateway</body></html>".to_owned();
        let cases = [
            (400, UNKNOWN_SYMBOL_BODY.to_owned(), ErrorKind::UnknownSymbol),
            (400, coded(-1120), ErrorKind::BadRequest),
            (400, coded(-1100), ErrorKind::BadRequest),
            (400, coded(-1101), ErrorKind::BadRequest),
            (400, coded(-1130), ErrorKind::BadRequest),
            (400, coded(-1003), ErrorKind::RateLimited { retry_after: None }),
            (200, coded(-1121), ErrorKind::UnknownSymbol),
            (429, coded(-1003), ErrorKind::RateLimited { retry_after }),
            (418, coded(-1003), ErrorKind::Banned { retry_after }),
            (403, html(), ErrorKind::Banned { retry_after }),
            (451, coded(0), ErrorKind::Banned { retry_after }),
            (400, coded(-1000), ErrorKind::Unavailable),
            (400, coded(-1001), ErrorKind::Unavailable),
            (500, coded(-1006), ErrorKind::Unavailable),
            (408, coded(-1007), ErrorKind::Unavailable),
            (503, coded(-1008), ErrorKind::Unavailable),
            (502, html(), ErrorKind::Unavailable),
            (404, html(), ErrorKind::BadRequest),
            (200, html(), ErrorKind::Malformed),
        ];
        let mut seen = 0;
        for (status, body, kind) in cases {
            let mut reply = HttpReply::new(status, body.clone());
            if matches!(status, 403 | 418 | 429 | 451) {
                reply.headers = vec![("retry-after".into(), "30".into())];
            }
            let found = decode_candles(&SPOT, Timeframe::M1, &reply).map_err(|error| error.kind);
            assert_eq!(found, Err(kind), "{status} {body}");
            assert_eq!(decode_trades(&SPOT, &reply).map_err(|error| error.kind), Err(kind), "{status} {body}");
            assert_eq!(
                decode_instruments(&SPOT, None, &reply).map_err(|error| error.kind),
                Err(kind),
                "{status} {body}"
            );
            seen += 1;
        }
        assert_eq!(seen, 19);
    }

    #[test]
    fn a_refused_country_is_told_what_to_do() {
        let reply = HttpReply::new(451, r#"{"code":0,"msg":"Service unavailable from a restricted location"}"#);
        assert_eq!(
            decode_candles(&SPOT, Timeframe::M1, &reply).unwrap_err().to_string(),
            "banned: Binance refuses the country of this address, set the REST URL to \
             https://data-api.binance.vision and the stream URL to wss://data-stream.binance.vision; \
             HTTP 451: 0 Service unavailable from a restricted location"
        );
        let unknown = decode_candles(&SPOT, Timeframe::M1, &HttpReply::new(400, UNKNOWN_SYMBOL_BODY)).unwrap_err();
        assert_eq!(unknown.message, "HTTP 400: -1121 Invalid symbol.");
    }
}
