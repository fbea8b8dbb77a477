//! What Redis holds after the deaths of a daemon and of its servers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use candlewick::market::Span;
use candlewick::store::{CandleQuery, Store};
use chrono::{DateTime, TimeDelta, Utc};
use redis::Commands;
use redis::streams::{StreamId, StreamRangeReply};

/// From how many entries on Redis may have forgotten the first ones.
const KEPT: usize = 100_000;

/// Waits until every bar from before `until` in Redis is the stored one, and every series that has any
/// stored has some there.
pub async fn mirrored(url: &str, store: &dyn Store, until: DateTime<Utc>) {
    let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut differing = Vec::new();
        for symbol in store.symbols().await.unwrap() {
            for series in store.series_of(symbol.id).await.unwrap() {
                let key = format!("ohlcv:{}:{}:{}", symbol.exchange, symbol.symbol, series.timeframe);
                let bars: Vec<String> = redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).query(&mut client).unwrap();
                let bars: Vec<(i64, [f64; 5])> = bars.iter().map(|bar| flattened(bar)).collect();
                let first = bars.first().and_then(|(open, _)| DateTime::from_timestamp_millis(*open)).unwrap_or(until);
                let query = CandleQuery { span: Span::new(first, until.max(first)), limit: None, newest_first: false };
                let stored = store.candles(series.id, query).await.unwrap();
                let stored: Vec<(i64, [f64; 5])> = stored
                    .iter()
                    .map(|row| row.candle)
                    .map(|c| (c.open_time.timestamp_millis(), [c.open, c.high, c.low, c.close, c.volume]))
                    .collect();
                let bars: Vec<_> = bars.into_iter().filter(|(open, _)| *open < until.timestamp_millis()).collect();
                // At the week-end stocks have none of the last day.
                let last = Span::new(until - TimeDelta::days(2), until);
                let query = CandleQuery { span: last, limit: Some(1), newest_first: true };
                let has_some = !store.candles(series.id, query).await.unwrap().is_empty();
                if bars.is_empty() == has_some || bars != stored {
                    differing.push(format!("{key}: {} bars, {} stored", bars.len(), stored.len()));
                }
            }
        }
        if differing.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "Redis does not have what is stored: {differing:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// `[ms, open, high, low, close, volume]`.
fn flattened(bar: &str) -> (i64, [f64; 5]) {
    let (open_time, open, high, low, close, volume) = serde_json::from_str(bar).unwrap();
    (open_time, [open, high, low, close, volume])
}

/// The numbers that a stream holds of each of its sources, in the stream's order.
fn numbers<K: Ord>(
    client: &mut redis::Connection,
    stream: &str,
    entry: impl Fn(&StreamId) -> (K, i64),
) -> BTreeMap<K, Vec<i64>> {
    let reply: StreamRangeReply = client.xrange_all(stream).unwrap();
    let is_whole = reply.ids.len() < KEPT;
    let mut numbers: BTreeMap<K, Vec<i64>> = BTreeMap::new();
    for (source, number) in reply.ids.iter().map(entry) {
        numbers.entry(source).or_default().push(number);
    }
    for told in numbers.values() {
        let first = if is_whole { 1 } else { told[0] };
        assert!(told.iter().copied().eq(first..first + told.len() as i64), "{stream}: {told:?}");
    }
    numbers
}

/// Waits until the streams of Redis hold what is stored now: the last number of every series, and of the
/// events. Each number stands there once and in its order, whoever died between a commit and its telling.
pub async fn numbered(url: &str, store: &dyn Store) {
    let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut wanted = BTreeMap::new();
    for symbol in store.symbols().await.unwrap() {
        for series in store.series_of(symbol.id).await.unwrap().into_iter().filter(|series| series.last_sequence > 0) {
            let name = format!("{} {} {}", symbol.exchange, symbol.symbol, series.timeframe);
            wanted.insert(name, series.last_sequence);
        }
    }
    let last_event = store.last_event().await.unwrap();
    assert!(wanted.len() > 40 && last_event > 40, "{} series, {last_event} events", wanted.len());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = |entry: &StreamId, field: &str| entry.get::<String>(field).unwrap();
        let candles = numbers(&mut client, "candlewick:candles", |entry| {
            let name = ["exchange", "symbol", "timeframe"].map(|field| text(entry, field)).join(" ");
            (name, entry.get("sequence").unwrap())
        });
        let events = numbers(&mut client, "candlewick:events", |entry| ((), entry.get("number").unwrap()));
        let has = |numbers: Option<&Vec<i64>>, wanted: i64| numbers.is_some_and(|told| told.last() >= Some(&wanted));
        let mut lacking: Vec<&String> =
            wanted.iter().filter(|(name, last)| !has(candles.get(*name), **last)).map(|(name, _)| name).collect();
        // Of a series that has been quiet for longer than the stream remembers, nothing is left.
        lacking.retain(|name| candles.contains_key(*name) || candles.values().map(Vec::len).sum::<usize>() < KEPT);
        if lacking.is_empty() && has(events.get(&()), last_event) {
            return;
        }
        assert!(Instant::now() < deadline, "not told: {lacking:?}, events up to {last_event}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
