//! Events to subscribers: read from the store after the number that each was told last, as candles are.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{broadcast, watch};
use tracing::warn;

use super::FeedActor;
use super::outlet::{Outlet, Place};
use crate::actors::messages::host::{
    BROADCAST_KEEPS, BroadcastEvents, ListenError, ListenEvents, Subscription, UnlistenEvents,
};
use crate::store::{Event, Store};

/// Events read at once.
const PAGE: u32 = 500;
/// Wait after a read that failed.
const RETRY: Duration = Duration::from_secs(1);

/// One subscriber. Outlives the lives of the FeedActor.
pub(super) struct EventListener {
    place: Place<Event>,
    wants: Subscription,
    /// The last number that was told or not wanted.
    told: AtomicI64,
}

/// Who hears events, whichever life of the FeedActor serves them.
#[derive(Clone, Default)]
pub(super) struct EventListeners(Arc<Mutex<Vec<Arc<EventListener>>>>);

impl EventListeners {
    pub(super) fn all(&self) -> MutexGuard<'_, Vec<Arc<EventListener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, is_meant: impl Fn(&EventListener) -> bool) {
        self.all().retain(|listener| {
            let stays = !is_meant(listener);
            if !stays {
                listener.place.end();
            }
            stays
        });
    }
}

impl EventListener {
    /// A subscriber of a store whose newest event has the number `last`.
    fn new(outlet: Outlet<Event>, wants: Subscription, last: i64) -> Result<EventListener, ListenError> {
        let from = if wants.is_from_first() { 0 } else { last };
        let heard = wants.heard_event().unwrap_or(from);
        if heard < 0 || heard > last {
            return Err(ListenError::NoSuchEvent { heard, last });
        }
        Ok(EventListener { place: Place::new(outlet), wants, told: AtomicI64::new(heard) })
    }

    /// Tells everything that is recorded and was not told, in the order of the numbers, until the
    /// subscriber is gone or `ticks` ends.
    async fn tell(&self, store: Arc<dyn Store>, mut ticks: watch::Receiver<u64>) {
        let mut is_troubled = false;
        loop {
            ticks.mark_unchanged();
            match store.events_after(self.told.load(Ordering::Relaxed), PAGE).await {
                Ok(page) => {
                    is_troubled = false;
                    let is_full = page.len() == PAGE as usize;
                    for event in page {
                        let number = event.number;
                        if self.wants.hears_event(&event) && self.place.hand_over(event).await.is_err() {
                            return;
                        }
                        self.told.store(number, Ordering::Relaxed);
                    }
                    if !is_full && ticks.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_troubled, true) {
                        warn!(%error, "events cannot be read for a subscriber; trying again");
                    }
                    tokio::time::sleep(RETRY).await;
                    if ticks.has_changed().is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl FeedActor {
    /// Has every subscriber look for new events.
    pub(super) fn tick(&self) {
        if let Some(ticks) = &self.ticks {
            ticks.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn serve_events(&mut self, listener: Arc<EventListener>, ctx: &mut Context<Self>) {
        let Some(ticks) = &self.ticks else { return };
        let (store, ticks) = (self.store.clone(), ticks.subscribe());
        let telling = async move {
            listener.tell(store, ticks).await;
            listener
        };
        self.serving += 1;
        ctx.spawn(telling.into_actor(self).map(|listener, actor, ctx| {
            actor.serving -= 1;
            match actor.ticks {
                // It is gone, or another subscription has taken its place.
                Some(_) => actor.listeners.events.end(|other| std::ptr::eq(other, &*listener)),
                None => actor.stop_when_done(ctx),
            }
        }));
    }

    /// Adds a subscriber, once the number is known from which it goes on.
    fn add_event_listener<T: 'static>(
        &mut self,
        make: impl FnOnce(&EventListeners, i64) -> Result<(Option<EventListener>, T), ListenError> + 'static,
    ) -> ResponseActFuture<Self, Result<T, ListenError>> {
        let store = self.store.clone();
        let asking = async move { store.last_event().await.map_err(|error| ListenError::Store(error.to_string())) };
        Box::pin(asking.into_actor(self).map(|last, actor, ctx| {
            let last = last?;
            if actor.ticks.is_none() {
                return Err(ListenError::Ended);
            }
            let (listener, reply) = make(&actor.listeners.events, last)?;
            if let Some(listener) = listener.map(Arc::new) {
                actor.listeners.events.all().push(listener.clone());
                actor.serve_events(listener, ctx);
            }
            Ok(reply)
        }))
    }
}

impl Handler<ListenEvents> for FeedActor {
    type Result = ResponseActFuture<Self, Result<(), ListenError>>;

    fn handle(&mut self, ListenEvents { to, wants }: ListenEvents, _: &mut Context<Self>) -> Self::Result {
        self.add_event_listener(move |listeners, last| {
            let listener = EventListener::new(Outlet::Actor(to.clone()), wants, last)?;
            listeners.end(|other| other.place.is_of(&to));
            Ok((Some(listener), ()))
        })
    }
}

impl Handler<UnlistenEvents> for FeedActor {
    type Result = Result<(), ListenError>;

    fn handle(&mut self, UnlistenEvents(actor): UnlistenEvents, _: &mut Context<Self>) -> Self::Result {
        self.listeners.events.end(|other| other.place.is_of(&actor));
        Ok(())
    }
}

impl Handler<BroadcastEvents> for FeedActor {
    type Result = ResponseActFuture<Self, Result<broadcast::Receiver<Event>, ListenError>>;

    fn handle(&mut self, _: BroadcastEvents, _: &mut Context<Self>) -> Self::Result {
        self.add_event_listener(|listeners, last| {
            if let Some(receiver) = listeners.all().iter().find_map(|listener| listener.place.receiver()) {
                return Ok((None, receiver));
            }
            listeners.end(|other| other.place.is_broadcast());
            let (sender, receiver) = broadcast::channel(BROADCAST_KEEPS);
            let listener = EventListener::new(Outlet::Broadcast(sender), Subscription::from_now(), last)?;
            Ok((Some(listener), receiver))
        })
    }
}
