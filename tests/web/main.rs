//! The HTTP interface, asked by the bytes that go over the wire.

#[path = "../support/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod ask;
mod commands;
mod daemon;
mod health;
mod metrics;
mod stage;
