//! Bybit: the dialect and the simulated venue against the simulator's truth, and a collector on top
//! of both.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{AmountUnit, Channel, ErrorKind, Instrument, Subscription, TradeCursor};
use candlewick::market::{Grid, Span, Timeframe, Trade, TradeId};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use support::line::{Line, subscription};
use support::stage::{Stage, in_virtual_time, minutes, seconds};

const SPOT: &str = "BTC/USDT";
const LINEAR: &str = "BTC/USDT:USDT";
const INVERSE: &str = "BTC/USD:BTC";
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
    Line::new("bybit", config, Clock::manual(epoch()))
}

/// A venue on tokio's paused clock.
fn running(config: SimConfig) -> Line {
    Line::new("bybit", config, Clock::scaled(epoch(), 1.0))
}

#[tokio::test]
async fn the_same_name_is_another_market_in_each_category() {
    let line = standing(config());
    let ids = line.instruments().await.into_iter().map(|found| (found.symbol.to_string(), found.rest_id));
    let ids: std::collections::BTreeMap<_, _> = ids.collect();
    assert_eq!(ids.len(), 8);
    let id = |symbol: &str| ids[symbol].as_str();
    assert_eq!((id(SPOT), id(LINEAR), id(INVERSE)), ("spot/BTCUSDT", "linear/BTCUSDT", "inverse/BTCUSD"));
    assert_eq!(id("BTC/USDC:USDC"), "linear/BTCPERP");
    let hour = Span::new(epoch() - TimeDelta::seconds(3630), epoch() - TimeDelta::seconds(30));
    let mut seen = Vec::new();
    for symbol in [SPOT, LINEAR, INVERSE] {
        let market = line.instrument(symbol).await;
        seen.push(line.candles(&market, Timeframe::M1, hour).await.unwrap());
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
}

#[tokio::test]
async fn a_span_beyond_a_page_is_read_from_its_start_and_a_page_ends_with_the_running_bucket() {
    let line = standing(config());
    let market = line.instrument(LINEAR).await;
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let offsets = |page: Vec<candlewick::market::Candle>| {
        page.iter().map(|candle| (candle.open_time - minute).num_minutes()).collect::<Vec<_>>()
    };
    let ahead = Span::new(minute - TimeDelta::minutes(3), minute + TimeDelta::minutes(10));
    assert_eq!(offsets(line.candles(&market, Timeframe::M1, ahead).await.unwrap()), [-3, -2, -1, 0]);
    let long = Span::new(minute - TimeDelta::minutes(2500), minute);
    let page = offsets(line.candles(&market, Timeframe::M1, long).await.unwrap());
    assert_eq!((page.len(), page[0], page[999]), (1000, -2500, -1501));
}

fn rows(line: &Line, query: &str) -> Vec<i64> {
    let reply = line.transport.simulator.http(&SimRequest::get(format!("/bybit/v5/market/kline?{query}")));
    let body: Value = serde_json::from_str(&reply.text()).unwrap();
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch()).timestamp_millis();
    let rows = body["result"]["list"].as_array().unwrap_or_else(|| panic!("{body}")).iter();
    rows.map(|row| (row[0].as_str().unwrap().parse::<i64>().unwrap() - minute) / 60_000).collect()
}

#[tokio::test]
async fn rows_come_newest_first_and_of_too_wide_a_window_only_the_newest() {
    let line = standing(config());
    let at = |minutes: i64| Grid::utc(Timeframe::M1).bucket_at(epoch()).timestamp_millis() + minutes * 60_000;
    let market = "category=linear&symbol=BTCUSDT&interval=1";
    assert_eq!(rows(&line, &format!("{market}&limit=3")), [0, -1, -2]);
    assert_eq!(rows(&line, &format!("{market}&start={}&end={}", at(-9), at(-7))), [-7, -8, -9]);
    assert_eq!(rows(&line, &format!("{market}&start={}&end={}&limit=2", at(-9), at(-5))), [-5, -6]);
    assert_eq!(rows(&line, &format!("{market}&start={}&limit=2", at(-9))), [-8, -9]);
    assert_eq!(rows(&line, &format!("{market}&end={}&limit=2", at(-9))), [-9, -10]);
    assert_eq!(rows(&line, &format!("{market}&start={}&end={}", at(-9) + 30_000, at(-8))), [-8, -9]);
}

/// Price, amount, side and time of trades; ids are the category's own.
fn contents(trades: &[Trade]) -> Vec<(DateTime<Utc>, Decimal, Decimal, Option<candlewick::market::Side>)> {
    trades.iter().map(|trade| (trade.time, trade.price, trade.amount.normalize(), trade.side)).collect()
}

