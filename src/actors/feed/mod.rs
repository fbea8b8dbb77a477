//! Tells hosts of candles and events that are committed: actors one at a time and at their own pace, broadcast
//! receivers at once.
//!
//! The writer only mentions which series went on to which number, and waits for nobody. What a
//! subscriber is told is read from the store, after the number it was told last: so no more than a page
//! is kept for the slow, nothing is lost by a death in between, and a subscriber of the next start goes
//! on where it was.

mod events;
mod listener;
mod outlet;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{broadcast, watch};
use tracing::warn;

use super::messages::host::{BROADCAST_KEEPS, Change, ListenError, Subscription};
use super::messages::{Broadcast, CandleClosed, Listen, SeriesWritten, Stop, Unlisten};
use crate::market::SeriesName;
use crate::store::{SeriesId, Store, StoreError};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;
use events::EventListeners;
use listener::Listener;
use outlet::Outlet;

/// How often the store is asked for what nobody mentioned.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Wait after a look that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How long a stop waits for subscribers.
const LAST_ROUND: Duration = Duration::from_secs(1);

/// A series and its last number.
struct Head {
    name: SeriesName,
    last: i64,
}

type Heads = BTreeMap<SeriesId, Head>;

/// The subscribers of a collector, whichever life of the FeedActor serves them.
#[derive(Clone, Default)]
pub struct Listeners {
    candles: Arc<Mutex<Vec<Arc<Listener>>>>,
    events: EventListeners,
}

impl Listeners {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.candles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, is_meant: impl Fn(&Listener) -> bool) {
        self.all().retain(|listener| {
            let stays = !is_meant(listener);
            if !stays {
                listener.place.end();
            }
            stays
        });
    }
}

/// What the actor is built from.
pub struct FeedSetup {
    /// Where candles are read.
    pub store: Arc<dyn Store>,
    /// Who is told.
    pub listeners: Listeners,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct FeedActor {
    store: Arc<dyn Store>,
    listeners: Listeners,
    /// Gone when the actor is stopping: who has caught up then has heard all.
    heads: Option<watch::Sender<Heads>>,
    /// Moves when there may be a new event; gone like `heads`.
    ticks: Option<watch::Sender<u64>>,
    /// How many subscribers are served just now.
    serving: usize,
    is_looking: bool,
    /// Something was mentioned while the store was looked at.
    looks_again: bool,
    /// The last look failed.
    is_troubled: bool,
    _guard: ExitGuard<&'static str>,
    _member: Member,
}

impl FeedActor {
    /// An actor that has heard of nothing.
    pub fn new(setup: FeedSetup) -> FeedActor {
        FeedActor {
            store: setup.store,
            listeners: setup.listeners,
            heads: Some(watch::Sender::new(Heads::new())),
            ticks: Some(watch::Sender::new(0)),
            serving: 0,
            is_looking: false,
            looks_again: false,
            is_troubled: false,
            _guard: setup.guard,
            _member: setup.member,
        }
    }

    fn serve(&mut self, listener: Arc<Listener>, ctx: &mut Context<Self>) {
        let Some(heads) = &self.heads else { return };
        let (store, heads) = (self.store.clone(), heads.subscribe());
        let telling = async move {
            listener.tell(store, heads).await;
            listener
        };
        self.serving += 1;
        ctx.spawn(telling.into_actor(self).map(|listener, actor, ctx| {
            actor.serving -= 1;
            match actor.heads {
                // It is gone, or another subscription has taken its place.
                Some(_) => actor.listeners.end(|other| std::ptr::eq(other, &*listener)),
                None => actor.stop_when_done(ctx),
            }
        }));
    }

    fn stop_when_done(&self, ctx: &mut Context<Self>) {
        if self.serving == 0 {
            ctx.stop();
        }
    }

    /// Reads which series there are and their last numbers, where anybody wants to know.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.listeners.all().is_empty() {
            return;
        }
        if std::mem::replace(&mut self.is_looking, true) {
            self.looks_again = true;
            return;
        }
        let store = self.store.clone();
        let looking = async move { list(&*store).await };
        ctx.spawn(looking.into_actor(self).map(|found, actor, ctx| {
            actor.is_looking = false;
            match found {
                Ok(found) => {
                    actor.is_troubled = false;
                    actor.learn(found);
                    if std::mem::take(&mut actor.looks_again) {
                        actor.look(ctx);
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut actor.is_troubled, true) {
                        warn!(%error, "the series cannot be read for subscribers; trying again");
                    }
                    ctx.run_later(RETRY, |actor, ctx| actor.look(ctx));
                }
            }
        }));
    }

    fn learn(&mut self, found: Heads) {
        let Some(heads) = &self.heads else { return };
        heads.send_if_modified(|heads| {
            let mut is_news = false;
            for (id, head) in found {
                let known = heads.get(&id).map(|known| known.last);
                if known.is_none_or(|last| last < head.last) {
                    is_news = true;
                    heads.insert(id, head);
                }
            }
            is_news
        });
    }

    /// Adds a subscriber, once the series are known of which it may be told.
    fn add<T: 'static>(
        &mut self,
        make: impl FnOnce(&mut FeedActor, &Heads) -> Result<(Option<Listener>, T), ListenError> + 'static,
    ) -> ResponseActFuture<Self, Result<T, ListenError>> {
        let store = self.store.clone();
        let listing = async move { list(&*store).await.map_err(|error| ListenError::Store(error.to_string())) };
        Box::pin(listing.into_actor(self).map(|found, actor, ctx| {
            let found = found?;
            if actor.heads.is_none() {
                return Err(ListenError::Ended);
            }
            let (listener, reply) = make(actor, &found)?;
            actor.learn(found);
            if let Some(listener) = listener.map(Arc::new) {
                actor.listeners.all().push(listener.clone());
                actor.serve(listener, ctx);
            }
            // A series that began meanwhile was mentioned to nobody.
            actor.look(ctx);
            Ok(reply)
        }))
    }
}

