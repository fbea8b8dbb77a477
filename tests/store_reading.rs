//! Reading bars, taking inventory and proving the ledger, over a store in memory.

use std::sync::Arc;

use candlewick::market::{Anchors, Candle, FinalCandle, Grid, Rule, Source, Span, Timeframe};
use candlewick::store::inventory::{Absence, SeriesInventory, Violation, inventory, verify};
use candlewick::store::reader::{Bar, Fill, ReadError, Reader};
use candlewick::store::{
    self, Access, AnchorsRow, CandleSource, Coverage, LedgerChange, LedgerEntry, NewSymbol, SeriesChange, SeriesRow,
    Store, WriteBatch,
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

const MIDNIGHT: &str = "2026-11-20T00:00:00Z";

fn minute(n: i64) -> DateTime<Utc> {
    MIDNIGHT.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

fn minutes(from: i64, to: i64) -> Span {
    Span::new(minute(from), minute(to))
}

fn all_time() -> Span {
    Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC)
}

/// A bar whose numbers tell its minute: rises from `n` to `n + 1`, one trade of 0.1.
fn bar(n: i64) -> Candle {
    let price = n as f64;
    Candle {
        open_time: minute(n),
        open: price,
        high: price + 1.0,
        low: price,
        close: price + 1.0,
        volume: 0.1,
        quote_volume: None,
        trades: Some(1),
        vwap: None,
    }
}

fn whole(candle: Candle) -> Bar {
    Bar { candle, is_complete: true, is_filled: false }
}

fn part(candle: Candle) -> Bar {
    Bar { candle, is_complete: false, is_filled: false }
}

fn flat(n: i64, close: f64, is_complete: bool) -> Bar {
    Bar { candle: Candle::flat(minute(n), close), is_complete, is_filled: true }
}

struct Kept {
    store: Arc<dyn Store>,
    reader: Reader,
}

impl Kept {
    async fn new(timeframes: &[Timeframe]) -> Kept {
        let store = store::open("sqlite://:memory:", Access::Create).await.unwrap();
        for symbol in ["BTC/USD", "ETH/USD", "ETH/EUR"] {
            let wanted = NewSymbol {
                exchange: "kraken".to_owned(),
                symbol: symbol.parse().unwrap(),
                timeframes: timeframes.to_vec(),
                backfill_from: minute(0),
                collect_trades: false,
                candle_source: CandleSource::Venue,
                only_ticker: false,
            };
            store.add_symbol(&wanted).await.unwrap();
        }
        Kept { reader: Reader::new(store.clone()), store }
    }

    async fn series(&self, timeframe: Timeframe) -> SeriesRow {
        let symbols = self.store.symbols().await.unwrap();
        let bitcoin = symbols.iter().find(|row| row.symbol.as_str() == "BTC/USD").unwrap();
        self.store.open_series(bitcoin.id, timeframe).await.unwrap()
    }

    async fn hold(&self, timeframe: Timeframe, candles: &[Candle], complete: &[Span], extent: Option<Span>) {
        let series = self.series(timeframe).await;
        let finals = candles.iter().map(|candle| FinalCandle {
            candle: *candle,
            source: Source::Rest,
            rule: Rule::Rest,
            observed_at: minute(10_000),
        });
        let change = SeriesChange {
            candles: finals.collect(),
            ledger: complete
                .iter()
                .map(|span| LedgerChange::Set(*span, Coverage::Complete { verified: true }))
                .collect(),
            extent: extent.map(|span| (span, "not_fetched")),
            ..SeriesChange::new(series.id)
        };
        self.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
    }

    async fn forming(&self, timeframe: Timeframe, forming: Candle) {
        let series = self.series(timeframe).await;
        let change = SeriesChange { forming: Some(forming), ..SeriesChange::new(series.id) };
        self.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
    }

    async fn read(&self, timeframe: Timeframe, span: Span, fill: Fill, forming: bool) -> Vec<Bar> {
        self.reader.fetch_ohlcv("kraken", "BTC/USD", timeframe, span, fill, forming).await.unwrap()
    }
}

#[tokio::test]
async fn stored_bars_are_read_half_open_and_the_ledger_says_which_are_whole() {
    let kept = Kept::new(&[Timeframe::M1]).await;
    kept.hold(Timeframe::M1, &[bar(0), bar(1), bar(2), bar(4)], &[minutes(0, 2), minutes(4, 5)], None).await;
    kept.forming(Timeframe::M1, bar(5)).await;
    let read = async |from, to, forming| kept.read(Timeframe::M1, minutes(from, to), Fill::None, forming).await;
    assert_eq!(read(1, 4, false).await, [whole(bar(1)), part(bar(2))]);
    assert_eq!(read(4, 9, false).await, [whole(bar(4))]);
    assert_eq!(read(4, 9, true).await, [whole(bar(4)), part(bar(5))], "the open bucket is opt-in");
    assert_eq!(read(4, 5, true).await, [whole(bar(4))], "and lies in the range or not");
    assert_eq!(read(9, 4, true).await, []);
    assert_eq!(kept.read(Timeframe::M1, all_time(), Fill::None, false).await.len(), 4);
}

#[tokio::test]
async fn quiet_buckets_are_filled_on_demand_and_gaps_are_told_from_them() {
    let kept = Kept::new(&[Timeframe::M1]).await;
    let complete = [minutes(0, 4), minutes(6, 8)];
    kept.hold(Timeframe::M1, &[bar(1), bar(6)], &complete, Some(minutes(0, 8))).await;
    let read = async |span| kept.read(Timeframe::M1, span, Fill::Flat, false).await;
    let expected = [
        whole(bar(1)),
        flat(2, 2.0, true),
        flat(3, 2.0, true),
        flat(4, 2.0, false),
        flat(5, 2.0, false),
        whole(bar(6)),
        flat(7, 7.0, true),
    ];
    assert_eq!(read(all_time()).await, expected, "from the first known close to what was looked at");
    assert_eq!(read(minutes(3, 6)).await, expected[2..5], "the close may lie before the range");
    assert_eq!(read(minutes(7, 90)).await, expected[6..]);
    assert_eq!(read(minutes(-9, 1)).await, []);
    assert_eq!(read(minutes(90, 99)).await, []);
}

#[tokio::test]
async fn a_timeframe_that_is_not_stored_is_built_from_the_coarsest_that_nests() {
    let kept = Kept::new(&[Timeframe::M1, Timeframe::M5]).await;
    let of_minutes: Vec<Candle> = (0..32).map(bar).collect();
    kept.hold(Timeframe::M1, &of_minutes, &[minutes(0, 32)], Some(minutes(0, 32))).await;
    kept.forming(Timeframe::M1, bar(32)).await;
    let sum = |from: i64, count: i64, volume: f64| Candle {
        high: (from + count) as f64,
        close: (from + count) as f64,
        volume,
        trades: Some(count as u64),
        ..bar(from)
    };
    let read = async |timeframe, span, forming| kept.read(timeframe, span, Fill::None, forming).await;
    let quarters = [whole(sum(0, 15, 1.5)), whole(sum(15, 15, 1.5))];
    assert_eq!(read(Timeframe::M15, all_time(), false).await, quarters, "the open quarter is not shown");
    let with_forming = read(Timeframe::M15, minutes(30, 31), true).await;
    assert_eq!(with_forming, [part(sum(30, 3, 0.3))], "unless asked for, then with its newest minute");
    assert_eq!(read(Timeframe::M15, minutes(1, 16), false).await, quarters[1..], "whole buckets, half-open");

    let of_five: Vec<Candle> = (0..6).map(|n| Candle { volume: 9.0, ..sum(5 * n, 5, 0.0) }).collect();
    kept.hold(Timeframe::M5, &of_five, &[minutes(0, 20)], Some(minutes(0, 30))).await;
    let from_five = [whole(sum(0, 15, 27.0)), part(sum(15, 15, 27.0))];
    assert_eq!(read(Timeframe::M15, all_time(), false).await, from_five, "five minutes go before one");
    assert_eq!(read(Timeframe::M3, minutes(0, 3), false).await, [whole(sum(0, 3, 0.3))], "which do not nest in three");
}

#[tokio::test]
async fn a_session_markets_day_is_gathered_under_its_local_date() {
    let kept = Kept::new(&[Timeframe::H1]).await;
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let new_york = Anchors {
        intraday_shift_s: 1800,
        session: Some(candlewick::market::Session {
            zone: chrono_tz::America::New_York,
            open: NaiveTime::from_hms_opt(9, 30, 0).unwrap(),
            close: NaiveTime::from_hms_opt(16, 0, 0).unwrap(),
        }),
        ..Anchors::default()
    };
    let series = kept.series(Timeframe::H1).await;
    kept.store.set_anchors(series.symbol, &AnchorsRow::from(new_york)).await.unwrap();
    let first = at("2026-11-20T14:30:00Z");
    let hours: Vec<Candle> = (0..7).map(|n| Candle { open_time: first + TimeDelta::hours(n), ..bar(n) }).collect();
    let session = Span::new(first, at("2026-11-20T21:30:00Z"));
    kept.hold(Timeframe::H1, &hours, &[session], Some(session)).await;
    let day =
        Candle { open_time: at("2026-11-20T00:00:00Z"), high: 7.0, close: 7.0, volume: 0.7, trades: Some(7), ..bar(0) };
    assert_eq!(kept.read(Timeframe::D1, all_time(), Fill::None, false).await, [whole(day)]);
}

#[tokio::test]
async fn unknown_names_are_answered_with_the_nearest_known_ones() {
    let kept = Kept::new(&[Timeframe::M5]).await;
    let words = async |exchange: &str, symbol: &str, timeframe| {
        let answer = kept.reader.fetch_ohlcv(exchange, symbol, timeframe, all_time(), Fill::None, false).await;
        answer.unwrap_err().to_string()
    };
    assert_eq!(
        words("krakn", "BTC/USD", Timeframe::M5).await,
        "no symbol of exchange \"krakn\" is kept here; did you mean kraken?"
    );
    assert_eq!(
        words("kraken", "ethusd", Timeframe::M5).await,
        "kraken \"ethusd\" is not kept here; did you mean ETH/USD, ETH/EUR, BTC/USD?"
    );
    assert_eq!(
        words("kraken", "BTC/USD", Timeframe::M5).await,
        "kraken BTC/USD has no candles from which 5m could be built; stored: none"
    );
    kept.series(Timeframe::M5).await;
    let answer = kept.reader.fetch_ohlcv("kraken", "BTC/USD", Timeframe::M3, all_time(), Fill::None, false).await;
    let Err(ReadError::NoSeries { stored, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(stored, [Timeframe::M5]);
    assert_eq!(kept.read(Timeframe::H1, all_time(), Fill::Flat, true).await, []);

    let empty = Reader::new(store::open("sqlite://:memory:", Access::Create).await.unwrap());
    assert_eq!(
        empty.find("kraken", "BTC/USD").await.unwrap_err().to_string(),
        "no symbol of exchange \"kraken\" is kept here; nothing is"
    );
}

#[tokio::test]
async fn the_inventory_tells_coverage_gaps_and_lag_from_the_ledger_alone() {
    let kept = Kept::new(&[Timeframe::M1, Timeframe::H1]).await;
    kept.hold(Timeframe::M1, &[bar(30)], &[minutes(20, 70)], Some(minutes(10, 80))).await;
    let series = kept.series(Timeframe::M1).await;
    let gone = Coverage::Unavailable { reason: "venue_hole: rest".to_owned() };
    let change = SeriesChange {
        ledger: vec![LedgerChange::Set(minutes(70, 75), gone.clone()), LedgerChange::Unverify(minutes(20, 30))],
        ..SeriesChange::new(series.id)
    };
    kept.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();

    let now = minute(100) + TimeDelta::seconds(30);
    let rows = inventory(&*kept.store, now, |row| row.symbol.as_str() == "BTC/USD").await.unwrap();
    let gap = |from, to, coverage: &Coverage| LedgerEntry { span: minutes(from, to), coverage: coverage.clone() };
    let unknown = Coverage::missing("not_fetched");
    let expected = SeriesInventory {
        exchange: "kraken".to_owned(),
        symbol: "BTC/USD".parse().unwrap(),
        timeframe: Timeframe::M1,
        series: Some(series.id),
        wanted: minutes(0, 100),
        covered_percent: 50.0,
        verified_percent: 40.0,
        gaps: vec![gap(0, 10, &unknown), gap(10, 20, &unknown), gap(70, 75, &gone), gap(75, 80, &unknown)],
        lag: Some(minutes(80, 100)),
        first_candle: Some(minute(30)),
        last_candle: Some(minute(30)),
    };
    let untouched = SeriesInventory {
        timeframe: Timeframe::H1,
        series: None,
        wanted: minutes(0, 60),
        covered_percent: 0.0,
        verified_percent: 0.0,
        gaps: vec![],
        lag: Some(minutes(0, 60)),
        first_candle: None,
        last_candle: None,
        ..expected.clone()
    };
    assert_eq!(rows, [expected, untouched]);
    assert_eq!(inventory(&*kept.store, now, |_| true).await.unwrap().len(), 6);
}

#[tokio::test]
async fn verification_lists_every_kind_of_violation_and_nothing_else() {
    let kept = Kept::new(&[Timeframe::M1]).await;
    let check = async |absence| {
        let series = kept.series(Timeframe::M1).await;
        verify(&*kept.store, &series, Grid::utc(Timeframe::M1), absence, minute(0)).await.unwrap()
    };
    assert_eq!(check(Absence::Forbidden).await, [], "nothing is said yet");
    let candles: Vec<Candle> = (0..10).filter(|n| ![3, 4, 7].contains(n)).map(bar).collect();
    kept.hold(Timeframe::M1, &candles, &[minutes(0, 10)], Some(minutes(0, 12))).await;
    let missing = |from, to| Violation::RowsMissing { span: minutes(from, to), buckets: (to - from) as u64 };
    assert_eq!(check(Absence::Forbidden).await, [missing(3, 5), missing(7, 8)]);
    assert_eq!(check(Absence::Allowed).await, [], "a venue that omits quiet buckets proves them empty");

    let crooked = Span::new(minute(20), minute(21) + TimeDelta::seconds(30));
    let odd = Candle { open_time: minute(20) + TimeDelta::seconds(30), ..bar(20) };
    kept.hold(Timeframe::M1, &[bar(20), odd, bar(21)], &[crooked], Some(minutes(30, 32))).await;
    assert_eq!(
        check(Absence::Allowed).await,
        [
            Violation::CrookedInterval(crooked),
            Violation::Untiled(minutes(12, 20)),
            Violation::Untiled(Span::new(crooked.to, minute(30))),
            Violation::RowOffGrid(odd.open_time),
        ]
    );
    assert_eq!(
        missing(3, 5).to_string(),
        "2 bucket(s) in [2026-11-20T00:03:00Z, 2026-11-20T00:05:00Z) are said to be complete and have no candle"
    );
}

#[tokio::test]
async fn history_that_is_wanted_since_a_collector_last_looked_is_no_hole() {
    let kept = Kept::new(&[Timeframe::M1]).await;
    let candles: Vec<Candle> = (0..10).map(bar).collect();
    kept.hold(Timeframe::M1, &candles, &[minutes(0, 10)], Some(minutes(0, 10))).await;
    let series = kept.series(Timeframe::M1).await;
    let earlier = minute(0) - TimeDelta::hours(3);
    let violations = verify(&*kept.store, &series, Grid::utc(Timeframe::M1), Absence::Forbidden, earlier).await;
    assert_eq!(violations.unwrap(), []);
}

#[tokio::test]
async fn verification_reads_long_series_page_by_page() {
    const ROWS: i64 = 25_000;
    let kept = Kept::new(&[Timeframe::M1]).await;
    // Holes around the borders of pages, and at both ends.
    let holes = [0, 9_999, 10_000, 10_001, 20_002, ROWS - 1];
    let candles: Vec<Candle> = (0..ROWS).filter(|n| !holes.contains(n)).map(bar).collect();
    kept.hold(Timeframe::M1, &candles, &[minutes(0, ROWS)], Some(minutes(0, ROWS))).await;
    let series = kept.series(Timeframe::M1).await;
    let violations =
        verify(&*kept.store, &series, Grid::utc(Timeframe::M1), Absence::Forbidden, minute(0)).await.unwrap();
    let missing = |from, to| Violation::RowsMissing { span: minutes(from, to), buckets: (to - from) as u64 };
    let expected = [missing(0, 1), missing(9_999, 10_002), missing(20_002, 20_003), missing(ROWS - 1, ROWS)];
    assert_eq!(violations, expected);
}
