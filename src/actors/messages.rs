//! Every message of the tree: who sends it, who receives it, what is answered, what may be lost.
//! What a host says and hears is in [`host`], what an audit needs in [`audit`], what
//! is said of streams in `stream`.

pub mod audit;
pub mod away;
pub mod host;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};

use crate::engine::book::Call;
use crate::engine::budget::Refusal;
use crate::engine::tape::TradeCall;
use crate::exchange::{Channel, Instrument, TradePage, VenueError};
use crate::market::{Candle, Symbol, Timeframe};
use crate::mirror::candles::SeriesNews;
use crate::status::ComponentStatus;
use crate::store::spool::Owner;
use crate::store::{ExchangeRow, ModeChange, SeriesChange, SeriesOutcome, SymbolRow, TickerChange, TradesChange};
use crate::transport::TransportError;

pub use stream::{
    StreamAttached, StreamBatch, StreamDetached, StreamNews, StreamNotice, Subscribe, TapeNews, Unsubscribe,
};

pub use host::{
    Broadcast, BroadcastEvents, CandleClosed, CollectorEnded, Listen, ListenEvents, Refresh, Shutdown, Unlisten,
    UnlistenEvents,
};

/// SymbolActor -> WriterActor: write this in one transaction.
/// Reply: once it is durable, in the store or in the spool.
/// Loss: none while the writer lives; after its death the sender's slot sends it to the next one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Saved, SaveError>")]
pub struct SaveSymbol {
    /// Whose changes these are.
    pub owner: Arc<Owner>,
    /// The changes of its series.
    pub series: Arc<Vec<SeriesChange>>,
    /// The change of its trades.
    pub trades: Option<Arc<TradesChange>>,
    /// How it is kept live, where that has changed, oldest first.
    pub modes: Vec<ModeChange>,
}

/// Where a save has become durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Saved {
    /// In the store: the outcomes, in the order of the changes.
    Stored(Vec<SeriesOutcome>),
    /// In the spool, because the store is away: it need not be fetched again, and it is not covered
    /// until it was replayed ([`Backlog::replayed`](crate::store::spool::Backlog::replayed)).
    Spooled {
        /// Where in the spool.
        ticket: i64,
    },
}

/// ExchangeActor -> WriterActor: the newest tickers. No reply; a lost one is replaced by the next.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SaveTickers {
    /// Each symbol at most once.
    pub tickers: Vec<TickerChange>,
}

/// WriterActor -> PublisherActor, FeedActor: what a transaction did. No reply; what is not heard is
/// found in the store.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SeriesWritten {
    /// What happened to series.
    pub series: Vec<SeriesNews>,
    /// There may be a new event.
    pub is_event: bool,
}

/// Why a save did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The store will never take this; nothing of it was written.
    #[error("refused by the store: {0}")]
    Refused(String),
    /// The collector is stopping and the store did not take it in time.
    #[error("not stored before the stop: {0}")]
    Stopping(String),
}

/// Supervisor -> WriterActor: write everything that waits. Reply: when it is durable or given up.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// Any actor -> StatusActor: the newest state of a component. No reply; a lost one is replaced by
/// the next.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Report(pub ComponentStatus);

/// Parent -> StatusActor: a component is gone for good. No reply.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Forget(pub String);

/// SymbolActor -> ExchangeActor: read candles when the gate and the budget allow it.
/// Reply: the page, or why there is none. Calls that wait end with [`FetchError::Cancelled`] when
/// the venue is shut down.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FetchedPage, FetchError>")]
pub struct FetchCandles {
    /// The market.
    pub instrument: Arc<Instrument>,
    /// Which bars.
    pub timeframe: Timeframe,
    /// What to ask for. The end of a live call is moved to the newest closed bar when it leaves.
    pub call: Call,
}

/// SymbolActor -> ExchangeActor: read trades when the gate and the budget allow it.
/// Reply: the page, or why there is none, as for [`FetchCandles`].
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FetchedTrades, FetchError>")]
pub struct FetchTrades {
    /// The market.
    pub instrument: Arc<Instrument>,
    /// Where to read.
    pub call: TradeCall,
}

