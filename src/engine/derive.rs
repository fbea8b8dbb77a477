//! Higher timeframes from finer ones: which of the wanted timeframes are derived live, and the bar
//! that comes of finished parts.

use chrono::{DateTime, Utc};

use crate::exchange::Capabilities;
use crate::market::resample::{parts_span, resample};
use crate::market::{Anchors, Candle, Grid, Span, SpanSet, Timeframe};

/// The wanted timeframes the venue has, finest first, each with the finer one its live bars are
/// derived from: the coarsest whose buckets nest, and only where the venue's higher bars are the
/// sums of lower ones. History is read natively in either case.
pub fn plan(
    wanted: &[Timeframe],
    capabilities: &Capabilities,
    anchors: Anchors,
) -> Vec<(Timeframe, Option<Timeframe>)> {
    let mut timeframes: Vec<Timeframe> =
        wanted.iter().copied().filter(|timeframe| capabilities.timeframe(*timeframe).is_some()).collect();
    timeframes.sort_unstable();
    timeframes.dedup();
    let grid = |timeframe| Grid::new(timeframe, anchors);
    let finer = |timeframe: Timeframe| {
        let nests = |finer: &&Timeframe| **finer < timeframe && grid(**finer).nests_in(&grid(timeframe));
        timeframes.iter().rev().find(nests).copied().filter(|_| capabilities.derives_higher)
    };
    timeframes.iter().map(|timeframe| (*timeframe, finer(*timeframe))).collect()
}

/// Volumes from here on have more digits than a double holds (fifteen, eight of them decimals, as
/// venues print them): their sum may differ from the venue's own in the last one.
const EXACT_BELOW: f64 = 1e7;

