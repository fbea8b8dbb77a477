//! What several integration tests share. Each test file compiles its own copy and uses a part of it.
#![allow(dead_code)] // used by some of the test files that declare `mod support;`, not by all

pub mod in_memory;
