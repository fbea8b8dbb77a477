//! What schedules collect: native, derived and trade-built series of every exchange; and how that
//! changes while they run.

use std::collections::BTreeMap;

use candlewick::collector::Remote;
use candlewick::control::command::{Action, Asker, Command, SymbolName};
use candlewick::exchange::{Capabilities, TradeHistory, registry};
use candlewick::market::{Symbol, Timeframe};
use candlewick::store::{CandleSource, NewSymbol, Store, SymbolState};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::support::at_once;

/// A market that is collected.
#[derive(Clone, Copy)]
pub struct Market {
    pub exchange: &'static str,
    pub symbol: &'static str,
    timeframes: &'static [Timeframe],
    collects_trades: bool,
    source: CandleSource,
}

/// Candles of the venue; a second timeframe makes some of them derived.
const fn candles(exchange: &'static str, symbol: &'static str, timeframes: &'static [Timeframe]) -> Market {
    Market { exchange, symbol, timeframes, collects_trades: false, source: CandleSource::Venue }
}

/// Its trades too.
const fn traded(exchange: &'static str, symbol: &'static str, timeframes: &'static [Timeframe]) -> Market {
    Market { collects_trades: true, ..candles(exchange, symbol, timeframes) }
}

/// Candles of its trades alone.
const fn built(exchange: &'static str, symbol: &'static str, timeframes: &'static [Timeframe]) -> Market {
    Market { source: CandleSource::Trades, ..traded(exchange, symbol, timeframes) }
}

pub const MARKETS: &[Market] = {
    use Timeframe::{D1, D3, H1, H8, M1, M3, M5, Month1, W1};
    &[
        candles("kraken", "BTC/USD", &[M1, M5, H1]),
        candles("kraken", "DOGE/USD", &[M1]),
        candles("kraken", "XRP/USD", &[H1, D1, W1]),
        built("kraken", "ETH/USD", &[M1, M5]),
        candles("binance", "BTC/USDT", &[M1, H1]),
        candles("binance", "ETH/USDT", &[M5, D1, Month1]),
        traded("binance", "SOL/USDT", &[M1]),
        built("binance", "XRP/USDT", &[M1]),
        candles("yahoo", "AAPL", &[M1]),
        candles("yahoo", "MSFT", &[H1, D1]),
        candles("yahoo", "EUR/USD", &[M5, W1]),
        candles("yahoo", "BTC/USD", &[M5, H1]),
        candles("coinbase", "BTC/USD", &[M1, H1]),
        built("coinbase", "ETH/USD", &[M1]),
        candles("binanceusdm", "BTC/USDT:USDT", &[M1, M5]),
        traded("binanceusdm", "ETH/USDT:USDT", &[M3]),
        candles("bybit", "BTC/USDT", &[M1]),
        candles("bybit", "BTC/USDT:USDT", &[M1, H1, W1]),
        built("bybit", "ETH/USDT", &[M1]),
        candles("okx", "BTC/USDT", &[M1]),
        traded("okx", "BTC/USDT:USDT", &[M5, D1]),
        built("okx", "ETH/USDT", &[M1]),
        candles("hyperliquid", "BTC/USDC:USDC", &[M1]),
        candles("hyperliquid", "ETH/USDC:USDC", &[M3, H8, D3]),
        built("hyperliquid", "SOL/USDC:USDC", &[M1]),
        traded("bitfinex", "BTC/USD", &[M1]),
        candles("bitfinex", "ETH/USD", &[M5, W1, Month1]),
        candles("bitmex", "BTC/USD:BTC", &[M1, M5]),
        traded("bitmex", "ETH/USDT:USDT", &[M1, D1]),
    ]
};

impl Market {
    pub fn name(&self) -> Symbol {
        self.symbol.parse().expect("a symbol")
    }

    /// False where trades that a venue keeps to itself are missed by nobody: they have no consecutive
    /// numbers, and only the newest can be read.
    pub fn leaves_traces(&self) -> bool {
        let capabilities = registry::find(self.exchange).unwrap().capabilities;
        let is_numbered = capabilities.trade_stream.is_none_or(|stream| stream.ids_are_dense);
        !self.collects_trades || is_numbered || keeps_trades(capabilities)
    }

    pub fn wanted_from(&self, from: DateTime<Utc>) -> NewSymbol {
        NewSymbol {
            exchange: self.exchange.into(),
            symbol: self.name(),
            timeframes: self.timeframes.to_vec(),
            backfill_from: from,
            collect_trades: self.collects_trades,
            candle_source: self.source,
            only_ticker: false,
        }
    }
}

/// What is wanted otherwise from some time on.
#[derive(Debug, Clone)]
pub enum Wish {
    Want(NewSymbol),
    Unwant(String, Symbol),
    State(String, Symbol, SymbolState),
}

#[derive(Debug, Clone)]
pub struct Change {
    pub at: DateTime<Utc>,
    pub wish: Wish,
    /// Told to the collector, where one runs; else written into the tables beside it.
    pub is_command: bool,
}

