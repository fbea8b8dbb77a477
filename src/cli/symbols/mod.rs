//! `candlewick symbols`: what to collect, kept in the tables of the database.
//!
//! Writes settings only, so no lock is needed: a running collector notices within two seconds.
//! Everything that can be judged without a network is checked before anything is written; whether
//! the exchange really has the market is for the collector to find out.

mod import;

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::Failure;
use super::database::{DatabaseArgs, block_on};
use super::lines::Time;
use super::listing::{self, Format, Row, count, say};
use crate::clock::Clock;
use crate::control::wanted::{add_symbol, exchange_row, in_words, list, off_note, state_words, verb};
use crate::control::wish::{self, Request, Wish};
use crate::exchange::registry;
use crate::market::{Symbol, Timeframe};
use crate::store::reader::Reader;
use crate::store::{Access, CandleSource, Store, SymbolChange, SymbolRow, SymbolState};

/// Arguments of `symbols`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Want a symbol, or want more of one that is kept already; nothing is ever wanted less.
    Add(Add),
    /// Stop wanting a symbol; its candles stay.
    Remove(Name),
    /// Stop work on a symbol; it stays wanted, and what it misses is fetched when it resumes.
    Pause(Name),
    /// Go on with a paused symbol, or try a rejected one again.
    Resume(Name),
    /// Show what is wanted.
    List(List),
    /// Add all symbols of a file: CSV with a header, or JSON lines.
    ///
    /// Columns (or keys): exchange, symbol, and as wanted timeframes (separated by spaces, semicolons
    /// or, in quotes, commas), backfill_days or from, trades, candle_source, only_ticker, state
    /// (active or paused). `symbols list --format csv` writes such a file. When anything in the file
    /// is wrong, nothing is changed.
    Import(Import),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Exchange, such as kraken.
    exchange: String,
    /// Unified symbol, such as BTC/USD or AAPL.
    symbol: String,
    /// Timeframes, separated by commas [default: 1m].
    #[arg(short, long, visible_alias = "timeframe", value_name = "TF,...")]
    timeframes: Vec<String>,
    /// Days of history [default: 1].
    #[arg(long, value_name = "N", conflicts_with = "from", allow_hyphen_values = true)]
    backfill_days: Option<String>,
    /// Want everything since this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Keep its trades too.
    #[arg(long)]
    trades: bool,
    /// Where its candles come from: venue (its own) or trades (built from them) [default: venue].
    #[arg(long, value_name = "SOURCE")]
    candle_source: Option<String>,
    /// Want the ticker and nothing else.
    #[arg(long)]
    only_ticker: bool,
}

#[derive(Debug, clap::Args)]
struct Name {
    /// Exchange, such as kraken.
    exchange: String,
    /// Unified symbol, such as BTC/USD or AAPL.
    symbol: String,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only this exchange.
    #[arg(long, value_name = "ID")]
    exchange: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Import {
    /// File to read; `-` reads standard input.
    file: PathBuf,
}

/// Runs the action.
///
/// # Errors
/// Usage for wishes that cannot be (nothing is changed then) and for names that are not kept;
/// failed when the database is in the way.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    match args.action {
        Action::Add(add) => {
            let now = Clock::system().now();
            let wish = add.into_request().check(now).map_err(|faults| Failure::usage(faults.join("\nerror: ")))?;
            block_on(want(database, &[wish]))
        }
        Action::Import(import) => {
            let wishes = import::read(&import.file, Clock::system().now())?;
            block_on(want(database, &wishes))
        }
        Action::Remove(name) => block_on(remove(database, &name)),
        Action::Pause(name) => block_on(set_state(database, &name, SymbolState::Paused)),
        Action::Resume(name) => block_on(set_state(database, &name, SymbolState::Active)),
        Action::List(list) => block_on(print_list(database, list)),
    }
}

impl Add {
    fn into_request(self) -> Request {
        Request {
            exchange: self.exchange,
            symbol: self.symbol,
            timeframes: (!self.timeframes.is_empty()).then(|| self.timeframes.join(",")),
            backfill_days: self.backfill_days,
            from: self.from,
            trades: self.trades,
            candle_source: self.candle_source,
            only_ticker: self.only_ticker,
            is_paused: false,
        }
    }
}

