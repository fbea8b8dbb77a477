//! Bitfinex: the dialect and the simulated venue against the simulator's truth, and a collector on
//! top of both.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{Channel, Dialogue, ErrorKind, Event, Instrument, TradeCursor};
use candlewick::market::{Candle, Grid, Span, Timeframe, Trade};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use candlewick::transport::{Frame, Transport};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt};
use support::line::{Line, subscription};
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const BTC: &str = "BTC/USD";
/// Trades rarely.
const AVAX: &str = "AVAX/USDT";
const LIMITED: ErrorKind = ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(60)) };

fn epoch() -> DateTime<Utc> {
    "2026-11-20T15:00:30Z".parse().unwrap()
}

fn config() -> SimConfig {
    SimConfig { history_days: 3, enforce_limits: false, ..SimConfig::default() }
}

/// A venue whose clock stands still.
fn standing(config: SimConfig) -> Line {
    Line::new("bitfinex", config, Clock::manual(epoch()))
}

/// A venue on tokio's paused clock.
fn running(config: SimConfig) -> Line {
    Line::new("bitfinex", config, Clock::scaled(epoch(), 1.0))
}

#[tokio::test]
async fn bounds_are_inclusive_pages_start_at_the_newest_unless_asked_otherwise_and_errors_are_arrays() {
    let line = standing(config());
    let market = line.instrument(BTC).await;
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let span = Span::new(minute - TimeDelta::minutes(30), minute + TimeDelta::minutes(1));
    let page = line.candles(&market, Timeframe::M1, span).await.unwrap();
    assert_eq!(page.first().unwrap().open_time, span.from);
    assert_eq!(page.last().unwrap().open_time, minute, "the running bar comes too");

    let get = |path: &str| {
        let reply = line.transport.simulator.http(&SimRequest::get(format!("/bitfinex/v2/{path}")));
        (reply.status, reply.text())
    };
    let rows = |path: &str| {
        let (status, body) = get(path);
        let rows: Vec<Vec<f64>> = serde_json::from_str(&body).unwrap();
        let opens = rows.iter().map(|row| (row[0] as i64 / 1000 - minute.timestamp()) / 60).collect::<Vec<_>>();
        assert_eq!(status, 200);
        opens
    };
    let hist = "candles/trade:1m:tBTCUSD/hist";
    let newest = rows(hist);
    assert_eq!((newest.len(), newest[0]), (100, 0));
    assert!(newest.is_sorted_by(|later, earlier| later > earlier));
    let oldest = rows(&format!("{hist}?sort=1&limit=3&start={}", span.from.timestamp_millis()));
    assert_eq!((oldest.len(), oldest[0]), (3, -30));
    let last = get("candles/trade:1m:tBTCUSD/last");
    assert!(last.1.starts_with(&format!("[{},", minute.timestamp_millis())), "{last:?}");
    let refused =
        |path: &str, words: &str| assert_eq!(get(path), (500, format!("[\"error\",10020,\"{words}: invalid\"]")));
    refused(&format!("{hist}?limit=10001"), "limit");
    refused(&format!("{hist}?start=soon"), "start");
    refused("candles/trade:3m:tBTCUSD/hist", "time_interval");
    refused("candles/trade:1m:tbtcusd/hist", "symbol");
    refused("trades/tNOUSD/hist", "symbol");
    let unknown = Instrument::new("NO/USD".parse().unwrap(), "tNOUSD", "tNOUSD");
    let unknown = line.candles(&unknown, Timeframe::M1, span).await.unwrap_err();
    assert_eq!((unknown.kind, unknown.message.as_str()), (ErrorKind::UnknownSymbol, "10020 symbol: invalid"));
}

