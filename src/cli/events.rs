//! `candlewick events`: what happened besides candles, in the order of the numbers, as JSON lines.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use super::Failure;
use super::database::{DatabaseArgs, block_on};
use super::lines;
use super::listing::say;
use crate::store::event::KINDS;
use crate::store::reader::Reader;
use crate::store::{Access, Event};

const AFTER_HELP: &str = "\
One JSON object a line: number, time, exchange, symbol, timeframe (but for
mode_changed), kind, and
  gap_opened       from, to, reason   candles are wanted, overdue and not there
  gap_healed       from, to           they are there now
  gap_unavailable  from, to, reason   the exchange does not have them, or pruned
  candle_revised   open_time, old, new (null where the bar does not exist)
  mode_changed     old, new, reason
Numbers are consecutive: after number 17 go on with --from 18, whenever that is.
They are kept as long as [retention] events of the configuration says.";

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Only this exchange, such as kraken.
    exchange: Option<String>,
    /// Only this symbol, such as BTC/USD.
    symbol: Option<String>,
    /// First number wanted [default: the oldest that is kept].
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    from: i64,
    /// Only this kind; may be given several times.
    #[arg(long, value_name = "KIND", value_parser = clap::builder::PossibleValuesParser::new(KINDS))]
    kind: Vec<String>,
    /// Go on as new ones are recorded, until stopped.
    #[arg(long)]
    follow: bool,
}

/// Events read at once.
const PAGE: u32 = 1000;
/// How often new ones are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Prints the events.
///
/// # Errors
/// Usage for names that are not kept, with the nearest that are, and for a number that was not given
/// yet; failed when the database cannot be read.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    block_on(async {
        let store = database.open(Access::ReadOnly).await?;
        let reader = Reader::new(store.clone());
        match (&args.exchange, &args.symbol) {
            (Some(exchange), Some(symbol)) => drop(reader.find(exchange, symbol).await?),
            (Some(exchange), None) => drop(reader.find_all(exchange).await?),
            (None, _) => {}
        }
        let last = store.last_event().await?;
        if args.from > last + 1 {
            return Err(Failure::usage(format_args!(
                "--from {}: the newest event has the number {last}; is this the right database?",
                args.from
            )));
        }
        let mut heard = args.from - 1;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut is_first = true;
        loop {
            let page = store.events_after(heard, PAGE).await?;
            if let Some(first) = page.first().filter(|first| std::mem::take(&mut is_first) && first.number > heard + 1)
            {
                say(format_args!("events {} to {} are not kept any more", heard + 1, first.number - 1));
            }
            for event in page.iter().filter(|event| args.wants(event)) {
                lines::write(&mut out, event)?;
            }
            heard = page.last().map_or(heard, |event| event.number);
            if page.len() < PAGE as usize {
                out.flush()?;
                if !args.follow {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    })
}

impl Args {
    fn wants(&self, event: &Event) -> bool {
        self.exchange.as_ref().is_none_or(|exchange| *exchange == event.exchange)
            && self.symbol.as_ref().is_none_or(|symbol| symbol == event.symbol.as_str())
            && (self.kind.is_empty() || self.kind.iter().any(|kind| kind == event.what.kind()))
    }
}
