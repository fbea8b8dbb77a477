//! The REST side of an exchange: calls wait in the queue for gate and budget, leave by priority,
//! and are judged when they come back.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::ExchangeActor;
use crate::actors::messages::{Blocked, Door, FetchError, FetchedPage, FetchedTrades, TurnedAway};
use crate::engine::book::Call;
use crate::engine::budget::{Priority, Refusal};
use crate::engine::queue::{Next, RequestQueue};
use crate::engine::tape::TradeCall;
use crate::exchange::{Cost, ErrorKind, HttpReply, HttpRequest, Instrument, TradePage, VenueError};
use crate::market::{Grid, Symbol, Ticker, Timeframe};
use crate::transport::TransportError;

/// Calls under way at once.
const CONCURRENT_CALLS: usize = 8;
/// Failures of one call, each followed by successes of others, before it is given up.
const MAX_FAILURES: u32 = 3;
/// First and longest wait of a call that fails alone.
const HOLD_FIRST: Duration = Duration::from_secs(1);
const HOLD_LONGEST: Duration = Duration::from_secs(60);
/// Blocks at least this long survive a restart.
const LONG_BLOCK: Duration = Duration::from_secs(30);

/// A call that waits or is under way.
pub(super) struct Job {
    pub work: Work,
    cost: Cost,
    priority: Priority,
    failures: u32,
    /// How often it waited by itself.
    holds: u32,
    /// Successes of the venue when this call last failed.
    successes_then: Option<u64>,
}

/// What a call is for.
pub(super) enum Work {
    /// Describe one market of a venue without an instrument list.
    Describe(Symbol),
    /// Read candles for a SymbolActor.
    Candles(CandleWork),
    /// Read trades for one.
    Trades(TradeWork),
    /// Read tickers.
    Tickers(HttpRequest),
}

/// Whom a call serves: they take turns, and when calls of two fail in a row it is the venue's trouble.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Asker {
    Symbol(Symbol),
    /// All symbols of which only the ticker is wanted.
    Tickers,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::Symbol(symbol) => symbol.fmt(f),
            Asker::Tickers => f.write_str("tickers"),
        }
    }
}

/// A candle read and who waits for it.
pub(super) struct CandleWork {
    pub instrument: Arc<Instrument>,
    pub timeframe: Timeframe,
    pub call: Call,
    pub reply: oneshot::Sender<Result<FetchedPage, FetchError>>,
}

/// A read of trades and who waits for it.
pub(super) struct TradeWork {
    pub instrument: Arc<Instrument>,
    pub call: TradeCall,
    pub reply: oneshot::Sender<Result<FetchedTrades, FetchError>>,
}

impl Work {
    fn asker(&self) -> Asker {
        match self {
            Work::Describe(symbol) => Asker::Symbol(symbol.clone()),
            Work::Candles(work) => Asker::Symbol(work.instrument.symbol.clone()),
            Work::Trades(work) => Asker::Symbol(work.instrument.symbol.clone()),
            Work::Tickers(_) => Asker::Tickers,
        }
    }

    /// Tells whoever waits that nothing will come.
    fn fail(self, error: FetchError) {
        // A SymbolActor that ended does not listen any more.
        match self {
            Work::Describe(_) | Work::Tickers(_) => {}
            Work::Candles(work) => drop(work.reply.send(Err(error))),
            Work::Trades(work) => drop(work.reply.send(Err(error))),
        }
    }
}

/// The calls of one exchange.
pub(super) struct Rest {
    queue: RequestQueue<Asker, Job>,
    in_flight: usize,
    successes: u64,
    /// Those whose calls have failed since the last success.
    failing: BTreeSet<Asker>,
    timer: Option<SpawnHandle>,
}

impl Rest {
    pub fn new() -> Rest {
        Rest { queue: RequestQueue::new(), in_flight: 0, successes: 0, failing: BTreeSet::new(), timer: None }
    }

    /// Calls that wait although they keep series at the present.
    pub fn live_waiting(&self) -> usize {
        self.queue.waiting(Priority::Live)
    }
}

impl ExchangeActor {
    /// Queues a call.
    pub(super) fn ask(&mut self, work: Work, ctx: &mut Context<Self>) {
        let (request, priority) = match &work {
            Work::Describe(symbol) => {
                (self.setup.venue.dialect.encode_instruments(std::slice::from_ref(symbol)).pop(), Priority::Live)
            }
            Work::Candles(work) => (Some(self.encode(work, work.call)), work.call.priority),
            Work::Trades(work) => {
                let request = self.setup.venue.dialect.encode_trades(&work.instrument, &work.call.cursor);
                (request, work.call.priority)
            }
            Work::Tickers(request) => (Some(request.clone()), Priority::Ticker),
        };
        let Some(request) = request else {
            return work.fail(FetchError::Venue(VenueError::new(ErrorKind::BadRequest, "no such call")));
        };
        let job = Job { work, cost: request.cost, priority, failures: 0, holds: 0, successes_then: None };
        self.push(job);
        self.pump(ctx);
    }

