//! Decisions without I/O: functions of state, input and time. No actors, sockets or clocks here.

pub mod budget;
pub mod queue;
