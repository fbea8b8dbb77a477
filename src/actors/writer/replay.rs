//! What waits in the spool goes to the store: first in, first out, and removed only when the store
//! has it. Killed in between, it goes there twice, which changes nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::place::{Changes, Hopeless, Means, Settled};
use crate::store::spool::{Spool, SpoolError, Waiting};
use crate::store::{ModeChange, SeriesChange, StoreError, TradesChange};

/// Senders' changes that are read at once.
const JOBS_AT_ONCE: usize = 100;
/// After so long the writer is told how far things are.
const TOLD_EVERY: Duration = Duration::from_secs(1);

impl Changes for Waiting {
    fn series(&self) -> &[SeriesChange] {
        &self.series
    }

    fn trades(&self) -> Option<&TradesChange> {
        self.trades.as_ref()
    }

    fn modes(&self) -> &[ModeChange] {
        &self.modes
    }
}

impl Means {
    /// Replays until nothing waits, the store cannot be written, or somebody should be told. Returns
    /// what went wrong.
    pub async fn replay(&self, spool: &Spool) -> Result<Option<String>, Hopeless> {
        let began = Instant::now();
        while !spool.backlog().is_empty() && began.elapsed() < TOLD_EVERY {
            if let Some(trouble) = self.replay_oldest(spool).await? {
                return Ok(Some(trouble));
            }
        }
        Ok(None)
    }

    async fn replay_oldest(&self, spool: &Spool) -> Result<Option<String>, Hopeless> {
        let oldest = match spool.oldest(JOBS_AT_ONCE).await {
            Ok(oldest) => oldest,
            Err(error) => return trouble(error),
        };
        let Settled { decided, undecided } = self.settle(oldest, None, is_poison).await;
        for (job, result) in &decided {
            if result.is_err() {
                // It counts on what it was told: it begins anew with what is really there.
                spool.backlog().refuse(job.symbol);
            }
        }
        if let Some((last, _)) = decided.last()
            && let Err(error) = spool.remove(last.ticket).await
        {
            return trouble(error);
        }
        match undecided {
            None => Ok(None),
            Some((error, _)) if error.is_transient() => {
                self.tally.write_failure();
                Ok(Some(error.to_string()))
            }
            // Somebody else holds the database, or it is not what it was: what waits is kept.
            Some((error, _)) => Err(Hopeless(error.to_string())),
        }
    }
}

/// Only what the database says of the data itself: of what it says of itself somebody must hear.
fn is_poison(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(_))
}

fn trouble(error: SpoolError) -> Result<Option<String>, Hopeless> {
    if error.is_transient() { Ok(Some(error.to_string())) } else { Err(Hopeless(error.to_string())) }
}
