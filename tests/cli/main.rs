//! The program as its users meet it: the real binary in a folder of its own, its output and exit codes.

mod place;
mod reading;
mod settings;
