//! A folder with a database in it, and the program run there.

use std::future::Future;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use candlewick::store::{self, Access, Store};
use tempfile::TempDir;

/// What a run of the program left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn of(Output { status, stdout, stderr }: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The lines of stdout.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// The same after a success; anything else ends the test.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// A working directory without a configuration and without a database.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs the program in this folder with a text on its standard input.
    pub fn run_on(&self, line: &str, input: &str) -> Ran {
        use std::io::Write;
        let mut child =
            self.command(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Runs the program in this folder; words of the command line are separated by white space.
    pub fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[])
    }

    pub fn run_with(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        Ran::of(self.command(line).envs(variables.iter().copied()).output().unwrap())
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_candlewick"));
        for variable in ["CANDLEWICK_CONFIG", "CANDLEWICK_DATABASE", "CANDLEWICK_REDIS", "CANDLEWICK_WEB_TOKEN"] {
            command.env_remove(variable);
        }
        command.args(line.split_whitespace()).current_dir(self.0.path());
        command
    }

    /// Works on the folder's `candlewick.db` from outside the program.
    pub fn with_store<T, F: Future<Output = T>>(&self, work: impl FnOnce(Arc<dyn Store>) -> F) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}", self.path("candlewick.db").display());
        runtime.block_on(async { work(store::open(&url, Access::Create).await.unwrap()).await })
    }

    /// Runs one statement on the folder's `candlewick.db`, as somebody with another tool would.
    pub fn sql(&self, statement: &str) {
        use diesel::connection::SimpleConnection;
        use diesel::{Connection, SqliteConnection};
        let path = self.path("candlewick.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.batch_execute(statement).unwrap();
    }
}
