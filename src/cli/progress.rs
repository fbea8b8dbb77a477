//! How far a long command has got: a bar on a terminal, a line now and then elsewhere; on stderr.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::live_view::Notices;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// See the module.
pub struct Progress {
    bar: ProgressBar,
    line_at: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// A bar as indicatif's template says. Elsewhere the first line is written at once.
    pub fn new(template: &str) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Progress { bar, line_at: None, is_terminal }
    }

    /// Says nothing before so much time has passed, where there is no terminal.
    pub fn patient(mut self) -> Progress {
        self.line_at = Some(Instant::now());
        self
    }

    /// So much is done.
    pub fn show(&mut self, done: u64, of: u64, words: &str) {
        if self.is_terminal {
            self.bar.set_length(of);
            self.bar.set_position(done);
            self.bar.set_message(words.to_owned());
        } else if self.line_at.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.line_at = Some(Instant::now());
            let percent = if of == 0 { 100.0 } else { 100.0 * done as f64 / of as f64 };
            self.say(&format!("{percent:.1}% {done}/{of} {words}"));
        }
    }

    /// Says words beside the bar.
    pub fn say(&self, words: &str) {
        self.bar.suspend(|| eprintln!("{}", words.trim_end()));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How far a job is that a collector of this process does, and what the collector says meanwhile.
pub struct JobProgress {
    progress: Progress,
    /// Where the collector's words go.
    pub notices: Notices,
    shown: usize,
}

impl JobProgress {
    /// A bar as indicatif's template says.
    pub fn new(template: &str) -> JobProgress {
        JobProgress { progress: Progress::new(template), notices: Notices::default(), shown: 0 }
    }

    /// So much is done.
    pub fn show(&mut self, done: u64, of: u64, words: &str) {
        self.pass_notices();
        self.progress.show(done, of, words);
    }

    /// Says words beside the bar.
    pub fn say(&self, words: &str) {
        self.progress.say(words);
    }

    /// Says the collector's last words and takes the bar away.
    pub fn finish(&mut self) {
        self.pass_notices();
        self.progress.finish();
    }

    fn pass_notices(&mut self) {
        let (lines, count) = self.notices.since(self.shown);
        self.shown = count;
        lines.iter().for_each(|line| self.say(line));
    }
}
