//! Trades to candles: several timeframes in one pass, exact sums, bounded memory.
//!
//! Trades may arrive in any order as long as none lies more than `lateness` behind the newest; open
//! and close follow the order of (time, id), so every such order of arrival gives the same candles.
//! A bucket is emitted once the watermark (newest trade - lateness) has passed its close: nothing
//! that is in time can reach it then. What comes later is counted as late and left out of every
//! timeframe, so that the timeframes stay sums of each other. Duplicates are known by id.
//!
//! With [`Aggregator::correcting`] closed buckets are kept for a while: a trade that is late for an
//! emitted bucket is counted all the same, and the corrected candles are emitted once more.
//!
//! Memory is bounded by the lateness window: the buckets that are open in it and, where ids are not
//! dense, the ids seen in it. A trade older than the window whose bucket is still open is counted
//! when its id proves that it is new, and late otherwise.
//!
//! The daily and longer bars of a session market take the trades between the first opening and the
//! last close of their bucket. Everything else is taken as it is.
//!
//! Does not invent bars for empty buckets and does not judge finality: an emitted candle is as
//! complete as the trades that were pushed.

mod bucket;
mod seen;

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::exact_sum::TooLarge;
use super::{Candle, Grid, Timeframe, Trade};
use bucket::{Bar, Place, Position, is_keyed_by_date};
use seen::{SeenIds, Sight};

/// What became of the trades pushed so far, in rows (an aggregated trade is one row).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AggregateStats {
    /// Counted into candles.
    pub trades: u64,
    /// Dropped, because their id was counted before.
    pub duplicates: u64,
    /// Dropped, because a bucket of theirs was already closed.
    pub late: u64,
    /// Those of `trades` that arrived behind a later one.
    pub out_of_order: u64,
    /// Those of `trades` that corrected a bucket already emitted.
    pub corrections: u64,
}

/// Trades that cannot be counted exactly. The open buckets may hold part of the offending trade:
/// whoever gets this starts over with a new aggregator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// The volume of a bucket needs more than 38 digits.
    #[error("the volume of the {timeframe} bucket at {at} needs more than 38 digits; check the amounts of its trades")]
    VolumeTooLarge {
        /// Timeframe of the bucket.
        timeframe: Timeframe,
        /// Time of the trade, or of the finer bucket, that broke the limit.
        at: DateTime<Utc>,
    },
    /// A time no venue can mean.
    #[error("trade time {0} lies outside the years 1 to 9999")]
    TimeOutOfRange(DateTime<Utc>),
    /// An aggregated trade shares some of its ids, but not all, with trades already counted.
    #[error("trade {first} to {last} overlaps trades already counted without being one of them")]
    Overlap {
        /// First id of the trade.
        first: String,
        /// Last id of the trade.
        last: String,
    },
}

/// Builds candles from a stream of trades. See the module's promises.
#[derive(Debug)]
pub struct Aggregator {
    /// Shortest first. Those without a `source` take trades; the others are fed by a finer one.
    series: Vec<Series>,
    lateness: i64,
    /// How long closed buckets are kept for corrections; microseconds.
    kept_for: i64,
    newest: Position,
    /// No trade before it is in time. Microseconds, never moves back.
    watermark: i64,
    /// The earliest close of all open buckets.
    next_close: i64,
    seen: SeenIds,
    stats: AggregateStats,
}

#[derive(Debug)]
struct Series {
    grid: Grid,
    /// True when trades are added directly, false when finished buckets of a finer series are.
    takes_trades: bool,
    /// Indices of the series that finished buckets are added to.
    feeds: Vec<usize>,
    /// Open buckets, oldest first.
    open: VecDeque<(Place, Bar)>,
    /// Emitted buckets that may still be corrected, oldest first.
    closed: VecDeque<(Place, Bar)>,
}

