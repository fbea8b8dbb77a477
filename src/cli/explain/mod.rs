//! `candlewick explain`: where one candle came from and why it is believed, or why it is not there and
//! what is being done.
//!
//! Reads only, and only the database. An absent candle is no failure.

mod story;
mod telling;
mod values;

use anyhow::Context;
use chrono::{DateTime, Utc};

use self::story::Story;
use super::database::{DatabaseArgs, block_on};
use super::lines::{self, Time};
use super::listing::say;
use super::{Failure, gaps, when};
use crate::config::Config;
use crate::market::Timeframe;
use crate::store::Access;
use crate::store::inventory::grid_of;
use crate::store::reader::Reader;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exchange, as `candlewick exchanges` lists it.
    exchange: String,
    /// Symbol, such as BTC/USD or AAPL.
    symbol: String,
    /// Open time of the candle, or any time inside it.
    #[arg(value_name = "TIME", value_parser = when::parse)]
    time: DateTime<Utc>,
    /// Timeframe.
    #[arg(short = 't', long = "timeframe", value_name = "TF")]
    timeframe: Timeframe,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How an explanation is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    /// Sentences.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Tells the story of one bucket.
///
/// # Errors
/// Usage for names that are not kept; failed when the database cannot be read.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    block_on(async {
        let config = database.load_config().unwrap_or_else(|_| Config::default());
        let store = database.open(Access::ReadOnly).await?;
        let symbol = Reader::new(store.clone()).find(&args.exchange, &args.symbol).await?;
        let now = gaps::latest(&*store, std::slice::from_ref(&symbol)).await?;
        let open_time = grid_of(&symbol, args.timeframe).bucket_at(args.time);
        if open_time != args.time {
            say(format_args!(
                "{} lies inside the candle of {} that opens at {}",
                Time(args.time),
                args.timeframe,
                Time(open_time)
            ));
        }
        let story = Story::gather(&*store, &config, symbol, args.timeframe, open_time, now).await?;
        let mut out = std::io::stdout().lock();
        match args.format {
            Format::Json => lines::write(&mut out, &story)?,
            Format::Text => telling::tell(&story, &mut out).context("cannot write")?,
        }
        Ok(())
    })
}
