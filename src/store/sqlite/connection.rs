//! Connections: one that writes, a few that read beside it, and the schema they find.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;

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
pub(in crate::store) struct Lane {
    jobs: mpsc::Sender<Job>,
    /// Jobs that are not done.
    load: Arc<AtomicUsize>,
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
            Ok(_) => Ok(Lane { jobs, load: Arc::default() }),
            Err(error) => {
                let message = format!("there is no thread for it: {error}");
                Err(StoreError::Unavailable { url: url.to_owned(), message })
            }
        }
    }

    /// How many jobs wait or run.
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Runs work on the connection, after the work that was given before. Dropping the future does
    /// not stop it: a transaction is finished or undone in any case.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, result) = mpsc::channel();
        self.load.fetch_add(1, Ordering::Relaxed);
        let load = Arc::clone(&self.load);
        let job = move |connection: &mut SqliteConnection| {
            // The panic hook has told it; the connection's next transaction undoes what was begun.
            let result = panic::catch_unwind(AssertUnwindSafe(|| work(connection)));
            load.fetch_sub(1, Ordering::Relaxed);
            answer.send(result).ok();
        };
        self.jobs.send(Box::new(job)).map_err(|_| ended())?;
        // A paused tokio clock stands still for as long as tokio's own threads work, and for nothing else.
        let waiting = tokio::task::spawn_blocking(move || result.recv());
        match waiting.await {
            Ok(Ok(Ok(result))) => result,
            Ok(Ok(Err(_))) => Err(Fault::refused("a panic ended it; the log says why")),
            Ok(Err(_)) | Err(_) => Err(ended()),
        }
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
        // Each keeps pages for itself; the system keeps them for all.
        pragmas.extend(["PRAGMA query_only = ON", "PRAGMA cache_size = -512"]);
    } else {
        // Readers never wait for the writer; a power cut may cost the last transactions, a killed
        // process none. A long reader can make the log grow: it is cut back afterwards.
        pragmas.extend([
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = NORMAL",
            "PRAGMA journal_size_limit = 67108864",
        ]);
    }
    for pragma in pragmas {
        connection.batch_execute(pragma).map_err(|error| into_store_error(error.into(), url))?;
    }
    Ok(connection)
}
