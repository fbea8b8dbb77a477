//! Symbols of which only the ticker is wanted: read together, every so often, in as few calls as the
//! venue allows. A reading is worth nothing once there is a newer one, so none is repeated or kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::ExchangeActor;
use super::rest::Work;
use crate::actors::messages::{Report, SaveTickers};
use crate::config::format_duration;
use crate::exchange::{ErrorKind, Instrument, VenueError};
use crate::market::{Symbol, Ticker};
use crate::status::{ComponentStatus, Health, Mode, Phase};
use crate::store::{SymbolRow, SymbolState, TickerChange};

/// Shortest wall-clock time between two rounds, however fast a scaled clock runs.
const SHORTEST: Duration = Duration::from_millis(50);
/// Rounds without a ticker before a symbol is said to be in trouble.
const PATIENCE: u32 = 3;
/// How soon a new symbol is tried again while a round is under way.
const SOON: Duration = Duration::from_millis(100);

/// The readings of an exchange.
#[derive(Default)]
pub(super) struct Tickers {
    /// The calls that are under way: no others begin before their end.
    round: Option<Round>,
    /// Parts of a round that was refused, to be asked for by themselves.
    parts: Vec<Vec<Instrument>>,
    read: BTreeMap<Symbol, Reading>,
    /// Why the newest round brought nothing.
    troubles: BTreeMap<Symbol, String>,
    soon: Option<SpawnHandle>,
}

/// Some symbols, asked for together.
struct Round {
    asked: Vec<Instrument>,
    answered: BTreeSet<Symbol>,
    /// Calls that have not ended.
    calls: usize,
    /// What one that failed said; that it does not know a symbol, if one did.
    error: Option<VenueError>,
}

/// When a symbol was read last.
struct Reading {
    /// Our clock.
    at: DateTime<Utc>,
    instant: Instant,
}

fn wants_ticker(row: &SymbolRow) -> bool {
    row.only_ticker && row.state == SymbolState::Active
}

impl ExchangeActor {
    /// How long a round lasts by the wall clock.
    fn ticker_period(&self) -> Duration {
        self.setup.venue.clock.to_wall(self.setup.ticker_every).max(SHORTEST)
    }

    pub(super) fn start_tickers(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(self.ticker_period(), |actor, ctx| actor.read_tickers(ctx, |_| true));
    }

    /// A symbol of which only the ticker is wanted begins.
    pub(super) fn start_ticker(&mut self, symbol: &Symbol, ctx: &mut Context<Self>) {
        if self.setup.venue.capabilities().has_tickers {
            self.serve(symbol);
        }
        self.report_ticker(symbol);
        self.read_new_tickers(Duration::from_millis(1), ctx);
    }

    /// Reads the symbols that have not been read yet; those that come in the same moment share a call.
    pub(super) fn read_new_tickers(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        if self.tickers.soon.is_some() {
            return;
        }
        self.tickers.soon = Some(ctx.run_later(wait, |actor, ctx| {
            actor.tickers.soon = None;
            if actor.gate.is_open() && actor.tickers.round.is_some() {
                return actor.read_new_tickers(SOON, ctx);
            }
            actor.read_tickers(ctx, |reading| reading.is_none());
        }));
    }

    /// Begins a round, unless one is under way.
    fn read_tickers(&mut self, ctx: &mut Context<Self>, is_due: impl Fn(Option<&Reading>) -> bool) {
        if self.is_stopping || !self.gate.is_open() || self.tickers.round.is_some() {
            return;
        }
        let due = self.wanted.values().filter(|row| wants_ticker(row) && is_due(self.tickers.read.get(&row.symbol)));
        let due = due.filter_map(|row| self.instruments.get(&row.symbol)).map(|instrument| (**instrument).clone());
        self.tickers.parts.push(due.collect());
        self.next_round(ctx);
    }

    fn next_round(&mut self, ctx: &mut Context<Self>) {
        let Some(mut asked) = self.tickers.parts.pop() else { return };
        asked.retain(|instrument| self.wanted.get(&instrument.symbol).is_some_and(|row| wants_ticker(row)));
        let requests = self.setup.venue.dialect.encode_tickers(&asked);
        if requests.is_empty() {
            return self.next_round(ctx);
        }
        let (answered, error) = (BTreeSet::new(), None);
        self.tickers.round = Some(Round { asked, answered, calls: requests.len(), error });
        for request in requests {
            self.ask(Work::Tickers(request), ctx);
        }
    }

    /// Forgets the readings of symbols of which more, or nothing, is wanted now.
    pub(super) fn trim_readings(&mut self) {
        let wanted = &self.wanted;
        let is_wanted = |symbol: &Symbol| wanted.get(symbol).is_some_and(|row| wants_ticker(row));
        self.tickers.read.retain(|symbol, _| is_wanted(symbol));
        self.tickers.troubles.retain(|symbol, _| is_wanted(symbol));
    }

