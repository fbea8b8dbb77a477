//! A whole collector against the simulated exchanges: in memory, in virtual time, with a store and a
//! transport that misbehave by script.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::collector::{Collector, CollectorHandle};
use candlewick::config::Config;
use candlewick::market::{Candle, Grid, Side, Span, Symbol, Timeframe};
use candlewick::sim::{Fault, SimConfig, SimRequest, Simulator};
use candlewick::status::{ComponentStatus, Mode, Phase};
use candlewick::store::{
    self, Access, CandleQuery, CandleSource, Coverage, ExchangeMode, ExchangeRow, LedgerEntry, NewSymbol, SeriesRow,
    Store, StoredCandle, SymbolRow, TradeCoverage,
};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::faulty_store::FaultyStore;
use super::faulty_transport::FaultyTransport;
use super::in_memory::SimTransport;

/// Runs a test in virtual time: timers fire as soon as nothing else can go on.
pub fn in_virtual_time<F: Future<Output = ()>>(test: F) {
    if let Ok(level) = std::env::var("CANDLEWICK_TEST_LOG") {
        let level = level.parse().unwrap_or(tracing::Level::DEBUG);
        let _ = tracing_subscriber::fmt().with_max_level(level).with_test_writer().try_init();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Decides the jitter of restarts.
const SEED: u64 = 1;

/// Friday, New York is trading, twenty seconds into a minute.
pub fn start() -> DateTime<Utc> {
    "2026-11-20T15:00:20Z".parse().unwrap()
}

pub fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// See the module.
pub struct Stage {
    pub clock: Clock,
    pub simulator: Simulator,
    pub store: Arc<FaultyStore>,
    pub transport: Arc<FaultyTransport>,
    pub config: Config,
    pub collector: Option<CollectorHandle>,
    url: String,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// Simulated exchanges and an empty database; nothing runs yet.
    pub async fn new(config: SimConfig) -> Stage {
        Stage::at(start(), config).await
    }

    /// [`Stage::new`] at another time.
    pub async fn at(start: DateTime<Utc>, config: SimConfig) -> Stage {
        let clock = Clock::scaled(start, 1.0);
        let simulator = Simulator::new(config, clock.clone());
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("candlewick.db").display());
        let store = store::open_with_clock(&url, Access::Create, clock.clone()).await.unwrap();
        let transport = SimTransport::new(simulator.clone());
        Stage {
            store: Arc::new(FaultyStore::new(store, clock.clone())),
            transport: Arc::new(FaultyTransport::new(transport, clock.clone())),
            clock,
            simulator,
            config: Config::default(),
            collector: None,
            url,
            _dir: dir,
        }
    }

    /// Wants one-minute candles of symbols since two hours ago, and starts the collector.
    pub async fn with(wanted: &[(&str, &str)]) -> Stage {
        let mut stage = Stage::new(SimConfig::default()).await;
        for (exchange, name) in wanted {
            stage.want(exchange, name, &[Timeframe::M1], TimeDelta::hours(2)).await;
        }
        stage.start().await;
        stage
    }

    /// Adds or widens a symbol in the tables.
    pub async fn want(&self, exchange: &str, name: &str, timeframes: &[Timeframe], back: TimeDelta) {
        let new = NewSymbol {
            exchange: exchange.to_owned(),
            symbol: symbol(name),
            timeframes: timeframes.to_vec(),
            backfill_from: self.clock.now() - back,
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        self.store.add_symbol(&new).await.unwrap();
    }

    /// Adds a symbol whose trades are collected, with candles of the venue or of its trades.
    pub async fn want_trades(
        &self,
        exchange: &str,
        name: &str,
        timeframes: &[Timeframe],
        candle_source: CandleSource,
        back: TimeDelta,
    ) {
        let new = NewSymbol {
            exchange: exchange.to_owned(),
            symbol: symbol(name),
            timeframes: timeframes.to_vec(),
            backfill_from: self.clock.now() - back,
            collect_trades: true,
            candle_source,
            only_ticker: false,
        };
        self.store.add_symbol(&new).await.unwrap();
    }

    /// Wants the ticker of a symbol and nothing else.
    pub async fn want_ticker(&self, exchange: &str, name: &str) {
        let new = NewSymbol {
            exchange: exchange.to_owned(),
            symbol: symbol(name),
            timeframes: Vec::new(),
            backfill_from: self.clock.now(),
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: true,
        };
        self.store.add_symbol(&new).await.unwrap();
    }

    /// Runs a statement on the database, as somebody with another tool would.
    pub fn sql(&self, statement: &str) {
        use diesel::connection::SimpleConnection;
        use diesel::{Connection, SqliteConnection};
        let mut connection = SqliteConnection::establish(self.url.trim_start_matches("sqlite://")).unwrap();
        connection.batch_execute(statement).unwrap();
    }

    /// Sets the mode of an exchange in the tables.
    pub async fn set_mode(&self, exchange: &str, mode: ExchangeMode) {
        let rows = self.store.exchanges().await.unwrap();
        let row = rows.into_iter().find(|row| row.name == exchange).unwrap();
        self.store.put_exchange(&ExchangeRow { mode, ..row }).await.unwrap();
    }

    /// Keeps an exchange from streaming.
    pub async fn poll_only(&self, exchange: &str) {
        self.set_mode(exchange, ExchangeMode::Poll).await;
    }

    /// Starts the collector.
    pub async fn start(&mut self) {
        self.start_by(self.clock.clone()).await;
    }

    /// Starts it on a host whose clock is `ahead` of the true time.
    pub async fn start_ahead(&mut self, ahead: TimeDelta) {
        self.start_by(Clock::scaled(self.clock.now() + ahead, 1.0)).await;
    }

    async fn start_by(&mut self, clock: Clock) {
        let handle = Collector::builder()
            .config(self.config.clone())
            .store(self.store.clone())
            .clock(clock)
            .seed(SEED)
            .transport(self.transport.clone())
            .simulator("http://sim")
            .start()
            .await
            .unwrap();
        self.collector = Some(handle);
    }

    /// Stops it in order.
    pub async fn stop(&mut self) {
        self.collector.take().unwrap().shutdown().await.unwrap();
    }

    /// The same database opened once more.
    pub async fn reopen(&self) -> Arc<dyn Store> {
        store::open_with_clock(&self.url, Access::ReadWrite, self.clock.clone()).await.unwrap()
    }

    /// Something goes wrong from now on.
    pub fn inject(&self, fault: Fault) {
        self.simulator.inject(fault);
    }

    // --- time -------------------------------------------------------------------------------

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets time pass until the clock shows this.
    pub async fn pass_until(&self, at: DateTime<Utc>) {
        self.clock.sleep_until(at).await;
    }

    /// Lets virtual time pass until the condition holds, and returns how much has passed.
    pub async fn until(&self, what: &str, deadline: Duration, mut holds: impl FnMut(&Stage) -> bool) -> Duration {
        let began = tokio::time::Instant::now();
        let step = (deadline / 1000).clamp(Duration::from_millis(5), Duration::from_millis(250));
        while !holds(self) {
            if began.elapsed() > deadline {
                panic!("not within {deadline:?}: {what}; at {} {:#?}", self.now(), self.statuses());
            }
            tokio::time::sleep(step).await;
        }
        began.elapsed()
    }

    // --- what can be seen -------------------------------------------------------------------

    pub fn statuses(&self) -> Vec<ComponentStatus> {
        self.collector.as_ref().map(|collector| collector.status()).unwrap_or_default()
    }

    pub fn status(&self, component: &str) -> Option<ComponentStatus> {
        self.statuses().into_iter().find(|status| status.component == component)
    }

    pub fn mode(&self, component: &str) -> Option<Mode> {
        self.status(component).and_then(|status| status.mode)
    }

    pub fn is_streaming(&self, component: &str) -> bool {
        self.mode(component) == Some(Mode::LiveWebsocket)
    }

    pub fn is_polling(&self, component: &str) -> bool {
        self.mode(component) == Some(Mode::LiveRestPolling)
    }

    pub fn is_live(&self, component: &str) -> bool {
        self.status(component).is_some_and(|status| status.phase == Phase::Live)
    }

    pub fn restarts(&self, component: &str) -> u64 {
        self.status(component).map_or(0, |status| status.restarts)
    }

    /// Open time of the newest final candle that the store has reported back.
    pub fn last_candle(&self, component: &str) -> Option<DateTime<Utc>> {
        self.status(component).and_then(|status| status.last_candle)
    }

    /// Requests that the simulator has counted for `endpoint symbol interval`.
    pub fn calls(&self, exchange: &str, series: &str) -> u64 {
        let stats = self.simulator.stats();
        stats.exchanges.get(exchange).and_then(|venue| venue.by_series.get(series)).copied().unwrap_or(0)
    }

    /// Sockets that the simulator has opened.
    pub fn sockets_opened(&self, exchange: &str) -> u64 {
        self.simulator.stats().exchanges.get(exchange).map_or(0, |venue| venue.sockets_opened)
    }

    /// All requests to a venue, by what was asked.
    pub fn requests(&self, exchange: &str) -> BTreeMap<String, u64> {
        self.simulator.stats().exchanges.get(exchange).map(|venue| venue.by_series.clone()).unwrap_or_default()
    }

    pub async fn series(&self, exchange: &str, name: &str, timeframe: Timeframe) -> SeriesRow {
        let row = self.row(exchange, name).await;
        let series = self.store.series_of(row.id).await.unwrap();
        let found = series.into_iter().find(|series| series.timeframe == timeframe);
        found.unwrap_or_else(|| panic!("{exchange}:{name} has no series {timeframe}"))
    }

    async fn row(&self, exchange: &str, name: &str) -> SymbolRow {
        let symbols = self.store.symbols().await.unwrap();
        let row = symbols.into_iter().find(|row| row.exchange == exchange && row.symbol.as_str() == name);
        row.unwrap_or_else(|| panic!("{exchange}:{name} is not wanted"))
    }

    pub async fn trade_coverage(&self, exchange: &str, name: &str) -> TradeCoverage {
        let row = self.row(exchange, name).await;
        self.store.trade_coverage(row.id).await.unwrap()
    }

    /// The ids of the stored trades of a stretch, as the venue prints them.
    pub async fn stored_trades(&self, exchange: &str, name: &str, span: Span) -> BTreeSet<String> {
        let row = self.row(exchange, name).await;
        self.store.trades(row.id, span).await.unwrap().into_iter().map(|trade| trade.id.to_string()).collect()
    }

    pub async fn ledger(&self, exchange: &str, name: &str, timeframe: Timeframe) -> Vec<LedgerEntry> {
        let series = self.series(exchange, name, timeframe).await;
        self.store.ledger(series.id).await.unwrap()
    }

    pub async fn stored(&self, exchange: &str, name: &str, timeframe: Timeframe) -> Vec<StoredCandle> {
        let series = self.series(exchange, name, timeframe).await;
        let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        let query = CandleQuery { span, limit: None, newest_first: false };
        self.store.candles(series.id, query).await.unwrap()
    }

    /// The stored candle of one bucket.
    pub async fn stored_at(&self, exchange: &str, name: &str, open_time: DateTime<Utc>) -> Option<StoredCandle> {
        let stored = self.stored(exchange, name, Timeframe::M1).await;
        stored.into_iter().find(|row| row.candle.open_time == open_time)
    }

    /// What the venue says in the end about buckets that open in `span`.
    pub fn truth(&self, exchange: &str, name: &str, timeframe: Timeframe, span: Span) -> Vec<Candle> {
        true_candles(&self.simulator, exchange, name, timeframe, span)
    }

    // --- what must hold ---------------------------------------------------------------------

    /// Every bucket from the wanted start to `until` is complete, and its candle is the venue's own;
    /// nothing else is stored there, and the ledger tiles the line.
    pub async fn assert_complete(&self, exchange: &str, name: &str, timeframe: Timeframe, until: DateTime<Utc>) {
        let symbols = self.store.symbols().await.unwrap();
        let row = symbols.iter().find(|row| row.exchange == exchange && row.symbol.as_str() == name).unwrap();
        let grid = Grid::utc(timeframe);
        let span = Span::new(grid.bucket_at(row.backfill_from), until);
        let ledger = self.ledger(exchange, name, timeframe).await;
        let what = format!("{exchange}:{name} {timeframe}");
        assert_eq!(ledger.first().map(|entry| entry.span.from), Some(span.from), "{what}: {ledger:#?}");
        for pair in ledger.windows(2) {
            assert_eq!(pair[0].span.to, pair[1].span.from, "{what} has a hole in its ledger: {ledger:#?}");
        }
        let complete = candlewick::market::ledger::complete(&ledger);
        assert!(complete.covers(span), "{what} is not complete in {span}: {ledger:#?}");
        let stored = self.stored(exchange, name, timeframe).await;
        let stored: Vec<Candle> =
            stored.into_iter().map(|row| row.candle).filter(|c| span.contains(c.open_time)).collect();
        let truth = self.truth(exchange, name, timeframe, span);
        assert!(!truth.is_empty(), "{what} has no truth in {span}");
        let opens = |candles: &[Candle]| candles.iter().map(|candle| candle.open_time).collect::<Vec<_>>();
        assert_eq!(opens(&stored), opens(&truth), "{what}");
        for (stored, truth) in stored.iter().zip(&truth) {
            assert!(stored.agrees_with(truth), "{what}: stored {stored:?}, true {truth:?}");
        }
    }

    /// Every trade of the venue from the wanted start to `until` is stored once, and the ledger says
    /// so. Returns how many there are.
    pub async fn assert_trades(&self, exchange: &str, name: &str, until: DateTime<Utc>) -> usize {
        let row = self.row(exchange, name).await;
        self.assert_trades_in(exchange, name, Span::new(row.backfill_from, until)).await
    }

    /// [`Stage::assert_trades`] for a stretch.
    pub async fn assert_trades_in(&self, exchange: &str, name: &str, span: Span) -> usize {
        let what = format!("{exchange}:{name}");
        let row = self.row(exchange, name).await;
        let coverage = self.store.trade_coverage(row.id).await.unwrap();
        assert!(coverage.spans.covers(span), "{what} lacks trades in {span}: {coverage:?}");
        let truth = true_trades(&self.simulator, exchange, name, span);
        let stored = self.store.trades(row.id, span).await.unwrap();
        let mut truth = truth.iter();
        for trade in &stored {
            // An aggregated trade stands for several.
            let parts: Vec<_> = truth.by_ref().take(trade.count() as usize).collect();
            let ids = (parts.first().map(|part| part.id.as_str()), parts.last().map(|part| part.id.as_str()));
            let own = (trade.id.to_string(), trade.last_id.to_string());
            assert_eq!(ids, (Some(own.0.as_str()), Some(own.1.as_str())), "{what}");
            let amount: Decimal = parts.iter().map(|part| number(part.amount)).sum();
            assert_eq!(amount, trade.amount, "{what}: {trade:?}");
            assert!(parts.iter().all(|part| number(part.price) == trade.price), "{what}: {trade:?}");
            assert!(parts.iter().all(|part| Some(part.side.as_str()) == trade.side.map(Side::as_str)), "{what}");
            let near = |part: &&TrueTrade<'_>| (part.time - trade.time).abs() < TimeDelta::milliseconds(1);
            assert!(parts.iter().all(near), "{what}: {trade:?}");
        }
        let lacking: Vec<_> = truth.map(|trade| (&trade.id, trade.time)).take(3).collect();
        assert_eq!(lacking, [], "{what} lacks the newest trades; {:?}", stored.last());
        stored.len()
    }

    /// [`Stage::assert_complete`] for one-minute candles up to the newest bucket that closed at
    /// least `ago` before now.
    pub async fn assert_minutes(&self, exchange: &str, name: &str, ago: Duration) {
        let until = Grid::utc(Timeframe::M1).last_closed_end(self.now() - ago);
        self.assert_complete(exchange, name, Timeframe::M1, until).await;
    }

    /// How long after its close each stored one-minute candle from `from` on was first written.
    pub async fn lateness(&self, exchange: &str, name: &str, from: DateTime<Utc>) -> Vec<(DateTime<Utc>, TimeDelta)> {
        let stored = self.stored(exchange, name, Timeframe::M1).await;
        stored
            .iter()
            .filter(|row| row.candle.open_time >= from)
            .map(|row| (row.candle.open_time, row.first_written_at - (row.candle.open_time + TimeDelta::minutes(1))))
            .collect()
    }

    /// Every candle from `from` on was stored within `limit` after its close.
    pub async fn assert_punctual(&self, exchange: &str, name: &str, from: DateTime<Utc>, limit: TimeDelta) {
        let lateness = self.lateness(exchange, name, from).await;
        assert!(!lateness.is_empty(), "{exchange}:{name} has no candles from {from}");
        let late: Vec<_> = lateness.into_iter().filter(|(_, late)| *late > limit).collect();
        assert_eq!(late, [], "{exchange}:{name}");
    }
}

/// What a simulated venue says in the end about buckets that open in `span`.
pub fn true_candles(
    simulator: &Simulator,
    exchange: &str,
    name: &str,
    timeframe: Timeframe,
    span: Span,
) -> Vec<Candle> {
    let (from, to) = (span.from.timestamp_millis(), span.to.timestamp_millis());
    let target = format!("/truth/candles?exchange={exchange}&symbol={name}&timeframe={timeframe}&from={from}&to={to}");
    let reply = simulator.http(&SimRequest::get(target));
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let rows: Vec<TrueRow<'_>> = serde_json::from_slice(&reply.body).unwrap();
    rows.iter().map(TrueRow::candle).collect()
}

/// A row of the simulator's truth. Numbers are read as text, because `serde_json` rounds some of them wrongly.
#[derive(serde::Deserialize)]
struct TrueRow<'a> {
    open_time: DateTime<Utc>,
    #[serde(borrow)]
    open: &'a RawValue,
    #[serde(borrow)]
    high: &'a RawValue,
    #[serde(borrow)]
    low: &'a RawValue,
    #[serde(borrow)]
    close: &'a RawValue,
    #[serde(borrow)]
    volume: &'a RawValue,
    trades: Option<u64>,
}

impl TrueRow<'_> {
    fn candle(&self) -> Candle {
        let number = |value: &RawValue| value.get().parse().unwrap();
        Candle {
            open_time: self.open_time,
            open: number(self.open),
            high: number(self.high),
            low: number(self.low),
            close: number(self.close),
            volume: number(self.volume),
            quote_volume: None,
            trades: self.trades,
            vwap: None,
        }
    }
}

/// A trade of the simulator's truth.
#[derive(serde::Deserialize)]
pub struct TrueTrade<'a> {
    pub id: String,
    pub time: DateTime<Utc>,
    #[serde(borrow)]
    pub price: &'a RawValue,
    #[serde(borrow)]
    pub amount: &'a RawValue,
    pub side: String,
}

fn number(value: &RawValue) -> Decimal {
    value.get().parse().unwrap()
}

/// What a simulated venue has traded in `span`.
pub fn true_trades(simulator: &Simulator, exchange: &str, name: &str, span: Span) -> Vec<TrueTrade<'static>> {
    let (from, to) = (span.from.timestamp_millis(), span.to.timestamp_millis());
    let target = format!("/truth/trades?exchange={exchange}&symbol={name}&from={from}&to={to}");
    let reply = simulator.http(&SimRequest::get(target));
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    // The few megabytes of a test live as long as it does.
    serde_json::from_slice(reply.body.to_vec().leak()).unwrap()
}

/// The missing stretches of a ledger.
pub fn missing(ledger: &[LedgerEntry]) -> Vec<Span> {
    ledger.iter().filter(|e| matches!(e.coverage, Coverage::Missing { .. })).map(|e| e.span).collect()
}
