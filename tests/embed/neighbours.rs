//! Collectors in one process: each on its own database they do not meet; on one, the second is refused.

use candlewick::collector::{Collector, StartError, Subscription};
use candlewick::market::Timeframe;
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::store::{Store, StoreError};
use chrono::TimeDelta;

use crate::ear::{Ear, assert_chain, assert_same_bars};
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

#[test]
fn collectors_with_databases_of_their_own_do_not_meet() {
    in_virtual_time(async {
        // The same exchange, other markets behind it.
        let one = Stage::with(&[("kraken", "BTC/USD"), ("binance", "BTC/USDT")]).await;
        let mut two = Stage::new(SimConfig { seed: 7, ..SimConfig::default() }).await;
        two.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        two.start().await;
        let (ear, heard) = Ear::start(seconds(0));
        let collector = one.collector.as_ref().unwrap();
        collector.subscribe(ear.recipient(), Subscription::from_first().exchange("kraken")).await.unwrap();
        for stage in [&one, &two] {
            stage.until("streaming", minutes(2), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        }
        // One has trouble with the exchange, the other one is stopped: neither notices the other.
        two.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::KRAKEN).times(1));
        two.pass(minutes(3)).await;
        let names = |stage: &Stage| stage.statuses().into_iter().map(|s| s.component).collect::<Vec<_>>();
        assert_eq!(names(&one), ["binance", "binance:BTC/USDT", "kraken", "kraken:BTC/USD", "ohlcv_daemon", "writer"]);
        assert_eq!(names(&two), ["kraken", "kraken:BTC/USD", "ohlcv_daemon", "writer"]);
        assert_eq!((one.sockets_opened("kraken"), two.sockets_opened("kraken")), (2, 3));
        two.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        two.stop().await;
        let from = one.now();
        one.pass(minutes(3)).await;
        one.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        one.assert_punctual("kraken", "BTC/USD", from, TimeDelta::seconds(6)).await;
        // Each ear hears its own: the numbers are those of this database, and the bars too.
        let heard = heard.lock().unwrap().clone();
        let series = one.series("kraken", "BTC/USD", Timeframe::M1).await;
        assert_eq!(assert_chain(heard.iter(), 0), series.last_sequence);
        let stored = one.stored("kraken", "BTC/USD", Timeframe::M1).await;
        assert_same_bars(heard.iter(), &stored);
        let others = two.stored("kraken", "BTC/USD", Timeframe::M1).await;
        assert!(stored.iter().zip(&others).all(|(own, other)| own.candle != other.candle), "other markets");
    });
}

#[test]
fn on_the_database_of_another_one_the_second_is_refused_and_the_first_goes_on() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        let second = || {
            let url = stage.store.url().to_owned();
            Collector::builder().database(url).clock(stage.clock.clone()).transport(stage.transport.clone())
        };
        let refused = second().simulator("http://sim").start().await.err().expect("it is held");
        assert!(matches!(refused, StartError::Store(StoreError::Held { .. })), "{refused}");
        let message = refused.to_string();
        assert!(message.starts_with("another collector holds this database (pid "), "{message}");
        assert!(message.ends_with(": a collector); stop it first, or use another --database"), "{message}");
        stage.pass(minutes(3)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.stop().await;
    });
}
