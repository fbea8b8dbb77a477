//! A symbol added to a collector that is busy with two hundred others, by each of the three channels.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle};
use candlewick::config::{Config, WebConfig};
use candlewick::control::{Asker, Command};
use candlewick::market::ledger::complete;
use candlewick::market::{Span, Symbol, Timeframe};
use candlewick::sim::{SimConfig, Simulator, Venue, default_symbols, server};
use candlewick::status::{Mode, Phase};
use candlewick::store::{CandleQuery, CandleSource, NewSymbol};
use candlewick::web::Bound;
use chrono::{DateTime, TimeDelta, Utc};
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{Commands, RedisResult};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::server::RedisServer;
use crate::support::real_time::in_real_time;
use crate::support::stage::true_candles;

const OTHERS: usize = 200;
/// Longest wait for anything; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(240);
/// An answer later than this is none. What it takes is printed: a tenth of a second is the aim.
const ANSWERED: Duration = Duration::from_secs(10);

/// The exchange, on a thread of its own.
struct Exchange {
    simulator: Simulator,
    url: String,
    _stop: oneshot::Sender<()>,
}

impl Exchange {
    /// A minute in two seconds.
    fn open() -> Exchange {
        let start: DateTime<Utc> = "2026-11-20T15:00:20Z".parse().unwrap();
        let config = SimConfig {
            exchanges: vec![Venue::BINANCE],
            symbols_per_exchange: OTHERS + 3,
            history_days: 1,
            trades_per_minute: 2.0,
            ..SimConfig::default()
        };
        let simulator = Simulator::new(config, Clock::scaled(start, 30.0));
        let (stop, stopped) = oneshot::channel();
        let (tell, address) = mpsc::channel();
        let served = simulator.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                let server = server::serve(listener, served).unwrap();
                tell.send(server.address()).unwrap();
                // The sender is dropped, or its test has failed.
                let _ = stopped.await;
            });
        });
        Exchange { simulator, url: format!("http://{}", address.recv().unwrap()), _stop: stop }
    }

    fn sockets_opened(&self) -> u64 {
        self.simulator.stats().exchanges["binance"].sockets_opened
    }
}