#[tokio::test]
async fn the_newest_trades_are_one_page_of_the_categorys_size() {
    let line = standing(config());
    let since = Span::new(epoch() - TimeDelta::days(2), epoch() + TimeDelta::seconds(1));
    for (symbol, most) in [(SPOT, 60), (LINEAR, 1000)] {
        let market = line.instrument(symbol).await;
        let (found, next) = line.trades(&market, &TradeCursor::Newest).await.unwrap();
        let truth = line.true_trades(symbol, since);
        assert_eq!(contents(&found), contents(&truth[truth.len() - most..]), "{symbol}");
        assert_eq!(next, None);
        assert_eq!(found.iter().map(|trade| &trade.id).collect::<HashSet<_>>().len(), most);
        let is_number = matches!(found[0].id, TradeId::Number(_));
        assert_eq!(is_number, symbol == SPOT, "{:?}", found[0].id);
    }
    let market = line.instrument(INVERSE).await;
    assert_eq!(market.amount_unit, AmountUnit::QuoteContracts(Decimal::ONE));
    let (found, _) = line.trades(&market, &TradeCursor::Newest).await.unwrap();
    let truth = line.true_trades(INVERSE, since);
    for (found, truth) in found.iter().zip(&truth[truth.len() - 1000..]) {
        // Whole dollars: a contract more or less.
        assert_eq!((found.time, found.price), (truth.time, truth.price));
        assert!((found.amount - truth.amount).abs() * found.price <= Decimal::ONE, "{found:?} {truth:?}");
    }
}

fn both(market: &Instrument) -> [Subscription; 2] {
    [subscription(Channel::Candles(Timeframe::M1), market), subscription(Channel::Trades, market)]
}

