//! OKX: the dialect and the simulated venue against the simulator's truth, and a collector on top of both.

mod support;

use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{Channel, ErrorKind, Event, Instrument, Subscription, TradeCursor};
use candlewick::market::{Grid, Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use support::line::{Line, subscription};
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const SPOT: &str = "BTC/USDT";
const LINEAR: &str = "BTC/USDT:USDT";
const INVERSE: &str = "BTC/USD:BTC";
const QUIET: &str = "DOGE/USDT";
const MINUTE: Channel = Channel::Candles(Timeframe::M1);

fn epoch() -> DateTime<Utc> {
    "2026-11-20T15:00:30Z".parse().unwrap()
}

fn config() -> SimConfig {
    SimConfig { history_days: 3, enforce_limits: false, ..SimConfig::default() }
}

/// A venue whose clock stands still.
fn standing(config: SimConfig) -> Line {
    Line::new("okx", config, Clock::manual(epoch()))
}

/// A venue on tokio's paused clock.
fn running(config: SimConfig) -> Line {
    Line::new("okx", config, Clock::scaled(epoch(), 1.0))
}

fn back(time: DateTime<Utc>, hours: i64) -> Span {
    Span::new(time - TimeDelta::hours(hours), time)
}

/// The rows of a call, as the venue prints them.
fn rows(line: &Line, path: &str) -> Vec<Value> {
    let reply = line.transport.simulator.http(&SimRequest::get(format!("/okx/api/v5/{path}")));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &body["code"]), (200, &"0".into()), "{path}: {body}");
    body["data"].as_array().unwrap().clone()
}

fn opens(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row[0].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn minutes_behind_the_newest_bars_are_read_at_the_address_of_old_ones_and_days_never_are() {
    let line = standing(config());
    let market = line.instrument(SPOT).await;
    for timeframe in [Timeframe::M1, Timeframe::D1] {
        let grid = Grid::utc(timeframe);
        let span = Span::new(grid.bucket_at(epoch() - TimeDelta::days(3)), grid.bucket_at(epoch()));
        line.walk(&market, timeframe, span, 100).await;
    }
    let asked = line.transport.simulator.stats().exchanges["okx"].by_series.clone();
    assert!(asked["candles BTC/USDT 1m"] >= 14 && asked["history-candles BTC/USDT 1m"] >= 28, "{asked:?}");
    assert_eq!(asked.get("history-candles BTC/USDT 1Dutc"), None);
}

#[tokio::test]
async fn pages_are_newest_first_flagged_bounded_on_both_sides_and_deep_at_one_address_only() {
    let line = standing(config());
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch()).timestamp_millis();
    let newest = rows(&line, "market/candles?instId=BTC-USDT&limit=1000");
    assert_eq!(newest.len(), 300);
    assert_eq!(opens(&newest), (0..300).map(|n| minute - n * 60_000).collect::<Vec<_>>());
    let flags = newest.iter().map(|row| row[8].as_str().unwrap()).collect::<String>();
    assert_eq!(flags, format!("0{}", "1".repeat(299)));
    assert!(newest.iter().all(|row| row.as_array().unwrap().iter().all(Value::is_string) && row[9].is_null()));
    let window = |endpoint: &str, before: i64, after: i64| {
        let path = format!("market/{endpoint}?instId=BTC-USDT&bar=1m&before={before}&after={after}&limit=100");
        opens(&rows(&line, &path)).iter().map(|open| (minute - open) / 60_000).collect::<Vec<_>>()
    };
    assert_eq!(window("candles", minute - 180_000, minute), [1, 2], "both ends are exclusive");
    assert_eq!(window("candles", minute - 180_001, minute + 1), [0, 1, 2, 3]);
    assert_eq!(window("history-candles", minute - 180_001, minute + 1), [1, 2, 3], "no running bar");
    let edge = minute - 1_440 * 60_000;
    assert_eq!(window("candles", edge - 180_000, edge + 120_000), [1439]);
    assert_eq!(window("history-candles", edge - 180_000, edge + 120_000), [1439, 1440, 1441, 1442]);
    let alone = rows(&line, &format!("market/candles?instId=BTC-USDT&before={}", minute - 6_000_000_000));
    assert_eq!((alone.len(), opens(&alone)[0]), (100, minute), "alone it gives the newest rows");

    let market = line.instrument(SPOT).await;
    let span = Span::new(epoch() - TimeDelta::seconds(630), epoch() + TimeDelta::seconds(30));
    let page = line.candles(&market, Timeframe::M1, span).await.unwrap();
    assert_eq!((page.len(), page[10].open_time.timestamp_millis()), (11, minute));
    let eastern = rows(&line, "market/candles?instId=BTC-USDT&bar=1D&limit=2");
    let days: Vec<_> = opens(&eastern).into_iter().map(|open| DateTime::from_timestamp_millis(open).unwrap()).collect();
    assert_eq!(days, ["2026-11-19T16:00:00Z", "2026-11-18T16:00:00Z"].map(|day| day.parse::<DateTime<Utc>>().unwrap()));
}

