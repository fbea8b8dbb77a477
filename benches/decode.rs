//! Nanoseconds per stream frame through `Dialect::decode_frame`, against the shortest reader that
//! gives the same values of a well-formed frame: derived serde structs that borrow, prices by
//! `str::parse` and `Decimal`, times by position.
//!
//! The ratio of the two is printed first, from rounds that alternate, so that whatever else the
//! machine does slows both; the criterion groups give the absolute times.

mod allocator;

use std::fmt::Debug;
use std::hint::black_box;
use std::time::{Duration, Instant};

use candlewick::exchange::{Dialect, Dialogue, Event, registry};
use candlewick::market::{Candle, Side, Timeframe, Trade, TradeId};
use chrono::{DateTime, NaiveDate, Utc};
use criterion::{Criterion, Throughput};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

const KRAKEN_OHLC: &str = r#"{"channel":"ohlc","type":"update","timestamp":"2026-11-20T14:00:31.004112908Z","data":[{"symbol":"BTC/USD","open":91215.6,"high":91240.0,"low":91215.5,"close":91233.9,"trades":9,"volume":0.61350021,"vwap":91229.41,"interval_begin":"2026-11-20T14:00:00.000000000Z","interval":1,"timestamp":"2026-11-20T14:01:00.000000Z"}]}"#;
const KRAKEN_TRADE: &str = r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":91233.9,"qty":0.0153,"ord_type":"market","trade_id":90215533,"timestamp":"2026-11-20T14:00:30.771204Z"}]}"#;
const BINANCE_KLINE: &str = include_str!("../tests/fixtures/binance/stream_kline.json");
const BINANCE_AGG_TRADE: &str = include_str!("../tests/fixtures/binance/stream_agg_trade.json");

/// What both readers give for a frame.
#[derive(Debug, PartialEq)]
enum Read<'a> {
    Candle(&'a str, Candle, Option<bool>, Option<DateTime<Utc>>),
    Trade(&'a str, Trade, Option<DateTime<Utc>>),
}

#[derive(Deserialize)]
struct KrakenFrame<'a, Row> {
    #[serde(borrow)]
    channel: &'a str,
    r#type: &'a str,
    timestamp: Option<&'a str>,
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct OhlcRow<'a> {
    #[serde(borrow)]
    symbol: &'a str,
    #[serde(borrow)]
    open: &'a RawValue,
    #[serde(borrow)]
    high: &'a RawValue,
    #[serde(borrow)]
    low: &'a RawValue,
    #[serde(borrow)]
    close: &'a RawValue,
    #[serde(borrow)]
    volume: &'a RawValue,
    #[serde(borrow)]
    vwap: &'a RawValue,
    trades: u64,
    interval_begin: &'a str,
    interval: u32,
}

#[derive(Deserialize)]
struct TradeRow<'a> {
    #[serde(borrow)]
    symbol: &'a str,
    side: &'a str,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
    trade_id: u64,
    timestamp: &'a str,
}

#[derive(Deserialize)]
struct KlineEvent<'a> {
    #[serde(rename = "e")]
    event: &'a str,
    #[serde(rename = "E")]
    event_time: i64,
    s: &'a str,
    #[serde(borrow)]
    k: Kline<'a>,
}

#[derive(Deserialize)]
struct Kline<'a> {
    t: i64,
    i: &'a str,
    o: &'a str,
    h: &'a str,
    l: &'a str,
    c: &'a str,
    v: &'a str,
    q: &'a str,
    n: u64,
    x: bool,
}

#[derive(Deserialize)]
struct AggTradeEvent<'a> {
    #[serde(rename = "e")]
    event: &'a str,
    #[serde(rename = "E")]
    event_time: i64,
    s: &'a str,
    p: &'a str,
    q: &'a str,
    f: u64,
    l: u64,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

fn exact(text: &str) -> Decimal {
    Decimal::from_str_exact(text).expect("a decimal")
}

fn millis(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).expect("a time of today")
}

/// `2026-11-20T14:00:31.004112908Z`, with any number of digits behind the point; no faults expected.
fn by_position(text: &str) -> DateTime<Utc> {
    let number = |from: usize, to: usize| {
        text.as_bytes()[from..to].iter().fold(0u32, |number, byte| number * 10 + u32::from(byte - b'0'))
    };
    let end = text.len() - 1;
    let nanos = number(20, end) * 10u32.pow(29 - end as u32);
    let date = NaiveDate::from_ymd_opt(number(0, 4) as i32, number(5, 7), number(8, 10)).expect("a date");
    date.and_hms_nano_opt(number(11, 13), number(14, 16), number(17, 19), nanos).expect("a time").and_utc()
}

fn bare_kraken_ohlc(text: &str) -> Read<'_> {
    let frame: KrakenFrame<'_, OhlcRow<'_>> = serde_json::from_str(text).expect("a frame");
    assert!(frame.channel == "ohlc" && frame.r#type == "update");
    let row = &frame.data[0];
    assert_eq!(row.interval, 1);
    let candle = Candle {
        open_time: by_position(row.interval_begin),
        open: number(row.open.get()),
        high: number(row.high.get()),
        low: number(row.low.get()),
        close: number(row.close.get()),
        volume: number(row.volume.get()),
        quote_volume: None,
        trades: Some(row.trades),
        vwap: Some(number(row.vwap.get())),
    };
    Read::Candle(row.symbol, candle, None, frame.timestamp.map(by_position))
}

