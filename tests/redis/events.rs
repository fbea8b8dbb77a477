//! Events in Redis: each once, by its number, whichever side dies.

use std::time::Duration;

use candlewick::store::{ModeChange, WriteBatch};
use redis::Commands;
use redis::streams::StreamRangeReply;
use serde_json::Value;

use crate::server::RedisServer;
use crate::stage::{Stage, until};
use crate::support::real_time::in_real_time;

/// The number and the JSON of each entry.
fn entries(redis: &mut redis::Connection) -> Vec<(i64, Value)> {
    let reply: StreamRangeReply = redis.xrange_all("candlewick:events").unwrap();
    let entry = |id: &redis::streams::StreamId| {
        let event: Value = serde_json::from_str(&id.get::<String>("event").unwrap()).unwrap();
        for field in ["kind", "exchange", "symbol"] {
            assert_eq!(Value::String(id.get(field).unwrap()), event[field]);
        }
        assert_eq!(id.get::<String>("timeframe"), event["timeframe"].as_str().map(str::to_owned));
        let number = id.get("number").unwrap();
        assert_eq!(event["number"], number);
        (number, event)
    };
    reply.ids.iter().map(entry).collect()
}

/// Changes the mode of the first symbol so often, from outside.
async fn record(stage: &Stage, word: &str, times: usize) -> i64 {
    let store = stage.collector().store();
    let symbol = store.symbols().await.unwrap().remove(0).id;
    for n in 0..times {
        let change =
            ModeChange { symbol, mode: format!("{word} {n}"), reason: "test".to_owned(), at: stage.clock.now() };
        store.write(&WriteBatch { modes: vec![change], ..WriteBatch::default() }).await.unwrap();
    }
    store.last_event().await.unwrap()
}

/// Every number up to the last one of the store stands in the stream once, in order, as it is stored.
async fn assert_whole(stage: &Stage, redis: &mut redis::Connection, at_least: i64) {
    until("the last number", || entries(redis).iter().any(|(number, _)| *number >= at_least).then_some(())).await;
    let told = entries(redis);
    assert!(told.iter().map(|(number, _)| *number).eq(1..=told.len() as i64), "{told:?}");
    let stored = stage.collector().store().events_after(0, 1000).await.unwrap();
    for (stored, (_, told)) in stored.iter().zip(&told) {
        assert_eq!(serde_json::to_value(stored).unwrap(), *told);
    }
}

#[test]
fn every_event_is_told_once_by_its_number_across_restarts_of_both() {
    in_real_time(async {
        let mut server = RedisServer::start_durable();
        let mut stage = Stage::with(&server.url(), &["BTC/USD"]).await;
        stage.until_live("BTC/USD").await;
        let mut last = record(&stage, "first", 3).await;
        // Nobody mentions them; whatever the writer does next has them found, or the look of a minute.
        stage.want("ETH/USD", &[candlewick::market::Timeframe::M1]).await;
        stage.until_live("ETH/USD").await;
        assert_whole(&stage, &mut server.client(), last).await;
        for round in 0..3 {
            server.kill();
            last = record(&stage, &format!("round {round}"), 4).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            if round == 1 {
                stage.stop().await;
                stage.start().await;
            }
            server.restart();
            if round == 2 {
                stage.stop().await;
                stage.start().await;
            }
            // A new life looks at once.
            if round == 0 {
                stage.stop().await;
                stage.start().await;
            }
            assert_whole(&stage, &mut server.client(), last).await;
        }
        stage.stop().await;
    });
}

#[test]
fn a_redis_of_another_database_or_without_data_is_told_all_that_is_kept() {
    in_real_time(async {
        let server = RedisServer::start();
        let mut redis = server.client();
        for _ in 0..2 {
            let _: () = redis.del("candlewick:events").unwrap();
            let mut stage = Stage::with(&server.url(), &["BTC/USD"]).await;
            stage.until_live("BTC/USD").await;
            let last = record(&stage, "mode", 5).await;
            stage.stop().await;
            stage.start().await;
            assert_whole(&stage, &mut redis, last).await;
            let _: () = redis::cmd("FLUSHALL").query(&mut redis).unwrap();
            stage.stop().await;
            stage.start().await;
            assert_whole(&stage, &mut redis, last).await;
            stage.stop().await;
        }
    });
}
