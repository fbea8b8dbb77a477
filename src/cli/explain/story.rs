//! What is known of one bucket: its row, what it was before, the ledger around it, what it was made
//! of, and who works on it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::values::{Interval, Parts, Told, Trades};
use crate::cli::Failure;
use crate::cli::lines::Time;
use crate::config::Config;
use crate::control::wanted::exchange_row;
use crate::exchange::{QuietPolicy, registry};
use crate::market::ledger::{
    BEFORE_LISTING, FROM_TRADES, JUST_CLOSED, LATE_BAR, NO_TRADE_BEFORE, NOT_FETCHED, NOT_LISTED, NOT_RUNNING,
    NOT_SERVED, NOT_SUMMABLE, TOO_OLD, TRADES_NOT_SERVED, VENUE_HOLE,
};
use crate::market::resample::parts_span;
use crate::market::{Candle, Grid, Rule, Source, Span, Symbol, Timeframe};
use crate::store::inventory::grid_of;
use crate::store::{CandleQuery, CandleSource, Coverage, SeriesRow, Store, StoredCandle, SymbolRow, SymbolState};

/// Trades that are named of those a candle is built from.
const MOST_TRADES: usize = 20;

/// See the module; its fields are the JSON form.
#[derive(Debug, Serialize)]
pub struct Story {
    pub exchange: String,
    pub symbol: Symbol,
    pub timeframe: Timeframe,
    pub open_time: Time,
    pub close_time: Time,
    pub state: State,
    /// Why it is so, in a sentence.
    pub why: String,
    /// What is being done, in a sentence; empty when nothing is left to do.
    pub doing: String,
    pub candle: Option<Told>,
    /// The open bar, while the bucket is open.
    pub forming: Option<Candle>,
    /// Earlier values, oldest first.
    pub revisions: Vec<Told>,
    /// The interval of the ledger that holds the bucket, and its neighbours.
    pub ledger: Option<Interval>,
    pub ledger_before: Option<Interval>,
    pub ledger_after: Option<Interval>,
    pub parts: Option<Parts>,
    pub trades: Option<Trades>,
}

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Final,
    Empty,
    Missing,
    Unavailable,
    Open,
    NotObserved,
    BeforeBackfill,
    NotWanted,
    /// The ledger claims what is not there.
    Violation,
}

/// What the sentences are made from.
struct Facts<'a> {
    symbol: &'a SymbolRow,
    series: Option<&'a SeriesRow>,
    grid: Grid,
    bucket: Span,
    now: DateTime<Utc>,
}

impl Story {
    /// Gathers everything of a bucket.
    pub async fn gather(
        store: &dyn Store,
        config: &Config,
        symbol: SymbolRow,
        timeframe: Timeframe,
        open_time: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Story, Failure> {
        let grid = grid_of(&symbol, timeframe);
        let bucket = Span::new(open_time, grid.next_open(open_time));
        let all = store.series_of(symbol.id).await?;
        let series = all.iter().find(|series| series.timeframe == timeframe);
        let facts = Facts { symbol: &symbol, series, grid, bucket, now };
        let (mut ledger, mut row, mut forming, mut revisions) = (Vec::new(), None, None, Vec::new());
        if let Some(series) = series {
            ledger = store.ledger(series.id).await?;
            let query = CandleQuery { span: bucket, limit: None, newest_first: false };
            row = store.candles(series.id, query).await?.into_iter().find(|row| row.candle.open_time == open_time);
            forming = store.forming(series.id).await?.filter(|forming| forming.open_time == open_time);
            revisions = store.revisions(series.id, bucket).await?;
            revisions.retain(|old| old.stored.candle.open_time == open_time);
        }
        let at = ledger.iter().position(|entry| entry.span.contains(open_time));
        let coverage = at.map(|at| &ledger[at].coverage);
        let state = facts.state(row.as_ref(), coverage);
        let why = match state {
            State::Empty => facts.emptiness(store, coverage).await?,
            _ => facts.why(state, row.as_ref(), coverage),
        };
        let doing = facts.doing(store, config, state, coverage).await?;
        let source = row.as_ref().map(|row| row.source);
        let interval = |index: Option<usize>| index.and_then(|index| ledger.get(index)).map(Interval::from);
        Ok(Story {
            state,
            why,
            doing,
            candle: row.as_ref().map(|row| Told::of(row, None)),
            forming: forming.filter(|_| row.is_none()),
            revisions: revisions.iter().map(|old| Told::of(&old.stored, Some(old.replaced_at))).collect(),
            ledger: interval(at),
            ledger_before: interval(at.and_then(|at| at.checked_sub(1))),
            ledger_after: interval(at.map(|at| at + 1)),
            parts: if source == Some(Source::Derived) { facts.parts(store, &all).await? } else { None },
            trades: if source == Some(Source::Trades) { Some(facts.trades(store).await?) } else { None },
            close_time: Time(grid.close_of(open_time)),
            open_time: Time(open_time),
            timeframe,
            exchange: symbol.exchange,
            symbol: symbol.symbol,
        })
    }
}

impl Facts<'_> {
    fn emits(&self) -> bool {
        registry::find(&self.symbol.exchange).is_ok_and(|row| row.capabilities.quiet == QuietPolicy::Emits)
            && self.symbol.candle_source == CandleSource::Venue
    }

