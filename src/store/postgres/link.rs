//! Connections: dialled when needed, kept while they are sound, used by one piece of work at a time.
//!
//! Work runs on threads that may block and goes on when its caller is gone: a transaction is
//! finished or undone in any case. The tasks that drive sockets live on a runtime of the store's
//! own, so that they run whatever runtime the store was opened on, busy or gone.

use std::sync::{Arc, Mutex, PoisonError};

use diesel::connection::{SimpleConnection, TransactionManager, TransactionManagerStatus};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio_postgres::NoTls;
use tokio_rustls::TlsConnector;

use super::super::fault::Fault;
use super::super::{Access, StoreError};
use super::error::{self, into_store_error};
use super::location::Location;
use super::wire::{Heard, Tap};
use super::{timescale, tls};

/// A connection that blocks.
pub type Connection = AsyncConnectionWrapper<AsyncPgConnection>;

type Manager = <Connection as diesel::Connection>::TransactionManager;

/// The threads on which connections live; gone, with all of them, when it is dropped.
#[derive(Debug)]
pub(super) struct Engine(Option<Runtime>);

impl Engine {
    pub(super) fn start() -> std::io::Result<Engine> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("candlewick-postgres").enable_all().build()?;
        Ok(Engine(Some(runtime)))
    }

    pub(super) fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Not waited for: this may be a thread that must not block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// How connections are made.
pub(super) struct Dialler {
    pub location: Location,
    tls: TlsConnector,
    access: Access,
    pub handle: Handle,
}

/// How long a statement waits for somebody's lock, and how long a transaction may be forgotten
/// before the server undoes it.
const SESSION: &str = "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'";
const READ_ONLY: &str = "; SET default_transaction_read_only = on";

impl Dialler {
    pub(super) fn new(location: Location, access: Access, handle: Handle) -> Result<Dialler, StoreError> {
        let tls = tls::connector(&location)
            .map_err(|message| StoreError::Unavailable { url: location.shown.clone(), message })?;
        Ok(Dialler { location, tls, access, handle })
    }

    /// Makes a connection; to be called on a thread of the engine that may block.
    pub(super) fn dial(&self) -> Result<Link, StoreError> {
        let heard = Arc::new(Heard::default());
        let dialling = async {
            let tap = Tap::connect(&self.location, &self.tls, Arc::clone(&heard)).await;
            let tap = tap.map_err(|cause| error::from_socket(&cause, &self.location))?;
            let connected = self.location.config.connect_raw(tap, NoTls).await;
            let (client, driver) = connected.map_err(|cause| error::from_login(&cause, &self.location))?;
            // Ends when the client is dropped or the server hangs up; its words reach the client.
            let over = Arc::clone(&heard);
            self.handle.spawn(async move {
                drop(driver.await);
                over.close();
            });
            let connection = AsyncPgConnection::try_from(client).await;
            connection.map_err(|cause| error::from_setup(cause, &heard, &self.location))
        };
        let connection = self.handle.block_on(dialling)?;
        let mut link = Link { connection: connection.into(), heard };
        let read_only = if self.access == Access::ReadOnly { READ_ONLY } else { "" };
        let session = format!("{SESSION}; {}{read_only}", timescale::SESSION);
        link.run(&self.location, |connection| Ok(connection.batch_execute(&session)?))?;
        Ok(link)
    }
}

/// One connection and what was heard on it.
pub(super) struct Link {
    connection: Connection,
    heard: Arc<Heard>,
}

impl Link {
    /// Runs work; what stops it is put into the store's words.
    pub(super) fn run<T>(
        &mut self,
        location: &Location,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        // Of an earlier error that somebody expected.
        drop(self.heard.take_code());
        work(&mut self.connection).map_err(|fault| into_store_error(fault, &self.heard, location))
    }

    /// True when nothing is left over and the server is there, as far as is known.
    pub(super) fn is_sound(&mut self) -> bool {
        !self.heard.is_closed()
            && !Manager::is_broken_transaction_manager(&mut self.connection)
            && matches!(
                Manager::transaction_manager_status_mut(&mut self.connection),
                TransactionManagerStatus::Valid(status) if status.transaction_depth().is_none()
            )
    }
}

/// Some connections, made when first needed and again after the server went away.
pub(super) struct Pool {
    dialler: Arc<Dialler>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Link>>>,
}

impl Pool {
    /// A pool of at most so many connections; `first` is one that is there already.
    pub(super) fn new(dialler: Arc<Dialler>, size: usize, first: Option<Link>) -> Pool {
        let idle = Arc::new(Mutex::new(Vec::from_iter(first)));
        Pool { dialler, permits: Arc::new(Semaphore::new(size)), idle }
    }

    /// Runs work on a connection that nobody else uses meanwhile. Dropping the future does not stop
    /// the work, and one that is not polled for a while holds up nobody: a task waits for its turn.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no server; the next call tries again.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (dialler, idle, permits) = (Arc::clone(&self.dialler), Arc::clone(&self.idle), Arc::clone(&self.permits));
        let job = self.dialler.handle.spawn(async move {
            let permit = permits.acquire_owned().await;
            let work = move || {
                // Given back last, when the connection waits again for others.
                let _permit = permit;
                let waiting = || idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let sound = std::iter::from_fn(waiting).find_map(|mut link| link.is_sound().then_some(link));
                let mut link = match sound {
                    Some(link) => link,
                    None => dialler.dial()?,
                };
                let result = link.run(&dialler.location, work);
                if link.is_sound() {
                    idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
                }
                result
            };
            tokio::task::spawn_blocking(work).await
        });
        match job.await.flatten() {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(StoreError::Refused(error.to_string())),
            Err(error) => {
                let url = self.dialler.location.shown.clone();
                Err(StoreError::Unavailable { url, message: error.to_string() })
            }
        }
    }
}
