//! No dialect panics on what a venue sends: arbitrary bytes, and its own fixtures bent out of shape.

use std::path::Path;
use std::sync::Arc;

use candlewick::exchange::{Dialect, Dialogue, HttpReply, Instrument, TradeCursor, registry};
use candlewick::market::{Span, Timeframe, TradeId};
use proptest::prelude::*;
use proptest::sample::Index;

/// A dialect and the bodies of its fixtures.
type Venue = (Arc<dyn Dialect>, Vec<Vec<u8>>);

/// All dialects, each with its fixtures.
fn venues() -> Vec<Venue> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let venues = registry::EXCHANGES.iter().map(|row| {
        let folder = fixtures.join(row.capabilities.id);
        let mut paths = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect::<Vec<_>>();
        paths.sort();
        let bodies = paths.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
        assert!(!bodies.is_empty(), "{} has no fixtures", row.capabilities.id);
        ((row.build)(row.public_endpoints()), bodies)
    });
    let venues = venues.collect::<Vec<_>>();
    assert_eq!(venues.len(), registry::EXCHANGES.len());
    assert!(!venues.is_empty());
    venues
}

/// Everything a dialect reads, over the same bytes.
fn decode_all(dialect: &dyn Dialect, status: u16, body: &[u8]) {
    let symbol = "BTC/USD".parse().unwrap();
    let instrument = Instrument::new(symbol, "BTCUSD", "BTC/USD");
    let span = Span::new("2000-01-01T00:00:00Z".parse().unwrap(), "2030-01-01T00:00:00Z".parse().unwrap());
    let mut reply = HttpReply::new(status, body.to_vec());
    reply.headers = vec![("retry-after".into(), String::from_utf8_lossy(body).into_owned())];
    for timeframe in Timeframe::all() {
        if let Ok(candles) = dialect.decode_candles(&instrument, timeframe, span, &reply) {
            assert!(candles.iter().all(|candle| candle.is_finite()));
            assert!(candles.is_sorted_by(|a, b| a.open_time < b.open_time));
        }
    }
    for cursor in [TradeCursor::Newest, TradeCursor::BeforeId(TradeId::Number(7)), TradeCursor::Time(span.from)] {
        let _ = dialect.decode_trades(&instrument, &cursor, &reply);
    }
    for call in dialect.encode_tickers(std::slice::from_ref(&instrument)) {
        if let Ok(tickers) = dialect.decode_tickers(&call, &reply) {
            assert!(tickers.iter().all(|(_, ticker)| ticker.is_finite()));
        }
    }
    let _ = dialect.next_instruments(&reply);
    let _ = dialect.decode_instruments(None, &reply);
    let _ = dialect.decode_instruments(Some(&instrument.symbol), &reply);
    let _ = dialect.standing(&reply);
    dialect.decode_frame(&mut Dialogue::default(), &String::from_utf8_lossy(body), &mut |event| {
        drop(format!("{event:?}"))
    });
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
    let venues = venues();
    let cases = std::cell::Cell::new(0);
    proptest!(ProptestConfig::with_cases(256), |(status in status(), body in prop::collection::vec(any::<u8>(), 0..300))| {
        for (dialect, _) in &venues {
            decode_all(dialect.as_ref(), status, &body);
            cases.set(cases.get() + 1);
        }
    });
    assert_eq!(cases.get(), 256 * venues.len());
}

#[test]
fn no_dialect_panics_on_its_fixtures_bent_out_of_shape() {
    let venues = venues();
    let cases = std::cell::Cell::new(0);
    let strategy = (status(), any::<Index>(), prop::collection::vec(bend(), 0..4));
    proptest!(ProptestConfig::with_cases(512), |((status, pick, bends) in strategy)| {
        for (dialect, bodies) in &venues {
            decode_all(dialect.as_ref(), status, &bent(&bodies[pick.index(bodies.len())], &bends));
            cases.set(cases.get() + 1);
        }
    });
    assert_eq!(cases.get(), 512 * venues.len());
}

#[test]
fn every_fixture_passes_through_every_decoder_of_its_venue() {
    let mut bodies_read = 0;
    for (dialect, bodies) in venues() {
        for body in &bodies {
            decode_all(dialect.as_ref(), 200, body);
            bodies_read += 1;
        }
    }
    assert!(bodies_read >= registry::EXCHANGES.len());
}
