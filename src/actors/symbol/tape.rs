//! The trades of a symbol: what a stream delivers and what REST reads goes to the store with its
//! proof, and to the series that are built from it.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::SymbolActor;
use super::saves::STATEMENT_AGE;
use super::series::Series;
use crate::actors::messages::{FetchError, FetchTrades, FetchedTrades, StreamBatch};
use crate::engine::settle::ConnectionId;
use crate::engine::tape::ids::IdRanges;
use crate::engine::tape::live::{Heard, Live};
use crate::engine::tape::pass::Pass;
use crate::engine::tape::{Tape, TradeCall};
use crate::exchange::{ErrorKind, TradeCursor, VenueError};
use crate::market::{Grid, Span, SpanSet, Timeframe, Trade};
use crate::store::{SymbolId, TradesChange};
use crate::supervise::exit::Exit;

/// Trades that wait are saved when there are so many, when the oldest is so old, at each minute's
/// boundary, and at a stop.
const BATCH_TRADES: usize = 1_000;
const BATCH_AGE: Duration = Duration::from_secs(1);
/// While so many wait for the store, no more are read or heard.
const MOST_WAITING: usize = 100_000;

/// See the module.
pub(super) struct TapeSide {
    pub tape: Tape,
    pub live: Live,
    /// Trades are stored.
    pub keeps: bool,
    pub pass: Option<ActivePass>,
    is_calling: bool,
    pub is_reading: bool,
    pub pending: TradesChange,
    pending_ids: IdRanges,
    pending_since: Option<Instant>,
    /// The minute in venue time in which the oldest waiting trade came.
    pending_minute: i64,
}

/// A pass under way, and the last stored trade it was fed.
pub(super) struct ActivePass {
    pub pass: Pass,
    pub last: Option<Trade>,
    /// It reads what is stored, else it reads by REST and keeps nothing.
    pub from_store: bool,
    /// The minutes of which trades have become known since it began: it may have read too few.
    pub late: SpanSet,
}

impl TapeSide {
    pub fn new(symbol: SymbolId, tape: Tape, live: Live, keeps: bool) -> TapeSide {
        TapeSide {
            tape,
            live,
            keeps,
            pass: None,
            is_calling: false,
            is_reading: false,
            pending: TradesChange::new(symbol),
            pending_ids: IdRanges::default(),
            pending_since: None,
            pending_minute: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.pending.trades.len() >= MOST_WAITING
    }

    fn wait_for_save(&mut self, now: DateTime<Utc>) {
        if self.pending_since.is_none() && self.has_pending() {
            self.pending_since = Some(Instant::now());
            self.pending_minute = now.timestamp().div_euclid(60);
        }
    }

    /// True when anything waits to be saved.
    pub fn has_pending(&self) -> bool {
        let change = &self.pending;
        let has_spans = !(change.complete_spans.is_empty() && change.withdrawn.is_empty());
        has_spans || !(change.trades.is_empty() && change.unavailable.is_empty())
    }

    /// True when what waits should be saved now.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        let Some(since) = self.pending_since else { return false };
        self.pending.trades.len() >= BATCH_TRADES
            || since.elapsed() >= self.patience()
            || self.pending_minute != now.timestamp().div_euclid(60)
    }

    /// Proof that nothing was traded waits longer than trades do.
    fn patience(&self) -> Duration {
        if self.pending.trades.is_empty() { STATEMENT_AGE } else { BATCH_AGE }
    }

    /// Wall-clock time until what waits is to be saved.
    pub fn save_in(&self) -> Option<Duration> {
        self.pending_since.map(|since| self.patience().saturating_sub(since.elapsed()))
    }

    pub fn take_pending(&mut self) -> TradesChange {
        self.pending_since = None;
        let ids = std::mem::take(&mut self.pending_ids);
        let symbol = self.pending.symbol;
        let mut change = std::mem::replace(&mut self.pending, TradesChange::new(symbol));
        change.complete_ids = ids.ranges().iter().map(|range| (range.first, range.last)).collect();
        change
    }

    /// A stretch is not complete after all.
    pub fn withdraw(&mut self, span: Span, now: DateTime<Utc>) {
        // What waits was stated before this.
        let before: SpanSet = self.pending.complete_spans.drain(..).collect();
        self.pending.complete_spans = before.subtract(&[span].into_iter().collect()).spans().to_vec();
        self.pending.withdrawn.push(span);
        self.wait_for_save(now);
    }

