//! Gathers what components report and passes it on: to the board in memory at once, to the sinks
//! throttled to one write per component and interval. News goes out at once, but never more than
//! one write per second in all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tracing::warn;

use super::messages::{Forget, Report, Stop};
use crate::clock::Clock;
use crate::config::StatusConfig;
use crate::status::{Board, ComponentStatus, Health, Phase};
use crate::store::{StatusRow, Store};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;

/// Shortest wall-clock time between two writes to the sinks.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What the actor is built from.
pub struct StatusSetup {
    /// The board it fills.
    pub board: Board,
    /// The sink.
    pub store: Arc<dyn Store>,
    /// Our clock.
    pub clock: Clock,
    /// How often an unchanged component is written.
    pub config: StatusConfig,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct StatusActor {
    setup: StatusSetup,
    components: BTreeMap<String, Written>,
    /// Components with news that is not written yet.
    news: BTreeSet<String>,
    removed: Vec<String>,
    is_writing: bool,
    is_stopping: bool,
}

/// When a component was first seen, last changed and last written.
struct Written {
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    heartbeat: DateTime<Utc>,
    written_at: Option<tokio::time::Instant>,
}

impl StatusActor {
    /// An actor that has heard of nobody.
    pub fn new(setup: StatusSetup) -> StatusActor {
        StatusActor {
            setup,
            components: BTreeMap::new(),
            news: BTreeSet::new(),
            removed: Vec::new(),
            is_writing: false,
            is_stopping: false,
        }
    }

    /// Writes what is due: news, and whoever has not been written for an interval.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing {
            return;
        }
        let interval = self.setup.config.interval;
        let due: Vec<String> = self
            .components
            .iter()
            .filter(|(name, written)| {
                self.news.contains(*name) || written.written_at.is_none_or(|at| at.elapsed() >= interval)
            })
            .map(|(name, _)| name.clone())
            .collect();
        let rows: Vec<StatusRow> = due.iter().filter_map(|name| self.row(name)).collect();
        let removed = std::mem::take(&mut self.removed);
        if rows.is_empty() && removed.is_empty() {
            if self.is_stopping {
                ctx.stop();
            }
            return;
        }
        self.is_writing = true;
        let now = tokio::time::Instant::now();
        for name in &due {
            self.news.remove(name);
            if let Some(written) = self.components.get_mut(name) {
                written.written_at = Some(now);
            }
        }
        let store = self.setup.store.clone();
        let writing = async move {
            store.put_statuses(&rows).await?;
            if removed.is_empty() { Ok(()) } else { store.remove_statuses(&removed).await }
        };
        ctx.spawn(writing.into_actor(self).map(|result, actor, ctx| {
            actor.is_writing = false;
            if let Err(error) = result {
                // The next report replaces what was lost; the writer speaks of the store's troubles.
                warn!(%error, "status not written");
            }
            if actor.is_stopping {
                // What was said while this write was under way goes out with a last one.
                actor.write(ctx);
            }
        }));
    }

    fn row(&self, name: &str) -> Option<StatusRow> {
        let status = self.setup.board.get(name)?;
        let written = self.components.get(name)?;
        Some(StatusRow {
            component: status.component,
            exchange: status.exchange,
            symbol: status.symbol,
            status: status.health.as_str().to_owned(),
            mode: status.mode.map(|mode| mode.as_str().to_owned()),
            phase: status.phase.as_str().to_owned(),
            message: status.message,
            last_candle: status.last_candle,
            lag_ms: status.lag_ms,
            restarts: i64::try_from(status.restarts).unwrap_or(i64::MAX),
            coverage_percent: status.coverage_percent,
            created_at: written.created_at,
            updated_at: written.updated_at,
            heartbeat: written.heartbeat,
        })
    }

    fn take(&mut self, status: ComponentStatus) {
        let now = self.setup.clock.now();
        let name = status.component.clone();
        let before = self.setup.board.put(status.clone());
        let is_news = before.as_ref().is_none_or(|before| status.is_news_after(before));
        let written = self.components.entry(name.clone()).or_insert(Written {
            created_at: now,
            updated_at: now,
            heartbeat: now,
            written_at: None,
        });
        written.heartbeat = now;
        if before.is_none_or(|before| before != status) {
            written.updated_at = now;
        }
        if is_news {
            self.news.insert(name);
        }
    }
}

impl Actor for StatusActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(WRITE_EVERY, |actor, ctx| actor.write(ctx));
    }
}

impl Handler<Report> for StatusActor {
    type Result = ();

    fn handle(&mut self, report: Report, _: &mut Context<Self>) {
        self.take(report.0);
    }
}

impl Handler<Forget> for StatusActor {
    type Result = ();

    fn handle(&mut self, message: Forget, _: &mut Context<Self>) {
        self.setup.board.remove(&message.0);
        self.components.remove(&message.0);
        self.news.remove(&message.0);
        self.removed.push(message.0);
    }
}

impl Handler<Stop> for StatusActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        for mut status in self.setup.board.snapshot() {
            (status.health, status.phase) = (Health::Stopped, Phase::Stopped);
            self.take(status);
        }
        self.is_stopping = true;
        self.write(ctx);
    }
}
