//! The program as its users meet it: the real binary in a folder of its own, its output and exit codes.

mod explain;
mod import;
mod place;
mod reading;
mod retention;
mod settings;
mod tickers;
mod trades;
