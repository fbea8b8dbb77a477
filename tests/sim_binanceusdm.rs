//! Binance USD-M futures: the dialect and the simulated venue against the simulator's truth, and a
//! collector on top of both.

mod support;

use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{Channel, ErrorKind, Instrument, Standing, Subscription, TradeCursor};
use candlewick::market::{Grid, Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use candlewick::transport::Transport;
use chrono::{DateTime, TimeDelta, Utc};
use support::line::{Line, subscription};
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const BTC: &str = "BTC/USDT:USDT";
/// Trades rarely.
const XRP: &str = "XRP/USDT:USDT";

fn epoch() -> DateTime<Utc> {
    "2026-11-20T15:00:30Z".parse().unwrap()
}

fn config() -> SimConfig {
    SimConfig { history_days: 3, enforce_limits: false, ..SimConfig::default() }
}

/// A venue whose clock stands still.
fn standing(config: SimConfig) -> Line {
    Line::new("binanceusdm", config, Clock::manual(epoch()))
}

/// A venue on tokio's paused clock.
fn running(config: SimConfig) -> Line {
    Line::new("binanceusdm", config, Clock::scaled(epoch(), 1.0))
}

fn both(market: &Instrument) -> [Subscription; 2] {
    [subscription(Channel::Candles(Timeframe::M1), market), subscription(Channel::Trades, market)]
}

#[tokio::test(start_paused = true)]
async fn addresses_without_their_route_acknowledge_and_send_nothing() {
    let line = running(config());
    let market = line.instrument(BTC).await;
    for (path, frames) in [("/ws", 0), ("/stream", 0), ("/public/ws", 0), ("/market/stream", 100)] {
        let mut connection = line.connect_to(&format!("ws://sim/binanceusdm{path}")).await;
        connection.subscribe(&both(&market), 1).await;
        let heard = connection.hear(line.clock.now() + TimeDelta::minutes(20)).await;
        assert_eq!(heard.others, ["on Some(1)"], "{path}");
        let told = heard.candles.len() + heard.trades.len();
        assert!(told >= frames && (frames > 0 || told == 0), "{path}: {told}");
    }
    assert!(line.transport.connect("ws://sim/binanceusdm/market/other").await.is_err());
}

#[tokio::test]
async fn the_limit_of_weight_is_told_by_headers_and_punished_and_bad_values_are_refused() {
    let line = standing(SimConfig { enforce_limits: true, ..config() });
    let market = line.instrument(BTC).await;
    let grid = Grid::utc(Timeframe::M1);
    let span = Span::new(grid.back(grid.bucket_at(epoch()), 1500), grid.bucket_at(epoch()));
    line.clock.advance(Duration::from_secs(90));
    let request = line.dialect.encode_candles(&market, Timeframe::M1, span, epoch());
    let reply = line.call(&request).await;
    assert_eq!((request.cost.units, line.dialect.standing(&reply)), (10, Standing { used: Some(10) }));
    let mut kinds = Vec::new();
    for _ in 0..246 {
        kinds.extend(line.candles(&market, Timeframe::M1, span).await.err().map(|error| error.kind));
    }
    let minute = Some(Duration::from_secs(60));
    let mut expected = vec![ErrorKind::RateLimited { retry_after: minute }; 5];
    expected.extend([ErrorKind::Banned { retry_after: Some(Duration::from_secs(120)) }; 2]);
    assert_eq!(kinds, expected);
    line.clock.advance(Duration::from_secs(130));
    let answer = |query: &str| {
        let reply = line.transport.simulator.http(&SimRequest::get(format!("/binanceusdm/fapi/v1/{query}")));
        (reply.status, serde_json::from_str::<serde_json::Value>(&reply.text()).unwrap()["code"].as_i64())
    };
    assert_eq!(answer("klines?symbol=BTCUSDT&interval=1m&limit=1501"), (400, Some(-1130)));
    assert_eq!(answer("klines?symbol=BTCUSDT&interval=1s"), (400, Some(-1120)));
    assert_eq!(answer("klines?symbol=NOUSDT&interval=1m"), (400, Some(-1121)));
    assert_eq!(answer("aggTrades?symbol=BTCUSDT&startTime=1795100000000&endTime=1795103600001"), (400, Some(-1127)));
    assert_eq!(answer("aggTrades?symbol=BTCUSDT&startTime=1795100000000&fromId=3"), (400, Some(-1128)));
    assert_eq!(answer("historicalTrades?symbol=BTCUSDT"), (401, Some(-2014)));
}

#[tokio::test]
async fn faults_strike_pages() {
    let line = standing(config());
    let market = line.instrument(BTC).await;
    let once = |kind| line.transport.simulator.inject(Fault::new(kind).on(Venue::BINANCEUSDM).times(1));
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let hour = Span::new(minute - TimeDelta::hours(1), minute);
    let whole = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    once(FaultKind::EmptyPage);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(vec![]));
    once(FaultKind::PageCap { rows: 7 });
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await.as_deref(), Ok(&whole[..7]));
    once(FaultKind::IgnoreSince);
    let start = TradeCursor::Time(hour.from);
    let (ignored, _) = line.trades(&market, &start).await.unwrap();
    assert_ne!(ignored, line.trades(&market, &start).await.unwrap().0);
    line.transport.simulator.inject(Fault::new(FaultKind::Delist).on(Venue::BINANCEUSDM).symbol(BTC.parse().unwrap()));
    let gone = line.candles(&market, Timeframe::M1, hour).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::UnknownSymbol);
}

async fn keeps_minutes_complete(is_polled: bool) {
    let mut stage = Stage::new(SimConfig::default()).await;
    for symbol in [BTC, XRP] {
        stage.want("binanceusdm", symbol, &[Timeframe::M1, Timeframe::H1], TimeDelta::hours(6)).await;
    }
    if is_polled {
        stage.poll_only("binanceusdm").await;
    }
    stage.start().await;
    stage.until("live", minutes(2), |stage| stage.is_live(&format!("binanceusdm:{BTC}"))).await;
    stage.pass(minutes(70)).await;
    for symbol in [BTC, XRP] {
        let component = format!("binanceusdm:{symbol}");
        assert_eq!((stage.is_streaming(&component), stage.is_polling(&component)), (!is_polled, is_polled));
        stage.assert_minutes("binanceusdm", symbol, seconds(30)).await;
        let until = Grid::utc(Timeframe::H1).last_closed_end(stage.now() - minutes(2));
        stage.assert_complete("binanceusdm", symbol, Timeframe::H1, until).await;
    }
    assert_eq!(stage.simulator.stats().exchanges["binanceusdm"].limited, 0);
}

#[test]
fn a_streaming_collector_keeps_history_and_minutes_complete() {
    in_virtual_time(keeps_minutes_complete(false));
}

#[test]
fn a_polling_collector_keeps_history_and_minutes_complete() {
    in_virtual_time(keeps_minutes_complete(true));
}
