//! The bad rows of a file: the first ones in words, all of them counted.

use std::fmt::Display;

use crate::cli::Failure;
use crate::cli::listing::count;

/// Rows told in words.
const SHOWN: usize = 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Faults {
    shown: Vec<String>,
    rows: u64,
}

impl Faults {
    /// A row that cannot be used.
    pub(super) fn add(&mut self, line: u64, fault: impl Display) {
        self.rows += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(format!("\n  line {line}: {fault}"));
        }
    }

    /// The end of the file.
    ///
    /// # Errors
    /// Usage, with all faults, when there are any.
    pub(super) fn finish(self, name: &str) -> Result<(), Failure> {
        if self.rows == 0 {
            return Ok(());
        }
        let more = match self.rows - self.shown.len() as u64 {
            0 => String::new(),
            more => format!("\n  and {}", count(more, "more row")),
        };
        let rows = count(self.rows, "row");
        let faults = self.shown.concat();
        Err(Failure::usage(format_args!("{name} has {rows} that cannot be used; nothing was written{faults}{more}")))
    }
}
