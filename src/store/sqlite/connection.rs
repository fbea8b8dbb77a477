//! Connections: one that writes, a few that read beside it, and the schema they find.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use super::super::fault::Fault;
use super::super::{Access, StoreError};
use super::error::{from_connection, into_store_error};
use super::location::Location;

/// How long a statement waits for another program's lock before it gives up.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&mut SqliteConnection) + Send>;

/// One connection on a thread of its own, which ends with it. Work is queued, never a caller: one
/// that is not polled for a while (its actor waits for something else) holds up nobody.
///
/// Tokio's pool would do the same work, but an allocator keeps for each thread what was freed
/// there: memory would grow with the pool's threads.
///
/// A lane without work that is dropped has closed its connection then; one with work closes it when
/// that is done.
pub(in crate::store) struct Lane {
    /// Taken when it ends.
    worker: Option<(mpsc::Sender<Job>, JoinHandle<()>)>,
    load: Arc<Load>,
}

/// The work that a connection was given and has not done.
#[derive(Default)]
struct Load {
    state: Mutex<LoadState>,
    done: Condvar,
}

#[derive(Default)]
struct LoadState {
    jobs: usize,
    /// A thread of tokio waits for the work to be done.
    watched: bool,
}

impl Lane {
    /// Takes over a connection to what `url` names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the system has no more threads.
    pub(in crate::store) fn new(mut connection: SqliteConnection, url: &str) -> Result<Lane, StoreError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || {
            for job in queue {
                job(&mut connection);
            }
        };
        match thread::Builder::new().name("candlewick-sqlite".to_owned()).spawn(work) {
            Ok(thread) => Ok(Lane { worker: Some((jobs, thread)), load: Arc::default() }),
            Err(error) => {
                let message = format!("there is no thread for it: {error}");
                Err(StoreError::Unavailable { url: url.to_owned(), message })
            }
        }
    }

    /// How many jobs wait or run.
    pub(super) fn load(&self) -> usize {
        self.load.state().jobs
    }

    /// Runs work on the connection, after the work that was given before. Dropping the future does
    /// not stop it: a transaction is finished or undone in any case.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, result) = oneshot::channel();
        let load = Arc::clone(&self.load);
        load.add();
        let job = move |connection: &mut SqliteConnection| {
            // The panic hook has told it; the connection's next transaction undoes what was begun.
            let result = panic::catch_unwind(AssertUnwindSafe(|| work(connection)));
            load.finish(|| answer.send(result).err());
        };
        let is_given = self.worker.as_ref().is_some_and(|(jobs, _)| jobs.send(Box::new(job)).is_ok());
        if !is_given {
            self.load.finish(|| None::<()>);
            return Err(ended());
        }
        match result.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::refused("a panic ended it; the log says why")),
            Err(_) => Err(ended()),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let Some((jobs, thread)) = self.worker.take() else { return };
        drop(jobs);
        if self.load() == 0 {
            // It can only have ended well: what panics is caught.
            let _ = thread.join();
        }
    }
}

impl Load {
    fn state(&self) -> MutexGuard<'_, LoadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A paused tokio clock stands still for as long as tokio's own threads work, and for nothing
    /// else: one of them waits while there is work.
    fn add(self: &Arc<Load>) {
        let mut state = self.state();
        state.jobs += 1;
        if !state.watched {
            state.watched = true;
            let load = Arc::clone(self);
            tokio::task::spawn_blocking(move || load.wait());
        }
    }

    /// One job is done, and its answer given, in one step: who has heard it finds the job done, and
    /// the thread that watches goes on after it. An answer that nobody took is dropped last.
    fn finish<T>(&self, answer: impl FnOnce() -> Option<T>) {
        let mut state = self.state();
        state.jobs -= 1;
        let _untaken = answer();
        drop(state);
        self.done.notify_one();
    }

    fn wait(&self) {
        let busy = |state: &mut LoadState| state.jobs > 0;
        let mut state = self.done.wait_while(self.state(), busy).unwrap_or_else(PoisonError::into_inner);
        state.watched = false;
    }
}

/// Nobody answers any more: not seen but at the end of the program.
fn ended() -> Fault {
    Fault::refused("the thread of this connection has ended")
}

/// Opens a connection that may do what `access` says.
pub(super) fn connect(
    location: &Location,
    access: Access,
    busy_timeout: Duration,
    url: &str,
) -> Result<SqliteConnection, StoreError> {
    let mut connection =
        SqliteConnection::establish(&location.open_text(access)).map_err(|error| from_connection(error, url))?;
    let timeout = format!("PRAGMA busy_timeout = {}", busy_timeout.as_millis());
    let mut pragmas = vec![timeout.as_str(), "PRAGMA foreign_keys = ON"];
    if access == Access::ReadOnly {
        // Each keeps pages for itself, until the next write; the system keeps them for all.
        pragmas.extend(["PRAGMA query_only = ON", "PRAGMA cache_size = -128"]);
    } else {
        // Readers never wait for the writer; a power cut may cost the last transactions, a killed
        // process none. Every series' newest pages change each minute: a log of 16 MiB takes several
        // of these changes before they are carried over. A long reader can make it grow: it is cut
        // back afterwards.
        pragmas.extend([
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = NORMAL",
            "PRAGMA wal_autocheckpoint = 4000",
            "PRAGMA journal_size_limit = 67108864",
        ]);
    }
    for pragma in pragmas {
        connection.batch_execute(pragma).map_err(|error| into_store_error(error.into(), url))?;
    }
    Ok(connection)
}
