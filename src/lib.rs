//! candlewick keeps OHLCV candles of many exchanges complete, exact and up to date.
//!
//! For every series it was told to keep, it holds every candle, final and equal to the exchange's
//! own, or says which are missing, since when and why; and it heals what can be healed without
//! being asked.
//!
//! A [`collector::Collector`] runs inside the host's own actix System and leaves its logging, its
//! signals and its shutdown alone:
//!
//! ```no_run
//! use candlewick::collector::Collector;
//! use candlewick::market::{Span, Timeframe};
//! use candlewick::store::reader::{Fill, Reader};
//! use candlewick::store::{CandleSource, NewSymbol};
//! use chrono::TimeDelta;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     actix_rt::System::new().block_on(async {
//!         let collector = Collector::builder().database("sqlite://candles.db").start().await?;
//!         let now = collector.clock().now();
//!         collector
//!             .add_symbol(&NewSymbol {
//!                 exchange: "kraken".to_owned(),
//!                 symbol: "BTC/USD".parse()?,
//!                 timeframes: vec![Timeframe::M1, Timeframe::H1],
//!                 backfill_from: now - TimeDelta::days(1),
//!                 collect_trades: false,
//!                 candle_source: CandleSource::Venue,
//!                 only_ticker: false,
//!             })
//!             .await?;
//!
//!         tokio::signal::ctrl_c().await?;
//!
//!         let reader = Reader::new(collector.store().clone());
//!         let day = Span::new(now - TimeDelta::days(1), now);
//!         let bars = reader.fetch_ohlcv("kraken", "BTC/USD", Timeframe::H4, day, Fill::None, false).await?;
//!         for bar in bars.iter().filter(|bar| bar.is_complete) {
//!             println!("{} {}", bar.candle.open_time, bar.candle.close);
//!         }
//!         collector.shutdown().await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! What else a host can do with it, how it is told of candles and of the collector's end: [`collector`]
//! and `docs/embedding.md`.
//!
//! The rooms, from the inside out:
//!
//! * [`market`]: values (symbols, timeframes, grids, candles, coverage) and their arithmetic.
//! * [`exchange`]: what each venue can do, as data, and how it speaks, as pure functions.
//! * [`engine`]: decisions without I/O: what is final, what to ask for next, what an answer proves.
//! * [`store`]: the database as a contract, SQLite and PostgreSQL, [reading](store::reader) and
//!   [verification](store::inventory).
//! * [`control`]: commands as data: what may be asked of a running collector, and what became of it.
//! * [`mirror`]: what programs beside the collector read in Redis.
//! * [`transport`]: HTTP and WebSocket, the only way out.
//! * [`supervise`] and [`actors`]: the tree that does the work and survives its failures.
//! * [`collector`]: the tree as one object; [`cli`]: the commands.
//! * [`web`]: HTTP for operators.
//! * [`sim`]: simulated exchanges with a known truth, to try and test all of it without a network.

pub mod actors;
pub mod cli;
pub mod clock;
pub mod collector;
pub mod config;
pub mod control;
pub mod engine;
pub mod exchange;
pub mod market;
pub mod mirror;
pub mod sim;
pub mod status;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod transport;
pub mod web;
