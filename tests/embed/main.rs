//! A collector inside a host: where it runs, how it ends, what it tells, and that it meets no other.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod ear;
mod events;
mod feed;
mod hosts;
mod neighbours;
