//! Final candles in Redis: the newest bars of each series, and every change once, by its number.

use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};
use candlewick::store::{CandleQuery, SeriesChange, SeriesRow, StoredCandle, WriteBatch};
use chrono::{DateTime, TimeDelta, Utc};
use redis::Commands;
use redis::streams::StreamRangeReply;
use serde_json::{Value, json};

use crate::server::RedisServer;
use crate::stage::{Stage, until};
use crate::support::real_time::in_real_time;

/// An entry of the stream, as text by field.
type Entry = BTreeMap<String, String>;

fn entries(redis: &mut redis::Connection) -> Vec<Entry> {
    let reply: StreamRangeReply = redis.xrange_all("candlewick:candles").unwrap();
    let text = |value: &redis::Value| redis::from_redis_value_ref::<String>(value).unwrap();
    reply.ids.iter().map(|id| id.map.iter().map(|(field, value)| (field.clone(), text(value))).collect()).collect()
}

fn number(entry: &Entry, field: &str) -> f64 {
    entry[field].parse().unwrap()
}

async fn series(stage: &Stage, symbol: &str) -> SeriesRow {
    let store = stage.collector().store();
    let row = store.symbols().await.unwrap().into_iter().find(|row| row.symbol.as_str() == symbol).unwrap();
    store.series_of(row.id).await.unwrap().remove(0)
}

async fn stored(stage: &Stage, symbol: &str) -> Vec<StoredCandle> {
    let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let query = CandleQuery { span, limit: None, newest_first: false };
    stage.collector().store().candles(series(stage, symbol).await.id, query).await.unwrap()
}

/// Writes a final candle as the collector would.
async fn write(stage: &Stage, symbol: &str, candle: Candle, observed_at: DateTime<Utc>) -> i64 {
    let series = series(stage, symbol).await.id;
    let candles = vec![FinalCandle { candle, source: Source::Rest, rule: Rule::Rest, observed_at }];
    let change = SeriesChange { candles, ..SeriesChange::new(series) };
    let batch = WriteBatch { series: vec![change], ..WriteBatch::default() };
    stage.collector().store().write(&batch).await.unwrap()[0].last_sequence
}

fn old_bar(close: f64) -> Candle {
    Candle {
        open_time: "2026-11-19T00:00:00Z".parse().unwrap(),
        open: 100.0,
        high: 200.0,
        low: 50.0,
        close,
        volume: 0.0000001,
        quote_volume: None,
        trades: None,
        vwap: None,
    }
}

/// Waits until the stream holds number `sequence` of a symbol.
async fn until_published(redis: &mut redis::Connection, symbol: &str, sequence: i64) {
    let wanted = sequence.to_string();
    let is_it = |entry: &Entry| entry["symbol"] == symbol && entry["sequence"] == wanted;
    until("the number", || entries(redis).iter().any(is_it).then_some(())).await;
}

/// Every number of a symbol from 1 to its last stands in the stream once, in order, and what they
/// say in the end is what the store holds.
async fn assert_whole(stage: &Stage, redis: &mut redis::Connection, symbol: &str) {
    let last = series(stage, symbol).await.last_sequence;
    until_published(redis, symbol, last).await;
    let told: Vec<Entry> = entries(redis).into_iter().filter(|entry| entry["symbol"] == symbol).collect();
    let numbers: Vec<i64> = told.iter().map(|entry| entry["sequence"].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>(), "{symbol}");
    assert!(numbers.len() as i64 >= last);
    let mut bars = BTreeMap::new();
    for entry in told.iter().filter(|entry| entry["kind"] != "superseded") {
        assert_eq!((entry["exchange"].as_str(), entry["timeframe"].as_str()), ("kraken", "1m"));
        let values = ["open", "high", "low", "close", "volume"].map(|field| number(entry, field));
        bars.insert(entry["time"].parse::<i64>().unwrap(), values);
    }
    let held = stored(stage, symbol).await;
    assert!(held.len() > 100, "two hours of minutes");
    for row in held.iter().filter(|row| bars.len() == held.len() || row.revision == 0) {
        let candle = &row.candle;
        let Some(told) = bars.get(&candle.open_time.timestamp_millis()) else { continue };
        assert_eq!(*told, [candle.open, candle.high, candle.low, candle.close, candle.volume], "{candle:?}");
    }
    assert!(bars.len() >= held.len() - 2, "{} of {} bars", bars.len(), held.len());
}

