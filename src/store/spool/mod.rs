//! The spool: what is to be written while a server is away, kept in a file of our own (SQLite) and
//! replayed first in, first out.
//!
//! Promises: what [`Spool::append`] has acknowledged survives a power cut (`synchronous = FULL`); what
//! is read comes in the order it was appended and stays until it is removed; one program at a time
//! uses a file; nothing is ever appended to, or replayed from, a file that is damaged or that speaks
//! of another database. Does not write to the server and does not decide when: the writer does.

pub mod backlog;
mod file;
mod record;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::Utc;

use self::file::NewJob;
use super::fault::Fault;
use super::sqlite::Lane;
use super::{ModeChange, SeriesChange, Store, StoreError, SymbolId, TradesChange};

pub use self::backlog::{Backlog, Depth};
pub use self::record::Owner;
pub(super) use self::record::extent;

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file is something else, or of a newer version.
    #[error(
        "{path} is no spool of this program ({message}); nothing was changed: move it away, or set another [spool] folder in the configuration"
    )]
    Foreign {
        /// The file.
        path: String,
        /// What it is instead.
        message: String,
    },
    /// What waits in the file was meant for another database.
    #[error(
        "the spool {path} belongs to another database ({message}); nothing was replayed: give the configuration the database it \
         belongs to, or, if that is gone, move the file away (what exchanges still serve is fetched again)"
    )]
    OtherDatabase {
        /// The file.
        path: String,
        /// Whose series it speaks of.
        message: String,
    },
    /// The file cannot be read any more.
    #[error(
        "the spool {path} is damaged ({message}); nothing of it was dropped: save what can be saved (sqlite3 {path} .recover), \
         or move it away and start again (what exchanges still serve is fetched again)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// How.
        message: String,
    },
    /// Another program uses the file.
    #[error("the spool {path} is in use by another collector; stop it first, or set another [spool] folder")]
    InUse {
        /// The file.
        path: String,
    },
    /// As much waits as may.
    #[error("the spool holds {bytes} bytes, and [spool] max_bytes allows {limit_bytes}")]
    Full {
        /// What waits.
        bytes: u64,
        /// What may wait.
        limit_bytes: u64,
    },
    /// The file cannot be created, read or written now.
    #[error("the spool {path} cannot be used; check the folder, its permissions and the space left: {source}")]
    File {
        /// The file.
        path: String,
        /// What SQLite or the system says.
        source: StoreError,
    },
    /// What the file belongs to could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SpoolError {
    /// True when trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            SpoolError::Full { .. } => true,
            SpoolError::File { source, .. } | SpoolError::Store(source) => source.is_transient(),
            SpoolError::Foreign { .. }
            | SpoolError::OtherDatabase { .. }
            | SpoolError::Damaged { .. }
            | SpoolError::InUse { .. } => false,
        }
    }
}

/// One sender's changes, to be appended.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Whose they are.
    pub owner: &'a Owner,
    /// Changes of its series.
    pub series: &'a [SeriesChange],
    /// The change of its trades.
    pub trades: Option<&'a TradesChange>,
    /// How it was kept live.
    pub modes: &'a [ModeChange],
}

/// One sender's changes, as they wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// Grows from one to the next, and is never used again.
    pub ticket: i64,
    /// Whose they are.
    pub symbol: SymbolId,
    /// Changes of its series.
    pub series: Vec<SeriesChange>,
    /// The change of its trades.
    pub trades: Option<TradesChange>,
    /// How it was kept live.
    pub modes: Vec<ModeChange>,
}

