//! Every fixture decodes to the values its contract names, and no fixture is forgotten.

use std::collections::BTreeSet;

use candlewick::exchange::{
    Capabilities, Dialect, Dialogue, HttpReply, Instrument, InstrumentSource, TradeCursor, VenueError, registry,
};
use candlewick::market::{Grid, Span};

use crate::data::{self, Fixture, Kind};
use crate::rendered;

/// A span that holds everything.
pub fn ages() -> Span {
    Span::new("1990-01-01T00:00:00Z".parse().unwrap(), "2100-01-01T00:00:00Z".parse().unwrap())
}

/// The market of a fixture: of the body itself, where a venue describes each market in its answers.
fn market(dialect: &dyn Dialect, fixture: &Fixture, reply: &HttpReply) -> Instrument {
    let symbol = fixture.symbol.clone().unwrap_or_else(|| panic!("{} names no symbol", fixture.file));
    match dialect.capabilities().instruments {
        InstrumentSource::List => Instrument::new(symbol, fixture.id.clone(), fixture.id.clone()),
        InstrumentSource::PerSymbol => dialect.decode_instruments(Some(&symbol), reply).unwrap().remove(0),
    }
}

/// What a fixture says, line by line.
fn said(dialect: &dyn Dialect, fixture: &Fixture, bytes: &[u8]) -> Result<Vec<String>, VenueError> {
    let reply = HttpReply::new(200, bytes.to_vec());
    match fixture.kind {
        Kind::Candles => {
            let market = market(dialect, fixture, &reply);
            let grid = Grid::new(fixture.timeframe, market.anchors);
            let sent_at = fixture.now.unwrap_or_else(|| panic!("{} names no time", fixture.file));
            let candles = dialect.decode_candles(&market, fixture.timeframe, ages(), &reply)?;
            let line = |candle| {
                let is_final = sent_at >= grid.close_of(candle) + dialect.capabilities().settle;
                if is_final { "final" } else { "forming" }
            };
            Ok(candles.iter().map(|bar| format!("{} {}", rendered::candle(bar), line(bar.open_time))).collect())
        }
        Kind::Trades => {
            let market = market(dialect, fixture, &reply);
            let cursor = fixture.from.map_or(TradeCursor::Newest, TradeCursor::Time);
            let page = dialect.decode_trades(&market, &cursor, &reply)?;
            Ok(page.trades.iter().map(rendered::trade).collect())
        }
        Kind::Instruments => {
            let markets = dialect.decode_instruments(fixture.symbol.as_ref(), &reply)?;
            let onward = dialect.next_instruments(&reply);
            let onward = onward.into_iter().map(|call| format!("then {}", call.body.unwrap_or(call.url)));
            Ok(markets.iter().map(rendered::instrument).chain(onward).collect())
        }
        Kind::Tickers => {
            let market = market(dialect, fixture, &reply);
            let call = dialect.encode_tickers(&[market]).remove(0);
            let tickers = dialect.decode_tickers(&call, &reply)?;
            Ok(tickers.iter().map(|(id, ticker)| rendered::ticker(id, ticker)).collect())
        }
        Kind::Stream => {
            let mut lines = Vec::new();
            let mut dialogue = Dialogue::default();
            for frame in std::str::from_utf8(bytes).unwrap().lines() {
                dialect.decode_frame(&mut dialogue, frame, &mut |event| lines.push(rendered::event(&event)));
            }
            Ok(lines)
        }
    }
}

/// The kinds of answers a venue gives, so that its fixtures hold at least one of each.
fn needed(capabilities: &Capabilities) -> Vec<Kind> {
    let offered = [
        (true, Kind::Candles),
        (true, Kind::Instruments),
        (capabilities.trade_rest.is_some(), Kind::Trades),
        (capabilities.has_tickers, Kind::Tickers),
        (capabilities.has_stream(), Kind::Stream),
    ];
    offered.into_iter().filter(|(is_offered, _)| *is_offered).map(|(_, kind)| kind).collect()
}

#[test]
fn every_fixture_says_exactly_what_its_contract_names() {
    let mut wrong = Vec::new();
    for (capabilities, contract) in data::contracts() {
        let id = capabilities.id;
        let row = registry::find(id).unwrap();
        let dialect = (row.build)(row.public_endpoints());
        let files = data::files(id);
        for fixture in &contract.fixtures {
            let bytes = files.get(&fixture.file).unwrap_or_else(|| panic!("{id} has no {}", fixture.file));
            let said = said(dialect.as_ref(), fixture, bytes);
            if said.as_ref() != Ok(&fixture.says) {
                wrong.push(format!("{id}/{} says {said:#?}, its contract {:#?}", fixture.file, fixture.says));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_of_answer_has_a_fixture_and_every_fixture_a_place_in_the_contract() {
    let mut wrong = Vec::new();
    for (capabilities, contract) in data::contracts() {
        let id = capabilities.id;
        for kind in needed(capabilities) {
            if !contract.fixtures.iter().any(|fixture| fixture.kind == kind && !fixture.says.is_empty()) {
                wrong.push(format!("{id} has no fixture of {kind:?}"));
            }
        }
        let mut files = data::files(id);
        let errors = contract.errors.iter().filter_map(|error| error.file.as_ref());
        let mut named: BTreeSet<_> = errors.map(String::as_str).collect();
        for fixture in &contract.fixtures {
            named.insert(&fixture.file);
            let like_it =
                contract.fixtures.iter().filter(|other| (&other.file, other.kind) == (&fixture.file, fixture.kind));
            if like_it.count() > 1 {
                wrong.push(format!("{id}/{} is named twice", fixture.file));
            }
        }
        wrong.extend(
            named.iter().filter(|file| files.remove(**file).is_none()).map(|file| format!("{id} has no {file}")),
        );
        wrong.extend(files.keys().map(|file| format!("{id}/{file} is not named in {}", data::FILE)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