    /// Ids tell of trades that are missing where the stream was taken for quiet. True when what it
    /// claims since its begin is no longer true.
    fn retract(&mut self, doubted: &[Span], now: DateTime<Utc>) -> bool {
        let Some(until) = doubted.iter().map(|span| span.to).max() else { return false };
        doubted.iter().for_each(|span| self.withdraw(*span, now));
        let claims = self.live.from().is_some_and(|from| from < until);
        if claims {
            warn!("the ids of trades tell that some were left out; they are read");
            self.live.begin_anew(now);
        }
        claims
    }

    fn keep(&mut self, trades: Vec<Trade>, known: impl IntoIterator<Item = Span>, ids: &IdRanges, now: DateTime<Utc>) {
        if !self.keeps {
            return;
        }
        self.pending.trades.extend(trades);
        let by_ids: Vec<Span> = ids.ranges().iter().filter_map(|range| self.tape.proven_by(range.first)).collect();
        for span in known.into_iter().chain(by_ids) {
            match self.pending.complete_spans.last_mut() {
                Some(last) if last.from <= span.from && span.from <= last.to => last.to = last.to.max(span.to),
                _ => self.pending.complete_spans.push(span),
            }
        }
        ids.ranges().iter().for_each(|range| self.pending_ids.insert(*range));
        self.wait_for_save(now);
    }
}

impl SymbolActor {
    /// A stream of trades was attached.
    pub(super) fn attach_tape(&mut self, connection: ConnectionId, acked_at: DateTime<Utc>) {
        let Some(side) = &mut self.tape else { return };
        let before = side.live.from();
        side.live.attach(connection, acked_at);
        self.build_as_heard(before);
    }

    pub(super) fn detach_tape(&mut self, connection: ConnectionId) {
        let Some(side) = &mut self.tape else { return };
        let before = side.live.from();
        side.live.detach(connection);
        self.build_as_heard(before);
    }

    /// Buckets are built from where the stream now begins, unless it goes on from where it began `before`.
    fn build_as_heard(&mut self, before: Option<DateTime<Utc>>) {
        let from = self.tape.as_ref().and_then(|side| side.live.from());
        if from != before {
            self.series.iter_mut().for_each(|series| series.build_from(from));
        }
    }

    /// Takes what a connection said of trades. True when something was decided.
    pub(super) fn hear(&mut self, batch: &mut StreamBatch, observed_at: DateTime<Utc>) -> bool {
        let Some(side) = &mut self.tape else { return false };
        if !side.live.hears(batch.connection) {
            return false;
        }
        let now = self.setup.venue.now();
        let news = std::mem::take(&mut batch.tape);
        let mut trades = news.trades;
        let mut broke = news.lost;
        if side.is_full() {
            self.setup.venue.tally.dropped("trades_while_the_store_is_away", trades.len() as u64);
            broke |= !trades.is_empty();
            trades.clear();
        }
        if broke {
            side.live.interrupted(batch.connection, now);
        }
        if let Some(recalled) = news.recalled {
            side.live.recall(batch.connection, &recalled);
        }
        let instrument = &self.setup.instrument;
        let mut trades: Vec<Trade> = trades.into_iter().map(|trade| instrument.in_base(trade)).collect();
        if trades.iter().any(|trade| side.tape.knows_in_part(trade)) {
            // Read in another cut, by REST: what follows is read there too, up to a new run.
            side.live.interrupted(batch.connection, now);
            trades.clear();
            broke = true;
        }
        let reached = side.live.until();
        let mut all = vec![side.live.hear(batch.connection, trades, batch.alive_at)];
        all.extend(news.announced.map(|(id, stamp)| side.live.announce(batch.connection, &id, stamp)));
        let (mut built, mut times) = (Vec::new(), Vec::new());
        for heard in all {
            let Heard { mut fresh, proven, ids, built: decided, broke: lost } = heard;
            fresh.retain(|trade| !side.tape.knows(trade));
            broke |= lost;
            let proven = side.tape.believed(proven);
            let doubted = side.tape.heard(&proven, ids.ranges(), fresh.iter().map(|trade| trade.time).max());
            times.extend(fresh.iter().map(|trade| trade.time));
            side.keep(fresh, proven, &ids, now);
            if !side.retract(&doubted, now) {
                built.extend(decided);
            } else {
                broke = true;
            }
        }
        let claimed = reached.zip(side.live.until()).filter(|_| !broke);
        let is_due = side.is_due(now);
        let is_news = !built.is_empty() || broke || is_due;
        self.build_again(&times);
        if broke {
            self.build_as_heard(None);
        }
        if let Some((from, to)) = claimed {
            self.compare_claimed(Span::new(from, to), now);
        }
        for built in built {
            if let Some(series) = self.series_of(built.timeframe) {
                series.build(built, observed_at);
            }
        }
        is_news
    }