    fn state(&self, row: Option<&StoredCandle>, coverage: Option<&Coverage>) -> State {
        let is_wanted = self.symbol.timeframes.contains(&self.grid.timeframe) && self.symbol.collect_candles;
        match coverage {
            _ if row.is_some() => State::Final,
            Some(Coverage::Complete { .. }) if self.emits() => State::Violation,
            Some(Coverage::Complete { .. }) => State::Empty,
            Some(Coverage::Unavailable { .. }) => State::Unavailable,
            Some(Coverage::Missing { .. }) => State::Missing,
            None if !is_wanted => State::NotWanted,
            None if self.bucket.to <= self.symbol.backfill_from => State::BeforeBackfill,
            None if self.grid.close_of(self.bucket.from) > self.now => State::Open,
            None => State::NotObserved,
        }
    }

    fn why(&self, state: State, row: Option<&StoredCandle>, coverage: Option<&Coverage>) -> String {
        match (state, coverage) {
            (State::Final, _) => row.map_or_else(String::new, |row| self.finality(row, coverage)),
            (State::Missing, Some(Coverage::Missing { reason, attempts, .. })) => {
                let tries = match attempts {
                    0 => String::new(),
                    1 => "; one read did not bring it".to_owned(),
                    many => format!("; {many} reads did not bring it"),
                };
                format!("{}{tries}", reason_words(reason))
            }
            (State::Unavailable, Some(Coverage::Unavailable { reason })) => reason_words(reason),
            (State::Open, _) => format!("it closes at {}", Time(self.grid.close_of(self.bucket.from))),
            (State::BeforeBackfill, _) => {
                format!("candles are wanted from {} on, and this one is older", Time(self.symbol.backfill_from))
            }
            (State::NotWanted, _) => {
                let wanted = self.symbol.timeframes.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(" ");
                match wanted.as_str() {
                    "" => "no candles of this symbol are wanted, only its ticker".to_owned(),
                    wanted => format!("the timeframe is not among those wanted: {wanted}"),
                }
            }
            (State::Violation, _) => {
                "the ledger calls it complete and the exchange prints every bucket, but no candle is stored: it was \
                 deleted by somebody else"
                    .to_owned()
            }
            _ => match self.series.and_then(|series| series.observed_until) {
                Some(until) => format!("no collector has looked at it yet; the newest look ended at {}", Time(until)),
                None => "no collector has begun with this series yet".to_owned(),
            },
        }
    }

