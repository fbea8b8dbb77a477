use super::*;
use crate::market::{Anchors, Session};
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn candle(open_time: &str, prices: [f64; 4], volume: f64, trades: Option<u64>) -> Candle {
    let [open, high, low, close] = prices;
    Candle {
        open_time: at(open_time),
        open,
        high,
        low,
        close,
        volume,
        quote_volume: Some(volume),
        trades,
        vwap: Some(1.0),
    }
}

fn minutes() -> Vec<Candle> {
    vec![
        candle("2026-11-20T14:00:00Z", [5.0, 9.0, 4.0, 6.0], 0.1, Some(2)),
        candle("2026-11-20T14:03:00Z", [6.0, 7.0, 1.0, 2.0], 0.2, Some(3)),
        candle("2026-11-20T14:05:00Z", [3.0, 3.0, 3.0, 3.0], 0.3, None),
    ]
}

#[test]
fn parts_become_one_bar_and_coverage_says_whether_it_is_whole() {
    let coverage = SpanSet::from_iter([Span::new(at("2026-11-20T14:00:00Z"), at("2026-11-20T14:09:00Z"))]);
    let bars = resample(minutes(), Grid::utc(Timeframe::M1), Grid::utc(Timeframe::M5), &coverage).unwrap();
    let first = Candle {
        volume: 0.3, // 0.1 + 0.2 as doubles is 0.30000000000000004
        quote_volume: Some(0.3),
        vwap: None,
        ..candle("2026-11-20T14:00:00Z", [5.0, 9.0, 1.0, 2.0], 0.0, Some(5))
    };
    let second = Candle { vwap: None, ..minutes()[2] };
    assert_eq!(
        bars.collect::<Vec<_>>(),
        [
            Bar { candle: first, is_complete: true, is_filled: false },
            Bar { candle: second, is_complete: false, is_filled: false },
        ]
    );
}

#[test]
fn quiet_parts_lend_their_price_only_to_a_bar_in_which_nothing_traded() {
    let quiet = |open_time, price| Candle { trades: Some(0), ..candle(open_time, [price; 4], 0.0, None) };
    let parts = [
        quiet("2026-11-20T14:00:00Z", 50.0),
        candle("2026-11-20T14:01:00Z", [5.0, 9.0, 4.0, 6.0], 0.1, Some(2)),
        quiet("2026-11-20T14:02:00Z", 6.0),
        quiet("2026-11-20T14:05:00Z", 6.0),
        quiet("2026-11-20T14:06:00Z", 6.0),
    ];
    let coverage = SpanSet::new();
    let bars = resample(parts, Grid::utc(Timeframe::M1), Grid::utc(Timeframe::M5), &coverage).unwrap();
    let shown: Vec<_> =
        bars.map(|b| ([b.candle.open, b.candle.high, b.candle.low, b.candle.close], b.candle.trades)).collect();
    assert_eq!(shown, [([5.0, 9.0, 4.0, 6.0], Some(2)), ([6.0; 4], Some(0))]);
}

#[test]
fn a_bar_opens_with_the_first_trade_after_a_quiet_part_also_where_trades_are_not_counted() {
    let bar = |open_time, prices: [f64; 4], volume: f64| Candle {
        quote_volume: Some(volume * prices[0]),
        ..candle(open_time, prices, volume, None)
    };
    // One trade each: bars without a range.
    let parts = [
        bar("2026-11-20T14:00:00Z", [50.0; 4], 0.0),
        bar("2026-11-20T14:01:00Z", [50.5; 4], 0.1),
        bar("2026-11-20T14:02:00Z", [49.0; 4], 0.1),
        bar("2026-11-20T14:03:00Z", [49.5; 4], 0.1),
        bar("2026-11-20T14:04:00Z", [49.5; 4], 0.0),
    ];
    let coverage = SpanSet::new();
    let mut bars = resample(parts, Grid::utc(Timeframe::M1), Grid::utc(Timeframe::M5), &coverage).unwrap();
    let sum = bars.next().unwrap().candle;
    assert_eq!([sum.open, sum.high, sum.low, sum.close], [50.5, 50.5, 49.0, 49.5]);
    assert_eq!((sum.volume, sum.trades), (0.3, None));
}

