//! Candles of a longer timeframe from those of a shorter one, and flat bars for quiet buckets. Pure.
//!
//! Promises: open first, high highest, low lowest, close last (of the parts in which something
//! traded, where there are any), volume the exact decimal sum of the
//! printed volumes; trades and quote volume only where every part tells them; never a vwap. Each bar
//! says whether coverage proves that nothing is missing from it. Does not read a store.

use chrono::{DateTime, Datelike, Utc, Weekday};

use super::exact_sum::ExactSum;
use super::{Candle, Grid, Span, SpanSet, Timeframe};

/// A bar as a reader gets it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// The candle.
    pub candle: Candle,
    /// True when the whole bucket is covered: every part that exists is in it.
    pub is_complete: bool,
    /// True for a flat bar the reader asked for in a bucket that has no candle.
    pub is_filled: bool,
}

/// What a reader wants to see in buckets that have no candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// Nothing.
    #[default]
    None,
    /// A flat bar: the previous close, volume 0.
    Flat,
}

/// Grids of which one is not made of whole buckets of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{coarse} candles cannot be built from {fine} ones: their borders do not match")]
pub struct NotNested {
    /// The given timeframe.
    pub fine: Timeframe,
    /// The wanted timeframe.
    pub coarse: Timeframe,
}

/// Bars of `coarse` from the candles of `fine` (oldest first, unique), oldest first. `coverage` is
/// that of the finer series. Buckets without a part give no bar. Resampling to the same grid
/// returns the candles themselves, vwap included.
///
/// # Errors
/// [`NotNested`] unless whole buckets of `fine` make up those of `coarse`.
pub fn resample<'a>(
    candles: impl IntoIterator<Item = Candle> + 'a,
    fine: Grid,
    coarse: Grid,
    coverage: &'a SpanSet,
) -> Result<impl Iterator<Item = Bar> + 'a, NotNested> {
    if !fine.nests_in(&coarse) {
        return Err(NotNested { fine: fine.timeframe, coarse: coarse.timeframe });
    }
    // Open times of daily bars are keys already; instants must be turned into the venue's key.
    let bucket_of = move |open_time| {
        if fine.timeframe.is_daily_or_longer() { coarse.open_of(open_time) } else { coarse.bucket_at(open_time) }
    };
    let mut candles = candles.into_iter().peekable();
    Ok(std::iter::from_fn(move || {
        let first = candles.next()?;
        let open_time = bucket_of(first.open_time);
        let mut sum = if fine == coarse { Sum::as_is(first) } else { Sum::of(open_time, first) };
        while let Some(part) = candles.next_if(|part| bucket_of(part.open_time) == open_time) {
            sum.add(&part);
        }
        let is_complete = coverage.covers(parts_span(&fine, &coarse, open_time));
        Some(Bar { candle: sum.candle(), is_complete, is_filled: false })
    }))
}

/// The span of a finer series that makes up one bucket of `coarse`: from border to border, or for
/// instants gathered under a session market's date from the first opening to the last close.
pub fn parts_span(fine: &Grid, coarse: &Grid, open_time: DateTime<Utc>) -> Span {
    match coarse.anchors.session {
        Some(session) if coarse.timeframe.is_daily_or_longer() && !fine.timeframe.is_daily_or_longer() => {
            let opens = fine.open_of(session.opens_at(open_time.date_naive()));
            Span::new(opens, fine.ceil(coarse.close_of(open_time)))
        }
        _ => Span::new(open_time, coarse.next_open(open_time)),
    }
}