#[tokio::test(start_paused = true)]
async fn one_bad_topic_fails_its_whole_request_and_idle_connections_are_cut() {
    let line = running(config());
    let market = line.instrument(LINEAR).await;
    let unknown = Subscription { channel: Channel::Trades, stream_id: "linear/NOUSDT".into() };
    let mut connection = line.connect(Channel::Trades, &market).await;
    connection.pings = false;
    connection.subscribe(&[both(&market).to_vec(), vec![unknown]].concat(), 1).await;
    connection.send(r#"{"req_id":2,"op":"subscribe","args":["orderbook.1.BTCUSDT"]}"#).await;
    connection.send("rubbish").await;
    let began = line.clock.now();
    let heard = connection.hear(began + TimeDelta::minutes(9)).await;
    assert_eq!(
        heard.others,
        [
            "no Some(1) unknown symbol: Invalid symbol :[publicTrade.NOUSDT]",
            "no Some(2) bad request: error:handler not found,topic:orderbook.1.BTCUSDT",
            "Error(VenueError { kind: BadRequest, message: \"error:request is not a valid json\" })",
        ]
    );
    assert_eq!((heard.candles.len(), heard.trades.len(), connection.is_open), (0, 0, true));
    connection.hear(began + TimeDelta::minutes(12)).await;
    assert!(!connection.is_open);
    assert_eq!((line.clock.now() - began).num_seconds(), 600);

    let spot = line.instrument(SPOT).await;
    let mut connection = line.connect(Channel::Trades, &spot).await;
    let topics = (0..11).map(|_| "\"publicTrade.BTCUSDT\"").collect::<Vec<_>>().join(",");
    connection.send(&format!(r#"{{"req_id":"3","op":"subscribe","args":[{topics}]}}"#)).await;
    let heard = connection.hear(line.clock.now() + TimeDelta::seconds(1)).await;
    assert_eq!(heard.others, ["no Some(3) bad request: args size >10"]);
}

#[tokio::test]
async fn who_asks_too_often_is_shut_out_for_ten_minutes() {
    let line = standing(SimConfig { enforce_limits: true, ..config() });
    let market = line.instrument(LINEAR).await;
    line.clock.advance(Duration::from_secs(10));
    let mut errors = Vec::new();
    for _ in 0..602 {
        errors.extend(line.trades(&market, &TradeCursor::Newest).await.err());
    }
    let shut_out = ErrorKind::Banned { retry_after: Some(Duration::from_secs(600)) };
    assert_eq!(errors.iter().map(|error| error.kind).collect::<Vec<_>>(), [shut_out; 2]);
    assert!(errors[0].message.ends_with("HTTP 403: access too frequent"), "{}", errors[0]);
    line.clock.advance(Duration::from_secs(599));
    assert!(line.trades(&market, &TradeCursor::Newest).await.is_err());
    line.clock.advance(Duration::from_secs(1));
    assert!(line.trades(&market, &TradeCursor::Newest).await.is_ok());
}

#[tokio::test]
async fn failures_have_codes_and_faults_strike_pages() {
    let line = standing(config());
    let answer = |query: &str| {
        let reply = line.transport.simulator.http(&SimRequest::get(format!("/bybit/v5/market/{query}")));
        assert_eq!(reply.status, 200);
        serde_json::from_str::<Value>(&reply.text()).unwrap()["retCode"].as_i64().unwrap()
    };
    assert_eq!(answer("kline?category=linear&symbol=NOUSDT&interval=1"), 10001);
    assert_eq!(answer("kline?category=inverse&symbol=BTCUSDT&interval=1"), 10001);
    assert_eq!(answer("kline?category=linear&symbol=BTCUSDT&interval=7"), 10001);
    assert_eq!(answer("kline?category=moon&symbol=BTCUSDT&interval=1"), 10001);
    assert_eq!(answer("candles"), 10017);
    assert_eq!(answer("time"), 0);

    let market = line.instrument(LINEAR).await;
    let once = |kind| line.transport.simulator.inject(Fault::new(kind).on(Venue::BYBIT).times(1));
    let minute = Grid::utc(Timeframe::M1).bucket_at(epoch());
    let hour = Span::new(minute - TimeDelta::hours(2), minute - TimeDelta::hours(1));
    let whole = line.candles(&market, Timeframe::M1, hour).await.unwrap();
    once(FaultKind::EmptyPage);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(vec![]));
    once(FaultKind::PageCap { rows: 7 });
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await.as_deref(), Ok(&whole[53..]));
    once(FaultKind::IgnoreSince);
    assert_eq!(line.candles(&market, Timeframe::M1, hour).await, Ok(whole));
    once(FaultKind::PageCap { rows: 3 });
    assert_eq!(line.trades(&market, &TradeCursor::Newest).await.map(|(trades, _)| trades.len()), Ok(3));
    line.transport.simulator.inject(Fault::new(FaultKind::Delist).on(Venue::BYBIT).symbol(LINEAR.parse().unwrap()));
    let gone = line.candles(&market, Timeframe::M1, hour).await.unwrap_err();
    assert_eq!((gone.kind, gone.message.as_str()), (ErrorKind::UnknownSymbol, "10001 Not supported symbols"));
}

#[tokio::test]
async fn long_lists_of_contracts_come_in_pages() {
    let line = standing(SimConfig { symbols_per_exchange: 40, ..config() });
    let page = |query: &str| {
        let target = format!("/bybit/v5/market/instruments-info?category=linear&limit=10{query}");
        serde_json::from_str::<Value>(&line.transport.simulator.http(&SimRequest::get(target)).text()).unwrap()
    };
    let (mut names, mut pages, mut query) = (Vec::new(), 0, String::new());
    loop {
        let body = page(&query);
        let list = body["result"]["list"].as_array().unwrap();
        names.extend(list.iter().map(|market| market["symbol"].as_str().unwrap().to_owned()));
        pages += 1;
        let cursor = body["result"]["nextPageCursor"].as_str().unwrap();
        if cursor.is_empty() {
            break;
        }
        query = format!("&cursor={}", cursor.replace('%', "%25"));
    }
    assert_eq!((pages, names.len()), (4, 31));
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 31);
    assert_eq!(line.instruments().await.len(), 40);
}

async fn keeps_minutes_complete(is_polled: bool) {
    let symbols = [SPOT, LINEAR, INVERSE, QUIET];
    let mut stage = Stage::new(SimConfig::default()).await;
    for symbol in symbols {
        stage.want("bybit", symbol, &[Timeframe::M1, Timeframe::H1], TimeDelta::hours(6)).await;
    }
    if is_polled {
        stage.poll_only("bybit").await;
    }
    stage.start().await;
    for symbol in symbols {
        stage.until("live", minutes(2), |stage| stage.is_live(&format!("bybit:{symbol}"))).await;
    }
    stage.pass(minutes(70)).await;
    for symbol in symbols {
        let component = format!("bybit:{symbol}");
        assert_eq!((stage.is_streaming(&component), stage.is_polling(&component)), (!is_polled, is_polled), "{symbol}");
        stage.assert_minutes("bybit", symbol, seconds(30)).await;
        let until = Grid::utc(Timeframe::H1).last_closed_end(stage.now() - minutes(3));
        stage.assert_complete("bybit", symbol, Timeframe::H1, until).await;
    }
    // One connection to try, and one for each category.
    assert_eq!(stage.sockets_opened("bybit"), if is_polled { 0 } else { 4 });
    assert_eq!(stage.simulator.stats().exchanges["bybit"].limited, 0);
}

#[test]
fn a_streaming_collector_keeps_all_categories_complete() {
    in_virtual_time(keeps_minutes_complete(false));
}

#[test]
fn a_polling_collector_keeps_all_categories_complete() {
    in_virtual_time(keeps_minutes_complete(true));
}
