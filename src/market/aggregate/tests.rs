use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::market::{Anchors, Session, TradeId, WeekStart};

const BASE: i64 = 1_763_640_000; // 2025-11-20T12:00:00Z

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(BASE * 1000 + ms).unwrap()
}

fn trade(id: u64, ms: i64, price: &str, amount: &str) -> Trade {
    let id = TradeId::Number(id);
    Trade {
        last_id: id.clone(),
        id,
        time: at(ms),
        price: price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        side: None,
    }
}

/// Pushes all and, unless told otherwise, flushes; what was emitted, in order.
fn run(grids: &[Grid], lateness_ms: u64, trades: &[Trade]) -> (Vec<(Timeframe, Candle)>, AggregateStats) {
    let mut aggregator = Aggregator::new(grids, Duration::from_millis(lateness_ms));
    let mut candles = Vec::new();
    for trade in trades {
        aggregator.push(trade, &mut |timeframe, candle| candles.push((timeframe, candle))).unwrap();
    }
    aggregator.flush(&mut |timeframe, candle| candles.push((timeframe, candle))).unwrap();
    (candles, aggregator.stats())
}

fn utc(timeframes: &[Timeframe]) -> Vec<Grid> {
    timeframes.iter().map(|timeframe| Grid::utc(*timeframe)).collect()
}

fn bar(ms: i64, prices: [f64; 4], volume: f64, quote_volume: f64, trades: u64) -> Candle {
    let [open, high, low, close] = prices;
    Candle {
        open_time: at(ms),
        open,
        high,
        low,
        close,
        volume,
        quote_volume: Some(quote_volume),
        trades: Some(trades),
        vwap: None,
    }
}

#[test]
fn a_bucket_is_emitted_when_the_watermark_passes_its_close() {
    let mut aggregator = Aggregator::new(&utc(&[Timeframe::M1]), Duration::from_secs(5));
    let mut candles = Vec::new();
    let mut push = |aggregator: &mut Aggregator, trade| {
        aggregator.push(&trade, &mut |_, candle| candles.push(candle)).unwrap();
        candles.clone()
    };
    assert_eq!(push(&mut aggregator, trade(1, 59_999, "10", "0.1")), []);
    assert_eq!(push(&mut aggregator, trade(3, 64_999, "11", "0.2")), []);
    assert_eq!(push(&mut aggregator, trade(2, 59_999, "9", "0.2")), []);
    let first = bar(0, [10.0, 10.0, 9.0, 9.0], 0.3, 2.8, 2);
    assert_eq!(push(&mut aggregator, trade(4, 65_000, "12", "0.1")), [first]);
    assert_eq!(aggregator.watermark(), Some(at(60_000)));
    assert_eq!(
        aggregator.stats(),
        AggregateStats { trades: 4, duplicates: 0, late: 0, out_of_order: 1, corrections: 0 }
    );
}

#[test]
fn a_late_trade_is_counted_not_merged() {
    let trades = [trade(1, 0, "10", "1"), trade(3, 66_000, "11", "1"), trade(2, 59_000, "99", "1")];
    let (candles, stats) = run(&utc(&[Timeframe::M1, Timeframe::M5]), 5000, &trades);
    let expected = [
        (Timeframe::M1, bar(0, [10.0; 4], 1.0, 10.0, 1)),
        (Timeframe::M1, bar(60_000, [11.0; 4], 1.0, 11.0, 1)),
        (Timeframe::M5, bar(0, [10.0, 11.0, 10.0, 11.0], 2.0, 21.0, 2)),
    ];
    assert_eq!(candles, expected);
    assert_eq!(stats, AggregateStats { trades: 2, duplicates: 0, late: 1, out_of_order: 0, corrections: 0 });
}

