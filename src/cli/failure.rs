//! How a command ends when it does not end well: the exit code is decided where the fault is found.

use std::io;
use std::process::ExitCode;

/// Why a subcommand stopped.
#[derive(Debug)]
pub enum Failure {
    /// The arguments or the input cannot be used as they are; exit code 2.
    Usage(anyhow::Error),
    /// The command was right and did not succeed; exit code 1.
    Failed(anyhow::Error),
    /// Whoever read our stdout went away (`candlewick ... | head`); exit code 0, without words.
    ReaderGone,
}

impl Failure {
    /// A fault of usage, from its words.
    pub fn usage(words: impl std::fmt::Display) -> Failure {
        Failure::Usage(anyhow::anyhow!("{words}"))
    }

    /// The same as a fault of usage, where the input is to blame.
    pub fn into_usage(self) -> Failure {
        match self {
            Failure::Failed(error) => Failure::Usage(error),
            other => other,
        }
    }

    /// Says the words on stderr and gives the exit code.
    pub fn report(self) -> ExitCode {
        use std::io::Write;
        let (error, code) = match self {
            Failure::Usage(error) => (error, ExitCode::from(2)),
            Failure::Failed(error) => (error, ExitCode::from(1)),
            Failure::ReaderGone => return ExitCode::SUCCESS,
        };
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        code
    }
}

/// What `?` means in a subcommand: it failed. Faults of usage are named with [`OrUsage`].
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        match error.downcast_ref::<io::Error>() {
            Some(io) if io.kind() == io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        anyhow::Error::new(error).into()
    }
}

/// Turns an error into [`Failure::Usage`].
pub trait OrUsage<T> {
    /// The value, or a fault of usage with the error's words.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    fn or_usage(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrUsage<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Usage(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_stdout_is_no_failure_and_other_errors_are() {
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(gone, Failure::ReaderGone), "{gone:?}");
        let failed = Failure::from(io::Error::from(io::ErrorKind::NotFound));
        assert!(matches!(failed, Failure::Failed(_)), "{failed:?}");
        let usage = Err::<(), _>(io::Error::other("no such file")).or_usage().unwrap_err();
        assert!(matches!(usage, Failure::Usage(ref e) if e.to_string() == "no such file"), "{usage:?}");
    }
}