#[tokio::test]
async fn unknown_markets_parameters_and_limits_are_refused_and_faults_strike_pages() {
    let line = standing(SimConfig { enforce_limits: true, ..config() });
    let market = line.instrument(SPOT).await;
    let hour = back(Grid::utc(Timeframe::M1).bucket_at(epoch()), 1);
    let unknown = Instrument::new("NO/USDT".parse().unwrap(), "NO-USDT", "NO-USDT");
    let unknown = line.candles(&unknown, Timeframe::M1, hour).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::UnknownSymbol, "{unknown}");
    let get = |path: &str| line.transport.simulator.http(&SimRequest::get(format!("/okx/api/v5/{path}")));
    let bar = get("market/candles?instId=BTC-USDT&bar=7m");
    assert_eq!((bar.status, bar.text().as_str()), (400, r#"{"code":"51000","data":[],"msg":"Parameter bar error"}"#));
    assert_eq!(get("market/candles").status, 400);
    line.clock.advance(Duration::from_secs(2));
    let mut limited = 0;
    for _ in 0..45 {
        if let Err(error) = line.candles(&market, Timeframe::M1, hour).await {
            assert_eq!(error.kind, ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(2)) });
            limited += 1;
        }
    }
    assert_eq!(limited, 5);
    assert!(line.trades(&market, &TradeCursor::Newest).await.is_ok(), "another address has its own limit");
    let old = (0..12).map(|_| get("market/history-trades?instId=BTC-USDT").status).collect::<Vec<_>>();
    assert_eq!(old, [[200; 10].as_slice(), &[429; 2]].concat());
    line.clock.advance(Duration::from_secs(2));

    let once = |kind| line.transport.simulator.inject(Fault::new(kind).on(Venue::OKX).times(1));
    once(FaultKind::EmptyPage);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(vec![]));
    once(FaultKind::PageCap { rows: 7 });
    let cut = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    let whole = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    assert_eq!((whole.len(), cut.as_slice()), (60, &whole[53..]));
    once(FaultKind::IgnoreSince);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await.unwrap().len(), 100);
    once(FaultKind::EmptyPage);
    assert_eq!(line.trades(&market, &TradeCursor::Newest).await, Ok((vec![], None)));
    line.transport.simulator.inject(Fault::new(FaultKind::Delist).symbol(SPOT.parse().unwrap()).on(Venue::OKX));
    let delisted = line.candles(&market, Timeframe::M1, hour).await.unwrap_err();
    assert_eq!(delisted.kind, ErrorKind::UnknownSymbol);
    assert!(line.instruments().await.iter().all(|market| market.symbol.as_str() != SPOT));
}

/// Everything said until an instant, shortly.
async fn heard(connection: &mut support::line::Connection, until: DateTime<Utc>) -> Vec<String> {
    let mut said = Vec::new();
    let hear = |event: &Event<'_>| {
        said.push(match event {
            Event::Subscribed { request_id, stream_id, .. } => {
                format!("on {} {}", request_id.unwrap(), stream_id.as_ref().unwrap())
            }
            Event::Unsubscribed { request_id, stream_id, .. } => {
                format!("off {} {}", request_id.unwrap(), stream_id.as_ref().unwrap())
            }
            Event::Rejected { request_id, stream_id, error, .. } => {
                format!("no {} {} {}", request_id.unwrap(), stream_id.as_ref().unwrap(), error.kind)
            }
            Event::Heartbeat { .. } => "pong".to_owned(),
            Event::Closing => "closing".to_owned(),
            Event::Error(error) => error.kind.to_string(),
            Event::Trade { .. } | Event::Candle { .. } => return,
            other => panic!("{other:?}"),
        });
    };
    connection.listen(until, hear).await;
    said
}

