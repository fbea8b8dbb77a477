//! The current address of a child that may be replaced: what others hold instead of an `Addr`.

use actix::prelude::*;
use tokio::sync::watch;

/// The parent's side: says who serves now.
#[derive(Debug)]
pub struct SlotOwner<A: Actor> {
    sender: watch::Sender<Option<Addr<A>>>,
}

/// The users' side.
#[derive(Debug)]
pub struct Slot<A: Actor> {
    receiver: watch::Receiver<Option<Addr<A>>>,
}

impl<A: Actor> Clone for Slot<A> {
    fn clone(&self) -> Self {
        Slot { receiver: self.receiver.clone() }
    }
}

impl<A: Actor> Default for SlotOwner<A> {
    fn default() -> Self {
        SlotOwner { sender: watch::Sender::new(None) }
    }
}

impl<A: Actor> SlotOwner<A> {
    /// A slot for users; it follows every replacement.
    pub fn slot(&self) -> Slot<A> {
        Slot { receiver: self.sender.subscribe() }
    }

    /// The next generation serves from now on.
    pub fn fill(&self, addr: Addr<A>) {
        self.sender.send_replace(Some(addr));
    }

    /// Nobody serves for now.
    pub fn clear(&self) {
        self.sender.send_replace(None);
    }

    /// Who serves now.
    pub fn current(&self) -> Option<Addr<A>> {
        self.sender.borrow().clone()
    }
}

impl<A: Actor> Slot<A> {
    /// Who serves now.
    pub fn current(&self) -> Option<Addr<A>> {
        self.receiver.borrow().clone().filter(Addr::connected)
    }

    /// Sends a message to whoever serves, waiting for the next generation while nobody does, and
    /// again when the one that took it died before answering. `None` when the owner is gone.
    pub async fn send<M>(&mut self, message: M) -> Option<M::Result>
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: actix::dev::ToEnvelope<A, M>,
    {
        loop {
            let addr = self.receiver.borrow_and_update().clone();
            if let Some(addr) = addr.filter(Addr::connected)
                && let Ok(result) = addr.send(message.clone()).await
            {
                return Some(result);
            }
            self.receiver.changed().await.ok()?;
        }
    }
}
