//! A running collector as others see it, also those on other threads: asked, commanded and listened
//! to, never waited for.

use std::sync::Arc;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::sync::broadcast;

use crate::actors::Supervisor;
use crate::actors::feed;
use crate::actors::messages::host::{
    Broadcast, BroadcastEvents, CandleClosed, Listen, ListenError, ListenEvents, Subscription, Unlisten, UnlistenEvents,
};
use crate::clock::Clock;
use crate::control::command::{Action, AddSymbol, Audit, Backfill, Command, SymbolName};
use crate::control::components::{self, ComponentLine};
use crate::control::when::Time;
use crate::control::{Refusal, RefusalKind, Reply};
use crate::market::{SeriesName, Symbol};
use crate::status::sink::StatusRecord;
use crate::status::{Board, ComponentStatus, Tally, Totals};
use crate::store::reader::{ReadError, Reader};
use crate::store::{Event, Store, StoreError, SymbolState};

/// See the module. Clones speak of the same collector, and keep it neither running nor reachable.
#[derive(Clone)]
pub struct Remote {
    pub(super) addr: Addr<Supervisor>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) board: Board,
    pub(super) tally: Tally,
}

impl Remote {
    /// The root of the tree, for hosts that send their own messages; see
    /// [its module](crate::actors::supervisor).
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        &self.addr
    }

    /// The database.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The newest status of every component, by name.
    pub fn status(&self) -> Vec<ComponentStatus> {
        self.board.snapshot()
    }

    /// True until the collector has ended.
    pub fn is_alive(&self) -> bool {
        self.addr.connected()
    }

    /// The clock the collector lives by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The newest status of every component with its times, by name.
    pub fn records(&self) -> Vec<StatusRecord> {
        self.board.records()
    }

    /// Running totals.
    pub fn totals(&self) -> Totals {
        self.tally.totals()
    }

    /// The components that are to be kept: symbols that are not paused, as `exchange:symbol`. Those that
    /// were rejected are among them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn wanted(&self) -> Result<Vec<String>, StoreError> {
        let symbols = self.store.symbols().await?;
        let wanted = symbols.iter().filter(|row| row.state != SymbolState::Paused);
        Ok(wanted.map(|row| format!("{}:{}", row.exchange, row.symbol)).collect())
    }

    /// Every component as it is told, with the wanted symbols of which nobody has spoken.
    ///
    /// # Errors
    /// What the store says; [`Remote::records`] asks no store.
    pub async fn components(&self) -> Result<Vec<ComponentLine>, StoreError> {
        let symbols = self.store.symbols().await?;
        Ok(components::lines(self.records().into_iter().map(ComponentLine::from), &symbols))
    }

    // --- commands ---------------------------------------------------------------------------

    /// Carries out a command, once by its id, as those of HTTP and Redis are. `None` when the
    /// collector has ended. The methods below are commands with an id of their own.
    pub async fn command(&self, command: Command) -> Option<Reply> {
        self.addr.send(command).await.ok()
    }

    /// Adds or widens a symbol; it gets history and live candles like any other, and no other notices.
    /// The first symbol of an exchange that is closed brings it in switched off. What to add is
    /// an [`AddSymbol`], or a [`NewSymbol`](crate::store::NewSymbol) by reference.
    ///
    /// # Errors
    /// Why it was refused; [`RefusalKind::Stopping`] when the collector has ended.
    pub async fn add_symbol(&self, new: impl Into<AddSymbol>) -> Result<Reply, Refusal> {
        self.ask(Action::AddSymbol(new.into())).await
    }

    /// Stops wanting a symbol; its candles stay. Nothing is changed when it was not wanted.
    ///
    /// # Errors
    /// Those of [`Remote::add_symbol`].
    pub async fn remove_symbol(&self, exchange: &str, symbol: &Symbol) -> Result<Reply, Refusal> {
        self.ask(Action::RemoveSymbol(name(exchange, symbol))).await
    }

    /// Stops work on a symbol; it stays wanted.
    ///
    /// # Errors
    /// Those of [`Remote::add_symbol`].
    pub async fn pause(&self, exchange: &str, symbol: &Symbol) -> Result<Reply, Refusal> {
        self.ask(Action::Pause(name(exchange, symbol))).await
    }

    /// Goes on with a paused symbol, fetching what it missed; tries a rejected one again.
    ///
    /// # Errors
    /// Those of [`Remote::add_symbol`].
    pub async fn resume(&self, exchange: &str, symbol: &Symbol) -> Result<Reply, Refusal> {
        self.ask(Action::Resume(name(exchange, symbol))).await
    }

    /// Wants everything of a symbol since an instant.
    ///
    /// # Errors
    /// Those of [`Remote::add_symbol`].
    pub async fn backfill(&self, exchange: &str, symbol: &Symbol, from: DateTime<Utc>) -> Result<Reply, Refusal> {
        let SymbolName { exchange, symbol } = name(exchange, symbol);
        let from = Some(Time(from).to_string());
        self.ask(Action::Backfill(Backfill { exchange, symbol, from, backfill_days: None })).await
    }

    /// Has what is stored compared with the exchanges, all of it or as far as is asked, and put right
    /// where that is asked. Answered when it has begun; the same command asked again
    /// tells how far it is, and its report when it is over.
    ///
    /// # Errors
    /// Those of [`Remote::add_symbol`].
    pub async fn audit(&self, asked: Audit) -> Result<Reply, Refusal> {
        self.ask(Action::Audit(asked)).await
    }

    async fn ask(&self, action: Action) -> Result<Reply, Refusal> {
        let Some(reply) = self.command(Command::new(super::command_id(), action)).await else {
            let message = "the collector has ended; ask again after its next start".to_owned();
            return Err(Refusal { kind: RefusalKind::Stopping, message });
        };
        match reply.error {
            Some(refusal) => Err(refusal),
            None => Ok(reply),
        }
    }

    // --- candles ----------------------------------------------------------------------------

    /// Tells an actor of final candles as they are committed: every one of its subscription, in the
    /// order of their numbers, at the actor's own pace; see [`Listen`]. An earlier
    /// subscription of the actor ends.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn subscribe(&self, to: Recipient<CandleClosed>, wants: Subscription) -> Result<(), ListenError> {
        self.addr.send(Listen { to, wants }).await.unwrap_or(Err(ListenError::Ended))
    }

    /// Tells an actor no more.
    ///
    /// # Errors
    /// [`ListenError::Ended`].
    pub async fn unsubscribe(&self, actor: Recipient<CandleClosed>) -> Result<(), ListenError> {
        self.addr.send(Unlisten(actor)).await.unwrap_or(Err(ListenError::Ended))
    }

    /// A receiver of every final candle that is committed from now on; see [`Broadcast`] for what
    /// happens to one that lags.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn subscribe_broadcast(&self) -> Result<broadcast::Receiver<CandleClosed>, ListenError> {
        self.addr.send(Broadcast).await.unwrap_or(Err(ListenError::Ended))
    }

    /// What a subscriber is told of a series after the number `heard`, read from the store, at most
    /// `limit` messages; also when the collector has ended.
    ///
    /// # Errors
    /// [`ReadError`]: no such symbol or series; the store.
    pub async fn candles_after(
        &self,
        series: &SeriesName,
        heard: i64,
        limit: u32,
    ) -> Result<Vec<CandleClosed>, ReadError> {
        let symbol = Reader::new(self.store.clone()).find(&series.exchange, series.symbol.as_str()).await?;
        let known = self.store.series_of(symbol.id).await?;
        let Some(row) = known.iter().find(|row| row.timeframe == series.timeframe) else {
            return Err(ReadError::NoSeries {
                exchange: symbol.exchange,
                symbol: symbol.symbol.to_string(),
                timeframe: series.timeframe,
                stored: known.iter().map(|row| row.timeframe).collect(),
            });
        };
        Ok(feed::closed_after(&*self.store, row.id, series, heard, limit).await?)
    }

    // --- events -----------------------------------------------------------------------------

    /// Tells an actor of events as they are recorded: every one of its subscription, in the order of
    /// their numbers, at the actor's own pace; see [`ListenEvents`]. An earlier subscription of the actor
    /// to events ends.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn subscribe_events(&self, to: Recipient<Event>, wants: Subscription) -> Result<(), ListenError> {
        self.addr.send(ListenEvents { to, wants }).await.unwrap_or(Err(ListenError::Ended))
    }

    /// Tells an actor no more events.
    ///
    /// # Errors
    /// [`ListenError::Ended`].
    pub async fn unsubscribe_events(&self, actor: Recipient<Event>) -> Result<(), ListenError> {
        self.addr.send(UnlistenEvents(actor)).await.unwrap_or(Err(ListenError::Ended))
    }

    /// A receiver of every event that is recorded from now on; see [`BroadcastEvents`].
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn subscribe_events_broadcast(&self) -> Result<broadcast::Receiver<Event>, ListenError> {
        self.addr.send(BroadcastEvents).await.unwrap_or(Err(ListenError::Ended))
    }

    /// The events after a number, read from the store, at most `limit`; also when the collector has
    /// ended.
    ///
    /// # Errors
    /// What the store says.
    pub async fn events_after(&self, number: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.store.events_after(number, limit).await
    }
}

fn name(exchange: &str, symbol: &Symbol) -> SymbolName {
    SymbolName { exchange: exchange.to_owned(), symbol: symbol.to_string() }
}
