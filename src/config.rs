//! The configuration file: how the collector runs. *What* it collects is in the database.
//!
//! Every setting has a default, and `config/candlewick.toml` shows them all: an empty file means
//! the same as none. Loading reports every fault at once, each with the path of its setting.

mod duration;
mod reading;
mod retention;
mod section;
mod web;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Table;

use crate::exchange::registry;
use crate::mirror;
pub use crate::store::ExchangeMode;
pub use crate::store::postgres::Timescale;
use crate::supervise::connections::{DeafPolicy, RotationPolicy};
use crate::supervise::policy::{ReprobePolicy, RestartPolicy};
use crate::telemetry::Logging;
use crate::transport::net::NetOptions;

pub use duration::{format_duration, parse_duration};
pub use retention::RetentionConfig;
pub use section::Fault;
use section::Section;
pub use web::{Secret, WebConfig};

/// How the collector runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where candles are kept: `sqlite://path` or `postgres://user@host/database`.
    pub database: String,
    /// How exchanges are reached.
    pub transport: NetOptions,
    /// Deviations of single exchanges, by id.
    pub exchanges: BTreeMap<String, ExchangeConfig>,
    /// Restart policies.
    pub restart: RestartPolicies,
    /// How a venue's stream is tried again while its symbols are polled.
    pub reprobe: ReprobePolicy,
    /// When a connection is replaced before its venue ends it.
    pub rotation: RotationPolicy,
    /// When a silent stream is taken for deaf.
    pub deaf: DeafPolicy,
    /// How the writer batches.
    pub writer: WriterConfig,
    /// What waits while a server database is away.
    pub spool: SpoolConfig,
    /// How long what is kept.
    pub retention: RetentionConfig,
    /// How TimescaleDB keeps candles and trades, where it is.
    pub timescale: Timescale,
    /// Status reports.
    pub status: StatusConfig,
    /// What is mirrored to Redis.
    pub redis: mirror::Options,
    /// The HTTP interface.
    pub web: WebConfig,
    /// The ordered stop.
    pub shutdown: ShutdownConfig,
    /// Logging.
    pub log: Logging,
}

/// What one exchange does otherwise. `None` leaves the database and the venue's own values alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExchangeConfig {
    /// False stops all its work; its data stays.
    pub enabled: Option<bool>,
    /// Stream or poll.
    pub mode: Option<ExchangeMode>,
    /// REST base without a trailing slash.
    pub rest_url: Option<String>,
    /// WebSocket base without a trailing slash.
    pub stream_url: Option<String>,
    /// `User-Agent` of REST calls.
    pub user_agent: Option<String>,
    /// How often tickers are read, instead of [`TICKER_EVERY`].
    pub ticker_every: Option<Duration>,
}

/// How often tickers are read.
pub const TICKER_EVERY: Duration = Duration::from_secs(10);

/// The restart policy of each kind of child.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartPolicies {
    /// One symbol.
    pub symbol: RestartPolicy,
    /// One exchange.
    pub exchange: RestartPolicy,
    /// One WebSocket connection.
    pub stream: RestartPolicy,
    /// The probe of a venue that is down.
    pub probe: RestartPolicy,
    /// The writer.
    pub writer: RestartPolicy,
}

/// How the writer batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterConfig {
    /// Rows that make a batch full.
    pub batch_rows: usize,
    /// How long the first row of a batch waits for company.
    pub batch_age: Duration,
    /// Messages that may wait for the writer before senders wait.
    pub queue_messages: usize,
}

/// What waits while a server database is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Where the files lie, one for each database.
    pub folder: PathBuf,
    /// How much may wait before sources have to.
    pub max_bytes: usize,
    /// How long a write may take before it is spooled.
    pub patience: Duration,
}

/// Status reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusConfig {
    /// How often an unchanged component is reported; changes and errors go out at once.
    pub interval: Duration,
}

/// The ordered stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long sources and writer have to hand over what they hold.
    pub deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            database: "sqlite://candlewick.db".to_owned(),
            transport: NetOptions::default(),
            exchanges: BTreeMap::new(),
            restart: RestartPolicies {
                symbol: RestartPolicy::SYMBOL,
                exchange: RestartPolicy::EXCHANGE,
                stream: RestartPolicy::STREAM,
                probe: RestartPolicy::PROBE,
                writer: RestartPolicy::WRITER,
            },
            reprobe: ReprobePolicy::default(),
            rotation: RotationPolicy::default(),
            deaf: DeafPolicy::default(),
            writer: WriterConfig { batch_rows: 5000, batch_age: Duration::from_millis(20), queue_messages: 256 },
            spool: SpoolConfig {
                folder: PathBuf::from("."),
                max_bytes: 1_073_741_824,
                patience: Duration::from_secs(5),
            },
            retention: RetentionConfig::default(),
            timescale: Timescale::default(),
            status: StatusConfig { interval: Duration::from_secs(30) },
            redis: mirror::Options::default(),
            web: WebConfig::default(),
            shutdown: ShutdownConfig { deadline: Duration::from_secs(10) },
            log: Logging::default(),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The faults; at least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.faults.len() == 1 { "" } else { "s" };
        write!(f, "the configuration has {} fault{plural}", self.faults.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// All faults of the file, or the one that it cannot be read.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let fault = Fault { path: path.display().to_string(), message: format!("cannot be read: {error}") };
            ConfigError { faults: vec![fault] }
        })?;
        Config::parse(&text)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// All faults of the text.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let ids = registry::EXCHANGES.iter().map(|row| row.capabilities.id).collect::<Vec<_>>();
        Config::parse_for(text, &ids)
    }

    /// Reads a text that may name the exchanges of `ids`.
    fn parse_for(text: &str, ids: &[&str]) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let mut faults = syntax_faults(text);
        if faults.is_empty() {
            match text.parse::<Table>() {
                Ok(table) => Section::visit("", &table, &mut faults, |section| config.read(section, ids)),
                Err(error) => faults.push(Fault { path: "the text".to_owned(), message: error.to_string() }),
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(ConfigError { faults }) }
    }

    /// How often tickers of an exchange are read.
    pub fn ticker_every(&self, exchange: &str) -> Duration {
        self.exchanges.get(exchange).and_then(|exchange| exchange.ticker_every).unwrap_or(TICKER_EVERY)
    }
}

/// Where a text is no TOML at all.
fn syntax_faults(text: &str) -> Vec<Fault> {
    let (_, errors) = toml::de::DeTable::parse_recoverable(text);
    let position = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    };
    let mut places = errors
        .iter()
        .map(|error| (position(error.span().map_or(0, |span| span.start)), error.message()))
        .collect::<Vec<_>>();
    // One slip makes the rest of its line wrong too.
    places.dedup_by_key(|((line, _), _)| *line);
    let fault = |((line, column), message): ((usize, usize), &str)| Fault {
        path: format!("line {line}, column {column}"),
        message: message.to_owned(),
    };
    places.into_iter().map(fault).collect()
}

#[cfg(test)]
mod tests;
