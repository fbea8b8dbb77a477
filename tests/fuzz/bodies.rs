//! What is done with bytes from outside: one body for each parser. They are the tests' here, and
//! libFuzzer's in `fuzz/`. A body returns, whatever it is given; it panics where a promise is broken.

use std::sync::{Arc, OnceLock};

use candlewick::config::{Config, format_duration, parse_duration};
use candlewick::control::{Asker, Command, when};
use candlewick::exchange::{Dialect, Dialogue, Event, HttpReply, Instrument, TradeCursor, registry};
use candlewick::market::{Span, Symbol, Timeframe, Trade, TradeId};
use candlewick::sim::{parse_json, parse_script};
use chrono::{DateTime, TimeDelta, Utc};

/// Takes anything.
pub type Body = fn(&[u8]);

/// All bodies, by the names of their folders and programs.
pub const ALL: [(&str, Body); 6] = [
    ("config", config),
    ("control", control),
    ("faults", faults),
    ("names", names),
    ("rest", rest),
    ("stream", stream),
];

/// A dialect, and the markets its contract names.
pub struct Venue {
    pub dialect: Arc<dyn Dialect>,
    pub markets: Vec<Instrument>,
}

/// Every venue of the registry.
pub fn venues() -> &'static [Venue] {
    macro_rules! contracts {
        ($($id:literal),+) => { [$(($id, include_str!(concat!("../fixtures/", $id, "/contract.toml")))),+] };
    }
    static VENUES: OnceLock<Vec<Venue>> = OnceLock::new();
    let read = || {
        let contracts = contracts![
            "binance",
            "binanceusdm",
            "bitfinex",
            "bitmex",
            "bybit",
            "coinbase",
            "hyperliquid",
            "kraken",
            "okx",
            "yahoo"
        ];
        assert_eq!(contracts.len(), registry::EXCHANGES.len(), "a venue is not fuzzed");
        contracts.map(|(id, contract)| venue(id, contract)).into()
    };
    VENUES.get_or_init(read)
}

fn venue(id: &str, contract: &str) -> Venue {
    let row = registry::find(id).unwrap_or_else(|error| panic!("{error}"));
    let contract: toml::Table = contract.parse().unwrap_or_else(|error| panic!("{id}: {error}"));
    let fixtures = contract["fixture"].as_array().into_iter().flatten();
    let mut markets: Vec<Instrument> = fixtures
        .filter_map(|fixture| {
            let symbol: Symbol = fixture.get("symbol")?.as_str()?.parse().ok()?;
            let id = fixture.get("id").and_then(toml::Value::as_str).unwrap_or_default();
            Some(Instrument::new(symbol, id, id))
        })
        .collect();
    markets.dedup();
    assert!(!markets.is_empty(), "{id} names no market");
    Venue { dialect: (row.build)(row.public_endpoints()), markets }
}

/// A body of every venue's REST answers.
pub fn rest(bytes: &[u8]) {
    for Venue { dialect, markets } in venues() {
        for status in [200, 429] {
            markets.iter().for_each(|market| rest_of(&**dialect, market, status, bytes));
        }
    }
}

/// A span that holds everything.
fn ages() -> Span {
    let year = |year: i32| format!("{year}-01-01T00:00:00Z").parse().expect("a time");
    Span::new(year(1990), year(2100))
}

fn reply_time() -> DateTime<Utc> {
    "2026-11-20T14:00:00Z".parse().expect("a time")
}

/// Everything a dialect reads of a body, over the same bytes; what it does read makes sense.
pub fn rest_of(dialect: &dyn Dialect, market: &Instrument, status: u16, body: &[u8]) {
    let mut reply = HttpReply::new(status, body.to_vec());
    reply.headers = vec![("retry-after".into(), String::from_utf8_lossy(body).into_owned())];
    for row in dialect.capabilities().timeframes {
        if let Ok(candles) = dialect.decode_candles(market, row.timeframe, ages(), &reply) {
            assert!(candles.iter().all(|candle| candle.is_storable()));
            assert!(candles.is_sorted_by(|a, b| a.open_time < b.open_time));
        }
    }
    let since = TradeCursor::Time("2000-01-01T00:00:00Z".parse().expect("a time"));
    for cursor in [TradeCursor::Newest, TradeCursor::BeforeId(TradeId::Number(7)), since] {
        if let Ok(page) = dialect.decode_trades(market, &cursor, &reply) {
            assert!(page.trades.iter().all(is_numbered));
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
            let hour = Span::new(reply_time(), reply_time() + TimeDelta::hours(1));
            let call = dialect.encode_candles(&found, Timeframe::M1, hour, hour.to);
            assert!(call.url.is_ascii() && !call.url.contains(char::is_whitespace), "{}", call.url);
        }
    }
    let _ = dialect.standing(&reply);
}

/// Whether the ids of a trade, where they are numbers, are a range that fits into a database.
fn is_numbered(trade: &Trade) -> bool {
    match (trade.id.number(), trade.last_id.number()) {
        (Some(first), Some(last)) => first <= last && last <= TradeId::LARGEST,
        (first, last) => first == last,
    }
}

/// Frames of a connection to every venue, one on each line.
pub fn stream(bytes: &[u8]) {
    for Venue { dialect, .. } in venues() {
        stream_of(&**dialect, bytes.split(|byte| *byte == b'\n'));
    }
}

/// The frames of one connection; what it had been told before is not forgotten.
pub fn stream_of<'a>(dialect: &dyn Dialect, frames: impl IntoIterator<Item = &'a [u8]>) {
    let mut dialogue = Dialogue::default();
    for frame in frames {
        let frame = String::from_utf8_lossy(frame);
        dialect.decode_frame(&mut dialogue, &frame, &mut |event| {
            assert!(!matches!(&event, Event::Trade { trade, .. } if !is_numbered(trade)), "{event:?}");
        });
    }
}

/// A configuration file: taken, or refused with words.
pub fn config(bytes: &[u8]) {
    if let Err(error) = Config::parse(&String::from_utf8_lossy(bytes)) {
        assert!(!error.to_string().is_empty());
    }
}

/// A command of the control channel: what is taken survives its own JSON, what is not is answered.
pub fn control(bytes: &[u8]) {
    match Command::from_json(&String::from_utf8_lossy(bytes), Asker::Redis) {
        Ok(command) => assert_eq!(Command::from_json(&command.to_json(), Asker::Redis), Ok(command)),
        Err(reply) => assert!(!reply.ok && reply.error.as_ref().is_some_and(|error| !error.message.is_empty())),
    }
}

/// A script of faults for the simulator, as a file and as the body of a call.
pub fn faults(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for read in [parse_script(&text), parse_json(&text)] {
        if let Err(error) = read {
            assert!(!error.0.is_empty());
        }
    }
}

/// What people write on a command line, one on each line: instants, lengths of time, symbols, timeframes.
pub fn names(bytes: &[u8]) {
    for text in String::from_utf8_lossy(bytes).lines() {
        if let Err(error) = when::parse(text) {
            assert!(!error.to_string().is_empty());
        }
        if let Ok(length) = parse_duration(text) {
            assert_eq!(parse_duration(&format_duration(length)), Ok(length), "{text}");
        }
        if let Ok(symbol) = text.parse::<Symbol>() {
            assert_eq!(symbol.as_str().parse(), Ok(symbol));
        }
        if let Ok(timeframe) = text.parse::<Timeframe>() {
            assert_eq!(timeframe.as_str(), text);
        }
    }
}
