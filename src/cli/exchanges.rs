//! `candlewick exchanges`: what each venue can do, from its capabilities; and the switch of each in a
//! database.

use std::io::{self, BufWriter, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::database::{DatabaseArgs, block_on};
use super::listing::say;
use super::{Failure, lines, listing};
use crate::collector::exchange_row;
use crate::config::format_duration;
use crate::exchange::registry::{self, EXCHANGES};
use crate::exchange::{Capabilities, Depth, QuietPolicy, TradeHistory};
use crate::store::{Access, ExchangeRow};

/// Arguments of `exchanges`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// A table to read, or one JSON object per exchange.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Work on the wanted symbols of an exchange.
    Enable(Name),
    /// Stop all work on an exchange; its symbols stay wanted.
    Disable(Name),
}

#[derive(Debug, clap::Args)]
struct Name {
    /// Exchange, such as kraken.
    exchange: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Prints the registered exchanges, or switches one.
///
/// # Errors
/// Usage for ids that do not exist; failed when the database is in the way, and those of stdout.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    match args.action {
        None => print(args.format),
        Some(Action::Enable(name)) => block_on(switch(database, &name.exchange, true)),
        Some(Action::Disable(name)) => block_on(switch(database, &name.exchange, false)),
    }
}

/// Writes settings only: a running collector notices.
async fn switch(database: &DatabaseArgs, id: &str, enabled: bool) -> Result<(), Failure> {
    let capabilities = registry::find(id).map_err(Failure::usage)?.capabilities;
    let store = database.open(Access::Create).await?;
    let row = exchange_row(&*store, id).await?;
    let state = if enabled { "on" } else { "off" };
    store.put_exchange(&ExchangeRow { enabled, ..row }).await?;
    let closed = capabilities.closed.filter(|_| enabled).map_or(String::new(), |why| format!("; but {why}"));
    say(format_args!("{id} is switched {state}{closed}"));
    Ok(())
}

fn print(format: Format) -> Result<(), Failure> {
    let stdout = io::stdout();
    let width = listing::terminal_width();
    let mut out = BufWriter::new(stdout.lock());
    let venues = EXCHANGES.iter().map(|row| Venue::of(row.capabilities));
    match format {
        Format::Table => writeln!(out, "{}", table(venues, width).trim_fmt())?,
        Format::Json => {
            for venue in venues {
                lines::write(&mut out, &venue)?;
            }
        }
    }
    Ok(out.flush()?)
}

/// A venue as users see it.
#[derive(Debug, PartialEq, Serialize)]
struct Venue {
    id: &'static str,
    name: &'static str,
    candle_stream: Option<&'static str>,
    trade_stream: bool,
    trade_history: Option<String>,
    tickers: bool,
    timeframes: Vec<&'static str>,
    page_rows: u32,
    depth: String,
    quiet: &'static str,
    limits: Vec<String>,
    /// Why it does not work any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'static str>,
    remark: &'static str,
}

impl Venue {
    fn of(capabilities: &'static Capabilities) -> Venue {
        Venue {
            id: capabilities.id,
            name: capabilities.name,
            candle_stream: capabilities
                .candle_stream
                .map(|stream| if stream.has_closed_flag { "closed flag" } else { "no closed flag" }),
            trade_stream: capabilities.trade_stream.is_some(),
            trade_history: capabilities.trade_rest.map(|rest| trade_history(rest.history)),
            tickers: capabilities.has_tickers,
            timeframes: capabilities.timeframes.iter().map(|row| row.timeframe.as_str()).collect(),
            page_rows: capabilities.candle_rest.page_limit_rows,
            depth: depth(capabilities),
            quiet: match capabilities.quiet {
                QuietPolicy::Emits => "emits",
                QuietPolicy::Omits => "omits",
                QuietPolicy::Mixed => "mixed",
            },
            limits: capabilities
                .limits
                .iter()
                .map(|limit| format!("{} {} per {}", limit.capacity, limit.name, format_duration(limit.window)))
                .collect(),
            closed: capabilities.closed,
            remark: capabilities.remark,
        }
    }
}

fn words(depth: Depth) -> String {
    match depth {
        Depth::Full => "since listing".to_owned(),
        Depth::NewestRows(rows) => format!("newest {rows} rows"),
        Depth::Age(age) => format_duration(age),
    }
}

fn trade_history(history: TradeHistory) -> String {
    match history {
        TradeHistory::Recent => "recent".to_owned(),
        TradeHistory::Forward(depth) | TradeHistory::Backward(depth) => words(depth),
    }
}

/// How far back candles go: neighbouring timeframes of one depth together.
fn depth(capabilities: &Capabilities) -> String {
    let mut groups = Vec::<(&'static str, &'static str, Depth)>::new();
    for row in capabilities.timeframes {
        let text = row.timeframe.as_str();
        match groups.last_mut() {
            Some((_, last, depth)) if *depth == row.depth => *last = text,
            _ => groups.push((text, text, row.depth)),
        }
    }
    if let [(_, _, depth)] = &groups[..] {
        return words(*depth);
    }
    let group = |(first, last, depth): &(&str, &str, Depth)| {
        let range = if first == last { (*first).to_owned() } else { format!("{first}-{last}") };
        format!("{range}: {}", words(*depth))
    };
    groups.iter().map(group).collect::<Vec<_>>().join("; ")
}

