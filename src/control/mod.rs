//! Commands as data: what may be asked of a running collector, by whom, and what became of it.
//!
//! One [`Command`] type serves every channel: a message inside the process, HTTP, a Redis stream.
//! [`Desk`] judges and carries it out on the store, once by its id, and records it in the table
//! `commands`. The checks of [`wish`] are those of `candlewick symbols add`, in the same words.
//!
//! Knows no actors and no channel: what has to happen in the tree afterwards is told as data too.

pub mod audit;
pub mod command;
pub mod components;
pub mod desk;
pub mod reply;
pub mod wanted;
pub mod when;
pub mod wish;

pub use command::{Action, Asker, Command};
pub use desk::{Answer, Desk, FollowUp};
pub use reply::{Refusal, RefusalKind, Reply};
