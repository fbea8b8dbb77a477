//! The control channel: `XADD candlewick:control * command '{"id": ..., "command": ...}'`, and the answers in
//! `candlewick:control:replies` (fields `id`, `entry`, `reply`; the newest thousand or so).
//!
//! Read through a consumer group: an entry that was delivered and not acknowledged, because this
//! side or Redis died, is delivered again, and the command's id decides whether anything is left to
//! do. Entry, answer and acknowledgement leave in one transaction, so the stream does not grow.

use std::sync::Arc;
use std::time::Duration;

use redis::streams::StreamReadReply;
use redis::{Pipeline, pipe};

use super::link::{Link, Redis, RedisError};
use crate::control::{Asker, Command, Refusal, RefusalKind, Reply};

const GROUP: &str = "candlewick";
/// One collector reads, in all its lives under the same name: what it had not answered is its own.
const CONSUMER: &str = "collector";
/// Entries taken at once.
const ENTRIES_AT_ONCE: usize = 16;
/// How long one read waits for an entry.
const WAIT: Duration = Duration::from_secs(2);
/// About how many answers are kept.
const REPLIES_KEPT: usize = 1000;

/// See the module.
#[derive(Debug)]
pub struct CommandStream {
    link: Link,
    commands: String,
    replies: String,
    has_group: bool,
    /// What was delivered before and never answered has been read.
    is_caught_up: bool,
}

/// An entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id in the stream.
    pub id: String,
    /// Its field `command`.
    pub text: Option<String>,
}

impl Entry {
    /// The command of the entry.
    ///
    /// # Errors
    /// The reply to give.
    pub fn command(&self) -> Result<Command, Box<Reply>> {
        match &self.text {
            Some(text) => Command::from_json(text, Asker::Redis),
            None => {
                let message = "the entry has no field command; write XADD candlewick:control * command JSON".to_owned();
                let refusal = Refusal { kind: RefusalKind::Malformed, message };
                Err(Box::new(Reply::refused(None, None, refusal)))
            }
        }
    }
}

impl CommandStream {
    /// A stream that nothing was read of.
    pub fn new(redis: &Arc<Redis>, prefix: &str) -> CommandStream {
        CommandStream {
            link: redis.link(),
            commands: format!("{prefix}candlewick:control"),
            replies: format!("{prefix}candlewick:control:replies"),
            has_group: false,
            is_caught_up: false,
        }
    }

    /// The next entries: first those that were delivered and never answered, then new ones, waiting
    /// a moment for them; perhaps none.
    ///
    /// # Errors
    /// [`RedisError`]; the next call begins with what was not answered.
    pub async fn next(&mut self) -> Result<Vec<Entry>, RedisError> {
        let entries = self.read().await;
        self.settle(entries)
    }

    /// Gives an answer and takes the entry out of the stream.
    ///
    /// # Errors
    /// [`RedisError`]; then the entry comes again.
    pub async fn answer(&mut self, entry: &Entry, reply: &Reply) -> Result<(), RedisError> {
        let mut writing = pipe();
        writing.atomic();
        let told = writing.cmd("XADD").arg(&self.replies).arg("MAXLEN").arg("~").arg(REPLIES_KEPT).arg("*");
        told.arg("id").arg(reply.id.as_deref().unwrap_or_default());
        told.arg("entry").arg(&entry.id).arg("reply").arg(reply.to_json()).ignore();
        writing.cmd("XACK").arg(&self.commands).arg(GROUP).arg(&entry.id).ignore();
        writing.cmd("XDEL").arg(&self.commands).arg(&entry.id).ignore();
        let outcome = self.link.run(&writing).await;
        self.settle(outcome)
    }

    /// After a failure nothing is taken for granted.
    fn settle<T>(&mut self, outcome: Result<T, RedisError>) -> Result<T, RedisError> {
        if outcome.is_err() {
            (self.has_group, self.is_caught_up) = (false, false);
        }
        outcome
    }

    async fn read(&mut self) -> Result<Vec<Entry>, RedisError> {
        if !self.has_group {
            self.make_group().await?;
            self.has_group = true;
        }
        let mut reading = pipe();
        let ask = reading.cmd("XREADGROUP").arg("GROUP").arg(GROUP).arg(CONSUMER).arg("COUNT").arg(ENTRIES_AT_ONCE);
        let from = if self.is_caught_up {
            ask.arg("BLOCK").arg(WAIT.as_millis() as u64);
            ">"
        } else {
            "0"
        };
        ask.arg("STREAMS").arg(&self.commands).arg(from);
        let (found,): (Option<StreamReadReply>,) = self.link.run_within(WAIT * 2, &reading).await?;
        let entries = found.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        let entries: Vec<Entry> = entries.map(|entry| Entry { text: entry.get("command"), id: entry.id }).collect();
        self.is_caught_up |= entries.is_empty();
        Ok(entries)
    }

    /// Makes the group where it is not there yet; it begins with the first entry, so that a command
    /// given before the first start counts.
    async fn make_group(&self) -> Result<(), RedisError> {
        let is_there: (bool,) = self.link.run(pipe().exists(&self.commands)).await?;
        if is_there.0 {
            let mut asking = Pipeline::new();
            asking.cmd("XINFO").arg("GROUPS").arg(&self.commands);
            let (groups,): (redis::streams::StreamInfoGroupsReply,) = self.link.run(&asking).await?;
            if groups.groups.iter().any(|group| group.name == GROUP) {
                return Ok(());
            }
        }
        let mut making = pipe();
        making.cmd("XGROUP").arg("CREATE").arg(&self.commands).arg(GROUP).arg("0").arg("MKSTREAM").ignore();
        self.link.run(&making).await
    }
}
