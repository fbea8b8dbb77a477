//! The file that is imported, readable more than once: what cannot be rewound is copied first.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;

use crate::cli::Failure;
use crate::cli::aggregate::first_byte;
use crate::cli::failure::OrUsage;
use crate::cli::progress::Progress;

/// See the module.
pub(super) struct Input {
    file: File,
    bytes: u64,
    /// As errors call it.
    pub name: String,
}

impl Input {
    /// Opens a file, or copies standard input, a pipe or a device.
    ///
    /// # Errors
    /// Usage for a file that cannot be read.
    pub(super) fn open(path: &Path) -> Result<Input, Failure> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
        let open = || -> io::Result<File> {
            if is_stdin {
                return copied(&mut io::stdin().lock());
            }
            let mut file = File::open(path)?;
            if file.metadata()?.is_file() { Ok(file) } else { copied(&mut file) }
        };
        let file = open().with_context(|| format!("cannot read {name}")).or_usage()?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Input { file, bytes, name })
    }

    /// Begins at the beginning: the text, and how many empty lines were passed over before it.
    pub(super) fn rewind(&mut self) -> Result<(impl Read + use<>, u64, Meter), Failure> {
        self.file.rewind().with_context(|| format!("cannot read {} again", self.name))?;
        let file = self.file.try_clone().with_context(|| format!("cannot read {}", self.name))?;
        let read = Rc::new(Cell::new(0));
        let mut input = BufReader::with_capacity(1 << 16, Counted { file, read: Rc::clone(&read) });
        let (above, _) = first_byte(&mut input)?;
        Ok((input, above, Meter { read, bytes: self.bytes }))
    }
}

fn copied(source: &mut dyn Read) -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    io::copy(source, &mut copy)?;
    Ok(copy)
}

/// Counts what is read.
struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// How much of the text is read.
pub(super) struct Meter {
    read: Rc<Cell<u64>>,
    bytes: u64,
}

impl Meter {
    pub(super) fn show(&self, progress: &mut Progress, words: &str) {
        progress.show(self.read.get(), self.bytes, words);
    }
}

/// A bar for bytes.
pub(super) fn progress() -> Progress {
    Progress::new("{msg} {wide_bar} {percent:>3}% {bytes}/{total_bytes} ETA {eta}").patient()
}
