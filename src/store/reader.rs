//! The reading face: bars of a series, whatever way they came and in whatever timeframe they are kept.
//!
//! Promises: half-open ranges, oldest first; a timeframe that is not stored is resampled from the
//! coarsest stored one whose buckets nest in it; a bar says whether the ledger proves it whole; the
//! open bucket is shown only to those who ask for it; nothing is filled that was not asked for.
//! Does not fetch: what the store does not hold is not shown.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::inventory::grid_of;
use super::{CandleQuery, SeriesRow, Store, StoreError, SymbolRow};
use crate::market::ledger::complete;
use crate::market::resample::{self, parts_span};
use crate::market::{Candle, Grid, Span, Timeframe};

pub use crate::market::resample::{Bar, Fill};

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No symbol of this exchange is kept.
    #[error("no symbol of exchange {exchange:?} is kept here{}", suggestion(.nearest))]
    UnknownExchange {
        /// As asked.
        exchange: String,
        /// Exchanges that are kept, the most similar first.
        nearest: Vec<String>,
    },
    /// The exchange is kept, this symbol is not.
    #[error("{exchange} {symbol:?} is not kept here{}", suggestion(.nearest))]
    UnknownSymbol {
        /// As asked.
        exchange: String,
        /// As asked.
        symbol: String,
        /// Symbols of the exchange that are kept, the most similar first.
        nearest: Vec<String>,
    },
    /// Neither this timeframe nor one it could be built from is stored.
    #[error("{exchange} {symbol} has no candles from which {timeframe} could be built; stored: {}", list(.stored))]
    NoSeries {
        /// Exchange id.
        exchange: String,
        /// Unified name.
        symbol: String,
        /// As asked.
        timeframe: Timeframe,
        /// Timeframes that are stored, shortest first.
        stored: Vec<Timeframe>,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn suggestion(nearest: &[String]) -> String {
    if nearest.is_empty() { "; nothing is".to_owned() } else { format!("; did you mean {}?", nearest.join(", ")) }
}

fn list(timeframes: &[Timeframe]) -> String {
    if timeframes.is_empty() {
        return "none".to_owned();
    }
    timeframes.iter().map(|timeframe| timeframe.as_str()).collect::<Vec<_>>().join(", ")
}

/// Reads bars. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Arc<dyn Store>,
}

/// How many names an error suggests.
const SUGGESTIONS: usize = 3;

impl Reader {
    /// A reader of a store.
    pub fn new(store: Arc<dyn Store>) -> Reader {
        Reader { store }
    }

    /// Bars whose open time lies in `span`, oldest first. With `include_forming` the last one may be
    /// that of a bucket that is still open (`is_complete` is false).
    ///
    /// # Errors
    /// [`ReadError`]: unknown names with the nearest known ones; a timeframe nothing nests in.
    pub async fn fetch_ohlcv(
        &self,
        exchange: &str,
        symbol: &str,
        timeframe: Timeframe,
        span: Span,
        fill: Fill,
        include_forming: bool,
    ) -> Result<Vec<Bar>, ReadError> {
        let row = self.find(exchange, symbol).await?;
        let (series, fine, coarse) = self.choose(&row, timeframe).await?;
        if span.is_empty() {
            return Ok(Vec::new());
        }
        let coverage = complete(&self.store.ledger(series.id).await?);
        // Whole buckets at both ends, also where a session's date gathers instants of its neighbours.
        let margin = if fine == coarse {
            TimeDelta::zero()
        } else {
            TimeDelta::seconds(2 * timeframe.nominal().as_secs() as i64)
        };
        let reach = Span::new(
            span.from.checked_sub_signed(margin).unwrap_or(DateTime::<Utc>::MIN_UTC),
            span.to.checked_add_signed(margin).unwrap_or(DateTime::<Utc>::MAX_UTC),
        );
        let mut candles = self.candles(&series, reach, None).await?;
        let last_final = candles.last().map(|candle| candle.open_time);
        if include_forming && let Some(forming) = self.store.forming(series.id).await? {
            candles.extend(
                Some(forming)
                    .filter(|forming| reach.contains(forming.open_time) && last_final < Some(forming.open_time)),
            );
        }
        let bars = resample::resample(candles, fine, coarse, &coverage)
            // The series was chosen because its grid nests.
            .map_err(|_| no_series(&row, timeframe, &[series.timeframe]))?;
        let is_over = |bar: &Bar| {
            fine == coarse
                || bar.is_complete
                || series
                    .observed_until
                    .is_some_and(|observed| parts_span(&fine, &coarse, bar.candle.open_time).to <= observed)
        };
        let bars: Vec<Bar> = bars.filter(|bar| include_forming || is_over(bar)).collect();
        if fill == Fill::None {
            return Ok(bars.into_iter().filter(|bar| span.contains(bar.candle.open_time)).collect());
        }

        let before = bars.iter().rev().find(|bar| bar.candle.open_time < span.from).map(|bar| bar.candle.close);
        let before = match before {
            Some(close) => Some(close),
            None => {
                let earlier = Span::new(DateTime::<Utc>::MIN_UTC, reach.from);
                self.candles(&series, earlier, Some(1)).await?.first().map(|candle| candle.close)
            }
        };
        // Filled from the first known close to the newest bucket the collector has looked at.
        let first = bars.iter().map(|bar| bar.candle.open_time).find(|open_time| *open_time >= span.from);
        let last = bars.last().map(|bar| coarse.next_open(bar.candle.open_time));
        let edge = series.observed_until.map(|observed| coarse.open_of(observed)).max(last);
        let from = if before.is_some() { Some(span.from) } else { first };
        let (Some(from), Some(edge)) = (from, edge) else { return Ok(Vec::new()) };
        let filled = Span::new(from, span.to.min(edge));
        if filled.is_empty() {
            return Ok(Vec::new());
        }
        Ok(resample::fill(bars, coarse, filled, before, fill, &coverage).collect())
    }

