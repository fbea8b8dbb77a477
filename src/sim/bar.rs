//! Bars as exact sums of trades, in whole numbers of the last digit.

use super::tape::Tick;

/// Exact open, high, low, close and sums of some trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) volume: i128,
    /// Price times amount; its scale is the price's plus the amount's.
    pub(crate) quote: i128,
    pub(crate) bought: i128,
    pub(crate) bought_quote: i128,
    pub(crate) trades: u64,
    pub(crate) first_id: u64,
    pub(crate) last_id: u64,
}

impl Bar {
    fn of(tick: &Tick) -> Bar {
        let volume = i128::from(tick.amount);
        let quote = i128::from(tick.price) * volume;
        let taken = i128::from(tick.taker_buys);
        Bar {
            open: tick.price,
            high: tick.price,
            low: tick.price,
            close: tick.price,
            volume,
            quote,
            bought: volume * taken,
            bought_quote: quote * taken,
            trades: 1,
            first_id: tick.id,
            last_id: tick.id,
        }
    }

    /// The bar of a quiet bucket.
    pub(crate) fn flat(price: i64) -> Bar {
        Bar {
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            quote: 0,
            bought: 0,
            bought_quote: 0,
            trades: 0,
            first_id: 0,
            last_id: 0,
        }
    }

    /// The bar with one more trade.
    pub(crate) fn extended(bar: Option<Bar>, tick: &Tick) -> Bar {
        bar.map_or(Bar::of(tick), |bar| bar.then(&Bar::of(tick)))
    }

    fn then(self, later: &Bar) -> Bar {
        Bar {
            open: self.open,
            high: self.high.max(later.high),
            low: self.low.min(later.low),
            close: later.close,
            volume: self.volume + later.volume,
            quote: self.quote + later.quote,
            bought: self.bought + later.bought,
            bought_quote: self.bought_quote + later.bought_quote,
            trades: self.trades + later.trades,
            first_id: self.first_id,
            last_id: later.last_id,
        }
    }
}

/// Two neighbouring bars as one.
pub(crate) fn joined(earlier: Option<Bar>, later: Option<Bar>) -> Option<Bar> {
    match (earlier, later) {
        (Some(earlier), Some(later)) => Some(earlier.then(&later)),
        (earlier, later) => earlier.or(later),
    }
}

/// The bar of some trades in order.
pub(crate) fn bar_of<'a>(ticks: impl Iterator<Item = &'a Tick>) -> Option<Bar> {
    ticks.fold(None, |bar, tick| Some(Bar::extended(bar, tick)))
}
