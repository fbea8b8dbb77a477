//! Carries out commands, one after another, whichever channel they came by, and tells the tree what
//! follows from them.
//!
//! A life that dies over a command costs nobody its answer: the sender's slot hands the command to
//! the next one, and the id decides whether anything is left to do.

use std::time::Duration;

use actix::prelude::*;
use tracing::{debug, info};

use super::Supervisor;
use super::auditor::AuditActor;
use super::messages::audit::{BeginAudit, Ready};
use super::messages::{Refresh, Shutdown, Stop};
use crate::control::{Action, Command, Desk, FollowUp, Reply};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;
use crate::supervise::slot::Slot;

/// How often the table `commands` is looked at (wall time).
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the actor is built from.
pub struct ControlSetup {
    /// Judges, carries out, records.
    pub desk: Desk,
    /// Told what follows.
    pub supervisor: Addr<Supervisor>,
    /// Carries out audits. One that is begun while nobody serves is cut short by the next life.
    pub auditor: Slot<AuditActor>,
    /// Tells the Supervisor of the end.
    pub guard: ExitGuard<&'static str>,
    /// Keeps the family alive.
    pub member: Member,
}

/// See the module.
pub struct ControlActor {
    setup: ControlSetup,
}

impl ControlActor {
    /// An actor that was asked nothing yet.
    pub fn new(setup: ControlSetup) -> ControlActor {
        ControlActor { setup }
    }
}

impl Actor for ControlActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl ControlActor {
    /// Carries out what was asked in the table `commands`, and looks again a moment later.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let desk = self.setup.desk.clone();
        let looking = async move { desk.asked().await };
        ctx.spawn(looking.into_actor(self).map(|asked, _, ctx| {
            match asked {
                Ok(commands) => commands.into_iter().for_each(|command| ctx.notify(command)),
                // Who cannot be read now is read later.
                Err(error) => debug!(%error, "the table of commands cannot be read"),
            }
            ctx.run_later(LOOK_EVERY, |actor, ctx| actor.look(ctx));
        }));
    }
}

impl Handler<Command> for ControlActor {
    type Result = AtomicResponse<Self, Reply>;

    fn handle(&mut self, command: Command, _: &mut Context<Self>) -> Self::Result {
        let desk = self.setup.desk.clone();
        let auditor = self.setup.auditor.current().filter(|_| matches!(command.action, Action::Audit(_)));
        let answering = async move {
            if let Some(auditor) = auditor {
                // One that has ended meanwhile leaves what is begun to the next.
                let _ = auditor.send(Ready).await;
            }
            let answer = desk.answer(&command).await;
            (command, answer)
        };
        AtomicResponse::new(Box::pin(answering.into_actor(self).map(|(command, answer), actor, _| {
            let (id, kind, asked_by) = (&command.id, command.action.name(), command.asked_by.as_str());
            if answer.reply.changed && !answer.reply.repeated {
                info!(id, kind, asked_by, "{}", answer.reply.message);
            }
            match answer.follow_up {
                Some(FollowUp::Refresh) => actor.setup.supervisor.do_send(Refresh),
                Some(FollowUp::Audit(job)) => {
                    if let Some(auditor) = actor.setup.auditor.current() {
                        auditor.do_send(BeginAudit(job));
                    }
                }
                Some(FollowUp::Shutdown) => actor.setup.supervisor.do_send(Shutdown),
                None => {}
            }
            answer.reply
        })))
    }
}

impl Handler<Stop> for ControlActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
