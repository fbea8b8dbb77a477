//! A command and its JSON form: `{"id": "7f1c", "command": "pause", "exchange": "kraken", "symbol": "BTC/USD"}`.
//!
//! Reading is strict: a key nobody knows is a fault, because a misspelt `backfil_days` would
//! otherwise be a command that does less than was asked. Every fault says what would be right.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::reply::{Refusal, RefusalKind, Reply};
use super::wanted;
use super::when::Time;
use super::wish::Request;
use crate::store::{CandleSource, NewSymbol};

/// Longest id, in bytes.
const ID_BYTES: usize = 128;

/// What somebody asks of a collector.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The asker's own: the same id is carried out once, however often it arrives.
    pub id: String,
    /// By which channel it came.
    pub asked_by: Asker,
    /// What is asked.
    pub action: Action,
}

/// The channel a command came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A message inside the process.
    Message,
    /// The HTTP interface.
    Http,
    /// The Redis stream.
    Redis,
    /// The table `commands` itself, where the command line puts it.
    Cli,
}

impl Asker {
    /// The word in the table `commands`.
    pub fn as_str(self) -> &'static str {
        match self {
            Asker::Message => "message",
            Asker::Http => "http",
            Asker::Redis => "redis",
            Asker::Cli => "cli",
        }
    }
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Want a symbol, or want more of one that is wanted.
    AddSymbol(AddSymbol),
    /// Stop wanting a symbol; its candles stay.
    RemoveSymbol(SymbolName),
    /// Stop work on a symbol; it stays wanted.
    Pause(SymbolName),
    /// Go on with a paused symbol, or try a rejected one again.
    Resume(SymbolName),
    /// Want more history of a wanted symbol.
    Backfill(Backfill),
    /// Compare what is stored with the exchange, and put right what differs where that is asked.
    Audit(Audit),
    /// Tell the state of the components.
    Status(StatusQuery),
    /// Stop the collector in order.
    Shutdown,
}

/// See [`Action::AddSymbol`]; the same as the options of `candlewick symbols add`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddSymbol {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: String,
    /// `"1m,1h"` or `["1m", "1h"]`; `1m` when absent.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub timeframes: Option<String>,
    /// Days of history; 1 when absent.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub backfill_days: Option<String>,
    /// Everything since this time, instead of days.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Keep its trades too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trades: bool,
    /// `venue` or `trades`; `venue` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candle_source: Option<String>,
    /// The ticker and nothing else.
    #[serde(default, skip_serializing_if = "is_false")]
    pub only_ticker: bool,
}

/// A symbol of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolName {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: String,
}

/// See [`Action::Backfill`]: one of `from` and `backfill_days`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: String,
    /// Everything since this time.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Days of history.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub backfill_days: Option<String>,
}

/// See [`Action::Audit`]. Without exchange and symbol all series are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Only this exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// Only this symbol of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Only these: `"1m,1h"` or `["1m", "1h"]`.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub timeframes: Option<String>,
    /// From this time on; all that is wanted when absent.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Up to this time; now when absent.
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Put right what differs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub repair: bool,
}

/// See [`Action::Status`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusQuery {
    /// Only this component: `kraken:BTC/USD`, `kraken`, `ohlcv_daemon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
}

/// Nothing to say besides the name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl AddSymbol {
    /// The same in the words that are checked.
    pub fn to_request(&self) -> Request {
        Request {
            exchange: self.exchange.clone(),
            symbol: self.symbol.clone(),
            timeframes: self.timeframes.clone(),
            backfill_days: self.backfill_days.clone(),
            from: self.from.clone(),
            trades: self.trades,
            candle_source: self.candle_source.clone(),
            only_ticker: self.only_ticker,
            is_paused: false,
        }
    }
}

impl From<&NewSymbol> for AddSymbol {
    fn from(new: &NewSymbol) -> AddSymbol {
        let timeframes = (!new.timeframes.is_empty()).then(|| wanted::list(&new.timeframes));
        AddSymbol {
            exchange: new.exchange.clone(),
            symbol: new.symbol.to_string(),
            timeframes,
            backfill_days: None,
            from: Some(Time(new.backfill_from).to_string()),
            trades: new.collect_trades,
            candle_source: (new.candle_source == CandleSource::Trades).then(|| "trades".to_owned()),
            only_ticker: new.only_ticker,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A text, a number or a list of texts, as one text: programs write what comes naturally to them.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Ok(Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")))
        }
        other => Err(D::Error::custom(format!("expected a text, a number or a list of texts, is {other}"))),
    }
}

/// The names of all commands.
pub const NAMES: [&str; 8] =
    ["add_symbol", "remove_symbol", "pause", "resume", "backfill", "audit", "status", "shutdown"];

impl Action {
    /// Its name in JSON and in the table `commands`.
    pub fn name(&self) -> &'static str {
        match self {
            Action::AddSymbol(_) => "add_symbol",
            Action::RemoveSymbol(_) => "remove_symbol",
            Action::Pause(_) => "pause",
            Action::Resume(_) => "resume",
            Action::Backfill(_) => "backfill",
            Action::Audit(_) => "audit",
            Action::Status(_) => "status",
            Action::Shutdown => "shutdown",
        }
    }

