//! Coinbase Exchange: the dialect and the simulated venue against the simulator's truth, and a
//! collector on top of both.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{Channel, ErrorKind, Event, Instrument, Subscription, TradeCursor};
use candlewick::market::{Grid, Span, Timeframe, Trade, TradeId};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use chrono::{DateTime, TimeDelta, Utc};
use support::line::{Line, subscription};
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const LTC: &str = "LTC/USD";

fn epoch() -> DateTime<Utc> {
    "2026-11-20T15:00:30Z".parse().unwrap()
}

fn config() -> SimConfig {
    SimConfig { history_days: 3, enforce_limits: false, ..SimConfig::default() }
}

/// A venue whose clock stands still.
fn standing(config: SimConfig) -> Line {
    Line::new("coinbase", config, Clock::manual(epoch()))
}

/// A venue on tokio's paused clock.
fn running(config: SimConfig) -> Line {
    Line::new("coinbase", config, Clock::scaled(epoch(), 1.0))
}

fn back(time: DateTime<Utc>, hours: i64) -> Span {
    Span::new(time - TimeDelta::hours(hours), time)
}

#[tokio::test]
async fn a_page_ends_with_the_running_bucket_and_wider_windows_are_refused() {
    let line = standing(config());
    let market = line.instrument("BTC/USD").await;
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let to = minute + TimeDelta::minutes(1);
    let page = line.candles(&market, Timeframe::M1, Span::new(to - TimeDelta::minutes(300), to)).await.unwrap();
    assert_eq!(page.last().unwrap().open_time, minute);
    let newest = line.candles(&market, Timeframe::M1, Span::new(minute, to)).await.unwrap();
    assert_eq!(newest, page[page.len() - 1..]);
    let wide = line.candles(&market, Timeframe::M1, Span::new(to - TimeDelta::minutes(302), to)).await.unwrap_err();
    assert_eq!(wide.kind, ErrorKind::BadRequest);
    assert!(wide.message.ends_with("Count of aggregations requested exceeds 300"), "{wide}");
    let weekly = line.candles(&market, Timeframe::W1, back(to, 1)).await.unwrap_err();
    assert_eq!((weekly.kind, weekly.message.as_str()), (ErrorKind::BadRequest, "HTTP 400: Unsupported granularity"));
    let unknown = Instrument::new("NO/USD".parse().unwrap(), "NO-USD", "NO-USD");
    let unknown = line.candles(&unknown, Timeframe::M1, back(to, 1)).await.unwrap_err();
    assert_eq!((unknown.kind, unknown.message.as_str()), (ErrorKind::UnknownSymbol, "HTTP 404: NotFound"));
}

#[tokio::test]
async fn limits_and_missing_headers_are_punished_and_faults_strike_pages() {
    let line = standing(SimConfig { enforce_limits: true, ..config() });
    let market = line.instrument("BTC/USD").await;
    let bare = SimRequest::get("/coinbase/products");
    let reply = line.transport.simulator.http(&bare);
    assert_eq!((reply.status, reply.text()), (400, r#"{"message":"User-Agent header is required."}"#.to_owned()));
    line.clock.advance(Duration::from_secs(5));
    let mut limited = 0;
    for _ in 0..20 {
        match line.trades(&market, &TradeCursor::Newest).await {
            Ok((trades, _)) => assert_eq!(trades.len(), 1000),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(1)) });
                limited += 1;
            }
        }
    }
    assert_eq!(limited, 5);
    assert_eq!(line.transport.simulator.stats().exchanges["coinbase"].limited, 5);
    line.clock.advance(Duration::from_secs(5));

    let once = |kind| line.transport.simulator.inject(Fault::new(kind).on(Venue::COINBASE).times(1));
    let hour = back(Grid::utc(Timeframe::M1).bucket_at(epoch()), 1);
    once(FaultKind::EmptyPage);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(vec![]));
    once(FaultKind::PageCap { rows: 7 });
    let cut = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    let whole = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    assert_eq!(cut, whole[whole.len() - 7..]);
    once(FaultKind::IgnoreSince);
    assert!(line.candles(&market, Timeframe::M1, hour).await.unwrap().len() > 200);
    once(FaultKind::IgnoreSince);
    let (ignored, _) = line.trades(&market, &TradeCursor::BeforeId(TradeId::Number(500))).await.unwrap();
    let (newest, _) = line.trades(&market, &TradeCursor::Newest).await.unwrap();
    assert_eq!(ignored, newest);
    once(FaultKind::PageCap { rows: 3 });
    let (cut, next) = line.trades(&market, &TradeCursor::Newest).await.unwrap();
    assert_eq!(cut, newest[997..]);
    assert_eq!(next, Some(TradeCursor::BeforeId(cut[0].id.clone())));
}

