//! Why a symbol is not streamed, in the words that consumers are told.

/// Its connection ended.
pub const CONNECTION_LOST: &str = "connection_lost";
/// The venue refused its subscription.
pub const STREAM_REFUSED: &str = "stream_refused";
/// REST found trading in a bucket that the stream was silent about.
pub const STREAM_SILENT: &str = "stream_silent";
/// The settings want it polled.
pub const CONFIGURED: &str = "configured";
/// It is not wanted any more, or about to begin anew.
pub const STOPPED: &str = "stopped";
/// The venue streams nothing of what is wanted of it.
pub const NO_STREAM: &str = "no_stream";
/// It has been waiting for its stream for a while.
pub const STREAM_NOT_AVAILABLE: &str = "stream_not_available";
