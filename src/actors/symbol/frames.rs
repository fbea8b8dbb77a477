//! What connections tell a symbol: that they carry it, that they do not any more, and frames.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::SymbolActor;
use super::series::Feed;
use crate::actors::messages::{StreamAttached, StreamBatch, StreamDetached};
use crate::exchange::Channel;

/// Shortest wall-clock time between two writes of the open bucket.
const FORMING_EVERY: Duration = Duration::from_secs(1);

impl Handler<StreamAttached> for SymbolActor {
    type Result = ();

    fn handle(&mut self, message: StreamAttached, ctx: &mut Context<Self>) {
        match message.channel {
            Channel::Trades => self.attach_tape(message.connection, message.acked_at),
            Channel::Candles(timeframe) => {
                for series in self.series.iter_mut().filter(|series| series.timeframe == timeframe) {
                    if let Some(tracker) = series.tracker() {
                        tracker.attach(message.connection, message.acked_at);
                    }
                }
            }
        }
        self.hearing.attached(message.channel, self.setup.venue.now());
        self.advance(ctx);
    }
}

impl Handler<StreamDetached> for SymbolActor {
    type Result = ();

    fn handle(&mut self, message: StreamDetached, ctx: &mut Context<Self>) {
        for series in &mut self.series {
            if let Some(tracker) = series.tracker() {
                tracker.detach(message.connection);
            }
        }
        self.detach_tape(message.connection);
        self.forget_ears();
        self.live.away(message.reason);
        self.advance(ctx);
    }
}

impl Handler<StreamBatch> for SymbolActor {
    type Result = ();

    fn handle(&mut self, mut batch: StreamBatch, ctx: &mut Context<Self>) {
        let observed_at = self.setup.venue.now();
        let mut verdicts = Vec::new();
        let may_form = self.formed_at.is_none_or(|at| at.elapsed() >= FORMING_EVERY);
        let mut is_news = may_form;
        self.hearing.heard(&batch, self.setup.venue.now());
        is_news |= self.hear(&mut batch, observed_at);
        for series in &mut self.series {
            let mut tracker = match &mut series.feed {
                Feed::Native { tracker, .. } => match tracker.take() {
                    Some(tracker) => tracker,
                    None => continue,
                },
                Feed::Built { .. } | Feed::Derived { .. } => continue,
            };
            let own = series.timeframe;
            for (_, frame) in batch.frames.iter().filter(|(timeframe, _)| *timeframe == own) {
                tracker.frame(batch.connection, *frame, |open| series.is_settled(open), &mut verdicts);
                is_news |= !verdicts.is_empty();
                verdicts.drain(..).for_each(|verdict| series.take(verdict, observed_at));
            }
            tracker.alive(batch.connection, batch.alive_at, &mut verdicts);
            is_news |= !verdicts.is_empty();
            verdicts.drain(..).for_each(|verdict| series.take(verdict, observed_at));
            if may_form && let Some(forming) = tracker.forming() {
                series.form(forming);
                self.formed_at = Some(Instant::now());
            }
            if let Feed::Native { tracker: place, .. } = &mut series.feed {
                *place = Some(tracker);
            }
        }
        // One more state of the open bucket makes nothing due that the timer does not know.
        if is_news {
            self.advance(ctx);
        }
    }
}
