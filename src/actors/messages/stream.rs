//! What connections, their parent and symbols say to one another of streams.

use actix::prelude::*;
use chrono::{DateTime, Utc};

use crate::actors::symbol::SymbolActor;
use crate::engine::settle::{CandleFrame, ConnectionId};
use crate::exchange::{Channel, VenueError};
use crate::market::{Symbol, Timeframe, Trade, TradeId};

/// StreamActor -> SymbolActor: what a connection delivered, in order. Reply: taken.
/// Loss: with the SymbolActor; what it had not settled is read by REST.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StreamBatch {
    /// Which connection.
    pub connection: ConnectionId,
    /// Frames, oldest first; forming states of one bucket are merged into the newest.
    pub frames: Vec<(Timeframe, CandleFrame)>,
    /// Trades, in the order of their arrival, amounts as the venue printed them.
    pub tape: TapeNews,
    /// The venue's newest stamp on any frame of the connection; all earlier frames of this symbol
    /// were handed over before or stand in `frames`.
    pub alive_at: DateTime<Utc>,
}

/// What a connection said of a symbol's trades.
#[derive(Debug, Clone, Default)]
pub struct TapeNews {
    /// Trades.
    pub trades: Vec<Trade>,
    /// The newest of those that were sent with the ack and may be old.
    pub recalled: Option<Trade>,
    /// The newest trade at an instant, as the venue announced it after all of `trades`.
    pub announced: Option<(TradeId, DateTime<Utc>)>,
    /// Trades were dropped on the way, before the first of `trades`.
    pub lost: bool,
}

impl TapeNews {
    /// True when there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.trades.is_empty() && self.recalled.is_none() && self.announced.is_none() && !self.lost
    }
}

/// StreamActor -> SymbolActor: the venue acknowledged a subscription. No reply.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StreamAttached {
    /// Which connection.
    pub connection: ConnectionId,
    /// What it now carries.
    pub channel: Channel,
    /// When, in venue time.
    pub acked_at: DateTime<Utc>,
}

/// ExchangeActor -> SymbolActor: a connection is gone. No reply.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StreamDetached {
    /// Which connection.
    pub connection: ConnectionId,
    /// Why, in a word of [`away`](super::away).
    pub reason: &'static str,
}

/// ExchangeActor -> StreamActor: carry this market's channels, or hand them to a new life of its
/// SymbolActor. No reply.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    /// The market's id in frames.
    pub stream_id: String,
    /// Unified name.
    pub symbol: Symbol,
    /// What to carry.
    pub channels: Vec<Channel>,
    /// Who gets it.
    pub receiver: Addr<SymbolActor>,
}

/// ExchangeActor -> StreamActor: carry a market no longer. No reply.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Unsubscribe {
    /// The market's id in frames.
    pub stream_id: String,
    /// Why, in a word of [`away`](super::away).
    pub reason: &'static str,
}

/// StreamActor -> ExchangeActor: what happened on a connection. No reply.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StreamNotice {
    /// Which connection.
    pub connection: ConnectionId,
    /// What happened.
    pub news: StreamNews,
}

/// News of a connection.
#[derive(Debug, Clone)]
pub enum StreamNews {
    /// It is open and has delivered data after its acks.
    Proven,
    /// The venue refused a market, or never acknowledged it.
    Refused {
        /// The market.
        symbol: Symbol,
        /// Why.
        error: VenueError,
    },
    /// The venue announces that it will end this connection.
    Closing,
    /// The venue says it is up or down.
    VenueStatus {
        /// Up.
        is_up: bool,
        /// Its words.
        message: String,
    },
}
