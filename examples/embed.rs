//! A collector inside a web application, next to the application's own actors.
//!
//! `Keeper` supervises it: starts it, passes on what is asked of it, and starts the next one whenever
//! it has ended. `Averages` hears of every final candle and keeps a moving average of each series.
//! Browsers and programs speak with both over HTTP. The exchanges are simulated, two minutes in a second.
//!
//! ```text
//! cargo run --example embed                  # adds two symbols, restarts the collector twice, proves that no candle was lost
//! cargo run --example embed -- --seconds 60  # and stays for a while:
//! curl -d '{"exchange": "binance", "symbol": "SOL/USDT"}' -H 'Content-Type: application/json' localhost:PORT/symbols
//! curl -X POST localhost:PORT/restart
//! curl localhost:PORT/averages
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use actix::prelude::*;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, ensure};
use candlewick::clock::Clock;
use candlewick::collector::{CandleClosed, Change, Collector, CollectorEnded, Remote, Shutdown, Subscription};
use candlewick::control::command::AddSymbol;
use candlewick::control::{Refusal, RefusalKind, Reply};
use candlewick::market::SeriesName;
use candlewick::sim::{SimConfig, Simulator, server};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Candles in an average.
const WINDOW: usize = 20;
/// Simulated seconds in a second.
const SPEED: f64 = 120.0;
/// Candles that each series shall get between two restarts.
const STEP: i64 = 5;
/// Real time after which something must be wrong.
const DEADLINE: Duration = Duration::from_secs(120);

// --- the host's supervisor of the collector ---------------------------------------------------

/// Keeps a collector running.
struct Keeper {
    database: String,
    simulator: String,
    averages: Addr<Averages>,
    collector: Option<Remote>,
    starts: u64,
    is_stopping: bool,
}

/// Asks for the collector to be stopped; its keeper starts the next one.
#[derive(Message)]
#[rtype(result = "u64")]
struct Restart;

/// Asks for the end. Answered with the last collector.
#[derive(Message)]
#[rtype(result = "Option<Remote>")]
struct Stop;

#[derive(Message)]
#[rtype(result = "Result<Reply, Refusal>")]
struct Add(AddSymbol);

impl Keeper {
    fn start_collector(&mut self, ctx: &mut Context<Self>) {
        let collector = Collector::builder()
            .database(&self.database)
            .simulator(&self.simulator)
            .watched_by(ctx.address().recipient());
        ctx.spawn(collector.start().into_actor(self).map(|started, keeper, ctx| match started {
            Ok(handle) => {
                keeper.starts += 1;
                keeper.averages.do_send(Collecting(handle.remote()));
                keeper.collector = Some(handle.remote());
            }
            Err(error) => {
                eprintln!("no collector: {error}; trying again");
                ctx.run_later(Duration::from_secs(1), |keeper, ctx| keeper.start_collector(ctx));
            }
        }));
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.start_collector(ctx);
    }
}

impl Handler<CollectorEnded> for Keeper {
    type Result = ();

    fn handle(&mut self, CollectorEnded(how): CollectorEnded, ctx: &mut Context<Self>) {
        match how {
            Ok(()) => println!("the collector has stopped"),
            Err(error) => eprintln!("{error}"),
        }
        if self.is_stopping {
            ctx.stop();
        } else {
            self.start_collector(ctx);
        }
    }
}

impl Handler<Add> for Keeper {
    type Result = ResponseActFuture<Self, Result<Reply, Refusal>>;

    fn handle(&mut self, Add(symbol): Add, _: &mut Context<Self>) -> Self::Result {
        let collector = self.collector.clone();
        let adding = async move {
            let message = "no collector has started yet".to_owned();
            let collector = collector.ok_or(Refusal { kind: RefusalKind::Stopping, message })?;
            collector.add_symbol(symbol).await
        };
        Box::pin(adding.into_actor(self))
    }
}

impl Handler<Restart> for Keeper {
    type Result = u64;

    fn handle(&mut self, _: Restart, _: &mut Context<Self>) -> u64 {
        if let Some(collector) = &self.collector {
            collector.supervisor().do_send(Shutdown);
        }
        self.starts
    }
}

impl Handler<Stop> for Keeper {
    type Result = Option<Remote>;

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) -> Option<Remote> {
        self.is_stopping = true;
        let collector = self.collector.clone()?;
        collector.supervisor().do_send(Shutdown);
        Some(collector)
    }
}

