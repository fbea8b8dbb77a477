//! The symbols of an exchange: started, stopped, rejected, and what follows the end of one.

use std::sync::Arc;

use actix::prelude::*;
use tracing::warn;

use super::ExchangeActor;
use crate::actors::messages::audit::{AuditError, AuditSeries};
use crate::actors::messages::{Forget, Report, Stop, SymbolNews, SymbolNotice, away};
use crate::actors::symbol::{SymbolActor, SymbolSetup};
use crate::market::Symbol;
use crate::market::audit::SeriesAudit;
use crate::status::{ComponentStatus, Health, Phase};
use crate::store::{SymbolRow, SymbolState};
use crate::supervise::exit::{ChildExited, Exit, ExitGuard};
use crate::supervise::policy::Decision;

impl ExchangeActor {
    /// The venue does not know a symbol: shown, not restarted, asked for again with the next list.
    pub(super) fn unknown(&mut self, symbol: Symbol, why: String, ctx: &mut Context<Self>) {
        // Should the instrument list be the first to say so, its actor has nothing to serve any more.
        let is_ending = self.symbols.addr(&symbol).is_some();
        self.stop_symbol(&symbol);
        self.symbols.remove(&symbol);
        self.instruments.remove(&symbol);
        if !is_ending {
            self.withdraw_inferred(&symbol, ctx);
        }
        let Some(row) = self.wanted.get_mut(&symbol) else { return };
        warn!(exchange = self.setup.venue.id(), %symbol, why, "the venue does not know this symbol");
        if row.state != SymbolState::Paused {
            Arc::make_mut(row).state = SymbolState::Rejected(why.clone());
        }
        let row = row.clone();
        self.report_idle(&row);
        self.store_refusal(&row, Some(why));
    }

    /// A symbol that is worked on is one that the venue serves.
    pub(super) fn serve(&mut self, symbol: &Symbol) {
        let Some(row) = self.wanted.get_mut(symbol) else { return };
        if row.state != SymbolState::Active {
            Arc::make_mut(row).state = SymbolState::Active;
            let row = row.clone();
            self.store_refusal(&row, None);
        }
    }

    fn store_refusal(&self, row: &SymbolRow, refusal: Option<String>) {
        let (store, id, symbol) = (self.setup.store.clone(), row.id, row.symbol.clone());
        actix_rt::spawn(async move {
            if let Err(error) = store.set_refusal(id, refusal.as_deref()).await {
                warn!(%error, %symbol, "whether the venue serves the symbol was not stored");
            }
        });
    }

    pub(super) fn start_symbol(&mut self, symbol: &Symbol, ctx: &mut Context<Self>) {
        if self.is_stopping || self.symbols.addr(symbol).is_some() || self.withdrawing.contains(symbol) {
            return;
        }
        let Some(row) = self.wanted.get(symbol) else { return };
        let Some(instrument) = self.instruments.get(symbol).cloned() else { return };
        if row.only_ticker && row.state != SymbolState::Paused {
            return self.start_ticker(symbol, ctx);
        }
        if !row.collect_candles || row.state == SymbolState::Paused {
            let row = row.clone();
            return self.report_idle(&row);
        }
        self.serve(symbol);
        let Some(row) = self.wanted.get(symbol).cloned() else { return };
        let generation = self.symbols.next_generation();
        let parent = self.addr(ctx);
        let restarts = self.symbols.failures(symbol);
        let actor = SymbolActor::new(SymbolSetup {
            venue: self.setup.venue.clone(),
            row,
            instrument,
            store: self.setup.store.clone(),
            backlog: self.setup.backlog.clone(),
            writer: self.setup.writer.clone(),
            status: self.setup.status.clone(),
            parent: parent.clone(),
            deaf_within: self.setup.deaf.within,
            only_audits: self.setup.only_audits,
            restarts,
            guard: ExitGuard::new(symbol.clone(), generation, parent.recipient()),
            member: self.setup.member.clone(),
        })
        .start();
        self.symbols.started(symbol.clone(), generation, actor);
        self.attach(symbol, ctx);
    }

    pub(super) fn stop_symbol(&mut self, symbol: &Symbol) {
        self.cancel(symbol);
        self.detach(symbol, away::STOPPED);
        if let Some(addr) = self.symbols.addr(symbol) {
            addr.do_send(Stop);
        }
    }