/// What a connection has said, told apart.
#[derive(Default)]
struct Heard {
    trades: BTreeMap<String, Vec<Trade>>,
    snapshots: Vec<(String, Trade)>,
    last_ids: BTreeMap<String, Vec<(DateTime<Utc>, u64)>>,
    others: Vec<String>,
}

impl Heard {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Trade { stream_id, trade, is_snapshot: false, .. } => {
                self.trades.entry(stream_id.to_string()).or_default().push(trade.clone());
            }
            Event::Trade { stream_id, trade, .. } => self.snapshots.push((stream_id.to_string(), trade.clone())),
            Event::LastTrade { stream_id, id, stamped_at } => {
                let ids = self.last_ids.entry(stream_id.to_string()).or_default();
                ids.push((stamped_at.unwrap(), id.number().unwrap()));
            }
            Event::Subscribed { stream_id: Some(id), channel, .. } => self.others.push(format!("on {id} {channel:?}")),
            Event::Unsubscribed { stream_id: Some(id), .. } => self.others.push(format!("off {id}")),
            Event::Rejected { stream_id, error, .. } => self.others.push(format!("no {stream_id:?} {}", error.kind)),
            other => panic!("{other:?}"),
        }
    }
}

fn trades_of(market: &Instrument) -> Subscription {
    subscription(Channel::Trades, market)
}

