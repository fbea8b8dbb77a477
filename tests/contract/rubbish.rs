//! No dialect panics on what a venue sends: arbitrary bytes, and its own fixtures bent out of shape.

use std::sync::Arc;

use candlewick::exchange::{Dialect, Dialogue, HttpReply, Instrument, TradeCursor};
use candlewick::market::{Span, Timeframe, TradeId};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::data::{self, Contract, Kind};
use crate::fixtures::ages;
use crate::venue;

/// A dialect, the markets its fixtures are about, and their bytes: those of streams line by line.
struct Subject {
    dialect: Arc<dyn Dialect>,
    markets: Vec<Instrument>,
    fixtures: Vec<Vec<Vec<u8>>>,
}

/// All dialects, each with its fixtures.
fn subjects() -> Vec<Subject> {
    let subject = |id: &str, contract: &Contract| {
        let is_stream =
            |file: &str| contract.fixtures.iter().any(|fixture| fixture.file == file && fixture.kind == Kind::Stream);
        let fixtures = data::files(id).into_iter().map(|(file, bytes)| match is_stream(&file) {
            true => bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
            false => vec![bytes],
        });
        let named = contract.fixtures.iter().filter_map(|fixture| {
            let symbol = fixture.symbol.clone()?;
            Some(Instrument::new(symbol, fixture.id.clone(), fixture.id.clone()))
        });
        let mut markets: Vec<_> = named.collect();
        markets.dedup();
        Subject { dialect: venue::public(id), markets, fixtures: fixtures.collect() }
    };
    let subjects: Vec<_> =
        data::contracts().iter().map(|(capabilities, contract)| subject(capabilities.id, contract)).collect();
    assert!(subjects.iter().all(|subject| !subject.markets.is_empty() && !subject.fixtures.is_empty()));
    subjects
}

/// Everything a dialect reads of a body, over the same bytes; what it does read makes sense.
fn decode_body(dialect: &dyn Dialect, market: &Instrument, status: u16, body: &[u8]) {
    let mut reply = HttpReply::new(status, body.to_vec());
    reply.headers = vec![("retry-after".into(), String::from_utf8_lossy(body).into_owned())];
    for row in dialect.capabilities().timeframes {
        if let Ok(candles) = dialect.decode_candles(market, row.timeframe, ages(), &reply) {
            assert!(candles.iter().all(|candle| candle.is_finite()));
            assert!(candles.is_sorted_by(|a, b| a.open_time < b.open_time));
        }
    }
    let since = TradeCursor::Time("2000-01-01T00:00:00Z".parse().unwrap());
    for cursor in [TradeCursor::Newest, TradeCursor::BeforeId(TradeId::Number(7)), since] {
        if let Ok(page) = dialect.decode_trades(market, &cursor, &reply) {
            page.trades.into_iter().for_each(|trade| drop(market.in_base(trade)));
        }
    }
    for call in dialect.encode_tickers(std::slice::from_ref(market)) {
        if let Ok(tickers) = dialect.decode_tickers(&call, &reply) {
            assert!(tickers.iter().all(|(_, ticker)| ticker.is_finite()));
        }
    }
    let _ = dialect.next_instruments(&reply);
    for asked in [None, Some(&market.symbol)] {
        for found in dialect.decode_instruments(asked, &reply).unwrap_or_default() {
            // Whatever it is called, it can be asked for.
            let hour = Span::new(reply_time(), reply_time() + chrono::TimeDelta::hours(1));
            let call = dialect.encode_candles(&found, Timeframe::M1, hour, hour.to);
            assert!(call.url.is_ascii() && !call.url.contains(char::is_whitespace), "{}", call.url);
        }
    }
    let _ = dialect.standing(&reply);
}

fn reply_time() -> chrono::DateTime<chrono::Utc> {
    "2026-11-20T14:00:00Z".parse().unwrap()
}

/// The frames of one connection; what it had been told before is not forgotten.
fn decode_frames<'a>(dialect: &dyn Dialect, frames: impl IntoIterator<Item = &'a [u8]>) {
    let mut dialogue = Dialogue::default();
    for frame in frames {
        let frame = String::from_utf8_lossy(frame);
        dialect.decode_frame(&mut dialogue, &frame, &mut |event| drop(format!("{event:?}")));
    }
}

