//! The supervision tree: one file or folder per actor, all messages in one place.
//!
//! ```text
//! Supervisor
//! ├── WriterActor                  the only writer of candles and coverage
//! ├── StatusActor                  gathers reports, writes them throttled
//! ├── ControlActor                 carries out commands
//! ├── AuditActor                   has what is stored compared with its exchange
//! ├── FeedActor                    tells hosts of final candles
//! ├── PublisherActor               final candles to Redis, where one is configured
//! ├── ChannelActor                 commands of a Redis stream, where one is configured
//! └── ExchangeActor                one per exchange: gate, budget, REST, connections
//!     ├── ProbeActor               one try to reach the venue
//!     ├── StreamActor              one per connection
//!     └── SymbolActor              one per symbol: finality, backfill, repair
//! ```
//!
//! Data flows down one way: frame -> StreamActor -> SymbolActor -> WriterActor -> store.

pub mod auditor;
pub mod channel;
pub mod control;
pub mod exchange;
pub mod feed;
pub mod messages;
pub mod probe;
pub mod publisher;
pub mod retention;
pub mod status;
pub mod stream;
pub mod supervisor;
pub mod symbol;
pub mod venue;
pub mod writer;

pub use supervisor::Supervisor;
