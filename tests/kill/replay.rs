//! A recording of trades, played by simulated exchanges and kept by a daemon.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use candlewick::market::Span;
use candlewick::store::inventory::inventory;
use candlewick::store::{self, Access, CandleQuery};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rust_decimal::Decimal;

use crate::program::{self, Running, finished, text, url};
use crate::simulated::Simulated;
use crate::{SPEED, setting, verify, write};

/// Open, high, low, close and volume of a minute, added up from trades.
type Minute = [Decimal; 5];

/// Some minutes of trades, one of them without any, and what they come to.
fn recording(dice: &mut StdRng, from: DateTime<Utc>, minutes: i64) -> (String, BTreeMap<DateTime<Utc>, (Minute, u64)>) {
    let mut csv = "time,price,amount,id,side\n".to_owned();
    let mut expected = BTreeMap::new();
    let (mut id, mut cents) = (3_735_693_016_u64, 6_168_599_i64);
    for minute in (0..minutes).filter(|minute| *minute != 3) {
        let open_time = from + TimeDelta::minutes(minute);
        let mut times: Vec<i64> = (0..dice.random_range(1..200)).map(|_| dice.random_range(0..60_000)).collect();
        // Trades at the very borders of the minute belong to it.
        times.extend([0, 59_999]);
        times.sort_unstable();
        for time in times {
            cents += dice.random_range(-900..900);
            id += 1;
            let (price, amount) = (Decimal::new(cents, 2), Decimal::new(dice.random_range(1..50_000_000), 8));
            let at = open_time.timestamp_millis() + time;
            let side = if dice.random_bool(0.5) { "buy" } else { "sell" };
            writeln!(csv, "{at},{price}000000,{amount},{id},{side}").unwrap();
            let ([_, high, low, close, volume], trades) =
                expected.entry(open_time).or_insert(([price, price, price, price, Decimal::ZERO], 0));
            (*high, *low, *close) = ((*high).max(price), (*low).min(price), price);
            *volume += amount;
            *trades += 1;
        }
    }
    (csv, expected)
}

#[tokio::test]
async fn minutes_of_a_replayed_recording_are_stored_as_its_trades_add_up_to_the_last_digit() {
    let seed = setting("CANDLEWICK_SEED").unwrap_or(1);
    let start: DateTime<Utc> = "2024-08-09T00:00:00Z".parse().unwrap();
    let minutes = 8;
    let (csv, expected) = recording(&mut StdRng::seed_from_u64(seed), start, minutes);
    let folder = tempfile::tempdir().unwrap();
    let database = url(folder.path());
    let trades = write(folder.path(), "trades.csv", &csv);
    let simulated = Simulated::start(SPEED, &["--replay", &trades, "--symbols", "3"]);
    let exchanges = ["binance", "kraken"];
    for exchange in exchanges {
        let wish =
            ["symbols", "add", exchange, "BTC/USDT", "-t", "1m", "--from", "2024-08-09", "--database", &database];
        let added = finished(&wish);
        assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
    }
    let mut daemon = Running::start(&["run", "--database", &database, "--simulator", &simulated.url]);
    let store = store::open(&database, Access::ReadOnly).await.unwrap();
    let end = start + TimeDelta::minutes(minutes);
    let deadline = Instant::now() + program::PATIENCE;
    while inventory(&*store, end, |_| true).await.unwrap().iter().any(|series| series.covered_percent < 100.0) {
        assert!(Instant::now() < deadline, "not complete: {}", daemon.words.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code(), Some(0));
    verify(&database);

    let double = |value: &Decimal| value.to_string().parse::<f64>().unwrap();
    let symbols = store.symbols().await.unwrap();
    assert_eq!(symbols.iter().map(|row| row.exchange.as_str()).collect::<Vec<_>>(), exchanges);
    for symbol in symbols {
        let series = store.series_of(symbol.id).await.unwrap();
        let query = CandleQuery { span: Span::new(start, end), limit: None, newest_first: false };
        let stored = store.candles(series[0].id, query).await.unwrap();
        let traded: BTreeMap<_, _> = stored
            .iter()
            .map(|row| row.candle)
            .filter(|candle| candle.volume > 0.0)
            .map(|c| (c.open_time, ([c.open, c.high, c.low, c.close, c.volume], c.trades)))
            .collect();
        let wanted: BTreeMap<_, _> = expected
            .iter()
            .map(|(open_time, (numbers, trades))| (*open_time, (numbers.each_ref().map(double), Some(*trades))))
            .collect();
        assert_eq!(traded, wanted, "{}", symbol.exchange);
    }
}
