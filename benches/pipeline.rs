//! Frames per second of CPU time from a socket to candles.
//!
//! Another process floods a WebSocket on the loopback with Binance frames, 200 to a write; this one
//! reads them through the product's transport. Its whole CPU time is counted (the kernel's part for
//! it included), so neither the flood nor the rest of the machine spoils the figures. Reads `/proc`,
//! so Linux only.
//!
//! * klines: a whole collector, forming bars of 20 markets to the store;
//! * trades: decoded and aggregated into 1m, 5m and 1h;
//! * stored trades: the same, and every trade written to a database file.

mod allocator;
mod venue;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::collector::Collector;
use candlewick::config::{Config, ExchangeConfig};
use candlewick::exchange::{Dialect, Dialogue, Event, registry};
use candlewick::market::{Aggregator, Grid, Timeframe, Trade};
use candlewick::store::{self, Access, Store, SymbolId, TradesChange, WriteBatch};
use candlewick::transport::net::{NetOptions, NetTransport};
use candlewick::transport::{Frame, Transport};
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use venue::{Venue, want};

const MARKETS: usize = 20;
const FRAMES_PER_WRITE: usize = 200;
const TRADES_PER_BATCH: usize = 5_000;
const WARM_UP: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(2);
const WINDOWS: usize = 5;
/// The argument that makes this program the flood.
const FLOOD: &str = "--flood";
/// What it floods with: its next argument.
const KLINES: &str = "klines";
const TRADES: &str = "trades";

/// The minute of all klines. The collector's clock starts ten seconds before it, because a stream
/// owns the buckets that open after its subscription.
const MINUTE_MS: i64 = 1_795_183_200_000;

// --- the flood ------------------------------------------------------------------------------

/// Frames of one write after the other.
enum Source {
    Klines(Vec<Utf8Bytes>),
    Trades { next_id: u64, text: String },
}

impl Source {
    fn named(name: &str) -> Source {
        if name == TRADES {
            return Source::Trades { next_id: 5_501_188_301, text: String::new() };
        }
        let kline = |index: usize| {
            let (market, stamp, open) = (index % MARKETS, MINUTE_MS + 10_500, MINUTE_MS);
            let close = open + 59_999;
            format!(
                r#"{{"e":"kline","E":{stamp},"s":"C{market}USDT","k":{{"t":{open},"T":{close},"s":"C{market}USDT","i":"1m","f":5501188301,"L":5501188777,"o":"91230.00000000","c":"912{:02}.10000000","h":"91350.00000000","l":"91129.99000000","v":"6.11830000","n":477,"x":false,"q":"558242.90113000","V":"3.00410000","Q":"274101.20500000","B":"0"}}}}"#,
                index % 100
            )
        };
        Source::Klines((0..FRAMES_PER_WRITE).map(|index| kline(index).into()).collect())
    }

    fn frame(&mut self, index: usize) -> Utf8Bytes {
        match self {
            Source::Klines(frames) => frames[index].clone(),
            Source::Trades { next_id, text } => {
                // Every market counts its own ids; one round over all markets takes two milliseconds.
                let (market, id) = (*next_id % MARKETS as u64, *next_id / MARKETS as u64);
                let time = MINUTE_MS + id as i64 * 2 % 31_536_000_000;
                let (cents, amount) = (id * 7_919 % 10_000, id * 104_729 % 100_000_000);
                text.clear();
                write!(
                    text,
                    r#"{{"e":"aggTrade","E":{time},"s":"C{market}USDT","a":{id},"p":"912{:02}.{:02}000000","q":"0.{amount:08}","f":{id},"l":{id},"T":{time},"m":{},"M":true}}"#,
                    cents / 100,
                    cents % 100,
                    id % 2 == 0
                )
                .expect("a String takes everything");
                *next_id += 1;
                Utf8Bytes::from(text.as_str())
            }
        }
    }
}

