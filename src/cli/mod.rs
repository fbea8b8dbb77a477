//! The command line: one file per subcommand, each with its `Args` and a `run`.
//!
//! Machine output goes to stdout as JSON lines or CSV, words to stderr. Exit codes: 0 done,
//! 1 failed, 2 usage or bad input; a reader that closes our stdout early is no failure.

pub mod aggregate;
pub mod audit;
pub mod backfill;
pub mod candles;
pub mod config;
pub mod database;
pub mod decode;
pub mod demo;
pub mod events;
pub mod exchanges;
pub mod explain;
pub mod failure;
pub mod gaps;
pub mod import;
pub mod lines;
pub mod listing;
pub mod live_view;
pub mod migrate;
pub mod progress;
pub mod prune;
pub mod run;
pub mod shortfall;
pub mod sim;
pub mod status;
pub mod stop;
pub mod symbols;
pub mod tickers;
pub mod trade_rows;
pub mod trades;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use crate::control::when;
pub use failure::Failure;

/// Keeps OHLCV candles and trades of many exchanges complete, exact and up to date.
#[derive(Debug, Parser)]
#[command(name = "candlewick", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    database: database::DatabaseArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work: simulated exchanges, a collector and a database, in one process.
    Demo(demo::Args),
    /// Keep everything that is wanted complete and live: the daemon.
    Run(run::Args),
    /// Serve simulated exchanges on a port.
    Sim(sim::Args),
    /// Read a symbol's history now, with a progress bar.
    Backfill(backfill::Args),
    /// Write candles or trades of a file into the database.
    Import(import::Args),
    /// Print what an exchange's answer or stream frames say, one JSON object per line.
    Decode(decode::Args),
    /// Build candles from trades: CSV, lines of decode, or an exchange's answer.
    Aggregate(aggregate::Args),
    /// Show what each exchange can do, or switch one on or off.
    Exchanges(exchanges::Args),
    /// Say what to collect.
    Symbols(symbols::Args),
    /// Print candles of a symbol, in any timeframe that what is stored adds up to.
    Candles(candles::Args),
    /// Print stored trades of a symbol.
    Trades(trades::Args),
    /// Print the newest tickers of symbols of which only the ticker is wanted.
    Tickers(tickers::Args),
    /// Show what is missing, since when and why, and prove that nothing else is.
    Gaps(gaps::Args),
    /// Compare what is stored with the exchanges, and put right what differs.
    Audit(audit::Args),
    /// Tell where one candle came from, or why it is not there.
    Explain(explain::Args),
    /// Print what happened besides candles: gaps, revisions, changes of the mode.
    Events(events::Args),
    /// Remove what is older than a time, and want it no more.
    Prune(prune::Args),
    /// Show what the collector last said of itself.
    Status(status::Args),
    /// Create the database, or bring its schema up to date.
    Migrate,
    /// Look at the configuration.
    Config(config::Args),
}

/// Reads the process's arguments, runs the subcommand and gives the exit code. Usage errors that
/// the argument parser finds end the process with code 2 at once.
pub fn run() -> ExitCode {
    let Cli { command, database } = Cli::parse();
    let outcome = match command {
        Command::Demo(args) => demo::run(args, &database),
        Command::Run(args) => run::run(args, &database),
        Command::Sim(args) => sim::run(args),
        Command::Backfill(args) => backfill::run(args, &database),
        Command::Import(args) => import::run(args, &database),
        Command::Decode(args) => decode::run(args),
        Command::Aggregate(args) => aggregate::run(args),
        Command::Exchanges(args) => exchanges::run(args, &database),
        Command::Symbols(args) => symbols::run(args, &database),
        Command::Candles(args) => candles::run(args, &database),
        Command::Trades(args) => trades::run(args, &database),
        Command::Tickers(args) => tickers::run(args, &database),
        Command::Gaps(args) => gaps::run(args, &database),
        Command::Audit(args) => audit::run(args, &database),
        Command::Explain(args) => explain::run(args, &database),
        Command::Events(args) => events::run(args, &database),
        Command::Prune(args) => prune::run(args, &database),
        Command::Status(args) => status::run(args, &database),
        Command::Migrate => migrate::run(&database),
        Command::Config(args) => config::run(args, &database),
    };
    outcome.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}
