//! A store in bad weather, each of whose calls is a fault point before and after it takes effect.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candlewick::market::{Candle, Span, Symbol, Timeframe, Trade};
use candlewick::store::*;
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::crash::{Crash, Place};
use super::support::at_once;

/// What a store may be for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Each call takes up to twenty seconds.
    Slow,
    /// Somebody else holds a lock: nothing can be read nor written.
    Locked,
    /// The disk is full: nothing can be written.
    Full,
    /// Now and then a call fails that would succeed if it were made again.
    Flaky,
    /// Now and then a change is refused for good, or a row cannot be read.
    Refusing,
    /// Now and then a call takes effect and its answer is lost.
    Unanswered,
}

impl Weather {
    const ALL: [Weather; 6] =
        [Weather::Slow, Weather::Locked, Weather::Full, Weather::Flaky, Weather::Refusing, Weather::Unanswered];
}

/// A stretch of bad weather, in true time.
#[derive(Debug, Clone, Copy)]
pub struct Spell {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub weather: Weather,
}

impl Spell {
    /// Some spells that are over at `end`.
    pub fn random(dice: &mut StdRng, from: DateTime<Utc>, end: DateTime<Utc>) -> Vec<Spell> {
        let count = dice.random_range(0..5);
        let seconds = (end - from).num_seconds();
        let one = |dice: &mut StdRng| {
            let begins = from + TimeDelta::seconds(dice.random_range(0..seconds));
            let ends = begins + TimeDelta::seconds(dice.random_range(5..1500));
            Spell { from: begins, to: ends.min(end), weather: *Weather::ALL.choose(dice).expect("not empty") }
        };
        (0..count).map(|_| one(dice)).collect()
    }
}

/// See the module.
pub struct CrashingStore {
    pub inner: Arc<dyn Store>,
    pub crash: Crash,
    /// What goes wrong, by the true time.
    pub spells: Arc<[Spell]>,
    /// The true time.
    pub clock: candlewick::clock::Clock,
}

impl fmt::Debug for CrashingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrashingStore({:?})", self.inner)
    }
}

/// Whether a call changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Reads,
    Changes,
}

impl CrashingStore {
    fn weather(&self) -> Option<Weather> {
        let now = self.clock.now();
        self.spells.iter().find(|spell| spell.from <= now && now < spell.to).map(|spell| spell.weather)
    }

    /// The trouble that comes before a call, if any.
    async fn before(&self, access: Access) -> Result<(), StoreError> {
        let course = self.crash.course();
        let Some(weather) = self.weather() else { return Ok(()) };
        let strikes = match weather {
            Weather::Slow | Weather::Locked => true,
            Weather::Full => access == Access::Changes,
            Weather::Flaky | Weather::Refusing => course.draw(0..=3) == 0,
            Weather::Unanswered => false,
        };
        if !strikes {
            return Ok(());
        }
        course.strike(format!("store {weather:?}"));
        match weather {
            Weather::Slow => {
                tokio::time::sleep(Duration::from_millis(course.draw(0..=20_000))).await;
                Ok(())
            }
            Weather::Locked => Err(StoreError::Locked("told to be locked".to_owned())),
            Weather::Full => Err(StoreError::Full("told to be full".to_owned())),
            Weather::Refusing if access == Access::Changes => Err(StoreError::Refused("told to refuse".to_owned())),
            Weather::Refusing => {
                Err(StoreError::Row { table: "coverage", message: "told to be unreadable".to_owned() })
            }
            Weather::Flaky | Weather::Unanswered => Err(self.away()),
        }
    }

    /// The answer of a call that took effect, unless it is lost.
    fn after<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let course = self.crash.course();
        if self.weather() == Some(Weather::Unanswered) && course.draw(0..=2) == 0 {
            course.strike(format!("store {:?}", Weather::Unanswered));
            return Err(self.away());
        }
        answer
    }

    fn away(&self) -> StoreError {
        StoreError::Unavailable { url: self.inner.url().to_owned(), message: "told to be away".to_owned() }
    }
}

