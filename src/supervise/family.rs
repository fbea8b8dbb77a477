//! Knowing when a parent and everything below it are gone.
//!
//! Every actor of a family holds a [`Member`]; the watcher waits until the last one is dropped.

use std::time::Duration;

use tokio::sync::mpsc;

/// Held by an actor for as long as it lives.
#[derive(Debug, Clone)]
pub struct Member {
    _alive: mpsc::Sender<()>,
}

/// Waits for the end of a family.
#[derive(Debug)]
pub struct Family {
    ended: mpsc::Receiver<()>,
}

impl Family {
    /// A new family and its first member.
    pub fn new() -> (Family, Member) {
        let (alive, ended) = mpsc::channel(1);
        (Family { ended }, Member { _alive: alive })
    }

    /// True when all members were gone before the (wall-clock) deadline passed.
    pub async fn ended_within(&mut self, deadline: Duration) -> bool {
        tokio::time::timeout(deadline, self.ended.recv()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_family_has_ended_when_its_last_member_is_gone() {
        let (mut family, parent) = Family::new();
        let child = parent.clone();
        drop(parent);
        assert!(!family.ended_within(Duration::from_secs(5)).await);
        drop(child);
        assert!(family.ended_within(Duration::from_secs(5)).await);
    }
}
