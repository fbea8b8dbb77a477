//! What a host and a running collector say to each other. All of it goes to the address of the
//! [`Supervisor`](crate::actors::Supervisor), which answers [`Command`] too; all of it may be sent from
//! any thread.

use std::collections::BTreeMap;

use actix::prelude::*;
use tokio::sync::broadcast;

use crate::actors::supervisor::CollectorFailed;
use crate::control::{Command, Reply};
use crate::market::{Candle, SeriesName, Source, Symbol, Timeframe};
use crate::store::Event;

/// Host or a channel -> Supervisor -> ControlActor: carry out a command. Reply: what became of it,
/// once that is recorded.
/// Loss: none while the collector lives; a command whose answer did not arrive is sent again under
/// its id.
impl Message for Command {
    type Result = Reply;
}

/// Host -> Supervisor: look at the tables now instead of within two seconds. Reply: looked.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Refresh;

/// Host -> Supervisor: stop in order. Reply: when everything below it has ended; who asks once more is
/// answered by the end of the actor (`MailboxError::Closed`). The database is free when
/// [`CollectorEnded`] is told.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// Supervisor -> whoever the collector was started with: it has ended, in order (`Ok`) or not, and its
/// database is free for the next one. Once in its life, also after a panic. No reply.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct CollectorEnded(pub Result<(), CollectorFailed>);

/// FeedActor -> a host's actor ([`Listen`]) or its receivers ([`Broadcast`]): a final candle is
/// committed. Reply of an actor: taken; the next one is sent then.
///
/// Loss: none. Within a series each message's `previous` is the `sequence` of the message before it:
/// a subscriber that has seen `previous` has missed nothing. An actor may hear the same number twice
/// when something dies in between; it never hears a lower one after a higher one.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct CandleClosed {
    /// Of which series.
    pub series: SeriesName,
    /// The change's number within its series, given in the transaction that stored it, from 1 on.
    pub sequence: i64,
    /// The number told before this one, 0 before the first. Numbers in between belonged to values
    /// that were corrected before they could be told, so that nobody needs them.
    pub previous: i64,
    /// What happened to the bar.
    pub change: Change,
    /// The bar as this change left it, or as it was before it was withdrawn. Bars of history come
    /// newest first and between live ones: sort by `open_time`.
    pub candle: Candle,
    /// Where it came from.
    pub source: Source,
}

impl CandleClosed {
    /// True when a final value was told, or could have been, that is not valid any more.
    pub fn is_revision(&self) -> bool {
        self.change != Change::Candle
    }
}

/// What happened to a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Candle,
    /// Its final value was corrected.
    Correction,
    /// It was inferred, and the exchange turned out not to have it.
    Withdrawn,
}

/// FeedActor -> a host's actor ([`ListenEvents`]) or its receivers ([`BroadcastEvents`]): something
/// happened, and is recorded. Reply of an actor: taken; the next one is sent then.
///
/// Loss: none. Numbers are consecutive over all series: who hears all of them and sees that one is
/// missing was away for longer than events are kept. The same number may be heard twice when something
/// dies in between, never a lower one after a higher one.
impl Message for Event {
    type Result = ();
}

/// Which candles or events a subscriber wants to hear of, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    exchange: Option<String>,
    symbol: Option<Symbol>,
    timeframes: Vec<Timeframe>,
    after: BTreeMap<SeriesName, i64>,
    after_event: Option<i64>,
    is_from_first: bool,
}

impl Subscription {
    /// Everything that is stored from now on. A series that is added later is told from its first
    /// number, with its history.
    pub fn from_now() -> Subscription {
        Subscription::default()
    }

    /// Everything that is stored: what is there already, then what comes.
    pub fn from_first() -> Subscription {
        Subscription { is_from_first: true, ..Subscription::default() }
    }

    /// Only of this exchange.
    pub fn exchange(mut self, id: impl Into<String>) -> Subscription {
        self.exchange = Some(id.into());
        self
    }

    /// Only of this symbol, whichever the exchange.
    pub fn symbol(mut self, symbol: Symbol) -> Subscription {
        self.symbol = Some(symbol);
        self
    }

    /// Only of this timeframe, and of others that are named so.
    pub fn timeframe(mut self, timeframe: Timeframe) -> Subscription {
        self.timeframes.push(timeframe);
        self
    }

    /// Goes on after the last number that was heard of a series, whenever that was.
    pub fn after(mut self, series: SeriesName, sequence: i64) -> Subscription {
        self.after.insert(series, sequence);
        self
    }

