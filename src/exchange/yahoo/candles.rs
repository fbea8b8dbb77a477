//! From the columns of a chart reply to candles: which rows are bars, and whose.
//!
//! Yahoo appends a live row with the time of the last tick, leaves nulls where nothing traded,
//! lets rows of extended hours slip in, and stamps daily bars with the opening of the session.
//! What is returned lies on the market's grid, inside the asked span, each bucket once.

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike, Utc};
use serde_json::value::RawValue;

use super::wire::{Column, Meta, Period, Quote, Series, Zone, instant, malformed};
use crate::exchange::VenueError;
use crate::market::{Anchors, Candle, Grid, Span, Timeframe};

/// A complete row of the reply.
#[derive(Debug, Clone, Copy)]
struct Row {
    candle: Candle,
    /// The last row of the reply, where Yahoo appends what has happened since the bar before it.
    is_last: bool,
    /// Stamped with the time of the last tick instead of a bar's opening.
    is_live: bool,
}

/// Candles of a series, oldest first.
pub fn read(
    series: &Series<'_>,
    anchors: Anchors,
    timeframe: Timeframe,
    span: Span,
) -> Result<Vec<Candle>, VenueError> {
    let mut rows = rows(series)?;
    rows.sort_by_key(|row| row.candle.open_time);
    fold(&mut rows, |_, later| later.candle);
    let grid = Grid::new(timeframe, anchors);
    let rows = match timeframe.is_daily_or_longer() {
        true => by_local_date(rows, grid, Zone::of(&series.meta, anchors.session.map(|session| session.zone))),
        false => intraday(rows, grid, &series.meta)?,
    };
    Ok(rows.into_iter().map(|row| row.candle).filter(|candle| span.contains(candle.open_time)).collect())
}

/// The rows in which no price is null. A null volume beside prices is none.
fn rows(series: &Series<'_>) -> Result<Vec<Row>, VenueError> {
    let Some(times) = series.timestamp.as_deref().filter(|times| !times.is_empty()) else { return Ok(Vec::new()) };
    let none = Quote::default();
    let quote = series.indicators.quote.first().unwrap_or(&none);
    let columns = [&quote.open, &quote.high, &quote.low, &quote.close, &quote.volume];
    if columns.iter().any(|column| column.len() != times.len()) {
        return Err(malformed(format!("columns differ in length from the {} timestamps", times.len())));
    }
    let mut rows = Vec::with_capacity(times.len());
    for (index, seconds) in times.iter().enumerate() {
        let cell = |column: &Column<'_>| column[index].map(number).transpose();
        let [open, high, low, close, volume] = columns.map(cell);
        let (Some(open), Some(high), Some(low), Some(close)) = (open?, high?, low?, close?) else { continue };
        let open_time = instant(*seconds).ok_or_else(|| malformed(format!("timestamp is {seconds}")))?;
        let volume = volume?.unwrap_or(0.0);
        if volume < 0.0 {
            return Err(malformed(format!("volume {volume} is negative")));
        }
        let candle = Candle { open_time, open, high, low, close, volume, quote_volume: None, trades: None, vwap: None };
        let is_last = index + 1 == times.len();
        let is_live = is_last && series.meta.regular_market_time == Some(*seconds);
        rows.push(Row { candle, is_last, is_live });
    }
    Ok(rows)
}

fn number(raw: &RawValue) -> Result<f64, VenueError> {
    let text = raw.get();
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .ok_or_else(|| malformed(format!("{text} stands where a number belongs")))
}

/// Rows on the grid and in regular hours. Half hours arrive as quarters and are put together.
fn intraday(mut rows: Vec<Row>, grid: Grid, meta: &Meta<'_>) -> Result<Vec<Row>, VenueError> {
    let is_quarters = meta.data_granularity.as_deref().is_none_or(|text| text == "15m");
    let parts = match grid.timeframe {
        Timeframe::M30 if is_quarters => Grid { timeframe: Timeframe::M15, ..grid },
        _ => grid,
    };
    let periods = meta.regular_periods();
    rows.retain(|row| !is_extended(row.candle.open_time.timestamp(), &periods));
    let count = rows.len();
    rows.retain(|row| parts.is_border(row.candle.open_time));
    // One row off the grid is the live one. All of several would mean that the market's hours are
    // not what we think, and an empty page would then pass for a market without trades.
    if rows.is_empty() && count > 1 {
        return Err(malformed(format!("none of {count} rows lies on the market's {} grid", parts.timeframe)));
    }
    for row in &mut rows {
        row.candle.open_time = grid.open_of(row.candle.open_time);
    }
    fold(&mut rows, |earlier, later| joined(&earlier.candle, &later.candle));
    Ok(rows)
}

/// True for a time in the hours before or after a regular period. Only periods of at most 14 hours
/// tell: 8 hours around them never reach into the session of another day.
fn is_extended(time: i64, periods: &[Period]) -> bool {
    const NEAR_S: i64 = 8 * 3600;
    let told = || periods.iter().filter(|period| (1..=14 * 3600).contains(&period.length_s()));
    told().any(|period| period.start.saturating_sub(NEAR_S) <= time && time < period.end.saturating_add(NEAR_S))
        && !told().any(|period| period.start <= time && time < period.end)
}

/// Rows keyed by the local date of their stamp, at 00:00 UTC; weeks by their Monday, months by
/// their first.
fn by_local_date(mut rows: Vec<Row>, grid: Grid, zone: Zone) -> Vec<Row> {
    for row in &mut rows {
        let mut local = zone.local(row.candle.open_time);
        // Around changes of the clocks Yahoo stamps midnight one or two hours early.
        if !row.is_live && local.hour() >= 22 && local.minute() == 0 && local.second() == 0 {
            local += TimeDelta::hours(2);
        }
        row.candle.open_time = grid.open_of(local.date().and_time(NaiveTime::MIN).and_utc());
    }
    let is_longer = grid.timeframe > Timeframe::D1;
    // A second row for today replaces the first. A last row within the week or month of the bar
    // before it holds what that bar does not have yet.
    fold(&mut rows, |earlier, later| match is_longer && later.is_last {
        true => joined(&earlier.candle, &later.candle),
        false => later.candle,
    });
    rows
}

/// Makes one row of neighbours with the same open time.
fn fold(rows: &mut Vec<Row>, merge: impl Fn(&Row, &Row) -> Candle) {
    rows.dedup_by(|later, earlier| {
        let is_same = later.candle.open_time == earlier.candle.open_time;
        if is_same {
            *earlier = Row { candle: merge(earlier, later), ..*later };
        }
        is_same
    });
}

/// The bar over two consecutive parts, at the open time of the first.
fn joined(earlier: &Candle, later: &Candle) -> Candle {
    Candle {
        high: earlier.high.max(later.high),
        low: earlier.low.min(later.low),
        close: later.close,
        volume: earlier.volume + later.volume,
        ..*earlier
    }
}

/// The seconds between which a chart call asks for `span`. Daily and longer spans run on local
/// dates and begin two hours early, so that a first bar stamped before midnight is not cut off.
pub fn window(span: Span, timeframe: Timeframe, anchors: Anchors) -> (i64, i64) {
    let seconds = |time: DateTime<Utc>| match (timeframe.is_daily_or_longer(), anchors.session) {
        (true, Some(mut session)) => {
            session.open = NaiveTime::MIN;
            session.opens_at(time.date_naive()).timestamp()
        }
        _ => time.timestamp(),
    };
    let early = if timeframe.is_daily_or_longer() { 2 * 3600 } else { 0 };
    (seconds(span.from) - early, seconds(span.to))
}
