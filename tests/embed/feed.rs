//! Who subscribes hears of every candle once it is committed, in the order of its number, however slow
//! he is and whatever dies; and nobody else notices.

use std::sync::atomic::{AtomicU32, Ordering};

use candlewick::collector::{BROADCAST_KEEPS, Change, ListenError, Subscription};
use candlewick::market::{FinalCandle, Rule, Source, Timeframe};
use candlewick::sim::SimConfig;
use candlewick::store::{SeriesChange, Store, WriteBatch};
use chrono::TimeDelta;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::ear::{Ear, Heard, assert_chain, assert_same_bars, minutes_of, of};
use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const MARKETS: [(&str, &str); 2] = [("kraken", "BTC/USD"), ("binance", "BTC/USDT")];

async fn until_live(stage: &Stage, markets: &[(&str, &str)]) {
    for (exchange, name) in markets {
        stage.until("live", minutes(5), |stage| stage.is_live(&format!("{exchange}:{name}"))).await;
    }
}

/// The ear has every number of a series from `from` on, and the bars that the store has.
async fn assert_heard(stage: &Stage, heard: &Heard, (exchange, name): (&str, &str)) {
    let series = stage.series(exchange, name, Timeframe::M1).await;
    let heard = heard.lock().unwrap().clone();
    let told = of(&heard, &minutes_of(exchange, name));
    assert_eq!(assert_chain(told.iter().copied(), 0), series.last_sequence);
    let stored = stage.stored(exchange, name, Timeframe::M1).await;
    assert!(stored.len() > 100, "{}", stored.len());
    assert_same_bars(told, &stored);
}

#[test]
fn a_subscriber_hears_every_candle_once_and_a_correction_as_one() {
    in_virtual_time(async {
        let stage = Stage::with(&MARKETS).await;
        let collector = stage.collector.as_ref().unwrap();
        let (ear, heard) = Ear::start(seconds(0));
        collector.subscribe(ear.recipient(), Subscription::from_first()).await.unwrap();
        until_live(&stage, &MARKETS).await;
        // Somebody else's transaction, of which the writer knows nothing.
        let series = stage.series("kraken", "BTC/USD", Timeframe::M1).await;
        let old = stage.stored("kraken", "BTC/USD", Timeframe::M1).await[3].candle;
        let corrected = candlewick::market::Candle { volume: old.volume + 1.0, ..old };
        let candle =
            FinalCandle { candle: corrected, source: Source::Rest, rule: Rule::Rest, observed_at: stage.now() };
        let change = SeriesChange { candles: vec![candle], ..SeriesChange::new(series.id) };
        stage.store.write(&WriteBatch { series: vec![change], ..WriteBatch::default() }).await.unwrap();
        stage.pass(minutes(5)).await;
        for market in MARKETS {
            assert_heard(&stage, &heard, market).await;
        }
        let heard = heard.lock().unwrap();
        let found = heard.iter().find(|closed| closed.candle == corrected).expect("the correction is told");
        assert_eq!((found.change, found.is_revision(), found.source), (Change::Correction, true, Source::Rest));
        assert!(heard.iter().any(|closed| closed.change == Change::Candle && !closed.is_revision()));
    });
}

#[test]
fn a_slow_subscriber_holds_nobody_up_and_the_next_goes_on_where_it_was() {
    in_virtual_time(async {
        let stage = Stage::with(&MARKETS).await;
        let collector = stage.collector.as_ref().unwrap();
        let ((slow, late), (quick, prompt)) = (Ear::start(seconds(40)), Ear::start(seconds(0)));
        let wants = Subscription::from_first().exchange("kraken");
        collector.subscribe(slow.clone().recipient(), wants.clone()).await.unwrap();
        collector.subscribe(quick.recipient(), Subscription::from_first()).await.unwrap();
        until_live(&stage, &MARKETS).await;
        let from = stage.now();
        stage.pass(minutes(5)).await;
        for (exchange, name) in MARKETS {
            stage.assert_punctual(exchange, name, from, TimeDelta::seconds(6)).await;
            assert_heard(&stage, &prompt, (exchange, name)).await;
        }
        let had = late.lock().unwrap().clone();
        assert!((5..12).contains(&had.len()), "one in forty seconds, is {}", had.len());
        collector.unsubscribe(slow.recipient()).await.unwrap();
        let series = minutes_of("kraken", "BTC/USD");
        let last = assert_chain(had.iter(), 0);
        let (next, rest) = Ear::start(seconds(0));
        let wants = wants.after(series.clone(), last);
        collector.subscribe(next.recipient(), wants).await.unwrap();
        stage.pass(minutes(1)).await;
        assert!(late.lock().unwrap().len() <= had.len() + 1, "only what was under way");
        late.lock().unwrap().truncate(had.len());
        late.lock().unwrap().extend(rest.lock().unwrap().iter().cloned());
        assert_heard(&stage, &late, ("kraken", "BTC/USD")).await;
        assert!(late.lock().unwrap().iter().all(|closed| closed.series == series), "nothing else was wanted");
    });
}

