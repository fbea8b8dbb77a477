//! One suite over every exchange of the registry: its fixtures say what its bytes mean, its simulated
//! half says what its calls do, and its capabilities must be true of both.
//!
//! A venue is described to the suite by `tests/fixtures/<id>/contract.toml`; one without it fails.

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod data;
mod errors;
mod fixtures;
mod limits;
mod pages;
mod rendered;
mod rows;
mod streams;
mod tickers;
mod trades;
mod venue;
