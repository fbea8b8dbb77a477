//! Candles from trades whose completeness is known up to some instant: all timeframes in one pass,
//! each bucket decided once it is over, quiet ones by the venue's rule.
//!
//! Does not know where trades come from nor whether they are complete: who advances it says so.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::exchange::QuietPolicy;
use crate::market::{AggregateError, Aggregator, Candle, Grid, Rule, Source, Span, Timeframe, Trade};

/// How long corrections of built candles are possible.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// One series in the making.
#[derive(Debug)]
struct Line {
    grid: Grid,
    /// The first bucket that is known from its beginning.
    start: DateTime<Utc>,
    /// The first bucket not decided yet.
    next: DateTime<Utc>,
    /// The newest candle's opening and close: what flat bars repeat.
    previous: Option<(DateTime<Utc>, f64)>,
}

/// What was decided of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The series.
    pub timeframe: Timeframe,
    /// Candles with their source and rule, oldest first; corrections of earlier ones among them.
    pub candles: Vec<(Candle, Source, Rule)>,
    /// The stretch decided now: every bucket in it has its candle, or nothing traded in it.
    pub complete: Vec<Span>,
    /// Quiet buckets whose flat bar lacks a price to repeat.
    pub priceless: Vec<Span>,
}

/// See the module.
#[derive(Debug)]
pub struct Builder {
    aggregator: Aggregator,
    lines: Vec<Line>,
    prints_quiet: bool,
    emitted: Vec<(Timeframe, Candle)>,
}

impl Builder {
    /// A builder of series, each from its first bucket that opens at or after `from`, with the
    /// close before it where it is known.
    pub fn new(series: &[(Grid, Option<f64>)], from: DateTime<Utc>, lateness: Duration, quiet: QuietPolicy) -> Builder {
        let grids: Vec<Grid> = series.iter().map(|(grid, _)| *grid).collect();
        let lines = series
            .iter()
            .map(|&(grid, previous_close)| {
                let start = grid.ceil(from);
                Line {
                    grid,
                    start,
                    next: start,
                    previous: previous_close.map(|close| (grid.previous_open(start), close)),
                }
            })
            .collect();
        Builder {
            aggregator: Aggregator::new(&grids, lateness).correcting(KEPT_FOR),
            lines,
            prints_quiet: quiet == QuietPolicy::Emits,
            emitted: Vec::new(),
        }
    }

    /// Counts a trade.
    ///
    /// # Errors
    /// Those of [`Aggregator::push`]; the builder is of no use afterwards.
    pub fn push(&mut self, trade: &Trade) -> Result<(), AggregateError> {
        let emitted = &mut self.emitted;
        self.aggregator.push(trade, &mut |timeframe, candle| emitted.push((timeframe, candle)))
    }

    /// Says that all trades before `until` have been counted, and takes what that decides.
    ///
    /// # Errors
    /// Those of [`Aggregator::advance`].
    pub fn advance(&mut self, until: DateTime<Utc>) -> Result<Vec<Built>, AggregateError> {
        let emitted = &mut self.emitted;
        self.aggregator.advance(until, &mut |timeframe, candle| emitted.push((timeframe, candle)))?;
        let decided = self.aggregator.watermark().unwrap_or(until);
        let mut all = Vec::new();
        for line in &mut self.lines {
            let mut built =
                Built { timeframe: line.grid.timeframe, candles: vec![], complete: vec![], priceless: vec![] };
            let own = line.grid.timeframe;
            for (_, candle) in self.emitted.iter().filter(|(timeframe, _)| *timeframe == own) {
                line.take(*candle, self.prints_quiet, &mut built);
            }
            line.pass_quiet(line.grid.last_closed_end(decided), self.prints_quiet, &mut built);
            if !built.candles.is_empty() || !built.complete.is_empty() || !built.priceless.is_empty() {
                all.push(built);
            }
        }
        self.emitted.clear();
        Ok(all)
    }
}

impl Line {
    fn take(&mut self, candle: Candle, prints_quiet: bool, built: &mut Built) {
        if candle.open_time < self.start {
            // Known in part only; its last price is the one before what comes.
            self.follow(&candle);
            return;
        }
        if candle.open_time >= self.next {
            self.pass_quiet(candle.open_time, prints_quiet, built);
            self.next = self.grid.next_open(candle.open_time);
            built.complete.push(Span::new(candle.open_time, self.next));
        }
        self.follow(&candle);
        built.candles.push((candle, Source::Trades, Rule::Trades));
    }