    fn push(&mut self, job: Job) {
        self.rest.queue.push(job.priority, job.work.asker(), job.cost, job);
    }

    fn encode(&self, work: &CandleWork, call: Call) -> HttpRequest {
        let venue = &self.setup.venue;
        venue.dialect.encode_candles(&work.instrument, work.timeframe, call.span, venue.now())
    }

    /// Drops the waiting calls of a symbol that is no longer served.
    pub(super) fn cancel(&mut self, symbol: &Symbol) {
        for job in self.rest.queue.cancel(&Asker::Symbol(symbol.clone())) {
            job.work.fail(FetchError::Cancelled);
        }
    }

    /// Lets calls leave while the gate is open and the budget admits them.
    pub(super) fn pump(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.rest.timer.take() {
            ctx.cancel_future(timer);
        }
        while self.gate.is_open() && self.rest.in_flight < CONCURRENT_CALLS {
            let now = self.setup.venue.clock.now();
            let next = self.with_budget(|rest, budget| rest.queue.pop_ready(budget, now));
            match next {
                Next::Ready(job) => self.leave(job, ctx),
                Next::Empty => break,
                Next::WaitUntil(until) => {
                    let wait = self.setup.venue.clock.to_wall((until - now).to_std().unwrap_or_default());
                    let timer = ctx.run_later(wait.max(Duration::from_millis(1)), |actor, ctx| {
                        actor.rest.timer = None;
                        actor.pump(ctx);
                    });
                    self.rest.timer = Some(timer);
                    break;
                }
            }
        }
    }

    fn leave(&mut self, mut job: Job, ctx: &mut Context<Self>) {
        let venue = self.setup.venue.clone();
        let request = match &mut job.work {
            Work::Candles(work) if work.reply.is_closed() => return,
            Work::Trades(work) if work.reply.is_closed() => return,
            Work::Trades(work) => match venue.dialect.encode_trades(&work.instrument, &work.call.cursor) {
                Some(request) => request,
                None => return,
            },
            Work::Candles(work) => {
                if work.call.priority == Priority::Live {
                    // It may have waited: one call brings everything that has closed meanwhile.
                    let grid = Grid::new(work.timeframe, work.instrument.anchors);
                    let closed = grid.last_closed_end(venue.now() - venue.capabilities().settle);
                    work.call.span.to = work.call.span.to.max(closed);
                }
                venue.dialect.encode_candles(&work.instrument, work.timeframe, work.call.span, venue.now())
            }
            Work::Describe(symbol) => match venue.dialect.encode_instruments(std::slice::from_ref(symbol)).pop() {
                Some(request) => request,
                None => return,
            },
            Work::Tickers(request) => request.clone(),
        };
        self.rest.in_flight += 1;
        venue.counts.rest_call();
        let sent_at = venue.clock.now();
        let venue_then = venue.at(sent_at);
        let calling = async move { venue.transport.http(&request).await };
        ctx.spawn(calling.into_actor(self).map(move |result, actor, ctx| {
            actor.rest.in_flight -= 1;
            actor.returned(job, result, sent_at, venue_then, ctx);
            actor.pump(ctx);
        }));
    }

