//! One subscriber: what it wants, what it was told, and how the next message reaches it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::outlet::{Gone, Outlet, Place};
use super::{Heads, closed_after};
use crate::actors::messages::CandleClosed;
use crate::actors::messages::host::{ListenError, Subscription};
use crate::market::SeriesName;
use crate::store::{SeriesId, Store, StoreError};

/// Rows read of one series before the next one has its turn.
const PAGE: u32 = 500;
/// Wait after a read that failed.
const RETRY: Duration = Duration::from_secs(1);

/// See the module. Outlives the lives of the FeedActor.
pub(super) struct Listener {
    pub(super) place: Place<CandleClosed>,
    wants: Subscription,
    /// The last number told, by series.
    told: Mutex<BTreeMap<SeriesId, i64>>,
}

/// Why telling has stopped.
enum Stopped {
    Gone,
    Store(StoreError),
}

impl From<Gone> for Stopped {
    fn from(_: Gone) -> Stopped {
        Stopped::Gone
    }
}

impl Listener {
    /// A subscriber that was told nothing yet, of a store with these series.
    ///
    /// # Errors
    /// [`ListenError::NotThere`].
    pub(super) fn new(
        outlet: Outlet<CandleClosed>,
        wants: Subscription,
        heads: &Heads,
    ) -> Result<Listener, ListenError> {
        let mut told = BTreeMap::new();
        for (id, head) in heads.iter().filter(|(_, head)| wants.hears(&head.name)) {
            let from = if wants.is_from_first() { 0 } else { head.last };
            let heard = wants.heard(&head.name).unwrap_or(from);
            if heard < 0 || heard > head.last {
                return Err(ListenError::NotThere { series: head.name.clone(), heard, last: head.last });
            }
            told.insert(*id, heard);
        }
        Ok(Listener { place: Place::new(outlet), wants, told: Mutex::new(told) })
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
            self.place.hand_over(closed).await?;
            self.told().insert(id, sequence);
        }
        Ok(is_full)
    }
}
