//! What an import has claimed before the collector starts: confirmed by the venue where it can be,
//! corrected where it was wrong, and left in peace where nobody can say more.

use candlewick::market::{Candle, FinalCandle, Grid, Rule, Source, Span, Timeframe};
use candlewick::sim::SimConfig;
use candlewick::store::{Coverage, LedgerChange, SeriesChange, Store, WriteBatch};
use chrono::TimeDelta;

use crate::support::stage::{Stage, in_virtual_time, minutes, missing, seconds, symbol};

/// Imports the first `length` of a symbol's wanted minutes: the venue's own, but every seventh is wrong
/// when `is_faulty`.
async fn import(stage: &Stage, exchange: &str, name: &str, length: TimeDelta, is_faulty: bool) -> Span {
    let rows = stage.store.symbols().await.unwrap();
    let row = rows.iter().find(|row| row.exchange == exchange && row.symbol == symbol(name)).unwrap();
    let from = Grid::utc(Timeframe::M1).bucket_at(row.backfill_from);
    let span = Span::new(from, from + length);
    let spoilt = |(index, candle): (usize, Candle)| {
        let close = if is_faulty && index % 7 == 3 { candle.high * 2.0 } else { candle.close };
        Candle { close, ..candle }
    };
    let candles = stage.truth(exchange, name, Timeframe::M1, span).into_iter().enumerate().map(spoilt);
    let declared =
        |candle| FinalCandle { candle, source: Source::Derived, rule: Rule::Imported, observed_at: stage.now() };
    let change = SeriesChange {
        candles: candles.map(declared).collect(),
        ledger: vec![LedgerChange::Set(span, Coverage::Complete { verified: false })],
        ..SeriesChange::new(stage.store.open_series(row.id, Timeframe::M1).await.unwrap().id)
    };
    stage.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
    span
}

#[test]
fn the_venue_confirms_an_import_and_corrects_what_was_wrong() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::hours(8)).await;
        let imported = import(&stage, "binance", "BTC/USDT", TimeDelta::hours(6), true).await;
        stage.start().await;
        stage.pass(minutes(20)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
        let rows = stage.stored("binance", "BTC/USDT", Timeframe::M1).await;
        let of_import = || rows.iter().filter(|row| imported.contains(row.candle.open_time));
        assert_eq!(of_import().count(), 360);
        assert!(of_import().all(|row| (row.source, row.rule) == (Source::Rest, Rule::Rest)));
        assert_eq!(
            of_import().filter(|row| row.revision == 1).count(),
            (0..360).filter(|index| index % 7 == 3).count()
        );
        let ledger = stage.ledger("binance", "BTC/USDT", Timeframe::M1).await;
        assert_eq!((ledger[0].span.from, &ledger[0].coverage), (imported.from, &Coverage::Complete { verified: true }));
        assert!(ledger[0].span.to >= imported.to);
    });
}

#[test]
fn what_the_venue_does_not_serve_any_more_stays_as_imported_and_costs_no_calls() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        // Kraken serves the newest 720 minutes.
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(24)).await;
        stage.want("kraken", "ETH/USD", &[Timeframe::M1], TimeDelta::hours(11)).await;
        let imported = import(&stage, "kraken", "BTC/USD", TimeDelta::hours(13), false).await;
        stage.start().await;
        stage.pass(minutes(30)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        let ledger = stage.ledger("kraken", "BTC/USD", Timeframe::M1).await;
        assert_eq!(missing(&ledger), []);
        assert_eq!(
            (ledger[0].span.from, &ledger[0].coverage),
            (imported.from, &Coverage::Complete { verified: false })
        );
        let rows = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        assert_eq!((rows[0].source, rows[0].rule), (Source::Derived, Rule::Imported));
        let calls = || ["BTC/USD", "ETH/USD"].map(|name| stage.calls("kraken", &format!("OHLC {name} 1")));
        let before = calls();
        stage.pass(minutes(60)).await;
        let [with, without] = [calls()[0] - before[0], calls()[1] - before[1]];
        assert!(without > 0 && with.abs_diff(without) <= 1, "{with} calls, and {without} without an import");
    });
}