#[tokio::test]
async fn each_endpoint_has_its_limit_and_who_exceeds_it_waits_a_minute() {
    let line = standing(SimConfig { enforce_limits: true, ..config() });
    let market = line.instrument(BTC).await;
    let to = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let hour = Span::new(to - TimeDelta::hours(1), to);
    for _ in 0..30 {
        assert!(line.candles(&market, Timeframe::M1, hour).await.is_ok());
    }
    for _ in 0..15 {
        assert!(line.trades(&market, &TradeCursor::Newest).await.is_ok());
    }
    let kind = |error: candlewick::exchange::VenueError| error.kind;
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await.map_err(kind), Err(LIMITED));
    assert_eq!(line.trades(&market, &TradeCursor::Newest).await.map_err(kind), Err(LIMITED));
    line.clock.advance(Duration::from_secs(59));
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await.map_err(kind), Err(LIMITED));
    assert_eq!(line.transport.simulator.stats().exchanges["bitfinex"].limited, 3);
    line.clock.advance(Duration::from_secs(61));
    let whole = line.candles(&market, Timeframe::M1, hour).await.unwrap();

    let once = |kind| line.transport.simulator.inject(Fault::new(kind).on(Venue::BITFINEX).times(1));
    once(FaultKind::EmptyPage);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(vec![]));
    once(FaultKind::PageCap { rows: 7 });
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await.unwrap(), whole[..7]);
    once(FaultKind::IgnoreSince);
    assert!(line.candles(&market, Timeframe::M1, hour).await.unwrap().len() > 3_000);
    line.transport.simulator.inject(Fault::new(FaultKind::Delist).symbol(BTC.parse().unwrap()));
    let gone = line.candles(&market, Timeframe::M1, hour).await.map_err(kind);
    assert_eq!(gone, Err(ErrorKind::UnknownSymbol));
}

/// What a connection has said, told apart.
#[derive(Default)]
struct Heard {
    bars: BTreeMap<(String, DateTime<Utc>), Candle>,
    snapshots: usize,
    trades: Vec<Trade>,
    beats: usize,
    others: Vec<String>,
}

