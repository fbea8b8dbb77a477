//! The simulated venues over the in-memory transport: their pages and frames against their own truth.

mod support;

use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::exchange::{Cost, HttpReply, HttpRequest, Method};
use candlewick::market::Span;
use candlewick::sim::{Fault, FaultKind, SimConfig, Simulator, Venue};
use candlewick::transport::{Frame, Transport, TransportError, WebSocket};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use support::in_memory::SimTransport;
use support::stage::true_trades;

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64)";

fn epoch() -> DateTime<Utc> {
    "2026-11-20T15:00:00Z".parse().unwrap()
}

fn started(config: SimConfig) -> (SimTransport, Clock) {
    let clock = Clock::manual(epoch());
    (SimTransport::new(Simulator::new(config, clock.clone())), clock)
}

fn quiet_config() -> SimConfig {
    SimConfig { history_days: 3, symbols_per_exchange: 5, enforce_limits: false, ..SimConfig::default() }
}

async fn get(transport: &SimTransport, path: &str) -> Result<HttpReply, TransportError> {
    let request = HttpRequest {
        method: Method::Get,
        url: format!("http://simulator{path}"),
        headers: vec![("user-agent", BROWSER.to_owned())],
        body: None,
        cost: Cost { limit: 0, units: 1 },
    };
    transport.http(&request).await
}

async fn json(transport: &SimTransport, path: &str) -> Value {
    let reply = get(transport, path).await.unwrap();
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", reply.excerpt()))
}

async fn truth(transport: &SimTransport, venue: &str, symbol: &str, timeframe: &str, from_ms: i64) -> Vec<Value> {
    let path = format!("/truth/candles?exchange={venue}&symbol={symbol}&timeframe={timeframe}&from={from_ms}");
    json(transport, &path).await.as_array().unwrap().clone()
}

fn inject(transport: &SimTransport, fault: Fault) {
    transport.simulator.inject(fault);
}

/// (open time in seconds, open, high, low, close, volume, trades) of a truth row.
type Row = (i64, [f64; 5], u64);