#[test]
fn a_late_trade_corrects_what_was_emitted_as_long_as_it_is_kept() {
    let grids = utc(&[Timeframe::M1, Timeframe::M5]);
    let mut aggregator = Aggregator::new(&grids, Duration::from_secs(5)).correcting(Duration::from_secs(300));
    let mut candles = Vec::new();
    let late = trade(2, 59_000, "99", "1");
    for trade in
        [trade(1, 0, "10", "1"), trade(3, 310_000, "11", "1"), late.clone(), late, trade(4, 661_000, "12", "1")]
    {
        aggregator.push(&trade, &mut |timeframe, candle| candles.push((timeframe, candle))).unwrap();
    }
    let expected = [
        (Timeframe::M1, bar(0, [10.0; 4], 1.0, 10.0, 1)),
        (Timeframe::M5, bar(0, [10.0; 4], 1.0, 10.0, 1)),
        (Timeframe::M1, bar(0, [10.0, 99.0, 10.0, 99.0], 2.0, 109.0, 2)),
        (Timeframe::M5, bar(0, [10.0, 99.0, 10.0, 99.0], 2.0, 109.0, 2)),
        (Timeframe::M1, bar(300_000, [11.0; 4], 1.0, 11.0, 1)),
        (Timeframe::M5, bar(300_000, [11.0; 4], 1.0, 11.0, 1)),
    ];
    assert_eq!(candles, expected);
    let forgotten = trade(0, 1, "1", "1");
    aggregator.push(&forgotten, &mut |_, _| panic!("its bucket is not kept any more")).unwrap();
    let stats = aggregator.stats();
    assert_eq!((stats.trades, stats.duplicates, stats.corrections, stats.late), (4, 1, 1, 1));
}

#[test]
fn an_old_trade_of_an_open_bucket_counts_when_its_id_is_certainly_new() {
    // Sparse ids: 10 falls out of the window and is forgotten, so 9 may have been seen, 15 not.
    let trades = [
        trade(10, 0, "1", "1"),
        trade(20, 10_000, "1", "1"),
        trade(30, 20_000, "1", "1"),
        trade(9, 1, "1", "1"),
        trade(15, 2, "1", "1"),
        trade(20, 10_000, "1", "1"),
    ];
    let (candles, stats) = run(&utc(&[Timeframe::M1]), 10_000, &trades);
    assert_eq!(candles, [(Timeframe::M1, bar(0, [1.0; 4], 4.0, 4.0, 4))]);
    assert_eq!(stats, AggregateStats { trades: 4, duplicates: 1, late: 1, out_of_order: 1, corrections: 0 });
}

#[test]
fn an_aggregated_trade_counts_the_trades_it_stands_for() {
    let range = |first, last| Trade { last_id: TradeId::Number(last), ..trade(first, 0, "2", "1.5") };
    let mut aggregator = Aggregator::new(&utc(&[Timeframe::M1]), Duration::ZERO);
    let mut candles = Vec::new();
    aggregator.push(&range(5, 9), &mut |_, candle| candles.push(candle)).unwrap();
    aggregator.push(&range(6, 7), &mut |_, candle| candles.push(candle)).unwrap();
    let overlap = aggregator.push(&range(9, 10), &mut |_, candle| candles.push(candle)).unwrap_err();
    assert_eq!(overlap, AggregateError::Overlap { first: "9".into(), last: "10".into() });
    aggregator.flush(&mut |_, candle| candles.push(candle)).unwrap();
    assert_eq!(candles, [bar(0, [2.0; 4], 1.5, 3.0, 5)]);
    assert_eq!(aggregator.stats().duplicates, 1);
}

#[test]
fn text_ids_are_deduplicated_and_keep_their_order_of_arrival() {
    let text = |id: &str, ms, price| {
        let id = TradeId::Text(id.into());
        Trade { last_id: id.clone(), id, ..trade(0, ms, price, "1") }
    };
    let trades = [text("z", 5, "1"), text("a", 5, "2"), text("z", 5, "1"), text("m", 3, "3")];
    let (candles, stats) = run(&utc(&[Timeframe::S1]), 1000, &trades);
    assert_eq!(candles, [(Timeframe::S1, bar(0, [3.0, 3.0, 1.0, 2.0], 3.0, 6.0, 3))]);
    assert_eq!(stats, AggregateStats { trades: 3, duplicates: 1, late: 0, out_of_order: 1, corrections: 0 });
}

#[test]
fn a_quiet_market_is_closed_by_advancing() {
    let mut aggregator = Aggregator::new(&utc(&[Timeframe::M1]), Duration::from_secs(3600));
    let mut candles = Vec::new();
    aggregator.push(&trade(1, 0, "10", "1"), &mut |_, candle| candles.push(candle)).unwrap();
    aggregator.advance(at(59_999), &mut |_, candle| candles.push(candle)).unwrap();
    assert_eq!(candles, []);
    aggregator.advance(at(60_000), &mut |_, candle| candles.push(candle)).unwrap();
    assert_eq!(candles, [bar(0, [10.0; 4], 1.0, 10.0, 1)]);
}