fn hour_of(symbol: &Symbol, now: DateTime<Utc>) -> NewSymbol {
    NewSymbol {
        exchange: "binance".to_owned(),
        symbol: symbol.clone(),
        timeframes: vec![Timeframe::M1],
        backfill_from: now - TimeDelta::hours(1),
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many of the symbols are live on the stream, with a candle that is not older than `since`.
fn streaming(collector: &CollectorHandle, symbols: &[Symbol], since: DateTime<Utc>) -> usize {
    let is_one = |component: &str| symbols.iter().any(|symbol| component == format!("binance:{symbol}"));
    let live = collector.status().into_iter().filter(|status| {
        (status.phase, status.mode) == (Phase::Live, Some(Mode::LiveWebsocket)) && status.last_candle >= Some(since)
    });
    live.filter(|status| is_one(&status.component)).count()
}

fn restarts(collector: &CollectorHandle) -> u64 {
    collector.status().iter().map(|status| status.restarts).sum()
}

/// Runs a client that blocks on a thread where it holds nobody up.
async fn apart<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// From the command in the stream to its reply there.
async fn by_redis(mut redis: redis::Connection, command: String) -> (Duration, Value) {
    apart(move || {
        let began = Instant::now();
        let _: String = redis.xadd("candlewick:control", "*", &[("command", &command)]).unwrap();
        let options = StreamReadOptions::default().block(ANSWERED.as_millis() as usize);
        let read: RedisResult<StreamReadReply> = redis.xread_options(&["candlewick:control:replies"], &["0"], &options);
        let took = began.elapsed();
        let reply: String = read.unwrap().keys[0].ids[0].get("reply").unwrap();
        (took, serde_json::from_str(&reply).unwrap())
    })
    .await
}

/// From the request to the end of its answer.
async fn by_http(to: SocketAddr, command: String) -> (Duration, Value) {
    apart(move || {
        let began = Instant::now();
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(ANSWERED)).unwrap();
        let head = format!("POST /control HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nX-Candlewick: 1\r\n");
        let kind = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", command.len());
        stream.write_all(format!("{head}{kind}{command}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (began.elapsed(), serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap())
    })
    .await
}

/// From the message to its reply.
async fn by_message(collector: &CollectorHandle, command: String) -> (Duration, Value) {
    let began = Instant::now();
    let reply = collector.command(Command::from_json(&command, Asker::Message).unwrap()).await.unwrap();
    (began.elapsed(), serde_json::from_str(&reply.to_json()).unwrap())
}

/// Everything since an hour before the start is there up to `until`, as the exchange has it.
async fn assert_complete(collector: &CollectorHandle, exchange: &Exchange, symbol: &Symbol, until: DateTime<Utc>) {
    let rows = collector.store().symbols().await.unwrap();
    let row = rows.iter().find(|row| row.symbol == *symbol).unwrap();
    let series = collector.store().series_of(row.id).await.unwrap().remove(0);
    let span = Span::new(candlewick::market::Grid::utc(Timeframe::M1).bucket_at(row.backfill_from), until);
    let ledger = collector.store().ledger(series.id).await.unwrap();
    assert!(complete(&ledger).covers(span), "{symbol} in {span}: {ledger:?}");
    let query = CandleQuery { span, limit: None, newest_first: false };
    let stored = collector.store().candles(series.id, query).await.unwrap();
    let truth = true_candles(&exchange.simulator, "binance", symbol.as_str(), Timeframe::M1, span);
    assert_eq!(stored.len(), truth.len(), "{symbol}");
    assert!(stored.iter().zip(&truth).all(|(row, truth)| row.candle.agrees_with(truth)), "{symbol}");
}

#[test]
fn a_symbol_added_to_two_hundred_others_goes_live_and_none_of_them_notices() {
    in_real_time(async {
        let server = RedisServer::start();
        let exchange = Exchange::open();
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            database: format!("sqlite://{}", folder.path().join("candles.db").display()),
            web: WebConfig { enabled: true, listen: "127.0.0.1:0".parse().unwrap(), token: None },
            ..Config::default()
        };
        config.redis.url = Some(server.url());
        let bound = Bound::bind(&config.web).unwrap().unwrap();
        let clock = exchange.simulator.clock().clone();
        let builder = Collector::builder().config(config).clock(clock.clone()).simulator(&exchange.url);
        let collector = builder.start().await.unwrap();
        let web = bound.serve(collector.remote()).unwrap();
        let symbols = default_symbols(Venue::BINANCE, OTHERS + 3);
        let (others, added) = symbols.split_at(OTHERS);
        for symbol in others {
            collector.store().add_symbol(&hour_of(symbol, exchange.simulator.epoch())).await.unwrap();
        }
        let epoch = exchange.simulator.epoch();
        until("the others", || streaming(&collector, others, epoch) == OTHERS).await;

        let before = (exchange.sockets_opened(), restarts(&collector));
        let from = clock.now() - TimeDelta::hours(1);
        let command = |id: &str, symbol: &Symbol| {
            let (symbol, from) = (symbol.as_str(), from.to_rfc3339());
            json!({"id": id, "command": "add_symbol", "exchange": "binance", "symbol": symbol, "timeframes": "1m", "from": from})
                .to_string()
        };
        let answers = [
            ("redis", by_redis(server.client(), command("r", &added[0])).await),
            ("http", by_http(web.address(), command("h", &added[1])).await),
            ("message", by_message(&collector, command("m", &added[2])).await),
        ];
        for (channel, (took, reply)) in &answers {
            println!("added to {OTHERS} others by {channel}: acknowledged in {took:.1?}");
            assert_eq!((&reply["ok"], &reply["changed"]), (&json!(true), &json!(true)), "{reply}");
            assert!(*took < ANSWERED, "{channel}: {took:?}");
        }
        // Two whole minutes later everybody is where he should be.
        let later = clock.now() + TimeDelta::minutes(2);
        until("the added", || streaming(&collector, added, later) == added.len()).await;
        until("the others", || streaming(&collector, others, later) == OTHERS).await;
        assert_eq!((exchange.sockets_opened(), restarts(&collector)), before, "nobody reconnects, nothing restarts");
        for symbol in &symbols {
            assert_complete(&collector, &exchange, symbol, later).await;
        }
        collector.shutdown().await.unwrap();
        web.stop().await;
    });
}
