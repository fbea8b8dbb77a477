//! Hyperliquid: the dialect and the simulated venue against the simulator's truth, and a collector
//! on top of both.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{Channel, ErrorKind, Event, Instrument, Subscription};
use candlewick::market::{Candle, Grid, Side, Span, Timeframe, Trade};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use support::line::{Line, subscription};
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const BTC: &str = "BTC/USDC:USDC";
/// Trades rarely.
const PEPE: &str = "KPEPE/USDC:USDC";
const MINUTE: Channel = Channel::Candles(Timeframe::M1);

fn epoch() -> DateTime<Utc> {
    "2026-11-20T15:00:30Z".parse().unwrap()
}

fn config() -> SimConfig {
    SimConfig { history_days: 5, enforce_limits: false, ..SimConfig::default() }
}

/// A venue whose clock stands still.
fn standing(config: SimConfig) -> Line {
    Line::new("hyperliquid", config, Clock::manual(epoch()))
}

/// A venue on tokio's paused clock.
fn running(config: SimConfig) -> Line {
    Line::new("hyperliquid", config, Clock::scaled(epoch(), 1.0))
}

/// What is the same of a trade on both sides: its id is a hash.
type Deal = (DateTime<Utc>, Decimal, Decimal, Option<Side>);

fn deal(trade: &Trade) -> Deal {
    (trade.time, trade.price.normalize(), trade.amount.normalize(), trade.side)
}

#[tokio::test]
async fn a_quiet_minute_is_absent_first_and_may_be_flat_later() {
    let line = standing(config());
    let market = line.instrument(PEPE).await;
    let mut late_ones = 0;
    for _ in 0..10 {
        let to = Grid::utc(Timeframe::M1).bucket_at(line.clock.now());
        let span = Span::new(to - TimeDelta::minutes(20), to);
        let early = line.candles(&market, Timeframe::M1, span).await.unwrap();
        line.clock.advance(Duration::from_secs(300));
        let late = line.candles(&market, Timeframe::M1, span).await.unwrap();
        assert_eq!(late, line.true_candles(PEPE, Timeframe::M1, span));
        let (new, old): (Vec<&Candle>, Vec<&Candle>) = late.iter().partition(|candle| !early.contains(candle));
        assert_eq!(old, early.iter().collect::<Vec<_>>());
        assert!(new.iter().all(|candle| candle.is_quiet() && candle.volume == 0.0), "{new:?}");
        late_ones += new.len();
    }
    assert!(late_ones > 5, "{late_ones}");
}