/// Serves connections for as long as this process's parent lives.
async fn serve(kind: &'static str) -> std::io::Result<()> {
    std::thread::spawn(|| {
        // The pipe ends with the parent, however that ends.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        tokio::spawn(flood(listener.accept().await?.0, kind));
    }
}

/// Acks what is asked, and floods from the first ack on until the connection ends.
async fn flood(stream: TcpStream, kind: &str) -> Option<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
    let mut source = Source::named(kind);
    let mut asked = Some(socket.next().await);
    loop {
        while let Some(message) = asked {
            if let Message::Text(text) = message?.ok()? {
                let id = serde_json::from_str::<serde_json::Value>(&text).ok()?.get("id")?.as_u64()?;
                socket.feed(format!(r#"{{"result":null,"id":{id}}}"#).into()).await.ok()?;
            }
            asked = socket.next().now_or_never();
        }
        for index in 0..FRAMES_PER_WRITE {
            socket.feed(Message::Text(source.frame(index))).await.ok()?;
        }
        socket.flush().await.ok()?;
        asked = socket.next().now_or_never();
    }
}

/// The flood as a process of its own; killed on drop.
struct Flood {
    process: Child,
    url: String,
}

impl Flood {
    fn start(kind: &str) -> Flood {
        let program = std::env::current_exe().expect("the path of this program");
        let process = Command::new(program).args([FLOOD, kind]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("a second process");
        let mut address = String::new();
        let output = process.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut address).expect("its address");
        Flood { process, url: format!("ws://{}", address.trim()) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

// --- measuring ------------------------------------------------------------------------------

/// CPU time of this process, ended threads included.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    // Linux counts in hundredths of a second here, whatever the kernel's own tick.
    Some((ticks()? + ticks()?) / 100.0)
}

/// Readings of frames and CPU time at the ends of windows.
struct Meter {
    due: Instant,
    readings: Vec<(u64, f64)>,
}

impl Meter {
    fn new() -> Meter {
        Meter { due: Instant::now() + WARM_UP, readings: Vec::new() }
    }

    /// Takes a reading when one is due; false once all have been taken.
    fn goes_on(&mut self, frames: u64) -> bool {
        if Instant::now() >= self.due {
            self.readings.push((frames, cpu_seconds().expect("/proc tells the CPU time")));
            self.due += WINDOW;
        }
        self.readings.len() <= WINDOWS
    }

    fn report(&self, name: &str, target: u32) {
        let rate = |pair: &[(u64, f64)]| (pair[1].0 - pair[0].0) as f64 / (pair[1].1 - pair[0].1);
        let mut rates: Vec<f64> = self.readings.windows(2).map(rate).collect();
        rates.sort_by(f64::total_cmp);
        let (worst, median, best) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
        println!("{name:<16} {median:>9.0} {worst:>9.0} {best:>9.0} {target:>9}");
    }
}

// --- the cases ------------------------------------------------------------------------------

fn transport() -> NetTransport {
    NetTransport::new(NetOptions::default()).expect("the default options")
}

async fn klines() -> Meter {
    let flood = Flood::start(KLINES);
    let minute = DateTime::from_timestamp_millis(MINUTE_MS).expect("a time of today");
    let mut config = Config::default();
    let stream = ExchangeConfig { stream_url: Some(flood.url.clone()), ..ExchangeConfig::default() };
    config.exchanges.insert("binance".to_owned(), stream);
    let collector = Collector::builder()
        .config(config)
        .database("sqlite://:memory:")
        .clock(Clock::scaled(minute - Duration::from_secs(10), 1.0))
        .transport(Arc::new(Venue::new(MARKETS, Some(transport()))))
        .start()
        .await
        .expect("a collector");
    for number in 0..MARKETS {
        collector.store().add_symbol(&want(number, minute - Duration::from_secs(60))).await.expect("a new symbol");
    }
    collector.add_symbol(&want(0, minute - Duration::from_secs(60))).await.expect("a known symbol");
    let began = Instant::now();
    while collector.totals().frames < 1_000 {
        assert!(began.elapsed() < Duration::from_secs(30), "no stream: {:?}", collector.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut meter = Meter::new();
    while meter.goes_on(collector.totals().frames) {
        tokio::time::sleep_until(meter.due).await;
    }
    for row in collector.store().symbols().await.expect("the symbols") {
        let series = collector.store().open_series(row.id, Timeframe::M1).await.expect("its series");
        let forming = collector.store().forming(series.id).await.expect("its open bucket");
        assert_eq!(
            forming.map(|candle| (candle.open_time, candle.trades)),
            Some((minute, Some(477))),
            "{}",
            row.symbol
        );
    }
    assert_eq!(collector.totals().dropped.get("outbox_full"), None);
    drop(flood);
    collector.shutdown().await.expect("an ordered stop");
    meter
}

/// What is kept of one market's trades.
struct Market {
    aggregator: Aggregator,
    symbol: Option<SymbolId>,
    waiting: Vec<Trade>,
}

/// Reads the flood of trades, and stores them where there is a store.
async fn trades(store: Option<Arc<dyn Store>>) -> Meter {
    let flood = Flood::start(TRADES);
    let row = registry::find("binance").expect("a registered venue");
    let dialect = (row.build)(row.public_endpoints());
    let mut markets = markets(store.as_deref()).await;
    let mut socket = transport().connect(&flood.url).await.expect("a connection");
    socket.sink.send(Frame::Text(r#"{"method":"SUBSCRIBE","params":[],"id":1}"#.into())).await.expect("a request");
    let (mut meter, mut frames, mut candles, mut waiting) = (Meter::new(), 0, 0, 0);
    while let Some(frame) = socket.frames.next().await {
        if let Frame::Text(text) = frame.expect("a frame") {
            waiting += usize::from(trade(&*dialect, &text, &mut markets, &mut candles, store.is_some()));
            frames += 1;
        }
        if frames % 1_000 == 0 && !meter.goes_on(frames) {
            break;
        }
        if let Some(store) = store.as_deref().filter(|_| waiting >= TRADES_PER_BATCH) {
            waiting = 0;
            write(store, &mut markets).await;
        }
    }
    assert!(candles > 0, "no bucket was closed");
    meter
}

async fn markets(store: Option<&dyn Store>) -> HashMap<String, Market> {
    let mut ids = HashMap::new();
    if let Some(store) = store {
        for number in 0..MARKETS {
            store.add_symbol(&want(number, DateTime::<Utc>::UNIX_EPOCH)).await.expect("a new symbol");
        }
        let rows = store.symbols().await.expect("the symbols");
        ids.extend(rows.into_iter().map(|row| (row.symbol, row.id)));
    }
    let grids = [Timeframe::M1, Timeframe::M5, Timeframe::H1].map(Grid::utc);
    (0..MARKETS)
        .map(|number| {
            let aggregator = Aggregator::new(&grids, Duration::from_secs(5));
            let symbol = ids.get(&venue::symbol(number)).copied();
            (format!("C{number}USDT"), Market { aggregator, symbol, waiting: Vec::new() })
        })
        .collect()
}

/// Takes one frame; true when it was a trade.
fn trade(
    dialect: &dyn Dialect,
    text: &str,
    markets: &mut HashMap<String, Market>,
    candles: &mut u64,
    keeps: bool,
) -> bool {
    let mut is_trade = false;
    dialect.decode_frame(&mut Dialogue::default(), text, &mut |event| match event {
        Event::Trade { stream_id, trade, .. } => {
            let market = markets.get_mut(&*stream_id).expect("a known market");
            market.aggregator.push(&trade, &mut |_, _| *candles += 1).expect("small amounts");
            if keeps {
                market.waiting.push(trade);
            }
            is_trade = true;
        }
        Event::Subscribed { .. } => {}
        other => panic!("{other:?}"),
    });
    is_trade
}

async fn write(store: &dyn Store, markets: &mut HashMap<String, Market>) {
    let changes = markets.values_mut().filter_map(|market| {
        let trades = std::mem::take(&mut market.waiting);
        let (first, last) = (trades.first()?.id.number()?, trades.last()?.last_id.number()?);
        Some(TradesChange { trades, complete_ids: vec![(first, last)], ..TradesChange::new(market.symbol?) })
    });
    let batch = WriteBatch { trades: changes.collect(), ..WriteBatch::default() };
    assert_eq!(batch.trades.len(), MARKETS);
    store.write(&batch).await.expect("a good batch");
}

async fn stored_trades() -> Meter {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}", dir.path().join("candlewick.db").display());
    let store = store::open(&url, Access::Create).await.expect("a new database");
    trades(Some(store)).await
}

fn main() {
    let mut args = std::env::args().skip_while(|arg| arg != FLOOD).skip(1);
    if let Some(kind) = args.next() {
        let kind = if kind == TRADES { TRADES } else { KLINES };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(serve(kind)).expect("a listener on the loopback");
        return;
    }
    if cpu_seconds().is_none() {
        println!("pipeline: this system has no /proc, nothing is measured");
        return;
    }
    println!("{:<16} {:>9} {:>9} {:>9} {:>9}", "frames/CPU s", "median", "worst", "best", "target");
    let system = actix_rt::System::new();
    system.block_on(klines()).report(KLINES, 450_000);
    system.block_on(trades(None)).report(TRADES, 600_000);
    system.block_on(stored_trades()).report("stored trades", 250_000);
}