    fn returned(
        &mut self,
        job: Job,
        result: Result<HttpReply, TransportError>,
        sent_at: chrono::DateTime<chrono::Utc>,
        venue_then: chrono::DateTime<chrono::Utc>,
        ctx: &mut Context<Self>,
    ) {
        let venue = self.setup.venue.clone();
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => return self.failed(job, &error.to_string(), ctx),
        };
        venue.observe_reply(&reply, sent_at);
        let now = venue.clock.now();
        if let Some(used) = venue.dialect.standing(&reply).used {
            self.with_budget(|_, budget| budget.observe_used(0, used, now));
        }
        // Venue time at the start of the call: the least of all that is known about it.
        let dated = reply.date().map_or(venue_then, |date| date + chrono::TimeDelta::seconds(1));
        let sent_then = venue_then.min(venue.at(sent_at)).min(dated);
        let outcome = match &job.work {
            Work::Describe(symbol) => venue.dialect.decode_instruments(Some(symbol), &reply).map(Outcome::Described),
            Work::Tickers(call) => venue.dialect.decode_tickers(call, &reply).map(Outcome::Tickers),
            Work::Candles(work) => venue
                .dialect
                .decode_candles(&work.instrument, work.timeframe, work.call.span, &reply)
                .map(|rows| Outcome::Page(FetchedPage { call: work.call, rows, sent_at: sent_then })),
            Work::Trades(work) => {
                venue.dialect.decode_trades(&work.instrument, &work.call.cursor, &reply).map(|page| {
                    let trades = page.trades.into_iter().map(|trade| work.instrument.in_base(trade)).collect();
                    let page = TradePage { trades, next: page.next };
                    Outcome::Trades(FetchedTrades { call: work.call.clone(), page, sent_at: sent_then })
                })
            }
        };
        match outcome {
            Ok(outcome) => {
                self.rest.successes += 1;
                self.rest.failing.clear();
                self.with_budget(|_, budget| budget.succeeded(now));
                self.venue_works();
                match (outcome, job.work) {
                    (Outcome::Page(page), Work::Candles(work)) => drop(work.reply.send(Ok(page))),
                    (Outcome::Trades(page), Work::Trades(work)) => drop(work.reply.send(Ok(page))),
                    (Outcome::Described(found), _) => self.described(found, ctx),
                    (Outcome::Tickers(found), _) => self.tickers_read(found, sent_at, ctx),
                    (Outcome::Page(_) | Outcome::Trades(_), _) => {}
                }
            }
            Err(error) => self.refused(job, error, ctx),
        }
    }

    fn refused(&mut self, job: Job, error: VenueError, ctx: &mut Context<Self>) {
        if let Some((refusal, retry_after)) = Refusal::of(error.kind) {
            self.turned_away(TurnedAway { door: Door::Rest, refusal, retry_after });
            return self.push(job);
        }
        match error.kind {
            ErrorKind::Unavailable | ErrorKind::Malformed => self.failed(job, &error.to_string(), ctx),
            _ => match job.work {
                Work::Describe(symbol) => self.unknown(symbol, error.message, ctx),
                Work::Tickers(_) => self.tickers_failed(error, ctx),
                work => work.fail(FetchError::Venue(error)),
            },
        }
    }

    /// Nothing passes the door before the venue's time. A ban closes both doors, because whoever
    /// tries the other one lengthens it.
    pub(super) fn turned_away(&mut self, TurnedAway { door, refusal, retry_after }: TurnedAway) {
        let now = self.setup.venue.clock.now();
        let until = self.with_budgets(|budgets| {
            let (asked, other) = match door {
                Door::Rest => (&mut budgets.rest, &mut budgets.connects),
                Door::Stream => (&mut budgets.connects, &mut budgets.rest),
            };
            let until = asked.refused(refusal, retry_after, now);
            if refusal == Refusal::Banned {
                other.block_until(until);
            }
            until
        });
        warn!(exchange = self.setup.venue.id(), ?door, ?refusal, %until, "the venue turned us away");
        if until - now >= chrono::TimeDelta::from_std(LONG_BLOCK).unwrap_or_default() {
            let exchange = self.setup.venue.id().to_owned();
            // In the venue's time: this host's clock may be corrected before it is read again.
            let until = self.setup.venue.at(until);
            self.setup.supervisor.do_send(Blocked { exchange, until });
        }
        self.report();
    }

    /// How many there are whose calls may fail.
    fn askers(&self) -> usize {
        let tickers = self.wanted.values().filter(|row| row.only_ticker).count();
        self.wanted.len() - tickers + tickers.min(1)
    }

    /// The venue did not answer as it should. Whose trouble it is, others show: when calls of two
    /// of them fail in a row it is the venue's, which closes the gate. Until then the call waits by
    /// itself, and when it fails while others succeed it is given up, as its symbol's own trouble.
    fn failed(&mut self, mut job: Job, why: &str, ctx: &mut Context<Self>) {
        debug!(exchange = self.setup.venue.id(), asker = %job.work.asker(), error = why, "call failed");
        if job.successes_then.is_none_or(|then| then < self.rest.successes) {
            job.failures += 1;
        }
        job.successes_then = Some(self.rest.successes);
        if job.failures > MAX_FAILURES {
            let attempts = job.failures;
            return match job.work {
                Work::Tickers(_) => self.tickers_failed(VenueError::new(ErrorKind::Unavailable, why), ctx),
                work => work.fail(FetchError::Exhausted { attempts, last: why.to_owned() }),
            };
        }
        self.rest.failing.insert(job.work.asker());
        if self.rest.failing.len() > 1 || self.askers() == 1 || !self.gate.is_open() {
            self.push(job);
            return self.close_gate(why.to_owned(), ctx);
        }
        let wait = HOLD_FIRST.saturating_mul(2u32.saturating_pow(job.holds)).min(HOLD_LONGEST);
        job.holds += 1;
        ctx.run_later(self.setup.venue.clock.to_wall(wait), |actor, ctx| {
            actor.push(job);
            actor.pump(ctx);
        });
    }
}

/// What a call brought.
enum Outcome {
    Page(FetchedPage),
    Trades(FetchedTrades),
    Tickers(Vec<(String, Ticker)>),
    Described(Vec<Instrument>),
}