#[tokio::test]
async fn bounds_overlap_and_the_running_bar_comes_last() {
    let line = standing(config());
    let market = line.instrument(BTC).await;
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let ask = |from: i64, to: i64| {
        let span = Span::new(minute + TimeDelta::seconds(from), minute + TimeDelta::seconds(to));
        let line = &line;
        let market = &market;
        async move {
            let page = line.candles(market, Timeframe::M1, span).await.unwrap();
            page.iter().map(|candle| (candle.open_time - minute).num_seconds()).collect::<Vec<_>>()
        }
    };
    assert_eq!(ask(-120, 60).await, [-120, -60, 0]);
    assert_eq!(ask(-90, 0).await, [-120, -60], "the window begins inside a bucket");
    assert_eq!(ask(60, 120).await, [] as [i64; 0]);
    let unknown = Instrument::new("BTC/USDC:USDC".parse().unwrap(), "btc", "btc");
    let unknown = line.candles(&unknown, Timeframe::M1, Span::new(minute, epoch())).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::UnknownSymbol, "coins are told apart by case");
    let post = |body: &str| {
        let request =
            SimRequest { method: "POST".into(), body: body.to_owned().into(), ..SimRequest::get("/hyperliquid/info") };
        let reply = line.transport.simulator.http(&request);
        (reply.status, reply.text())
    };
    let refused = (422, "Failed to deserialize the JSON body into the target type".to_owned());
    let negative = r#"{"type":"candleSnapshot","req":{"coin":"BTC","interval":"1m","startTime":-1}}"#;
    assert_eq!([post("{"), post(r#"{"type":"news"}"#), post(negative)], [refused.clone(), refused.clone(), refused]);
}

#[tokio::test]
async fn weight_counts_calls_and_rows_and_faults_strike_pages() {
    let line = standing(SimConfig { enforce_limits: true, ..config() });
    let market = line.instrument(BTC).await;
    line.clock.advance(Duration::from_secs(60));
    let span = Span::new(epoch() - TimeDelta::minutes(5000), epoch());
    let mut fine = 0;
    let refused = loop {
        match line.candles(&market, Timeframe::M1, span).await {
            Ok(page) => assert!(page.len() > 4700, "{}", page.len()),
            Err(error) => break error,
        }
        fine += 1;
    };
    // A full page weighs a hundred and more: 1200 a minute are used up by a dozen.
    assert_eq!((fine, refused.kind), (12, ErrorKind::RateLimited { retry_after: None }));
    assert_eq!(line.transport.simulator.stats().exchanges["hyperliquid"].limited, 1);
    line.clock.advance(Duration::from_secs(60));

    let once = |kind| line.transport.simulator.inject(Fault::new(kind).on(Venue::HYPERLIQUID).times(1));
    let to = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let hour = Span::new(to - TimeDelta::hours(1), to);
    let whole = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    once(FaultKind::EmptyPage);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(vec![]));
    once(FaultKind::PageCap { rows: 7 });
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await.unwrap(), whole[..7]);
    once(FaultKind::IgnoreSince);
    assert!(line.candles(&market, Timeframe::M1, hour).await.unwrap().len() > 4500);
    line.transport.simulator.inject(Fault::new(FaultKind::Delist).symbol(BTC.parse().unwrap()));
    let gone = line.candles(&market, Timeframe::M1, hour).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::UnknownSymbol);
}

#[tokio::test]
async fn tickers_of_all_markets_come_with_three_calls() {
    let line = standing(config());
    let mut tickers = BTreeMap::new();
    let calls = line.dialect.encode_tickers(&line.instruments().await);
    assert_eq!(calls.len(), 3);
    for call in &calls {
        tickers.extend(line.dialect.decode_tickers(call, &line.call(call).await).unwrap());
    }
    assert_eq!(tickers.len(), 8);
    for (symbol, coin) in [(BTC, "BTC"), ("HYPE/USDC", "@107"), ("XYZ-TSLA/USDC:USDC", "xyz:TSLA")] {
        let span = Span::new(epoch() - TimeDelta::days(1), epoch() + TimeDelta::seconds(1));
        let trades = line.true_trades(symbol, span);
        let float = |decimal: Decimal| decimal.to_string().parse::<f64>().unwrap();
        let last = float(trades.last().unwrap().price);
        assert_eq!(tickers[coin].last, Some(last), "{symbol}");
        let volume = trades.iter().map(|trade| trade.amount).sum::<Decimal>();
        assert_eq!(tickers[coin].volume, Some(float(volume)), "{symbol}");
        assert_eq!(tickers[coin].bid.is_some_and(|bid| bid < last), symbol != "HYPE/USDC");
    }
}

/// What a connection has said, told apart.
#[derive(Default)]
struct Heard {
    bars: BTreeMap<(String, DateTime<Utc>), Candle>,
    trades: Vec<Trade>,
    pongs: usize,
    others: Vec<String>,
}