/// All series of the symbols that are wanted.
async fn list(store: &dyn Store) -> Result<Heads, StoreError> {
    let mut heads = Heads::new();
    for symbol in store.symbols().await? {
        let exchange: Arc<str> = symbol.exchange.into();
        for row in store.series_of(symbol.id).await? {
            let name = SeriesName::new(exchange.clone(), symbol.symbol.clone(), row.timeframe);
            heads.insert(row.id, Head { name, last: row.last_sequence });
        }
    }
    Ok(heads)
}

/// The changes of a series after a number as they are told to one who has that number, at most `limit`.
///
/// # Errors
/// What the store says.
pub async fn closed_after(
    store: &dyn Store,
    id: SeriesId,
    series: &SeriesName,
    heard: i64,
    limit: u32,
) -> Result<Vec<CandleClosed>, StoreError> {
    let mut previous = heard;
    let rows = store.candles_after(id, heard, limit).await?;
    let told = rows.into_iter().map(|row| CandleClosed {
        series: series.clone(),
        sequence: row.sequence,
        previous: std::mem::replace(&mut previous, row.sequence),
        change: match (row.is_withdrawn, row.stored.revision) {
            (true, _) => Change::Withdrawn,
            (false, 0) => Change::Candle,
            (false, _) => Change::Correction,
        },
        candle: row.stored.candle,
        source: row.stored.source,
    });
    Ok(told.collect())
}

impl Actor for FeedActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let listeners = self.listeners.all().clone();
        for listener in listeners {
            self.serve(listener, ctx);
        }
        let listeners = self.listeners.events.all().clone();
        for listener in listeners {
            self.serve_events(listener, ctx);
        }
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, |actor, ctx| {
            actor.look(ctx);
            actor.tick();
        });
    }
}

impl Handler<SeriesWritten> for FeedActor {
    type Result = ();

    fn handle(&mut self, message: SeriesWritten, ctx: &mut Context<Self>) {
        if message.is_event {
            self.tick();
        }
        let Some(heads) = &self.heads else { return };
        let mut is_unknown = false;
        heads.send_if_modified(|heads| {
            let mut is_news = false;
            for news in &message.series {
                match heads.get_mut(&news.series) {
                    Some(head) if head.last < news.last_sequence => (head.last, is_news) = (news.last_sequence, true),
                    Some(_) => {}
                    None => is_unknown = true,
                }
            }
            is_news
        });
        if is_unknown {
            self.look(ctx);
        }
    }
}

impl Handler<Listen> for FeedActor {
    type Result = ResponseActFuture<Self, Result<(), ListenError>>;

    fn handle(&mut self, Listen { to, wants }: Listen, _: &mut Context<Self>) -> Self::Result {
        self.add(move |actor, heads| {
            let listener = Listener::new(Outlet::Actor(to.clone()), wants, heads)?;
            actor.listeners.end(|other| other.place.is_of(&to));
            Ok((Some(listener), ()))
        })
    }
}

impl Handler<Unlisten> for FeedActor {
    type Result = Result<(), ListenError>;

    fn handle(&mut self, Unlisten(actor): Unlisten, _: &mut Context<Self>) -> Self::Result {
        self.listeners.end(|other| other.place.is_of(&actor));
        Ok(())
    }
}

impl Handler<Broadcast> for FeedActor {
    type Result = ResponseActFuture<Self, Result<broadcast::Receiver<CandleClosed>, ListenError>>;

    fn handle(&mut self, _: Broadcast, _: &mut Context<Self>) -> Self::Result {
        self.add(|actor, heads| {
            if let Some(receiver) = actor.listeners.all().iter().find_map(|listener| listener.place.receiver()) {
                return Ok((None, receiver));
            }
            actor.listeners.end(|other| other.place.is_broadcast());
            let (sender, receiver) = broadcast::channel(BROADCAST_KEEPS);
            let listener = Listener::new(Outlet::Broadcast(sender), Subscription::from_now(), heads)?;
            Ok((Some(listener), receiver))
        })
    }
}

impl Handler<Stop> for FeedActor {
    type Result = ();

    /// What is not told within a moment is told after the next start, to those who say what they have.
    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        (self.heads, self.ticks) = (None, None);
        self.stop_when_done(ctx);
        ctx.run_later(LAST_ROUND, |_, ctx| ctx.stop());
    }
}