#[test]
fn what_does_not_fit_is_an_error_for_volumes_and_untold_for_quote_volumes() {
    let mut aggregator = Aggregator::new(&utc(&[Timeframe::M1]), Duration::ZERO);
    let mut candles = Vec::new();
    let huge = Trade { price: Decimal::MAX, amount: Decimal::MAX, ..trade(1, 0, "1", "1") };
    aggregator.push(&huge, &mut |_, candle| candles.push(candle)).unwrap();
    let tiny = trade(2, 1, "1", "0.0000000000000000000000000001");
    let error = aggregator.push(&tiny, &mut |_, candle| candles.push(candle)).unwrap_err();
    assert_eq!(error, AggregateError::VolumeTooLarge { timeframe: Timeframe::M1, at: at(1) });
    aggregator.flush(&mut |_, candle| candles.push(candle)).unwrap();
    assert_eq!(candles.iter().map(|candle| candle.quote_volume).collect::<Vec<_>>(), [None]);
    let ancient = Trade { time: DateTime::<Utc>::MIN_UTC, ..trade(3, 0, "1", "1") };
    let error = aggregator.push(&ancient, &mut |_, _| ()).unwrap_err();
    assert_eq!(error, AggregateError::TimeOutOfRange(DateTime::<Utc>::MIN_UTC));
}

#[test]
fn days_of_a_session_market_hold_its_session() {
    let session = Session {
        zone: chrono_tz::America::New_York,
        open: chrono::NaiveTime::from_hms_opt(9, 30, 0).unwrap(),
        close: chrono::NaiveTime::from_hms_opt(16, 0, 0).unwrap(),
    };
    let anchors = Anchors { intraday_shift_s: 1800, session: Some(session), ..Anchors::default() };
    let grids = [Grid::new(Timeframe::H1, anchors), Grid::new(Timeframe::D1, anchors)];
    let hour = 3_600_000;
    // Half an hour after the opening, a minute before the close, a minute after it.
    let trades =
        [trade(1, 3 * hour, "5", "1"), trade(2, 9 * hour - 60_000, "6", "1"), trade(3, 9 * hour + 60_000, "7", "1")];
    let (candles, stats) = run(&grids, 120_000, &trades);
    let day =
        Candle { open_time: "2025-11-20T00:00:00Z".parse().unwrap(), ..bar(0, [5.0, 6.0, 5.0, 6.0], 2.0, 11.0, 2) };
    let hours = [bar(5 * hour / 2, [5.0; 4], 1.0, 5.0, 1), bar(17 * hour / 2, [6.0, 7.0, 6.0, 7.0], 2.0, 13.0, 2)];
    let expected = [(Timeframe::H1, hours[0]), (Timeframe::H1, hours[1]), (Timeframe::D1, day)];
    assert_eq!(candles, expected);
    assert_eq!(stats, AggregateStats { trades: 3, ..AggregateStats::default() });
}

#[test]
fn memory_stays_bounded_by_the_window() {
    let mut aggregator =
        Aggregator::new(&utc(&[Timeframe::S1, Timeframe::M1, Timeframe::Month1]), Duration::from_secs(2));
    for index in 0..20_000_u64 {
        let sparse = trade(index * 7, index as i64 * 100, "1", "1");
        aggregator.push(&sparse, &mut |_, _| ()).unwrap();
        assert!(aggregator.seen.len() <= 21, "{}", aggregator.seen.len());
        assert!(aggregator.series.iter().all(|series| series.open.len() <= 3));
    }
    assert_eq!(aggregator.stats().trades, 20_000);
}