/// The bar of `coarse` that opens at `open_time`, from the candles of `fine` inside it (oldest
/// first). `None` unless every part is `complete` and its volume exact, or when nothing traded
/// where quiet buckets are left out; such a bar is read natively.
pub fn derive(
    coarse: &Grid,
    open_time: DateTime<Utc>,
    parts: &[Candle],
    fine: &Grid,
    complete: &SpanSet,
) -> Option<Candle> {
    let span: Span = parts_span(fine, coarse, open_time);
    let inside = parts.iter().copied().filter(|part| span.contains(part.open_time));
    if inside.clone().any(|part| part.volume >= EXACT_BELOW) {
        return None;
    }
    let bar = resample(inside, *fine, *coarse, complete).ok()?.next()?;
    (bar.is_complete && bar.candle.open_time == open_time).then_some(bar.candle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::registry;
    use crate::market::Session;
    use chrono::NaiveTime;

    fn t(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_183_200 + minute * 60, 0).unwrap()
    }

    fn minutes() -> Vec<Candle> {
        (0..60)
            .map(|minute| Candle {
                open_time: t(minute),
                open: 100.0 + minute as f64,
                high: 101.5 + minute as f64,
                low: 99.5,
                close: 101.0 + minute as f64,
                volume: 0.1,
                quote_volume: None,
                trades: Some(2),
                vwap: Some(100.0),
            })
            .collect()
    }

    #[test]
    fn an_hour_is_the_exact_sum_of_its_minutes_and_only_of_all_of_them() {
        let (hour, minute) = (Grid::utc(Timeframe::H1), Grid::utc(Timeframe::M1));
        let complete: SpanSet = [Span::new(t(0), t(60))].into_iter().collect();
        let expected = Candle {
            open_time: t(0),
            open: 100.0,
            high: 160.5,
            low: 99.5,
            close: 160.0,
            volume: 6.0,
            quote_volume: None,
            trades: Some(120),
            vwap: None,
        };
        assert_eq!(derive(&hour, t(0), &minutes(), &minute, &complete), Some(expected));
        let partly: SpanSet = [Span::new(t(0), t(59))].into_iter().collect();
        assert_eq!(derive(&hour, t(0), &minutes(), &minute, &partly), None);
    }

    #[test]
    fn volumes_with_more_digits_than_a_double_holds_are_not_added_up() {
        let (hour, minute) = (Grid::utc(Timeframe::H1), Grid::utc(Timeframe::M1));
        let complete: SpanSet = [Span::new(t(0), t(60))].into_iter().collect();
        let mut parts = minutes();
        parts[7].volume = 9_999_999.5;
        assert_eq!(derive(&hour, t(0), &parts, &minute, &complete).map(|bar| bar.volume), Some(10_000_005.4));
        parts[7].volume = 10_000_000.0;
        assert_eq!(derive(&hour, t(0), &parts, &minute, &complete), None);
    }

    #[test]
    fn timeframes_are_derived_from_the_coarsest_that_nests_where_the_venue_allows_it() {
        let plan_of = |exchange: &str, wanted: &[Timeframe]| {
            plan(wanted, registry::find(exchange).unwrap().capabilities, Anchors::default())
        };
        use Timeframe::{D1, H1, M1, M3, M5, S1};
        let derived = plan_of("binance", &[D1, M1, H1, M3, M5]);
        assert_eq!(derived, [(M1, None), (M3, Some(M1)), (M5, Some(M1)), (H1, Some(M5)), (D1, Some(H1))]);
        assert_eq!(plan_of("kraken", &[S1, M1, H1]), [(M1, None), (H1, Some(M1))], "Kraken has no 1s");
        assert_eq!(plan_of("yahoo", &[M1, H1]), [(M1, None), (H1, None)]);
    }
    #[test]
    fn weeks_and_months_are_derived_from_days_and_never_from_each_other() {
        let capabilities = registry::find("binance").unwrap().capabilities;
        use Timeframe::{D1, M3, M5, Month1, W1};
        let plan = |wanted: &[Timeframe]| plan(wanted, capabilities, Anchors::default());
        assert_eq!(plan(&[Month1, W1, D1]), [(D1, None), (W1, Some(D1)), (Month1, Some(D1))]);
        assert_eq!(plan(&[W1, Month1]), [(W1, None), (Month1, None)]);
        assert_eq!(plan(&[M3, M5, M3]), [(M3, None), (M5, None)]);
    }

    #[test]
    fn candles_of_other_buckets_are_ignored_and_a_bucket_proven_empty_has_no_bar() {
        let (five, minute) = (Grid::utc(Timeframe::M5), Grid::utc(Timeframe::M1));
        let complete: SpanSet = [Span::new(t(0), t(60))].into_iter().collect();
        let bar = derive(&five, t(5), &minutes(), &minute, &complete).unwrap();
        assert_eq!((bar.open_time, bar.open, bar.close, bar.trades), (t(5), 105.0, 110.0, Some(10)));
        assert_eq!(derive(&five, t(5), &minutes()[..5], &minute, &complete), None);
        assert_eq!(derive(&five, t(5), &minutes(), &Grid::utc(Timeframe::M3), &complete), None, "they do not nest");
    }

    #[test]
    fn what_one_part_does_not_tell_the_sum_does_not_tell() {
        let (five, minute) = (Grid::utc(Timeframe::M5), Grid::utc(Timeframe::M1));
        let complete: SpanSet = [Span::new(t(0), t(5))].into_iter().collect();
        let mut parts = minutes();
        parts.iter_mut().for_each(|part| part.quote_volume = Some(0.2));
        let told = derive(&five, t(0), &parts, &minute, &complete).unwrap();
        assert_eq!((told.trades, told.quote_volume), (Some(10), Some(1.0)));
        (parts[3].trades, parts[4].quote_volume) = (None, None);
        let untold = derive(&five, t(0), &parts, &minute, &complete).unwrap();
        assert_eq!((untold.trades, untold.quote_volume, untold.volume), (None, None, 0.5));
    }

    #[test]
    fn a_bucket_of_flat_bars_is_a_flat_bar() {
        let (five, minute) = (Grid::utc(Timeframe::M5), Grid::utc(Timeframe::M1));
        let complete: SpanSet = [Span::new(t(0), t(5))].into_iter().collect();
        let quiet: Vec<Candle> = (0..5).map(|minute| Candle::flat(t(minute), 42.5)).collect();
        assert_eq!(derive(&five, t(0), &quiet, &minute, &complete), Some(Candle::flat(t(0), 42.5)));
    }

    #[test]
    fn a_day_of_a_session_market_is_the_sum_of_its_session() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
        let session = Session { zone: chrono_tz::America::New_York, open: time(9, 30), close: time(16, 0) };
        let anchors = Anchors { intraday_shift_s: 1800, session: Some(session), ..Anchors::default() };
        let (hour, day) = (Grid::new(Timeframe::H1, anchors), Grid::new(Timeframe::D1, anchors));
        let hours = ["2026-11-19T20:30:00Z", "2026-11-20T14:30:00Z", "2026-11-20T20:30:00Z"]
            .map(|open| Candle { volume: 1.5, ..Candle::flat(at(open), 7.0) });
        let key = at("2026-11-20T00:00:00Z");
        let until = |end: &str| SpanSet::from_iter([Span::new(at("2026-11-19T14:30:00Z"), at(end))]);
        assert_eq!(derive(&day, key, &hours, &hour, &until("2026-11-20T20:30:00Z")), None);
        let sum = Candle { volume: 3.0, ..Candle::flat(key, 7.0) };
        assert_eq!(derive(&day, key, &hours, &hour, &until("2026-11-20T21:30:00Z")), Some(sum));
    }
}
