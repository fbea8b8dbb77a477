//! Log lines for a view that owns the terminal: kept in memory, the newest ones shown.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that are kept.
const KEPT: usize = 50;

/// A log that remembers its last lines. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<String>,
    /// Lines ever pushed.
    count: usize,
}

impl Notices {
    /// Adds text, line by line.
    pub fn push(&self, text: &str) {
        let mut log = self.log();
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if log.lines.len() == KEPT {
                log.lines.pop_front();
            }
            log.lines.push_back(line.to_owned());
            log.count += 1;
        }
    }

    /// The newest lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let log = self.log();
        log.lines.iter().skip(log.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// The lines kept that came after the first `seen`, and how many there have been in all.
    pub fn since(&self, seen: usize) -> (Vec<String>, usize) {
        let count = self.log().count;
        (self.last(count.saturating_sub(seen)), count)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One log event on its way.
#[derive(Debug)]
pub struct Line {
    notices: Notices,
    text: Vec<u8>,
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.notices.push(&String::from_utf8_lossy(&self.text));
    }
}

impl<'a> MakeWriter<'a> for Notices {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { notices: self.clone(), text: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept() {
        let notices = Notices::default();
        (0..60).for_each(|number| notices.push(&format!("line {number}\n\n")));
        assert_eq!(notices.last(2), ["line 58", "line 59"]);
        assert_eq!(notices.since(58), (vec!["line 58".to_owned(), "line 59".to_owned()], 60));
        assert_eq!(notices.since(60), (vec![], 60));
        assert_eq!(notices.last(100).first().map(String::as_str), Some("line 10"));
    }
}
