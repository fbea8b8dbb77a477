//! BitMEX: the dialect and the simulated venue against the simulator's truth, and a collector on top
//! of both.

mod support;

use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{ErrorKind, Instrument, TradeCursor};
use candlewick::market::{Grid, Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use candlewick::store::{CandleSource, ExchangeRow, NewSymbol, Store};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use support::line::Line;
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const BTC: &str = "BTC/USD:BTC";
/// Trades rarely.
const QUIET: &str = "ETH/USDT:USDT";

fn epoch() -> DateTime<Utc> {
    "2026-11-20T15:00:30Z".parse().unwrap()
}

fn config() -> SimConfig {
    SimConfig { history_days: 3, enforce_limits: false, ..SimConfig::default() }
}

/// A venue whose clock stands still.
fn standing(config: SimConfig) -> Line {
    Line::new("bitmex", config, Clock::manual(epoch()))
}

#[tokio::test]
async fn bars_open_at_the_close_before_and_may_open_outside_their_range() {
    let line = standing(config());
    for symbol in [BTC, QUIET] {
        let market = line.instrument(symbol).await;
        let to = Grid::utc(Timeframe::M1).bucket_at(epoch());
        let found = line.candles(&market, Timeframe::M1, Span::new(to - TimeDelta::minutes(1000), to)).await.unwrap();
        assert!(found.windows(2).all(|pair| pair[1].open == pair[0].close), "{symbol}");
        let outside = found.iter().filter(|bar| bar.open > bar.high || bar.open < bar.low).count();
        let flat = found.iter().filter(|bar| bar.trades == Some(0) && bar.vwap.is_none()).count();
        assert!(outside > 3, "{outside}");
        assert_eq!(flat > 500, symbol == QUIET, "{flat}");
    }
}

#[tokio::test]
async fn pages_are_bounded_by_ends_and_turned_round_on_request() {
    let line = standing(config());
    let get = |query: &str| {
        let target = format!("/bitmex/api/v1/trade/bucketed?binSize=1m&symbol=xbtusd{query}");
        serde_json::from_str::<Value>(&line.transport.simulator.http(&SimRequest::get(target)).text()).unwrap()
    };
    let ends = |query: &str| {
        let rows = get(query);
        let end = |row: &Value| row["timestamp"].as_str().unwrap()[11..16].to_owned();
        rows.as_array().unwrap().iter().map(end).collect::<Vec<_>>()
    };
    // Both bounds are inclusive.
    let hour = "&startTime=2026-11-20T14:00:00.000Z&endTime=2026-11-20T14:02:00.000Z";
    assert_eq!(ends(hour), ["14:00", "14:01", "14:02"]);
    assert_eq!(ends(&format!("{hour}&reverse=true&count=2")), ["14:02", "14:01"]);
    assert_eq!(ends(&format!("{hour}&start=2")), ["14:02"]);
    assert_eq!(ends("&reverse=true&count=1"), ["15:00"]);
    assert_eq!(ends("&reverse=true&count=2&partial=true"), ["15:01", "15:00"]);
    assert_eq!(ends("").len(), 100);
    assert_eq!(get("&count=1001")["error"]["message"], "Maximum count is 1000.");
    assert_eq!(get("&startTime=soon")["error"]["name"], "HTTPError");

    let market = line.instrument(BTC).await;
    let span = Span::new(epoch() - TimeDelta::days(1), epoch());
    let weekly = line.candles(&market, Timeframe::W1, span).await.unwrap_err();
    assert_eq!(weekly.kind, ErrorKind::BadRequest);
    let unknown = Instrument::new("NO/USD:BTC".parse().unwrap(), "NOUSD", "NOUSD");
    assert_eq!(line.candles(&unknown, Timeframe::M1, span).await.unwrap_err().kind, ErrorKind::UnknownSymbol);
}

#[tokio::test]
async fn limits_punish_and_say_how_long_and_faults_strike_pages() {
    let line = standing(SimConfig { enforce_limits: true, ..config() });
    let market = line.instrument(BTC).await;
    let call = line.dialect.encode_trades(&market, &TradeCursor::Newest).unwrap();
    let reply = line.call(&call).await;
    assert_eq!(line.dialect.standing(&reply).used, Some(2));
    let mut refused = Vec::new();
    for _ in 0..30 {
        if let Err(error) = line.trades(&market, &TradeCursor::Newest).await {
            refused.push(error.kind);
        }
    }
    let retry_after = |seconds| ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
    assert_eq!(refused, [retry_after(4), retry_after(6)]);
    assert_eq!(line.transport.simulator.stats().exchanges["bitmex"].limited, 2);
    line.clock.advance(Duration::from_secs(6));
    assert!(line.trades(&market, &TradeCursor::Newest).await.is_ok());
    line.clock.advance(Duration::from_secs(60));

    let once = |kind| line.transport.simulator.inject(Fault::new(kind).on(Venue::BITMEX).times(1));
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let hour = Span::new(minute - TimeDelta::hours(1), minute);
    once(FaultKind::EmptyPage);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(vec![]));
    once(FaultKind::PageCap { rows: 7 });
    let cut = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    let whole = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    assert_eq!((&cut[..], whole.len()), (&whole[..7], 60));
    once(FaultKind::IgnoreSince);
    let old = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    assert!(old[0].open_time < hour.from - TimeDelta::days(1));
}

