//! What the tables and the config file want, compared with what runs; only what changed is touched.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Supervisor;
use crate::actors::messages::{Configure, Prune, Refresh, Stop};
use crate::exchange::{Endpoints, registry};
use crate::store::{ExchangeMode, ExchangeRow, StoreError, SymbolRow};

/// How often the tables are looked at (wall time).
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is said that they cannot be read.
const SAID_EVERY: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Reads the tables when they have changed, and changes only what changed.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        if self.is_looking || self.is_stopping {
            return;
        }
        self.is_looking = true;
        let (store, seen) = (self.store.clone(), self.seen_version);
        let looking = async move {
            let version = store.settings_version().await?;
            if seen == Some(version) {
                return Ok(None);
            }
            Ok::<_, StoreError>(Some((version, store.exchanges().await?, store.symbols().await?)))
        };
        ctx.spawn(looking.into_actor(self).map(|result, actor, ctx| {
            actor.is_looking = false;
            match result {
                Ok(Some((version, exchanges, symbols))) => {
                    actor.seen_version = Some(version);
                    actor.settings(exchanges, symbols, ctx);
                }
                Ok(None) => {}
                Err(error) if actor.said_unread.is_none_or(|said| said.elapsed() >= SAID_EVERY) => {
                    warn!(%error, "the settings cannot be read; trying again");
                    actor.said_unread = Some(Instant::now());
                }
                Err(_) => {}
            }
        }));
    }

    fn settings(&mut self, exchanges: Vec<ExchangeRow>, mut symbols: Vec<SymbolRow>, ctx: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        if let Some((exchange, symbol)) = &self.only {
            symbols.retain(|row| row.exchange == *exchange && row.symbol == *symbol);
        }
        if self.only_audits {
            symbols.retain(|row| !row.only_ticker);
        }
        if symbols.is_empty() && self.only.is_none() {
            info!(
                "nothing to collect yet; add a symbol with: candlewick symbols add kraken BTC/USD -t 1m,1h --backfill-days 1"
            );
        }
        let mut next: BTreeMap<String, (ExchangeRow, Vec<SymbolRow>)> = BTreeMap::new();
        for mut row in exchanges {
            self.apply_config(&mut row);
            if row.enabled {
                next.insert(row.name.clone(), (row, Vec::new()));
            }
        }
        for symbol in symbols {
            if let Some((_, rows)) = next.get_mut(&symbol.exchange) {
                rows.push(symbol);
            }
        }
        next.retain(|_, (_, symbols)| !symbols.is_empty());
        let gone: Vec<String> = self.wanted.keys().filter(|name| !next.contains_key(*name)).cloned().collect();
        for name in gone {
            self.drop_exchange(name, ctx);
        }
        for (name, (row, symbols)) in next {
            let before = self.wanted.insert(name.clone(), (row.clone(), symbols.clone()));
            let moved =
                before.is_some_and(|(old, _)| (&old.rest_url, &old.stream_url) != (&row.rest_url, &row.stream_url));
            match self.exchanges.addr(&name) {
                // New addresses need a new dialect: this life ends, and the next one has them.
                Some(addr) if moved => addr.do_send(Stop),
                Some(addr) => addr.do_send(Configure { exchange: row, symbols }),
                None if !self.exchanges.knows(&name) => self.start_exchange(&name, ctx),
                None => {}
            }
        }
        // Somebody may have cut something.
        self.retentions.living().for_each(|(_, addr)| addr.do_send(Prune));
        self.report();
    }

    /// The config file overrides the table.
    fn apply_config(&self, row: &mut ExchangeRow) {
        if let Some(config) = self.config.exchanges.get(&row.name) {
            row.enabled = config.enabled.unwrap_or(row.enabled);
            row.rest_url = config.rest_url.clone().or(row.rest_url.take());
            row.stream_url = config.stream_url.clone().or(row.stream_url.take());
            row.mode = config.mode.unwrap_or(row.mode);
        }
        if self.only_audits {
            row.mode = ExchangeMode::Poll;
        }
    }

    pub(super) fn endpoints(&self, row: &ExchangeRow, known: &registry::Row) -> Endpoints {
        let mut endpoints = match &self.simulator {
            Some(base) => known.simulated_endpoints(base),
            None => known.public_endpoints(),
        };
        if self.simulator.is_none() {
            let trimmed = |url: &String| url.trim_end_matches('/').to_owned();
            endpoints.rest = row.rest_url.as_ref().map_or(endpoints.rest, trimmed);
            endpoints.stream = row.stream_url.as_ref().map_or(endpoints.stream, trimmed);
        }
        if let Some(agent) = self.config.exchanges.get(&row.name).and_then(|config| config.user_agent.clone()) {
            endpoints.user_agent = agent;
        }
        endpoints
    }
}

impl Handler<Refresh> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Refresh, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}
