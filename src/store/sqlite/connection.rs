//! Connections: one that writes, a few that read beside it, and the schema they find.

use std::error::Error as StdError;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use tokio::sync::Mutex;

use super::super::fault::Fault;
use super::super::{Access, StoreError};
use super::error::{from_connection, into_store_error};
use super::location::Location;

/// How long a statement waits for another program's lock before it gives up.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection, used by one caller at a time, on a thread of its own.
pub(in crate::store) struct Lane(Mutex<SyncConnectionWrapper<SqliteConnection, OwnThread>>);

type Job = Box<dyn FnOnce() + Send>;

/// The thread of one connection, which ends with it. Tokio's pool would do the same work, but an
/// allocator keeps for each thread what was freed there: memory would grow with the pool's threads.
pub(in crate::store) struct OwnThread(mpsc::Sender<Job>);

impl OwnThread {
    fn start() -> io::Result<OwnThread> {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new().name("candlewick-sqlite".to_owned()).spawn(move || {
            for job in queue {
                job();
            }
        })?;
        Ok(OwnThread(jobs))
    }
}

impl SpawnBlocking for OwnThread {
    /// Work goes on when its caller is gone. diesel-async's own choice waits for it in `drop`, which
    /// panics on a runtime of one thread: every actor that ends while it reads would panic.
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<R, Box<dyn StdError + Send + Sync>>> + Send + 'a>>
    where
        R: Send + 'static,
    {
        let (answer, result) = mpsc::channel();
        let job = move || {
            // The panic hook has told it; the connection's next transaction undoes what was begun.
            answer.send(panic::catch_unwind(AssertUnwindSafe(task))).ok();
        };
        let sent = self.0.send(Box::new(job));
        // A paused tokio clock stands still for as long as tokio's own threads work, and for nothing else.
        let waiting = tokio::task::spawn_blocking(move || result.recv());
        Box::pin(async move {
            sent.map_err(|_| "the thread of this connection has ended")?;
            waiting.await??.map_err(|_| "a panic ended it; the log says why".into())
        })
    }

    fn get_runtime() -> OwnThread {
        OwnThread::start().expect("the system has a thread for a connection")
    }
}

impl Lane {
    /// # Errors
    /// When the system has no more threads.
    pub(in crate::store) fn new(connection: SqliteConnection) -> io::Result<Lane> {
        Ok(Lane(Mutex::new(SyncConnectionWrapper::with_runtime(connection, OwnThread::start()?))))
    }

    /// Runs work on the connection. Dropping the future does not stop the work: a transaction
    /// is finished or undone in any case.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.0.lock().await.spawn_blocking(move |connection| Ok(work(connection))).await?
    }

    /// The same, unless somebody else uses the connection now: then the work comes back.
    pub(super) async fn try_run<T: Send + 'static, W>(&self, work: W) -> Result<Result<T, Fault>, W>
    where
        W: FnOnce(&mut SqliteConnection) -> Result<T, Fault> + Send + 'static,
    {
        match self.0.try_lock() {
            Ok(mut lane) => match lane.spawn_blocking(move |connection| Ok(work(connection))).await {
                Ok(result) => Ok(result),
                Err(error) => Ok(Err(Fault::Database(error))),
            },
            Err(_) => Err(work),
        }
    }
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
