//! The lives of exchanges: started, started again after their end, and dropped when nobody wants
//! them any more. Bans and budgets outlive them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tracing::warn;

use super::Supervisor;
use crate::actors::exchange::{Budgets, ExchangeActor, ExchangeSetup};
use crate::actors::messages::audit::{AuditError, AuditSeries};
use crate::actors::messages::{Blocked, Forget, Report, Stop};
use crate::actors::venue::Venue;
use crate::engine::budget::Budget;
use crate::exchange::registry;
use crate::market::audit::SeriesAudit;
use crate::status::{ComponentStatus, Health, Phase};
use crate::supervise::exit::{ChildExited, ExitGuard};
use crate::supervise::family::Family;
use crate::supervise::policy::Decision;

/// How long a dead exchange's children may take to end before its next life starts anyway.
const FAMILY_WAIT: Duration = Duration::from_secs(10);

impl Supervisor {
    pub(super) fn start_exchange(&mut self, name: &str, ctx: &mut Context<Self>) {
        if self.is_stopping || self.ending.contains(name) || self.exchanges.addr(&name.to_owned()).is_some() {
            return;
        }
        let Some((row, symbols)) = self.wanted.get(name).cloned() else { return };
        let known = match registry::find(name) {
            Ok(known) => known,
            Err(error) => return warn!(%error, "an exchange of the tables is skipped"),
        };
        let dialect = (known.build)(self.endpoints(&row, known));
        let venue = Venue::new(dialect, self.transport.clone(), self.clock.clone(), self.tally.clone());
        let now = self.clock.now();
        let capabilities = known.capabilities;
        let budgets = self.budgets.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(Budgets {
                rest: Budget::new(capabilities.limits, now),
                connects: Budget::new(&[capabilities.connection.connects], now),
            }))
        });
        let (asked, clock) = (budgets.clone(), self.clock.clone());
        venue.counts.measures_budget(move || asked.lock().unwrap_or_else(PoisonError::into_inner).used(clock.now()));
        let (family, member) = Family::new();
        let id = name.to_owned();
        let generation = self.exchanges.next_generation();
        let actor = ExchangeActor::new(ExchangeSetup {
            row,
            symbols,
            venue,
            store: self.store.clone(),
            backlog: self.backlog.clone(),
            writer: self.writer.slot(),
            status: self.status.slot(),
            policies: self.config.restart.clone(),
            reprobe: self.config.reprobe,
            rotation: self.config.rotation,
            deaf: self.config.deaf,
            jitter: self.jitter.of(&id, generation),
            ticker_every: self.config.ticker_every(name),
            budgets: budgets.clone(),
            connections: self.connections.clone(),
            supervisor: ctx.address(),
            only_audits: self.only_audits,
            restarts: self.exchanges.failures(&id),
            guard: ExitGuard::new(id.clone(), generation, ctx.address().recipient()),
            member,
        })
        .start();
        self.exchanges.started(id.clone(), generation, actor);
        self.families.insert(id, family);
    }

    /// Starts the next life of an exchange when everything of the last one is gone.
    fn restart_exchange(&mut self, name: String, at: DateTime<Utc>, ctx: &mut Context<Self>) {
        let family = self.families.remove(&name);
        let clock = self.clock.clone();
        let waiting = async move {
            if let Some(mut family) = family
                && !family.ended_within(FAMILY_WAIT).await
            {
                warn!("some children of a dead exchange are still alive");
            }
            clock.sleep_until(at).await;
            name
        };
        ctx.spawn(waiting.into_actor(self).map(|name, actor, ctx| actor.start_exchange(&name, ctx)));
    }

    /// Ends an exchange. Its status is removed when nobody can report any more, and should it be
    /// wanted again meanwhile, it starts only then.
    pub(super) fn drop_exchange(&mut self, name: String, ctx: &mut Context<Self>) {
        let Some((_, symbols)) = self.wanted.remove(&name) else { return };
        if let Some(addr) = self.exchanges.remove(&name) {
            addr.do_send(Stop);
        }
        let family = self.families.remove(&name);
        self.ending.insert(name.clone());
        let waiting = async move {
            if let Some(mut family) = family {
                family.ended_within(FAMILY_WAIT).await;
            }
        };
        ctx.spawn(waiting.into_actor(self).map(move |(), actor, ctx| {
            actor.ending.remove(&name);
            if let Some(status) = actor.status.current() {
                for symbol in symbols {
                    status.do_send(Forget(format!("{name}:{}", symbol.symbol)));
                }
                status.do_send(Forget(name.clone()));
            }
            actor.start_exchange(&name, ctx);
        }));
    }
}

impl Handler<Blocked> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: Blocked, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let storing = async move {
            if let Err(error) = store.set_blocked_until(&message.exchange, Some(message.until)).await {
                warn!(%error, exchange = message.exchange, "a ban could not be stored; it holds until the next start");
            }
        };
        ctx.spawn(storing.into_actor(self));
    }
}

impl Handler<ChildExited<String>> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<String>, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let Some(decision) = self.exchanges.exited(&message, now, self.jitter.draw()) else { return };
        if self.is_stopping {
            return;
        }
        let at = match decision {
            Decision::RestartAt(at) | Decision::Quarantine { until: at } => at,
            Decision::Escalate => return self.escalate(format!("{}: {:?}", message.id, message.exit), ctx),
        };
        warn!(exchange = message.id, exit = ?message.exit, restart_at = %at, "exchange ended; it is started again");
        if let Some(status) = self.status.current() {
            let mut report = ComponentStatus::starting(&message.id);
            report.exchange = Some(message.id.clone());
            (report.health, report.phase) = (Health::Error, Phase::Waiting);
            report.message = format!("restarts at {at} after {:?}", message.exit);
            status.do_send(Report(report));
        }
        self.restart_exchange(message.id, at, ctx);
    }
}

impl Handler<AuditSeries> for Supervisor {
    type Result = ResponseActFuture<Self, Result<SeriesAudit, AuditError>>;

    fn handle(&mut self, asked: AuditSeries, _: &mut Context<Self>) -> Self::Result {
        let name = &asked.exchange;
        let served = match self.exchanges.addr(name) {
            Some(exchange) => Ok(exchange.clone()),
            None if self.seen_version.is_none() || self.wanted.contains_key(name) => {
                Err(AuditError::NotYet(format!("{name} is being started")))
            }
            None => Err(AuditError::Never(format!(
                "{name} is switched off, or its symbols are; candlewick exchanges enable {name}"
            ))),
        };
        Box::pin(async move { ask(served?, asked).await }.into_actor(self))
    }
}

async fn ask(exchange: Addr<ExchangeActor>, asked: AuditSeries) -> Result<SeriesAudit, AuditError> {
    let gone = format!("{} has ended meanwhile", asked.exchange);
    exchange.send(asked).await.unwrap_or(Err(AuditError::NotYet(gone)))
}
