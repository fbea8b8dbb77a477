//! The children that serve the whole tree (writer, status, control, feed, retention, and what speaks with
//! Redis), each started again when it ends.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::broadcast;
use tracing::warn;

use super::Supervisor;
use crate::actors::auditor::{AuditActor, AuditSetup};
use crate::actors::channel::{ChannelActor, ChannelSetup};
use crate::actors::control::{ControlActor, ControlSetup};
use crate::actors::feed::{FeedActor, FeedSetup};
use crate::actors::messages::host::ListenError;
use crate::actors::messages::{
    Broadcast, BroadcastEvents, CandleClosed, Listen, ListenEvents, Unlisten, UnlistenEvents,
};
use crate::actors::publisher::{PublisherActor, PublisherSetup};
use crate::actors::retention::{RetentionActor, RetentionSetup};
use crate::actors::status::{StatusActor, StatusSetup, StoreSink};
use crate::actors::writer::{WriterActor, WriterSetup};
use crate::control::{Command, Desk, Refusal, RefusalKind, Reply};
use crate::mirror::ProcessCache;
use crate::mirror::candles::Publisher;
use crate::mirror::commands::CommandStream;
use crate::mirror::events::EventPublisher;
use crate::status::sink::StatusSink;
use crate::store::Event;
use crate::supervise::exit::{ChildExited, ExitGuard};
use crate::supervise::policy::Decision;

const WRITER: &str = "writer";
const STATUS: &str = "status";
const AUDITOR: &str = "auditor";
const CONTROL: &str = "control";
const PUBLISHER: &str = "publisher";
const CHANNEL: &str = "channel";
const FEED: &str = "feed";
const RETENTION: &str = "retention";

