//! Which database and which configuration a command works with, and the runtime it works on.
//!
//! The database is the first of: `--database`, `CANDLEWICK_DATABASE`, `database` in the
//! configuration file, `sqlite://candlewick.db` in the working directory. The configuration file is
//! the first of: `--config`, `CANDLEWICK_CONFIG`, `candlewick.toml`, `config/candlewick.toml`; without
//! one the defaults hold.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::Failure;
use super::failure::OrUsage;
use crate::config::{Config, Secret};
use crate::store::{self, Access, Store, StoreError};

/// Names the database where the option does not.
const VARIABLE: &str = "CANDLEWICK_DATABASE";

/// Names the Redis where the option does not.
const REDIS_VARIABLE: &str = "CANDLEWICK_REDIS";

/// The token of the HTTP interface.
const TOKEN_VARIABLE: &str = "CANDLEWICK_WEB_TOKEN";

/// Names the configuration file where the option does not.
const CONFIG_VARIABLE: &str = "CANDLEWICK_CONFIG";

/// Where a configuration is looked for when none is named.
const USUAL_FILES: [&str; 2] = ["candlewick.toml", "config/candlewick.toml"];

/// Options that every command takes, before or after its name.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct DatabaseArgs {
    /// Database, such as sqlite://candlewick.db or postgres://USER@HOST/DATABASE [env:
    /// CANDLEWICK_DATABASE] [default: that of the configuration, else sqlite://candlewick.db].
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// Redis to mirror status, candles and commands to, such as redis://127.0.0.1:6379 [env:
    /// CANDLEWICK_REDIS] [default: that of the configuration, else none].
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    /// Configuration file [env: CANDLEWICK_CONFIG] [default: candlewick.toml or
    /// config/candlewick.toml, where there is one].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The database of the option, whatever environment and configuration say.
    pub fn named(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The Redis of the option or the environment.
    pub fn redis(&self) -> Option<String> {
        choose(self.redis.clone(), std::env::var(REDIS_VARIABLE).ok())
    }

    /// The configuration file: the one named, else the usual one that exists.
    pub fn config_file(&self) -> Option<PathBuf> {
        let usual = || USUAL_FILES.iter().map(PathBuf::from).find(|path| path.is_file());
        self.named_config().or_else(usual)
    }

    /// The configuration file of the option or the environment.
    fn named_config(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os(CONFIG_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(variable)
    }

    /// The configuration, with what options and environment say in its place.
    ///
    /// # Errors
    /// Usage: every fault of the file, or that of the environment.
    pub fn load_config(&self) -> Result<Config, Failure> {
        let mut config = match self.config_file() {
            Some(path) => load(&path)?,
            None => Config::default(),
        };
        config.redis.url = self.redis().or(config.redis.url);
        if let Some(token) = choose(None, std::env::var(TOKEN_VARIABLE).ok()) {
            let fault = |words| Failure::usage(format!("{TOKEN_VARIABLE}: {words}"));
            config.web.token = Some(Secret::new(&token).map_err(fault)?);
        }
        config.database = choose(self.database.clone(), std::env::var(VARIABLE).ok()).unwrap_or(config.database);
        Ok(config)
    }

    /// The database's URL. A configuration that was not named is only read when it decides.
    ///
    /// # Errors
    /// Usage: every fault of the configuration.
    pub fn url(&self) -> Result<String, Failure> {
        match choose(self.database.clone(), std::env::var(VARIABLE).ok()) {
            Some(url) if self.named_config().is_none() => Ok(url),
            _ => Ok(self.load_config()?.database),
        }
    }

    /// Opens the database.
    ///
    /// # Errors
    /// Usage for an address that names no database; failed for one that cannot be opened.
    pub async fn open(&self, access: Access) -> Result<Arc<dyn Store>, Failure> {
        Ok(store::open(&self.url()?, access).await?)
    }
}

/// An empty variable is one that is not set; an empty option is a mistake the store names.
fn choose(option: Option<String>, variable: Option<String>) -> Option<String> {
    option.or(variable.filter(|text| !text.is_empty()))
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).with_context(|| path.display().to_string()).or_usage()
}

/// An address that cannot be read is the asker's; everything else is the database's.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Url { .. } => Failure::Usage(error.into()),
            _ => Failure::Failed(error.into()),
        }
    }
}

/// Runs a command's work to its end on a runtime of its own: one thread, and those that may block.
///
/// # Errors
/// Those of the work; failed when the system gives no runtime.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system gives no asynchronous runtime")?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_goes_before_the_variable_and_an_empty_variable_is_none() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(choose(some("sqlite://a.db"), some("sqlite://b.db")), some("sqlite://a.db"));
        assert_eq!(choose(None, some("sqlite://b.db")), some("sqlite://b.db"));
        assert_eq!(choose(None, some("")), None);
        assert_eq!(choose(some(""), some("sqlite://b.db")), some(""));
    }

    #[test]
    fn a_bad_address_is_a_fault_of_usage_and_a_missing_file_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let open = |url: String| {
            let args = DatabaseArgs { database: Some(url), ..DatabaseArgs::default() };
            block_on(async move { args.open(Access::ReadOnly).await.map(|store| store.url().to_owned()) })
        };
        let bad = open("mysql://host/db".to_owned());
        assert!(matches!(bad, Err(Failure::Usage(_))), "{bad:?}");
        let missing = open(format!("sqlite://{}/none.db", folder.path().display()));
        assert!(matches!(missing, Err(Failure::Failed(_))), "{missing:?}");
    }
}
