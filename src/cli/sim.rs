//! `candlewick sim`: the simulated exchanges on a port.
//!
//! [`Hosted`] runs them on a thread of their own, so that they never compete with a collector in the
//! same process for its thread.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use chrono::Utc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::Failure;
use super::lines::Time;
use super::stop::StopRequest;
use crate::clock::Clock;
use crate::market::Symbol;
use crate::sim::{Fault, Replay, ScriptError, SimConfig, Simulator, Venue, parse_script, server};

/// Arguments of `sim`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Which exchanges, separated by commas [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    exchanges: Vec<Venue>,
    /// How many markets each exchange lists.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    symbols: u16,
    /// The same seed gives the same markets.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Simulated seconds in a second.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_speed)]
    speed: f64,
    /// Recorded trades (CSV: time,price,amount,id,side) in place of an invented market; the clock
    /// starts with the recording.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// The market that is replayed.
    #[arg(long, value_name = "SYMBOL", default_value = "BTC/USDT", requires = "replay")]
    replay_symbol: Symbol,
    /// What goes wrong, and when: TOML with [[fault]] tables.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Days of trading before the start.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(..=3650))]
    history_days: u32,
}

/// Serves until it is asked to stop.
///
/// # Errors
/// Usage: files that cannot be used, with every fault. Failed: the port.
pub fn run(args: Args) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let replay = args.replay.as_deref().and_then(|path| read_replay(path, &args.replay_symbol, &mut faults));
    let script = args.faults.as_deref().and_then(|path| read_script(path, &mut faults));
    if !faults.is_empty() {
        return Err(Failure::usage(faults.join("\n")));
    }
    let start = replay.as_ref().map_or_else(Utc::now, Replay::start);
    let mut config = SimConfig {
        symbols_per_exchange: usize::from(args.symbols),
        seed: args.seed,
        history_days: args.history_days,
        faults: script.unwrap_or_default(),
        replay,
        ..SimConfig::default()
    };
    if !args.exchanges.is_empty() {
        config.exchanges = args.exchanges;
    }
    let mounted = config.exchanges.iter().map(Venue::to_string).collect::<Vec<_>>().join(", ");
    let stop = StopRequest::listen().context("cannot listen to signals")?;
    let hosted = Hosted::start(config, Clock::scaled(start, args.speed), args.listen)?;
    let mut out = io::stdout();
    writeln!(
        out,
        "{} simulates {mounted} with {} markets each; its clock starts at {} and runs {} times as fast as real time",
        hosted.url(),
        args.symbols,
        Time(start),
        args.speed
    )?;
    out.flush()?;
    hosted.runtime.block_on(stop.asked());
    hosted.stop();
    Ok(())
}

/// A simulator on a port, with a thread of its own.
#[derive(Debug)]
pub struct Hosted {
    runtime: Runtime,
    server: server::ServerHandle,
}

impl Hosted {
    /// Starts it.
    ///
    /// # Errors
    /// Failed: the address is taken or not ours, in words.
    pub fn start(config: SimConfig, clock: Clock, listen: SocketAddr) -> Result<Hosted, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("simulator")
            .enable_all()
            .build()
            .context("the system gives no asynchronous runtime")?;
        let _context = runtime.enter();
        let listener = runtime.block_on(TcpListener::bind(listen)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => anyhow!(
                "{listen} is in use by another program, perhaps another simulator; \
                 stop it, or take a free port with --listen {}:0",
                listen.ip()
            ),
            io::ErrorKind::PermissionDenied => {
                anyhow!("no permission to listen on {listen}; ports from 1024 on need none")
            }
            _ => anyhow::Error::new(error).context(format!("cannot listen on {listen}")),
        })?;
        let server = server::serve(listener, Simulator::new(config, clock)).context("the listener has no address")?;
        drop(_context);
        Ok(Hosted { runtime, server })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Closes all connections and ends its thread.
    pub fn stop(self) {
        self.runtime.block_on(self.server.stop());
    }
}

/// Reads a factor of time.
pub fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && (0.01..=100_000.0).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 0.01 to 100000, such as 60: a minute in a second".to_owned()),
    }
}

fn read_replay(path: &Path, symbol: &Symbol, faults: &mut Vec<String>) -> Option<Replay> {
    let name = path.display();
    match File::open(path) {
        Ok(file) => Replay::read(symbol.clone(), BufReader::new(file))
            .map_err(|error| faults.extend(error.to_string().lines().map(|line| format!("{name}: {line}"))))
            .ok(),
        Err(error) => {
            faults.push(format!("{name}: cannot be read: {error}"));
            None
        }
    }
}

fn read_script(path: &Path, faults: &mut Vec<String>) -> Option<Vec<Fault>> {
    let name = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) => parse_script(&text)
            .map_err(|ScriptError(mistakes)| faults.extend(mistakes.iter().map(|mistake| format!("{name}:{mistake}"))))
            .ok(),
        Err(error) => {
            faults.push(format!("{name}: cannot be read: {error}"));
            None
        }
    }
}