impl Supervisor {
    pub(super) fn start_status(&mut self, ctx: &mut Context<Self>) {
        let generation = self.reporters.next_generation();
        let mut sinks: Vec<Arc<dyn StatusSink>> = vec![Arc::new(StoreSink(self.store.clone()))];
        if let Some(redis) = &self.redis {
            let prefix = &self.config.redis.prefix;
            sinks.push(Arc::new(ProcessCache::new(redis, prefix, self.config.status.interval)));
        }
        let actor = StatusActor::new(StatusSetup {
            board: self.board.clone(),
            sinks,
            clock: self.clock.clone(),
            config: self.config.status.clone(),
            guard: ExitGuard::new(STATUS, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.reporters.started(STATUS, generation, actor.clone());
        self.status.fill(actor);
    }

    pub(super) fn start_writer(&mut self, ctx: &mut Context<Self>) {
        let generation = self.writers.next_generation();
        let actor = WriterActor::new(WriterSetup {
            store: self.store.clone(),
            spool: self.spool.clone(),
            patience: self.config.spool.patience,
            config: self.config.writer.clone(),
            tally: self.tally.clone(),
            publisher: self.redis.is_some().then(|| self.publisher.slot()),
            feed: self.feed.slot(),
            status: self.status.slot(),
            guard: ExitGuard::new(WRITER, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.writers.started(WRITER, generation, actor.clone());
        self.writer.fill(actor);
    }

    pub(super) fn start_control(&mut self, ctx: &mut Context<Self>) {
        let generation = self.controllers.next_generation();
        let actor = ControlActor::new(ControlSetup {
            desk: Desk::new(self.store.clone(), self.board.clone(), self.clock.clone()),
            supervisor: ctx.address(),
            auditor: self.auditor.slot(),
            guard: ExitGuard::new(CONTROL, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.controllers.started(CONTROL, generation, actor.clone());
        self.control.fill(actor);
    }

    pub(super) fn start_auditor(&mut self, ctx: &mut Context<Self>) {
        let generation = self.auditors.next_generation();
        let actor = AuditActor::new(AuditSetup {
            store: self.store.clone(),
            supervisor: ctx.address(),
            guard: ExitGuard::new(AUDITOR, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.auditors.started(AUDITOR, generation, actor.clone());
        self.auditor.fill(actor);
    }

    pub(super) fn start_feed(&mut self, ctx: &mut Context<Self>) {
        let generation = self.feeds.next_generation();
        let actor = FeedActor::new(FeedSetup {
            store: self.store.clone(),
            listeners: self.listeners.clone(),
            guard: ExitGuard::new(FEED, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.feeds.started(FEED, generation, actor.clone());
        self.feed.fill(actor);
    }

    /// Starts what removes; not beside the reading of one symbol's history.
    pub(super) fn start_retention(&mut self, ctx: &mut Context<Self>) {
        if self.only.is_some() {
            return;
        }
        let generation = self.retentions.next_generation();
        let actor = RetentionActor::new(RetentionSetup {
            store: self.store.clone(),
            config: self.config.retention.clone(),
            clock: self.clock.clone(),
            tally: self.tally.clone(),
            guard: ExitGuard::new(RETENTION, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.retentions.started(RETENTION, generation, actor);
    }

    /// Starts the publisher, where there is a Redis to publish to.
    pub(super) fn start_publisher(&mut self, ctx: &mut Context<Self>) {
        let Some(redis) = &self.redis else { return };
        let generation = self.publishers.next_generation();
        let actor = PublisherActor::new(PublisherSetup {
            publisher: Publisher::new(redis, self.store.clone(), self.config.redis.clone()),
            events: EventPublisher::new(redis, self.store.clone(), self.config.redis.clone()),
            guard: ExitGuard::new(PUBLISHER, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.publishers.started(PUBLISHER, generation, actor.clone());
        self.publisher.fill(actor);
    }

    /// Starts the control channel, where there is a Redis to read it from.
    pub(super) fn start_channel(&mut self, ctx: &mut Context<Self>) {
        let Some(redis) = &self.redis else { return };
        let generation = self.channels.next_generation();
        let actor = ChannelActor::new(ChannelSetup {
            stream: CommandStream::new(redis, &self.config.redis.prefix),
            supervisor: ctx.address(),
            guard: ExitGuard::new(CHANNEL, generation, ctx.address().recipient()),
            member: self.service_family.1.clone(),
        })
        .start();
        self.channels.started(CHANNEL, generation, actor);
    }

    fn start_service(&mut self, id: &'static str, ctx: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        match id {
            WRITER => self.start_writer(ctx),
            STATUS => self.start_status(ctx),
            PUBLISHER => self.start_publisher(ctx),
            CHANNEL => self.start_channel(ctx),
            FEED => self.start_feed(ctx),
            AUDITOR => self.start_auditor(ctx),
            RETENTION => self.start_retention(ctx),
            _ => self.start_control(ctx),
        }
    }
}

impl Handler<ChildExited<&'static str>> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ChildExited<&'static str>, ctx: &mut Context<Self>) {
        let (now, random) = (self.clock.now(), self.jitter.draw());
        let decision = match message.id {
            WRITER => self.writers.exited(&message, now, random),
            STATUS => self.reporters.exited(&message, now, random),
            PUBLISHER => self.publishers.exited(&message, now, random),
            CHANNEL => self.channels.exited(&message, now, random),
            FEED => self.feeds.exited(&message, now, random),
            AUDITOR => self.auditors.exited(&message, now, random),
            RETENTION => self.retentions.exited(&message, now, random),
            _ => self.controllers.exited(&message, now, random),
        };
        let Some(decision) = decision.filter(|_| !self.is_stopping) else { return };
        warn!(service = message.id, exit = ?message.exit, "service ended");
        match (decision, message.id) {
            (Decision::RestartAt(at) | Decision::Quarantine { until: at }, id) => {
                let wait = self.clock.to_wall((at - now).to_std().unwrap_or_default());
                ctx.run_later(wait.max(Duration::from_millis(1)), move |actor, ctx| actor.start_service(id, ctx));
            }
            (Decision::Escalate, id) => self.escalate(format!("{id} keeps failing: {:?}", message.exit), ctx),
        }
    }
}

impl Supervisor {
    /// Has the FeedActor answer.
    fn ask_feed<M, T>(&self, message: M) -> ResponseActFuture<Self, Result<T, ListenError>>
    where
        M: Message<Result = Result<T, ListenError>> + Clone + Send + 'static,
        FeedActor: Handler<M>,
        T: Send + 'static,
    {
        let (mut feed, is_stopping) = (self.feed.slot(), self.is_stopping);
        let asking = async move {
            if is_stopping {
                return Err(ListenError::Ended);
            }
            feed.send(message).await.unwrap_or(Err(ListenError::Ended))
        };
        Box::pin(asking.into_actor(self))
    }
}

impl Handler<Listen> for Supervisor {
    type Result = ResponseActFuture<Self, Result<(), ListenError>>;

    fn handle(&mut self, message: Listen, _: &mut Context<Self>) -> Self::Result {
        self.ask_feed(message)
    }
}

impl Handler<Unlisten> for Supervisor {
    type Result = ResponseActFuture<Self, Result<(), ListenError>>;

    fn handle(&mut self, message: Unlisten, _: &mut Context<Self>) -> Self::Result {
        self.ask_feed(message)
    }
}

impl Handler<Broadcast> for Supervisor {
    type Result = ResponseActFuture<Self, Result<broadcast::Receiver<CandleClosed>, ListenError>>;

    fn handle(&mut self, message: Broadcast, _: &mut Context<Self>) -> Self::Result {
        self.ask_feed(message)
    }
}

impl Handler<ListenEvents> for Supervisor {
    type Result = ResponseActFuture<Self, Result<(), ListenError>>;

    fn handle(&mut self, message: ListenEvents, _: &mut Context<Self>) -> Self::Result {
        self.ask_feed(message)
    }
}

impl Handler<UnlistenEvents> for Supervisor {
    type Result = ResponseActFuture<Self, Result<(), ListenError>>;

    fn handle(&mut self, message: UnlistenEvents, _: &mut Context<Self>) -> Self::Result {
        self.ask_feed(message)
    }
}

impl Handler<BroadcastEvents> for Supervisor {
    type Result = ResponseActFuture<Self, Result<broadcast::Receiver<Event>, ListenError>>;

    fn handle(&mut self, message: BroadcastEvents, _: &mut Context<Self>) -> Self::Result {
        self.ask_feed(message)
    }
}

impl Handler<Command> for Supervisor {
    type Result = ResponseActFuture<Self, Reply>;

    fn handle(&mut self, command: Command, _: &mut Context<Self>) -> Self::Result {
        let stopping = || {
            let message = "the collector is stopping; ask again after its next start".to_owned();
            let refusal = Refusal { kind: RefusalKind::Stopping, message };
            Reply::refused(Some(command.id.clone()), Some(command.action.name().to_owned()), refusal)
        };
        let refused = stopping();
        if self.is_stopping {
            return Box::pin(async move { refused }.into_actor(self));
        }
        let mut control = self.control.slot();
        Box::pin(async move { control.send(command).await.unwrap_or(refused) }.into_actor(self))
    }
}
