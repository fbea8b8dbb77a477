//! What stream frames say.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::{Channel, VenueError};
use crate::market::{Candle, Timeframe, Trade, TradeId};

/// What a stream frame says. Borrows from the frame where it can.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The state of a bucket.
    Candle {
        /// Market, as the venue writes it.
        stream_id: Cow<'a, str>,
        /// Length of the bucket.
        timeframe: Timeframe,
        /// The bar so far.
        candle: Candle,
        /// The venue's closed flag; `None` where it has none.
        closed: Option<bool>,
        /// The venue's stamp on the frame.
        stamped_at: Option<DateTime<Utc>>,
        /// True for rows of the snapshot sent after an ack, which may be old.
        is_snapshot: bool,
    },
    /// A trade.
    Trade {
        /// Market, as the venue writes it.
        stream_id: Cow<'a, str>,
        /// The trade.
        trade: Trade,
        /// True for rows of the snapshot sent after an ack.
        is_snapshot: bool,
        /// The venue's stamp on the frame.
        stamped_at: Option<DateTime<Utc>>,
    },
    /// The venue says which trade of a market was the last so far: what is older and not here was lost.
    LastTrade {
        /// Market, as the venue writes it.
        stream_id: Cow<'a, str>,
        /// Its newest trade.
        id: TradeId,
        /// The venue's stamp on the frame.
        stamped_at: Option<DateTime<Utc>>,
    },
    /// A subscription was accepted. Without `stream_id` it answers the whole request; without
    /// `request_id` it answers whatever asked for what it names.
    Subscribed {
        /// Id of the control frame.
        request_id: Option<u64>,
        /// The market, where the ack names it.
        stream_id: Option<Cow<'a, str>>,
        /// What of it, where the ack tells.
        channel: Option<Channel>,
        /// The venue's stamp on the ack.
        stamped_at: Option<DateTime<Utc>>,
    },
    /// A subscription was ended.
    Unsubscribed {
        /// Id of the control frame.
        request_id: Option<u64>,
        /// The market, where the ack names it.
        stream_id: Option<Cow<'a, str>>,
        /// What of it, where the answer tells.
        channel: Option<Channel>,
    },
    /// A subscription was refused.
    Rejected {
        /// Id of the control frame.
        request_id: Option<u64>,
        /// The market, where the refusal names it.
        stream_id: Option<Cow<'a, str>>,
        /// What of it, where the answer tells.
        channel: Option<Channel>,
        /// Why, and whether asking again helps.
        error: VenueError,
    },
    /// Frames of this connection were lost; reconnect at once.
    FramesLost {
        /// How that shows.
        message: Cow<'a, str>,
    },
    /// Proof of life without data: heartbeat, pong, greeting.
    Heartbeat {
        /// The venue's stamp.
        stamped_at: Option<DateTime<Utc>>,
    },
    /// The venue announces that it will close this connection; reconnect at once.
    Closing,
    /// The venue's own state changed (`maintenance`, `online`).
    VenueStatus {
        /// True while it trades and serves data.
        is_up: bool,
        /// Its words.
        message: Cow<'a, str>,
    },
    /// A frame we understand as a frame but have no use for.
    Unknown {
        /// A short, low-cardinality name of its kind.
        kind: Cow<'a, str>,
    },
    /// An error that names no subscription, or a frame that is not what the venue promised.
    Error(VenueError),
}