impl Aggregator {
    /// An aggregator into the given grids (repeated ones count once), for trades that lie at most
    /// `lateness` behind the newest one.
    pub fn new(grids: &[Grid], lateness: Duration) -> Aggregator {
        let mut grids = grids.to_vec();
        grids.sort_by_key(|grid| grid.timeframe);
        grids.dedup();
        let mut series = Vec::<Series>::with_capacity(grids.len());
        for grid in grids {
            // Buckets keyed by a local date close before the date ends, so parts and whole do not
            // close in order: these are built from the trades themselves.
            let source = series
                .iter()
                .rposition(|finer| !is_keyed_by_date(&grid) && finer.grid.nests_in(&grid) && finer.grid != grid);
            let index = series.len();
            if let Some(source) = source {
                series[source].feeds.push(index);
            }
            series.push(Series {
                grid,
                takes_trades: source.is_none(),
                feeds: Vec::new(),
                open: VecDeque::new(),
                closed: VecDeque::new(),
            });
        }
        Aggregator {
            series,
            lateness: i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX),
            kept_for: 0,
            newest: Position::START,
            watermark: i64::MIN,
            next_close: i64::MAX,
            seen: SeenIds::default(),
            stats: AggregateStats::default(),
        }
    }

    /// Keeps closed buckets for so long after their close: trades that come late for them are counted,
    /// and what they correct is emitted again.
    pub fn correcting(mut self, kept_for: Duration) -> Aggregator {
        self.kept_for = i64::try_from(kept_for.as_micros()).unwrap_or(i64::MAX);
        self
    }

    /// Counts a trade and emits the candles that are closed by it: per timeframe oldest first,
    /// shorter timeframes before longer ones.
    ///
    /// # Errors
    /// [`AggregateError`]; the trade was not counted, or only in part.
    pub fn push(&mut self, trade: &Trade, emit: &mut impl FnMut(Timeframe, Candle)) -> Result<(), AggregateError> {
        let time = trade.time.timestamp_micros();
        match self.seen.look_up(trade, time, self.horizon()) {
            Sight::New => {}
            Sight::Duplicate => {
                self.stats.duplicates += 1;
                return Ok(());
            }
            Sight::Unknown => {
                self.stats.late += 1;
                return Ok(());
            }
            Sight::Overlap => {
                return Err(AggregateError::Overlap { first: trade.id.to_string(), last: trade.last_id.to_string() });
            }
        }
        if !self.takers().all(|series| series.at_hand(time)) && !self.is_in_time(trade, time)? {
            return self.correct(trade, time, emit);
        }
        let position = Position::of(trade, time);
        for series in self.series.iter_mut().filter(|series| series.takes_trades) {
            self.next_close = self.next_close.min(series.add(trade, time, position)?);
        }
        self.seen.remember(trade, time);
        self.stats.trades += 1;
        if position >= self.newest {
            self.newest = position;
            self.advance_to(time.saturating_sub(self.lateness), emit)?;
        } else {
            self.stats.out_of_order += 1;
        }
        Ok(())
    }

    /// Declares that no trade before `time` will come any more and emits what that closes. For
    /// quiet markets, where no newer trade moves the watermark.
    ///
    /// # Errors
    /// As [`Aggregator::push`].
    pub fn advance(
        &mut self,
        time: DateTime<Utc>,
        emit: &mut impl FnMut(Timeframe, Candle),
    ) -> Result<(), AggregateError> {
        self.advance_to(time.timestamp_micros(), emit)
    }

    /// Emits every open bucket as it is. Trades of these buckets that come later are late.
    ///
    /// # Errors
    /// As [`Aggregator::push`].
    pub fn flush(&mut self, emit: &mut impl FnMut(Timeframe, Candle)) -> Result<(), AggregateError> {
        // Closing the finer buckets may open coarser ones, whose close lies further on.
        while self.next_close < i64::MAX {
            let last = self.series.iter().filter_map(|series| series.open.back()).map(|(place, _)| place.close).max();
            self.advance_to(last.unwrap_or(self.watermark), emit)?;
        }
        Ok(())
    }

    /// What became of the trades so far.
    pub fn stats(&self) -> AggregateStats {
        self.stats
    }

    /// Everything before it is closed: newest trade - lateness, or later where [`Aggregator::advance`] or
    /// [`Aggregator::flush`] said so. `None` before the first trade.
    pub fn watermark(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.watermark).filter(|_| self.watermark > i64::MIN)
    }

    /// No bucket that closed before it can be corrected any more.
    fn horizon(&self) -> i64 {
        self.watermark.saturating_sub(self.kept_for)
    }

    /// Counts a trade that comes after a bucket of its was emitted, if all of those are kept.
    #[cold]
    fn correct(
        &mut self,
        trade: &Trade,
        time: i64,
        emit: &mut impl FnMut(Timeframe, Candle),
    ) -> Result<(), AggregateError> {
        let horizon = self.horizon();
        let is_kept = |series: &Series| {
            let place = Place::of(&series.grid, trade.time);
            place.close > horizon || !place.holds(time)
        };
        if self.kept_for == 0 || !self.takers().all(is_kept) {
            self.stats.late += 1;
            return Ok(());
        }
        let position = Position::of(trade, time);
        // Where a bucket was closed, those that were built from it know nothing of the trade yet.
        let mut concerned: Vec<usize> = (0..self.series.len()).filter(|&at| self.series[at].takes_trades).collect();
        while let Some(index) = concerned.pop() {
            let series = &mut self.series[index];
            let place = Place::of(&series.grid, trade.time);
            if !place.holds(time) {
                continue;
            }
            if place.close > self.watermark {
                self.next_close = self.next_close.min(series.add(trade, time, position)?);
                continue;
            }
            let bar = series.correct(place, trade, position)?;
            emit(series.grid.timeframe, bar.candle(place.open_time));
            concerned.extend(&series.feeds);
        }
        self.seen.remember(trade, time);
        self.stats.trades += 1;
        self.stats.out_of_order += 1;
        self.stats.corrections += 1;
        Ok(())
    }

    /// True when the bucket of a trade is still open in every series that takes the trade.
    #[cold]
    fn is_in_time(&self, trade: &Trade, time: i64) -> Result<bool, AggregateError> {
        const YEARS_1_TO_9999: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;
        if !YEARS_1_TO_9999.contains(&time) {
            return Err(AggregateError::TimeOutOfRange(trade.time));
        }
        Ok(self.takers().all(|series| {
            let place = Place::of(&series.grid, trade.time);
            place.close > self.watermark || !place.holds(time)
        }))
    }

    #[inline]
    fn takers(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| series.takes_trades)
    }

    #[inline]
    fn advance_to(&mut self, watermark: i64, emit: &mut impl FnMut(Timeframe, Candle)) -> Result<(), AggregateError> {
        self.watermark = self.watermark.max(watermark);
        self.seen.forget_before(self.horizon());
        if self.watermark >= self.next_close { self.close_due(emit) } else { Ok(()) }
    }

    /// Emits the buckets whose close has passed. Parts close no later than the whole and stand
    /// before it, so a bucket is whole when its turn comes.
    #[cold]
    fn close_due(&mut self, emit: &mut impl FnMut(Timeframe, Candle)) -> Result<(), AggregateError> {
        for index in 0..self.series.len() {
            while let Some((place, bar)) = self.series[index].pop_closed(self.watermark) {
                emit(self.series[index].grid.timeframe, bar.candle(place.open_time));
                self.series[index].keep(place, bar, self.kept_for > 0);
                for fed in 0..self.series[index].feeds.len() {
                    let target = self.series[index].feeds[fed];
                    self.series[target].add_part(place.open_time, &bar)?;
                }
            }
        }
        let horizon = self.horizon();
        for series in &mut self.series {
            while series.closed.front().is_some_and(|(place, _)| place.close <= horizon) {
                series.closed.pop_front();
            }
        }
        let fronts = self.series.iter().filter_map(|series| series.open.front());
        self.next_close = fronts.map(|(place, _)| place.close).min().unwrap_or(i64::MAX);
        Ok(())
    }
}

