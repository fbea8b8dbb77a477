//! Gathers what components report and passes it on: to the board in memory at once, to the sinks
//! throttled to one write per component and interval. News goes out at once, but never more than
//! one write per second and sink. A sink that cannot be written is handed the same again, in its
//! newest form, and delays no other.

mod outlet;
mod store_sink;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use self::outlet::Outlet;
use super::messages::{Forget, Report, Stop};
use crate::clock::Clock;
use crate::config::StatusConfig;
use crate::status::sink::{SinkError, StatusSink};
use crate::status::{Board, ComponentStatus, Health, Phase};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;

pub use store_sink::StoreSink;

/// Shortest wall-clock time between two writes to a sink.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What the actor is built from.
pub struct StatusSetup {
    /// The board it fills.
    pub board: Board,
    /// Where statuses go.
    pub sinks: Vec<Arc<dyn StatusSink>>,
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
    outlets: Vec<Outlet>,
    is_stopping: bool,
}

impl StatusActor {
    /// An actor that writes what the board tells.
    pub fn new(setup: StatusSetup) -> StatusActor {
        let outlets = setup.sinks.iter().cloned().map(Outlet::new).collect();
        StatusActor { setup, outlets, is_stopping: false }
    }

    /// Writes to each sink what is due: news, and whoever has not been written for an interval.
    fn write(&mut self, ctx: &mut Context<Self>) {
        (0..self.outlets.len()).for_each(|index| self.write_to(index, ctx));
        if self.is_stopping && self.outlets.iter().all(Outlet::is_closed) {
            ctx.stop();
        }
    }

    fn write_to(&mut self, index: usize, ctx: &mut Context<Self>) {
        let interval = self.setup.config.interval;
        let Some(due) = self.outlets[index].take_due(&self.setup.board, interval) else { return };
        let sink = self.outlets[index].sink();
        if due.records.is_empty() && due.gone.is_empty() {
            if self.is_stopping {
                let closing = async move { sink.close().await };
                ctx.spawn(closing.into_actor(self).map(move |result, actor, ctx| {
                    tell(result.err());
                    actor.outlets[index].closed();
                    actor.write(ctx);
                }));
            } else {
                self.outlets[index].written();
            }
            return;
        }
        let writing = async move {
            let result = sink.put(&due.records, &due.gone).await;
            (due, result)
        };
        ctx.spawn(writing.into_actor(self).map(move |(due, result), actor, ctx| {
            match result {
                Ok(()) => actor.outlets[index].written(),
                // A stop does not wait for a sink that is away.
                Err(error) if actor.is_stopping => {
                    tell(Some(error));
                    actor.outlets[index].closed();
                }
                Err(error) => {
                    tell(Some(error));
                    actor.outlets[index].not_written(due);
                }
            }
            if actor.is_stopping {
                // What was said while this write was under way goes out with a last one.
                actor.write(ctx);
            }
        }));
    }

    fn take(&mut self, status: ComponentStatus) {
        let before = self.setup.board.put(status.clone(), self.setup.clock.now());
        if before.is_none_or(|before| status.is_news_after(&before)) {
            self.outlets.iter_mut().for_each(|outlet| outlet.news(&status.component));
        }
    }
}

fn tell(error: Option<SinkError>) {
    if let Some(error) = error.filter(|error| !error.is_told) {
        // The writer speaks of the store's troubles.
        warn!(%error, "status not written");
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
        self.outlets.iter_mut().for_each(|outlet| outlet.gone(&message.0));
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
