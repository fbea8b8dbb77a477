//! One subscriber: what it wants, what it was told, and how the next message reaches it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{broadcast, watch};
use tracing::warn;

use super::{Heads, closed_after};
use crate::actors::messages::CandleClosed;
use crate::actors::messages::host::{ListenError, Subscription};
use crate::market::SeriesName;
use crate::store::{SeriesId, Store, StoreError};

/// Rows read of one series before the next one has its turn.
const PAGE: u32 = 500;
/// Wait after a read that failed, and before an actor that is being started again is told again.
const RETRY: Duration = Duration::from_secs(1);

/// Where messages go.
pub(super) enum Outlet {
    Actor(Recipient<CandleClosed>),
    Broadcast(broadcast::Sender<CandleClosed>),
}

/// See the module. Outlives the lives of the FeedActor.
pub(super) struct Listener {
    pub(super) outlet: Outlet,
    wants: Subscription,
    /// The last number told, by series.
    told: Mutex<BTreeMap<SeriesId, i64>>,
    has_ended: AtomicBool,
}

/// Why telling has stopped.
enum Stopped {
    Gone,
    Store(StoreError),
}

impl Listener {
    /// A subscriber that was told nothing yet, of a store with these series.
    ///
    /// # Errors
    /// [`ListenError::NotThere`].
    pub(super) fn new(outlet: Outlet, wants: Subscription, heads: &Heads) -> Result<Listener, ListenError> {
        let mut told = BTreeMap::new();
        for (id, head) in heads.iter().filter(|(_, head)| wants.hears(&head.name)) {
            let from = if wants.is_from_first() { 0 } else { head.last };
            let heard = wants.heard(&head.name).unwrap_or(from);
            if heard < 0 || heard > head.last {
                return Err(ListenError::NotThere { series: head.name.clone(), heard, last: head.last });
            }
            told.insert(*id, heard);
        }
        Ok(Listener { outlet, wants, told: Mutex::new(told), has_ended: AtomicBool::new(false) })
    }

    /// Nothing more is told.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<SeriesId, i64>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last number it has of a series; of one that appeared later, the one it named or none.
    fn has(&self, id: SeriesId, name: &SeriesName) -> i64 {
        self.told().get(&id).copied().unwrap_or_else(|| self.wants.heard(name).unwrap_or(0))
    }

    /// Tells everything that is stored and was not told, in the order of the numbers, until the
    /// subscriber is gone or `heads` ends.
    pub(super) async fn tell(&self, store: Arc<dyn Store>, mut heads: watch::Receiver<Heads>) {
        let mut is_troubled = false;
        loop {
            let is_behind = |(id, head): &(&SeriesId, &super::Head)| {
                self.wants.hears(&head.name) && self.has(**id, &head.name) < head.last
            };
            let behind: Vec<_> =
                heads.borrow_and_update().iter().filter(is_behind).map(|(id, head)| (*id, head.name.clone())).collect();
            let mut is_more = false;
            for (id, name) in behind {
                match self.tell_page(&*store, id, &name).await {
                    Ok(is_full) => (is_more, is_troubled) = (is_more || is_full, false),
                    Err(Stopped::Gone) => return,
                    Err(Stopped::Store(error)) => {
                        if !std::mem::replace(&mut is_troubled, true) {
                            warn!(%error, series = %name, "candles cannot be read for a subscriber; trying again");
                        }
                        is_more = true;
                        tokio::time::sleep(RETRY).await;
                        break;
                    }
                }
            }
            if !is_more && heads.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells the next changes of a series; true when there may be more.
    async fn tell_page(&self, store: &dyn Store, id: SeriesId, name: &SeriesName) -> Result<bool, Stopped> {
        let page = closed_after(store, id, name, self.has(id, name), PAGE).await.map_err(Stopped::Store)?;
        let is_full = page.len() == PAGE as usize;
        for closed in page {
            let sequence = closed.sequence;
            self.hand_over(closed).await?;
            self.told().insert(id, sequence);
        }
        Ok(is_full)
    }

    async fn hand_over(&self, closed: CandleClosed) -> Result<(), Stopped> {
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(Stopped::Gone);
        }
        match &self.outlet {
            Outlet::Broadcast(sender) => sender.send(closed).map(drop).map_err(|_| Stopped::Gone),
            Outlet::Actor(actor) => {
                while actor.send(closed.clone()).await.is_err() {
                    // One that its own supervisor starts again keeps its address.
                    if !actor.connected() || self.has_ended.load(Ordering::Relaxed) {
                        return Err(Stopped::Gone);
                    }
                    tokio::time::sleep(RETRY).await;
                }
                Ok(())
            }
        }
    }
}
