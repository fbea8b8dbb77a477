//! The control channel in Redis: takes commands from the stream, has them carried out one after
//! another, and answers there. A side branch: while Redis is away nothing is asked.

use std::time::Duration;

use actix::prelude::*;
use tracing::debug;

use super::Supervisor;
use super::messages::Stop;
use crate::control::RefusalKind;
use crate::mirror::commands::{CommandStream, Entry};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;

/// Wait after a read that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// What the actor is built from.
pub struct ChannelSetup {
    /// The stream of commands.
    pub stream: CommandStream,
    /// Has them carried out.
    pub supervisor: Addr<Supervisor>,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct ChannelActor {
    /// Away while it is read or answered.
    stream: Option<CommandStream>,
    supervisor: Addr<Supervisor>,
    is_answering: bool,
    is_stopping: bool,
    _guard: ExitGuard<&'static str>,
    _member: Member,
}

impl ChannelActor {
    /// An actor that has read nothing.
    pub fn new(setup: ChannelSetup) -> ChannelActor {
        ChannelActor {
            stream: Some(setup.stream),
            supervisor: setup.supervisor,
            is_answering: false,
            is_stopping: false,
            _guard: setup.guard,
            _member: setup.member,
        }
    }

    fn read(&mut self, ctx: &mut Context<Self>) {
        let Some(mut stream) = self.stream.take() else { return };
        let reading = async move {
            loop {
                match stream.next().await {
                    Ok(entries) if entries.is_empty() => {}
                    Ok(entries) => return (stream, entries),
                    // The link has spoken of it.
                    Err(error) => {
                        debug!(%error, "no commands read");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        ctx.spawn(reading.into_actor(self).map(|(stream, entries), actor, ctx| actor.answer(stream, entries, ctx)));
    }

    fn answer(&mut self, stream: CommandStream, entries: Vec<Entry>, ctx: &mut Context<Self>) {
        self.is_answering = true;
        let answering = answer_all(stream, entries, self.supervisor.clone());
        ctx.spawn(answering.into_actor(self).map(|stream, actor, ctx| {
            actor.is_answering = false;
            match stream {
                Some(stream) if !actor.is_stopping => {
                    actor.stream = Some(stream);
                    actor.read(ctx);
                }
                _ => ctx.stop(),
            }
        }));
    }
}

/// Carries out and answers in order; `None` when the collector ends and the rest is left for its
/// next start.
async fn answer_all(
    mut stream: CommandStream,
    entries: Vec<Entry>,
    supervisor: Addr<Supervisor>,
) -> Option<CommandStream> {
    for entry in entries {
        let reply = match entry.command() {
            Ok(command) => supervisor.send(command).await.ok()?,
            Err(refused) => *refused,
        };
        if reply.error.as_ref().is_some_and(|refusal| refusal.kind == RefusalKind::Stopping) {
            return None;
        }
        if let Err(error) = stream.answer(&entry, &reply).await {
            // It comes again with the rest, in its order, and its id is known then.
            debug!(%error, "a reply was not given");
            break;
        }
    }
    Some(stream)
}

impl Actor for ChannelActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.read(ctx);
    }
}

impl Handler<Stop> for ChannelActor {
    type Result = ();

    /// Whatever is being answered is answered first; what is only delivered comes again.
    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.is_stopping = true;
        if !self.is_answering {
            ctx.stop();
        }
    }
}
