//! candlewick keeps OHLCV candles and trades of many exchanges complete, exact and up to date.
//!
//! For every series it was told to keep, it holds every candle, final and equal to the exchange's
//! own, or says which are missing, since when and why; and it heals what can be healed without
//! being asked.

pub mod actors;
pub mod cli;
pub mod clock;
pub mod collector;
pub mod config;
pub mod engine;
pub mod exchange;
pub mod market;
pub mod sim;
pub mod status;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod transport;
