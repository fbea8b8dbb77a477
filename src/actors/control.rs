//! Carries out commands, one after another, whichever channel they came by, and tells the tree what
//! follows from them.
//!
//! A life that dies over a command costs nobody its answer: the sender's slot hands the command to
//! the next one, and the id decides whether anything is left to do.

use actix::prelude::*;
use tracing::info;

use super::Supervisor;
use super::messages::{Refresh, Shutdown, Stop};
use crate::control::{Command, Desk, FollowUp, Reply};
use crate::supervise::exit::ExitGuard;
use crate::supervise::family::Member;

/// What the actor is built from.
pub struct ControlSetup {
    /// Judges, carries out, records.
    pub desk: Desk,
    /// Told what follows.
    pub supervisor: Addr<Supervisor>,
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
}

impl Handler<Command> for ControlActor {
    type Result = AtomicResponse<Self, Reply>;

    fn handle(&mut self, command: Command, _: &mut Context<Self>) -> Self::Result {
        let desk = self.setup.desk.clone();
        let answering = async move {
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
