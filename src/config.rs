//! The configuration file: how the collector runs. *What* it collects is in the database.
//!
//! Every setting has a default, and `config/candlewick.toml` shows them all: an empty file means
//! the same as none. Loading reports every fault at once, each with the path of its setting.

mod duration;
mod retention;
mod section;
mod web;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use crate::exchange::registry;
use crate::mirror;
pub use crate::store::ExchangeMode;
pub use crate::store::postgres::Timescale;
use crate::store::{self, StoreError};
use crate::supervise::connections::{DeafPolicy, RotationPolicy};
use crate::supervise::policy::{ReprobePolicy, RestartPolicy};
use crate::telemetry::Logging;
use crate::transport::net::NetOptions;

pub use duration::{format_duration, parse_duration};
pub use retention::RetentionConfig;
pub use section::Fault;
use section::{Section, Setting, expected, nearest, word};
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

    fn read(&mut self, section: &mut Section<'_>, ids: &[&str]) {
        read_url(section, "database", &["sqlite://", "postgres://", "postgresql://"], &mut self.database);
        if let Err(StoreError::Url { message, .. }) = store::check_url(&self.database)
            && self.database.starts_with("postgres")
        {
            section.fault("database", message);
        }
        section.section("transport", |section| read_transport(section, &mut self.transport));
        section.named("exchanges", |id, value, faults| {
            let path = section::join("exchanges", id);
            if !ids.contains(&id) {
                let message = match nearest(id, ids.iter().copied()) {
                    Some(nearest) => format!("unknown exchange, did you mean {nearest}?"),
                    None => format!("unknown exchange, known: {}", ids.join(", ")),
                };
                faults.push(Fault { path: path.clone(), message });
            }
            match value {
                Value::Table(table) => {
                    let exchange = self.exchanges.entry(id.to_owned()).or_default();
                    Section::visit(&path, table, faults, |section| read_exchange(section, exchange));
                }
                other => faults.push(Fault { path, message: expected("a section", other) }),
            }
        });
        section.section("restart", |section| {
            let restart = &mut self.restart;
            section.section("symbol", |section| read_restart(section, &mut restart.symbol));
            section.section("exchange", |section| read_restart(section, &mut restart.exchange));
            section.section("stream", |section| read_restart(section, &mut restart.stream));
            section.section("probe", |section| read_restart(section, &mut restart.probe));
            section.section("writer", |section| read_restart(section, &mut restart.writer));
        });
        section.section("reprobe", |section| {
            let reprobe = &mut self.reprobe;
            section.read_wait("first", &mut reprobe.first);
            section.read_wait("max", &mut reprobe.max);
            section.read("jitter", &mut reprobe.jitter);
            require_order(section, ("first", reprobe.first), ("max", reprobe.max));
        });
        section.section("rotation", |section| {
            section.read_wait("lead", &mut self.rotation.lead);
            section.read("jitter", &mut self.rotation.jitter);
            section.read_wait("patience", &mut self.rotation.patience);
        });
        section.section("deaf", |section| read_deaf(section, &mut self.deaf));
        section.section("writer", |section| {
            section.read_count("batch_rows", &mut self.writer.batch_rows);
            section.read_wait("batch_age", &mut self.writer.batch_age);
            section.read_count("queue_messages", &mut self.writer.queue_messages);
        });
        section.section("spool", |section| {
            section.read("folder", &mut self.spool.folder);
            section.read_count("max_bytes", &mut self.spool.max_bytes);
            section.read_wait("patience", &mut self.spool.patience);
        });
        section.section("retention", |section| retention::read(section, &mut self.retention));
        section.section("timescale", |section| {
            section.read_wait("chunk_interval", &mut self.timescale.chunk_interval);
            section.read_wait("compress_after", &mut self.timescale.compress_after);
        });
        section.section("status", |section| section.read_wait("interval", &mut self.status.interval));
        section.section("redis", |section| read_redis(section, &mut self.redis));
        section.section("web", |section| web::read(section, &mut self.web));
        section.section("shutdown", |section| section.read_wait("deadline", &mut self.shutdown.deadline));
        section.section("log", |section| {
            section.read("level", &mut self.log.level);
            section.read("format", &mut self.log.format);
            section.named("targets", |target, value, faults| match Setting::read(value) {
                Ok(level) => {
                    self.log.targets.insert(target.to_owned(), level);
                }
                Err(message) => faults.push(Fault { path: section::join("log.targets", target), message }),
            });
        });
    }
}