/// One way of bending a body.
#[derive(Debug, Clone)]
enum Bend {
    Cut(Index),
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
}

fn bend() -> impl Strategy<Value = Bend> {
    let token = prop::sample::select(vec![
        "null",
        "-1",
        "0",
        "1e999",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "\"\"",
        "\"NaN\"",
        "[",
        "]",
        "{}",
        "[]",
        ",",
        "\"",
        "\\u0000",
        "true",
        "0.1",
        "1e-400",
    ]);
    prop_oneof![
        any::<Index>().prop_map(Bend::Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Bend::Replace(at, byte)),
        (any::<Index>(), prop::sample::select(b"0123456789-\"[]{},:.e".to_vec()))
            .prop_map(|(at, byte)| Bend::Replace(at, byte)),
        (any::<Index>(), token).prop_map(|(at, token)| Bend::Insert(at, token.as_bytes().to_vec())),
        (any::<Index>(), 1u8..40).prop_map(|(at, count)| Bend::Remove(at, count)),
    ]
}

fn bent(body: &[u8], bends: &[Bend]) -> Vec<u8> {
    let mut body = body.to_vec();
    for bend in bends {
        if body.is_empty() {
            break;
        }
        match bend {
            Bend::Cut(at) => body.truncate(at.index(body.len())),
            Bend::Replace(at, byte) => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Bend::Insert(at, bytes) => {
                let at = at.index(body.len());
                body.splice(at..at, bytes.iter().copied());
            }
            Bend::Remove(at, count) => {
                let from = at.index(body.len());
                let to = (from + usize::from(*count)).min(body.len());
                body.drain(from..to);
            }
        }
    }
    body
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(200u16), 1 => prop::sample::select(vec![400u16, 401, 403, 404, 418, 422, 429, 451, 500, 503, 999])]
}

#[test]
fn no_dialect_panics_on_arbitrary_bytes() {
    let subjects = subjects();
    let cases = std::cell::Cell::new(0);
    proptest!(ProptestConfig::with_cases(256), |(status in status(), body in prop::collection::vec(any::<u8>(), 0..300))| {
        for Subject { dialect, markets, .. } in &subjects {
            decode_body(dialect.as_ref(), &markets[0], status, &body);
            decode_frames(dialect.as_ref(), [&body[..]]);
            cases.set(cases.get() + 1);
        }
    });
    assert_eq!(cases.get(), 256 * subjects.len());
}

#[test]
fn no_dialect_panics_on_its_fixtures_bent_out_of_shape() {
    let subjects = subjects();
    let cases = std::cell::Cell::new(0);
    let bends = || prop::collection::vec(bend(), 0..4);
    let strategy = (status(), any::<Index>(), any::<Index>(), any::<Index>(), bends());
    proptest!(ProptestConfig::with_cases(1024), |((status, pick, line, market, bends) in strategy)| {
        for Subject { dialect, markets, fixtures } in &subjects {
            let mut frames = fixtures[pick.index(fixtures.len())].clone();
            let line = line.index(frames.len());
            frames[line] = bent(&frames[line], &bends);
            decode_body(dialect.as_ref(), &markets[market.index(markets.len())], status, &frames[line]);
            decode_frames(dialect.as_ref(), frames.iter().map(Vec::as_slice));
            cases.set(cases.get() + 1);
        }
    });
    assert_eq!(cases.get(), 1024 * subjects.len());
}

#[test]
fn every_fixture_passes_through_every_decoder_of_its_venue() {
    let mut bodies_read = 0;
    for Subject { dialect, markets, fixtures } in subjects() {
        for frames in &fixtures {
            for market in &markets {
                frames.iter().for_each(|body| decode_body(dialect.as_ref(), market, 200, body));
                bodies_read += 1;
            }
            decode_frames(dialect.as_ref(), frames.iter().map(Vec::as_slice));
        }
    }
    assert!(bodies_read > 60, "{bodies_read}");
}