    /// Takes a symbol that is not wanted any more off the status.
    pub(super) fn forget(&self, symbol: &Symbol) {
        if let Some(status) = self.setup.status.current()
            && !self.wanted.contains_key(symbol)
        {
            status.do_send(Forget(format!("{}:{symbol}", self.setup.venue.id())));
        }
    }
}

impl Handler<AuditSeries> for ExchangeActor {
    type Result = ResponseActFuture<Self, Result<SeriesAudit, AuditError>>;

    fn handle(&mut self, asked: AuditSeries, _: &mut Context<Self>) -> Self::Result {
        let symbol = &asked.symbol;
        let name = format!("{} {symbol}", self.setup.venue.id());
        let served = match (self.symbols.addr(symbol), self.wanted.get(symbol).map(|row| &row.state)) {
            (Some(actor), _) => Ok(actor.clone()),
            (None, Some(SymbolState::Paused)) => {
                Err(AuditError::Never(format!("it is paused; first: candlewick symbols resume {name}")))
            }
            (None, Some(SymbolState::Rejected(why))) => {
                Err(AuditError::Never(format!("the exchange does not know it: {why}")))
            }
            (None, Some(SymbolState::Active)) => Err(AuditError::NotYet(format!("{name} is being started"))),
            (None, None) => Err(AuditError::Never("it is not wanted any more".to_owned())),
        };
        let gone = format!("{name} has ended meanwhile");
        let asking = async move { served?.send(asked).await.unwrap_or(Err(AuditError::NotYet(gone))) };
        Box::pin(asking.into_actor(self))
    }
}

impl Handler<SymbolNotice> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, notice: SymbolNotice, ctx: &mut Context<Self>) {
        if !self.symbols.is_current(&notice.symbol, notice.generation) {
            return;
        }
        match notice.news {
            SymbolNews::Useful => self.symbols.useful(&notice.symbol, self.setup.venue.clock.now()),
            SymbolNews::Deaf { channel } => self.heard_deaf(notice.symbol, channel, ctx),
        }
    }
}

impl Handler<ChildExited<Symbol>> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<Symbol>, ctx: &mut Context<Self>) {
        let symbol = message.id.clone();
        let now = self.setup.venue.clock.now();
        let current = self.symbols.is_current(&symbol, message.generation);
        let decision = self.symbols.exited(&message, now, self.setup.jitter.draw());
        if self.is_stopping {
            return self.end_when_symbols_ended(ctx);
        }
        if !current {
            if !self.instruments.contains_key(&symbol) {
                self.withdraw_inferred(&symbol, ctx);
            }
            // What it reported on its way out is its last word.
            return self.forget(&symbol);
        }
        self.cancel(&symbol);
        let exchange = self.setup.venue.id();
        match (message.exit, decision) {
            (Exit::Rejected(why), _) => {
                self.unknown(symbol, why, ctx);
            }
            (exit, Some(Decision::RestartAt(at))) => {
                if exit != Exit::Finished {
                    warn!(exchange, %symbol, ?exit, restart_at = %at, "symbol ended; it is started again");
                }
                ctx.run_later(self.wall_until(at), move |actor, ctx| actor.start_symbol(&symbol, ctx));
            }
            (exit, Some(Decision::Quarantine { until })) => {
                warn!(exchange, %symbol, ?exit, %until, "symbol keeps failing; it rests");
                if let Some(status) = self.setup.status.current() {
                    let mut report = ComponentStatus::starting(format!("{exchange}:{symbol}"));
                    (report.exchange, report.symbol) = (Some(exchange.to_owned()), Some(symbol.as_str().to_owned()));
                    (report.phase, report.health) = (Phase::Quarantined, Health::Error);
                    report.message = format!("resting until {until} after {exit:?}");
                    // The last failure has not been followed by a start yet.
                    report.restarts = self.symbols.failures(&symbol).saturating_sub(1);
                    status.do_send(Report(report));
                }
                ctx.run_later(self.wall_until(until), move |actor, ctx| actor.start_symbol(&symbol, ctx));
            }
            (exit, Some(Decision::Escalate)) => self.fail(format!("{symbol} keeps failing: {exit:?}"), ctx),
            (_, None) => {}
        }
    }
}
