//! The one-collector lock: an advisory lock of the server's, and a number that fences its holders.
//!
//! The advisory lock ends with the connection that took it, however that ends. A collector whose
//! connection died may not know it yet: therefore each taking of the lock counts `fence` up, and
//! each transaction of a holder first reads the number, shared, and gives up when it is no longer
//! its own. A takeover waits for transactions that have read it. A holder that finds its connection
//! dead takes the lock again, unless somebody else has had it since.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diesel::{OptionalExtension, QueryableByName, RunQueryDsl, sql_query, sql_types};
use tokio::runtime::Handle;

use super::super::fault::Fault;
use super::super::tables::moment::{Micros, Moment};
use super::super::{CollectorLock, StoreError};
use super::link::{Connection, Dialler, Link};

/// How long the lock of a holder that has just gone is waited for: the server notices within
/// moments that a connection is closed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A holder whose machine vanished is given up by the server after about half a minute.
const KEEPALIVE: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4; SET tcp_user_timeout = 30000";

/// The lock of this store's collector, if it has one.
#[derive(Default)]
pub(super) struct Guard(Mutex<Option<Held>>);

struct Held {
    link: Link,
    fence: i64,
}

/// The lock as its holder has it.
#[derive(Debug)]
struct PgLock {
    guard: std::sync::Weak<Guard>,
    handle: Handle,
    fence: i64,
}

impl CollectorLock for PgLock {
    fn fence(&self) -> Option<i64> {
        Some(self.fence)
    }
}

impl Drop for PgLock {
    fn drop(&mut self) {
        // On a thread that may block: somebody may be taking the lock again just now.
        if let Some(guard) = self.guard.upgrade() {
            self.handle.spawn_blocking(move || drop(guard.held().take()));
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = sql_types::BigInt)]
    fence: i64,
    #[diesel(sql_type = sql_types::Text)]
    holder: String,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = sql_types::Bool)]
    is_ours: bool,
}

impl Guard {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock; on a thread that may block.
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder's words.
    pub(super) fn take(
        self: &Arc<Guard>,
        dialler: &Dialler,
        holder: &str,
        now: Micros,
    ) -> Result<Box<dyn CollectorLock>, StoreError> {
        let began = Instant::now();
        loop {
            let mut held = self.held();
            if held.is_none()
                && let Some(link) = try_lock(dialler)?
            {
                let taken = count_up(link, dialler, holder, now)?;
                let (guard, handle, fence) = (Arc::downgrade(self), dialler.handle.clone(), taken.fence);
                *held = Some(taken);
                return Ok(Box::new(PgLock { guard, handle, fence }));
            }
            drop(held);
            if began.elapsed() >= PATIENCE {
                let mut link = dialler.dial()?;
                let taken = link.run(&dialler.location, |connection| Ok(read(connection, "")?))?;
                return Err(StoreError::Held { holder: taken.map(|taken| taken.holder).unwrap_or_default() });
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The number that this store's transactions must find, `None` when it holds no lock. Takes the
    /// lock again where its connection was lost; on a thread that may block.
    ///
    /// # Errors
    /// [`StoreError::Held`] when another collector has taken over.
    pub(super) fn fence(&self, dialler: &Dialler) -> Result<Option<i64>, StoreError> {
        let mut held = self.held();
        let Some(own) = held.as_mut() else { return Ok(None) };
        if own.link.is_sound() {
            return Ok(Some(own.fence));
        }
        let fence = own.fence;
        match try_lock(dialler)? {
            Some(mut link) => {
                link.run(&dialler.location, |connection| check(connection, fence))?;
                own.link = link;
            }
            None => {
                // Ours may not have been noticed dead yet; the number tells.
                let mut link = dialler.dial()?;
                link.run(&dialler.location, |connection| check(connection, fence))?;
            }
        }
        Ok(Some(fence))
    }
}

/// A connection that holds the lock, or `None` when another one does.
fn try_lock(dialler: &Dialler) -> Result<Option<Link>, StoreError> {
    let mut link = dialler.dial()?;
    // The table's oid tells databases in schemas of their own apart.
    let query = "SELECT pg_try_advisory_lock(-1129270851, \
                 ('collector_lock'::regclass::oid::bigint - 2147483648)::int) AS is_ours";
    let is_ours = link.run(&dialler.location, |connection| {
        diesel::connection::SimpleConnection::batch_execute(connection, KEEPALIVE)?;
        Ok(sql_query(query).get_result::<Answer>(connection)?.is_ours)
    })?;
    Ok(is_ours.then_some(link))
}

fn count_up(mut link: Link, dialler: &Dialler, holder: &str, now: Micros) -> Result<Held, StoreError> {
    let fence = link.run(&dialler.location, |connection| {
        let query = "UPDATE collector_lock SET fence = fence + 1, holder = $1, taken_at = $2 WHERE id = 1 \
                     RETURNING fence, holder";
        let query = sql_query(query).bind::<sql_types::Text, _>(holder).bind::<Moment, _>(now);
        Ok(query.get_result::<Taken>(connection)?.fence)
    })?;
    Ok(Held { link, fence })
}

fn read(connection: &mut Connection, lock: &str) -> diesel::QueryResult<Option<Taken>> {
    let query = format!("SELECT fence, holder FROM collector_lock WHERE id = 1 {lock}");
    sql_query(query).get_result::<Taken>(connection).optional()
}

/// Stops a transaction of somebody who does not hold the lock any more; holds up a takeover until
/// the transaction is through.
pub(super) fn check(connection: &mut Connection, fence: i64) -> Result<(), Fault> {
    match read(connection, "FOR SHARE")? {
        Some(taken) if taken.fence == fence => Ok(()),
        Some(taken) => Err(StoreError::Held { holder: taken.holder }.into()),
        None => Err(StoreError::Row { table: "collector_lock", message: "its row is gone".to_owned() }.into()),
    }
}
