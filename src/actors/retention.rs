//! Removes what is not kept any more, in spare time: moves the beginnings forward as the configuration
//! says, and takes away what lies before them, piece by piece, so that the writer waits for no more than
//! one piece. What somebody else has cut (`candlewick prune`) goes in the same way.
//!
//! A beginning moves first, and its symbols hear of it as of any change of the settings; rows follow.
//! Whoever dies in between leaves nothing untrue behind, and the next look goes on.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tracing::{info, warn};

use super::messages::{Prune, Stop};
use crate::clock::Clock;
use crate::config::RetentionConfig;
use crate::status::Tally;
use crate::store::retention::{Cut, Part, Prunable, ROWS_AT_ONCE};
use crate::store::{Store, StoreError, SymbolRow};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;

/// Wait between two of them, for whoever writes.
const BREATH: Duration = Duration::from_millis(50);
/// Wait after something failed.
const RETRY: Duration = Duration::from_secs(60);

/// What the actor is built from.
pub struct RetentionSetup {
    /// Where rows are removed.
    pub store: Arc<dyn Store>,
    /// How long what is kept.
    pub config: RetentionConfig,
    /// Our clock.
    pub clock: Clock,
    /// Running totals.
    pub tally: Tally,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct RetentionActor {
    means: Means,
    is_pruning: bool,
    /// Something was asked for meanwhile.
    is_called: bool,
    _guard: ExitGuard<&'static str>,
    _member: Member,
}

#[derive(Clone)]
struct Means {
    store: Arc<dyn Store>,
    config: RetentionConfig,
    clock: Clock,
    tally: Tally,
}

impl RetentionActor {
    /// An actor that has removed nothing.
    pub fn new(setup: RetentionSetup) -> RetentionActor {
        let RetentionSetup { store, config, clock, tally, guard, member } = setup;
        let means = Means { store, config, clock, tally };
        RetentionActor { means, is_pruning: false, is_called: false, _guard: guard, _member: member }
    }

    fn prune(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_pruning, true) {
            self.is_called = true;
            return;
        }
        let means = self.means.clone();
        let pruning = async move { means.prune().await };
        ctx.spawn(pruning.into_actor(self).map(|pruned, actor, ctx| {
            actor.is_pruning = false;
            if let Err(error) = pruned {
                warn!(%error, "what is not kept any more could not be removed; trying again");
                ctx.run_later(RETRY, |actor, ctx| actor.prune(ctx));
            } else if std::mem::take(&mut actor.is_called) {
                actor.prune(ctx);
            }
        }));
    }
}

impl Means {
    async fn prune(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        if !self.config.candles.is_empty() || self.config.trades.is_some() {
            for symbol in self.store.symbols().await? {
                let cuts = self.cuts(&symbol, now);
                if !cuts.is_empty() {
                    self.store.keep_from(symbol.id, &cuts).await?;
                }
            }
        }
        for what in self.store.prunable().await? {
            self.remove(&what).await?;
        }
        let Some(before) = instant_before(now, self.config.events) else { return Ok(()) };
        loop {
            let gone = self.store.prune_events(before, ROWS_AT_ONCE).await?;
            self.tally.pruned("events", gone);
            if gone < u64::from(ROWS_AT_ONCE) {
                return Ok(());
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// What of a symbol is to begin later than it does.
    fn cuts(&self, symbol: &SymbolRow, now: DateTime<Utc>) -> Vec<Cut> {
        let kept = |part: Part| match part {
            Part::Candles(timeframe) => self.config.candles.get(&timeframe).copied(),
            Part::Trades => self.config.trades,
        };
        let cut = |part: Part| {
            let before = instant_before(now, kept(part)?)?;
            // So that a look moves nothing that the last one has moved.
            let before = before.duration_trunc(TimeDelta::from_std(self.config.every).ok()?).unwrap_or(before);
            Some(symbol.cut(part, before)).filter(|cut| cut.from > symbol.begin(part))
        };
        symbol.parts().into_iter().filter_map(cut).collect()
    }

    async fn remove(&self, what: &Prunable) -> Result<(), StoreError> {
        let (mut rows, mut revisions) = (0, 0);
        loop {
            let piece = self.store.prune(what, ROWS_AT_ONCE).await?;
            (rows, revisions) = (rows + piece.rows, revisions + piece.revisions);
            let kind = if what.part == Part::Trades { "trades" } else { "candles" };
            self.tally.pruned(kind, piece.rows);
            self.tally.pruned("revisions", piece.revisions);
            if piece.is_done {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        let Prunable { exchange, symbol, part, from, .. } = what;
        info!(exchange, %symbol, %part, %from, rows, revisions, "pruned; it begins there now");
        Ok(())
    }
}

fn instant_before(now: DateTime<Utc>, kept: Duration) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(TimeDelta::from_std(kept).ok()?)
}

impl Actor for RetentionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.prune(ctx);
        let every = self.means.clock.to_wall(self.means.config.every).max(Duration::from_secs(1));
        ctx.run_interval(every, |actor, ctx| actor.prune(ctx));
    }
}

impl Handler<Prune> for RetentionActor {
    type Result = ();

    fn handle(&mut self, _: Prune, ctx: &mut Context<Self>) {
        self.prune(ctx);
    }
}

impl Handler<Stop> for RetentionActor {
    type Result = ();

    /// What is left is removed after the next start.
    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