fn row_of_truth(candle: &Value) -> Row {
    let time: DateTime<Utc> = candle["open_time"].as_str().unwrap().parse().unwrap();
    let values = ["open", "high", "low", "close", "volume"].map(|name| candle[name].as_f64().unwrap());
    (time.timestamp(), values, candle["trades"].as_u64().unwrap_or(0))
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn kraken_rows(body: &Value, id: &str) -> Vec<Row> {
    let rows = body["result"][id].as_array().unwrap().iter();
    rows.map(|row| {
        let values = [1, 2, 3, 4, 6].map(|index| number(&row[index]));
        (row[0].as_i64().unwrap(), values, row[7].as_u64().unwrap())
    })
    .collect()
}

fn binance_rows(body: &Value) -> Vec<Row> {
    let rows = body.as_array().unwrap().iter();
    rows.map(|row| {
        let values = [1, 2, 3, 4, 5].map(|index| number(&row[index]));
        (row[0].as_i64().unwrap() / 1_000, values, row[8].as_u64().unwrap())
    })
    .collect()
}

#[tokio::test]
async fn kraken_serves_the_newest_721_rows_and_all_but_the_forming_one_are_the_truth() {
    let (transport, clock) = started(quiet_config());
    clock.advance(Duration::from_secs(30));
    for (interval, timeframe) in [(1, "1m"), (5, "5m"), (60, "1h"), (1440, "1d")] {
        let body = json(&transport, &format!("/kraken/0/public/OHLC?pair=XBTUSD&interval={interval}")).await;
        assert_eq!(body["error"], serde_json::json!([]));
        let mut rows = kraken_rows(&body, "XXBTZUSD");
        let forming = rows.pop().unwrap();
        assert_eq!(forming.0, epoch().timestamp() / (interval * 60) * interval * 60);
        assert_eq!(body["result"]["last"].as_i64().unwrap(), rows.last().unwrap().0);
        let from_ms = rows[0].0 * 1_000;
        let truth: Vec<Row> =
            truth(&transport, "kraken", "BTC/USD", timeframe, from_ms).await.iter().map(row_of_truth).collect();
        assert_eq!(rows, truth, "{timeframe}");
        if timeframe == "1m" {
            assert_eq!(rows.len(), 720);
            assert!(rows.iter().any(|row| row.2 == 0), "some minutes are quiet and flat");
        }
    }
    let since = epoch().timestamp() - 180;
    let body = json(&transport, &format!("/kraken/0/public/OHLC?pair=XBT/USD&since={since}")).await;
    let opens: Vec<i64> = kraken_rows(&body, "XXBTZUSD").iter().map(|row| row.0 - since).collect();
    assert_eq!(opens, [60, 120, 180], "since is exclusive");
}

#[tokio::test]
async fn binance_pages_forward_and_backward_and_ends_with_the_forming_row() {
    let (transport, clock) = started(quiet_config());
    clock.advance(Duration::from_secs(30));
    for timeframe in ["1s", "1m", "15m", "4h", "1d", "1w", "1M"] {
        let body =
            json(&transport, &format!("/binance/api/v3/klines?symbol=ETHUSDT&interval={timeframe}&limit=1000")).await;
        let mut rows = binance_rows(&body);
        assert!(body[rows.len() - 1][6].as_i64().unwrap() >= clock.now().timestamp_millis() || timeframe == "1s");
        rows.retain(|row| timeframe != "1s" || row.0 < clock.now().timestamp());
        if timeframe != "1s" {
            rows.pop();
        }
        let from_ms = rows.first().map_or(0, |row| row.0 * 1_000);
        let truth: Vec<Row> =
            truth(&transport, "binance", "ETH/USDT", timeframe, from_ms).await.iter().map(row_of_truth).collect();
        assert_eq!(rows, truth, "{timeframe}");
    }
    let start = epoch().timestamp_millis() - 600_000;
    let path = format!("/binance/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={start}&limit=3");
    let opens: Vec<i64> =
        binance_rows(&json(&transport, &path).await).iter().map(|row| row.0 * 1_000 - start).collect();
    assert_eq!(opens, [0, 60_000, 120_000]);
    let path = format!("/binance/api/v3/klines?symbol=BTCUSDT&interval=1m&endTime={start}&limit=3");
    let opens: Vec<i64> =
        binance_rows(&json(&transport, &path).await).iter().map(|row| row.0 * 1_000 - start).collect();
    assert_eq!(opens, [-120_000, -60_000, 0], "the end is inclusive");
}

#[tokio::test]
async fn binances_aggregated_trades_cover_every_trade_without_gap() {
    let (transport, _clock) = started(quiet_config());
    let (mut next, mut covered, mut merged) = (1u64, 0u64, 0);
    loop {
        let path = format!("/binance/api/v3/aggTrades?symbol=BTCUSDT&fromId={next}&limit=1000");
        let rows = json(&transport, &path).await.as_array().unwrap().clone();
        for row in &rows {
            assert_eq!(row["a"].as_u64().unwrap(), next);
            assert_eq!(row["f"].as_u64().unwrap(), covered + 1);
            covered = row["l"].as_u64().unwrap();
            merged += u64::from(row["l"] != row["f"]);
            next += 1;
        }
        if rows.len() < 1_000 {
            break;
        }
    }
    let newest = json(&transport, "/binance/api/v3/trades?symbol=BTCUSDT&limit=1").await;
    assert_eq!(newest[0]["id"].as_u64().unwrap(), covered);
    assert!(merged > 100 && covered > 50_000, "{merged} of {covered}");
}

#[tokio::test]
async fn yahoo_prints_its_truth_with_nulls_and_a_live_row_beside_it() {
    let (transport, clock) = started(quiet_config());
    clock.advance(Duration::from_secs(30));
    let from = epoch().timestamp() - 2 * 86_400;
    let path =
        format!("/yahoo/v8/finance/chart/EURUSD%3DX?interval=1m&period1={from}&period2={}", clock.now().timestamp());
    let body = json(&transport, &path).await;
    let result = &body["chart"]["result"][0];
    let quote = &result["indicators"]["quote"][0];
    let stamps: Vec<i64> = result["timestamp"].as_array().unwrap().iter().map(|t| t.as_i64().unwrap()).collect();
    let mut rows = Vec::new();
    let mut nulls = 0;
    for (index, stamp) in stamps.iter().enumerate() {
        let cells = ["open", "high", "low", "close", "volume"].map(|name| quote[name][index].as_f64());
        match cells.iter().copied().collect::<Option<Vec<f64>>>() {
            Some(cells) if stamp % 60 == 0 && *stamp < epoch().timestamp() => {
                rows.push((*stamp, [cells[0], cells[1], cells[2], cells[3], cells[4]], 0));
            }
            Some(_) => {}
            None => nulls += 1,
        }
    }
    let truth: Vec<Row> =
        truth(&transport, "yahoo", "EUR/USD", "1m", from * 1_000).await.iter().map(row_of_truth).collect();
    assert_eq!(rows, truth);
    assert!(nulls > 0, "some quiet minutes are rows of nulls");
    let refused = get(
        &transport,
        &format!("/yahoo/v8/finance/chart/AAPL?interval=1m&period1={}&period2={from}", from - 9 * 86_400),
    )
    .await
    .unwrap();
    let text = refused.excerpt();
    assert_eq!(refused.status, 422);
    assert!(text.contains("Only 8 days worth of 1m granularity data are allowed to be fetched per request."), "{text}");
}

#[tokio::test]
async fn daily_bars_of_equities_are_stamped_at_the_opening_and_known_by_their_date() {
    let (transport, clock) = started(quiet_config());
    clock.set("2026-11-20T21:00:00Z".parse().unwrap());
    let from: i64 = "2026-11-18T00:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp();
    let path = format!("/yahoo/v8/finance/chart/AAPL?interval=1d&period1={from}&period2={}", clock.now().timestamp());
    let body = json(&transport, &path).await;
    let stamps = body["chart"]["result"][0]["timestamp"].clone();
    let opening = |date: &str| format!("{date}T14:30:00Z").parse::<DateTime<Utc>>().unwrap().timestamp();
    assert_eq!(stamps, serde_json::json!([opening("2026-11-18"), opening("2026-11-19"), opening("2026-11-20")]));
    let days: Vec<Value> = truth(&transport, "yahoo", "AAPL", "1d", from * 1_000).await;
    let keys: Vec<&str> = days.iter().map(|day| day["open_time"].as_str().unwrap()).collect();
    assert_eq!(keys, ["2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z"]);
}

async fn connect(transport: &SimTransport, path: &str) -> WebSocket {
    transport.connect(&format!("ws://simulator{path}")).await.unwrap()
}

async fn text(socket: &mut WebSocket) -> Value {
    loop {
        match socket.frames.next().await.unwrap().unwrap() {
            Frame::Text(text) => return serde_json::from_str(&text).unwrap(),
            Frame::Ping => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A simulation on tokio's paused clock: waiting costs nothing.
fn running(config: SimConfig) -> (SimTransport, Clock) {
    let clock = Clock::scaled(epoch(), 1.0);
    (SimTransport::new(Simulator::new(config, clock.clone())), clock)
}

#[tokio::test(start_paused = true)]
async fn kraken_greets_acks_each_symbol_and_streams_what_rest_says_later() {
    let (transport, clock) = running(quiet_config());
    let mut socket = connect(&transport, "/kraken/v2").await;
    assert_eq!(text(&mut socket).await["data"][0]["system"], "online");
    let ask = r#"{"method":"subscribe","params":{"channel":"ohlc","symbol":["BTC/USD","FOO/BAR"],"interval":1,"snapshot":false},"req_id":7}"#;
    socket.sink.send(Frame::Text(ask.into())).await.unwrap();
    let ack = text(&mut socket).await;
    assert_eq!(
        (&ack["success"], &ack["result"]["symbol"], &ack["req_id"]),
        (&true.into(), &"BTC/USD".into(), &7.into())
    );
    let refusal = text(&mut socket).await;
    assert_eq!(refusal["error"], "Currency pair not supported FOO/BAR");
    let ask = r#"{"method":"subscribe","params":{"channel":"ohlc","symbol":["BTC/USD"],"interval":5},"req_id":8}"#;
    socket.sink.send(Frame::Text(ask.into())).await.unwrap();
    assert_eq!(text(&mut socket).await["error"], "Already subscribed to one ohlc interval on this symbol");

    let mut last = std::collections::BTreeMap::new();
    let mut heartbeats = 0;
    while clock.now() < epoch() + TimeDelta::minutes(30) {
        let frame = text(&mut socket).await;
        match frame["channel"].as_str().unwrap() {
            "ohlc" => {
                let row = frame["data"][0].clone();
                last.insert(row["interval_begin"].as_str().unwrap().replace(".000000000", ""), row);
            }
            "heartbeat" => heartbeats += 1,
            other => panic!("{other}"),
        }
    }
    assert!(heartbeats > 60, "{heartbeats}");
    let truth = truth(&transport, "kraken", "BTC/USD", "1m", epoch().timestamp_millis()).await;
    let mut traded = 0;
    for candle in truth.iter().filter(|candle| candle["trades"] != 0) {
        let streamed = &last[candle["open_time"].as_str().unwrap()];
        for name in ["open", "high", "low", "close", "volume", "trades"] {
            assert_eq!(streamed[name].as_f64(), candle[name].as_f64(), "{name} of {candle}");
        }
        traded += 1;
    }
    assert!(traded >= 25, "{traded}");
}

#[tokio::test(start_paused = true)]
async fn a_binance_connection_is_told_to_go_before_its_day_is_over() {
    let (transport, clock) = running(quiet_config());
    let mut socket = connect(&transport, "/binance/ws").await;
    assert_eq!(text(&mut socket).await["e"], "serverShutdown");
    assert_eq!((clock.now() - epoch()).num_seconds(), 86_390);
    let end = loop {
        match socket.frames.next().await {
            Some(Ok(Frame::Ping)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Ok(Frame::Close))), "{end:?}");
    assert_eq!((clock.now() - epoch()).num_seconds(), 86_400);
    assert!(socket.frames.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stalled_or_half_open_line_behaves_as_scripted() {
    let (transport, clock) = running(quiet_config());
    let mut socket = connect(&transport, "/kraken/v2").await;
    let ask = r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}"#;
    socket.sink.send(Frame::Text(ask.into())).await.unwrap();
    inject(&transport, Fault::new(FaultKind::Stall).symbol("BTC/USD".parse().unwrap()));
    assert_eq!(text(&mut socket).await["channel"], "status");
    assert_eq!(text(&mut socket).await["method"], "subscribe");
    for _ in 0..120 {
        assert_eq!(text(&mut socket).await["channel"], "heartbeat", "subscribed but mute");
    }
    let drop_at = Fault { after: Duration::from_secs(10), ..Fault::new(FaultKind::Drop { every: None }) };
    inject(&transport, drop_at);
    let injected = clock.now();
    let end = loop {
        match socket.frames.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(TransportError::Lost(_)))), "{end:?}");
    assert_eq!((clock.now() - injected).num_seconds(), 10);

    let mut deaf = connect(&transport, "/kraken/v2").await;
    inject(&transport, Fault::new(FaultKind::HalfOpen).between(Duration::ZERO, Duration::from_secs(1)));
    let silence = tokio::time::timeout(Duration::from_secs(3_600), deaf.frames.next()).await;
    assert!(silence.is_err(), "a half-open line stays silent after the fault has passed: {silence:?}");
}

#[tokio::test(start_paused = true)]
async fn who_reads_late_is_told_what_was_traded_before_a_market_was_delisted_and_no_more() {
    let (transport, clock) = running(quiet_config());
    let mut trades = connect(&transport, "/binance/ws/btcusdt@aggTrade").await;
    let mut candles = connect(&transport, "/binance/ws/btcusdt@kline_1m").await;
    let delist = Fault::new(FaultKind::Delist).on(Venue::BINANCE).symbol("BTC/USDT".parse().unwrap());
    inject(&transport, Fault { after: Duration::from_secs(600), ..delist });
    // Subscribed; then nobody reads for an hour.
    let first = text(&mut trades).await["T"].as_i64().unwrap();
    clock.sleep(Duration::from_secs(3600)).await;
    let mut told = vec![first];
    while let Ok(frame) = tokio::time::timeout(Duration::from_secs(60), text(&mut trades)).await {
        told.push(frame["T"].as_i64().unwrap());
    }
    let span = Span::new(epoch(), clock.now());
    let truth = true_trades(&transport.simulator, "binance", "BTC/USDT", span);
    let times: Vec<i64> = truth.iter().map(|trade| trade.time.timestamp_millis()).collect();
    assert!(times.iter().all(|time| told.contains(time)) && told.len() > 20, "{} of {}", told.len(), times.len());
    assert!(told.iter().max() <= times.iter().max());
    let mut closed = 0;
    while let Ok(frame) = tokio::time::timeout(Duration::from_secs(60), text(&mut candles)).await {
        assert!(frame["k"]["t"].as_i64().unwrap() < epoch().timestamp_millis() + 600_000, "{frame}");
        closed += usize::from(frame["k"]["x"] == true);
    }
    assert!((9..=10).contains(&closed), "{closed}");
}

#[tokio::test]
async fn faults_of_requests_strike_as_scripted_and_are_counted() {
    let (transport, clock) = started(quiet_config());
    let ohlc = "/kraken/0/public/OHLC?pair=XBTUSD";
    let once = |kind| Fault::new(kind).on(Venue::KRAKEN).times(1);
    inject(&transport, once(FaultKind::Http429 { retry_after: Some(Duration::from_secs(7)) }));
    let reply = get(&transport, ohlc).await.unwrap();
    assert_eq!((reply.status, reply.retry_after()), (429, Some(Duration::from_secs(7))));
    inject(&transport, once(FaultKind::Html));
    assert_eq!(get(&transport, ohlc).await.unwrap().header("content-type"), Some("text/html"));
    inject(&transport, once(FaultKind::Http5xx { status: 520 }));
    assert_eq!(get(&transport, ohlc).await.unwrap().status, 520);
    inject(&transport, once(FaultKind::Refuse));
    assert!(matches!(get(&transport, ohlc).await, Err(TransportError::Connect { .. })));
    inject(&transport, once(FaultKind::Truncate));
    assert!(matches!(get(&transport, ohlc).await, Err(TransportError::Lost(_))));
    inject(&transport, once(FaultKind::PageCap { rows: 10 }));
    assert_eq!(kraken_rows(&json(&transport, ohlc).await, "XXBTZUSD").len(), 10);
    inject(&transport, once(FaultKind::EmptyPage));
    assert_eq!(kraken_rows(&json(&transport, ohlc).await, "XXBTZUSD").len(), 0);
    inject(&transport, once(FaultKind::IgnoreSince));
    let since = format!("{ohlc}&since={}", clock.now().timestamp() - 60);
    assert_eq!(kraken_rows(&json(&transport, &since).await, "XXBTZUSD").len(), 721);
    assert_eq!(kraken_rows(&json(&transport, &since).await, "XXBTZUSD").len(), 1);
    let stats = transport.simulator.stats();
    assert_eq!(stats.faults.values().copied().collect::<Vec<_>>(), [1; 8]);
    assert_eq!(stats.exchanges["kraken"].by_series["OHLC BTC/USD 1"], 9);
}

#[tokio::test]
async fn a_late_revision_shows_less_volume_first_and_the_truth_in_the_end() {
    let (transport, clock) = started(quiet_config());
    inject(&transport, Fault::new(FaultKind::LateRevision { lasting: Duration::from_secs(20) }).on(Venue::BINANCE));
    inject(&transport, Fault::new(FaultKind::LateBar { delay: Duration::from_secs(5) }).on(Venue::BINANCE));
    clock.advance(Duration::from_secs(62));
    let open_ms = epoch().timestamp_millis();
    let path = format!("/binance/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={open_ms}&limit=1");
    let first = |body: Value| body[0].clone();
    assert_eq!(
        first(json(&transport, &path).await)[0],
        open_ms + 60_000,
        "the closed row is late; the forming one is there"
    );
    clock.advance(Duration::from_secs(8));
    let early = first(json(&transport, &path).await);
    clock.advance(Duration::from_secs(15));
    let settled = first(json(&transport, &path).await);
    let truth = truth(&transport, "binance", "BTC/USDT", "1m", open_ms).await;
    assert_eq!((&early[0], &settled[0]), (&open_ms.into(), &open_ms.into()));
    assert_eq!(number(&settled[5]), truth[0]["volume"].as_f64().unwrap());
    assert!(number(&early[5]) < number(&settled[5]), "{early} {settled}");
}

#[tokio::test]
async fn an_outage_leaves_a_hole_in_pages_and_truth_alike_and_skew_moves_the_whole_venue() {
    let (transport, clock) = started(quiet_config());
    let minutes = |n: u64| Duration::from_secs(60 * n);
    inject(&transport, Fault::new(FaultKind::MissingRows).on(Venue::BINANCE).between(minutes(10), minutes(5)));
    clock.advance(minutes(30));
    let open_ms = epoch().timestamp_millis();
    let path = format!("/binance/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={open_ms}");
    let mut opens: Vec<i64> =
        binance_rows(&json(&transport, &path).await).iter().map(|row| row.0 * 1_000 - open_ms).collect();
    assert_eq!(opens.pop(), Some(30 * 60_000));
    let expected: Vec<i64> = (0..10).chain(15..30).map(|minute| minute * 60_000).collect();
    assert_eq!(opens, expected);
    let truth = truth(&transport, "binance", "BTC/USDT", "1m", open_ms).await;
    assert_eq!(truth.iter().map(|row| row_of_truth(row).0 * 1_000 - open_ms).collect::<Vec<_>>(), expected);

    inject(&transport, Fault::new(FaultKind::ClockSkew { by_ms: -90_000 }).on(Venue::KRAKEN));
    let reply = get(&transport, "/kraken/0/public/Time").await.unwrap();
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["result"]["unixtime"], clock.now().timestamp() - 90);
    assert_eq!(reply.date(), Some(clock.now() - TimeDelta::seconds(90)));
}

#[tokio::test]
async fn a_delisted_symbol_is_unknown_and_limits_are_the_venues_own() {
    let (transport, clock) = started(SimConfig { enforce_limits: true, ..quiet_config() });
    inject(&transport, Fault::new(FaultKind::Delist).symbol("BTC/USDT".parse().unwrap()));
    let kraken = json(&transport, "/kraken/0/public/OHLC?pair=XBTUSDT").await;
    assert_eq!(kraken, serde_json::json!({"error": ["EQuery:Unknown asset pair"]}));
    let binance = get(&transport, "/binance/api/v3/klines?symbol=BTCUSDT&interval=1m").await.unwrap();
    assert_eq!((binance.status, binance.excerpt()), (400, r#"{"code":-1121,"msg":"Invalid symbol."}"#.to_owned()));

    let mut errors = 0;
    for _ in 0..20 {
        let body = json(&transport, "/kraken/0/public/OHLC?pair=XBTUSD").await;
        errors += usize::from(body["error"][0] == "EAPI:Rate limit exceeded");
    }
    assert_eq!(errors, 5);
    clock.advance(Duration::from_secs(60));
    assert_eq!(json(&transport, "/kraken/0/public/OHLC?pair=XBTUSD").await["error"], serde_json::json!([]));
    let reply = get(&transport, "/binance/api/v3/exchangeInfo").await.unwrap();
    assert_eq!(reply.header("x-mbx-used-weight-1m"), Some("20"), "a new minute has begun");
    assert_eq!(transport.simulator.stats().exchanges["kraken"].limited, 5);
}

#[tokio::test]
async fn nobody_trades_on_a_market_that_is_delisted_for_good() {
    let (transport, clock) = started(quiet_config());
    let began = clock.now();
    let fault = |symbol: &str| Fault::new(FaultKind::Delist).on(Venue::BINANCE).symbol(symbol.parse().unwrap());
    inject(&transport, Fault { after: Duration::from_secs(600), ..fault("BTC/USDT") });
    inject(&transport, Fault { lasting: Some(Duration::from_secs(600)), ..fault("ETH/USDT") });
    clock.advance(Duration::from_secs(3600));
    for (name, end) in [("BTC/USDT", began + TimeDelta::seconds(600)), ("ETH/USDT", clock.now())] {
        let trades = true_trades(&transport.simulator, "binance", name, Span::new(began, clock.now()));
        let last = trades.iter().map(|trade| trade.time).max().unwrap();
        assert!(last < end && last > end - TimeDelta::minutes(5), "{name}: the last trade of {last} before {end}");
        let path = format!("/truth/candles?exchange=binance&symbol={}&timeframe=1m", name.replace('/', "%2F"));
        let candles = json(&transport, &path).await;
        let newest = candles.as_array().unwrap().last().unwrap();
        let open: DateTime<Utc> = newest["open_time"].as_str().unwrap().parse().unwrap();
        assert!(open < end && open >= end - TimeDelta::minutes(2), "{name}: the last candle of {open} before {end}");
        let inside = trades.iter().filter(|trade| trade.time >= open && trade.time < open + TimeDelta::minutes(1));
        assert_eq!(newest["trades"], inside.count(), "{name}: no trade after the end counts");
    }
}
