//! Connections: one that writes, a few that read beside it, and the schema they find.

use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sqlite::SqliteConnection;
use tokio::sync::{Mutex, oneshot};

use super::super::fault::Fault;
use super::super::{Access, StoreError};
use super::error::{from_connection, into_store_error};
use super::location::Location;

/// How long a statement waits for another program's lock before it gives up.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&mut SqliteConnection) + Send>;

/// One connection on a thread of its own, used by one caller at a time.
///
/// A pool of threads would do the same work, but what SQLite allocates on one thread and frees on
/// another is kept apart for each of them by the allocator: memory follows the threads, not the connections.
pub(in crate::store) struct Lane(Mutex<mpsc::Sender<Job>>);

impl Lane {
    /// # Errors
    /// When the system has no more threads.
    pub(in crate::store) fn new(mut connection: SqliteConnection) -> io::Result<Lane> {
        let (jobs, queue) = mpsc::channel::<Job>();
        // Ends with its lane. A panic ends it too: what the connection had begun is undone by closing it.
        thread::Builder::new().name("candlewick-sqlite".to_owned()).spawn(move || {
            for job in queue {
                job(&mut connection);
            }
        })?;
        Ok(Lane(Mutex::new(jobs)))
    }

    /// Runs work on the connection. Dropping the future does not stop work that has begun: a
    /// transaction is finished or undone in any case.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        hand_over(&*self.0.lock().await, work).await
    }

    /// The same, unless somebody else uses the connection now: then the work comes back.
    pub(super) async fn try_run<T: Send + 'static, W>(&self, work: W) -> Result<Result<T, Fault>, W>
    where
        W: FnOnce(&mut SqliteConnection) -> Result<T, Fault> + Send + 'static,
    {
        match self.0.try_lock() {
            Ok(jobs) => Ok(hand_over(&jobs, work).await),
            Err(_) => Err(work),
        }
    }
}

async fn hand_over<T: Send + 'static>(
    jobs: &mpsc::Sender<Job>,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let (answer, result) = oneshot::channel();
    let job = move |connection: &mut SqliteConnection| {
        // Nobody waits when the caller is gone before its turn, or during it.
        if !answer.is_closed() {
            answer.send(work(connection)).ok();
        }
    };
    jobs.send(Box::new(job)).map_err(|_| thread_ended())?;
    result.await.unwrap_or_else(|_| Err(thread_ended()))
}

fn thread_ended() -> Fault {
    let message = "the thread of this connection has ended; the log says why".to_owned();
    Fault::Database(Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(message)))
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
            "PRAGMA cache_size = -8192",
        ]);
    }
    for pragma in pragmas {
        connection.batch_execute(pragma).map_err(|error| into_store_error(error.into(), url))?;
    }
    Ok(connection)
}