async fn want(database: &DatabaseArgs, wishes: &[Wish]) -> Result<(), Failure> {
    let store = database.open(Access::Create).await?;
    let (mut added, mut widened, mut unchanged) = (0, 0, 0);
    for Wish { new, is_paused, notes } in wishes {
        let change = add_symbol(&*store, new).await?;
        if *is_paused {
            store.set_symbol_state(&new.exchange, &new.symbol, &SymbolState::Paused).await?;
        }
        let counter = match change {
            SymbolChange::Added => &mut added,
            SymbolChange::Widened => &mut widened,
            SymbolChange::Unchanged => &mut unchanged,
        };
        *counter += 1;
        if let Some(row) = row_of(&*store, &new.exchange, &new.symbol).await? {
            say(format_args!("{} {} {}: {}", row.exchange, row.symbol, verb(change), in_words(&row)));
            if row.state == SymbolState::Paused && !*is_paused {
                let name = format!("{} {}", row.exchange, row.symbol);
                say(format_args!("  it is paused; go on with: candlewick symbols resume {name}"));
            }
        }
        for note in notes {
            say(format_args!("  {note}"));
        }
        if let Some(note) = off_note(&exchange_row(&*store, &new.exchange).await?) {
            say(format_args!("  {note}"));
        }
    }
    if wishes.len() > 1 {
        say(format_args!("{added} added, {widened} widened, {unchanged} unchanged"));
    }
    if added + widened > 0 {
        say("a running collector notices within 2 s and checks with the exchange that the market exists");
    }
    Ok(())
}

async fn row_of(store: &dyn Store, exchange: &str, symbol: &Symbol) -> Result<Option<SymbolRow>, Failure> {
    Ok(store.symbols().await?.into_iter().find(|row| row.exchange == exchange && row.symbol == *symbol))
}

async fn remove(database: &DatabaseArgs, name: &Name) -> Result<(), Failure> {
    let store = database.open(Access::ReadWrite).await?;
    let row = Reader::new(store.clone()).find(&name.exchange, &name.symbol).await?;
    store.remove_symbol(&row.exchange, &row.symbol).await?;
    say(format_args!("{} {} is not wanted any more; its candles stay", row.exchange, row.symbol));
    Ok(())
}

async fn set_state(database: &DatabaseArgs, name: &Name, state: SymbolState) -> Result<(), Failure> {
    let store = database.open(Access::ReadWrite).await?;
    let row = Reader::new(store.clone()).find(&name.exchange, &name.symbol).await?;
    let outcome = state_words(&row.state, &state);
    if row.state != state {
        store.set_symbol_state(&row.exchange, &row.symbol, &state).await?;
    }
    say(format_args!("{} {} {outcome}", row.exchange, row.symbol));
    Ok(())
}

async fn print_list(database: &DatabaseArgs, list: List) -> Result<(), Failure> {
    let store = database.open(Access::ReadOnly).await?;
    let mut rows = store.symbols().await?;
    if let Some(exchange) = &list.exchange {
        if !rows.iter().any(|row| row.exchange == *exchange) {
            registry::find(exchange).map_err(Failure::usage)?;
        }
        rows.retain(|row| row.exchange == *exchange);
    }
    if rows.is_empty() {
        say("no symbol is wanted; add one with: candlewick symbols add EXCHANGE SYMBOL");
    } else {
        say(count(rows.len() as u64, "symbol"));
    }
    listing::print(list.format, rows.iter().map(Line::of))
}

/// A symbol as `symbols list` prints it; `symbols import` reads the same columns.
#[derive(Debug, Serialize)]
struct Line<'a> {
    exchange: &'a str,
    symbol: &'a Symbol,
    timeframes: &'a [Timeframe],
    from: Time,
    trades: bool,
    candle_source: CandleSource,
    only_ticker: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

impl<'a> Line<'a> {
    fn of(row: &'a SymbolRow) -> Line<'a> {
        let (state, reason) = match &row.state {
            SymbolState::Active => ("active", ""),
            SymbolState::Paused => ("paused", ""),
            SymbolState::Rejected(words) => ("rejected", words.as_str()),
        };
        Line {
            exchange: &row.exchange,
            symbol: &row.symbol,
            timeframes: &row.timeframes,
            from: Time(row.backfill_from),
            trades: row.collect_trades,
            candle_source: row.candle_source,
            only_ticker: row.only_ticker,
            state,
            reason,
        }
    }
}

impl Row for Line<'_> {
    const COLUMNS: &'static [&'static str] = wish::COLUMNS_OF_LIST;

    fn cells(&self) -> Vec<String> {
        let source = match self.candle_source {
            CandleSource::Venue => "venue",
            CandleSource::Trades => "trades",
        };
        vec![
            self.exchange.to_owned(),
            self.symbol.to_string(),
            list(self.timeframes),
            self.from.to_string(),
            self.trades.to_string(),
            source.to_owned(),
            self.only_ticker.to_string(),
            self.state.to_owned(),
            self.reason.to_owned(),
        ]
    }
}
