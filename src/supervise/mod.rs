//! Keeping children alive: when a dead one is started again, and when not.

pub mod policy;
