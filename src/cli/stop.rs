//! Requests to stop: SIGINT, SIGTERM, or a key in the terminal view. The first one asks for an
//! ordered stop, the second one ends the process at once with exit code 130.
//!
//! Signals are heard by a thread of their own, so that a program that hangs can still be ended.

use std::io;

use tokio::sync::watch;

/// Exit code of a forced end.
pub const FORCED: u8 = 130;

/// The request, shared by whoever may ask and whoever obeys.
#[derive(Debug, Clone)]
pub struct StopRequest(watch::Sender<Option<&'static str>>);

impl StopRequest {
    /// A request that only [`StopRequest::ask`] makes.
    pub fn new() -> StopRequest {
        StopRequest(watch::Sender::new(None))
    }

    /// Listens to the process's signals from now on.
    ///
    /// # Errors
    /// When the operating system lets nobody listen.
    pub fn listen() -> io::Result<StopRequest> {
        let request = StopRequest::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _context = runtime.enter();
            Signals::new()?
        };
        let asked = request.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    let name = signals.next().await;
                    if !asked.ask(name) {
                        eprintln!("{name} again: ended without an ordered stop");
                        std::process::exit(i32::from(FORCED));
                    }
                }
            });
        })?;
        Ok(request)
    }

    /// Asks for the stop; false when somebody has asked before.
    pub fn ask(&self, who: &'static str) -> bool {
        self.0.send_if_modified(|asked| {
            let is_first = asked.is_none();
            asked.get_or_insert(who);
            is_first
        })
    }

    /// Waits until somebody asks, and says who.
    pub async fn asked(&self) -> &'static str {
        let mut changes = self.0.subscribe();
        // The sender lives in `self`, so waiting cannot fail while we borrow it.
        changes.wait_for(Option::is_some).await.ok().and_then(|asked| *asked).unwrap_or("nobody")
    }
}

impl Default for StopRequest {
    fn default() -> Self {
        StopRequest::new()
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_request_counts_and_everybody_hears_it() {
        let request = StopRequest::new();
        let listener = request.clone();
        assert!(request.ask("q"));
        assert!(!listener.ask("SIGTERM"));
        assert_eq!(listener.asked().await, "q");
        assert_eq!(request.asked().await, "q");
    }
}