/// Every bar of `bars` that lies in `span` and, with [`Fill::Flat`], a flat bar for each bucket of
/// `grid` that starts in `span` and has none, from the first known close on: `previous_close` is
/// that of the last candle before `span`. Nights and weekends of session markets are not filled.
/// `coverage` tells quiet buckets from gaps: a flat bar is complete only where its bucket is covered.
pub fn fill<'a>(
    bars: impl IntoIterator<Item = Bar> + 'a,
    grid: Grid,
    span: Span,
    previous_close: Option<f64>,
    policy: Fill,
    coverage: &'a SpanSet,
) -> impl Iterator<Item = Bar> + 'a {
    let mut bars = bars.into_iter().filter(move |bar| span.contains(bar.candle.open_time)).peekable();
    let mut opens = grid.opens(span).filter(move |open| trades_in(&grid, *open)).peekable();
    let mut close = previous_close;
    std::iter::from_fn(move || {
        if policy == Fill::None {
            return bars.next();
        }
        loop {
            let bar_open = bars.peek().map(|bar| bar.candle.open_time);
            match opens.peek().copied() {
                Some(open_time) if bar_open.is_none_or(|bar_open| open_time < bar_open) => {
                    opens.next();
                    if let Some(close) = close {
                        let is_complete = coverage.covers(Span::new(open_time, grid.next_open(open_time)));
                        return Some(Bar { candle: Candle::flat(open_time, close), is_complete, is_filled: true });
                    }
                }
                _ => {
                    let bar = bars.next()?;
                    close = Some(bar.candle.close);
                    opens.next_if_eq(&bar.candle.open_time);
                    return Some(bar);
                }
            }
        }
    })
}

/// False for buckets of a session market that start outside its hours.
fn trades_in(grid: &Grid, open_time: DateTime<Utc>) -> bool {
    match (grid.anchors.session, grid.timeframe) {
        (None, _) | (Some(_), Timeframe::D3 | Timeframe::W1 | Timeframe::Month1) => true,
        (Some(_), Timeframe::D1) => !matches!(open_time.weekday(), Weekday::Sat | Weekday::Sun),
        (Some(session), _) => session.is_open_at(open_time),
    }
}

/// A bar in the making.
struct Sum {
    /// Its volumes are those of the first part: the totals are beside it.
    candle: Candle,
    /// Something traded in a part so far.
    has_traded: bool,
    volume: Total,
    quote_volume: Option<Total>,
}

impl Sum {
    fn as_is(candle: Candle) -> Sum {
        let (volume, quote_volume) = (Total::of(candle.volume), candle.quote_volume.map(Total::of));
        Sum { candle, has_traded: !candle.is_quiet(), volume, quote_volume }
    }

    fn of(open_time: DateTime<Utc>, first: Candle) -> Sum {
        Sum::as_is(Candle { open_time, vwap: None, ..first })
    }

    fn add(&mut self, part: &Candle) {
        // A quiet part repeats a price at which nothing traded inside the bar.
        if !part.is_quiet() {
            if !std::mem::replace(&mut self.has_traded, true) {
                (self.candle.open, self.candle.high, self.candle.low) = (part.open, part.high, part.low);
            }
            self.candle.high = self.candle.high.max(part.high);
            self.candle.low = self.candle.low.min(part.low);
            self.candle.close = part.close;
        }
        self.candle.trades = self.candle.trades.zip(part.trades).map(|(trades, more)| trades.saturating_add(more));
        self.volume.add(part.volume);
        self.quote_volume = self.quote_volume.zip(part.quote_volume).map(|(mut total, more)| {
            total.add(more);
            total
        });
    }

    fn candle(self) -> Candle {
        Candle { volume: self.volume.to_double(), quote_volume: self.quote_volume.map(Total::to_double), ..self.candle }
    }
}

/// An exact total of doubles as they print. Magnitudes so far apart that 38 digits do not hold
/// their sum are added as doubles: there the difference is far below the last bit.
#[derive(Clone, Copy)]
enum Total {
    Exact(ExactSum),
    Double(f64),
}

impl Total {
    fn of(value: f64) -> Total {
        ExactSum::of_double(value).map_or(Total::Double(value), Total::Exact)
    }

    fn add(&mut self, value: f64) {
        if let (Total::Exact(sum), Some(more)) = (&mut *self, ExactSum::of_double(value))
            && sum.add(more).is_ok()
        {
            return;
        }
        *self = Total::Double(self.to_double() + value);
    }

    fn to_double(self) -> f64 {
        match self {
            Total::Exact(sum) => sum.to_double(),
            Total::Double(value) => value,
        }
    }
}

#[cfg(test)]
mod tests;