#[tokio::test(start_paused = true)]
async fn each_argument_is_answered_and_neither_socket_has_the_others_channels() {
    let line = running(config());
    let (spot, swap) = (line.instrument(SPOT).await, line.instrument(LINEAR).await);
    let unknown = Subscription { channel: MINUTE, stream_id: "NO-USDT".into() };
    let mut connection = line.connect(MINUTE, &spot).await;
    let wanted =
        [subscription(MINUTE, &spot), unknown, subscription(Channel::Trades, &spot), subscription(MINUTE, &swap)];
    connection.subscribe(&wanted, 7).await;
    let soon = |millis| line.clock.now() + TimeDelta::milliseconds(millis);
    assert_eq!(
        heard(&mut connection, soon(100)).await,
        ["on 7 BTC-USDT", "no 7 NO-USDT unknown symbol", "no 7 BTC-USDT unknown symbol", "on 7 BTC-USDT-SWAP"]
    );
    connection.unsubscribe(&wanted[..1], 9).await;
    connection.send("ping").await;
    connection.send("{").await;
    assert_eq!(heard(&mut connection, soon(100)).await, ["off 9 BTC-USDT", "pong", "bad request"]);
    let mut left = Vec::new();
    let mut note = |event: &Event<'_>| {
        if let Event::Candle { stream_id, .. } = event {
            left.push(stream_id.to_string());
        }
    };
    connection.listen(soon(600_000), &mut note).await;
    assert!(left.len() > 10 && left.iter().all(|id| id == "BTC-USDT-SWAP"), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_connections_end_upgrades_are_announced_and_a_fourth_of_a_second_is_refused() {
    let line = running(SimConfig { enforce_limits: true, ..config() });
    let spot = line.instrument(SPOT).await;
    let began = line.clock.now();
    let mut idle = line.connect(Channel::Trades, &spot).await;
    idle.pings = false;
    assert_eq!(heard(&mut idle, began + TimeDelta::minutes(2)).await, Vec::<String>::new());
    assert!(!idle.is_open);
    assert_eq!((line.clock.now() - began).num_seconds(), 30);

    let mut busy = line.connect(Channel::Trades, &spot).await;
    busy.pings = false;
    busy.subscribe(&[subscription(Channel::Trades, &spot)], 1).await;
    let maintenance = Fault::new(FaultKind::Maintenance).on(Venue::OKX);
    line.transport.simulator.inject(maintenance.between(Duration::from_secs(5), Duration::from_secs(600)));
    let began = line.clock.now();
    assert_eq!(heard(&mut busy, began + TimeDelta::minutes(2)).await, ["on 1 BTC-USDT", "closing"]);
    assert!(!busy.is_open);
    assert_eq!((line.clock.now() - began).num_seconds(), 35);

    line.clock.sleep(Duration::from_secs(900)).await;
    let peer = [127, 0, 0, 1].into();
    let opened = (0..5).map(|_| line.transport.simulator.open_socket("/okx/ws/v5/public", peer).is_ok());
    assert_eq!(opened.filter(|is_open| *is_open).count(), 3);
    assert!(line.transport.simulator.open_socket("/okx/ws/v5/private", peer).is_err());
}

#[test]
fn a_collector_keeps_history_and_streamed_minutes_complete() {
    in_virtual_time(async {
        let stage = Stage::with(&[("okx", SPOT), ("okx", LINEAR), ("okx", QUIET)]).await;
        stage.until("streaming", seconds(5), |stage| stage.is_streaming("okx:BTC/USDT")).await;
        stage.pass(minutes(20)).await;
        for symbol in [SPOT, LINEAR, QUIET] {
            assert!(stage.is_streaming(&format!("okx:{symbol}")));
            stage.assert_minutes("okx", symbol, seconds(15)).await;
        }
        let from = stage.simulator.epoch() + TimeDelta::minutes(2);
        stage.assert_punctual("okx", SPOT, from, TimeDelta::seconds(3)).await;
        assert_eq!(stage.simulator.stats().exchanges["okx"].limited, 0);
    });
}

#[test]
fn a_collector_that_polls_keeps_them_too() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        for symbol in [SPOT, INVERSE] {
            stage.want("okx", symbol, &[Timeframe::M1, Timeframe::H1], TimeDelta::hours(30)).await;
        }
        stage.poll_only("okx").await;
        stage.start().await;
        stage.pass(minutes(20)).await;
        for symbol in [SPOT, INVERSE] {
            assert!(stage.is_polling(&format!("okx:{symbol}")));
            stage.assert_minutes("okx", symbol, seconds(10)).await;
            let hours = Grid::utc(Timeframe::H1).last_closed_end(stage.now() - minutes(1));
            stage.assert_complete("okx", symbol, Timeframe::H1, hours).await;
        }
        assert!(stage.calls("okx", "history-candles BTC/USDT 1m") > 0, "the oldest hours lie behind 1440 bars");
    });
}
