//! Repairs that an audit asks for. They go the way of every other save: with the ledger they prove,
//! with the higher bars that are derived from them, in one transaction.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::SymbolActor;
use super::series::Series;
use crate::actors::messages::audit::Repair;
use crate::market::Span;

impl Series {
    /// Queues a repair. What is taken away goes before what takes its place.
    fn repair(&mut self, repair: Repair) {
        for open_time in repair.taken_away {
            let statements = self.book.take_away(open_time, repair.judged_at);
            self.pending.ledger.extend(statements);
        }
        for open_time in repair.reopened {
            self.pending.ledger.extend(self.book.reopen(open_time));
        }
        if let Some((call, page)) = repair.page {
            let conclusion = self.book.conclude(&call, &page);
            self.book.concluded(&call, &conclusion);
            self.book.verified(&call, &conclusion, page.sent_at);
            self.conclude(conclusion, page.sent_at);
        }
        for settled in repair.candles {
            let open = settled.candle.open_time;
            self.cover(Span::new(open, self.grid().next_open(open)), true);
            self.push(settled);
        }
    }
}

impl Handler<Repair> for SymbolActor {
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, repair: Repair, ctx: &mut Context<Self>) -> Self::Result {
        let (done, is_durable) = oneshot::channel();
        if let Some(series) = self.series_of(repair.timeframe) {
            series.repair(repair);
            self.repairs.push(done);
        }
        self.advance(ctx);
        Box::pin(async move { is_durable.await.is_ok() }.into_actor(self))
    }
}