    /// Why a stored candle counts as final.
    fn finality(&self, row: &StoredCandle, coverage: Option<&Coverage>) -> String {
        let rule = match row.rule {
            Rule::Flag => "the exchange marked the frame as the last one of its bucket",
            Rule::Stream => {
                "the connection that delivered it stayed up past its close and then delivered something later"
            }
            Rule::Rest => "a REST request sent after its close returned it",
            Rule::Trades => "it is the sum of trades none of which can be missing",
            Rule::Derived => "it is the sum of finer candles all of which are final",
            Rule::Quiet => {
                "nothing was heard of it on an unbroken connection, and the exchange prints such buckets flat"
            }
            Rule::Imported => "a user said so in an import",
        };
        let confirmed = match coverage {
            Some(Coverage::Complete { verified: true }) => "",
            Some(Coverage::Complete { verified: false }) => "; not confirmed by REST yet",
            _ => "; but the ledger does not call its bucket complete",
        };
        format!("{rule}{confirmed}")
    }

    /// What proves that nothing was traded.
    async fn emptiness(&self, store: &dyn Store, coverage: Option<&Coverage>) -> Result<String, Failure> {
        let Some(series) = self.series else { return Ok(String::new()) };
        let near = async |span: Span, newest_first: bool| {
            let query = CandleQuery { span, limit: Some(1), newest_first };
            Ok::<_, Failure>(store.candles(series.id, query).await?.first().map(|row| Time(row.candle.open_time)))
        };
        let before = near(Span::new(DateTime::<Utc>::MIN_UTC, self.bucket.from), true).await?;
        let after = near(Span::new(self.bucket.to, DateTime::<Utc>::MAX_UTC), false).await?;
        let rule = match self.symbol.candle_source {
            CandleSource::Trades => "no trade is known of it, and none can be missing",
            CandleSource::Venue => "nothing was traded, and the exchange prints nothing for such buckets",
        };
        let between = match (before, after) {
            (Some(before), Some(after)) => format!("; it lies between the candles of {before} and {after}"),
            (Some(before), None) => format!("; the candle before it is that of {before}"),
            (None, Some(after)) => format!("; the candle after it is that of {after}"),
            (None, None) => String::new(),
        };
        let confirmed = match coverage {
            Some(Coverage::Complete { verified: true }) => "; the exchange's answer proves it",
            _ => "; to be confirmed",
        };
        Ok(format!("{rule}{between}{confirmed}"))
    }

    /// What happens next, and who does it.
    async fn doing(
        &self,
        store: &dyn Store,
        config: &Config,
        state: State,
        coverage: Option<&Coverage>,
    ) -> Result<String, Failure> {
        let (exchange, symbol) = (&self.symbol.exchange, &self.symbol.symbol);
        let work = match (state, coverage) {
            (State::Final | State::Empty, Some(Coverage::Complete { verified: false })) => {
                "REST confirms or corrects it when nothing more urgent waits".to_owned()
            }
            (State::Final | State::Empty, _) => return Ok(String::new()),
            (State::Missing, Some(Coverage::Missing { next_attempt_at: Some(at), .. })) if *at > self.now => {
                format!("it is asked for again at {}", Time(*at))
            }
            (State::Missing, Some(Coverage::Missing { reason, .. })) if reason == FROM_TRADES => {
                "it is built when its trades are there".to_owned()
            }
            (State::Missing, _) => "it is asked for as soon as the exchange's limits allow".to_owned(),
            (State::NotObserved | State::Open, _) => "it is read or heard once it has closed".to_owned(),
            (State::BeforeBackfill, _) => {
                return Ok(format!("nothing; to have it: candlewick backfill {exchange} {symbol} --from T"));
            }
            (State::NotWanted, _) => {
                let add = format!("candlewick symbols add {exchange} {symbol} -t {}", self.grid.timeframe);
                return Ok(format!("nothing; to keep it: {add}"));
            }
            (State::Violation, _) => {
                return Ok(format!("nothing; candlewick audit {exchange} {symbol} --repair fetches it again"));
            }
            (State::Unavailable, _) => return Ok("nothing, unless an import or another way to it comes".to_owned()),
        };
        let mut settings = exchange_row(store, exchange).await?;
        if let Some(enabled) = config.exchanges.get(exchange).and_then(|exchange| exchange.enabled) {
            settings.enabled = enabled;
        }
        let hindrance = match &self.symbol.state {
            SymbolState::Paused => Some(format!("the symbol is paused; candlewick symbols resume {exchange} {symbol}")),
            SymbolState::Rejected(why) => Some(format!("the exchange does not know the symbol: {why}")),
            SymbolState::Active if !settings.enabled => {
                Some(format!("{exchange} is switched off; candlewick exchanges enable {exchange}"))
            }
            SymbolState::Active => settings
                .blocked_until
                .filter(|until| *until > self.now)
                .map(|until| format!("{exchange} has locked us out until {}", Time(until))),
        };
        if let Some(hindrance) = hindrance {
            return Ok(format!("nothing now: {hindrance}"));
        }
        let name = format!("{exchange}:{symbol}");
        let status = store.statuses().await?.into_iter().find(|status| status.component == name);
        Ok(match status {
            Some(status) if status.status != "stopped" => {
                format!("{work}; the collector says of {name}: {} {}", status.phase, status.message)
                    .trim_end()
                    .to_owned()
            }
            _ => format!("{work}; no collector is at work on it now: candlewick run"),
        })
    }

