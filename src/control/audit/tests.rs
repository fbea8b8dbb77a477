use super::*;
use crate::store::{CandleSource, Kept, SymbolId};

fn now() -> DateTime<Utc> {
    "2026-11-20T15:00:00Z".parse().unwrap()
}

fn row(symbol: &str, timeframes: &[Timeframe]) -> SymbolRow {
    SymbolRow {
        id: SymbolId(1),
        exchange: "kraken".to_owned(),
        symbol: symbol.parse().unwrap(),
        timeframes: timeframes.to_vec(),
        backfill_from: now(),
        collect_candles: true,
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
        state: SymbolState::Active,
        anchors: None,
        kept: Kept::default(),
    }
}

#[test]
fn a_job_holds_the_series_that_are_named_or_all() {
    let rows = [row("BTC/USD", &[Timeframe::M1, Timeframe::H1]), row("ETH/USD", &[Timeframe::M1])];
    let series = |asked: &Audit| {
        let job = AuditJob::plan("7", asked, &rows, now()).unwrap();
        job.series.iter().map(|one| format!("{} {}", one.symbol, one.timeframe)).collect::<Vec<_>>()
    };
    assert_eq!(series(&Audit::default()), ["BTC/USD 1m", "BTC/USD 1h", "ETH/USD 1m"]);
    assert_eq!(series(&Audit { timeframes: Some("1h".to_owned()), ..Audit::default() }), ["BTC/USD 1h"]);
    let asked = Audit { from: Some("2026-11-19".to_owned()), repair: true, ..Audit::default() };
    let job = AuditJob::plan("7", &asked, &rows, now()).unwrap();
    assert_eq!((job.span.from, job.repairs), ("2026-11-19T00:00:00Z".parse().unwrap(), true));
    assert_eq!(job.span.to, DateTime::<Utc>::MAX_UTC);
}

#[test]
fn all_faults_of_a_job_are_told_at_once() {
    let paused = SymbolRow { state: SymbolState::Paused, ..row("BTC/USD", &[Timeframe::M1]) };
    let asked = Audit {
        exchange: Some("kraken".to_owned()),
        symbol: Some("BTC/USD".to_owned()),
        timeframes: Some("1h".to_owned()),
        from: Some("tomorrow".to_owned()),
        ..Audit::default()
    };
    let faults = AuditJob::plan("7", &asked, &[paused], now()).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].starts_with("from: \"tomorrow\" is no time"));
    assert_eq!(faults[1], "no series of 1h is kept there; there are: 1m");
    assert_eq!(faults[2], "kraken BTC/USD is paused; first: candlewick symbols resume kraken BTC/USD");
    let ticker = SymbolRow { only_ticker: true, ..row("BTC/USD", &[]) };
    let faults = AuditJob::plan("7", &Audit::default(), &[ticker], now()).unwrap_err();
    assert_eq!(faults, ["no candles are wanted there; add some with: candlewick symbols add EXCHANGE SYMBOL"]);
}

#[test]
fn the_course_is_read_back_from_its_words() {
    let course = Course { done: 12, of: 340 };
    let words = course.words("3 series");
    assert_eq!(words, "12 of 340 buckets compared; 3 series");
    assert_eq!(Course::read(&words), Some((course, "3 series")));
    assert_eq!(Course::read("3 series are compared"), None);
}
