//! The terminal: a thread that draws the newest snapshot and hears the keys.
//!
//! Promises that the terminal is as it was afterwards, also after a panic, ours or an actor's; words
//! of a panic that is not ours are kept and printed then, because they would be lost on the screen.

use std::io::{self, Stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::layout;
use super::{Notices, Snapshot};
use crate::cli::stop::StopRequest;

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(100);
const THREAD: &str = "live view";

/// The open screen; closing it gives the terminal back.
pub struct Screen {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    snapshot: Mutex<Option<Snapshot>>,
    is_closing: AtomicBool,
    panics: Mutex<Vec<String>>,
}

impl Screen {
    /// Takes the terminal. `q`, Esc and Ctrl-C ask for the stop.
    ///
    /// # Errors
    /// When stdout is no terminal that can be taken.
    pub fn open(stop: StopRequest, notices: Notices) -> io::Result<Screen> {
        let shared = Arc::new(Shared::default());
        keep_panics(Arc::clone(&shared), notices);
        let taken = Taken::take()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let drawn = Arc::clone(&shared);
        let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            let _taken = taken;
            // However the view ends, the program ends with it.
            let _ends = AskOnDrop(stop.clone());
            if let Err(error) = keep_drawing(terminal, &drawn, &stop) {
                drawn.panics.lock().unwrap_or_else(PoisonError::into_inner).push(format!("the view ended: {error}"));
            }
        })?;
        Ok(Screen { shared, thread: Some(thread) })
    }

    /// Shows a state from the next frame on.
    pub fn show(&self, snapshot: Snapshot) {
        *self.shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed by the hook.
            let _ = thread.join();
        }
        if !thread::panicking() {
            drop(panic::take_hook());
        }
        for words in self.shared.panics.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            eprintln!("{words}");
        }
    }
}

fn keep_drawing(
    mut terminal: Terminal<CrosstermBackend<Stdout>>,
    shared: &Shared,
    stop: &StopRequest,
) -> io::Result<()> {
    while !shared.is_closing.load(Ordering::Acquire) {
        let snapshot = shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(snapshot) = snapshot {
            terminal.draw(|frame| layout::draw(frame, &snapshot))?;
        }
        if event::poll(FRAME)? {
            heed(&event::read()?, stop);
        }
    }
    Ok(())
}

fn heed(event: &Event, stop: &StopRequest) {
    let Event::Key(key) = event else { return };
    let is_control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    let ends = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || is_control_c;
    if key.kind == KeyEventKind::Press && ends {
        stop.ask("key");
    }
}

/// The terminal in our hands; dropping gives it back.
struct Taken;

impl Taken {
    fn take() -> io::Result<Taken> {
        enable_raw_mode()?;
        let taken = Taken;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // A terminal that is gone needs nothing.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

struct AskOnDrop(StopRequest);

impl Drop for AskOnDrop {
    fn drop(&mut self) {
        self.0.ask("the view");
    }
}

/// A panic of the view gives the terminal back and is printed; others become notices.
fn keep_panics(shared: Arc<Shared>, notices: Notices) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name() == Some(THREAD) {
            give_back();
            before(info);
        } else {
            notices.push(&info.to_string());
            shared.panics.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        }
    }));
}
