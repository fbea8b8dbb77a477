//! A host's actor that listens, and what must be true of what it heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use candlewick::collector::{CandleClosed, Change};
use candlewick::market::{SeriesName, Timeframe};
use candlewick::store::StoredCandle;

use crate::support::stage::symbol;

/// Everything an ear heard, in its order.
pub type Heard = Arc<Mutex<Vec<CandleClosed>>>;

/// See the module.
pub struct Ear {
    heard: Heard,
    /// How long it is busy with each message.
    pace: Duration,
    /// It panics over the message after so many.
    breaks_after: usize,
}

impl Ear {
    /// An ear in its own actor.
    pub fn start(pace: Duration) -> (Addr<Ear>, Heard) {
        let heard = Heard::default();
        (Ear { heard: heard.clone(), pace, breaks_after: usize::MAX }.start(), heard)
    }

    pub fn fragile(breaks_after: usize) -> (Addr<Ear>, Heard) {
        let heard = Heard::default();
        (Ear { heard: heard.clone(), pace: Duration::ZERO, breaks_after }.start(), heard)
    }
}

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<CandleClosed> for Ear {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, message: CandleClosed, _: &mut Context<Self>) -> Self::Result {
        assert!(self.heard.lock().unwrap().len() < self.breaks_after, "the ear was told to break");
        let (heard, pace) = (self.heard.clone(), self.pace);
        let hearing = async move {
            tokio::time::sleep(pace).await;
            heard.lock().unwrap().push(message);
        };
        AtomicResponse::new(Box::pin(hearing.into_actor(self)))
    }
}

pub fn minutes_of(exchange: &str, name: &str) -> SeriesName {
    SeriesName::new(exchange, symbol(name), Timeframe::M1)
}

pub fn of<'a>(heard: &'a [CandleClosed], series: &SeriesName) -> Vec<&'a CandleClosed> {
    heard.iter().filter(|closed| closed.series == *series).collect()
}

/// Follows the numbers of one series after `from`: nothing is missing, nothing comes twice. Returns the
/// last number.
pub fn assert_chain<'a>(heard: impl IntoIterator<Item = &'a CandleClosed>, from: i64) -> i64 {
    let mut last = from;
    for closed in heard {
        assert_eq!(closed.previous, last, "{} is told {} after {last}", closed.series, closed.sequence);
        assert!(closed.sequence > last, "{closed:?}");
        last = closed.sequence;
    }
    last
}

/// Who did what he heard has the bars that are stored.
pub fn assert_same_bars<'a>(heard: impl IntoIterator<Item = &'a CandleClosed>, stored: &[StoredCandle]) {
    let mut bars = BTreeMap::new();
    for closed in heard {
        match closed.change {
            Change::Withdrawn => bars.remove(&closed.candle.open_time),
            Change::Candle | Change::Correction => bars.insert(closed.candle.open_time, closed.candle),
        };
    }
    assert!(bars.keys().eq(stored.iter().map(|row| &row.candle.open_time)), "{:?}", bars.keys());
    for (told, row) in bars.values().zip(stored) {
        assert!(told.agrees_with(&row.candle), "told {told:?}, stored {row:?}");
    }
}
