//! REST reads: which is due, made one at a time for each class, and what their pages conclude. A
//! place stays taken until its result is durable.

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tracing::debug;

use super::{SymbolActor, revise};
use crate::actors::messages::{FetchCandles, FetchError, FetchedPage};
use crate::engine::book::Call;
use crate::engine::page::Page;
use crate::exchange::{ErrorKind, VenueError};
use crate::market::ledger::{Coverage, LedgerChange, TOO_OLD};
use crate::store::StoreError;
use crate::supervise::exit::Exit;

/// A place for one REST call, taken until its result is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slots {
    Free,
    Calling,
    Concluded,
    Saving,
}

/// Which of the two places a call takes: live and repair reads never wait behind history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Urgent,
    Background,
}

impl SymbolActor {
    fn slot(&mut self, class: Class) -> &mut Slots {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::Background => &mut self.background,
        }
    }

    /// Makes the next call of a class, if its place is free and something is due.
    pub(super) fn call(&mut self, class: Class, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if *self.slot(class) != Slots::Free {
            return;
        }
        let due = self.series.iter().enumerate().find_map(|(index, series)| {
            let call = match class {
                Class::Urgent => series.book.urgent_call(now),
                Class::Background => series.book.background_call(now),
            };
            call.map(|call| (index, call))
        });
        let Some((index, call)) = due else { return };
        *self.slot(class) = Slots::Calling;
        let timeframe = self.series[index].timeframe;
        debug!(%timeframe, priority = ?call.priority, span = %call.span, "call");
        let fetching =
            self.setup.parent.send(FetchCandles { instrument: self.setup.instrument.clone(), timeframe, call });
        ctx.spawn(fetching.into_actor(self).map(move |result, actor, ctx| match result {
            Ok(result) => actor.fetched(class, index, call, result, ctx),
            // The parent ended, and with it this family.
            Err(_) => actor.end(Exit::Finished, ctx),
        }));
    }

    fn fetched(
        &mut self,
        class: Class,
        index: usize,
        call: Call,
        result: Result<FetchedPage, FetchError>,
        ctx: &mut Context<Self>,
    ) {
        match result {
            Ok(page) => self.page(class, index, page, ctx),
            Err(FetchError::Venue(VenueError { kind: ErrorKind::UnknownSymbol, message })) => {
                self.refused(message, ctx);
            }
            Err(FetchError::Venue(VenueError { kind: ErrorKind::OutOfHistory, .. })) => {
                let too_old = Coverage::Unavailable { reason: TOO_OLD.to_owned() };
                self.series[index].state(LedgerChange::Set(call.span, too_old));
                *self.slot(class) = Slots::Free;
                self.advance(ctx);
            }
            Err(FetchError::Cancelled) => {
                self.is_stopping = true;
                self.advance(ctx);
            }
            Err(error) => self.end(Exit::Failed(error.to_string()), ctx),
        }
    }

    fn page(&mut self, class: Class, index: usize, fetched: FetchedPage, ctx: &mut Context<Self>) {
        let FetchedPage { call, rows, sent_at } = fetched;
        let page = Page { asked: call.span, rows, sent_at };
        let mut conclusion = self.series[index].book.conclude(&call, &page);
        let comparison = self.comparison(index, &conclusion.candles, self.setup.venue.now());
        self.series[index].book.concluded(&call, &conclusion);
        self.compare_silence(index, &conclusion.candles);
        self.setup.venue.tally.dropped("row_off_the_grid", u64::from(conclusion.refused_rows));
        let (id, grid, denied) = (self.series[index].id, self.series[index].grid(), conclusion.denied.clone());
        let (store, backlog) = (self.setup.store.clone(), self.setup.backlog.clone());
        // Most pages raise no question: they are queued at once.
        let checking = async move {
            let short = match comparison {
                None => Some(Vec::new()),
                // What waits for the store is in no sum.
                Some(_) if !backlog.is_empty() => None,
                Some(comparison) => match comparison.run(&*store).await {
                    Err(error) if error.is_transient() => None,
                    short => Some(short?),
                },
            };
            let inferred = revise::inferred(&*store, &backlog, id, grid, &denied).await?;
            Ok::<_, StoreError>(inferred.map(|inferred| (inferred, short)))
        };
        ctx.spawn(checking.into_actor(self).map(move |found, actor, ctx| match found {
            // The collector stops.
            Ok(None) => {}
            Ok(Some((inferred, short))) => {
                match short {
                    Some(short) => actor.read_again(short, actor.setup.venue.now()),
                    None => conclusion.leave_unverified(),
                }
                actor.series[index].book.verified(&call, &conclusion, sent_at);
                inferred.spans().iter().for_each(|span| actor.series[index].withdraw(*span, sent_at));
                actor.series[index].conclude(conclusion, sent_at);
                *actor.slot(class) = Slots::Concluded;
                actor.advance(ctx);
            }
            Err(error) => actor.end(Exit::Failed(error.to_string()), ctx),
        }));
    }
}