#[test]
fn the_newest_bars_are_a_list_and_every_change_is_told_once_by_its_number() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        let mut stage = Stage::new(&server.url());
        stage.config.redis.cache_bars = 50;
        stage.start().await;
        for symbol in ["BTC/USD", "ETH/USD"] {
            stage.want(symbol, &[Timeframe::M1]).await;
            stage.until_live(symbol).await;
        }
        let inserted = write(&stage, "BTC/USD", old_bar(150.0), stage.clock.now()).await;
        until_published(&mut redis, "BTC/USD", inserted).await;
        let corrected = write(&stage, "BTC/USD", old_bar(151.0), stage.clock.now() + TimeDelta::seconds(1)).await;
        assert!(corrected > inserted);
        until_published(&mut redis, "BTC/USD", corrected).await;
        let told: Vec<Entry> = entries(&mut redis).into_iter().filter(|entry| entry["symbol"] == "BTC/USD").collect();
        let of = |sequence: i64| told.iter().find(|entry| entry["sequence"] == sequence.to_string()).unwrap();
        let expected = json!({"exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1m", "sequence": inserted.to_string(),
            "kind": "candle", "time": "1763510400000", "open": "100", "high": "200", "low": "50", "close": "150",
            "volume": "0.0000001", "source": "rest"});
        let time = old_bar(0.0).open_time.timestamp_millis().to_string();
        let mut expected = expected.as_object().unwrap().clone();
        expected.insert("time".to_owned(), time.into());
        assert_eq!(json!(of(inserted)), Value::Object(expected));
        assert_eq!((of(corrected)["kind"].as_str(), of(corrected)["close"].as_str()), ("correction", "151"));

        stage.stop().await;
        // At rest, the lists are the newest bars of the store.
        stage.config.redis.url = None;
        stage.start().await;
        for symbol in ["BTC/USD", "ETH/USD"] {
            let list: Vec<String> = redis.lrange(format!("ohlcv:kraken:{symbol}:1m"), 0, -1).unwrap();
            assert_eq!(list.len(), 50);
            let list: Vec<Value> = list.iter().map(|bar| serde_json::from_str(bar).unwrap()).collect();
            let newest = list.last().unwrap()[0].as_i64().unwrap();
            let held = stored(&stage, symbol).await;
            let upto = held.iter().position(|row| row.candle.open_time.timestamp_millis() == newest).unwrap();
            let expected: Vec<Value> = held[upto - 49..=upto]
                .iter()
                .map(|row| {
                    let c = &row.candle;
                    json!([c.open_time.timestamp_millis(), c.open, c.high, c.low, c.close, c.volume])
                })
                .collect();
            assert_eq!(list, expected, "{symbol}");
        }
        let kinds = ["string", "hash", "list", "stream"];
        for key in redis.keys::<_, Vec<String>>("*").unwrap() {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).unwrap();
            assert!(kinds.contains(&kind.as_str()) && !key.starts_with("process:"), "{key} {kind}");
        }
    });
}

