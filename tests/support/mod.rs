//! What several integration tests share. Each test file compiles its own copy and uses a part of it.
#![allow(dead_code)] // used by some of the test files that declare `mod support;`, not by all

pub mod faulty_store;
pub mod faulty_transport;
pub mod in_memory;
pub mod line;
pub mod real_time;
pub mod stage;

/// Waits for a call of a store here and now, while nothing else of the test goes on. A store works
/// on threads of its own; awaited, it would answer whenever those get round to it, and the order of
/// everything that follows would differ from run to run.
pub fn at_once<F: Future>(call: F) -> F::Output {
    // The share of its task is no concern of a call that must not be put off.
    futures_executor::block_on(tokio::task::unconstrained(call))
}

/// What a scripted decorator does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Proceed,
    Panic,
    Hang,
    Fail,
    /// For good.
    Refuse,
    /// It proceeds so much later.
    Late(std::time::Duration),
}