    /// A call brought tickers, by the venue's ids.
    pub(super) fn tickers_read(&mut self, found: Vec<(String, Ticker)>, at: DateTime<Utc>, ctx: &mut Context<Self>) {
        let Some(round) = &mut self.tickers.round else { return };
        let found: HashMap<String, Ticker> = found.into_iter().filter(|(_, ticker)| ticker.is_finite()).collect();
        let mut tickers = Vec::new();
        for Instrument { symbol, rest_id, .. } in &round.asked {
            let row = self.wanted.get(symbol).filter(|row| wants_ticker(row));
            let (Some(row), Some(ticker)) = (row, found.get(rest_id)) else { continue };
            tickers.push(TickerChange { symbol: row.id, ticker: *ticker, observed_at: at });
            round.answered.insert(symbol.clone());
            self.tickers.troubles.remove(symbol);
            self.tickers.read.insert(symbol.clone(), Reading { at, instant: Instant::now() });
        }
        if let Some(writer) = self.setup.writer.current() {
            writer.do_send(SaveTickers { tickers });
        }
        self.ticker_call_ended(ctx);
    }

    /// A call is given up; the next round asks again.
    pub(super) fn tickers_failed(&mut self, error: VenueError, ctx: &mut Context<Self>) {
        if let Some(round) = &mut self.tickers.round
            && round.error.as_ref().is_none_or(|known| known.kind != ErrorKind::UnknownSymbol)
        {
            round.error = Some(error);
        }
        self.ticker_call_ended(ctx);
    }

    /// The last call of a round ends it. One name that the venue does not know fails a call for all
    /// in it: the halves of those without an answer are asked for, until it is found.
    fn ticker_call_ended(&mut self, ctx: &mut Context<Self>) {
        let Some(round) = &mut self.tickers.round else { return };
        round.calls -= 1;
        if round.calls > 0 {
            return;
        }
        let Some(Round { mut asked, answered, error, .. }) = self.tickers.round.take() else { return };
        asked.retain(|instrument| !answered.contains(&instrument.symbol));
        match error {
            Some(error) if error.kind == ErrorKind::UnknownSymbol => {
                let second = asked.split_off(asked.len() / 2);
                match (&asked[..], &second[..]) {
                    ([], [unknown]) => self.unknown(unknown.symbol.clone(), error.message, ctx),
                    _ => self.tickers.parts.extend([second, asked]),
                }
            }
            error => {
                let why = error.map_or("the venue's answer has no ticker of it".to_owned(), |error| error.to_string());
                let troubles = asked.into_iter().map(|instrument| (instrument.symbol, why.clone()));
                self.tickers.troubles.extend(troubles);
            }
        }
        self.trim_readings();
        self.report_tickers();
        self.next_round(ctx);
    }

    pub(super) fn report_tickers(&self) {
        self.wanted.values().filter(|row| wants_ticker(row)).for_each(|row| self.report_ticker(&row.symbol));
    }

    /// Says how the ticker of a symbol is kept. One with a child of its own has not come to that yet.
    fn report_ticker(&self, symbol: &Symbol) {
        let Some(status) = self.setup.status.current().filter(|_| self.symbols.addr(symbol).is_none()) else { return };
        let exchange = self.setup.venue.id();
        let mut report = ComponentStatus::starting(format!("{exchange}:{symbol}"));
        (report.exchange, report.symbol) = (Some(exchange.to_owned()), Some(symbol.as_str().to_owned()));
        report.mode = Some(Mode::Ticker);
        let reading = self.tickers.read.get(symbol);
        report.lag_ms = reading.map(|reading| (self.setup.venue.clock.now() - reading.at).num_milliseconds().max(0));
        let is_stale = |reading: &Reading| reading.instant.elapsed() > self.ticker_period() * PATIENCE;
        (report.phase, report.health, report.message) = match (reading, self.tickers.troubles.get(symbol)) {
            _ if !self.setup.venue.capabilities().has_tickers => {
                let words = format!(
                    "{exchange} has no tickers; want its candles instead: candlewick symbols add {exchange} {symbol} -t 1m"
                );
                (Phase::Rejected, Health::Error, words)
            }
            (None, None) => (Phase::Starting, Health::Starting, "its ticker is not read yet".to_owned()),
            (None, Some(why)) => (Phase::Waiting, Health::Error, why.clone()),
            (Some(_), Some(why)) => (Phase::Live, Health::Error, why.clone()),
            (Some(reading), None) if is_stale(reading) => {
                let since = reading.at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                (Phase::Live, Health::Error, format!("no ticker since {since}"))
            }
            (Some(_), None) => {
                let every = format_duration(self.setup.ticker_every);
                (Phase::Live, Health::Running, format!("every {every}"))
            }
        };
        status.do_send(Report(report));
    }
}