fn bare_kraken_trade(text: &str) -> Read<'_> {
    let frame: KrakenFrame<'_, TradeRow<'_>> = serde_json::from_str(text).expect("a frame");
    assert!(frame.channel == "trade" && frame.r#type == "update");
    let row = &frame.data[0];
    let trade = Trade {
        id: TradeId::Number(row.trade_id),
        last_id: TradeId::Number(row.trade_id),
        time: by_position(row.timestamp),
        price: exact(row.price.get()),
        amount: exact(row.qty.get()),
        side: Some(if row.side == "buy" { Side::Buy } else { Side::Sell }),
    };
    Read::Trade(row.symbol, trade, frame.timestamp.map(by_position))
}

fn bare_binance_kline(text: &str) -> Read<'_> {
    let KlineEvent { event, event_time, s, k } = serde_json::from_str(text).expect("a frame");
    assert!(event == "kline" && k.i == "1m");
    let candle = Candle {
        open_time: millis(k.t),
        open: number(k.o),
        high: number(k.h),
        low: number(k.l),
        close: number(k.c),
        volume: number(k.v),
        quote_volume: Some(number(k.q)),
        trades: Some(k.n),
        vwap: None,
    };
    Read::Candle(s, candle, Some(k.x), Some(millis(event_time)))
}

fn bare_binance_agg_trade(text: &str) -> Read<'_> {
    let frame: AggTradeEvent<'_> = serde_json::from_str(text).expect("a frame");
    assert_eq!(frame.event, "aggTrade");
    let trade = Trade {
        id: TradeId::Number(frame.f),
        last_id: TradeId::Number(frame.l),
        time: millis(frame.time),
        price: exact(frame.p),
        amount: exact(frame.q),
        side: Some(if frame.m { Side::Sell } else { Side::Buy }),
    };
    Read::Trade(frame.s, trade, Some(millis(frame.event_time)))
}

fn ours(dialect: &dyn Dialect, text: &str) -> usize {
    let mut events = 0;
    dialect.decode_frame(&mut Dialogue::default(), text, &mut |event| {
        black_box(event);
        events += 1;
    });
    events
}

/// Both readers must agree, or there is nothing to compare.
fn agree(dialect: &dyn Dialect, text: &str, bare: &Read<'_>) {
    let mut events = 0;
    dialect.decode_frame(&mut Dialogue::default(), text, &mut |event| {
        events += 1;
        match (event, bare) {
            (Event::Candle { stream_id, timeframe, candle, closed, stamped_at, .. }, bare) => {
                assert_eq!(timeframe, Timeframe::M1);
                assert_eq!(&Read::Candle(&stream_id, candle, closed, stamped_at), bare);
            }
            (Event::Trade { stream_id, trade, stamped_at, .. }, bare) => {
                assert_eq!(&Read::Trade(&stream_id, trade, stamped_at), bare);
            }
            (other, _) => panic!("{other:?}"),
        }
    });
    assert_eq!(events, 1);
}

/// Shortest time per frame of both, from alternating rounds.
fn compare(dialect: &dyn Dialect, text: &str, bare: fn(&str) -> Read<'_>) -> (f64, f64) {
    const FRAMES: u32 = 2_000;
    fn round(best: &mut Duration, mut read: impl FnMut()) {
        let began = Instant::now();
        (0..FRAMES).for_each(|_| read());
        *best = began.elapsed().min(*best);
    }
    let (mut ours_best, mut bare_best) = (Duration::MAX, Duration::MAX);
    for _ in 0..300 {
        round(&mut ours_best, || {
            black_box(ours(dialect, black_box(text)));
        });
        round(&mut bare_best, || {
            black_box(bare(black_box(text)));
        });
    }
    let nanos = |best: Duration| best.as_nanos() as f64 / f64::from(FRAMES);
    (nanos(ours_best), nanos(bare_best))
}

type Case = (&'static str, &'static str, &'static str, fn(&str) -> Read<'_>);

const CASES: [Case; 4] = [
    ("kraken", "ohlc", KRAKEN_OHLC, bare_kraken_ohlc),
    ("kraken", "trade", KRAKEN_TRADE, bare_kraken_trade),
    ("binance", "kline", BINANCE_KLINE, bare_binance_kline),
    ("binance", "aggTrade", BINANCE_AGG_TRADE, bare_binance_agg_trade),
];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    println!("{:<18} {:>8} {:>8} {:>6}", "frame", "ours ns", "bare ns", "ratio");
    for (venue, kind, text, bare) in CASES {
        let row = registry::find(venue).expect("a registered venue");
        let dialect = (row.build)(row.public_endpoints());
        agree(&*dialect, text, &bare(text));
        let (ours, bare) = compare(&*dialect, text, bare);
        println!("{:<18} {ours:>8.0} {bare:>8.0} {:>6.2}", format!("{venue} {kind}"), ours / bare);
    }
    for (venue, kind, text, bare) in CASES {
        let row = registry::find(venue).expect("a registered venue");
        let dialect = (row.build)(row.public_endpoints());
        let mut group = criterion.benchmark_group(format!("decode/{venue} {kind}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("decode_frame", |bencher| bencher.iter(|| ours(&*dialect, black_box(text))));
        group.bench_function("bare serde_json", |bencher| bencher.iter(|| bare(black_box(text))));
        group.finish();
    }
    criterion.final_summary();
}
