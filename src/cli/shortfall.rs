//! What the ledgers of a database lack, counted: what is missing and what is unavailable, by reason.

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::book::JUST_CLOSED;
use crate::market::{Grid, Span};
use crate::store::{Coverage, SeriesRow, Store, StoreError, SymbolRow};

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
    /// Closed a moment ago and being read: no gap yet.
    pub in_flight: Part,
    /// The venue does not have it.
    pub unavailable: BTreeMap<String, Part>,
}

impl Shortfall {
    /// Counts the whole database.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(store: &dyn Store) -> Result<Shortfall, StoreError> {
        let mut shortfall = Shortfall::default();
        for symbol in store.symbols().await? {
            for series in store.series_of(symbol.id).await? {
                shortfall.add(store, &symbol, &series).await?;
            }
        }
        Ok(shortfall)
    }

    /// Counts one series.
    ///
    /// # Errors
    /// The store's.
    pub async fn add(&mut self, store: &dyn Store, symbol: &SymbolRow, series: &SeriesRow) -> Result<(), StoreError> {
        let anchors = symbol.anchors.as_ref().and_then(|row| row.to_anchors()).unwrap_or_default();
        let grid = Grid::new(series.timeframe, anchors);
        let wanted_from = grid.bucket_at(symbol.backfill_from);
        for entry in store.ledger(series.id).await? {
            let span = Span::new(entry.span.from.max(wanted_from), entry.span.to);
            if span.is_empty() {
                continue;
            }
            let part = match entry.coverage {
                Coverage::Complete { .. } => continue,
                Coverage::Missing { reason, .. } if reason == JUST_CLOSED => &mut self.in_flight,
                Coverage::Missing { reason, .. } => self.missing.entry(reason).or_default(),
                Coverage::Unavailable { reason } => self.unavailable.entry(reason).or_default(),
            };
            part.stretches += 1;
            part.buckets += grid.count(span);
        }
        Ok(())
    }

    /// Gaps in all.
    pub fn missing_stretches(&self) -> u64 {
        self.missing.values().map(|part| part.stretches).sum()
    }

    /// What is missing, in words.
    pub fn missing_words(&self) -> impl fmt::Display {
        words(&self.missing)
    }

    /// What is unavailable and why, in words.
    pub fn unavailable_words(&self) -> impl fmt::Display {
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
        format!("{reason}: {} {buckets} in {} {stretches}", part.buckets, part.stretches)
    };
    parts.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::market::{Candle, FinalCandle, Rule, Source, Timeframe};
    use crate::store::{Access, LedgerChange, NewSymbol, SeriesChange, WriteBatch, open};

    #[tokio::test]
    async fn missing_in_flight_and_unavailable_buckets_are_told_apart() {
        let store = open("sqlite://:memory:", Access::Create).await.unwrap();
        let start: chrono::DateTime<chrono::Utc> = "2026-11-20T15:00:00Z".parse().unwrap();
        let at = |minute| start + TimeDelta::minutes(minute);
        let new = NewSymbol {
            exchange: "kraken".to_owned(),
            symbol: "BTC/USD".parse().unwrap(),
            timeframes: vec![Timeframe::M1],
            backfill_from: start,
            collect_trades: false,
            candle_source: crate::store::CandleSource::Venue,
            only_ticker: false,
        };
        store.add_symbol(&new).await.unwrap();
        let symbol = store.symbols().await.unwrap().remove(0);
        let series = store.open_series(symbol.id, Timeframe::M1).await.unwrap();
        let set = |from, to, coverage| LedgerChange::Set(Span::new(at(from), at(to)), coverage);
        let mut change = SeriesChange::new(series.id);
        change.candles.push(FinalCandle {
            candle: Candle::flat(at(3), 1.0),
            source: Source::Rest,
            rule: Rule::Rest,
            observed_at: at(20),
        });
        change.ledger = vec![
            set(0, 2, Coverage::Unavailable { reason: "too_old: rest".to_owned() }),
            set(3, 4, Coverage::Complete { verified: true }),
            set(9, 10, Coverage::missing(JUST_CLOSED)),
        ];
        change.extent = Some((Span::new(at(0), at(10)), "not_fetched"));
        store.write(&WriteBatch { series: vec![change], trades: vec![] }).await.unwrap();

        let shortfall = Shortfall::read(&*store).await.unwrap();
        assert_eq!(shortfall.missing_words().to_string(), "not_fetched: 6 buckets in 2 stretches");
        assert_eq!(shortfall.unavailable_words().to_string(), "too_old: rest: 2 buckets in 1 stretch");
        assert_eq!(shortfall.in_flight, Part { stretches: 1, buckets: 1 });
        assert_eq!(shortfall.missing_stretches(), 2);
    }
}