    /// Reads the action of a name from the other keys of its object.
    fn read(name: &str, keys: Map<String, Value>) -> Result<Action, String> {
        fn of<T: DeserializeOwned>(keys: Map<String, Value>) -> Result<T, String> {
            serde_json::from_value(Value::Object(keys)).map_err(|error| error.to_string())
        }
        match name {
            "add_symbol" => of(keys).map(Action::AddSymbol),
            "remove_symbol" => of(keys).map(Action::RemoveSymbol),
            "pause" => of(keys).map(Action::Pause),
            "resume" => of(keys).map(Action::Resume),
            "backfill" => of(keys).map(Action::Backfill),
            "audit" => of(keys).map(Action::Audit),
            "status" => of(keys).map(Action::Status),
            "shutdown" => of::<Nothing>(keys).map(|Nothing {}| Action::Shutdown),
            other => Err(unknown(other)),
        }
    }

    fn keys(&self) -> Value {
        let keys = match self {
            Action::AddSymbol(keys) => serde_json::to_value(keys),
            Action::RemoveSymbol(keys) | Action::Pause(keys) | Action::Resume(keys) => serde_json::to_value(keys),
            Action::Backfill(keys) => serde_json::to_value(keys),
            Action::Audit(keys) => serde_json::to_value(keys),
            Action::Status(keys) => serde_json::to_value(keys),
            Action::Shutdown => serde_json::to_value(Nothing {}),
        };
        keys.expect("texts and flags are JSON")
    }
}

fn unknown(name: &str) -> String {
    let likeness = |known: &&str| strsim::jaro_winkler(known, &name.to_lowercase());
    let nearest = NAMES.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|n| likeness(n) > 0.8);
    let hint = nearest.map_or_else(String::new, |nearest| format!(" did you mean {nearest}?"));
    format!("unknown command {name:?};{hint} valid: {}", NAMES.join(" "))
}

impl Command {
    /// A command of somebody inside the process.
    pub fn new(id: impl Into<String>, action: Action) -> Command {
        Command { id: id.into(), asked_by: Asker::Message, action }
    }

    /// Reads a command.
    ///
    /// # Errors
    /// The reply to give: what is wrong, and what would be right; with the id where there is one.
    pub fn from_json(text: &str, asked_by: Asker) -> Result<Command, Box<Reply>> {
        let mut found = (None, None);
        read(text, &mut found).map(|(id, action)| Command { id, asked_by, action }).map_err(|message| {
            let (id, name) = found;
            Box::new(Reply::refused(id, name, Refusal { kind: RefusalKind::Malformed, message }))
        })
    }

    /// The command in the form that [`Command::from_json`] reads.
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        object.insert("id".to_owned(), Value::String(self.id.clone()));
        object.insert("command".to_owned(), Value::String(self.action.name().to_owned()));
        if let Value::Object(keys) = self.action.keys() {
            object.extend(keys);
        }
        Value::Object(object).to_string()
    }
}

/// Reads id and action; what could be found of id and name on the way is left in `found`.
fn read(text: &str, found: &mut (Option<String>, Option<String>)) -> Result<(String, Action), String> {
    const EXAMPLE: &str =
        r#"{"id": "1", "command": "add_symbol", "exchange": "kraken", "symbol": "BTC/USD", "timeframes": "1m,1h"}"#;
    let mut keys = match serde_json::from_str(text) {
        Ok(Value::Object(keys)) => keys,
        Ok(_) => return Err(format!("a command is a JSON object, such as {EXAMPLE}")),
        Err(error) => return Err(format!("no JSON ({error}); a command is an object, such as {EXAMPLE}")),
    };
    let id = match keys.remove("id") {
        Some(Value::String(id)) => Some(id),
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(other) => return Err(format!("id must be a text, is {other}")),
        None => None,
    };
    found.0.clone_from(&id);
    let name = match keys.remove("command") {
        Some(Value::String(name)) => name,
        Some(other) => return Err(format!("command must be one of {}, is {other}", NAMES.join(" "))),
        None => return Err(format!("command is missing; valid: {}", NAMES.join(" "))),
    };
    found.1 = Some(name.clone());
    let id = id.ok_or("id is missing; write a text of your own that no other command has")?;
    check_id(&id)?;
    let action = Action::read(&name, keys)?;
    Ok((id, action))
}

/// Refuses ids that could not be kept or found again.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > ID_BYTES || id.chars().any(char::is_control) {
        return Err(format!("id must be a text of 1 to {ID_BYTES} bytes without control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
