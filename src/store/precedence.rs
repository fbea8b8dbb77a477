//! Which of two values of a candle stays: one rule for every backend. Pure.
//!
//! A stored row is replaced by an equal or stronger source only; at equal strength by one observed
//! at the same time or later (so that of two answers read in one instant the last one stays).
//! Where a symbol's candles are built from trades, verified trades rank highest.
//!
//! An imported row has the strength of the source that was declared for it, and of rows of one
//! source it is the weakest: what was declared never replaces what was observed, and gives way to it
//! however late that comes. Nor do the two lend each other details, so that every value of a row
//! is from where the row says.

use super::{CandleSource, StoredCandle};
use crate::market::{Candle, FinalCandle, Rule, Source};

/// What is to be done with a candle for a bucket that already has a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The same values: nothing is written.
    Unchanged,
    /// The same values, better known: the row takes this source and these details (what the venue
    /// prints beside open, high, low, close and volume). No revision.
    Confirmed(FinalCandle),
    /// Different, but weaker or older than what is stored: left out.
    Outranked,
    /// The final value changes.
    Revised,
}

/// Judges `new` against the stored row of the same bucket.
pub fn judge(stored: &StoredCandle, new: &FinalCandle, built_from: CandleSource) -> Verdict {
    let (held, offered) =
        (strength(stored.source, stored.rule, built_from), strength(new.source, new.rule, built_from));
    let prevails = offered > held || (offered == held && new.observed_at >= stored.observed_at);
    if !stored.candle.agrees_with(&new.candle) {
        return if prevails { Verdict::Revised } else { Verdict::Outranked };
    }
    if (stored.rule == Rule::Imported) != (new.rule == Rule::Imported) {
        return if prevails { Verdict::Confirmed(*new) } else { Verdict::Unchanged };
    }
    let (known, fresh) = if prevails { (&stored.candle, &new.candle) } else { (&new.candle, &stored.candle) };
    let candle = Candle {
        quote_volume: fresh.quote_volume.or(known.quote_volume),
        trades: fresh.trades.or(known.trades),
        vwap: fresh.vwap.or(known.vwap),
        ..stored.candle
    };
    if offered > held {
        Verdict::Confirmed(FinalCandle { candle, ..*new })
    } else if details(&candle) != details(&stored.candle) {
        Verdict::Confirmed(FinalCandle {
            candle,
            source: stored.source,
            rule: stored.rule,
            observed_at: stored.observed_at.max(if offered == held { new.observed_at } else { stored.observed_at }),
        })
    } else {
        Verdict::Unchanged
    }
}

fn details(candle: &Candle) -> (Option<f64>, Option<u64>, Option<f64>) {
    (candle.quote_volume, candle.trades, candle.vwap)
}

/// Of the source, and among equals whether it was observed.
fn strength(source: Source, rule: Rule, built_from: CandleSource) -> (u8, bool) {
    match (source, rule, built_from) {
        (Source::Trades, Rule::Trades, CandleSource::Trades) => (u8::MAX, true),
        _ => (source as u8, rule != Rule::Imported),
    }
}
