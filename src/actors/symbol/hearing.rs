//! Whether the streams of a symbol still tell what happens: what REST shows is held against what was
//! heard, and REST is asked when nothing was heard for long.

use std::collections::BTreeMap;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tracing::{debug, warn};

use super::SymbolActor;
use crate::actors::messages::{FetchError, FetchTrades, FetchedTrades, StreamBatch, SymbolNews};
use crate::engine::budget::Priority;
use crate::engine::ear::Ear;
use crate::engine::tape::TradeCall;
use crate::exchange::{Channel, ErrorKind, TradeCursor, VenueError};
use crate::market::{Candle, Span};
use crate::supervise::exit::Exit;

/// Buckets that fit so often into the bound tell well enough when it was quiet.
const SHORT_PARTS: u32 = 10;

/// See the module.
pub(super) struct Hearing {
    /// One for each channel that a connection carries.
    ears: BTreeMap<Channel, Ear>,
    /// Where within the spread of a venue's symbols this one asks.
    spread: f64,
    is_asking: bool,
}

impl Hearing {
    /// Nothing is heard yet; `number` tells the symbols of a venue apart.
    pub fn new(number: u32) -> Hearing {
        Hearing { ears: BTreeMap::new(), spread: f64::from(number % 1000) / 1000.0, is_asking: false }
    }

    /// A channel was acknowledged. One that another connection carries already is heard through that.
    pub fn attached(&mut self, channel: Channel, now: DateTime<Utc>) {
        self.ears.entry(channel).or_insert_with(|| Ear::new(now));
    }

    /// Takes note of what a batch speaks of. A snapshot only repeats what was.
    pub fn heard(&mut self, batch: &StreamBatch, now: DateTime<Utc>) {
        let news = batch.frames.iter().filter(|(_, frame)| !frame.is_snapshot);
        let candles = news.map(|(timeframe, _)| Channel::Candles(*timeframe));
        let tape = &batch.tape;
        let trades = (!tape.trades.is_empty() || tape.announced.is_some()).then_some(Channel::Trades);
        for channel in candles.chain(trades) {
            if let Some(ear) = self.ears.get_mut(&channel) {
                ear.heard(now);
            }
        }
    }
}

impl SymbolActor {
    /// Channels without a connection are not listened to.
    pub(super) fn forget_ears(&mut self) {
        let hears_trades = self.tape.as_ref().is_some_and(|side| side.live.connection().is_some());
        let series = &mut self.series;
        self.hearing.ears.retain(|channel, _| match channel {
            Channel::Trades => hears_trades,
            Channel::Candles(timeframe) => series
                .iter_mut()
                .filter(|series| series.timeframe == *timeframe)
                .any(|series| series.tracker().is_some_and(|tracker| tracker.connection().is_some())),
        });
    }

    /// When there is something to ask or to judge.
    pub(super) fn hears_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (within, spread) = (self.setup.deaf_within, self.hearing.spread);
        self.hearing.ears.values().map(|ear| ear.wake_at(within, spread)).filter(|at| *at > now).min()
    }

    /// Says that a stream is deaf, or asks REST whether it is.
    pub(super) fn listen(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if let Some(channel) = self.hearing.ears.iter().find(|(_, ear)| ear.is_deaf(now)).map(|(channel, _)| *channel) {
            warn!(?channel, "trading was found where the stream was silent");
            self.hearing.ears.clear();
            return self.notify(SymbolNews::Deaf { channel });
        }
        let (within, spread) = (self.setup.deaf_within, self.hearing.spread);
        let is_due = |ear: &Ear| !ear.is_suspect() && ear.ask_at(within, spread) <= now;
        if self.hearing.is_asking || !self.hearing.ears.values().any(is_due) {
            return;
        }
        self.hearing.is_asking = true;
        let call = TradeCall {
            cursor: TradeCursor::Newest,
            gap: Span::new(now, now),
            priority: Priority::Repair,
            is_pass: false,
        };
        debug!("nothing was heard for long; asking whether it traded");
        let asking = self.setup.parent.send(FetchTrades { instrument: self.setup.instrument.clone(), call });
        ctx.spawn(asking.into_actor(self).map(|result, actor, ctx| match result {
            Ok(result) => actor.told_of_trades(result, ctx),
            // The parent ended, and with it this family.
            Err(_) => actor.end(Exit::Finished, ctx),
        }));
    }

    fn told_of_trades(&mut self, result: Result<FetchedTrades, FetchError>, ctx: &mut Context<Self>) {
        self.hearing.is_asking = false;
        let now = self.setup.venue.now();
        match result {
            Ok(FetchedTrades { page, sent_at, .. }) => {
                let newest = page.trades.iter().map(|trade| trade.time).max();
                let asked_at = sent_at - self.setup.venue.capabilities().settle;
                self.hearing.ears.values_mut().for_each(|ear| ear.traded(newest, asked_at, now));
            }
            Err(FetchError::Venue(VenueError { kind: ErrorKind::UnknownSymbol, message })) => {
                return self.refused(message, ctx);
            }
            Err(FetchError::Cancelled) => self.is_stopping = true,
            Err(error) => {
                debug!(%error, "whether it traded is not known");
                let within = self.setup.deaf_within;
                self.hearing.ears.values_mut().for_each(|ear| ear.unanswered(within, now));
            }
        }
        self.advance(ctx);
    }

    /// Holds final rows of REST against what the stream of their series was silent about.
    pub(super) fn compare_silence(&mut self, index: usize, rows: &[Candle]) {
        let now = self.setup.venue.now();
        let series = &mut self.series[index];
        let (grid, channel) = (series.grid(), Channel::Candles(series.timeframe));
        let (Some(ear), Some(tracker)) = (self.hearing.ears.get_mut(&channel), series.tracker()) else { return };
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        for row in rows.iter().filter(|row| row.volume > 0.0 && tracker.was_silent_about(row.open_time)) {
            ear.missed(grid.close_of(row.open_time), now);
        }
        tracker.forget_silence(Span::new(first.open_time, grid.next_open(last.open_time)));
        // Long buckets do not tell when it was quiet.
        if grid.timeframe.nominal() * SHORT_PARTS <= self.setup.deaf_within {
            let bucket = |row: &Candle| Span::new(row.open_time, grid.close_of(row.open_time));
            ear.was_quiet_in(rows.iter().map(|row| (bucket(row), row.volume > 0.0)));
        }
    }
}