/// See the module.
pub struct Spool {
    path: PathBuf,
    lane: Lane,
    backlog: Backlog,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The file name for a database: its address without scheme, user and parameters, in harmless characters.
fn file_name(url: &str) -> String {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = address.rsplit_once('@').map_or(address, |(_, host)| host);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = address.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    format!("candlewick-{name}.spool")
}

impl Spool {
    /// Opens the spool of the database at `url` inside `folder`, creating it when absent, and reads
    /// all of it once. The file is readable to its owner alone. At most about `limit_bytes` may wait.
    ///
    /// # Errors
    /// [`SpoolError`]; the file is not changed then.
    pub async fn open(folder: &Path, url: &str, limit_bytes: u64) -> Result<Spool, SpoolError> {
        let path = folder.join(file_name(url));
        let opened = path.clone();
        let opening = tokio::task::spawn_blocking(move || file::open(&opened));
        let connection = opening.await.map_err(|error| damaged(&path, error))??;
        let lane = Lane::new(connection, &shown(&path));
        let lane = lane.map_err(|source| SpoolError::File { path: shown(&path), source })?;
        let spool = Spool { lane, backlog: Backlog::new(limit_bytes), path };
        let depth = spool.run(|connection| file::depth(connection, i64::MAX)).await?;
        spool.backlog.change(|known| *known = Depth { limit_bytes, ..depth });
        let mut after = 0;
        while let Some(last) = spool.read(after, 50).await?.last() {
            after = last.ticket;
        }
        Ok(spool)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much waits.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Makes sure that what an earlier life left behind is meant for this database.
    ///
    /// # Errors
    /// [`SpoolError::OtherDatabase`]; [`SpoolError::Store`] when the database cannot be asked.
    pub async fn belongs_to(&self, store: &dyn Store) -> Result<(), SpoolError> {
        let owners = self.run(file::owners).await?;
        let symbols = if owners.is_empty() { Vec::new() } else { store.symbols().await? };
        for owner in owners {
            let held = store.series_of(owner.symbol).await?;
            let is_held = |series| held.iter().any(|row| (row.id, row.timeframe) == series);
            let same = |row: &&super::SymbolRow| (&row.exchange, &row.symbol) == (&owner.exchange, &owner.name);
            // A symbol that was removed meanwhile is not listed; its series stay.
            let by_id = symbols.iter().find(|row| row.id == owner.symbol).is_none_or(|row| same(&row));
            let by_name = symbols.iter().find(same).is_none_or(|row| row.id == owner.symbol);
            if !(by_id && by_name && owner.series.iter().copied().all(is_held)) {
                let message = format!("it holds rows of {} {}, which has other keys here", owner.exchange, owner.name);
                return Err(SpoolError::OtherDatabase { path: shown(&self.path), message });
            }
        }
        Ok(())
    }

    /// Takes up what an earlier life left behind, for the holder of the database's lock. When others
    /// have held the lock in between (`fence` did not go up by exactly one), what waits may only
    /// add to the database: candles and trades with the proof that they are complete stay, every
    /// statement that takes something back is left out. True when that is so for something.
    ///
    /// # Errors
    /// What the file says.
    pub async fn take_up(&self, fence: Option<i64>) -> Result<bool, SpoolError> {
        self.run(move |connection| file::take_up(connection, fence)).await
    }

    /// Appends changes; they are durable when this returns. Gives the ticket of the last one.
    ///
    /// # Errors
    /// [`SpoolError::Full`], and what the file says; then nothing was appended.
    pub async fn append(&self, entries: &[Entry<'_>]) -> Result<i64, SpoolError> {
        let Depth { bytes, limit_bytes, last, .. } = self.backlog.depth();
        if entries.is_empty() {
            return Ok(last);
        }
        if bytes >= limit_bytes {
            return Err(SpoolError::Full { bytes, limit_bytes });
        }
        let now = Utc::now().timestamp_micros();
        let written = entries.iter().map(|entry| record::row(entry, now));
        let rows = written.collect::<Result<Vec<_>, _>>().map_err(|error| damaged(&self.path, error))?;
        let owners = entries.iter().map(|entry| record::owner_row(entry.owner));
        let owners = owners.collect::<Result<Vec<_>, _>>().map_err(|error| damaged(&self.path, error))?;
        let count = |number: fn(&NewJob) -> i64| rows.iter().map(number).sum::<i64>().max(0) as u64;
        let (jobs, counted, bytes) = (rows.len() as u64, count(|row| row.rows), count(|row| row.bytes));
        let last = self.run(move |connection| file::append(connection, &owners, &rows)).await?;
        self.backlog.change(|depth| {
            (depth.jobs, depth.rows, depth.bytes) = (depth.jobs + jobs, depth.rows + counted, depth.bytes + bytes);
            depth.last = last;
        });
        Ok(last)
    }

    /// The oldest changes that wait, at most `limit` of them, and no series or symbol twice: what may
    /// be one transaction.
    ///
    /// # Errors
    /// What the file says.
    pub async fn oldest(&self, limit: usize) -> Result<Vec<Waiting>, SpoolError> {
        let mut waiting = self.read(0, limit).await?;
        let (mut series, mut symbols) = (BTreeSet::new(), BTreeSet::new());
        let end = waiting.iter().position(|job| {
            let is_first = job.series.iter().all(|change| series.insert(change.series));
            !job.trades.as_ref().is_none_or(|change| symbols.insert(change.symbol)) || !is_first
        });
        waiting.truncate(end.unwrap_or(waiting.len()));
        Ok(waiting)
    }

    /// Removes everything up to a ticket: the server has it, or will never take it.
    ///
    /// # Errors
    /// What the file says; then it is replayed again, which changes nothing.
    pub async fn remove(&self, through: i64) -> Result<(), SpoolError> {
        let gone = self.run(move |connection| file::remove(connection, through)).await?;
        self.backlog.change(|depth| {
            depth.jobs = depth.jobs.saturating_sub(gone.jobs);
            depth.rows = depth.rows.saturating_sub(gone.rows);
            depth.bytes = depth.bytes.saturating_sub(gone.bytes);
            depth.replayed = depth.replayed.max(through);
        });
        Ok(())
    }

    async fn read(&self, after: i64, limit: usize) -> Result<Vec<Waiting>, SpoolError> {
        let rows = self.run(move |connection| file::read(connection, after, limit)).await?;
        rows.into_iter().map(|row| record::waiting(row).map_err(|error| damaged(&self.path, error))).collect()
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut diesel::SqliteConnection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, SpoolError> {
        self.lane.run(work).await.map_err(|fault| file::spool_error(fault, &self.path))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn damaged(path: &Path, cause: impl ToString) -> SpoolError {
    SpoolError::Damaged { path: shown(path), message: cause.to_string() }
}
