//! Which server, database and role a `postgres://` URL means, and how far the server is trusted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::super::StoreError;

/// Longest wait for a server that does not answer, unless the URL says otherwise (`connect_timeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sent data may stay unacknowledged before the server counts as gone (`tcp_user_timeout`).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Read where the URL has no password, so that none need be written into a file or a command.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// The words of `sslmode`, with libpq's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can; says nothing of who answers. The default.
    Prefer,
    /// Encrypted; who answers is checked only where `sslrootcert` says by whom.
    Require,
    /// A certificate that a known authority signed, whatever name it bears.
    VerifyCa,
    /// A certificate that a known authority signed for this host.
    VerifyFull,
}

impl FromStr for TlsMode {
    type Err = ();

    fn from_str(word: &str) -> Result<TlsMode, ()> {
        match word {
            "disable" => Ok(TlsMode::Disable),
            "prefer" => Ok(TlsMode::Prefer),
            "require" => Ok(TlsMode::Require),
            "verify-ca" => Ok(TlsMode::VerifyCa),
            "verify-full" => Ok(TlsMode::VerifyFull),
            _ => Err(()),
        }
    }
}

/// Where a database is.
#[derive(Clone)]
pub(super) struct Location {
    /// Everything but TLS, which is ours.
    pub config: Config,
    pub tls: TlsMode,
    /// Authorities to trust besides the public web's.
    pub root_cert: Option<PathBuf>,
    /// The URL for people: no password, no parameters.
    pub shown: String,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Location {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE`.
    ///
    /// # Errors
    /// [`StoreError::Url`] with words that never hold a password.
    pub(super) fn parse(url: &str) -> Result<Location, StoreError> {
        let fault = |message: &str| super::super::url_fault(url, message);
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut tls, mut root_cert, mut others) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let text = percent_decode_str(value).decode_utf8().map_err(|_| fault("a parameter is not UTF-8"))?;
            match name {
                "sslmode" => {
                    let mode = text.parse::<TlsMode>();
                    tls =
                        Some(mode.map_err(|()| {
                            fault("sslmode is one of disable, prefer, require, verify-ca, verify-full")
                        })?);
                }
                "sslrootcert" => root_cert = Some(PathBuf::from(text.into_owned())),
                _ => others.push(parameter),
            }
        }
        let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            fault(&cause)
        })?;
        if config.get_hosts().is_empty() {
            return Err(fault("the host is missing (a folder of sockets is ?host=/var/run/postgresql)"));
        }
        if config.get_dbname().is_none() {
            return Err(fault("the name of the database is missing"));
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var(PASSWORD_VARIABLE)
        {
            config.password(password);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("candlewick");
        }
        // TLS is negotiated before the connection is handed over.
        config.ssl_mode(SslMode::Disable);
        let shown = shown(&config);
        Ok(Location { config, tls: tls.unwrap_or(TlsMode::Prefer), root_cert, shown })
    }

    /// The role's name; the database's where the system must be asked.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or("the user of this process")
    }

    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }
}

/// `postgres://user@host:port/database`, made from what was understood and of nothing else.
fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(at, host)| {
            let name = match host {
                Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
                Host::Tcp(name) => name.clone(),
                Host::Unix(folder) => folder.display().to_string().replace('/', "%2F"),
            };
            match ports.get(at).or(ports.first()) {
                None | Some(5432) => name,
                Some(port) => format!("{name}:{port}"),
            }
        })
        .collect();
    let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    format!("postgres://{user}{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Location {
        Location::parse(url).unwrap()
    }

    #[test]
    fn a_url_is_shown_without_its_password_and_parameters() {
        let shown = |url| parse(url).shown;
        assert_eq!(shown("postgres://me:secret@host/candles"), "postgres://me@host/candles");
        assert_eq!(shown("postgresql://me:s%40c%2Fret@host:5433/candles"), "postgres://me@host:5433/candles");
        assert_eq!(
            shown("postgres://host/candles?user=me&password=secret&sslmode=require"),
            "postgres://me@host/candles"
        );
        assert_eq!(shown("postgres://me@%2Frun%2Fpostgresql/c"), "postgres://me@%2Frun%2Fpostgresql/c");
        assert_eq!(shown("postgres:///c?host=/run/postgresql&user=me"), "postgres://me@%2Frun%2Fpostgresql/c");
        assert_eq!(format!("{:?}", parse("postgres://me:secret@host/c")), "postgres://me@host/c");
    }

    #[test]
    fn tls_is_preferred_unless_the_url_says_otherwise() {
        let location = parse("postgres://me:x@host/c?sslmode=verify-full&sslrootcert=/etc/ssl/my%20ca.pem");
        assert_eq!(
            (location.tls, location.root_cert),
            (TlsMode::VerifyFull, Some(PathBuf::from("/etc/ssl/my ca.pem")))
        );
        let location = parse("postgres://me@host/c?connect_timeout=3");
        assert_eq!((location.tls, location.root_cert), (TlsMode::Prefer, None));
        assert_eq!(location.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_with_it() {
        let words = |url: &str| {
            let words = Location::parse(url).unwrap_err().to_string();
            assert!(!words.contains("secret") && !words.contains("s%65cret"), "{words}");
            words
        };
        let advice = "; write sqlite://PATH (sqlite://candlewick.db) or postgres://USER@HOST/DATABASE";
        let expect = |url: &str, shown: &str, message: &str| {
            assert_eq!(words(url), format!("bad database URL {shown:?}: {message}{advice}"));
        };
        let modes = "sslmode is one of disable, prefer, require, verify-ca, verify-full";
        expect("postgres://me:secret@host/c?sslmode=yes", "postgres://host/c", modes);
        expect("postgres://me:secret@host", "postgres://host", "the name of the database is missing");
        let host = "the host is missing (a folder of sockets is ?host=/var/run/postgresql)";
        expect("postgres:///c?password=secret", "postgres:///c", host);
        expect("postgres://me:s%65cret@host/c?colour=red", "postgres://host/c", "unknown option `colour`");
        expect("postgres://me:se/cret@host:many/c", "postgres://host:many/c", "invalid value for option `port`");
    }
}