impl Heard {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Candle { stream_id, candle, closed: None, .. } => {
                self.bars.insert((stream_id.to_string(), candle.open_time), *candle);
            }
            Event::Trade { trade, .. } => self.trades.push(trade.clone()),
            Event::Heartbeat { .. } => self.pongs += 1,
            Event::Subscribed { stream_id: Some(id), channel, .. } => self.others.push(format!("on {id} {channel:?}")),
            Event::Unsubscribed { stream_id: Some(id), channel, .. } => {
                self.others.push(format!("off {id} {channel:?}"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trades_repeat_some_of_the_past_and_pings_keep_a_quiet_connection() {
    let line = running(config());
    let market = line.instrument("HYPE/USDC").await;
    let began = line.clock.now();
    let mut connection = line.connect(Channel::Trades, &market).await;
    connection.subscribe(&[subscription(Channel::Trades, &market)], 1).await;
    let mut heard = Heard::default();
    connection.listen(began + TimeDelta::minutes(30), |event| heard.hear(event)).await;
    // A ping every 20 s.
    assert!((89..=90).contains(&heard.pongs), "{}", heard.pongs);
    let all = line.true_trades("HYPE/USDC", Span::new(began - TimeDelta::days(5), line.clock.now()));
    let repeated = all.iter().filter(|trade| trade.time <= began).count() - 30;
    assert_eq!(heard.trades.iter().map(deal).collect::<Vec<_>>(), all[repeated..].iter().map(deal).collect::<Vec<_>>());
    let ids: std::collections::HashSet<_> = heard.trades.iter().map(|trade| &trade.id).collect();
    assert_eq!(ids.len(), heard.trades.len());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_coin_ends_the_connection_and_so_does_a_minute_of_silence() {
    let line = running(SimConfig { enforce_limits: true, ..config() });
    let btc = line.instrument(BTC).await;
    let mut connection = line.connect(MINUTE, &btc).await;
    let lower = Subscription { channel: MINUTE, stream_id: "btc".into() };
    connection.subscribe(&[subscription(MINUTE, &btc), lower], 1).await;
    let mut heard = Heard::default();
    connection.listen(line.clock.now() + TimeDelta::seconds(1), |event| heard.hear(event)).await;
    assert!(!connection.is_open);

    let mut idle = line.connect(MINUTE, &btc).await;
    idle.pings = false;
    let began = line.clock.now();
    idle.listen(began + TimeDelta::seconds(50), |event| heard.hear(event)).await;
    idle.send(&line.dialect.encode_ping(1).unwrap()).await;
    idle.listen(began + TimeDelta::minutes(5), |event| heard.hear(event)).await;
    assert!(!idle.is_open);
    assert_eq!(((line.clock.now() - began).num_seconds(), heard.pongs), (110, 1));
    let peer = [127, 0, 0, 1].into();
    let opened = (0..31).map(|_| line.transport.simulator.open_socket("/hyperliquid/ws", peer).is_ok());
    assert_eq!(opened.filter(|is_open| *is_open).count(), 30);
}

/// The end of what is old enough for quiet minutes to be proven.
fn proven(stage: &Stage) -> DateTime<Utc> {
    Grid::utc(Timeframe::M1).last_closed_end(stage.now() - TimeDelta::minutes(16))
}

#[test]
fn a_collector_keeps_history_and_minutes_complete_by_stream() {
    in_virtual_time(async {
        let stage = Stage::with(&[("hyperliquid", BTC), ("hyperliquid", PEPE), ("hyperliquid", "HYPE/USDC")]).await;
        let component = format!("hyperliquid:{BTC}");
        stage.until("streaming", seconds(10), |stage| stage.is_streaming(&component)).await;
        stage.pass(minutes(45)).await;
        assert!(stage.is_streaming(&component));
        for symbol in [BTC, PEPE, "HYPE/USDC"] {
            stage.assert_complete("hyperliquid", symbol, Timeframe::M1, proven(&stage)).await;
        }
        assert_eq!(stage.sockets_opened("hyperliquid"), 2);
        assert_eq!(stage.simulator.stats().exchanges["hyperliquid"].limited, 0);
    });
}

#[test]
fn a_collector_keeps_history_and_minutes_complete_by_polling() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        for symbol in [BTC, PEPE] {
            stage.want("hyperliquid", symbol, &[Timeframe::M1], TimeDelta::days(1)).await;
        }
        stage.poll_only("hyperliquid").await;
        stage.start().await;
        stage.pass(minutes(45)).await;
        assert!(stage.is_polling(&format!("hyperliquid:{BTC}")));
        for symbol in [BTC, PEPE] {
            stage.assert_complete("hyperliquid", symbol, Timeframe::M1, proven(&stage)).await;
        }
        assert_eq!(stage.simulator.stats().exchanges["hyperliquid"].limited, 0);
    });
}