impl Wish {
    pub fn kind(&self) -> &'static str {
        match self {
            Wish::Want(_) => "added or widened",
            Wish::Unwant(..) => "removed",
            Wish::State(_, _, SymbolState::Paused) => "paused",
            Wish::State(..) => "resumed",
        }
    }

    fn action(&self) -> Action {
        let name =
            |exchange: &str, symbol: &Symbol| SymbolName { exchange: exchange.to_owned(), symbol: symbol.to_string() };
        match self {
            Wish::Want(new) => Action::AddSymbol(new.into()),
            Wish::Unwant(exchange, symbol) => Action::RemoveSymbol(name(exchange, symbol)),
            Wish::State(exchange, symbol, SymbolState::Paused) => Action::Pause(name(exchange, symbol)),
            Wish::State(exchange, symbol, _) => Action::Resume(name(exchange, symbol)),
        }
    }

    /// Has the collector carry it out; false when it did not.
    pub async fn tell(&self, collector: &Remote, id: String) -> bool {
        let command = Command { id, asked_by: Asker::Message, action: self.action() };
        collector.command(command).await.is_some_and(|reply| reply.ok)
    }

    /// Writes it into the tables.
    pub fn write(&self, store: &dyn Store) {
        let is_known = match self {
            Wish::Want(new) => at_once(store.add_symbol(new)).map(|_| true),
            Wish::Unwant(exchange, symbol) => at_once(store.remove_symbol(exchange, symbol)),
            Wish::State(exchange, symbol, state) => at_once(store.set_symbol_state(exchange, symbol, state)),
        };
        is_known.expect("the tables can be written beside the collector");
    }
}

/// What was asked for in the end: `None` for what is not wanted any more.
pub type Wanted = BTreeMap<(String, Symbol), Option<Wants>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    timeframes: Vec<Timeframe>,
    collects_trades: bool,
    pub is_paused: bool,
}

/// Takes a wish that was carried out into account.
pub fn account(wanted: &mut Wanted, wish: &Wish) {
    match wish {
        Wish::Want(new) => {
            let wants = wanted.entry((new.exchange.clone(), new.symbol.clone())).or_default();
            let wants = wants.get_or_insert_default();
            wants.timeframes.extend(&new.timeframes);
            wants.timeframes.sort_unstable();
            wants.timeframes.dedup();
            wants.collects_trades |= new.collect_trades;
        }
        Wish::Unwant(exchange, symbol) => {
            wanted.insert((exchange.clone(), symbol.clone()), None);
        }
        Wish::State(exchange, symbol, state) => {
            if let Some(Some(wants)) = wanted.get_mut(&(exchange.clone(), symbol.clone())) {
                wants.is_paused = *state == SymbolState::Paused;
            }
        }
    }
}

/// The tables say what was asked for, and no more.
pub async fn check(store: &dyn Store, wanted: &Wanted, violations: &mut Vec<String>) {
    let mut stored = Wanted::new();
    for row in store.symbols().await.unwrap() {
        let wants = Wants {
            timeframes: row.timeframes.clone(),
            collects_trades: row.collect_trades,
            is_paused: row.state == SymbolState::Paused,
        };
        stored.insert((row.exchange.clone(), row.symbol.clone()), Some(wants));
    }
    for (name, wants) in wanted {
        let held = stored.remove(name).flatten();
        if held != *wants {
            violations.push(format!("{name:?}: wanted {wants:?}, the tables have {held:?}"));
        }
    }
    violations.extend(stored.into_keys().map(|name| format!("{name:?}: nobody wanted it")));
}

/// Changes of what is wanted, in order of time: of the markets there are, and `more` that come later.
/// In the end a few are paused or gone.
pub fn changes(
    dice: &mut StdRng,
    markets: &[Market],
    more: &[Market],
    span: (DateTime<Utc>, DateTime<Utc>),
) -> Vec<Change> {
    let (from, to) = span;
    let at = |dice: &mut StdRng, from: DateTime<Utc>| {
        from + TimeDelta::seconds(dice.random_range(0..(to - from).num_seconds().max(1)))
    };
    let mut changes = Vec::new();
    let mut then = |dice: &mut StdRng, at, wish| {
        let is_command = dice.random_bool(0.5);
        changes.push(Change { at, wish, is_command });
    };
    for market in markets {
        let (exchange, symbol) = (market.exchange.to_owned(), market.name());
        let wanted = market.wanted_from(from - TimeDelta::hours(dice.random_range(1..12)));
        match dice.random_range(0..10) {
            0 => {
                let paused = at(dice, from);
                then(dice, paused, Wish::State(exchange.clone(), symbol.clone(), SymbolState::Paused));
                if dice.random_bool(0.8) {
                    let resumed = at(dice, paused);
                    then(dice, resumed, Wish::State(exchange, symbol, SymbolState::Active));
                }
            }
            1 => {
                let removed = at(dice, from);
                then(dice, removed, Wish::Unwant(exchange, symbol));
                if dice.random_bool(0.8) {
                    let back = at(dice, removed);
                    then(dice, back, Wish::Want(wanted));
                }
            }
            2 => {
                let widened = at(dice, from);
                let timeframes = vec![another(dice, market.exchange)];
                then(dice, widened, Wish::Want(NewSymbol { timeframes, ..wanted }));
            }
            3 => {
                let with_trades = at(dice, from);
                let collect_trades = keeps_trades(registry::find(&exchange).unwrap().capabilities);
                then(dice, with_trades, Wish::Want(NewSymbol { collect_trades, ..wanted }));
            }
            _ => {}
        }
    }
    for market in more {
        let added = at(dice, from);
        let hours = dice.random_range(1..12);
        then(dice, added, Wish::Want(market.wanted_from(added - TimeDelta::hours(hours))));
    }
    changes.sort_by_key(|change| change.at);
    changes
}

/// True where old trades can be read.
fn keeps_trades(capabilities: &Capabilities) -> bool {
    capabilities.trade_rest.is_some_and(|rest| rest.history != TradeHistory::Recent)
}

/// A timeframe of a venue, of a minute or more: shorter ones cost much and show nothing else.
fn another(dice: &mut impl Rng, exchange: &str) -> Timeframe {
    let native = registry::find(exchange).unwrap().capabilities.timeframes.iter().map(|row| row.timeframe);
    let usable: Vec<Timeframe> = native.filter(|timeframe| *timeframe >= Timeframe::M1).collect();
    *usable.choose(dice).expect("every venue has minutes")
}