impl Series {
    /// True when the newest open bucket is the one of `time`.
    #[inline]
    fn at_hand(&self, time: i64) -> bool {
        self.open.back().is_some_and(|(place, _)| place.holds(time))
    }

    /// Adds a trade; returns the close of its bucket.
    #[inline]
    fn add(&mut self, trade: &Trade, time: i64, position: Position) -> Result<i64, AggregateError> {
        // Newest first: disorder is a matter of neighbours.
        let (place, added) = match self.open.iter_mut().rev().find(|(place, _)| place.holds(time)) {
            Some((place, bar)) => (*place, bar.add(trade, position)),
            None => {
                let place = Place::of(&self.grid, trade.time);
                if place.holds(time) {
                    let index = self.slot(place).unwrap_or_else(|index| index);
                    self.open.insert(index, (place, Bar::new(trade, position)));
                }
                (place, Ok(()))
            }
        };
        added.map(|()| place.close).map_err(|TooLarge| self.too_large(trade.time))
    }

    /// Adds the finished bucket of a finer series.
    fn add_part(&mut self, open_time: DateTime<Utc>, part: &Bar) -> Result<(), AggregateError> {
        let place = Place::of(&self.grid, open_time);
        match self.slot(place) {
            Ok(index) => self.open[index].1.merge(part).map_err(|TooLarge| self.too_large(open_time)),
            Err(index) => {
                self.open.insert(index, (place, *part));
                Ok(())
            }
        }
    }

    /// The index of the open bucket at a place, or the one at which it belongs.
    fn slot(&self, place: Place) -> Result<usize, usize> {
        self.open.binary_search_by_key(&place.open_time, |(other, _)| other.open_time)
    }

    fn keep(&mut self, place: Place, bar: Bar, is_kept: bool) {
        if is_kept {
            self.closed.push_back((place, bar));
        }
    }

    /// Adds a trade to a bucket that was closed, which may have been an empty one.
    fn correct(&mut self, place: Place, trade: &Trade, position: Position) -> Result<Bar, AggregateError> {
        match self.closed.binary_search_by_key(&place.open_time, |(other, _)| other.open_time) {
            Ok(index) => {
                let bar = &mut self.closed[index].1;
                let added = bar.add(trade, position);
                let bar = *bar;
                added.map(|()| bar).map_err(|TooLarge| self.too_large(trade.time))
            }
            Err(index) => {
                let bar = Bar::new(trade, position);
                self.closed.insert(index, (place, bar));
                Ok(bar)
            }
        }
    }

    fn pop_closed(&mut self, watermark: i64) -> Option<(Place, Bar)> {
        if self.open.front()?.0.close <= watermark { self.open.pop_front() } else { None }
    }

    fn too_large(&self, at: DateTime<Utc>) -> AggregateError {
        AggregateError::VolumeTooLarge { timeframe: self.grid.timeframe, at }
    }
}

#[cfg(test)]
mod tests;
