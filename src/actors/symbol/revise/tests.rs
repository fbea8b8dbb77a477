use super::*;
use crate::clock::Clock;
use crate::engine::book::{Book, FromTrades, SeriesRules};
use crate::exchange::registry;
use crate::market::{Anchors, Timeframe};
use crate::store::{self, Access, NewSymbol, WriteBatch};
use std::sync::Arc;

fn t(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_183_200 + minute * 60, 0).unwrap()
}

fn span(from: i64, to: i64) -> Span {
    Span::new(t(from), t(to))
}

/// A bar whose volume is all that matters.
fn bar(minute: i64, volume: f64, source: Source) -> FinalCandle {
    let candle = Candle { volume, trades: Some(1), ..Candle::flat(t(minute), 10.0) };
    let rule = if source == Source::Derived { Rule::Derived } else { Rule::Rest };
    FinalCandle { candle, source, rule, observed_at: t(minute) }
}

/// A symbol kept in 1m, 5m and 15m, of which a quarter of an hour of 1m and two bars of 5m are stored.
struct Family {
    store: Arc<dyn Store>,
    series: Vec<Series>,
    /// Held for its life.
    _folder: tempfile::TempDir,
}

impl Family {
    async fn new() -> Family {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("candles.db").display());
        let store = store::open_with_clock(&url, Access::Create, Clock::manual(t(20))).await.unwrap();
        let timeframes = vec![Timeframe::M1, Timeframe::M5, Timeframe::M15];
        let new = NewSymbol {
            exchange: "binance".to_owned(),
            symbol: "BTC/USDT".parse().unwrap(),
            timeframes: timeframes.clone(),
            backfill_from: t(0),
            collect_trades: false,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        store.add_symbol(&new).await.unwrap();
        let symbol = store.symbols().await.unwrap().remove(0);
        let capabilities = registry::find("binance").unwrap().capabilities;
        let mut series = Vec::new();
        for (index, timeframe) in timeframes.into_iter().enumerate() {
            let id = store.open_series(symbol.id, timeframe).await.unwrap().id;
            let step = [1, 5, 15][index];
            let end = [15, 10, 0][index];
            let mut change = SeriesChange::new(id);
            change.candles = (0..end / step)
                .map(|n| bar(n * step, step as f64, [Source::Rest, Source::Derived][index.min(1)]))
                .collect();
            if end > 0 {
                change.ledger = vec![LedgerChange::Set(span(0, end), Coverage::Complete { verified: true })];
            }
            store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
            let rules = SeriesRules::new(capabilities, timeframe, Anchors::default(), FromTrades::Never).unwrap();
            let ledger = store.ledger(id).await.unwrap();
            let (book, _) = Book::open(rules, t(0), ledger, Some(t(end)), t(15));
            let native = Feed::Native { tracker: None, grace: chrono::TimeDelta::zero() };
            let derived = |from| Feed::Derived { from, next: t(end), is_reading: false };
            let feed = index.checked_sub(1).map_or(native, derived);
            series.push(Series::new(id, timeframe, book, feed));
        }
        Family { store, series, _folder: folder }
    }

    /// A save of the series of an index.
    fn change(&self, index: usize, candles: Vec<FinalCandle>, ledger: Vec<LedgerChange>) -> SeriesChange {
        SeriesChange { candles, ledger, ..SeriesChange::new(self.series[index].id) }
    }

    /// What the save becomes: open times and volumes that are written last of each series, and its
    /// statements.
    async fn completed(
        &self,
        changes: Vec<SeriesChange>,
        backlog: &Backlog,
    ) -> Vec<(Vec<(i64, f64)>, Vec<LedgerChange>)> {
        let mut all = changes;
        if let Some(lineage) = Lineage::of(&self.series, &all, CandleSource::Venue, t(16)) {
            lineage.complete(&*self.store, backlog, &mut all).await;
        }
        let told = |series: &Series| {
            let own = all.iter().filter(|change| change.series == series.id).cloned().collect::<Vec<_>>();
            let mut rows = std::collections::BTreeMap::new();
            for row in own.iter().flat_map(|change| &change.candles) {
                rows.insert((row.candle.open_time - t(0)).num_minutes(), row.candle.volume);
            }
            (rows.into_iter().collect(), own.into_iter().flat_map(|change| change.ledger).collect())
        };
        self.series.iter().map(told).collect()
    }
}

fn unverified(from: i64, to: i64) -> LedgerChange {
    LedgerChange::Unverify(span(from, to))
}

