//! The whole tree against the simulated exchanges, in memory and in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod modes;
mod outages;
mod polling;
mod supervision;
