//! The series a symbol consists of, as the store has them and as the venue can feed them, and its
//! tape of trades.

use std::sync::Arc;

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};

use super::SymbolActor;
use super::series::{Feed, Series};
use super::tape::TapeSide;
use crate::actors::venue::Venue;
use crate::engine::book::{Book, FromTrades, SeriesRules};
use crate::engine::derive;
use crate::engine::settle::{StreamRules, Tracker};
use crate::engine::tape::ids::IdRange;
use crate::engine::tape::live::{Live, LiveRules};
use crate::engine::tape::{Tape, TapeRules};
use crate::exchange::{Capabilities, Channel, Instrument};
use crate::market::ledger::TRADES_NOT_SERVED;
use crate::market::{Anchors, Span, SpanSet, Timeframe};
use crate::store::spool::{Backlog, Owner};
use crate::store::{AnchorsRow, CandleSource, Store, StoreError, SymbolRow};
use crate::supervise::exit::Exit;

/// What a symbol works on.
pub(super) struct Opened {
    series: Vec<Series>,
    tape: Option<Box<TapeSide>>,
}

impl SymbolActor {
    pub(super) fn loaded(&mut self, result: Result<Option<Opened>, StoreError>, ctx: &mut Context<Self>) {
        match result {
            Ok(None) => self.end(Exit::Finished, ctx),
            Ok(Some(Opened { series, tape })) => {
                let own = series.iter().map(|series| (series.id, series.timeframe)).collect();
                self.owner = Arc::new(Owner { series: own, ..(*self.owner).clone() });
                self.series = series;
                self.tape = tape;
                self.is_loaded = true;
                self.advance(ctx);
            }
            Err(error) => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }
}

/// The wanted timeframes, finest first, each with the finer one its live bars are derived from.
fn plan(row: &SymbolRow, capabilities: &Capabilities, anchors: Anchors) -> Vec<(Timeframe, Option<Timeframe>)> {
    if !row.collect_candles {
        return Vec::new();
    }
    match row.candle_source {
        CandleSource::Venue => derive::plan(&row.timeframes, capabilities, anchors),
        // Trades make all of them in one pass.
        CandleSource::Trades => row.timeframes.iter().map(|timeframe| (*timeframe, None)).collect(),
    }
}

/// True when live candles are built from the venue's trades.
fn builds(row: &SymbolRow, capabilities: &Capabilities) -> bool {
    row.collect_candles
        && !row.timeframes.is_empty()
        && (row.candle_source == CandleSource::Trades || capabilities.candle_stream.is_none())
        && capabilities.trade_stream.is_some()
}

/// Which old candles are built from trades.
fn from_trades(row: &SymbolRow, capabilities: &Capabilities) -> FromTrades {
    match row.candle_source {
        CandleSource::Trades => FromTrades::All,
        CandleSource::Venue if capabilities.builds_old_candles() => FromTrades::Old,
        CandleSource::Venue => FromTrades::Never,
    }
}

/// Opens everything a symbol works on, as the store has it once it has all that was handed over
/// before. `None` when the collector stops before that.
pub(super) async fn open(
    store: Arc<dyn Store>,
    backlog: Backlog,
    venue: Venue,
    row: Arc<SymbolRow>,
    instrument: Arc<Instrument>,
) -> Result<Option<Opened>, StoreError> {
    let reading = async || {
        let _permit = venue.openings.acquire().await;
        read(&*store, &venue, &row, &instrument).await
    };
    backlog.read(reading).await
}

async fn read(
    store: &dyn Store,
    venue: &Venue,
    row: &SymbolRow,
    instrument: &Instrument,
) -> Result<Opened, StoreError> {
    store_anchors(store, row, instrument).await?;
    let series = open_series(store, venue, row, instrument).await?;
    let tape = open_tape(store, venue, row, &series).await?;
    Ok(Opened { series, tape })
}

/// Readers need the bucket borders too, before the first candle, and when no collector runs.
async fn store_anchors(store: &dyn Store, row: &SymbolRow, instrument: &Instrument) -> Result<(), StoreError> {
    let anchors = AnchorsRow::from(instrument.anchors);
    if row.anchors.as_ref() == Some(&anchors) { Ok(()) } else { store.set_anchors(row.id, &anchors).await }
}

async fn open_series(
    store: &dyn Store,
    venue: &Venue,
    row: &SymbolRow,
    instrument: &Instrument,
) -> Result<Vec<Series>, StoreError> {
    let capabilities = venue.capabilities();
    let anchors = instrument.anchors;
    let plan = plan(row, capabilities, anchors);
    let mut opened: Vec<Series> = Vec::with_capacity(plan.len());
    for (timeframe, parts) in plan {
        let from_trades = from_trades(row, capabilities);
        let Some(rules) = SeriesRules::new(capabilities, timeframe, anchors, from_trades) else { continue };
        let stored = store.open_series(row.id, timeframe).await?;
        let ledger = store.ledger(stored.id).await?;
        let now = venue.now();
        let (book, changes) = Book::open(rules, row.candles_from(timeframe), ledger, stored.observed_until, now);
        let grid = book.grid();
        let from = parts.and_then(|parts| opened.iter().position(|series| series.timeframe == parts));
        let feed = match (from, capabilities.candle_stream) {
            (Some(from), _) => Feed::Derived { from, next: grid.bucket_at(now), is_reading: false },
            _ if builds(row, capabilities) => Feed::Built { next: None },
            (None, Some(stream)) if row.candle_source == CandleSource::Venue => {
                let tracker = Tracker::new(StreamRules {
                    grid,
                    has_closed_flag: stream.has_closed_flag,
                    is_cumulative: stream.is_cumulative,
                    grace: stream.grace,
                    quiet: capabilities.quiet,
                });
                let grace = TimeDelta::from_std(stream.grace).unwrap_or_default();
                Feed::Native { tracker: Some(Box::new(tracker)), grace }
            }
            _ => Feed::Native { tracker: None, grace: TimeDelta::zero() },
        };
        let mut series = Series::new(stored.id, timeframe, book, feed);
        for change in changes {
            series.state(change);
        }
        opened.push(series);
    }
    Ok(opened)
}

/// The tape, where trades are collected or candles are built from them.
async fn open_tape(
    store: &dyn Store,
    venue: &Venue,
    row: &SymbolRow,
    series: &[Series],
) -> Result<Option<Box<TapeSide>>, StoreError> {
    let capabilities = venue.capabilities();
    let is_built = builds(row, capabilities);
    let builds_old = from_trades(row, capabilities) != FromTrades::Never && !series.is_empty();
    if !row.collect_trades && !is_built && !builds_old {
        return Ok(None);
    }
    let collects_from = collects_from(row, series, venue.now());
    let streams_dense = capabilities.trade_stream.is_none_or(|stream| stream.ids_are_dense);
    let rules = TapeRules {
        rest: capabilities.trade_rest,
        ids_are_dense: streams_dense && capabilities.trade_rest.is_none_or(|rest| rest.ids_are_dense),
        settle: TimeDelta::from_std(capabilities.settle).unwrap_or_default(),
        collects_from: row.collect_trades.then_some(collects_from),
    };
    let coverage = store.trade_coverage(row.id).await?;
    let mut ranges = Vec::with_capacity(coverage.ids.len());
    for (first, last) in coverage.ids {
        // A range whose ends are not there any more says nothing.
        if let (Some(from), Some(to)) = (store.trade(row.id, first).await?, store.trade(row.id, last).await?) {
            ranges.push(IdRange { first, last, from: from.time, to: to.time });
        }
    }
    let given_up = coverage.unavailable.iter().filter(|(_, reason)| reason == TRADES_NOT_SERVED);
    let given_up: Vec<Span> = given_up.map(|(span, _)| *span).collect();
    let unavailable: SpanSet = coverage.unavailable.into_iter().map(|(span, _)| span).collect();
    let mut tape = Tape::new(rules, coverage.spans, unavailable, ranges, venue.now());
    given_up.into_iter().for_each(|span| tape.give_up(span, venue.now()));
    let doubted = tape.reconsider();
    let live = Live::new(LiveRules {
        ids_are_dense: capabilities.trade_stream.is_some_and(|stream| stream.ids_are_dense),
        grids: series.iter().filter(|s| matches!(s.feed, Feed::Built { .. })).map(Series::grid).collect(),
        quiet: capabilities.quiet,
    });
    let mut side = Box::new(TapeSide::new(row.id, tape, live, row.collect_trades));
    doubted.into_iter().for_each(|span| side.withdraw(span, venue.now()));
    Ok(Some(side))
}

/// Since when trades are collected: a bucket that is built from them needs them from its beginning, but
/// for those that were pruned.
pub(super) fn collects_from(row: &SymbolRow, series: &[Series], now: DateTime<Utc>) -> DateTime<Utc> {
    let built = series.iter().filter_map(|series| series.book.built_from(now));
    let first = built.map(|from| from.min(row.trades_from())).min();
    row.kept.trades.max(first).unwrap_or(row.trades_from())
}

/// What a symbol wants from streams: candles that are not derived from finer ones, and trades.
pub fn streamed_channels(row: &SymbolRow, instrument: &Instrument, venue: &Venue) -> Vec<Channel> {
    let capabilities = venue.capabilities();
    let is_built = builds(row, capabilities);
    let mut channels = Vec::new();
    if capabilities.candle_stream.is_some() && row.candle_source == CandleSource::Venue {
        let plan = plan(row, capabilities, instrument.anchors).into_iter();
        channels.extend(plan.filter(|(_, parts)| parts.is_none()).map(|(timeframe, _)| Channel::Candles(timeframe)));
    }
    if capabilities.trade_stream.is_some() && (row.collect_trades || is_built) {
        channels.push(Channel::Trades);
    }
    channels
}
