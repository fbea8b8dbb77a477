//! How the sections of the file become settings.

use std::time::Duration;

use toml::Value;

use super::duration::format_duration;
use super::section::{self, Fault, Section, Setting, expected, nearest, word};
use super::{Config, ExchangeConfig, ExchangeMode, retention, web};
use crate::mirror;
use crate::store::{self, StoreError};
use crate::supervise::connections::DeafPolicy;
use crate::supervise::policy::RestartPolicy;
use crate::transport::net::NetOptions;

impl Config {
    /// Reads the whole file, which may name the exchanges of `ids`.
    pub(super) fn read(&mut self, section: &mut Section<'_>, ids: &[&str]) {
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
