//! Decisions, pure: functions of (state, input, now). No I/O, no clock, no actors.

pub mod page;
pub mod settle;
pub mod venue_time;
