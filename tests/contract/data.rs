//! `contract.toml`: what the suite must be told of a venue.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candlewick::exchange::{Capabilities, Instrument, registry};
use candlewick::market::{Symbol, Timeframe};
use chrono::{DateTime, Utc};
use serde::Deserialize;

/// The name of the file, which is no fixture itself.
pub const FILE: &str = "contract.toml";

/// See the module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// A market that does not exist.
    pub unknown: Unknown,
    /// How rows of candles are printed.
    pub row_order: Order,
    /// Every file of the folder, decoded.
    #[serde(default, rename = "fixture")]
    pub fixtures: Vec<Fixture>,
    /// Answers that refuse, and what they mean.
    #[serde(default, rename = "error")]
    pub errors: Vec<Refusal>,
}

/// A market that does not exist, and what a stream does about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    pub symbol: Symbol,
    /// Its id in calls.
    pub id: String,
    /// Its id in frames, where that is another.
    pub stream_id: Option<String>,
    /// The answer of a stream; none where there is no stream.
    pub stream: Option<Answer>,
}

impl Unknown {
    /// A market that looks like any other.
    pub fn market(&self) -> Instrument {
        let stream_id = self.stream_id.as_ref().unwrap_or(&self.id);
        Instrument::new(self.symbol.clone(), self.id.clone(), stream_id.clone())
    }
}

/// What happens to a subscription of a market that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// A frame says no.
    Rejected,
    /// The connection ends.
    Closed,
    /// It is accepted, and nothing follows.
    Silent,
}

/// Which row comes first in a page of candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The oldest.
    Ascending,
    /// The newest.
    Descending,
}

/// A file of the folder, how it is to be read, and what it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    pub file: String,
    pub kind: Kind,
    /// The market of a body.
    pub symbol: Option<Symbol>,
    /// Its id in calls, where the dialect reads it.
    #[serde(default)]
    pub id: String,
    #[serde(default = "minute")]
    pub timeframe: Timeframe,
    /// When the request left; decides which candles are final.
    pub now: Option<DateTime<Utc>>,
    /// Where trades were asked for from; the newest ones unless it is told.
    pub from: Option<DateTime<Utc>>,
    /// What it says, one line for each event.
    pub says: Vec<String>,
}

fn minute() -> Timeframe {
    Timeframe::M1
}

/// What a fixture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Candles,
    Trades,
    Instruments,
    Tickers,
    /// Frames of one connection, one on each line.
    Stream,
}

/// An answer that refuses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub status: u16,
    /// The body, unless it is a fixture.
    pub body: Option<String>,
    /// The fixture that is the body.
    pub file: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What it answers; candles and trades unless it is told.
    #[serde(default)]
    pub of: Option<Kind>,
    /// Its class, with the wait in seconds where there is one: `rate limited, 7 s`.
    pub means: String,
}

/// The fixtures of a venue.
pub fn folder(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(id)
}

impl Contract {
    /// That of a venue.
    pub fn of(id: &str) -> Contract {
        let path = folder(id).join(FILE);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// Every venue with its contract.
pub fn contracts() -> Vec<(&'static Capabilities, Contract)> {
    let all: Vec<_> =
        registry::EXCHANGES.iter().map(|row| (row.capabilities, Contract::of(row.capabilities.id))).collect();
    assert!(!all.is_empty());
    all
}

/// The files of a venue's folder by name, the contract left out.
pub fn files(id: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = folder(id);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut files: BTreeMap<_, _> = paths.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect();
    files.remove(FILE);
    assert!(!files.is_empty(), "{id} has no fixtures");
    files
}