#[test]
fn a_subscriber_that_dies_is_forgotten_and_a_feed_that_panics_goes_on_where_it_was() {
    in_virtual_time(async {
        let stage = Stage::with(&MARKETS).await;
        let collector = stage.collector.as_ref().unwrap();
        let ((fragile, few), (ear, heard)) = (Ear::fragile(7), Ear::start(seconds(0)));
        collector.subscribe(fragile.clone().recipient(), Subscription::from_first()).await.unwrap();
        collector.subscribe(ear.recipient(), Subscription::from_first()).await.unwrap();
        let mut receiver = collector.subscribe_broadcast().await.unwrap();
        let panics = AtomicU32::new(0);
        stage.store.script(move |call| match call {
            StoreCall::CandlesAfter(_) if panics.fetch_add(1, Ordering::Relaxed) % 5 == 1 => Deed::Panic,
            StoreCall::CandlesAfter(_) if panics.load(Ordering::Relaxed) % 5 == 3 => Deed::Fail,
            _ => Deed::Proceed,
        });
        until_live(&stage, &MARKETS).await;
        let from = stage.now();
        stage.pass(minutes(3)).await;
        stage.store.behave();
        // Its policy gives it a rest of a minute when it panics too often.
        stage.pass(minutes(4)).await;
        assert!(!fragile.connected());
        assert_eq!(few.lock().unwrap().len(), 7);
        for (exchange, name) in MARKETS {
            assert_heard(&stage, &heard, (exchange, name)).await;
            stage.assert_punctual(exchange, name, from, TimeDelta::seconds(6)).await;
            assert_eq!(stage.restarts(&format!("{exchange}:{name}")), 0);
        }
        let mut told = Vec::new();
        let end = loop {
            match receiver.try_recv() {
                Ok(closed) => told.push(closed),
                Err(end) => break end,
            }
        };
        assert_eq!(end, TryRecvError::Empty, "the channel outlives the life that filled it");
        for (exchange, name) in MARKETS {
            let series = stage.series(exchange, name, Timeframe::M1).await;
            let told = of(&told, &minutes_of(exchange, name));
            assert_eq!(assert_chain(told.iter().copied(), told[0].previous), series.last_sequence);
        }
    });
}

#[test]
fn a_receiver_that_lags_is_told_so_and_catches_up_by_number() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.start().await;
        let collector = stage.collector.as_ref().unwrap();
        let mut receiver = collector.subscribe_broadcast().await.unwrap();
        stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::days(4)).await;
        until_live(&stage, &MARKETS[1..]).await;
        let last = stage.series("binance", "BTC/USDT", Timeframe::M1).await.last_sequence;
        assert!(last as usize > BROADCAST_KEEPS, "{last}");
        let Err(RecvError::Lagged(lost)) = receiver.recv().await else { panic!("it did not lag") };
        assert!(lost > 0);
        let first = receiver.recv().await.unwrap();
        let series = minutes_of("binance", "BTC/USDT");
        let mut heard = Vec::new();
        while let since = assert_chain(&heard, 0)
            && since < first.previous
        {
            heard.extend(collector.candles_after(&series, since, 1000).await.unwrap());
        }
        heard.retain(|closed| closed.sequence <= first.previous);
        heard.push(first);
        while let Ok(closed) = receiver.try_recv() {
            heard.push(closed);
        }
        assert_eq!(assert_chain(&heard, 0), last);
        stage.stop().await;
        assert_eq!(receiver.recv().await, Err(RecvError::Closed));
    });
}

#[test]
fn a_subscription_goes_on_in_the_next_collector_and_none_is_lost_between_them() {
    in_virtual_time(async {
        let mut stage = Stage::with(&MARKETS).await;
        let (ear, heard) = Ear::start(seconds(0));
        for _ in 0..3 {
            let collector = stage.collector.as_ref().unwrap();
            let mut wants = Subscription::from_first();
            for (exchange, name) in MARKETS {
                let series = minutes_of(exchange, name);
                let last = of(&heard.lock().unwrap(), &series).last().map_or(0, |closed| closed.sequence);
                wants = wants.after(series, last);
            }
            collector.subscribe(ear.clone().recipient(), wants).await.unwrap();
            until_live(&stage, &MARKETS).await;
            stage.pass(minutes(2)).await;
            let remote = collector.remote();
            stage.stop().await;
            let refused = remote.subscribe(ear.clone().recipient(), Subscription::from_now()).await;
            assert_eq!(refused, Err(ListenError::Ended));
            assert_eq!(remote.subscribe_broadcast().await.unwrap_err(), ListenError::Ended);
            for market in MARKETS {
                assert_heard(&stage, &heard, market).await;
            }
            stage.pass(minutes(3)).await;
            stage.start().await;
        }
        let series = minutes_of("kraken", "BTC/USD");
        let wants = Subscription::from_now().after(series, 1_000_000);
        let refused = stage.collector.as_ref().unwrap().subscribe(ear.recipient(), wants).await.unwrap_err();
        assert!(refused.to_string().starts_with("kraken BTC/USD 1m: 1000000 was heard, but the last number is "));
    });
}

#[test]
fn a_subscription_from_now_leaves_out_what_is_stored_and_hears_later_series_from_the_first() {
    in_virtual_time(async {
        let stage = Stage::with(&MARKETS[..1]).await;
        until_live(&stage, &MARKETS[..1]).await;
        let collector = stage.collector.as_ref().unwrap();
        let (ear, heard) = Ear::start(seconds(0));
        let wants = Subscription::from_now().timeframe(Timeframe::M1);
        collector.subscribe(ear.recipient(), wants).await.unwrap();
        let before = stage.series("kraken", "BTC/USD", Timeframe::M1).await.last_sequence;
        stage.want("binance", "BTC/USDT", &[Timeframe::M1, Timeframe::M5], TimeDelta::hours(2)).await;
        until_live(&stage, &MARKETS[1..]).await;
        stage.pass(minutes(2)).await;
        assert_heard(&stage, &heard, MARKETS[1]).await;
        let heard = heard.lock().unwrap().clone();
        let after = stage.series("kraken", "BTC/USD", Timeframe::M1).await.last_sequence;
        assert!(after > before);
        assert_eq!(assert_chain(of(&heard, &minutes_of("kraken", "BTC/USD")), before), after);
        assert!(heard.iter().all(|closed| closed.series.timeframe == Timeframe::M1));
    });
}
