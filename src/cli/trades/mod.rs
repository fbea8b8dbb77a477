//! `candlewick trades`: the stored trades of a symbol, oldest first, however many there are.
//!
//! Read page by page, so that a range of any length takes little memory. As CSV they are what
//! `candlewick aggregate` and `candlewick import` read, as JSON what `candlewick decode` prints.

mod doubt;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use self::doubt::Doubt;
use super::database::{DatabaseArgs, block_on};
use super::lines::{Time, TradeLine};
use super::listing::{Format, Printer, Row, count, say};
use super::{Failure, when};
use crate::clock::Clock;
use crate::market::{Span, Trade, TradeId};
use crate::store::reader::Reader;
use crate::store::{Access, Store, SymbolRow};

const AFTER_HELP: &str = "\
CSV has the columns time,price,amount,id,side; where one of the trades stands
for several ids of the exchange, also last_id. Words on stderr tell of
stretches whose trades are not known to be complete.";

/// Arguments of `trades`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Exchange, such as kraken.
    exchange: String,
    /// Unified symbol, such as BTC/USD.
    symbol: String,
    /// Trades of this time or later.
    #[arg(long, value_name = "TIME", value_parser = when::parse, allow_hyphen_values = true)]
    from: Option<DateTime<Utc>>,
    /// Trades before this time.
    #[arg(long, value_name = "TIME", value_parser = when::parse, allow_hyphen_values = true)]
    to: Option<DateTime<Utc>>,
    /// At most so many: the first ones after --from, without it the newest [default: 100 in a table, else all].
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Trades in memory at once.
const PAGE: u32 = 10_000;
/// Rows of a table whose length nobody has chosen: its columns are as wide as all its rows need.
const TABLE_ROWS: u64 = 100;

const ALWAYS: Span = Span { from: DateTime::<Utc>::MIN_UTC, to: DateTime::<Utc>::MAX_UTC };

/// Prints the trades.
///
/// # Errors
/// Usage for names that are not kept, with the nearest that are, and for a range that is none;
/// failed when the database cannot be read.
pub fn run(args: Args, database: &DatabaseArgs) -> Result<(), Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && to <= from
    {
        return Err(Failure::usage(format_args!("--to {} does not lie after --from {}", Time(to), Time(from))));
    }
    block_on(async {
        let store = database.open(Access::ReadOnly).await?;
        let symbol = Reader::new(store.clone()).find(&args.exchange, &args.symbol).await?;
        let tape = Tape::new(store, symbol, &args).await?;
        if args.format == Format::Csv && tape.has_ranges().await? {
            tape.print(|trade| Range(tape.line(trade))).await
        } else {
            tape.print(|trade| tape.line(trade)).await
        }
    })
}

/// The trades that are printed.
struct Tape<'a> {
    store: Arc<dyn Store>,
    symbol: SymbolRow,
    args: &'a Args,
    span: Span,
    limit: u64,
    /// The trade before the first one, where only the newest are printed.
    before: Option<Trade>,
}

