//! What a venue would not show is asked for once more: one that was away, or cut its pages short, says
//! the same as one that has nothing.

use chrono::{DateTime, TimeDelta, Utc};

use super::Tape;
use crate::exchange::TradeHistory;
use crate::market::{Span, SpanSet};

/// First and longest wait.
const AGAIN: (TimeDelta, TimeDelta) = (TimeDelta::hours(1), TimeDelta::days(7));

/// Stretches that were given up, and when they are asked for again.
#[derive(Debug)]
pub(super) struct Again {
    given_up: SpanSet,
    at: DateTime<Utc>,
    wait: TimeDelta,
}

impl Again {
    pub fn from(now: DateTime<Utc>) -> Again {
        Again { given_up: SpanSet::new(), at: now, wait: AGAIN.0 }
    }
}

impl Tape {
    /// A stretch is unavailable for now: pages did not show it.
    pub fn give_up(&mut self, span: Span, now: DateTime<Utc>) {
        self.unavailable.insert(span);
        // Venues that serve only their newest trades will never show it.
        if self.rules.rest.is_some_and(|rest| rest.history != TradeHistory::Recent) {
            if self.again.given_up.is_empty() {
                self.again.at = now + self.again.wait;
            }
            self.again.given_up.insert(span);
        }
    }

    /// Takes what was given up for missing once more when it is time.
    pub fn look_again(&mut self, now: DateTime<Utc>) {
        if now >= self.again.at && !self.again.given_up.is_empty() {
            self.unavailable = self.unavailable.subtract(&std::mem::take(&mut self.again.given_up));
            self.again.wait = (self.again.wait * 2).min(AGAIN.1);
        }
    }

    /// When that is.
    pub(super) fn again_at(&self) -> Option<DateTime<Utc>> {
        (!self.again.given_up.is_empty()).then_some(self.again.at)
    }
}
