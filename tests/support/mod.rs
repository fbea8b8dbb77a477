//! What several integration tests share. Each test file compiles its own copy and uses a part of it.
#![allow(dead_code)] // used by some of the test files that declare `mod support;`, not by all

pub mod faulty_store;
pub mod faulty_transport;
pub mod in_memory;
pub mod stage;

/// What a scripted decorator does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Proceed,
    Panic,
    Hang,
    Fail,
}
