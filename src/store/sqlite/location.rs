//! Which file a database URL means.

use std::path::{Path, PathBuf};

use super::super::{Access, StoreError, url_fault as fault};

/// Where a database lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// In this process only, gone with its last user.
    Memory,
    File(PathBuf),
}

impl Location {
    /// Reads `sqlite://PATH`, `sqlite://:memory:` or a bare path that ends in `.db`.
    pub(super) fn parse(url: &str) -> Result<Location, StoreError> {
        let path = match url.strip_prefix("sqlite://") {
            Some(path) => path,
            None if url.ends_with(".db") && !url.contains("://") => url,
            None => return Err(fault(url, "no SQLite URL")),
        };
        match path {
            "" => Err(fault(url, "the path is missing")),
            ":memory:" => Ok(Location::Memory),
            path if path.contains('\0') => Err(fault(url, "the path contains a NUL character")),
            path => Ok(Location::File(PathBuf::from(path))),
        }
    }

    /// The text SQLite opens. A plain path is created when absent; a URI says what may be done.
    pub(super) fn open_text(&self, access: Access) -> String {
        match (self, access) {
            (Location::Memory, _) => ":memory:".to_owned(),
            (Location::File(path), Access::Create) => format!("file:{}?mode=rwc", encode(path)),
            (Location::File(path), Access::ReadWrite) => format!("file:{}?mode=rw", encode(path)),
            (Location::File(path), Access::ReadOnly) => format!("file:{}?mode=ro", encode(path)),
        }
    }
}

/// A path inside a URI: the characters that would end it are escaped.
fn encode(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_url_names_its_file() {
        let file = |path: &str| Ok(Location::File(PathBuf::from(path)));
        let parse = |url: &str| Location::parse(url).map_err(|error| error.to_string());
        assert_eq!(parse("sqlite://candles.db"), file("candles.db"));
        assert_eq!(parse("sqlite:///var/lib/candles"), file("/var/lib/candles"));
        assert_eq!(parse("data/candles.db"), file("data/candles.db"));
        assert_eq!(parse("sqlite://:memory:"), Ok(Location::Memory));
        assert_eq!(
            parse("sqlite://"),
            Err("bad database URL \"sqlite://\": the path is missing; write sqlite://PATH (sqlite://candlewick.db) \
                 or postgres://USER@HOST/DATABASE"
                .to_owned())
        );
    }

    #[test]
    fn a_path_is_escaped_inside_the_uri_and_a_password_never_leaves_the_url() {
        let location = Location::File(PathBuf::from("50% what?#.db"));
        assert_eq!(location.open_text(Access::ReadOnly), "file:50%25 what%3f%23.db?mode=ro");
        let StoreError::Url { url, .. } = fault("postgres://me:secret@host/db", "x") else { panic!() };
        assert_eq!(url, "postgres://host/db");
    }
}
