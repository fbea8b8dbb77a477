//! Publishes what the writer has stored, at its own pace: the writer only mentions what it did, and
//! waits for nobody. A side branch: while Redis is away or slow, news is merged by series, and what
//! was not heard of is found in the store.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::messages::{SeriesWritten, Stop};
use crate::mirror::candles::{Publisher, SeriesNews};
use crate::mirror::events::EventPublisher;
use crate::store::SeriesId;
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;

/// How long news waits for company.
const GATHER: Duration = Duration::from_millis(50);
/// How often is tried again what could not be published.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often the store is asked for what nobody mentioned.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for the last round.
const LAST_ROUND: Duration = Duration::from_secs(1);

/// What the actor is built from.
pub struct PublisherSetup {
    /// Publishes candles.
    pub publisher: Publisher,
    /// Publishes events.
    pub events: EventPublisher,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct PublisherActor {
    /// Away while a round is under way.
    publisher: Option<(Publisher, EventPublisher)>,
    news: BTreeMap<SeriesId, SeriesNews>,
    /// There may be a new event.
    is_event: bool,
    is_called: bool,
    looked_at: Option<Instant>,
    is_stopping: bool,
    _guard: ExitGuard<&'static str>,
    _member: Member,
}

impl PublisherActor {
    /// An actor that has heard of nothing.
    pub fn new(setup: PublisherSetup) -> PublisherActor {
        PublisherActor {
            publisher: Some((setup.publisher, setup.events)),
            is_event: false,
            news: BTreeMap::new(),
            is_called: false,
            looked_at: None,
            is_stopping: false,
            _guard: setup.guard,
            _member: setup.member,
        }
    }

    fn round(&mut self, ctx: &mut Context<Self>) {
        let Some((mut publisher, mut events)) = self.publisher.take() else { return };
        let mut is_event = std::mem::take(&mut self.is_event);
        if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.looked_at = Some(Instant::now());
            publisher.look_again();
            is_event = true;
        }
        if is_event {
            events.look_again();
        }
        let news = std::mem::take(&mut self.news).into_values();
        let publishing = async move {
            publisher.round(news).await;
            events.round().await;
            (publisher, events)
        };
        ctx.spawn(publishing.into_actor(self).map(|publishers, actor, ctx| {
            actor.publisher = Some(publishers);
            let is_news = actor.is_event || !actor.news.is_empty();
            if actor.is_stopping && !is_news {
                ctx.stop();
            } else if is_news {
                actor.round(ctx);
            }
        }));
    }
}

impl Actor for PublisherActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.round(ctx);
        ctx.run_interval(RETRY_EVERY, |actor, ctx| actor.round(ctx));
    }
}

impl Handler<SeriesWritten> for PublisherActor {
    type Result = ();

    fn handle(&mut self, message: SeriesWritten, ctx: &mut Context<Self>) {
        self.is_event |= message.is_event;
        for mut news in message.series {
            if let Some(before) = self.news.remove(&news.series) {
                news.last_sequence = news.last_sequence.max(before.last_sequence);
                news.forming = news.forming.or(before.forming);
            }
            self.news.insert(news.series, news);
        }
        if !self.is_called {
            self.is_called = true;
            ctx.run_later(GATHER, |actor, ctx| {
                actor.is_called = false;
                actor.round(ctx);
            });
        }
    }
}

impl Handler<Stop> for PublisherActor {
    type Result = ();

    /// What is not published within a moment is published after the next start.
    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.is_stopping = true;
        self.round(ctx);
        ctx.run_later(LAST_ROUND, |_, ctx| ctx.stop());
    }
}