    async fn parts(&self, store: &dyn Store, all: &[SeriesRow]) -> Result<Option<Parts>, Failure> {
        let grid = |timeframe| grid_of(self.symbol, timeframe);
        let nests =
            |series: &&SeriesRow| series.timeframe < self.grid.timeframe && grid(series.timeframe).nests_in(&self.grid);
        let Some(fine) = all.iter().filter(nests).max_by_key(|series| series.timeframe) else { return Ok(None) };
        let span = parts_span(&grid(fine.timeframe), &self.grid, self.bucket.from);
        let rows = store.candles(fine.id, CandleQuery { span, limit: None, newest_first: false }).await?;
        let is_complete = crate::market::ledger::complete(&store.ledger(fine.id).await?).covers(span);
        Ok(Some(Parts {
            timeframe: fine.timeframe,
            from: Time(span.from),
            to: Time(span.to),
            open_times: rows.iter().map(|row| Time(row.candle.open_time)).collect(),
            is_complete,
        }))
    }

    async fn trades(&self, store: &dyn Store) -> Result<Trades, Failure> {
        let trades = store.trades(self.symbol.id, self.bucket).await?;
        let coverage = store.trade_coverage(self.symbol.id).await?;
        Ok(Trades {
            count: trades.len() as u64,
            ids: trades.iter().take(MOST_TRADES).map(|trade| trade.id.to_string()).collect(),
            first_id: trades.first().map(|trade| trade.id.to_string()),
            last_id: trades.last().map(|trade| trade.last_id.to_string()),
            is_complete: coverage.spans.covers(self.bucket),
        })
    }
}

/// A reason of the ledger in words, with the word itself.
fn reason_words(reason: &str) -> String {
    let words = match reason {
        NOT_FETCHED => "it is history that was not read yet",
        NOT_RUNNING => "no collector was running when it closed",
        JUST_CLOSED => "it closed a moment ago and is about to be read",
        LATE_BAR => "it is due and was asked for, but the exchange does not show it yet",
        NOT_LISTED => "the exchange listed the market no more, and what a stream leaves out then says nothing",
        FROM_TRADES => "it is older than the exchange's candles reach, and is built from its trades",
        TOO_OLD => "the exchange does not serve candles as old as this",
        BEFORE_LISTING => "the exchange has nothing as old as this: it was not listed yet",
        NOT_SERVED => "it was asked for repeatedly, and no answer had it",
        NO_TRADE_BEFORE => "nothing was traded, and no earlier trade was found whose price a flat candle could repeat",
        TRADES_NOT_SERVED => "the trades it would be built from cannot be had",
        NOT_SUMMABLE => "its trades have numbers beyond exact arithmetic",
        _ if reason.starts_with(VENUE_HOLE) => {
            "the exchange prints every bucket, and left this one out between two others"
        }
        _ => return reason.to_owned(),
    };
    format!("{words} ({reason})")
}
