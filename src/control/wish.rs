//! What somebody asks to have collected, and whether it can be.

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};

use super::when::{self, Time};
use crate::exchange::{Capabilities, Depth, TradeHistory, registry};
use crate::market::{Symbol, Timeframe};
use crate::store::{CandleSource, NewSymbol};

/// Columns that `symbols list` prints.
pub const COLUMNS_OF_LIST: &[&str] =
    &["exchange", "symbol", "timeframes", "from", "trades", "candle_source", "only_ticker", "state", "reason"];

/// The column that only a request has: the other way to say `from`.
pub const BACKFILL_DAYS: &str = "backfill_days";

/// No exchange has candles from before this year.
const FIRST_YEAR: i32 = 1900;

/// A request in the words of the asker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: String,
    /// Separated by commas, semicolons or spaces; `1m` when absent.
    pub timeframes: Option<String>,
    /// A whole number of days before now; 1 when neither this nor `from` is there.
    pub backfill_days: Option<String>,
    /// A time in one of the forms of [`when::parse`].
    pub from: Option<String>,
    /// Its trades are wanted too.
    pub trades: bool,
    /// `venue` or `trades`; `venue` when absent.
    pub candle_source: Option<String>,
    /// Only the ticker is wanted.
    pub only_ticker: bool,
    /// It shall be paused.
    pub is_paused: bool,
}

/// A request that can be granted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// For the store.
    pub new: NewSymbol,
    /// It shall be paused.
    pub is_paused: bool,
    /// What the asker should know.
    pub notes: Vec<String>,
}

impl Request {
    /// Sets a column by its name; an empty text says nothing.
    ///
    /// # Errors
    /// What is wrong with the name or the text.
    pub fn set(&mut self, column: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let some = || Some(text.to_owned());
        match column {
            "exchange" => self.exchange = text.to_owned(),
            "symbol" => self.symbol = text.to_owned(),
            "timeframes" => self.timeframes = some(),
            BACKFILL_DAYS => self.backfill_days = some(),
            "from" => self.from = some(),
            "trades" => self.trades = yes_or_no(column, text)?,
            "candle_source" => self.candle_source = some(),
            "only_ticker" => self.only_ticker = yes_or_no(column, text)?,
            "state" => match text {
                "paused" => self.is_paused = true,
                // What the exchange said of it before is for the collector to ask again.
                "active" | "rejected" => {}
                _ => return Err(format!("state {text:?} is neither active nor paused")),
            },
            "reason" => {}
            _ => return Err(unknown_column(column)),
        }
        Ok(())
    }

    /// Checks everything that can be checked without asking the exchange.
    ///
    /// # Errors
    /// All faults, at least one.
    pub fn check(&self, now: DateTime<Utc>) -> Result<Wish, Vec<String>> {
        let mut faults = Vec::new();
        let mut keep = |fault: String| faults.push(fault);
        let venue = registry::find(&self.exchange).map(|row| row.capabilities).map_err(|e| keep(e.to_string())).ok();
        let symbol = check_symbol(&self.symbol, venue).map_err(&mut keep).ok();
        let candle_source = match self.candle_source.as_deref() {
            None | Some("venue") => CandleSource::Venue,
            Some("trades") => CandleSource::Trades,
            Some(other) => {
                keep(format!("candle source {other:?} is neither venue nor trades"));
                CandleSource::Venue
            }
        };
        // Trades make any timeframe.
        let makers = venue.filter(|_| candle_source == CandleSource::Venue);
        let timeframes = check_timeframes(self.timeframes.as_deref().unwrap_or("1m"), makers, &mut keep);
        let collect_trades = self.trades || candle_source == CandleSource::Trades;
        if let Some(venue) = venue
            && collect_trades
            && venue.trade_rest.is_none()
            && venue.trade_stream.is_none()
        {
            keep(format!("{} has no trades, only candles", venue.id));
        }
        if let Some(venue) = venue
            && self.only_ticker
            && !venue.has_tickers
        {
            let others = registry::EXCHANGES.iter().map(|row| row.capabilities).filter(|other| other.has_tickers);
            let others = others.map(|other| other.id).collect::<Vec<_>>().join(" ");
            keep(format!("{} has no tickers; those that have: {others}", venue.id));
        }
        if self.only_ticker && (self.timeframes.is_some() || collect_trades) {
            keep("the ticker only is wanted, but timeframes or trades too; leave out one of them".to_owned());
        }
        let from = self.check_from(now).map_err(&mut keep).ok();
        let (Some(venue), Some(symbol), Some(backfill_from), true) = (venue, symbol, from, faults.is_empty()) else {
            return Err(faults);
        };
        let timeframes = if self.only_ticker { Vec::new() } else { timeframes };
        let new = NewSymbol {
            exchange: venue.id.to_owned(),
            symbol,
            timeframes,
            backfill_from,
            collect_trades,
            candle_source,
            only_ticker: self.only_ticker,
        };
        let notes = notes(&new, now);
        Ok(Wish { new, is_paused: self.is_paused, notes })
    }