    async fn candles(&self, series: &SeriesRow, span: Span, newest: Option<u32>) -> Result<Vec<Candle>, StoreError> {
        let query = CandleQuery { span, limit: newest, newest_first: newest.is_some() };
        Ok(self.store.candles(series.id, query).await?.into_iter().map(|row| row.candle).collect())
    }

    /// The row of a symbol that is kept.
    ///
    /// # Errors
    /// [`ReadError::UnknownExchange`] and [`ReadError::UnknownSymbol`] with what is kept instead.
    pub async fn find(&self, exchange: &str, symbol: &str) -> Result<SymbolRow, ReadError> {
        let mut of_exchange = self.find_all(exchange).await?;
        match of_exchange.iter().position(|row| row.symbol.as_str() == symbol) {
            Some(index) => Ok(of_exchange.swap_remove(index)),
            None => Err(ReadError::UnknownSymbol {
                exchange: exchange.to_owned(),
                symbol: symbol.to_owned(),
                nearest: nearest(symbol, of_exchange.iter().map(|row| row.symbol.as_str())),
            }),
        }
    }

    /// The rows of all symbols of an exchange that are kept; at least one.
    ///
    /// # Errors
    /// [`ReadError::UnknownExchange`] with what is kept instead.
    pub async fn find_all(&self, exchange: &str) -> Result<Vec<SymbolRow>, ReadError> {
        let rows = self.store.symbols().await?;
        if !rows.iter().any(|row| row.exchange == exchange) {
            let nearest = nearest(exchange, rows.iter().map(|row| row.exchange.as_str()));
            return Err(ReadError::UnknownExchange { exchange: exchange.to_owned(), nearest });
        }
        Ok(rows.into_iter().filter(|row| row.exchange == exchange).collect())
    }

    /// The series to read: the timeframe itself, or the coarsest one that nests in it. One that a
    /// collector has worked on goes before one that was only created.
    async fn choose(&self, row: &SymbolRow, timeframe: Timeframe) -> Result<(SeriesRow, Grid, Grid), ReadError> {
        let coarse = grid_of(row, timeframe);
        let stored = self.store.series_of(row.id).await?;
        let nesting = stored.iter().filter(|series| grid_of(row, series.timeframe).nests_in(&coarse));
        let best = nesting
            .max_by_key(|series| (series.observed_until.is_some() || series.last_sequence > 0, series.timeframe));
        match best {
            Some(series) => Ok((series.clone(), grid_of(row, series.timeframe), coarse)),
            None => {
                let stored: Vec<_> = stored.iter().map(|series| series.timeframe).collect();
                Err(no_series(row, timeframe, &stored))
            }
        }
    }
}

fn no_series(row: &SymbolRow, timeframe: Timeframe, stored: &[Timeframe]) -> ReadError {
    ReadError::NoSeries {
        exchange: row.exchange.clone(),
        symbol: row.symbol.to_string(),
        timeframe,
        stored: stored.to_vec(),
    }
}

/// The names most like `asked`, whatever their case and separators.
fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let asked = plain(asked);
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.sort_by(|a, b| {
        let likeness = |name: &str| strsim::jaro_winkler(&asked, &plain(name));
        likeness(b).total_cmp(&likeness(a))
    });
    names.into_iter().take(SUGGESTIONS).map(str::to_owned).collect()
}