fn read_transport(section: &mut Section<'_>, options: &mut NetOptions) {
    section.read_wait("connect_timeout", &mut options.connect_timeout);
    section.read_wait("read_timeout", &mut options.read_timeout);
    section.read_wait("total_timeout", &mut options.total_timeout);
    section.read_count("max_body_bytes", &mut options.max_body_bytes);
    section.read_count("max_frame_bytes", &mut options.max_frame_bytes);
    section.read("proxy", &mut options.proxy);
    section.read("ca_file", &mut options.ca_file);
}

fn read_redis(section: &mut Section<'_>, options: &mut mirror::Options) {
    read_url(section, "url", &["redis://", "rediss://"], &mut options.url);
    section.read("ca_file", &mut options.ca_file);
    section.read("prefix", &mut options.prefix);
    section.read("cache_bars", &mut options.cache_bars);
    section.read_count("stream_length", &mut options.stream_length);
    section.read("forming", &mut options.forming);
}

fn read_exchange(section: &mut Section<'_>, exchange: &mut ExchangeConfig) {
    section.read("enabled", &mut exchange.enabled);
    section.read("mode", &mut exchange.mode);
    read_url(section, "rest_url", &["http://", "https://"], &mut exchange.rest_url);
    read_url(section, "stream_url", &["ws://", "wss://"], &mut exchange.stream_url);
    section.read("user_agent", &mut exchange.user_agent);
    section.read("ticker_every", &mut exchange.ticker_every);
    if exchange.ticker_every.is_some_and(|every| every.is_zero()) {
        section.fault("ticker_every", "must be longer than 0s".to_owned());
    }
    for url in [&mut exchange.rest_url, &mut exchange.stream_url].into_iter().flatten() {
        url.truncate(url.trim_end_matches('/').len());
    }
}

fn read_restart(section: &mut Section<'_>, policy: &mut RestartPolicy) {
    section.read_count("intensity", &mut policy.intensity);
    section.read_wait("period", &mut policy.period);
    section.read_wait("backoff_first", &mut policy.backoff_first);
    section.read_wait("backoff_max", &mut policy.backoff_max);
    section.read("jitter", &mut policy.jitter);
    section.read("exhausted", &mut policy.exhausted);
    require_order(section, ("backoff_first", policy.backoff_first), ("backoff_max", policy.backoff_max));
}

/// The bound must leave time to ask and to hear the answer.
const SHORTEST_DEAFNESS: Duration = Duration::from_secs(60);

fn read_deaf(section: &mut Section<'_>, deaf: &mut DeafPolicy) {
    section.read("within", &mut deaf.within);
    if deaf.within < SHORTEST_DEAFNESS {
        section.fault("within", format!("must be at least 1m, is {}", format_duration(deaf.within)));
    }
    section.read_wait("rest", &mut deaf.rest);
    section.read_wait("rest_max", &mut deaf.rest_max);
    require_order(section, ("rest", deaf.rest), ("rest_max", deaf.rest_max));
    section.read_count("symbols", &mut deaf.symbols);
    section.read("share", &mut deaf.share);
}

fn require_order(section: &mut Section<'_>, low: (&str, Duration), high: (&str, Duration)) {
    if low.1 > high.1 {
        let (low, high) = ((low.0, format_duration(low.1)), (high.0, format_duration(high.1)));
        section.fault(high.0, format!("must be at least {} ({}), is {}", low.0, low.1, high.1));
    }
}

/// Reads an address of one of the given kinds. Its text may hold a password, so a fault does not
/// repeat it.
fn read_url<T: Setting + Clone + Into<Option<String>>>(
    section: &mut Section<'_>,
    key: &'static str,
    schemes: &[&str],
    target: &mut T,
) {
    section.read(key, target);
    let text: Option<String> = target.clone().into();
    let is_good =
        text.is_none_or(|text| schemes.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme)));
    if !is_good {
        section.fault(key, format!("expected an address that begins with {}", schemes.join(" or ")));
    }
}

impl Setting for ExchangeMode {
    fn read(value: &Value) -> Result<ExchangeMode, String> {
        word(&[("auto", ExchangeMode::Auto), ("poll", ExchangeMode::Poll)], value)
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