impl Tape<'_> {
    async fn new(store: Arc<dyn Store>, symbol: SymbolRow, args: &Args) -> Result<Tape<'_>, Failure> {
        let span = Span::new(args.from.unwrap_or(ALWAYS.from), args.to.unwrap_or(ALWAYS.to));
        let usual = if args.format == Format::Table { TABLE_ROWS } else { u64::MAX };
        let limit = args.limit.unwrap_or(usual);
        let before = match args.from {
            None if limit < u64::MAX => store.trade_from_end(symbol.id, span, limit).await?,
            _ => None,
        };
        Ok(Tape { store, symbol, args, span, limit, before })
    }

    /// Gives all trades to `take`, oldest first.
    async fn each(&self, mut take: impl FnMut(Trade) -> Result<bool, Failure>) -> Result<(), Failure> {
        let (mut left, mut after) = (self.limit, self.before.clone());
        while left > 0 {
            let most = u32::try_from(left).unwrap_or(u32::MAX).min(PAGE);
            let page = self.store.trades_page(self.symbol.id, self.span, after.as_ref(), most).await?;
            let is_last = page.len() < most as usize;
            left -= page.len() as u64;
            after = page.last().cloned();
            for trade in page {
                if !take(trade)? {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// True when one of the trades stands for several ids.
    async fn has_ranges(&self) -> Result<bool, Failure> {
        let mut found = false;
        self.each(|trade| {
            found = trade.id != trade.last_id;
            Ok(!found)
        })
        .await?;
        Ok(found)
    }

    fn line(&self, trade: &Trade) -> Line<'_> {
        let symbol = Some(self.symbol.symbol.as_str());
        let last_id = (trade.last_id != trade.id).then(|| trade.last_id.to_string());
        let json = TradeLine::new(&self.symbol.exchange, symbol, trade);
        Line { json, last_id, trade: trade.clone() }
    }

    async fn print<R: Row>(&self, line: impl Fn(&Trade) -> R) -> Result<(), Failure> {
        let coverage = self.store.trade_coverage(self.symbol.id).await?;
        let mut doubt = Doubt::new(&coverage, self.args.from);
        let mut out = Printer::new(self.args.format)?;
        let mut printed = 0;
        self.each(|trade| {
            printed += 1;
            doubt.trade(&trade);
            out.row(line(&trade))?;
            Ok(true)
        })
        .await?;
        out.finish()?;
        let name = format!("{} {}", self.symbol.exchange, self.symbol.symbol);
        if printed == 0 {
            let why = self.why_none(&name).await?;
            say(format_args!("{name} has no trades here{why}"));
        } else if printed == self.limit && self.args.limit.is_none() {
            let which = if self.args.from.is_some() { "first" } else { "newest" };
            say(format_args!("the {which} {}; --limit or --format csv give more", count(printed, "trade")));
        }
        if printed < self.limit {
            doubt.end(self.args.to.map(|to| to.min(Clock::system().now())));
        }
        if printed > 0
            && let Some(words) = doubt.words()
        {
            say(words);
        }
        Ok(())
    }

    /// Whether an empty range is known to be one, in words.
    async fn why_none(&self, name: &str) -> Result<String, Failure> {
        if !self.symbol.collect_trades {
            return Ok(format!("; want them with: candlewick symbols add {name} --trades"));
        }
        let coverage = self.store.trade_coverage(self.symbol.id).await?;
        let next = self.store.trades_page(self.symbol.id, Span::new(self.span.to, ALWAYS.to), None, 1).await?;
        let next = next.first().and_then(|next| next.id.number());
        let is_proven = coverage.spans.covers(self.span)
            || match next.and_then(|next| Some((next.checked_sub(1)?, next))) {
                Some((id, next)) => {
                    let last = self.store.trade(self.symbol.id, id).await?;
                    last.is_some_and(|last| last.time < self.span.from) && doubt::has_ids(&coverage, id, next)
                }
                None => false,
            };
        let words = if is_proven { ": nobody traded" } else { ", and whether there were any is not known" };
        Ok(words.to_owned())
    }
}

/// A trade as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    json: TradeLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_id: Option<String>,
    #[serde(skip)]
    trade: Trade,
}

impl Row for Line<'_> {
    const COLUMNS: &'static [&'static str] = &["time", "price", "amount", "id", "side"];

    fn cells(&self) -> Vec<String> {
        let Trade { id, time, price, amount, side, .. } = &self.trade;
        let side = side.map_or("", |side| side.as_str());
        vec![Time(*time).to_string(), price.to_string(), amount.to_string(), id.to_string(), side.to_owned()]
    }
}

/// The same with the last id too.
#[derive(Serialize)]
#[serde(transparent)]
struct Range<'a>(Line<'a>);

impl Row for Range<'_> {
    const COLUMNS: &'static [&'static str] = &["time", "price", "amount", "id", "side", "last_id"];

    fn cells(&self) -> Vec<String> {
        let mut cells = self.0.cells();
        cells.push(TradeId::to_string(&self.0.trade.last_id));
        cells
    }
}
