//! Who subscribes to events hears each once it is recorded, in the order of the numbers, and resumes by
//! number.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use candlewick::collector::{ListenError, Subscription};
use candlewick::market::Timeframe;
use candlewick::store::event::What;
use candlewick::store::{Event, ModeChange, Store, WriteBatch};
use tokio::sync::broadcast::error::TryRecvError;

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

type Heard = Arc<Mutex<Vec<Event>>>;

/// An actor that takes its time with each event.
struct Ear(Heard, Duration);

impl Ear {
    fn start(pace: Duration) -> (Addr<Ear>, Heard) {
        let heard = Heard::default();
        (Ear(heard.clone(), pace).start(), heard)
    }
}

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<Event> for Ear {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, event: Event, _: &mut Context<Self>) -> Self::Result {
        let (heard, pace) = (self.0.clone(), self.1);
        let hearing = async move {
            tokio::time::sleep(pace).await;
            heard.lock().unwrap().push(event);
        };
        AtomicResponse::new(Box::pin(hearing.into_actor(self)))
    }
}

fn numbers(heard: &Heard) -> Vec<i64> {
    heard.lock().unwrap().iter().map(|event| event.number).collect()
}

/// Records changes of a mode, as somebody else's transactions.
async fn record(stage: &Stage, from: i64, to: i64) {
    let symbol = stage.store.symbols().await.unwrap().remove(0).id;
    for n in from..to {
        let change = ModeChange { symbol, mode: format!("mode {n}"), reason: "test".to_owned(), at: stage.now() };
        stage.store.write(&WriteBatch { modes: vec![change], ..WriteBatch::default() }).await.unwrap();
    }
}

#[test]
fn subscribers_hear_every_event_in_its_order_however_slow_they_are() {
    in_virtual_time(async {
        let stage = Stage::with(&[("binance", "BTC/USDT"), ("kraken", "BTC/USD")]).await;
        let collector = stage.collector.as_ref().unwrap();
        stage.pass(minutes(3)).await;
        let stored = collector.events_after(0, 100).await.unwrap();
        assert_eq!(stored.len(), 2, "{stored:?}");
        let (slow, late) = Ear::start(seconds(20));
        let (quick, prompt) = Ear::start(seconds(0));
        let (other, kraken) = Ear::start(seconds(0));
        collector.subscribe_events(slow.clone().recipient(), Subscription::from_first()).await.unwrap();
        collector.subscribe_events(quick.recipient(), Subscription::from_now()).await.unwrap();
        let wants = Subscription::from_first().exchange("kraken").timeframe(Timeframe::H1);
        collector.subscribe_events(other.recipient(), wants).await.unwrap();
        let mut receiver = collector.subscribe_events_broadcast().await.unwrap();
        record(&stage, 0, 12).await;
        // Nobody mentioned them: they are found in the store.
        stage.pass(seconds(70)).await;
        assert_eq!(numbers(&prompt), (3..=14).collect::<Vec<_>>(), "what was there already is left out");
        let told: Vec<i64> = std::iter::from_fn(|| receiver.try_recv().ok()).map(|event| event.number).collect();
        assert_eq!(told, numbers(&prompt));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let had = numbers(&late);
        assert!((2..8).contains(&had.len()), "one in twenty seconds, is {had:?}");
        collector.unsubscribe_events(slow.recipient()).await.unwrap();
        let (next, rest) = Ear::start(seconds(0));
        let wants = Subscription::from_now().after_event(had[had.len() - 1]);
        collector.subscribe_events(next.recipient(), wants).await.unwrap();
        stage.pass(seconds(30)).await;
        let all: Vec<i64> = had.into_iter().chain(numbers(&rest)).collect();
        assert_eq!(all, (1..=14).collect::<Vec<_>>(), "resumed where the slow one was");
        let kraken = kraken.lock().unwrap().clone();
        assert_eq!(kraken.len(), 1, "of one exchange; a mode is of no timeframe: {kraken:?}");
        assert!(matches!(kraken[0].what, What::ModeChanged { .. }));
        let wrong = Subscription::from_now().after_event(99);
        let refused = collector.subscribe_events(Ear::start(seconds(0)).0.recipient(), wrong).await;
        assert_eq!(refused, Err(ListenError::NoSuchEvent { heard: 99, last: 14 }));
    });
}

#[test]
fn a_feed_that_dies_and_a_collector_that_restarts_lose_no_event() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.pass(minutes(3)).await;
        let (ear, heard) = Ear::start(seconds(0));
        let collector = stage.collector.as_ref().unwrap();
        collector.subscribe_events(ear.recipient(), Subscription::from_first()).await.unwrap();
        stage.pass(seconds(1)).await;
        assert_eq!(numbers(&heard), [1]);
        stage.store.script(|call| match call {
            StoreCall::EventsAfter => Deed::Panic,
            _ => Deed::Proceed,
        });
        record(&stage, 0, 3).await;
        stage.pass(seconds(65)).await;
        assert_eq!(numbers(&heard), [1], "its life ended over them");
        stage.store.behave();
        stage.pass(minutes(20)).await;
        assert_eq!(numbers(&heard), [1, 2, 3, 4]);
        stage.stop().await;
        record(&stage, 3, 5).await;
        stage.start().await;
        let collector = stage.collector.as_ref().unwrap();
        let (ear, rest) = Ear::start(seconds(0));
        collector.subscribe_events(ear.recipient(), Subscription::from_now().after_event(4)).await.unwrap();
        stage.pass(seconds(40)).await;
        let told = numbers(&rest);
        // The last one is the mode in which the new life found itself.
        assert_eq!(told, (5..5 + told.len() as i64).collect::<Vec<_>>());
        assert!(told.len() >= 2, "{told:?}");
    });
}
