//! The whole tree against the simulated exchanges, in memory and in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod audits;
mod clocks;
mod commands;
mod events;
mod imports;
mod isolation;
mod modes;
mod ordered_stop;
mod outages;
mod polling;
mod reports;
mod retention;
mod settings;
mod silence;
mod spool;
mod supervision;
mod tickers;
mod trades;