impl Heard {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Candle { stream_id, candle, closed: None, stamped_at: Some(_), is_snapshot, .. } => {
                self.snapshots += usize::from(*is_snapshot);
                self.bars.insert((stream_id.to_string(), candle.open_time), *candle);
            }
            Event::Trade { trade, stamped_at: Some(_), is_snapshot, .. } => {
                self.snapshots += usize::from(*is_snapshot);
                self.trades.push(trade.clone());
            }
            Event::Heartbeat { .. } => self.beats += 1,
            Event::Subscribed { stream_id: Some(id), channel, .. } => self.others.push(format!("on {id} {channel:?}")),
            Event::Unsubscribed { stream_id: Some(id), .. } => self.others.push(format!("off {id}")),
            Event::Rejected { stream_id: Some(id), error, .. } => self.others.push(format!("no {id} {}", error.kind)),
            Event::VenueStatus { message, .. } => self.others.push(message.to_string()),
            other => self.others.push(format!("{other:?}")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_frames_show_maintenance_is_announced_and_channels_are_counted() {
    let line = running(SimConfig { enforce_limits: true, ..config() });
    let btc = line.instrument(BTC).await;
    let mut connection = line.connect(Channel::Trades, &btc).await;
    connection.subscribe(&[subscription(Channel::Trades, &btc)], 1).await;
    let mut heard = Heard::default();
    let mut at = line.clock.now();
    let mut until = |minutes| {
        at += TimeDelta::minutes(minutes);
        at
    };
    connection.listen(until(2), |event| heard.hear(event)).await;
    line.transport.simulator.inject(Fault::new(FaultKind::Truncate).on(Venue::BITFINEX).times(1));
    heard.others.clear();
    connection.listen(until(3), |event| heard.hear(event)).await;
    assert!(heard.others[0].starts_with("Error("), "{:?}", heard.others);
    assert!(heard.others[1].starts_with("FramesLost"), "{:?}", heard.others);
    assert_eq!(heard.others.len(), 2);

    // A mute market is no loss: what is not said has no number.
    heard.others.clear();
    let stall = Fault::new(FaultKind::Stall).on(Venue::BITFINEX).between(Duration::ZERO, minutes(2));
    line.transport.simulator.inject(stall);
    connection.listen(until(4), |event| heard.hear(event)).await;
    assert_eq!(heard.others, [] as [String; 0]);

    let maintenance = Fault::new(FaultKind::Maintenance).on(Venue::BITFINEX).between(Duration::ZERO, minutes(2));
    line.transport.simulator.inject(maintenance);
    connection.listen(until(4), |event| heard.hear(event)).await;
    assert_eq!(heard.others, ["maintenance", "online", "Closing"]);

    let mut many = line.transport.connect("ws://sim/bitfinex/ws/2").await.unwrap();
    let mut dialogue = Dialogue::default();
    let intervals = ["1m", "5m", "15m", "30m", "1h", "6h", "12h", "1D"];
    let symbols = ["tBTCUSD", "tETHUSD", "tXRPUSD", "tIOTUSD"];
    let keys = symbols.iter().flat_map(|symbol| intervals.map(|interval| format!("trade:{interval}:{symbol}")));
    for key in keys.take(26) {
        let ask = format!(r#"{{"event":"subscribe","channel":"candles","key":"{key}"}}"#);
        many.sink.send(Frame::Text(ask.as_str().into())).await.unwrap();
    }
    let mut kinds = BTreeMap::new();
    while kinds.values().sum::<usize>() < 26 {
        let Some(Ok(Frame::Text(text))) = many.frames.next().await else { panic!("{kinds:?}") };
        line.dialect.decode_frame(&mut dialogue, &text, &mut |event| match event {
            Event::Subscribed { .. } => *kinds.entry("on".to_owned()).or_insert(0) += 1,
            Event::Rejected { error, .. } => *kinds.entry(error.to_string()).or_insert(0) += 1,
            _ => {}
        });
    }
    let expected = [("on".to_owned(), 25), ("rate limited: 10305 subscribe: limit".to_owned(), 1)];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    let peer = [127, 0, 0, 1].into();
    let opened = (0..20).map(|_| line.transport.simulator.open_socket("/bitfinex/ws/2", peer).is_ok());
    assert_eq!(opened.filter(|is_open| *is_open).count(), 19, "one is open already in this minute");
}

#[test]
fn a_collector_keeps_history_and_minutes_complete_by_stream() {
    in_virtual_time(async {
        let stage = Stage::with(&[("bitfinex", BTC), ("bitfinex", AVAX), ("bitfinex", "BTC/USDT:USDT")]).await;
        let component = format!("bitfinex:{BTC}");
        stage.until("streaming", seconds(10), |stage| stage.is_streaming(&component)).await;
        stage.pass(minutes(30)).await;
        assert!(stage.is_streaming(&component));
        for symbol in [BTC, AVAX, "BTC/USDT:USDT"] {
            // The last quiet minutes are proven by the next row or by their age.
            stage.assert_minutes("bitfinex", symbol, seconds(600)).await;
        }
        // Grace and the time between two pings.
        let from = stage.simulator.epoch() + TimeDelta::minutes(3);
        stage.assert_punctual("bitfinex", BTC, from, TimeDelta::seconds(12)).await;
        assert_eq!(stage.sockets_opened("bitfinex"), 2);
        assert_eq!(stage.simulator.stats().exchanges["bitfinex"].limited, 0);
    });
}

#[test]
fn a_collector_notices_lost_frames_and_stays_complete() {
    in_virtual_time(async {
        let stage = Stage::with(&[("bitfinex", BTC)]).await;
        let component = format!("bitfinex:{BTC}");
        stage.until("streaming", seconds(10), |stage| stage.is_streaming(&component)).await;
        stage.pass(seconds(100)).await;
        stage.inject(Fault::new(FaultKind::Truncate).on(Venue::BITFINEX).times(1));
        stage.until("a new connection", minutes(3), |stage| stage.sockets_opened("bitfinex") == 3).await;
        stage.pass(minutes(15)).await;
        assert!(stage.is_streaming(&component));
        stage.assert_minutes("bitfinex", BTC, seconds(600)).await;
    });
}

#[test]
fn a_collector_rides_out_an_announced_maintenance() {
    in_virtual_time(async {
        let stage = Stage::with(&[("bitfinex", BTC)]).await;
        let component = format!("bitfinex:{BTC}");
        stage.until("streaming", seconds(10), |stage| stage.is_streaming(&component)).await;
        stage.pass(seconds(100)).await;
        stage.inject(Fault::new(FaultKind::Maintenance).on(Venue::BITFINEX).between(Duration::ZERO, minutes(4)));
        let says = |stage: &Stage| stage.status("bitfinex").unwrap().message.contains("the venue says maintenance");
        stage.until("maintenance", seconds(2), says).await;
        stage.pass(minutes(20)).await;
        assert!(stage.is_streaming(&component));
        stage.assert_minutes("bitfinex", BTC, seconds(600)).await;
    });
}

#[test]
fn a_collector_keeps_history_and_minutes_complete_by_polling() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        for symbol in [BTC, AVAX] {
            stage.want("bitfinex", symbol, &[Timeframe::M1], TimeDelta::days(1)).await;
        }
        stage.poll_only("bitfinex").await;
        stage.start().await;
        stage.pass(minutes(30)).await;
        assert!(stage.is_polling(&format!("bitfinex:{BTC}")));
        for symbol in [BTC, AVAX] {
            stage.assert_minutes("bitfinex", symbol, seconds(600)).await;
        }
        assert_eq!(stage.simulator.stats().exchanges["bitfinex"].limited, 0);
    });
}
