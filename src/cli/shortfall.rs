//! What a database lacks of what is wanted, counted: missing and unavailable buckets, by reason.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::market::Grid;
use crate::market::ledger::{JUST_CLOSED, NOT_FETCHED};
use crate::store::inventory::{SeriesInventory, inventory};
use crate::store::{Coverage, Store, StoreError};

/// Stretches of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// How many.
    pub stretches: u64,
    /// Buckets in them.
    pub buckets: u64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shortfall {
    /// Wanted, past and not covered.
    pub missing: BTreeMap<String, Part>,
    /// Closed a moment ago and not settled yet: no gap.
    pub in_flight: Part,
    /// The venue does not have it.
    pub unavailable: BTreeMap<String, Part>,
}

impl Shortfall {
    /// Counts the whole database at `now` (venue time).
    ///
    /// # Errors
    /// The store's.
    pub async fn read(store: &dyn Store, now: DateTime<Utc>) -> Result<Shortfall, StoreError> {
        Ok(Shortfall::of(&inventory(store, now, |_| true).await?))
    }

    /// Counts some series.
    pub fn of(series: &[SeriesInventory]) -> Shortfall {
        let mut shortfall = Shortfall::default();
        for row in series {
            // Only differences are counted, so it does not matter where the borders lie.
            let grid = Grid::utc(row.timeframe);
            for gap in &row.gaps {
                let part = match &gap.coverage {
                    Coverage::Complete { .. } => continue,
                    Coverage::Missing { reason, .. } if reason == JUST_CLOSED => &mut shortfall.in_flight,
                    Coverage::Missing { reason, .. } => shortfall.missing.entry(reason.clone()).or_default(),
                    Coverage::Unavailable { reason } => shortfall.unavailable.entry(reason.clone()).or_default(),
                };
                part.stretches += 1;
                part.buckets += grid.count(gap.span);
            }
            if let Some(lag) = row.lag {
                // Where nothing was looked at yet all of the history is still to be read.
                let is_new = lag == row.wanted;
                let part = if is_new {
                    shortfall.missing.entry(NOT_FETCHED.to_owned()).or_default()
                } else {
                    &mut shortfall.in_flight
                };
                part.stretches += 1;
                part.buckets += grid.count(lag);
            }
        }
        shortfall
    }

    /// Nothing is missing, not even a part of a bucket.
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.in_flight.stretches == 0
    }

    /// Buckets that are missing or in flight. A gap of less than a bucket has none.
    pub fn open_buckets(&self) -> u64 {
        self.missing.values().map(|part| part.buckets).sum::<u64>() + self.in_flight.buckets
    }

    /// Gaps in all.
    pub fn missing_stretches(&self) -> u64 {
        self.missing.values().map(|part| part.stretches).sum()
    }

    /// What is missing, in words.
    pub fn missing_words(&self) -> String {
        words(&self.missing)
    }

    /// What is unavailable and why, in words.
    pub fn unavailable_words(&self) -> String {
        words(&self.unavailable)
    }
}

fn words(parts: &BTreeMap<String, Part>) -> String {
    if parts.is_empty() {
        return "none".to_owned();
    }
    let one = |(reason, part): (&String, &Part)| {
        let buckets = if part.buckets == 1 { "bucket" } else { "buckets" };
        let stretches = if part.stretches == 1 { "stretch" } else { "stretches" };
        format!("{} {buckets} in {} {stretches} ({reason})", part.buckets, part.stretches)
    };
    parts.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::market::{Span, Timeframe};
    use crate::store::LedgerEntry;

    #[test]
    fn missing_in_flight_and_unavailable_buckets_are_told_apart() {
        let at = |minute| "2026-11-20T15:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute);
        let gap = |from, to, coverage| LedgerEntry { span: Span::new(at(from), at(to)), coverage };
        let row = SeriesInventory {
            exchange: "kraken".to_owned(),
            symbol: "BTC/USD".parse().unwrap(),
            timeframe: Timeframe::M1,
            series: None,
            wanted: Span::new(at(0), at(11)),
            covered_percent: 10.0,
            verified_percent: 10.0,
            gaps: vec![
                gap(0, 2, Coverage::Unavailable { reason: "too_old: rest".to_owned() }),
                gap(2, 3, Coverage::missing("not_fetched")),
                gap(4, 9, Coverage::missing("not_fetched")),
                gap(9, 10, Coverage::missing(JUST_CLOSED)),
            ],
            lag: Some(Span::new(at(10), at(11))),
            first_candle: None,
            last_candle: None,
        };
        let new = SeriesInventory { gaps: vec![], lag: Some(Span::new(at(0), at(11))), ..row.clone() };
        assert_eq!(Shortfall::of(&[new]).missing_words(), "11 buckets in 1 stretch (not_fetched)");
        // The end of a minute in which a range begins.
        let cut = Span::new(at(0) + TimeDelta::seconds(50), at(1));
        let head = LedgerEntry { span: cut, coverage: Coverage::missing("to_be_built_from_trades") };
        let head = Shortfall::of(&[SeriesInventory { gaps: vec![head], lag: None, ..row.clone() }]);
        assert_eq!((head.open_buckets(), head.is_none()), (0, false));
        let shortfall = Shortfall::of(&[row]);
        assert_eq!((shortfall.open_buckets(), shortfall.is_none()), (8, false));
        assert_eq!(shortfall.missing_words(), "6 buckets in 2 stretches (not_fetched)");
        assert_eq!(shortfall.unavailable_words(), "2 buckets in 1 stretch (too_old: rest)");
        assert_eq!(shortfall.in_flight, Part { stretches: 2, buckets: 2 });
        assert_eq!(shortfall.missing_stretches(), 2);
        assert_eq!((Shortfall::default().missing_words(), Shortfall::default().is_none()), ("none".to_owned(), true));
    }
}