/// The table, as wide as the terminal; without one as wide as its contents.
fn table(venues: impl Iterator<Item = Venue>, width: Option<u16>) -> Table {
    let mut table = listing::table(width);
    // Rows take several lines each.
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "id",
        "name",
        "candle stream",
        "trade stream",
        "trade history",
        "tickers",
        "timeframes",
        "page",
        "history",
        "quiet bars",
        "limits",
        "remark",
    ]);
    for venue in venues {
        table.add_row([
            venue.id.to_owned(),
            venue.name.to_owned(),
            venue.candle_stream.unwrap_or("-").to_owned(),
            if venue.trade_stream { "yes" } else { "-" }.to_owned(),
            venue.trade_history.unwrap_or_else(|| "-".to_owned()),
            if venue.tickers { "yes" } else { "-" }.to_owned(),
            venue.timeframes.join(" "),
            venue.page_rows.to_string(),
            venue.depth,
            venue.quiet.to_owned(),
            venue.limits.join("; "),
            venue.closed.map_or(venue.remark.to_owned(), |why| format!("CLOSED: {why}. {}", venue.remark)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exchange::{
        CandleRest, CandleStream, ConnectionLimits, InstrumentSource, RateLimit, TimeframeRow, TradeRest,
    };
    use crate::market::Timeframe;

    const fn row(timeframe: Timeframe, wire: &'static str, depth: Depth) -> TimeframeRow {
        TimeframeRow { timeframe, wire, depth, page_limit_span: None }
    }

    const REQUESTS: RateLimit = RateLimit { name: "requests", capacity: 60, window: Duration::from_secs(60) };

    static CAPABILITIES: Capabilities = Capabilities {
        id: "venue",
        name: "Venue",
        rest_url: "https://venue.test",
        stream_url: None,
        timeframes: &[
            row(Timeframe::M1, "1", Depth::Age(Duration::from_secs(7 * 86_400))),
            row(Timeframe::M5, "5", Depth::NewestRows(720)),
            row(Timeframe::H1, "60", Depth::NewestRows(720)),
            row(Timeframe::D1, "D", Depth::Full),
        ],
        instruments: InstrumentSource::List,
        candle_rest: CandleRest { page_limit_rows: 1000, honours_end: true },
        candle_stream: Some(CandleStream { has_closed_flag: true, is_cumulative: true, grace: Duration::from_secs(1) }),
        trade_rest: Some(TradeRest { page_limit_rows: 1000, history: TradeHistory::Recent, ids_are_dense: true }),
        trade_stream: None,
        quiet: QuietPolicy::Omits,
        settle: Duration::from_secs(1),
        settle_empty: Duration::from_secs(60),
        late_bar_delays: &[],
        derives_higher: true,
        has_sessions: false,
        limits: &[REQUESTS],
        connection: ConnectionLimits {
            max_subscriptions: 100,
            connects: REQUESTS,
            control_frames_per_second: 5,
            lifetime: None,
            idle_limit: Duration::from_secs(30),
            ping_every: None,
            has_heartbeat: false,
        },
        has_tickers: true,
        closed: None,
        remark: "for tests",
    };

    #[test]
    fn a_venue_is_told_in_words_and_in_json() {
        let venue = Venue::of(&CAPABILITIES);
        assert_eq!(
            serde_json::to_string(&venue).unwrap(),
            r#"{"id":"venue","name":"Venue","candle_stream":"closed flag","trade_stream":false,"trade_history":"recent","tickers":true,"timeframes":["1m","5m","1h","1d"],"page_rows":1000,"depth":"1m: 7d; 5m-1h: newest 720 rows; 1d: since listing","quiet":"omits","limits":["60 requests per 1m"],"remark":"for tests"}"#
        );
        let text = table([venue].into_iter(), None).trim_fmt();
        let cells = text.lines().nth(3).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            cells,
            "venue Venue closed flag - recent yes 1m 5m 1h 1d 1000 1m: 7d; 5m-1h: newest 720 rows; 1d: since listing \
             omits 60 requests per 1m for tests"
        );
    }

    #[test]
    fn a_closed_venue_says_so() {
        let closed: &'static Capabilities =
            Box::leak(Box::new(Capabilities { closed: Some("it burned down"), ..CAPABILITIES }));
        let json = serde_json::to_string(&Venue::of(closed)).unwrap();
        assert!(json.ends_with(r#","closed":"it burned down","remark":"for tests"}"#), "{json}");
        let text = table([Venue::of(closed)].into_iter(), None).trim_fmt();
        assert!(text.contains("CLOSED: it burned down. for tests"), "{text}");
    }

    #[test]
    fn a_table_for_a_terminal_is_no_wider_than_it() {
        let text = table([Venue::of(&CAPABILITIES)].into_iter(), Some(100)).trim_fmt();
        assert!(text.lines().count() > 4);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
