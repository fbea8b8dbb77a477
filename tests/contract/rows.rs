//! When a row is final, and what stands where nothing traded.

use std::time::Duration;

use candlewick::engine::page::{Findings, Page, PageRules, judge};
use candlewick::exchange::{Instrument, QuietPolicy};
use candlewick::market::{Candle, Grid, Span, Timeframe};
use candlewick::sim::SimConfig;
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::line::{Line, assert_agree};
use crate::venue::{self, unlimited};

const MINUTE: Timeframe = Timeframe::M1;

/// What a page of minutes proves, asked for now.
async fn judged(line: &Line, market: &Instrument, span: Span) -> (Vec<Candle>, Findings) {
    let capabilities = line.dialect.capabilities();
    let grid = Grid::new(MINUTE, market.anchors);
    let rules = PageRules {
        grid,
        quiet: capabilities.quiet,
        settle: capabilities.settle,
        settle_empty: capabilities.settle_empty,
    };
    let rows = line.candles(market, MINUTE, span).await.unwrap();
    let now = line.clock.now();
    let page = Page { asked: span, rows: rows.clone(), sent_at: now };
    (rows, judge(&rules, &page))
}

#[tokio::test]
async fn a_row_is_final_once_it_has_settled_and_is_the_truth_from_then_on() {
    let mut formed = 0;
    for capabilities in venue::all() {
        let line = venue::standing(capabilities.id, SimConfig { trades_per_minute: 40.0, ..unlimited() });
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let open = Grid::utc(MINUTE).bucket_at(line.clock.now()) + TimeDelta::minutes(1);
        let close = open + TimeDelta::minutes(1);
        let span = Span::new(open - TimeDelta::minutes(5), close);
        let bucket = Span::new(open, close);
        let is_it = |candle: &&Candle| candle.open_time == open;
        let settled = close + TimeDelta::from_std(capabilities.settle).unwrap();
        let early = [open + TimeDelta::seconds(31), close - TimeDelta::milliseconds(1), close, settled];
        let mut before = Vec::new();
        for (index, at) in early.into_iter().enumerate() {
            let at = if index == 3 { at - TimeDelta::milliseconds(1) } else { at };
            line.clock.set(at);
            let (rows, findings) = judged(&line, &market, span).await;
            let what = format!("{} at {at}", capabilities.id);
            assert_eq!(findings.finals.iter().find(is_it), None, "{what}");
            assert!(!findings.complete.contains(open), "{what}");
            assert_eq!(findings.refused_rows, 0, "{what}");
            before.extend(rows.into_iter().find(|row| row.open_time == open).filter(|_| at < close));
        }
        line.clock.set(settled);
        let (rows, findings) = judged(&line, &market, span).await;
        let finals: Vec<_> = findings.finals.iter().filter(is_it).copied().collect();
        // What is told late is told again later; see `late_bar_delays`.
        let told_by = capabilities.late_bar_delays.iter().max().copied().unwrap_or_default();
        let is_told = rows.iter().any(|row| row.open_time == open);
        let finals = if is_told { finals } else { later(&line, &market, span, told_by).await };
        let finals: Vec<_> = finals.into_iter().filter(|candle| candle.open_time == open).collect();
        let truth = line.true_candles(market.symbol.as_str(), MINUTE, bucket);
        assert_agree(&finals, &truth, capabilities.id);
        formed += usize::from(before.iter().any(|row| row.volume < truth[0].volume));
    }
    assert!(formed > 5, "{formed} venues showed a row that grew");
}

/// The final rows once the last late bar has come.
async fn later(line: &Line, market: &Instrument, span: Span, by: Duration) -> Vec<Candle> {
    line.clock.advance(by);
    judged(line, market, span).await.1.finals
}

/// Minutes of a day by what a page says of them: rows that traded, flat rows, no rows.
struct Minutes {
    traded: usize,
    flat: usize,
    absent: usize,
}

async fn minutes_of(line: &Line, market: &Instrument, span: Span) -> Minutes {
    let rows = line.candles(market, MINUTE, span).await.unwrap();
    let rows: Vec<_> = rows.into_iter().filter(|row| span.contains(row.open_time)).collect();
    let flat = rows.iter().filter(|row| row.is_quiet()).count();
    let count = Grid::new(MINUTE, market.anchors).count(span) as usize;
    Minutes { traded: rows.len() - flat, flat, absent: count - rows.len() }
}

#[tokio::test]
async fn where_nothing_traded_stands_what_the_capabilities_declare() {
    for capabilities in venue::all() {
        let line = venue::standing(capabilities.id, SimConfig { trades_per_minute: 0.2, ..unlimited() });
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let to: DateTime<Utc> =
            Grid::utc(MINUTE).bucket_at(line.clock.now() - TimeDelta::from_std(capabilities.settle_empty).unwrap());
        let Minutes { traded, flat, absent } =
            minutes_of(&line, &market, Span::new(to - TimeDelta::minutes(100), to)).await;
        let what = format!("{}: {traded} traded, {flat} flat, {absent} absent", capabilities.id);
        assert!(traded > 10 && flat + absent > 10, "{what}");
        match capabilities.quiet {
            QuietPolicy::Emits => {
                let settled = TimeDelta::from_std(capabilities.settle).unwrap();
                let newest = Grid::utc(MINUTE).last_closed_end(line.clock.now() - settled);
                let young = minutes_of(&line, &market, Span::new(to, newest)).await;
                assert_eq!((absent, young.absent), (0, 0), "{what}");
            }
            QuietPolicy::Omits => assert_eq!(flat, 0, "{what}"),
            // Promises neither.
            QuietPolicy::Mixed => {}
        }
    }
}
