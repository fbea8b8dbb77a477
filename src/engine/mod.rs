//! Decisions, pure: functions of (state, input, now). No I/O, no clock, no actors.

pub mod audit;
pub mod book;
pub mod budget;
pub mod derive;
pub mod ear;
pub mod page;
pub mod queue;
pub mod settle;
pub mod tape;
pub mod venue_time;