    /// The instant from which everything is wanted: `from`, else `backfill_days` ago, else a day ago.
    ///
    /// # Errors
    /// What is wrong with the texts, or with the time.
    pub fn check_from(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
        let from = match (&self.from, &self.backfill_days) {
            (Some(_), Some(_)) => return Err("both from and backfill_days are given; leave out one".to_owned()),
            (Some(from), None) => when::parse(from).map_err(|error| format!("from: {error}"))?,
            (None, days) => {
                let text = days.as_deref().unwrap_or("1");
                let days: u32 = text
                    .parse()
                    .map_err(|_| format!("backfill days {text:?} is no whole number of days, 0 or more"))?;
                let from = TimeDelta::try_days(i64::from(days)).and_then(|length| now.checked_sub_signed(length));
                from.ok_or_else(|| too_early(&format!("{days} days ago")))?.trunc_subsecs(0)
            }
        };
        if from > now {
            return Err(format!("from {} lies in the future; it is {} now", Time(from), Time(now.trunc_subsecs(0))));
        }
        if from.year() < FIRST_YEAR {
            return Err(too_early(&Time(from).to_string()));
        }
        Ok(from)
    }
}

/// What the asker of something that can be granted should know: where the exchange's own history
/// is shorter than what is wanted.
pub fn notes(new: &NewSymbol, now: DateTime<Utc>) -> Vec<String> {
    let Ok(venue) = registry::find(&new.exchange).map(|row| row.capabilities) else { return Vec::new() };
    if new.candle_source == CandleSource::Trades {
        return trades_note(venue).into_iter().collect();
    }
    new.timeframes.iter().filter_map(|&timeframe| depth_note(venue, timeframe, new.backfill_from, now)).collect()
}

fn too_early(from: &str) -> String {
    format!("{from} is before {FIRST_YEAR}; no exchange has candles of that time")
}

fn yes_or_no(column: &str, text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("{column} {text:?} is neither true nor false")),
    }
}

/// All columns a request may have.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS_OF_LIST.iter().copied().chain([BACKFILL_DAYS])
}

/// Words on a column that does not exist.
pub fn unknown_column(column: &str) -> String {
    let likeness = |name: &&str| strsim::jaro_winkler(name, &column.to_lowercase());
    let nearest = columns().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.8);
    match nearest {
        Some(nearest) => format!("unknown column {column:?}, did you mean {nearest}?"),
        None => format!("unknown column {column:?}; valid: {}", columns().collect::<Vec<_>>().join(" ")),
    }
}

/// The forms that no market of the exchange can have are refused; whether it has the market is
/// not known here.
fn check_symbol(text: &str, venue: Option<&Capabilities>) -> Result<Symbol, String> {
    let symbol: Symbol = text.parse().map_err(|error: crate::market::symbol::SymbolError| error.to_string())?;
    // Some listed names mix their cases (TSLAx/USD), but none is in lower case alone.
    if text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase) {
        return Err(format!("symbol {text:?} is in lower case; did you mean {}?", text.to_uppercase()));
    }
    if symbol.quote() == Some(symbol.base()) {
        return Err(format!("symbol {text:?} trades a currency against itself"));
    }
    match venue {
        // Only markets with sessions have tickers; all others trade pairs.
        Some(venue) if !venue.has_sessions && symbol.quote().is_none() => {
            let pair = text.replacen(['-', '_'], "/", 1);
            let pair = pair.parse::<Symbol>().ok().filter(|pair| pair.quote().is_some());
            let hint = pair.map_or_else(String::new, |pair| format!(" did you mean {pair}?"));
            Err(format!("symbol {text:?} is no pair; {} has markets like BTC/USD.{hint}", venue.name))
        }
        _ => Ok(symbol),
    }
}

fn check_timeframes(text: &str, venue: Option<&Capabilities>, keep: &mut impl FnMut(String)) -> Vec<Timeframe> {
    let mut timeframes = Vec::new();
    for word in text.split([',', ';', ' ']).filter(|word| !word.is_empty()) {
        match (word.parse::<Timeframe>(), venue) {
            (Err(error), _) => keep(error.to_string()),
            (Ok(timeframe), Some(venue)) if venue.timeframe(timeframe).is_none() => {
                let valid = venue.timeframes.iter().map(|row| row.timeframe.as_str()).collect::<Vec<_>>();
                keep(format!("{} has no candles of {timeframe}; valid: {}", venue.id, valid.join(" ")));
            }
            (Ok(timeframe), _) => timeframes.push(timeframe),
        }
    }
    if text.split([',', ';', ' ']).all(str::is_empty) {
        keep("timeframes are empty; write 1m or 1m,1h".to_owned());
    }
    timeframes.sort();
    timeframes.dedup();
    timeframes
}

/// Says when the exchange's own history is shorter than what is wanted.
fn depth_note(venue: &Capabilities, timeframe: Timeframe, from: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    let reach = match venue.timeframe(timeframe)?.depth {
        Depth::Full => return None,
        Depth::NewestRows(rows) => timeframe.nominal() * rows,
        Depth::Age(age) => age,
    };
    let reach = now.checked_sub_signed(TimeDelta::from_std(reach).ok()?)?.trunc_subsecs(0);
    let beyond = if venue.builds_old_candles() {
        "what is older is built from its trades, which takes longer"
    } else {
        "`candlewick gaps` shows what it does not have"
    };
    (from < reach).then(|| format!("{} serves {timeframe} only back to about {}; {beyond}", venue.id, Time(reach)))
}

/// Says when candles that are built from trades have no history.
fn trades_note(venue: &Capabilities) -> Option<String> {
    let has_history = venue.trade_rest.is_some_and(|rest| rest.history != TradeHistory::Recent);
    let id = venue.id;
    (!has_history).then(|| format!("{id} serves only its newest trades: candles begin when the collector does"))
}

#[cfg(test)]
mod tests;