    /// Final candles that trades belong to which nobody knew of are built once more from the store.
    fn build_again(&mut self, times: &[DateTime<Utc>]) {
        if let Some(active) = self.tape.as_mut().and_then(|side| side.pass.as_mut()) {
            let minutes = Grid::utc(Timeframe::M1);
            let opens = times.iter().map(|time| minutes.bucket_at(*time));
            opens.for_each(|open| active.late.insert(Span::new(open, minutes.next_open(open))));
        }
        for series in self.series.iter_mut().filter(|series| series.book.is_from_trades()) {
            times.iter().for_each(|time| series.build_again(*time));
        }
    }

    pub(super) fn series_of(&mut self, timeframe: Timeframe) -> Option<&mut Series> {
        self.series.iter_mut().find(|series| series.timeframe == timeframe)
    }

    /// Reads trades that are due, and builds what can be built of them.
    pub(super) fn advance_tape(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.give_up_unavailable(now);
        self.start_pass(now, ctx);
        self.read_stored(ctx);
        let Some(side) = &mut self.tape else { return };
        if side.is_calling || side.is_full() {
            return;
        }
        // The venue's candles tell of trades that its pages must have.
        side.tape.heard(&[], &[], self.series.iter().filter_map(|series| series.traded).max());
        let pass_gap = side.pass.as_ref().filter(|active| !active.from_store).and_then(|active| active.pass.gap());
        let Some(call) = side.tape.call(now, side.live.from(), pass_gap) else { return };
        side.is_calling = true;
        debug!(cursor = ?call.cursor, gap = %call.gap, priority = ?call.priority, "trade call");
        self.fetch(call, ctx);
    }

    fn fetch(&mut self, mut call: TradeCall, ctx: &mut Context<Self>) {
        let dialect = &self.setup.venue.dialect;
        if dialect.encode_trades(&self.setup.instrument, &call.cursor).is_none() {
            // Where a venue has no call for the place, its newest trades show the way there.
            call.cursor = TradeCursor::Newest;
        }
        let fetching = self.setup.parent.send(FetchTrades { instrument: self.setup.instrument.clone(), call });
        ctx.spawn(fetching.into_actor(self).map(move |result, actor, ctx| match result {
            Ok(result) => actor.fetched_trades(result, ctx),
            // The parent ended, and with it this family.
            Err(_) => actor.end(Exit::Finished, ctx),
        }));
    }

    fn fetched_trades(&mut self, result: Result<FetchedTrades, FetchError>, ctx: &mut Context<Self>) {
        let FetchedTrades { call, page, sent_at } = match result {
            Ok(fetched) => fetched,
            Err(FetchError::Venue(VenueError { kind: ErrorKind::UnknownSymbol, message })) => {
                return self.refused(message, ctx);
            }
            Err(FetchError::Cancelled) => {
                self.is_stopping = true;
                return self.advance(ctx);
            }
            Err(error) => return self.end(Exit::Failed(error.to_string()), ctx),
        };
        let Some(side) = &mut self.tape else { return };
        side.is_calling = false;
        let after_empty = self.setup.venue.dialect.cursor_after_empty(&call.cursor);
        let read = side.tape.read(&call, page, after_empty, sent_at);
        self.setup.venue.tally.dropped("trade_absent_at_the_venue", read.absent.len() as u64);
        if call.is_pass {
            if let Some(known) = read.known {
                self.feed_pass(&read.trades, known.to);
            }
            return self.advance(ctx);
        }
        let now = self.setup.venue.now();
        if side.live.missed(&read.trades) {
            // A venue that was mute for a while began without a word of what it had left out.
            side.live.begin_anew(now);
            self.build_as_heard(None);
        }
        let Some(side) = &mut self.tape else { return };
        if side.keeps {
            side.pending.unavailable.extend(read.unavailable.iter().map(|(span, why)| (*span, (*why).to_owned())));
        }
        let mut ids = IdRanges::default();
        read.ids.into_iter().for_each(|range| ids.insert(range));
        let times: Vec<_> = read.trades.iter().map(|trade| trade.time).collect();
        side.keep(read.trades, read.known, &ids, now);
        self.build_again(&times);
        self.advance(ctx);
    }

    /// What waits of the trades, for a save.
    pub(super) fn take_trades(&mut self) -> Option<Arc<TradesChange>> {
        let side = self.tape.as_mut().filter(|side| side.has_pending())?;
        Some(Arc::new(side.take_pending()))
    }
}