    /// A corrected candle has another close to repeat.
    fn follow(&mut self, candle: &Candle) {
        if self.previous.is_none_or(|(open, _)| open <= candle.open_time) {
            self.previous = Some((candle.open_time, candle.close));
        }
    }

    /// Decides the buckets before `end`, in which nothing traded.
    fn pass_quiet(&mut self, end: DateTime<Utc>, prints_quiet: bool, built: &mut Built) {
        if end <= self.next {
            return;
        }
        let span = Span::new(self.next, end);
        match self.previous {
            Some((_, close)) if prints_quiet => {
                while self.next < end {
                    built.candles.push((Candle::flat(self.next, close), Source::Synthesised, Rule::Quiet));
                    self.next = self.grid.next_open(self.next);
                }
                built.complete.push(span);
            }
            None if prints_quiet => built.priceless.push(span),
            _ => built.complete.push(span),
        }
        self.next = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::TradeId;
    use Timeframe::{M1, M5};

    fn t(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_183_200 + second, 0).unwrap()
    }

    fn trade(id: u64, second: i64, price: i64) -> Trade {
        let id = TradeId::Number(id);
        Trade { last_id: id.clone(), id, time: t(second), price: price.into(), amount: 1.into(), side: None }
    }

    fn builder(previous_close: Option<f64>, from: i64, quiet: QuietPolicy) -> Builder {
        let series = [M1, M5].map(|timeframe| (Grid::utc(timeframe), previous_close));
        Builder::new(&series, t(from), Duration::from_secs(2), quiet)
    }

    /// Second of opening, close and trades of each candle.
    type Candles = Vec<(i64, f64, Option<u64>)>;

    fn of(built: &[Built], timeframe: Timeframe) -> (Candles, Vec<(i64, i64)>) {
        let second = |time: DateTime<Utc>| (time - t(0)).num_seconds();
        let own = || built.iter().filter(|built| built.timeframe == timeframe);
        let candles = own()
            .flat_map(|built| &built.candles)
            .map(|(candle, ..)| (second(candle.open_time), candle.close, candle.trades));
        let complete = own().flat_map(|built| &built.complete).map(|span| (second(span.from), second(span.to)));
        (candles.collect(), complete.collect())
    }

    #[test]
    fn a_bucket_known_from_its_beginning_is_decided_when_it_is_over() {
        let mut builder = builder(None, 30, QuietPolicy::Omits);
        for (id, second) in [(1, 40), (2, 70), (3, 100), (4, 200)] {
            builder.push(&trade(id, second, 100 + id as i64)).unwrap();
        }
        let built = builder.advance(t(239)).unwrap();
        // The minute of the start is known in part only; the quiet one in between has no candle.
        assert_eq!(of(&built, M1), (vec![(60, 103.0, Some(2))], vec![(60, 120), (120, 180)]));
        assert_eq!(of(&built, M5), (vec![], vec![]));
        let built = builder.advance(t(600)).unwrap();
        assert_eq!(of(&built, M1).0, [(180, 104.0, Some(1))]);
        assert_eq!(of(&built, M5), (vec![], vec![(300, 600)]));
    }

    #[test]
    fn quiet_buckets_are_flat_bars_where_the_venue_prints_them_and_a_price_is_known() {
        let mut ours = builder(None, 0, QuietPolicy::Emits);
        ours.push(&trade(1, 130, 7)).unwrap();
        let built = ours.advance(t(300)).unwrap();
        let flat = Some(0);
        assert_eq!(of(&built, M1).0, [(120, 7.0, Some(1)), (180, 7.0, flat), (240, 7.0, flat)]);
        assert_eq!(built[0].priceless, [Span::new(t(0), t(120))]);
        let built = builder(Some(5.0), 0, QuietPolicy::Emits).advance(t(60)).unwrap();
        assert_eq!(of(&built, M1), (vec![(0, 5.0, flat)], vec![(0, 60)]));
        assert_eq!((built[0].candles[0].1, built[0].candles[0].2), (Source::Synthesised, Rule::Quiet));
    }

    #[test]
    fn a_late_trade_gives_a_correction_without_a_new_claim() {
        let mut builder = builder(None, 0, QuietPolicy::Omits);
        builder.push(&trade(1, 10, 1)).unwrap();
        builder.advance(t(300)).unwrap();
        builder.push(&trade(2, 70, 9)).unwrap();
        builder.push(&trade(3, 20, 4)).unwrap();
        let built = builder.advance(t(300)).unwrap();
        assert_eq!(of(&built, M1), (vec![(60, 9.0, Some(1)), (0, 4.0, Some(2))], vec![]));
        assert_eq!(of(&built, M5).0.last(), Some(&(0, 9.0, Some(3))));
    }
}