/// Integers in, candles out, nothing clever: every bucket by its own scan.
fn brute_force(grid: &Grid, trades: &[(u64, i64, i64, i64)]) -> Vec<Candle> {
    let mut buckets = BTreeMap::<DateTime<Utc>, Vec<(i64, u64, i64, i64)>>::new();
    for (id, ms, price, amount) in trades {
        buckets.entry(grid.bucket_at(at(*ms))).or_default().push((*ms, *id, *price, *amount));
    }
    buckets
        .into_iter()
        .map(|(open_time, mut inside)| {
            inside.sort();
            let scaled = |value: i64, digits: usize| {
                let text = format!("{value:0width$}", width = digits + 1);
                let (whole, fraction) = text.split_at(text.len() - digits);
                format!("{whole}.{fraction}").parse::<f64>().unwrap()
            };
            let price = |value: Option<i64>| scaled(value.unwrap(), 2);
            Candle {
                open_time,
                open: price(inside.first().map(|t| t.2)),
                high: price(inside.iter().map(|t| t.2).max()),
                low: price(inside.iter().map(|t| t.2).min()),
                close: price(inside.last().map(|t| t.2)),
                volume: scaled(inside.iter().map(|t| t.3).sum(), 8),
                quote_volume: Some(scaled(inside.iter().map(|t| t.2 * t.3).sum(), 10)),
                trades: Some(inside.len() as u64),
                vwap: None,
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_order_of_arrival_in_the_window_gives_the_candles_of_brute_force(
        // Steps are often 0: several trades of one instant, ordered by id alone.
        parts in prop::collection::vec((prop_oneof![Just(0i64), 1i64..30_000, Just(3_000_000)],
                                        1i64..1_000_000, 0i64..1_000_000_000, 0i64..20_000, 0usize..4), 1..120),
        sparse in 1u64..4,
        chosen in prop::sample::subsequence(Timeframe::all().collect::<Vec<_>>(), 1..6),
        thursday: bool,
    ) {
        let lateness = 20_000;
        let week_start = if thursday { WeekStart::Thursday } else { WeekStart::Monday };
        let grids = chosen.iter().map(|t| Grid::new(*t, Anchors { week_start, ..Anchors::default() })).collect::<Vec<_>>();
        let mut ms = 0;
        let mut rows = Vec::new();
        let mut arrivals = Vec::new();
        for (index, (step, price, amount, delay, copies)) in parts.iter().enumerate() {
            ms += step;
            let id = index as u64 * sparse;
            rows.push((id, ms, *price, *amount));
            // Trailing zeros vary the scale; the value stays.
            let mut row = trade(id, ms, "1", "1");
            row.price = Decimal::new(*price, 2);
            row.amount = Decimal::new(*amount, 8);
            if copies % 2 == 0 { row.amount = row.amount.normalize() }
            arrivals.push((ms + delay, row.clone()));
            if *copies == 3 { arrivals.push((ms + (delay * 7 + 11) % lateness, row)) }
        }
        arrivals.sort_by_key(|(arrival, _)| *arrival);
        let pushed = arrivals.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
        let (emitted, stats) = run(&grids, lateness as u64, &pushed);
        for grid in &grids {
            let candles = emitted.iter().filter(|(t, _)| *t == grid.timeframe).map(|(_, c)| *c).collect::<Vec<_>>();
            prop_assert_eq!(candles, brute_force(grid, &rows), "{}", grid.timeframe);
        }
        prop_assert_eq!(stats.trades, rows.len() as u64);
        prop_assert_eq!(stats.duplicates, (pushed.len() - rows.len()) as u64);
        prop_assert_eq!(stats.late, 0);
        // A hasty aggregator that corrects itself ends with the same candles.
        let mut hasty = Aggregator::new(&grids, Duration::from_millis(500))
            .correcting(Duration::from_millis(lateness as u64));
        let mut last_word = BTreeMap::new();
        let mut emit = |timeframe, candle: Candle| {
            last_word.insert((timeframe, candle.open_time), candle);
        };
        for row in &pushed {
            hasty.push(row, &mut emit).unwrap();
        }
        hasty.flush(&mut emit).unwrap();
        for grid in &grids {
            let candles = last_word.iter().filter(|((t, _), _)| *t == grid.timeframe).map(|(_, c)| *c).collect::<Vec<_>>();
            prop_assert_eq!(candles, brute_force(grid, &rows), "{}", grid.timeframe);
        }
        prop_assert_eq!((hasty.stats().trades, hasty.stats().late), (rows.len() as u64, 0));
    }

    #[test]
    fn beyond_the_window_every_trade_is_still_accounted_for(
        parts in prop::collection::vec((0u64..60, 0i64..400_000, 0i64..3), 1..200)
    ) {
        let pushed = parts.iter().map(|(id, ms, _)| trade(*id, *ms, "1", "1")).collect::<Vec<_>>();
        let (emitted, stats) = run(&utc(&[Timeframe::M1, Timeframe::M3, Timeframe::M5, Timeframe::H1]), 10_000, &pushed);
        prop_assert_eq!(stats.trades + stats.duplicates + stats.late, pushed.len() as u64);
        for timeframe in [Timeframe::M1, Timeframe::M3, Timeframe::M5, Timeframe::H1] {
            let candles = emitted.iter().filter(|(t, _)| *t == timeframe).map(|(_, c)| *c).collect::<Vec<_>>();
            prop_assert_eq!(candles.iter().filter_map(|c| c.trades).sum::<u64>(), stats.trades);
            prop_assert!(candles.windows(2).all(|pair| pair[0].open_time < pair[1].open_time));
        }
    }
}
