//! A running collector in the hands of who started it: a [`Remote`] that can also wait for the end.

use std::ops::Deref;

use tokio::sync::oneshot;

use super::Remote;
use crate::actors::messages::Shutdown;
use crate::actors::supervisor::CollectorFailed;

/// A running collector. Everything that can be asked of one is in [`Remote`].
///
/// The handle does not keep it alive: dropped, the collector goes on until it is stopped through its
/// address, by a command, or with its System or `LocalSet`.
pub struct CollectorHandle {
    remote: Remote,
    ended: Option<oneshot::Receiver<Result<(), CollectorFailed>>>,
}

impl Deref for CollectorHandle {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}

impl CollectorHandle {
    pub(super) fn new(remote: Remote, ended: oneshot::Receiver<Result<(), CollectorFailed>>) -> CollectorHandle {
        CollectorHandle { remote, ended: Some(ended) }
    }

    /// The collector for others, also on other threads, such as those of a server.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Waits until the collector has ended, and says how. Its database is free then.
    ///
    /// # Errors
    /// When it failed, or ended with its System, arbiter or `LocalSet`.
    pub async fn ended(&mut self) -> Result<(), CollectorFailed> {
        match &mut self.ended {
            Some(ended) => {
                let result = ended.await.unwrap_or(Ok(()));
                self.ended = None;
                result
            }
            None => Ok(()),
        }
    }

    /// Stops in order: sources hand over, the writer flushes, subscribers hear what was stored, status
    /// says stopped. Returns when everything has ended, at the latest after the configured deadline.
    ///
    /// # Errors
    /// When the collector had failed before.
    pub async fn shutdown(mut self) -> Result<(), CollectorFailed> {
        self.stop().await
    }

    /// [`CollectorHandle::shutdown`] for hosts that still ask the handle for totals, statuses and
    /// the store afterwards.
    ///
    /// # Errors
    /// When the collector had failed before.
    pub async fn stop(&mut self) -> Result<(), CollectorFailed> {
        // An address that is closed belongs to a collector that has ended; `ended` says how.
        let _ = self.remote.supervisor().send(Shutdown).await;
        self.ended().await
    }
}
