//! From the close of a candle on the wire to its commit: a whole collector, a WebSocket on the
//! loopback that closes the seconds of fifty markets, each at its own moment, and a database file or
//! a PostgreSQL server of the benchmark's own. The time ends when a subscriber is told of the
//! committed candle, so reading it back is part of it.

mod allocator;
#[path = "../tests/support/postgres.rs"]
mod postgres;
mod venue;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use candlewick::clock::Clock;
use candlewick::collector::{Change, Collector};
use candlewick::config::{Config, ExchangeConfig};
use candlewick::market::Timeframe;
use candlewick::store::NewSymbol;
use candlewick::transport::net::{NetOptions, NetTransport};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use venue::{Venue, want};

const MARKETS: usize = 50;
/// Candles that are measured, after a few that warm up.
const CANDLES: usize = 1_000;
const WARM_UP: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);

/// When the closed frame of a market's second was sent.
type Sent = Arc<Mutex<HashMap<(String, i64), Instant>>>;

/// Acks what is asked, and closes each second of all markets, spread over the second after it.
async fn serve(stream: TcpStream, sent: Sent) -> Option<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
    let mut asked = Some(socket.next().await);
    loop {
        while let Some(message) = asked {
            if let Message::Text(text) = message?.ok()? {
                let id = serde_json::from_str::<serde_json::Value>(&text).ok()?.get("id")?.as_u64()?;
                socket.send(format!(r#"{{"result":null,"id":{id}}}"#).into()).await.ok()?;
            }
            asked = socket.next().now_or_never();
        }
        let now = chrono::Utc::now().timestamp_millis();
        let market = now.rem_euclid(1_000) as usize * MARKETS / 1_000;
        let open = (now.div_euclid(1_000) - 1) * 1_000;
        let key = (venue::symbol(market).to_string(), open);
        if !sent.lock().expect("no panic elsewhere").contains_key(&key) {
            // As REST has it: a quiet bar.
            let frame = format!(
                r#"{{"e":"kline","E":{now},"s":"C{market}USDT","k":{{"t":{open},"T":{},"s":"C{market}USDT","i":"1s","f":-1,"L":-1,"o":"1.0","c":"1.0","h":"1.0","l":"1.0","v":"0.0","n":0,"x":true,"q":"0.0","V":"0.0","Q":"0.0","B":"0"}}}}"#,
                open + 999
            );
            sent.lock().expect("no panic elsewhere").insert(key, Instant::now());
            socket.send(Message::text(frame)).await.ok()?;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        asked = socket.next().now_or_never();
    }
}

/// The exchange, on a thread of its own for as long as the program runs.
fn exchange(sent: Sent) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that waits for tokio");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener of tokio's");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sent.clone()));
            }
        });
    });
    address
}

/// Milliseconds from the frame to the subscriber, sorted.
async fn measure(database: String) -> Vec<f64> {
    let sent = Sent::default();
    let address = exchange(sent.clone());
    let mut config = Config::default();
    let stream = ExchangeConfig { stream_url: Some(format!("ws://{address}")), ..ExchangeConfig::default() };
    config.exchanges.insert("binance".to_owned(), stream);
    let transport = NetTransport::new(NetOptions::default()).expect("the default options");
    let clock = Clock::system();
    let collector = Collector::builder()
        .config(config)
        .database(database)
        .clock(clock.clone())
        .transport(Arc::new(Venue::new(MARKETS, Some(transport))))
        .start()
        .await
        .expect("a collector");
    let mut candles = collector.subscribe_broadcast().await.expect("a subscription");
    for number in 0..MARKETS {
        let seconds = NewSymbol { timeframes: vec![Timeframe::S1], ..want(number, clock.now()) };
        collector.store().add_symbol(&seconds).await.expect("a new symbol");
    }
    collector.add_symbol(&want(0, clock.now())).await.expect("a known symbol");
    let mut taken = Vec::new();
    let began = Instant::now();
    while taken.len() < WARM_UP + CANDLES {
        assert!(began.elapsed() < PATIENCE, "{} candles: {:?}", taken.len(), collector.status());
        let Ok(Ok(closed)) = tokio::time::timeout(Duration::from_secs(1), candles.recv()).await else { continue };
        let told = Instant::now();
        let key = (closed.series.symbol.to_string(), closed.candle.open_time.timestamp_millis());
        // A second that REST brought before its frame is none of a stream's.
        let frame = sent.lock().expect("no panic elsewhere").get(&key).copied().filter(|frame| *frame < told);
        if let Some(frame) =
            frame.filter(|_| closed.change == Change::Candle && closed.series.timeframe == Timeframe::S1)
        {
            taken.push((told - frame).as_secs_f64() * 1_000.0);
        }
    }
    collector.shutdown().await.expect("an ordered stop");
    let mut taken = taken.split_off(WARM_UP);
    taken.sort_by(f64::total_cmp);
    taken
}

fn report(name: &str, sorted: &[f64]) {
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    println!("{name:<12} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8}", at(0.5), at(0.9), at(0.99), at(1.0), 50);
}

fn main() {
    println!("{:<12} {:>8} {:>8} {:>8} {:>8} {:>8}", "ms to commit", "median", "p90", "p99", "worst", "p99 goal");
    let system = actix_rt::System::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = format!("sqlite://{}", folder.path().join("candlewick.db").display());
    report("sqlite", &system.block_on(measure(file)));
    let server = postgres::Server::start(&["fsync = on", "synchronous_commit = on"]);
    report("postgres", &system.block_on(measure(server.database())));
}
