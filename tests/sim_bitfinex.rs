//! Bitfinex: the dialect and the simulated venue against the simulator's truth, and a collector on
//! top of both.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{Channel, Dialogue, ErrorKind, Event, Instrument, Subscription, TradeCursor};
use candlewick::market::{Candle, Grid, Side, Span, Timeframe, Trade, TradeId};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use candlewick::transport::{Frame, Transport};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt};
use rust_decimal::Decimal;
use support::line::{Line, subscription};
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const BTC: &str = "BTC/USD";
/// Trades rarely.
const AVAX: &str = "AVAX/USDT";
const MINUTE: Channel = Channel::Candles(Timeframe::M1);
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

/// A trade, however many zeros its numbers are printed with.
type Deal = (TradeId, DateTime<Utc>, Decimal, Decimal, Option<Side>);

fn deals(trades: &[Trade]) -> Vec<Deal> {
    let deal =
        |trade: &Trade| (trade.id.clone(), trade.time, trade.price.normalize(), trade.amount.normalize(), trade.side);
    trades.iter().map(deal).collect()
}

fn truth(line: &Line, symbol: &str, span: Span) -> Vec<Deal> {
    deals(&line.true_trades(symbol, span))
}

#[tokio::test]
async fn walks_through_every_timeframe_give_the_truth_with_gaps_where_nothing_traded() {
    let line = standing(config());
    let names: Vec<_> =
        line.instruments().await.into_iter().map(|found| (found.symbol.to_string(), found.rest_id)).collect();
    let expected = [
        (BTC, "tBTCUSD"),
        ("ETH/USD", "tETHUSD"),
        ("BTC/USDT", "tBTCUST"),
        ("LINK/USD", "tLINK:USD"),
        (AVAX, "tAVAX:UST"),
        ("IOTA/USD", "tIOTUSD"),
        ("XRP/USD", "tXRPUSD"),
        ("BTC/USDT:USDT", "tBTCF0:USTF0"),
    ];
    assert_eq!(names, expected.map(|(symbol, id)| (symbol.to_owned(), id.to_owned())));
    for (symbol, is_busy) in [(BTC, true), (AVAX, false), ("BTC/USDT:USDT", true)] {
        let market = line.instrument(symbol).await;
        for row in line.dialect.capabilities().timeframes {
            let grid = Grid::utc(row.timeframe);
            let span = Span::new(grid.bucket_at(epoch() - TimeDelta::days(4)), grid.bucket_at(epoch()));
            let (found, calls) = line.walk(&market, row.timeframe, span, 2000).await;
            assert_eq!(found, line.true_candles(symbol, row.timeframe, span), "{symbol} {}", row.timeframe);
            assert_eq!(u64::from(calls), grid.count(span).div_ceil(2000));
            let is_minute = row.timeframe == Timeframe::M1;
            assert!(!is_minute || is_busy == (found.len() > 4_000), "{symbol} has {} rows", found.len());
        }
    }
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
async fn trades_are_walked_forward_from_the_first_one_and_milliseconds_are_shared_by_pages() {
    let line = standing(SimConfig { trades_per_minute: 40.0, history_days: 1, ..config() });
    for symbol in ["BTC/USDT", AVAX] {
        let market = line.instrument(symbol).await;
        let began = "2026-11-18T00:00:00Z".parse().unwrap();
        let (mut found, mut cursor, mut pages): (Vec<Trade>, _, _) = (Vec::new(), Some(TradeCursor::Time(began)), 0);
        while let Some(at) = cursor.take() {
            let (trades, next) = line.trades(&market, &at).await.unwrap();
            let known = found.last().map(|last| last.id.clone());
            found.extend(trades.into_iter().filter(|trade| known.as_ref().is_none_or(|known| trade.id > *known)));
            (cursor, pages) = (next, pages + 1);
        }
        let all = truth(&line, symbol, Span::new(began, epoch() + TimeDelta::seconds(1)));
        assert!(deals(&found) == all, "{symbol}: {} of {}", found.len(), all.len());
        // The last one repeats the newest trade and brings nothing.
        assert_eq!(pages, all.len() / 10_000 + 2, "{symbol} has {} trades", all.len());
        assert!(found.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
    let market = line.instrument(AVAX).await;
    let (newest, next) = line.trades(&market, &TradeCursor::Newest).await.unwrap();
    let all = truth(&line, AVAX, Span::new(epoch() - TimeDelta::days(3), epoch() + TimeDelta::seconds(1)));
    assert_eq!((deals(&newest), next), (all, None));
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

#[tokio::test]
async fn tickers_of_all_markets_come_with_one_call() {
    let line = standing(config());
    let calls = line.dialect.encode_tickers(&line.instruments().await);
    assert_eq!(calls.len(), 1);
    let tickers = line.dialect.decode_tickers(&calls[0], &line.call(&calls[0]).await).unwrap();
    let tickers: BTreeMap<_, _> = tickers.into_iter().collect();
    assert_eq!(tickers.len(), 8);
    let day = line.true_trades(BTC, Span::new(epoch() - TimeDelta::days(1), epoch() + TimeDelta::seconds(1)));
    let float = |decimal: Decimal| decimal.to_string().parse::<f64>().unwrap();
    let (last, ticker) = (float(day.last().unwrap().price), tickers["tBTCUSD"]);
    assert_eq!(ticker.last, Some(last));
    assert_eq!(ticker.volume, Some(float(day.iter().map(|trade| trade.amount).sum())));
    assert!(ticker.bid.unwrap() < last && last < ticker.ask.unwrap());
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
async fn the_last_frame_of_a_bar_is_its_truth_and_every_trade_is_told_once() {
    let line = running(config());
    let (btc, avax) = (line.instrument(BTC).await, line.instrument(AVAX).await);
    let began = line.clock.now();
    let mut connection = line.connect(MINUTE, &btc).await;
    let wanted = [subscription(MINUTE, &btc), subscription(MINUTE, &avax), subscription(Channel::Trades, &btc)];
    connection.subscribe(&wanted, 1).await;
    let mut heard = Heard::default();
    connection.listen(began + TimeDelta::minutes(30), |event| heard.hear(event)).await;
    let minute = "Some(Candles(M1))";
    let acks = [
        "online".to_owned(),
        format!("on tBTCUSD {minute}"),
        format!("on tAVAX:UST {minute}"),
        "on tBTCUSD Some(Trades)".into(),
    ];
    assert_eq!(heard.others, acks);
    assert_eq!(heard.snapshots, 240 + 240 + 30);
    // A quiet channel has a heartbeat every 15 s, and `tu` frames count as signs of life.
    assert!(heard.beats > 100, "{}", heard.beats);
    let span = Span::new(began - TimeDelta::minutes(60), line.clock.now() - TimeDelta::seconds(30));
    let mut compared = 0;
    for market in [&btc, &avax] {
        for candle in line.true_candles(market.symbol.as_str(), Timeframe::M1, span) {
            assert_eq!(heard.bars[&(market.stream_id.clone(), candle.open_time)], candle);
            compared += 1;
        }
    }
    assert!(compared > 80, "{compared}");
    let all = truth(&line, BTC, Span::new(began - TimeDelta::days(5), line.clock.now()));
    let told = deals(&heard.trades);
    assert_eq!(told, all[all.len() - told.len()..]);
    assert!(told.len() > 300, "{}", told.len());

    connection.unsubscribe(&wanted[2..], 9).await;
    connection.subscribe(&wanted[..1], 10).await;
    let unknown = Subscription { channel: Channel::Trades, stream_id: "tNOUSD".into() };
    connection.subscribe(&[unknown], 11).await;
    heard.others.clear();
    connection.listen(line.clock.now() + TimeDelta::milliseconds(1), |event| heard.hear(event)).await;
    let answers = ["off tBTCUSD".to_owned(), format!("on tBTCUSD {minute}"), "no tNOUSD unknown symbol".into()];
    assert_eq!(heard.others, answers);
    let known = heard.trades.len();
    connection.listen(line.clock.now() + TimeDelta::minutes(10), |event| heard.hear(event)).await;
    assert_eq!((heard.trades.len(), heard.others.len()), (known, 3));
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