// --- the host's own work ----------------------------------------------------------------------

/// Moving averages of everything that is collected.
#[derive(Default)]
struct Averages(BTreeMap<SeriesName, Series>);

/// One series as far as it was heard.
#[derive(Default)]
struct Series {
    /// Closes of the newest bars; history comes newest first and between live bars.
    closes: BTreeMap<DateTime<Utc>, f64>,
    account: Account,
}

/// What was heard of a series: with no number missing, no candle is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// `binance BTC/USDT 1m`.
    pub series: String,
    /// Number of the last change.
    pub last: i64,
    /// Changes heard.
    pub heard: u64,
    /// How often a number was told after one that is not its predecessor.
    pub holes: u64,
    /// How often a number was told again.
    pub repeated: u64,
    /// Mean of the newest closes.
    pub average: f64,
}

/// A collector has started.
#[derive(Message)]
#[rtype(result = "()")]
struct Collecting(Remote);

#[derive(Message)]
#[rtype(result = "Vec<(SeriesName, Account)>")]
struct Tell;

impl Actor for Averages {
    type Context = Context<Self>;
}

impl Handler<Collecting> for Averages {
    type Result = ();

    /// Goes on after the last number of each series.
    fn handle(&mut self, Collecting(collector): Collecting, ctx: &mut Context<Self>) {
        let known = self.0.iter().map(|(name, series)| (name.clone(), series.account.last));
        let wants = known.fold(Subscription::from_first(), |wants, (name, last)| wants.after(name, last));
        let own = ctx.address().recipient();
        let subscribing = async move {
            if let Err(error) = collector.subscribe(own, wants).await {
                eprintln!("not subscribed: {error}");
            }
        };
        ctx.spawn(subscribing.into_actor(self));
    }
}

impl Handler<CandleClosed> for Averages {
    type Result = ();

    fn handle(&mut self, closed: CandleClosed, _: &mut Context<Self>) {
        let Series { closes, account } = self.0.entry(closed.series).or_default();
        if closed.sequence <= account.last {
            account.repeated += 1;
            return;
        }
        account.holes += u64::from(closed.previous != account.last);
        (account.last, account.heard) = (closed.sequence, account.heard + 1);
        match closed.change {
            Change::Withdrawn => closes.remove(&closed.candle.open_time),
            Change::Candle | Change::Correction => closes.insert(closed.candle.open_time, closed.candle.close),
        };
        while closes.len() > WINDOW {
            closes.pop_first();
        }
        account.average = closes.values().sum::<f64>() / closes.len().max(1) as f64;
    }
}

impl Handler<Tell> for Averages {
    type Result = MessageResult<Tell>;

    fn handle(&mut self, _: Tell, _: &mut Context<Self>) -> Self::Result {
        let told = |(name, series): (&SeriesName, &Series)| {
            (name.clone(), Account { series: name.to_string(), ..series.account.clone() })
        };
        MessageResult(self.0.iter().map(told).collect())
    }
}

// --- HTTP -------------------------------------------------------------------------------------

struct Host {
    keeper: Addr<Keeper>,
    averages: Addr<Averages>,
}

