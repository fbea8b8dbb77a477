//! Events for programs beside the collector: stream `candlewick:events`, every event once, in the order
//! of the numbers that the store gave them in the transactions of what they tell of.
//!
//! The key `candlewick:events:published` holds the last number and changes in one transaction with the
//! stream, and is asked anew before every write: as for candles, whichever side dies, the next entry is
//! the next number. A Redis that lost its data gets everything that the store still keeps.

use std::sync::Arc;

use redis::pipe;
use tracing::warn;

use super::Options;
use super::link::{Link, Redis};
use super::publishing::Trouble;
use crate::store::{Event, Store};

/// Events published in one transaction, at most.
const EVENTS_AT_ONCE: u32 = 500;

/// See the module.
pub struct EventPublisher {
    link: Link,
    store: Arc<dyn Store>,
    options: Options,
    /// The number in Redis belongs to this database.
    is_ours: bool,
    /// Everything that the store had was published when it was last looked at.
    is_level: bool,
}

impl EventPublisher {
    /// A publisher that knows nothing yet.
    pub fn new(redis: &Arc<Redis>, store: Arc<dyn Store>, options: Options) -> EventPublisher {
        EventPublisher { link: redis.link(), store, options, is_ours: false, is_level: false }
    }

    /// Has the store asked in the next round.
    pub fn look_again(&mut self) {
        self.is_level = false;
    }

    /// Publishes everything that is recorded and not published yet, as far as Redis and the store can
    /// be reached; what is left is the next round's.
    pub async fn round(&mut self) {
        while !self.is_level {
            match self.publish().await {
                Ok(is_level) => self.is_level = is_level,
                Err(error) => {
                    error.tell("events");
                    self.is_ours = false;
                    return;
                }
            }
        }
    }

    /// Publishes the next numbers in one transaction; true when there were none.
    async fn publish(&mut self) -> Result<bool, Trouble> {
        let mark_key = format!("{}candlewick:events:published", self.options.prefix);
        let mut asking = pipe();
        // Should anybody else write the mark meanwhile, the transaction does not happen.
        asking.cmd("WATCH").arg(&mark_key).ignore().cmd("GET").arg(&mark_key);
        let (mark,): (Option<String>,) = self.link.run(&asking).await?;
        let published = self.published(mark.as_deref()).await?;
        let events = self.store.events_after(published, EVENTS_AT_ONCE).await?;
        let Some(last) = events.last() else {
            self.link.run::<()>(pipe().cmd("UNWATCH").ignore()).await?;
            return Ok(true);
        };
        let mut writing = pipe();
        writing.atomic();
        for event in &events {
            self.options.append(&mut writing, "candlewick:events", fields(event));
        }
        writing.set(&mark_key, mark_of(last)).ignore();
        // Where somebody else wrote, it is asked again.
        let done: Option<()> = self.link.run(&writing).await?;
        self.is_ours = done.is_some();
        Ok(false)
    }

    /// The last number in Redis, if it is one of this database: the event it names is looked up once in
    /// a life, and where it is not kept any more nothing speaks against it.
    async fn published(&mut self, mark: Option<&str>) -> Result<i64, Trouble> {
        let Some((number, of)) = mark.and_then(|mark| mark.split_once(' ')) else { return Ok(0) };
        let Ok(number) = number.parse::<i64>() else { return Ok(0) };
        if self.is_ours {
            return Ok(number);
        }
        let stored = self.store.events_after(number - 1, 1).await?;
        let named = stored.first().filter(|first| first.number == number);
        self.is_ours = number <= self.store.last_event().await? && named.is_none_or(|event| identity(event) == of);
        if !self.is_ours {
            warn!("redis has events of another database; all that are kept are published anew");
            return Ok(0);
        }
        Ok(number)
    }
}

fn fields(event: &Event) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("number", event.number.to_string()),
        ("kind", event.what.kind().to_owned()),
        ("exchange", event.exchange.clone()),
        ("symbol", event.symbol.to_string()),
    ];
    fields.extend(event.timeframe.map(|timeframe| ("timeframe", timeframe.to_string())));
    fields.push(("event", serde_json::to_string(event).expect("an event is JSON")));
    fields
}

/// Which event of which database a number belongs to, as far as a mark tells.
fn identity(event: &Event) -> String {
    format!("{}@{}", event.what.kind(), event.time.timestamp_micros())
}

fn mark_of(event: &Event) -> String {
    format!("{} {}", event.number, identity(event))
}
