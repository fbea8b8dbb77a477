//! What is mirrored to Redis, seen by a plain client of a real server; the collector runs against the
//! simulated exchanges in memory, a minute in a second.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/program.rs"]
mod program;

#[path = "../support/redis.rs"]
mod server;

#[path = "../../examples/monitor.rs"]
#[allow(dead_code)] // its `main`
mod monitor;

mod candles;
mod control;
mod crowd;
mod events;
mod program_runs;
mod stage;
mod status;
mod tls;
