//! How a message reaches a subscriber: an actor when it has taken the one before, receivers at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::broadcast;

/// Wait before an actor that is being started again is told again.
const RETRY: Duration = Duration::from_secs(1);

/// Where messages go.
pub(super) enum Outlet<M: Message<Result = ()> + Clone + Send + 'static> {
    Actor(Recipient<M>),
    Broadcast(broadcast::Sender<M>),
}

/// The subscriber is gone.
pub(super) struct Gone;

/// A subscriber's place, and whether it has ended its subscription.
pub(super) struct Place<M: Message<Result = ()> + Clone + Send + 'static> {
    pub(super) outlet: Outlet<M>,
    has_ended: AtomicBool,
}

impl<M: Message<Result = ()> + Clone + Send + 'static> Place<M> {
    pub(super) fn new(outlet: Outlet<M>) -> Place<M> {
        Place { outlet, has_ended: AtomicBool::new(false) }
    }

    /// Nothing more is told.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// True for the subscription of an actor.
    pub(super) fn is_of(&self, actor: &Recipient<M>) -> bool {
        matches!(&self.outlet, Outlet::Actor(known) if known == actor)
    }

    /// True for the one that all receivers share.
    pub(super) fn is_broadcast(&self) -> bool {
        matches!(self.outlet, Outlet::Broadcast(_))
    }

    /// One more receiver, where any listens: one that nobody listens to is as far behind as it was left.
    pub(super) fn receiver(&self) -> Option<broadcast::Receiver<M>> {
        match &self.outlet {
            Outlet::Broadcast(sender) if sender.receiver_count() > 0 => Some(sender.subscribe()),
            Outlet::Broadcast(_) | Outlet::Actor(_) => None,
        }
    }

    /// Returns when the message is taken.
    pub(super) async fn hand_over(&self, message: M) -> Result<(), Gone> {
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(Gone);
        }
        match &self.outlet {
            Outlet::Broadcast(sender) => sender.send(message).map(drop).map_err(|_| Gone),
            Outlet::Actor(actor) => {
                while actor.send(message.clone()).await.is_err() {
                    // One that its own supervisor starts again keeps its address.
                    if !actor.connected() || self.has_ended.load(Ordering::Relaxed) {
                        return Err(Gone);
                    }
                    tokio::time::sleep(RETRY).await;
                }
                Ok(())
            }
        }
    }
}