#[tokio::test(start_paused = true)]
async fn the_feed_tells_every_trade_once_and_a_heartbeat_a_second_names_the_last_one() {
    let line = running(config());
    let (btc, ltc) = (line.instrument("BTC/USD").await, line.instrument(LTC).await);
    let began = line.clock.now();
    let mut connection = line.connect(Channel::Trades, &btc).await;
    connection.subscribe(&[trades_of(&btc), trades_of(&ltc)], 1).await;
    let mut heard = Heard::default();
    connection.listen(began + TimeDelta::minutes(20), |event| heard.hear(event)).await;
    assert_eq!(heard.others, ["on BTC-USD Some(Trades)", "on LTC-USD Some(Trades)"]);
    let span = Span::new(began, line.clock.now());
    for (market, most) in [(&btc, 10_000), (&ltc, 1_000)] {
        let symbol = market.symbol.as_str();
        let told = &heard.trades[&market.stream_id];
        assert_eq!(*told, line.true_trades(symbol, span), "{symbol}");
        assert!(told.len() > 10 && told.len() < most, "{}", told.len());
        let before = line.true_trades(symbol, back(began, 24));
        let snapshot = heard.snapshots.iter().filter(|(id, _)| *id == market.stream_id);
        assert_eq!(snapshot.map(|(_, trade)| trade).collect::<Vec<_>>(), [before.last().unwrap()]);
        let beats = &heard.last_ids[&market.stream_id];
        assert!((1199..=1200).contains(&beats.len()), "{}", beats.len());
        for (stamp, id) in beats {
            let last = told.iter().rfind(|trade| trade.time <= *stamp).unwrap_or(before.last().unwrap());
            assert_eq!((last.id.number(), stamp.timestamp_subsec_nanos()), (Some(*id), 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_products_refuse_their_frame_and_ended_subscriptions_are_silent() {
    let line = running(config());
    let (btc, eth) = (line.instrument("BTC/USD").await, line.instrument("ETH/USD").await);
    let unknown = Subscription { channel: Channel::Trades, stream_id: "NO-USD".into() };
    let mut connection = line.connect(Channel::Trades, &btc).await;
    let mut heard = Heard::default();
    let mut at = line.clock.now();
    let mut until = |minutes| {
        at += TimeDelta::minutes(minutes);
        at
    };
    connection.subscribe(&[trades_of(&btc), unknown], 1).await;
    connection.subscribe(&[trades_of(&btc)], 2).await;
    connection.listen(until(1), |event| heard.hear(event)).await;
    connection.subscribe(&[trades_of(&eth)], 3).await;
    connection.listen(until(1), |event| heard.hear(event)).await;
    connection.unsubscribe(&[trades_of(&btc)], 4).await;
    connection.listen(until(0) + TimeDelta::milliseconds(1), |event| heard.hear(event)).await;
    let (btc_told, eth_told) = (heard.trades["BTC-USD"].len(), heard.trades["ETH-USD"].len());
    connection.listen(until(10), |event| heard.hear(event)).await;
    assert_eq!(
        heard.others,
        [
            "no Some(\"NO-USD\") unknown symbol",
            "on BTC-USD Some(Trades)",
            "on BTC-USD Some(Trades)",
            "on ETH-USD Some(Trades)",
            "off BTC-USD",
            "on ETH-USD Some(Trades)",
        ]
    );
    assert_eq!(heard.trades["BTC-USD"].len(), btc_told);
    assert!(heard.trades["ETH-USD"].len() > eth_told + 20);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_turned_away_and_ninth_connections_of_a_second_are_refused() {
    let line = running(SimConfig { enforce_limits: true, ..config() });
    let btc = line.instrument("BTC/USD").await;
    let mut idle = line.connect(Channel::Trades, &btc).await;
    let began = line.clock.now();
    idle.listen(began + TimeDelta::minutes(1), |event| panic!("{event:?}")).await;
    assert!(!idle.is_open);
    assert_eq!((line.clock.now() - began).num_seconds(), 5);
    let peer = [127, 0, 0, 1].into();
    let opened = (0..10).map(|_| line.transport.simulator.open_socket("/coinbase", peer).is_ok());
    assert_eq!(opened.filter(|is_open| *is_open).count(), 8);
}

#[test]
fn a_collector_keeps_history_and_minutes_complete() {
    in_virtual_time(async {
        let stage = Stage::with(&[("coinbase", "BTC/USD"), ("coinbase", LTC)]).await;
        stage.until("live", minutes(2), |stage| stage.is_live("coinbase:BTC/USD")).await;
        stage.pass(minutes(20)).await;
        for symbol in ["BTC/USD", LTC] {
            // The last quiet minutes are proven by the next row or by their age.
            stage.assert_minutes("coinbase", symbol, seconds(300)).await;
        }
        let from = stage.simulator.epoch() + TimeDelta::minutes(3);
        stage.assert_punctual("coinbase", "BTC/USD", from, TimeDelta::seconds(10)).await;
        assert_eq!(stage.simulator.stats().exchanges["coinbase"].limited, 0);
    });
}

#[test]
fn a_collector_whose_pages_came_back_empty_never_asks_for_more_than_the_venue_gives() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        for symbol in ["BTC/USD", LTC, "DOGE/USD"] {
            stage.want("coinbase", symbol, &[Timeframe::M1], TimeDelta::hours(30)).await;
        }
        let empty = Fault::new(FaultKind::EmptyPage).on(Venue::COINBASE).probability(0.6);
        // Shorter than the fifth read of a stretch, which would call it unavailable.
        stage.inject(empty.between(Duration::ZERO, minutes(2)));
        stage.start().await;
        stage.pass(minutes(120)).await;
        let statuses = stage.simulator.stats().exchanges["coinbase"].by_status.clone();
        assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [200]);
        assert!(stage.simulator.stats().faults["empty_page"] > 3);
        for symbol in ["BTC/USD", LTC, "DOGE/USD"] {
            // Minutes of a market that hardly trades wait longer for the proof that they are empty.
            stage.assert_minutes("coinbase", symbol, minutes(40)).await;
        }
    });
}