    /// Goes on after the last number of an event that was heard, whenever that was.
    pub fn after_event(mut self, number: i64) -> Subscription {
        self.after_event = Some(number);
        self
    }

    /// Whether an event is wanted. One of a symbol as a whole is, whichever the timeframes.
    pub fn hears_event(&self, event: &Event) -> bool {
        self.exchange.as_deref().is_none_or(|exchange| exchange == event.exchange)
            && self.symbol.as_ref().is_none_or(|symbol| *symbol == event.symbol)
            && event.timeframe.is_none_or(|own| self.timeframes.is_empty() || self.timeframes.contains(&own))
    }

    /// The number of the event heard last, where the subscriber named one.
    pub fn heard_event(&self) -> Option<i64> {
        self.after_event
    }

    /// Whether a series is wanted.
    pub fn hears(&self, series: &SeriesName) -> bool {
        self.exchange.as_deref().is_none_or(|exchange| exchange == &*series.exchange)
            && self.symbol.as_ref().is_none_or(|symbol| *symbol == series.symbol)
            && (self.timeframes.is_empty() || self.timeframes.contains(&series.timeframe))
    }

    /// The number heard last of a series, where the subscriber named one.
    pub fn heard(&self, series: &SeriesName) -> Option<i64> {
        self.after.get(series).copied()
    }

    /// Whether what is stored already is wanted of series that the subscriber has not named.
    pub fn is_from_first(&self) -> bool {
        self.is_from_first
    }
}

/// Host -> Supervisor -> FeedActor: tell an actor of candles. Its earlier subscription ends. Reply:
/// from now on it is told.
///
/// One message is under way to an actor at a time, and what follows is read from the store page by page
/// as it answers: an actor that is slow, or whose mailbox is full, hears later, misses nothing and holds
/// nobody up. An actor that has ended is forgotten.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), ListenError>")]
pub struct Listen {
    /// The actor.
    pub to: Recipient<CandleClosed>,
    /// What it wants to hear.
    pub wants: Subscription,
}

/// Host -> Supervisor -> FeedActor: tell an actor no more. Reply: what is under way was the last.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), ListenError>")]
pub struct Unlisten(pub Recipient<CandleClosed>);

/// Host -> Supervisor -> FeedActor: a receiver of every candle that is stored from now on. Reply: the
/// receiver.
///
/// Nothing waits for receivers: one that is more than [`BROADCAST_KEEPS`] messages behind is told
/// `Lagged`, sees of which series by `previous`, and reads what it missed from the store by its last
/// number ([`Remote::candles_after`](crate::collector::Remote::candles_after)). `Closed` means that the
/// collector has ended.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<broadcast::Receiver<CandleClosed>, ListenError>")]
pub struct Broadcast;

/// Host -> Supervisor -> FeedActor: tell an actor of events, at its own pace as in [`Listen`]. Its earlier
/// subscription to events ends. Reply: from now on it is told.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), ListenError>")]
pub struct ListenEvents {
    /// The actor.
    pub to: Recipient<Event>,
    /// What it wants to hear.
    pub wants: Subscription,
}

/// Host -> Supervisor -> FeedActor: tell an actor no more events. Reply: what is under way was the last.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), ListenError>")]
pub struct UnlistenEvents(pub Recipient<Event>);

/// Host -> Supervisor -> FeedActor: a receiver of every event that is recorded from now on. Reply: the
/// receiver. One that is told `Lagged` reads what it missed after its last number
/// ([`Remote::events_after`](crate::collector::Remote::events_after)).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<broadcast::Receiver<Event>, ListenError>")]
pub struct BroadcastEvents;

/// How many messages a broadcast receiver may be behind.
pub const BROADCAST_KEEPS: usize = 4096;

/// Why somebody is not told of candles or events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// A number that this database has not given.
    #[error(
        "{series}: {heard} was heard, but the last number is {last}; if this is another database, subscribe from its first number"
    )]
    NotThere {
        /// Of which series.
        series: SeriesName,
        /// As the subscriber says.
        heard: i64,
        /// The last number in the database.
        last: i64,
    },
    /// A number of an event that this database has not given.
    #[error(
        "event {heard} was heard, but the last number is {last}; if this is another database, subscribe from its first number"
    )]
    NoSuchEvent {
        /// As the subscriber says.
        heard: i64,
        /// The last number in the database.
        last: i64,
    },
    /// The database is in the way; later it may work.
    #[error("the numbers cannot be read: {0}")]
    Store(String),
    /// The collector has ended or is ending.
    #[error("the collector has ended; subscribe again after its next start")]
    Ended,
}