fn complete(from: i64, to: i64) -> LedgerChange {
    LedgerChange::Set(span(from, to), Coverage::Complete { verified: false })
}

#[tokio::test]
async fn all_corrections_of_a_save_are_in_the_higher_bars_that_it_changes() {
    let family = Family::new().await;
    let parts = vec![bar(1, 3.0, Source::Rest), bar(3, 4.0, Source::Rest), bar(2, 1.0, Source::Rest)];
    let told = family.completed(vec![family.change(0, parts, vec![])], &Backlog::default()).await;
    assert_eq!(told[1], (vec![(0, 10.0)], vec![unverified(0, 5)]), "1 + 3 + 1 + 4 + 1; the other bar is untouched");
    assert_eq!(told[2], (vec![], vec![]));
}

#[tokio::test]
async fn a_correction_that_two_pages_of_a_save_tell_is_added_once() {
    let family = Family::new().await;
    let parts = vec![bar(1, 2.0, Source::Rest), bar(3, 4.0, Source::Rest), bar(1, 3.0, Source::Rest)];
    let told = family.completed(vec![family.change(0, parts, vec![])], &Backlog::default()).await;
    assert_eq!(told[1], (vec![(0, 10.0)], vec![unverified(0, 5)]), "1 + 3 + 1 + 4 + 1, as the last of them says");
}

#[tokio::test]
async fn a_bar_derived_in_the_very_save_that_corrects_its_parts_is_derived_again_all_the_way_up() {
    let family = Family::new().await;
    let changes = vec![
        family.change(0, vec![bar(12, 6.0, Source::Rest)], vec![]),
        family.change(1, vec![bar(10, 5.0, Source::Derived)], vec![complete(10, 15)]),
        family.change(2, vec![bar(0, 15.0, Source::Derived)], vec![complete(0, 15)]),
    ];
    let told = family.completed(changes, &Backlog::default()).await;
    assert_eq!(told[1], (vec![(10, 10.0)], vec![complete(10, 15), unverified(10, 15)]));
    assert_eq!(told[2], (vec![(0, 20.0)], vec![complete(0, 15), unverified(0, 15)]));
}

#[tokio::test]
async fn what_does_not_prevail_or_is_not_new_changes_no_higher_bar() {
    let family = Family::new().await;
    let parts = vec![bar(1, 1.0, Source::Rest), bar(2, 7.0, Source::Stream), bar(15, 7.0, Source::Rest)];
    let told = family.completed(vec![family.change(0, parts, vec![complete(15, 16)])], &Backlog::default()).await;
    assert_eq!((&told[1], &told[2]), (&(vec![], vec![]), &(vec![], vec![])));
}

#[tokio::test]
async fn a_bar_that_the_exchange_printed_itself_is_not_replaced_by_a_sum() {
    let family = Family::new().await;
    let changes = vec![
        family.change(0, vec![bar(1, 3.0, Source::Rest)], vec![]),
        family.change(1, vec![bar(0, 6.5, Source::Rest)], vec![]),
    ];
    let told = family.completed(changes, &Backlog::default()).await;
    assert_eq!(told[1], (vec![(0, 6.5)], vec![unverified(0, 5)]));
}

#[tokio::test]
async fn while_the_store_lacks_parts_that_are_spooled_and_without_a_withdrawn_one_higher_bars_are_read_again() {
    let family = Family::new().await;
    let backlog = Backlog::default();
    backlog.change(|depth| depth.jobs = 1);
    let told = family.completed(vec![family.change(0, vec![bar(1, 3.0, Source::Rest)], vec![])], &backlog).await;
    assert_eq!(told[1], (vec![], vec![unverified(0, 5)]));
    let gone = LedgerChange::Withdraw(span(7, 8), Coverage::missing("venue_hole"));
    let told = family.completed(vec![family.change(0, vec![], vec![gone])], &Backlog::default()).await;
    assert_eq!(told[1].1, [unverified(5, 10)]);
}

#[tokio::test]
async fn a_bar_that_is_withdrawn_and_proven_empty_is_no_part_any_more() {
    let family = Family::new().await;
    let gone = LedgerChange::Withdraw(span(7, 8), Coverage::missing("venue_hole"));
    let told = family.completed(vec![family.change(0, vec![], vec![gone, complete(7, 8)])], &Backlog::default()).await;
    assert_eq!(told[1], (vec![(5, 4.0)], vec![unverified(5, 10)]), "what the store still has of it does not count");
}