#[test]
fn no_number_is_missing_or_doubled_across_restarts_of_both() {
    in_real_time(async {
        let mut server = RedisServer::start_durable();
        let mut stage = Stage::with(&server.url(), &["BTC/USD", "ETH/USD"]).await;
        for round in 0..3 {
            // Away while history is read, while live, and while the collector stops and starts.
            tokio::time::sleep(Duration::from_millis(300 + 700 * round)).await;
            server.kill();
            tokio::time::sleep(Duration::from_millis(1500)).await;
            if round == 1 {
                stage.stop().await;
                stage.start().await;
            }
            server.restart();
            if round == 2 {
                stage.stop().await;
                stage.start().await;
            }
        }
        let mut redis = server.client();
        for symbol in ["BTC/USD", "ETH/USD"] {
            stage.until_live(symbol).await;
            assert_whole(&stage, &mut redis, symbol).await;
        }
        stage.stop().await;
    });
}

#[test]
fn a_redis_that_lost_its_data_gets_everything_again_from_the_first_number() {
    in_real_time(async {
        let mut server = RedisServer::start();
        let stage = Stage::with(&server.url(), &["BTC/USD"]).await;
        stage.until_live("BTC/USD").await;
        assert_whole(&stage, &mut server.client(), "BTC/USD").await;
        server.kill();
        server.restart();
        let mut redis = server.client();
        assert_whole(&stage, &mut redis, "BTC/USD").await;
        // Emptied under a connection that stays.
        let _: () = redis::cmd("FLUSHALL").query(&mut redis).unwrap();
        assert_whole(&stage, &mut redis, "BTC/USD").await;
    });
}

#[test]
fn a_number_whose_value_was_corrected_before_it_was_told_is_told_as_superseded() {
    in_real_time(async {
        let mut server = RedisServer::start_durable();
        let stage = Stage::with(&server.url(), &["BTC/USD"]).await;
        stage.until_live("BTC/USD").await;
        server.kill();
        let inserted = write(&stage, "BTC/USD", old_bar(150.0), stage.clock.now()).await;
        let corrected = write(&stage, "BTC/USD", old_bar(151.0), stage.clock.now() + TimeDelta::seconds(1)).await;
        server.restart();
        let mut redis = server.client();
        until_published(&mut redis, "BTC/USD", corrected).await;
        let told = entries(&mut redis);
        let kind = |sequence: i64| {
            told.iter().find(|entry| entry["sequence"] == sequence.to_string()).unwrap()["kind"].clone()
        };
        assert_eq!((kind(inserted).as_str(), kind(corrected).as_str()), ("superseded", "correction"));
        assert_whole(&stage, &mut redis, "BTC/USD").await;
    });
}

#[test]
fn another_database_under_the_same_names_is_told_from_its_first_number() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        for _ in 0..2 {
            let _: () = redis.del("candlewick:candles").unwrap();
            let mut stage = Stage::with(&server.url(), &["BTC/USD"]).await;
            stage.until_live("BTC/USD").await;
            assert_whole(&stage, &mut redis, "BTC/USD").await;
            stage.stop().await;
        }
    });
}

#[test]
fn open_bars_are_told_where_they_are_asked_for() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut stage = Stage::new(&server.url());
        stage.config.redis.forming = true;
        stage.start().await;
        stage.want("BTC/USD", &[Timeframe::M1]).await;
        let mut redis = server.client();
        let told = std::thread::spawn(move || {
            redis.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut pubsub = redis.as_pubsub();
            pubsub.psubscribe("candlewick:forming:*").unwrap();
            // Before its first trade an open bar has no volume.
            loop {
                let message = pubsub.get_message().unwrap();
                let bar: Vec<f64> = serde_json::from_str(&message.get_payload::<String>().unwrap()).unwrap();
                if bar[5] > 0.0 {
                    return (message.get_channel_name().to_owned(), bar);
                }
            }
        });
        until("an open bar", || told.is_finished().then_some(())).await;
        let (channel, bar) = told.join().unwrap();
        assert_eq!(channel, "candlewick:forming:kraken:BTC/USD:1m");
        assert_eq!(bar.len(), 6);
        assert_eq!(bar[0] as i64 % 60_000, 0);
        assert!(bar[2] >= bar[3], "{bar:?}");
    });
}
