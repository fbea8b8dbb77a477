//! What of a series is built from trades, and what becomes of buckets that trades cannot tell.

use chrono::{DateTime, TimeDelta, Utc};

use super::conclude::MAX_ATTEMPTS;
use super::{Book, FromTrades};
use crate::market::ledger::{
    self, Coverage, FROM_TRADES, LedgerChange, NO_TRADE_BEFORE, NOT_FETCHED, TRADES_NOT_SERVED,
};
use crate::market::{Span, SpanSet};

/// How far before a quiet beginning the price is looked for, by attempts.
const LOOK_BACK: [TimeDelta; 4] = [TimeDelta::zero(), TimeDelta::hours(1), TimeDelta::days(1), TimeDelta::days(7)];

impl Book {
    /// The closed stretches whose candles are to be built from trades and are due at `now`.
    pub fn trade_work(&self, now: DateTime<Utc>) -> SpanSet {
        let all = match self.rules.from_trades {
            FromTrades::Never => return SpanSet::new(),
            FromTrades::Old => false,
            FromTrades::All => true,
        };
        let due = self.missing().filter(|m| (all || m.reason == FROM_TRADES) && m.is_due(now));
        let missing: SpanSet = due.map(|missing| missing.span).collect();
        missing.union(&self.outdated())
    }

    /// What is to be built again. Where trades are all there is, unverified means built before all of
    /// them were known.
    pub fn outdated(&self) -> SpanSet {
        let all = self.is_from_trades();
        let unverified = ledger::select(&self.entries, |c| all && *c == Coverage::Complete { verified: false });
        unverified.within(Span::new(self.wanted_from, DateTime::<Utc>::MAX_UTC))
    }

    /// Statements that have candles built after all that were given up for want of their trades, where
    /// these are not `lost` any more: told since, or asked for again.
    pub fn build_after_all(&self, lost: &SpanSet) -> Vec<LedgerChange> {
        let reason = match self.rules.from_trades {
            FromTrades::Never => return Vec::new(),
            FromTrades::Old => FROM_TRADES,
            FromTrades::All => NOT_FETCHED,
        };
        let is_given_up = |c: &Coverage| matches!(c, Coverage::Unavailable { reason } if reason == TRADES_NOT_SERVED);
        let given_up = ledger::select(&self.entries, is_given_up);
        let grid = self.grid();
        let whole = |span: &Span| Span::new(grid.bucket_at(span.from), grid.ceil(span.to));
        let again = given_up.subtract(&lost.spans().iter().map(whole).collect());
        again.spans().iter().map(|span| LedgerChange::Set(*span, Coverage::missing(reason))).collect()
    }

    /// True when all candles are built from trades, so that nothing else can verify them.
    pub fn is_from_trades(&self) -> bool {
        self.rules.from_trades == FromTrades::All
    }

    /// Since when the trades are needed that candles are built from; `None` where at `now` the venue's own
    /// reach back to the first one.
    pub fn built_from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let is_built = match self.rules.from_trades {
            FromTrades::Never => false,
            FromTrades::Old => self.rules.depth_edge(now).is_some_and(|edge| self.wanted_from < edge),
            FromTrades::All => true,
        };
        is_built.then_some(self.wanted_from)
    }

    /// How far before `from` reading must begin, so that a quiet bucket there finds its price.
    pub fn look_back(&self, from: DateTime<Utc>) -> TimeDelta {
        let attempts = self.missing().find(|m| m.span.contains(from)).map_or(0, |m| m.attempts as usize);
        LOOK_BACK[attempts.min(LOOK_BACK.len() - 1)]
    }

    /// Accounts for quiet buckets whose price was not found.
    pub fn priceless(&self, span: Span, now: DateTime<Utc>) -> LedgerChange {
        let known = self.missing().find(|m| m.span.overlaps(span));
        let attempts = known.map_or(0, |m| m.attempts) + 1;
        if attempts >= MAX_ATTEMPTS {
            return LedgerChange::Set(span, Coverage::Unavailable { reason: NO_TRADE_BEFORE.to_owned() });
        }
        let reason = known.map_or(FROM_TRADES, |m| m.reason).to_owned();
        let next_attempt_at = Some(now + TimeDelta::from_std(self.rules.retry_delay(attempts)).unwrap_or_default());
        LedgerChange::Set(span, Coverage::Missing { reason, attempts, next_attempt_at })
    }
}
