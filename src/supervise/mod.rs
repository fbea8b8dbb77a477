//! Supervision: restart policies and the machinery that obeys them.
//!
//! Not `actix::Supervisor`: it keeps the same struct, does not survive a panic and restarts without
//! a pause. Here every life is a new actor with a new generation; its exit guard tells the parent
//! how it ended; the parent decides from data when the next life begins.

pub mod children;
pub mod connections;
pub mod exit;
pub mod family;
pub mod jitter;
pub mod policy;
pub mod slot;
