//! What trades make of a series: live from a stream, and later from trades that are read.

use chrono::{DateTime, Utc};

use super::{Feed, Series};
use crate::engine::tape::build::Built;
use crate::market::ledger::LedgerChange;
use crate::market::{FinalCandle, Span, SpanSet};

impl Series {
    /// The stream's trades decide buckets from `from` on; `None`: there is no stream.
    pub fn build_from(&mut self, from: Option<DateTime<Utc>>) {
        let grid = self.grid();
        if let Feed::Built { next } = &mut self.feed {
            *next = from.map(|from| grid.ceil(from));
        }
    }

    /// Queues what a stream's trades decided. Where candles are built from trades alone there is
    /// nothing to verify them with.
    pub fn build(&mut self, built: Built, observed_at: DateTime<Utc>) {
        if self.is_full(built.candles.len()) {
            return;
        }
        let verified = self.book.is_from_trades();
        let decided: SpanSet = built.complete.into_iter().collect();
        // Somebody else may have been faster.
        let news = decided.subtract(&self.book.complete()).subtract(&self.unsaved);
        for (candle, source, rule) in built.candles {
            let is_correction = !decided.contains(candle.open_time);
            if is_correction && !verified {
                // What the venue itself says of it decides.
                let bucket = Span::new(candle.open_time, self.grid().next_open(candle.open_time));
                self.book.doubt(bucket);
                self.state(LedgerChange::Unverify(bucket));
            }
            if is_correction || news.contains(candle.open_time) {
                self.push(FinalCandle { candle, source, rule, observed_at });
            }
        }
        news.spans().iter().for_each(|span| self.cover(*span, verified));
        if let (Feed::Built { next: Some(next) }, Some(last)) = (&mut self.feed, decided.spans().last()) {
            *next = (*next).max(last.to);
        }
    }

    /// The bucket of a trade that nobody knew of is built again if it was final. The statement is
    /// saved with the trade, so that no restart forgets it.
    pub fn build_again(&mut self, time: DateTime<Utc>) {
        let open = self.grid().bucket_at(time);
        if self.is_settled(open) {
            self.state(LedgerChange::Unverify(Span::new(open, self.grid().next_open(open))));
        }
    }

    /// From the first bucket inside `span` that is built again to the next trade after it, the quiet
    /// ones are built again too.
    pub fn build_quiet_again(&mut self, span: Span, next_trade: DateTime<Utc>) {
        if let Some(first) = self.book.outdated().within(span).spans().first() {
            let followers = Span::new(first.to, self.grid().bucket_at(next_trade));
            if !followers.is_empty() {
                self.state(LedgerChange::Unverify(followers));
            }
        }
    }

    /// What is to be built from trades at hand.
    pub fn trade_work(&self, now: DateTime<Utc>) -> SpanSet {
        self.book.trade_work(now).subtract(&self.unsaved)
    }

    /// Queues what a pass over old trades decided, as far as it was missing or outdated. Where trades came
    /// `late`, while it was under way, it stands for now: it is built again, and what is quiet after it.
    pub fn build_missing(&mut self, built: Built, late: &SpanSet, now: DateTime<Utc>) {
        let (grid, is_from_trades) = (self.grid(), self.book.is_from_trades());
        let work = self.trade_work(now);
        let wanted = |open: DateTime<Utc>| work.contains(open);
        for (candle, source, rule) in built.candles.into_iter().filter(|(candle, ..)| wanted(candle.open_time)) {
            self.push(FinalCandle { candle, source, rule, observed_at: now });
        }
        for span in built.complete.iter().flat_map(|span| work.within(*span).spans().to_vec()) {
            self.cover(span, true);
            for late in late.within(span).spans().iter().filter(|_| is_from_trades) {
                self.state(LedgerChange::Unverify(Span::new(grid.bucket_at(late.from), grid.ceil(late.to))));
            }
        }
        for span in built.priceless.iter().flat_map(|span| work.within(*span).spans().to_vec()) {
            let change = self.book.priceless(span, now);
            self.state(change);
        }
    }
}
