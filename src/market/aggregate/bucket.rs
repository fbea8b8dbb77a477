//! One open bucket: the exact state of a candle in the making.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::market::exact_sum::{ExactSum, TooLarge, to_double};
use crate::market::{Candle, Grid, Trade, TradeId};

/// The order in which trades happened: time, then number. Ids that are no numbers say nothing of
/// order, so among them trades of one instant keep their order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    time: i64,
    number: u64,
}

impl Position {
    /// Before every trade.
    pub(super) const START: Position = Position { time: i64::MIN, number: 0 };

    pub(super) fn of(trade: &Trade, time: i64) -> Position {
        let number = match &trade.id {
            TradeId::Number(number) => *number,
            TradeId::Text(_) => 0,
        };
        Position { time, number }
    }
}

/// Where a bucket lies. All times in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) open_time: DateTime<Utc>,
    /// Trades of `[from, close)` belong here.
    from: i64,
    /// From then on nothing can be added.
    pub(super) close: i64,
}

impl Place {
    /// The bucket of an instant. Outside trading hours the bucket of a session market's day does
    /// not hold the instant itself.
    pub(super) fn of(grid: &Grid, time: DateTime<Utc>) -> Place {
        let open_time = grid.bucket_at(time);
        let from = match grid.anchors.session {
            Some(session) if is_keyed_by_date(grid) => session.opens_at(open_time.date_naive()),
            _ => open_time,
        };
        Place { open_time, from: from.timestamp_micros(), close: grid.close_of(open_time).timestamp_micros() }
    }

    #[inline]
    pub(super) fn holds(&self, time: i64) -> bool {
        self.from <= time && time < self.close
    }
}

/// True for the daily and longer bars of session markets: their open time is a date, not an instant.
pub(super) fn is_keyed_by_date(grid: &Grid) -> bool {
    grid.anchors.session.is_some() && grid.timeframe.is_daily_or_longer()
}

/// The sums and prices of the trades counted so far; at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    first: Position,
    last: Position,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    volume: ExactSum,
    /// `None` once it no longer fits.
    quote_volume: Option<ExactSum>,
    trades: u64,
}

impl Bar {
    pub(super) fn new(trade: &Trade, position: Position) -> Bar {
        Bar {
            first: position,
            last: position,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: ExactSum::of(trade.amount),
            quote_volume: ExactSum::product(trade.price, trade.amount).ok(),
            trades: trade.count(),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, trade: &Trade, position: Position) -> Result<(), TooLarge> {
        self.volume.add(ExactSum::of(trade.amount))?;
        if let Some(sum) = &mut self.quote_volume
            && ExactSum::product(trade.price, trade.amount).and_then(|product| sum.add(product)).is_err()
        {
            self.quote_volume = None;
        }
        self.trades = self.trades.saturating_add(trade.count());
        if position >= self.last {
            self.last = position;
            self.close = trade.price;
        } else if position < self.first {
            self.first = position;
            self.open = trade.price;
        }
        if compare(trade.price, self.high).is_gt() {
            self.high = trade.price;
        } else if compare(trade.price, self.low).is_lt() {
            self.low = trade.price;
        }
        Ok(())
    }

    /// Adds a finished part.
    pub(super) fn merge(&mut self, part: &Bar) -> Result<(), TooLarge> {
        self.volume.add(part.volume)?;
        self.quote_volume = match (self.quote_volume, part.quote_volume) {
            (Some(mut sum), Some(more)) => sum.add(more).is_ok().then_some(sum),
            _ => None,
        };
        self.trades = self.trades.saturating_add(part.trades);
        if part.last >= self.last {
            (self.last, self.close) = (part.last, part.close);
        }
        if part.first < self.first {
            (self.first, self.open) = (part.first, part.open);
        }
        self.high = self.high.max(part.high);
        self.low = self.low.min(part.low);
        Ok(())
    }

    pub(super) fn candle(&self, open_time: DateTime<Utc>) -> Candle {
        Candle {
            open_time,
            open: to_double(self.open),
            high: to_double(self.high),
            low: to_double(self.low),
            close: to_double(self.close),
            volume: self.volume.to_double(),
            quote_volume: self.quote_volume.map(ExactSum::to_double),
            trades: Some(self.trades),
            vwap: None,
        }
    }
}

/// Compares prices; those of one scale, the usual case, by their integers.
#[inline]
fn compare(a: Decimal, b: Decimal) -> Ordering {
    if a.scale() == b.scale() { a.mantissa().cmp(&b.mantissa()) } else { a.cmp(&b) }
}