async fn keeps_minutes_complete(is_polled: bool) {
    let symbols = [BTC, QUIET];
    let mut stage = Stage::new(SimConfig::default()).await;
    for symbol in symbols {
        stage.want("bitmex", symbol, &[Timeframe::M1, Timeframe::H1], TimeDelta::hours(6)).await;
    }
    if is_polled {
        stage.poll_only("bitmex").await;
    }
    stage.start().await;
    for symbol in symbols {
        stage.until("live", minutes(3), |stage| stage.is_live(&format!("bitmex:{symbol}"))).await;
    }
    stage.pass(minutes(70)).await;
    for symbol in symbols {
        let component = format!("bitmex:{symbol}");
        assert_eq!((stage.is_streaming(&component), stage.is_polling(&component)), (!is_polled, is_polled), "{symbol}");
        stage.assert_minutes("bitmex", symbol, seconds(60)).await;
        let until = Grid::utc(Timeframe::H1).last_closed_end(stage.now() - minutes(3));
        stage.assert_complete("bitmex", symbol, Timeframe::H1, until).await;
    }
    assert_eq!(stage.simulator.stats().exchanges["bitmex"].limited, 0);
}

#[test]
fn a_streaming_collector_keeps_minutes_and_hours_complete() {
    in_virtual_time(keeps_minutes_complete(false));
}

#[test]
fn a_polling_collector_keeps_minutes_and_hours_complete() {
    in_virtual_time(keeps_minutes_complete(true));
}

#[test]
fn a_closed_exchange_begins_switched_off_and_works_once_it_is_enabled() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.start().await;
        let new = NewSymbol {
            exchange: "bitmex".to_owned(),
            symbol: BTC.parse().unwrap(),
            timeframes: vec![Timeframe::M1],
            backfill_from: stage.now() - TimeDelta::hours(1),
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        let collector = stage.collector.as_ref().unwrap();
        collector.add_symbol(&new).await.unwrap();
        stage.pass(minutes(5)).await;
        assert_eq!(stage.requests("bitmex").values().sum::<u64>(), 0);
        let row = stage.store.exchanges().await.unwrap().into_iter().find(|row| row.name == "bitmex").unwrap();
        assert!(!row.enabled);
        stage.store.put_exchange(&ExchangeRow { enabled: true, ..row }).await.unwrap();
        stage.until("live", minutes(3), |stage| stage.is_live("bitmex:BTC/USD:BTC")).await;
        // What was switched on by hand stays on.
        stage
            .collector
            .as_ref()
            .unwrap()
            .add_symbol(&NewSymbol { symbol: QUIET.parse().unwrap(), ..new })
            .await
            .unwrap();
        assert!(stage.store.exchanges().await.unwrap().iter().all(|row| row.enabled));
        stage.pass(minutes(5)).await;
        stage.assert_minutes("bitmex", BTC, seconds(60)).await;
        stage.stop().await;
    });
}
