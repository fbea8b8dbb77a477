//! Every refusal has its class: those of the venue's own words, and those of the edge before it.

use std::time::Duration;

use candlewick::exchange::{Dialect, ErrorKind, HttpReply, Instrument, TradeCursor, VenueError};
use candlewick::market::Timeframe;

use crate::data::{self, Contract, Kind, Refusal};
use crate::fixtures::ages;
use crate::rendered;
use crate::venue;

/// What the dialect makes of an answer to a call of a kind; `None` where it has no such call.
fn refusal_of(
    dialect: &dyn Dialect,
    kind: Kind,
    market: &Instrument,
    reply: &HttpReply,
) -> Option<Result<(), VenueError>> {
    let capabilities = dialect.capabilities();
    let read = match kind {
        Kind::Candles => dialect.decode_candles(market, Timeframe::M1, ages(), reply).map(drop),
        Kind::Instruments => dialect.decode_instruments(Some(&market.symbol), reply).map(drop),
        Kind::Trades => {
            capabilities.trade_rest?;
            dialect.decode_trades(market, &TradeCursor::Newest, reply).map(drop)
        }
        Kind::Tickers => {
            let call = dialect.encode_tickers(std::slice::from_ref(market)).into_iter().next()?;
            dialect.decode_tickers(&call, reply).map(drop)
        }
        Kind::Stream => return None,
    };
    Some(read)
}

fn reply_of(id: &str, refusal: &Refusal) -> HttpReply {
    let body = match (&refusal.body, &refusal.file) {
        (Some(body), None) => body.clone().into_bytes(),
        (None, Some(file)) => data::files(id).remove(file).unwrap_or_else(|| panic!("{id} has no {file}")),
        _ => panic!("{id}: a refusal has either a body or a file"),
    };
    let mut reply = HttpReply::new(refusal.status, body);
    reply.headers = refusal.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    reply
}

#[test]
fn every_refusal_a_venue_documents_has_its_class() {
    let mut wrong = Vec::new();
    for (capabilities, Contract { errors, unknown, .. }) in data::contracts() {
        let dialect = venue::public(capabilities.id);
        let market = unknown.market();
        let mut classes = Vec::new();
        for refusal in &errors {
            let reply = reply_of(capabilities.id, refusal);
            let asked = refusal.of.map_or_else(|| vec![Kind::Candles, Kind::Trades], |kind| vec![kind]);
            for kind in asked {
                let Some(read) = refusal_of(dialect.as_ref(), kind, &market, &reply) else { continue };
                let means = read.map_or_else(|error| rendered::kind(error.kind), |()| "nothing".to_owned());
                if means != refusal.means {
                    let what = format!("{} {kind:?} {} {}", capabilities.id, reply.status, reply.excerpt());
                    wrong.push(format!("{what}: {means}, not {}", refusal.means));
                }
                classes.push(means);
            }
        }
        for class in ["unknown symbol", "bad request", "rate limited", "unavailable"] {
            if !classes.iter().any(|means| means.starts_with(class)) {
                wrong.push(format!("{} has no refusal that means {class}", capabilities.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const HTML: &str = "<!DOCTYPE html><html><head><title>words</title></head><body>words</body></html>";
/// Of a venue that is none of ours: numbers and words in fields that some venues have too.
const FOREIGN: &str = r#"{"code":-1003,"msg":"words","status":"words"}"#;

/// Answers of an edge, with the wait they name, and their class.
fn edges() -> Vec<(u16, Option<u64>, &'static str, ErrorKind)> {
    let banned = |seconds: Option<u64>| ErrorKind::Banned { retry_after: seconds.map(Duration::from_secs) };
    let limited = |seconds: u64| ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
    let mut edges = Vec::new();
    for body in [HTML, FOREIGN, "", "words", "null"] {
        edges.push((418, Some(240), body, banned(Some(240))));
        edges.push((418, None, body, banned(None)));
        edges.push((429, Some(17), body, limited(17)));
    }
    edges.push((403, Some(90), HTML, banned(Some(90))));
    for status in [500, 502, 503, 504, 520] {
        edges.push((status, None, HTML, ErrorKind::Unavailable));
    }
    edges
}

#[test]
fn an_edge_is_understood_by_its_status_whatever_its_words() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (capabilities, contract) in data::contracts() {
        let dialect = venue::public(capabilities.id);
        let market = contract.unknown.market();
        for (status, wait, body, expected) in edges() {
            let mut reply = HttpReply::new(status, body);
            reply.headers.extend(wait.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
            for kind in [Kind::Candles, Kind::Trades, Kind::Instruments, Kind::Tickers] {
                let Some(read) = refusal_of(dialect.as_ref(), kind, &market, &reply) else { continue };
                checked += 1;
                if read.as_ref().map_err(|error| error.kind) != Err(expected) {
                    wrong.push(format!("{} {kind:?} {status} {body:?}: {read:?}", capabilities.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 600, "{checked}");
}

#[test]
fn too_many_requests_without_a_wait_are_a_limit_all_the_same() {
    for (capabilities, contract) in data::contracts() {
        let dialect = venue::public(capabilities.id);
        let read = refusal_of(dialect.as_ref(), Kind::Candles, &contract.unknown.market(), &HttpReply::new(429, HTML));
        let kind = read.unwrap().unwrap_err().kind;
        assert!(matches!(kind, ErrorKind::RateLimited { .. }), "{}: {kind}", capabilities.id);
    }
}

#[test]
fn a_page_of_words_in_place_of_data_is_never_an_empty_answer() {
    for (capabilities, contract) in data::contracts() {
        let dialect = venue::public(capabilities.id);
        for body in [HTML, "words", "", "{", "[[", "\u{fffd}", "<html>Will be right back</html>"] {
            for kind in [Kind::Candles, Kind::Trades, Kind::Instruments] {
                let reply = HttpReply::new(200, body);
                let Some(read) = refusal_of(dialect.as_ref(), kind, &contract.unknown.market(), &reply) else {
                    continue;
                };
                let kind = read.map_err(|error| error.kind);
                let is_told = matches!(kind, Err(ErrorKind::Malformed | ErrorKind::Unavailable));
                assert!(is_told, "{} {body:?}: {kind:?}", capabilities.id);
            }
        }
    }
}