macro_rules! pass_on {
    ($($access:ident $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)+) => {
        #[async_trait]
        impl Store for CrashingStore {
            fn url(&self) -> &str {
                self.inner.url()
            }

            async fn write(&self, batch: &WriteBatch) -> Result<Vec<SeriesOutcome>, StoreError> {
                let what: Vec<_> =
                    batch.series.iter().map(|change| (change.series.0, change.candles.len(), &change.ledger)).collect();
                let told = |change: &TradesChange| {
                    let TradesChange { symbol, trades, complete_spans, unavailable, withdrawn, .. } = change;
                    let (symbol, count) = (symbol.0, trades.len());
                    format!("{symbol}: {count} complete {complete_spans:?} not {unavailable:?} withdrawn {withdrawn:?}")
                };
                let trades: Vec<_> = batch.trades.iter().map(told).collect();
                self.crash.step(Place::Write, &format!("writes {what:?}, trades {trades:?}")).await;
                self.before(Access::Changes).await?;
                let outcome = at_once(self.inner.write(batch));
                self.crash.step(Place::Written, "has written").await;
                self.after(outcome)
            }

            $(async fn $name(&self $(, $arg: $type)*) -> Result<$result, StoreError> {
                self.crash.course().take_time().await;
                self.crash.point(Place::Store).await;
                self.before(Access::$access).await?;
                let answer = at_once(self.inner.$name($($arg),*));
                self.crash.point(Place::Stored).await;
                self.after(answer)
            })+
        }
    };
}

pass_on! {
    Changes lock_collector(holder: &str) -> Box<dyn CollectorLock>;
    Reads settings_version() -> i64;
    Reads exchanges() -> Vec<ExchangeRow>;
    Changes put_exchange(row: &ExchangeRow) -> ();
    Changes set_blocked_until(exchange: &str, until: Option<DateTime<Utc>>) -> ();
    Reads symbols() -> Vec<SymbolRow>;
    Changes add_symbol(new: &NewSymbol) -> SymbolChange;
    Changes remove_symbol(exchange: &str, symbol: &Symbol) -> bool;
    Changes set_symbol_state(exchange: &str, symbol: &Symbol, state: &SymbolState) -> bool;
    Changes set_refusal(symbol: SymbolId, refusal: Option<&str>) -> ();
    Changes set_anchors(symbol: SymbolId, anchors: &AnchorsRow) -> ();
    Changes open_series(symbol: SymbolId, timeframe: Timeframe) -> SeriesRow;
    Reads series_of(symbol: SymbolId) -> Vec<SeriesRow>;
    Reads ledger(series: SeriesId) -> Vec<LedgerEntry>;
    Reads holdings(symbols: &[SymbolId]) -> Vec<Holding>;
    Reads candles(series: SeriesId, query: CandleQuery) -> Vec<StoredCandle>;
    Reads candles_after(series: SeriesId, sequence: i64, limit: u32) -> Vec<NumberedCandle>;
    Reads forming(series: SeriesId) -> Option<Candle>;
    Reads revisions(series: SeriesId, span: Span) -> Vec<OldCandle>;
    Reads trades(symbol: SymbolId, span: Span) -> Vec<Trade>;
    Reads trades_page(symbol: SymbolId, span: Span, after: Option<&Trade>, limit: u32) -> Vec<Trade>;
    Reads trade_from_end(symbol: SymbolId, span: Span, newer: u64) -> Option<Trade>;
    Reads trade(symbol: SymbolId, id: u64) -> Option<Trade>;
    Reads trade_coverage(symbol: SymbolId) -> TradeCoverage;
    Reads tickers() -> Vec<TickerRow>;
    Changes put_statuses(rows: &[StatusRow]) -> ();
    Changes remove_statuses(components: &[String]) -> ();
    Reads statuses() -> Vec<StatusRow>;
    Changes record_command(row: &CommandRow) -> bool;
    Changes update_command(id: &str, outcome: &str, report: Option<&str>) -> bool;
    Reads open_commands() -> Vec<CommandRow>;
    Reads command(id: &str) -> Option<CommandRow>;
    Changes keep_from(symbol: SymbolId, cuts: &[Cut]) -> Vec<Cut>;
    Reads prunable() -> Vec<Prunable>;
    Reads count_before(what: &Prunable) -> Pruned;
    Changes prune(what: &Prunable, limit: u32) -> Pruned;
    Changes prune_events(before: DateTime<Utc>, limit: u32) -> u64;
    Reads events_after(number: i64, limit: u32) -> Vec<Event>;
    Reads last_event() -> i64;
}
