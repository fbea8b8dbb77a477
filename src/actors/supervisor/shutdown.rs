//! The end of the tree: in order (sources hand over, the writer flushes, status says stopped) when
//! it is asked for, at once when the collector cannot go on.

use std::time::Duration;

use actix::prelude::*;
use tracing::{error, warn};

use super::{CollectorFailed, Supervisor};
use crate::actors::messages::{CollectorEnded, Flush, Shutdown, Stop};
use crate::supervise::family::Family;

impl Supervisor {
    pub(super) fn escalate(&mut self, why: String, ctx: &mut Context<Self>) {
        error!(why, "the collector cannot go on");
        self.end = Some(Err(CollectorFailed(why)));
        self.is_stopping = true;
        self.exchanges.living().for_each(|(_, addr)| addr.do_send(Stop));
        ctx.stop();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.backlog.close();
        self.exchanges.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.writers.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.controllers.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.auditors.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.publishers.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.channels.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.feeds.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.retentions.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.reporters.living().for_each(|(_, addr)| addr.do_send(Stop));
        // Whoever hears of the end may start the next collector at once.
        self.lock = None;
        let cut_short = || {
            let why = match std::thread::panicking() {
                true => "its supervisor panicked",
                false => "its System, arbiter or LocalSet ended under it; what was under way is fetched again",
            };
            Err(CollectorFailed(why.to_owned()))
        };
        let how = self.end.take().unwrap_or_else(cut_short);
        if let Some(watcher) = &self.watcher {
            watcher.do_send(CollectorEnded(how.clone()));
        }
        if let Some(ended) = self.ended.take() {
            // Nobody may be waiting for the end.
            let _ = ended.send(how);
        }
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) -> Self::Result {
        if self.is_stopping {
            // A stop is under way; this one is answered by the end of the actor.
            return Box::pin(std::future::pending::<()>().into_actor(self));
        }
        self.is_stopping = true;
        self.backlog.close();
        let deadline = tokio::time::Instant::now() + self.config.shutdown.deadline;
        let left = move || deadline.saturating_duration_since(tokio::time::Instant::now());
        self.exchanges.living().for_each(|(_, addr)| addr.do_send(Stop));
        self.retentions.living().for_each(|(_, addr)| addr.do_send(Stop));
        let families: Vec<Family> = self.families.drain().map(|(_, family)| family).collect();
        let (writer, status, control) = (self.writer.current(), self.status.current(), self.control.current());
        let (publisher, feed, auditor) = (self.publisher.current(), self.feed.current(), self.auditor.current());
        let channels: Vec<_> = self.channels.living().map(|(_, addr)| addr.clone()).collect();
        // Once sources and writer have had their time: a last word to the store, and to Redis where there is one.
        let grace = Duration::from_millis(if self.redis.is_some() { 1500 } else { 500 });
        let (mut services, member) = std::mem::replace(&mut self.service_family, Family::new());
        drop(member);
        let stopping = async move {
            for mut family in families {
                if !family.ended_within(left()).await {
                    warn!("a source did not hand over in time");
                }
            }
            if let Some(writer) = writer {
                if tokio::time::timeout(left(), writer.send(Flush)).await.is_err() {
                    warn!("the writer did not finish in time; what was not stored is fetched again");
                }
                writer.do_send(Stop);
            }
            channels.iter().for_each(|channel| channel.do_send(Stop));
            if let Some(publisher) = publisher {
                publisher.do_send(Stop);
            }
            if let Some(feed) = feed {
                feed.do_send(Stop);
            }
            if let Some(auditor) = auditor {
                auditor.do_send(Stop);
            }
            if let Some(control) = control {
                control.do_send(Stop);
            }
            if let Some(status) = status {
                status.do_send(Stop);
            }
            services.ended_within(left().max(grace)).await;
        };
        Box::pin(stopping.into_actor(self).map(|(), actor, ctx| {
            actor.end = Some(Ok(()));
            ctx.stop();
        }))
    }
}