async fn add(host: web::Data<Host>, symbol: web::Json<AddSymbol>) -> HttpResponse {
    match host.keeper.send(Add(symbol.into_inner())).await {
        Ok(Ok(reply)) => HttpResponse::Ok().json(reply),
        Ok(Err(refusal)) if refusal.kind.is_passing() => HttpResponse::ServiceUnavailable().json(refusal),
        Ok(Err(refusal)) => HttpResponse::UnprocessableEntity().json(refusal),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn restart(host: web::Data<Host>) -> HttpResponse {
    match host.keeper.send(Restart).await {
        Ok(starts) => HttpResponse::Accepted().json(starts),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn averages(host: web::Data<Host>) -> HttpResponse {
    match host.averages.send(Tell).await {
        Ok(told) => HttpResponse::Ok().json(told.into_iter().map(|(_, account)| account).collect::<Vec<_>>()),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

// --- what happens -----------------------------------------------------------------------------

/// Runs it and prints what was heard.
pub fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds");
    let stay = match (arguments.next(), arguments.next()) {
        (None, _) => 0,
        (Some(_), seconds) => seconds.and_then(|text| text.parse().ok()).context("--seconds needs a whole number")?,
    };
    let proof = actix_rt::System::new().block_on(run(Duration::from_secs(stay)))?;
    for (account, stored) in &proof {
        println!("{:22} {} changes heard, number {} of {stored}", account.series, account.heard, account.last);
        ensure!(account.holes == 0 && account.last == *stored, "candles were lost: {account:?}");
    }
    println!("no candle was lost");
    Ok(())
}

/// Two symbols added over HTTP, two restarts, and `stay` for whoever wants to try. Returns what was
/// heard of each series, with the last number that its database has given.
pub async fn run(stay: Duration) -> anyhow::Result<Vec<(Account, i64)>> {
    let simulator = Simulator::new(SimConfig::default(), Clock::scaled(Utc::now(), SPEED));
    let exchanges = server::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, simulator)?;
    let folder = tempfile::tempdir()?;

    let averages = Averages::default().start();
    let keeper = Keeper {
        database: format!("sqlite://{}", folder.path().join("host.db").display()),
        simulator: format!("http://{}", exchanges.address()),
        averages: averages.clone(),
        collector: None,
        starts: 0,
        is_stopping: false,
    };
    let host = web::Data::new(Host { keeper: keeper.start(), averages: averages.clone() });
    let shared = host.clone();
    let app = move || {
        let app = App::new().app_data(shared.clone());
        let app = app.route("/symbols", web::post().to(add)).route("/restart", web::post().to(restart));
        app.route("/averages", web::get().to(self::averages))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.addrs()[0];
    let server = server.run();
    let stop_server = server.handle();
    let server = tokio::spawn(server);
    println!("http://{address}");

    for (exchange, symbol) in [("binance", "BTC/USDT"), ("kraken", "ETH/USD")] {
        let body = format!(r#"{{"exchange": "{exchange}", "symbol": "{symbol}", "timeframes": "1m"}}"#);
        let answer =
            until(|| request(address, "POST", "/symbols", &body), |answer| answer.contains("\"ok\":true")).await?;
        println!("{answer}");
    }
    let mut heard = until_further(address, &[0, 0]).await?;
    for _ in 0..2 {
        request(address, "POST", "/restart", "").await?;
        heard = until_further(address, &heard).await?;
    }
    tokio::time::sleep(stay).await;

    let collector = host.keeper.send(Stop).await?.context("there was no collector")?;
    while collector.is_alive() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop_server.stop(true).await;
    server.await??;
    exchanges.stop().await;
    account_for(&collector, &averages).await
}

/// What was heard, once the actor has caught up with what the last moments of the collector left.
async fn account_for(collector: &Remote, averages: &Addr<Averages>) -> anyhow::Result<Vec<(Account, i64)>> {
    for (name, account) in averages.send(Tell).await? {
        for closed in collector.candles_after(&name, account.last, 100_000).await? {
            averages.send(closed).await?;
        }
    }
    let mut proof = Vec::new();
    for (name, account) in averages.send(Tell).await? {
        for symbol in collector.store().symbols().await?.iter().filter(|row| row.symbol == name.symbol) {
            let series = collector.store().series_of(symbol.id).await?;
            let row = series.iter().find(|row| row.timeframe == name.timeframe).context("the series is there")?;
            proof.push((account.clone(), row.last_sequence));
        }
    }
    Ok(proof)
}

/// Waits until every series has some candles more.
async fn until_further(address: SocketAddr, before: &[i64]) -> anyhow::Result<Vec<i64>> {
    let numbers = |answer: &str| {
        let accounts: Vec<Account> = serde_json::from_str(answer).unwrap_or_default();
        accounts.iter().map(|account| account.last).collect::<Vec<_>>()
    };
    let is_further = |answer: &str| {
        let now = numbers(answer);
        now.len() == before.len() && now.iter().zip(before).all(|(now, before)| *now >= before + STEP)
    };
    let answer = until(|| request(address, "GET", "/averages", ""), is_further).await?;
    println!("{answer}");
    Ok(numbers(&answer))
}

/// Asks until the answer is the right one.
async fn until<F>(ask: impl Fn() -> F, is_right: impl Fn(&str) -> bool) -> anyhow::Result<String>
where
    F: Future<Output = anyhow::Result<String>>,
{
    let asking = async {
        loop {
            let answer = ask().await?;
            if is_right(&answer) {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.context("waited in vain")?
}

/// The body of the answer to a request, as any program would ask.
async fn request(to: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    let kind = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{kind}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    Ok(body.to_owned())
}
