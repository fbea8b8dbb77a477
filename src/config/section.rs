//! Reading settings out of a TOML table, collecting every fault instead of stopping at the first.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use toml::{Table, Value};
use tracing_subscriber::filter::LevelFilter;

use super::duration::parse_duration;
use crate::supervise::policy::Exhausted;
use crate::telemetry::{self, LogFormat};
use crate::transport::net::Proxy;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting (`restart.symbol.intensity`), or `line 3, column 7` where the text is no TOML.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A value a setting can have.
pub(super) trait Setting: Sized {
    /// Reads it, or says what was expected.
    fn read(value: &Value) -> Result<Self, String>;
}

/// A table being read. Every key asked for is remembered, so that what was never asked for is
/// known to be unknown.
pub(super) struct Section<'a> {
    path: String,
    table: &'a Table,
    known: Vec<&'static str>,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Section<'a> {
    /// Reads a whole table through `read`, then reports the keys nobody asked for.
    pub(super) fn visit(path: &str, table: &'a Table, faults: &'a mut Vec<Fault>, read: impl FnOnce(&mut Section<'_>)) {
        let mut section = Section { path: path.to_owned(), table, known: Vec::new(), faults };
        read(&mut section);
        for key in table.keys().filter(|key| !section.known.contains(&key.as_str())) {
            let message = match nearest(key, section.known.iter().copied()) {
                Some(nearest) => format!("unknown key, did you mean {nearest}?"),
                None => format!("unknown key, valid here: {}", section.known.join(", ")),
            };
            section.faults.push(Fault { path: join(path, key), message });
        }
    }

    /// Sets `target` where the key is present; a bad value is a fault and leaves it as it is.
    pub(super) fn read<T: Setting>(&mut self, key: &'static str, target: &mut T) {
        self.known.push(key);
        match self.table.get(key).map(T::read) {
            None => {}
            Some(Ok(value)) => *target = value,
            Some(Err(message)) => self.fault(key, message),
        }
    }

    /// Like [`Section::read`] for a number of at least 1.
    pub(super) fn read_count<T: Setting + PartialEq + From<u8>>(&mut self, key: &'static str, target: &mut T) {
        let mut number = None;
        self.read(key, &mut number);
        match number {
            Some(number) if number == T::from(0) => self.fault(key, "must be at least 1, is 0".to_owned()),
            Some(number) => *target = number,
            None => {}
        }
    }

    /// Like [`Section::read`] for a duration longer than nothing.
    pub(super) fn read_wait(&mut self, key: &'static str, target: &mut Duration) {
        self.read(key, target);
        if target.is_zero() {
            self.fault(key, "must be longer than 0s".to_owned());
        }
    }

    /// Reads a table inside this one.
    pub(super) fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>)) {
        self.known.push(key);
        match self.table.get(key) {
            None => {}
            Some(Value::Table(table)) => Section::visit(&join(&self.path, key), table, self.faults, read),
            Some(other) => self.fault(key, expected("a section", other)),
        }
    }

    /// Reads a table whose keys are names chosen by the user.
    pub(super) fn named<'b>(&mut self, key: &'static str, mut read: impl FnMut(&str, &'b Value, &mut Vec<Fault>))
    where
        'a: 'b,
    {
        self.known.push(key);
        match self.table.get(key) {
            None => {}
            Some(Value::Table(table)) => {
                for (name, value) in table {
                    read(name, value, self.faults);
                }
            }
            Some(other) => self.fault(key, expected("a section", other)),
        }
    }

    /// Records a fault of a key.
    pub(super) fn fault(&mut self, key: &str, message: String) {
        let path = join(&self.path, key);
        self.faults.push(Fault { path, message });
    }
}

/// A dotted path; keys that are not bare are quoted, as TOML writes them.
pub(super) fn join(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The candidate most like a misspelt word, if any is alike.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(candidate, &word.to_lowercase()), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.8)
        .map(|(_, candidate)| candidate)
}

/// `expected WHAT, is THIS`.
pub(super) fn expected(what: &str, value: &Value) -> String {
    match value {
        Value::Table(_) => format!("expected {what}, is a section"),
        Value::Array(_) => format!("expected {what}, is a list"),
        other => format!("expected {what}, is {other}"),
    }
}

fn text(what: &str, value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| expected(what, value))
}

/// A setting that is one of a few words.
pub(super) fn word<T: Copy>(words: &[(&str, T)], value: &Value) -> Result<T, String> {
    let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let list = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        expected(&format!("one of {list}"), value)
    })
}

impl Setting for bool {
    fn read(value: &Value) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| expected("true or false", value))
    }
}

fn whole<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    let number = value.as_integer().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| expected("a whole number", value))
}

impl Setting for u32 {
    fn read(value: &Value) -> Result<u32, String> {
        whole(value)
    }
}

impl Setting for usize {
    fn read(value: &Value) -> Result<usize, String> {
        whole(value)
    }
}

/// A part of one, from 0 to 1.
impl Setting for f64 {
    fn read(value: &Value) -> Result<f64, String> {
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        number.filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| expected("a number from 0 to 1", value))
    }
}

impl Setting for String {
    fn read(value: &Value) -> Result<String, String> {
        text("text", value)
    }
}

impl Setting for PathBuf {
    fn read(value: &Value) -> Result<PathBuf, String> {
        text("a file name", value).map(PathBuf::from)
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(value: &Value) -> Result<Option<T>, String> {
        T::read(value).map(Some)
    }
}

impl Setting for Duration {
    fn read(value: &Value) -> Result<Duration, String> {
        parse_duration(&text("a duration such as \"10s\", \"5m\" or \"1h30m\"", value)?)
    }
}

impl Setting for Exhausted {
    fn read(value: &Value) -> Result<Exhausted, String> {
        let what = "\"escalate\" or \"quarantine\" with a duration, such as \"quarantine 15m\"";
        let words = text(what, value)?;
        match words.split_whitespace().collect::<Vec<_>>()[..] {
            ["escalate"] => Ok(Exhausted::Escalate),
            ["quarantine", rest] => Ok(Exhausted::Quarantine(parse_duration(rest)?)),
            _ => Err(expected(what, value)),
        }
    }
}

impl Setting for LevelFilter {
    fn read(value: &Value) -> Result<LevelFilter, String> {
        value.as_str().and_then(telemetry::parse_level).ok_or_else(|| expected(telemetry::LEVELS, value))
    }
}

impl Setting for LogFormat {
    fn read(value: &Value) -> Result<LogFormat, String> {
        word(&[("text", LogFormat::Text), ("json", LogFormat::Json)], value)
    }
}

impl Setting for Proxy {
    fn read(value: &Value) -> Result<Proxy, String> {
        // The text may carry a password, so a bad one is not repeated.
        text("a proxy URL", value)?.parse().map_err(|error: crate::transport::net::SetupError| error.to_string())
    }
}