#[test]
fn one_untold_number_of_trades_makes_the_sum_untold() {
    let coverage = SpanSet::new();
    let bars = resample(minutes(), Grid::utc(Timeframe::M1), Grid::utc(Timeframe::H1), &coverage).unwrap();
    assert_eq!(bars.map(|bar| (bar.candle.trades, bar.candle.volume)).collect::<Vec<_>>(), [(None, 0.6)]);
}

#[test]
fn grids_that_do_not_nest_are_refused() {
    let coverage = SpanSet::new();
    let refused = |fine, coarse| resample(Vec::new(), Grid::utc(fine), Grid::utc(coarse), &coverage).err();
    assert_eq!(refused(Timeframe::M3, Timeframe::M5), Some(NotNested { fine: Timeframe::M3, coarse: Timeframe::M5 }));
    assert_eq!(
        refused(Timeframe::W1, Timeframe::Month1),
        Some(NotNested { fine: Timeframe::W1, coarse: Timeframe::Month1 })
    );
    assert_eq!(refused(Timeframe::H1, Timeframe::M1), Some(NotNested { fine: Timeframe::H1, coarse: Timeframe::M1 }));
    assert_eq!(refused(Timeframe::D1, Timeframe::W1), None);
}

#[test]
fn hours_of_a_session_market_gather_under_the_local_date() {
    let anchors = Anchors {
        intraday_shift_s: 1800,
        session: Some(Session {
            zone: chrono_tz::America::New_York,
            open: chrono::NaiveTime::from_hms_opt(9, 30, 0).unwrap(),
            close: chrono::NaiveTime::from_hms_opt(16, 0, 0).unwrap(),
        }),
        ..Anchors::default()
    };
    let (hour, day) = (Grid::new(Timeframe::H1, anchors), Grid::new(Timeframe::D1, anchors));
    let span = parts_span(&hour, &day, at("2026-11-20T00:00:00Z"));
    assert_eq!(span, Span::new(at("2026-11-20T14:30:00Z"), at("2026-11-20T21:30:00Z")));
    let coverage = SpanSet::from_iter([span]);
    let hours = [
        candle("2026-11-20T14:30:00Z", [5.0, 9.0, 4.0, 6.0], 1.0, None),
        candle("2026-11-20T20:30:00Z", [6.0, 6.0, 6.0, 6.0], 2.0, None),
    ];
    let bars = resample(hours, hour, day, &coverage).unwrap();
    let bars = bars.map(|bar| (bar.candle.open_time, bar.candle.volume, bar.is_complete)).collect::<Vec<_>>();
    assert_eq!(bars, [(at("2026-11-20T00:00:00Z"), 3.0, true)]);
    let span = Span::new(at("2026-11-20T20:00:00Z"), at("2026-11-23T16:00:00Z"));
    let filled = fill(Vec::new(), hour, span, Some(6.0), Fill::Flat, &coverage);
    let filled = filled.map(|bar| (bar.candle.open_time, bar.is_complete)).collect::<Vec<_>>();
    assert_eq!(
        filled,
        [(at("2026-11-20T20:30:00Z"), true), (at("2026-11-23T14:30:00Z"), false), (at("2026-11-23T15:30:00Z"), false)]
    );
}

