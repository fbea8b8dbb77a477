//! How a symbol is kept live, and since when consumers are told so.
//!
//! A life that begins waits for its stream for a moment before it says that it polls: so a restart, or a
//! handover from one life to the next, is no change of the mode.

use chrono::{DateTime, TimeDelta, Utc};

use super::SymbolActor;
use super::opening::streamed_channels;
use super::series::{Feed, Series};
use crate::actors::messages::away;
use crate::status::Mode;
use crate::store::ModeChange;

/// How long a life that was not streamed yet waits before it says that it polls.
const PATIENCE: TimeDelta = TimeDelta::seconds(30);
/// The reason of a mode that follows a stream.
const SUBSCRIBED: &str = "subscribed";

/// What a life has said of its mode.
#[derive(Default)]
pub(super) struct Live {
    said: Option<Mode>,
    /// Why it is not streamed, where somebody said so.
    away: Option<&'static str>,
}

impl Live {
    /// It is not streamed any more.
    pub fn away(&mut self, reason: &'static str) {
        self.away = Some(reason);
    }
}

impl SymbolActor {
    /// How it is kept live now.
    pub(super) fn mode(&self) -> Mode {
        let keeps_trades = self.tape.as_ref().is_some_and(|side| side.keeps);
        let hears_trades = self.tape.as_ref().is_some_and(|side| side.live.connection().is_some());
        let is_built = self.series.iter().any(|series| matches!(series.feed, Feed::Built { .. }));
        let is_streamed = self.series.iter().all(Series::is_streamed) && (!keeps_trades || hears_trades);
        match (is_streamed, is_built || self.series.is_empty()) {
            (false, _) => Mode::LiveRestPolling,
            (true, true) => Mode::LiveTrade,
            (true, false) => Mode::LiveWebsocket,
        }
    }

    /// Has a change of the mode recorded. The store knows what was told last, and tells no mode twice.
    pub(super) fn follow_mode(&mut self) {
        let mode = self.mode();
        if self.live.said == Some(mode) {
            return;
        }
        let reason = match (mode, self.live.away) {
            (Mode::LiveRestPolling, None) if !self.has_stream() => away::NO_STREAM,
            (Mode::LiveRestPolling, None) if self.setup.venue.now() < self.began + PATIENCE => return,
            (Mode::LiveRestPolling, None) => away::STREAM_NOT_AVAILABLE,
            // Its next life has the word.
            (Mode::LiveRestPolling, Some(away::STOPPED)) => return,
            (Mode::LiveRestPolling, Some(reason)) => reason,
            (Mode::LiveWebsocket | Mode::LiveTrade | Mode::Ticker, _) => SUBSCRIBED,
        };
        if self.is_stopping && mode == Mode::LiveRestPolling {
            return;
        }
        self.live = Live { said: Some(mode), away: None };
        let (symbol, at) = (self.setup.row.id, self.setup.venue.clock.now());
        self.modes.push(ModeChange { symbol, mode: mode.as_str().to_owned(), reason: reason.to_owned(), at });
    }

    /// When a life that was not streamed yet says so.
    pub(super) fn mode_due_at(&self) -> Option<DateTime<Utc>> {
        self.live.said.is_none().then_some(self.began + PATIENCE)
    }

    fn has_stream(&self) -> bool {
        let setup = &self.setup;
        !streamed_channels(&setup.row, &setup.instrument, &setup.venue).is_empty()
    }
}
