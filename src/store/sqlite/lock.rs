//! The one-collector lock: an advisory lock on `<database>.lock`, with the holder's words inside.
//!
//! The operating system frees it when the holder ends, however it ends; the file stays behind and
//! means nothing by itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{CollectorLock, StoreError};

/// A locked file; dropping it unlocks.
#[derive(Debug)]
struct FileLock(#[allow(dead_code)] File); // held, never read

impl CollectorLock for FileLock {}

/// The lock of a database that lives in this process only.
#[derive(Debug)]
struct MemoryLock(Arc<AtomicBool>);

impl CollectorLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Locks the file beside `database`.
pub(super) fn lock_file(database: &Path, holder: &str) -> Result<Box<dyn CollectorLock>, StoreError> {
    // Two spellings of one path must meet at one lock.
    let mut name = database.canonicalize().unwrap_or_else(|_| database.to_path_buf()).into_os_string();
    name.push(".lock");
    let path = PathBuf::from(name);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| refusal(&path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Where locks also keep readers away, the holder stays unknown.
            let holder = match file.read_to_string(&mut text) {
                Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
                _ => format!("unknown, see {}", path.display()),
            };
            return Err(StoreError::Held { holder });
        }
        Err(TryLockError::Error(error)) => return Err(refusal(&path, &error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{holder}")?;
        file.flush()
    };
    write(&mut file).map_err(|error| refusal(&path, &error))?;
    Ok(Box::new(FileLock(file)))
}

/// Locks a database in memory.
pub(super) fn lock_memory(held: &Arc<AtomicBool>) -> Result<Box<dyn CollectorLock>, StoreError> {
    if held.swap(true, Ordering::AcqRel) {
        return Err(StoreError::Held { holder: "a collector in this process".to_owned() });
    }
    Ok(Box::new(MemoryLock(Arc::clone(held))))
}

fn refusal(path: &Path, error: &std::io::Error) -> StoreError {
    let words = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(words),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full(words),
        _ => StoreError::Unavailable { url: path.display().to_string(), message: words },
    }
}