#[test]
fn flat_bars_repeat_the_close_from_the_first_known_one_on() {
    let span = Span::new(at("2026-11-20T13:59:00Z"), at("2026-11-20T14:06:00Z"));
    let coverage = SpanSet::from_iter([Span::new(at("2026-11-20T14:00:00Z"), at("2026-11-20T14:04:00Z"))]);
    let minute = Grid::utc(Timeframe::M1);
    let show = |previous_close, policy| {
        let bars = resample(minutes(), minute, minute, &coverage).unwrap();
        fill(bars, minute, span, previous_close, policy, &coverage)
            .map(|bar| {
                let minute = bar.candle.open_time.format("%M").to_string();
                (minute, bar.candle.open, bar.candle.volume, bar.is_complete, bar.is_filled)
            })
            .collect::<Vec<_>>()
    };
    let row = |minute: &str, open, volume, complete, filled| (minute.to_owned(), open, volume, complete, filled);
    let from_first = [
        row("00", 5.0, 0.1, true, false),
        row("01", 6.0, 0.0, true, true),
        row("02", 6.0, 0.0, true, true),
        row("03", 6.0, 0.2, true, false),
        row("04", 2.0, 0.0, false, true),
        row("05", 3.0, 0.3, false, false),
    ];
    assert_eq!(show(None, Fill::Flat), from_first);
    assert_eq!(show(Some(8.0), Fill::Flat)[0], row("59", 8.0, 0.0, false, true));
    assert_eq!(show(Some(8.0), Fill::None), [&from_first[0], &from_first[3], &from_first[5]].map(Clone::clone));
}

#[test]
fn volumes_beyond_38_digits_are_added_as_doubles() {
    let mut total = Total::of(1e30);
    total.add(1e-12);
    assert_eq!(total.to_double(), 1e30);
    total.add(f64::INFINITY);
    assert_eq!(total.to_double(), f64::INFINITY);
}

proptest! {
    #[test]
    fn resampling_in_two_steps_is_resampling_in_one(volumes in prop::collection::vec((0u32..200, 0u32..1_000_000), 1..60)) {
        let mut volumes = volumes;
        volumes.sort();
        volumes.dedup_by_key(|part| part.0);
        let minutes = volumes.iter().map(|(minute, volume)| {
            let open_time = at("2026-11-20T00:00:00Z") + chrono::TimeDelta::minutes(i64::from(*minute));
            let price = f64::from(*volume % 97);
            Candle { volume: f64::from(*volume) / 1e6, ..Candle::flat(open_time, price) }
        }).collect::<Vec<_>>();
        let coverage = SpanSet::from_iter([Span::new(minutes[0].open_time, minutes[0].open_time + chrono::TimeDelta::hours(2))]);
        let [minute, five, hour] = [Timeframe::M1, Timeframe::M5, Timeframe::H1].map(Grid::utc);
        let in_one = resample(minutes.clone(), minute, hour, &coverage).unwrap().collect::<Vec<_>>();
        let fives = resample(minutes, minute, five, &coverage).unwrap().map(|bar| bar.candle);
        let in_two = resample(fives.collect::<Vec<_>>(), five, hour, &coverage).unwrap().collect::<Vec<_>>();
        prop_assert_eq!(in_one, in_two);
    }

    #[test]
    fn a_sum_is_the_bar_of_its_trades(
        traded in prop::collection::vec(prop::collection::vec(1u32..50, 0..4), 5),
        is_counted: bool,
    ) {
        // One unit a trade; a minute without one repeats the close before it, as exchanges print it.
        let bar_of = |open_time, prices: &[f64], before: f64| Candle {
            open_time,
            open: *prices.first().unwrap_or(&before),
            high: prices.iter().copied().fold(prices.first().copied().unwrap_or(before), f64::max),
            low: prices.iter().copied().fold(prices.first().copied().unwrap_or(before), f64::min),
            close: *prices.last().unwrap_or(&before),
            volume: prices.len() as f64,
            quote_volume: Some(prices.iter().sum()),
            trades: is_counted.then_some(prices.len() as u64),
            vwap: None,
        };
        let (from, mut close) = (at("2026-11-20T14:00:00Z"), 7.0);
        let traded: Vec<Vec<f64>> = traded.iter().map(|minute| minute.iter().copied().map(f64::from).collect()).collect();
        let minutes: Vec<Candle> = traded.iter().zip(0..).map(|(prices, minute)| {
            let bar = bar_of(from + chrono::TimeDelta::minutes(minute), prices, close);
            close = bar.close;
            bar
        }).collect();
        let coverage = SpanSet::new();
        let mut sums = resample(minutes, Grid::utc(Timeframe::M1), Grid::utc(Timeframe::M5), &coverage).unwrap();
        prop_assert_eq!(sums.next().unwrap().candle, bar_of(from, &traded.concat(), 7.0));
    }
}