/// A page of trades with the circumstances of its request.
#[derive(Debug, Clone)]
pub struct FetchedTrades {
    /// The call as it was made.
    pub call: TradeCall,
    /// The trades, amounts in base currency.
    pub page: TradePage,
    /// Venue time when the request left, as far as it is proven.
    pub sent_at: DateTime<Utc>,
}

/// A page with the circumstances of its request.
#[derive(Debug, Clone)]
pub struct FetchedPage {
    /// The call as it was made.
    pub call: Call,
    /// Rows, oldest first.
    pub rows: Vec<Candle>,
    /// Venue time when the request left, as far as it is proven.
    pub sent_at: DateTime<Utc>,
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The venue's answer, which asking again does not change.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// This call fails although the venue works otherwise.
    #[error("failed {attempts} times while other calls succeed, last: {last}")]
    Exhausted {
        /// How often.
        attempts: u32,
        /// The last error.
        last: String,
    },
    /// The venue is being shut down.
    #[error("cancelled")]
    Cancelled,
}

/// SymbolActor -> ExchangeActor: something about the symbol. No reply.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SymbolNotice {
    /// The symbol.
    pub symbol: Symbol,
    /// Which life of it speaks.
    pub generation: u64,
    /// What.
    pub news: SymbolNews,
}

/// News of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolNews {
    /// It stored something: its back-off may start small again.
    Useful,
    /// REST shows trading of which the stream says nothing.
    Deaf {
        /// What of it is not told.
        channel: Channel,
    },
}

/// ProbeActor -> ExchangeActor: the venue answered. No reply.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Probed {
    /// Which try.
    pub generation: u64,
    /// The instruments found, where the probe asked for them.
    pub instruments: Vec<Instrument>,
    /// Symbols that do not exist, in the venue's words.
    pub unknown: Vec<(Symbol, String)>,
    /// Whether the stream works; `None` where it was not tried.
    pub stream: Option<Result<(), String>>,
}

/// ProbeActor, StreamActor -> ExchangeActor, before they end: the venue turned us away. No reply.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct TurnedAway {
    /// At which door.
    pub door: Door,
    /// For what.
    pub refusal: Refusal,
    /// The venue's own wait.
    pub retry_after: Option<Duration>,
}

impl TurnedAway {
    /// The refusal that a failed connect means; `None` for other failures. A 403 is the ban of a
    /// venue's edge.
    pub fn from_upgrade(error: &TransportError) -> Option<TurnedAway> {
        let TransportError::Upgrade { status, retry_after } = error else { return None };
        let refusal = match status {
            429 => Refusal::Limited,
            403 | 418 => Refusal::Banned,
            _ => return None,
        };
        Some(TurnedAway { door: Door::Stream, refusal, retry_after: *retry_after })
    }
}

/// Where a venue turns callers away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// REST calls.
    Rest,
    /// Connects.
    Stream,
}

/// Supervisor -> ExchangeActor: what is wanted now. No reply.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Configure {
    /// The exchange's own settings.
    pub exchange: ExchangeRow,
    /// Its symbols.
    pub symbols: Vec<SymbolRow>,
}

/// ExchangeActor -> SymbolActor: what is kept of it begins later now. No reply; a life that did not hear
/// of it has its beginning from its own start, and the store takes nothing from before it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct KeepFrom(pub Arc<SymbolRow>);

/// Supervisor -> RetentionActor: something may have been cut. No reply; a lost one is made up for by the
/// next look.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Prune;

/// ExchangeActor -> Supervisor: the venue locked us out until then. No reply.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Blocked {
    /// Exchange id.
    pub exchange: String,
    /// Our clock.
    pub until: DateTime<Utc>,
}

/// ExchangeActor -> StreamActor: hand over what you hold and end as failed. No reply; the exit guard
/// answers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Condemn {
    /// What is wrong with the connection.
    pub why: String,
}

/// Parent -> child: hand over what you hold and end. No reply; the exit guard answers.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;
