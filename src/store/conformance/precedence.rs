//! Which value stays when two sources speak of one bucket.

use std::sync::Arc;

use super::super::Store;
use super::{CandleSource, Fixture, SeriesOutcome, bar, minute, observed, ok, only_symbol};
use crate::market::{Candle, FinalCandle, Rule, Source, Timeframe};

/// Weakest first, written out once more: the suite does not ask the code it tests.
const WEAKEST_FIRST: [Source; 6] =
    [Source::Synthesised, Source::Derived, Source::Trades, Source::Stream, Source::StreamClosed, Source::Rest];

pub(super) async fn every_pair_of_sources_is_decided_by_strength_and_time(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let mut cases = 0;
    let mut sequence = 0;
    for (held_rank, held) in WEAKEST_FIRST.into_iter().enumerate() {
        for (offered_rank, offered) in WEAKEST_FIRST.into_iter().enumerate() {
            for age in [-1, 0, 1] {
                for differs in [false, true] {
                    let n = cases;
                    let case = format!("{held} held, {offered} offered {age} min later, differs: {differs}");
                    fixture.save(&[observed(bar(n, 10.0), held, minute(n + 5))]).await;
                    let close = if differs { 20.0 } else { 10.0 };
                    let outcome = fixture.save(&[observed(bar(n, close), offered, minute(n + 5 + age))]).await;
                    let prevails = offered_rank > held_rank || (offered_rank == held_rank && age >= 0);
                    sequence += 1 + i64::from(differs && prevails);
                    let counts =
                        (outcome.inserted, outcome.unchanged, outcome.outranked, outcome.revisions.len() as u64);
                    let expected = match (differs, prevails) {
                        (false, _) => (0, 1, 0, 0),
                        (true, false) => (0, 0, 1, 0),
                        (true, true) => (0, 0, 0, 1),
                    };
                    assert_eq!(counts, expected, "{case}");
                    assert_eq!(outcome.last_sequence, sequence, "{case}");

                    let row = fixture.stored().await.pop().expect("a row was stored");
                    assert_eq!(row.candle, bar(n, if differs && prevails { 20.0 } else { 10.0 }), "{case}");
                    let takes_source = offered_rank > held_rank || (differs && prevails);
                    assert_eq!(row.source, if takes_source { offered } else { held }, "{case}");
                    assert_eq!(row.revision, i32::from(differs && prevails), "{case}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 6 * 6 * 3 * 2);
}

pub(super) async fn verified_trades_rank_highest_where_candles_are_built_from_them(store: Arc<dyn Store>) {
    let fixture = Fixture::built_from(store, CandleSource::Trades).await;
    assert_eq!(only_symbol(&*fixture.store).await.candle_source, CandleSource::Trades);
    let from = |source, close| observed(bar(0, close), source, minute(5));
    fixture.save(&[from(Source::Rest, 1.0)]).await;
    assert_eq!(fixture.save(&[from(Source::Trades, 2.0)]).await.revisions.len(), 1);
    assert_eq!(fixture.save(&[from(Source::Rest, 3.0)]).await.outranked, 1);
    assert_eq!(fixture.bars().await, [bar(0, 2.0)]);
    // Elsewhere in the same store the usual order holds.
    ok(fixture.store.add_symbol(&super::wanted("kraken", "ETH/USD")).await);
    let eth = ok(fixture.store.symbols().await).pop().expect("two symbols").id;
    let series = ok(fixture.store.open_series(eth, Timeframe::M1).await).id;
    let usual = Fixture { series, symbol: eth, store: fixture.store };
    usual.save(&[from(Source::Rest, 1.0)]).await;
    assert_eq!(usual.save(&[from(Source::Trades, 2.0)]).await.outranked, 1);
}

pub(super) async fn imported_rows_yield_to_observed_ones_and_lend_them_nothing(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let imported = |n, close, source, at| FinalCandle {
        rule: Rule::Imported,
        candle: Candle { vwap: Some(9.0), ..bar(n, close) },
        ..observed(bar(n, close), source, minute(at))
    };
    let newest = async || fixture.stored().await.pop().expect("a row was stored");
    let mut cases = 0;
    for (n, source) in WEAKEST_FIRST.into_iter().enumerate() {
        let n = 4 * n as i64;
        // Observed, then imported later: nothing changes, whether it agrees or not.
        fixture.save(&[observed(bar(n, 10.0), source, minute(5))]).await;
        let kept = newest().await;
        assert_eq!(fixture.save(&[imported(n, 10.0, source, 900)]).await.unchanged, 1, "{source}");
        assert_eq!(fixture.save(&[imported(n, 20.0, source, 900)]).await.outranked, 1, "{source}");
        assert_eq!(newest().await, kept, "{source}");
        // Imported, then observed, although before: it has the last word, and nothing else is left.
        fixture.save(&[imported(n + 1, 10.0, source, 900)]).await;
        assert_eq!(newest().await.candle.vwap, Some(9.0));
        fixture.save(&[observed(bar(n + 1, 10.0), source, minute(5))]).await;
        let row = newest().await;
        assert_eq!((row.rule, row.candle, row.revision), (kept.rule, bar(n + 1, 10.0), 0), "{source}");
        fixture.save(&[imported(n + 2, 10.0, source, 900)]).await;
        let outcome = fixture.save(&[observed(bar(n + 2, 20.0), source, minute(5))]).await;
        assert_eq!((outcome.revisions.len(), newest().await.rule), (1, kept.rule), "{source}");
        // Of two imports the later one stays.
        fixture.save(&[imported(n + 3, 10.0, source, 900)]).await;
        assert_eq!(fixture.save(&[imported(n + 3, 20.0, source, 901)]).await.revisions.len(), 1, "{source}");
        cases += 1;
    }
    assert_eq!(cases, 6);
}

pub(super) async fn a_stronger_source_for_the_same_value_is_no_revision_but_counts_from_then_on(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let streamed = Candle { trades: Some(7), vwap: None, quote_volume: None, ..bar(0, 10.0) };
    let read = Candle { trades: None, vwap: Some(9.5), quote_volume: Some(15.0), ..bar(0, 10.0) };
    fixture.save(&[observed(streamed, Source::Stream, minute(1))]).await;
    let confirmed = fixture.save(&[observed(read, Source::Rest, minute(3))]).await;
    assert_eq!(confirmed, SeriesOutcome { unchanged: 1, last_sequence: 1, ..SeriesOutcome::default() });
    let row = fixture.stored().await.remove(0);
    assert_eq!((row.source, row.rule, row.observed_at), (Source::Rest, Rule::Rest, minute(3)));
    assert_eq!((row.revision, row.candle.close), (0, 10.0));
    let details = (row.candle.trades, row.candle.vwap, row.candle.quote_volume);
    assert_eq!(details, (Some(7), Some(9.5), Some(15.0)), "what each of them printed is kept");
    let late = fixture.save(&[observed(bar(0, 11.0), Source::StreamClosed, minute(9))]).await;
    assert_eq!(late.outranked, 1, "the row is as strong as its strongest witness");
}
