//! What can go wrong at a venue, classed where its bytes are read.

use std::time::Duration;

/// What went wrong, judged where the bytes were read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct VenueError {
    /// The class that decides what happens next.
    pub kind: ErrorKind,
    /// The venue's own words, or what was wrong with its bytes; at most a few hundred characters.
    pub message: String,
}

impl VenueError {
    /// An error of a class, its message cut to a printable length.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> VenueError {
        let mut message: String = message.into();
        if let Some((cut, _)) = message.char_indices().nth(300) {
            message.truncate(cut);
            message.push('…');
        }
        VenueError { kind, message }
    }

    /// Whether and when to ask again.
    pub fn retry(&self) -> Retry {
        match self.kind {
            ErrorKind::UnknownSymbol | ErrorKind::BadRequest | ErrorKind::OutOfHistory => Retry::Never,
            ErrorKind::RateLimited { retry_after } | ErrorKind::Banned { retry_after } => {
                retry_after.map_or(Retry::Again, Retry::After)
            }
            ErrorKind::Unavailable | ErrorKind::Malformed => Retry::Again,
        }
    }
}

/// Classes of venue errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The venue does not know the market.
    UnknownSymbol,
    /// We asked something wrong; repeating it is useless.
    BadRequest,
    /// The range lies before what the venue serves.
    OutOfHistory,
    /// Too many requests; slow down.
    RateLimited {
        /// The venue's own wait.
        retry_after: Option<Duration>,
    },
    /// Locked out for a while.
    Banned {
        /// Until the ban ends.
        retry_after: Option<Duration>,
    },
    /// Down, busy, in maintenance.
    Unavailable,
    /// Bytes that are not what the venue promised (HTML, truncated JSON, wrong types).
    Malformed,
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ErrorKind::UnknownSymbol => "unknown symbol",
            ErrorKind::BadRequest => "bad request",
            ErrorKind::OutOfHistory => "out of history",
            ErrorKind::RateLimited { .. } => "rate limited",
            ErrorKind::Banned { .. } => "banned",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Malformed => "malformed reply",
        })
    }
}

/// The retry class of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// After the usual back-off.
    Again,
    /// Not before this long.
    After(Duration),
    /// Never: the same request fails again.
    Never,
}
