//! Hosts whose clock is wrong, until it is corrected.

use candlewick::sim::{Fault, FaultKind, Venue};
use candlewick::store::Store;
use chrono::TimeDelta;

use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const AHEAD: [TimeDelta; 3] = [TimeDelta::hours(3), TimeDelta::hours(-3), TimeDelta::seconds(40)];

#[test]
fn a_host_that_is_hours_ahead_or_behind_settles_nothing_early_and_nothing_late() {
    in_virtual_time(async {
        for ahead in AHEAD {
            let mut stage = Stage::with(&[]).await;
            stage.stop().await;
            let wanted = [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "BTC/USD")];
            for (exchange, name) in wanted {
                stage.want(exchange, name, &[candlewick::market::Timeframe::M1], TimeDelta::hours(2)).await;
            }
            stage.start_ahead(ahead).await;
            stage.pass(minutes(20)).await;
            for (exchange, name) in wanted {
                // A quiet bar of Yahoo is proven by its age, or by a bar after it.
                let ago = if exchange == "yahoo" { minutes(50) } else { seconds(20) };
                stage.assert_minutes(exchange, name, ago).await;
                assert_eq!(stage.restarts(&format!("{exchange}:{name}")), 0);
            }
        }
    });
}

#[test]
fn what_was_observed_by_a_clock_that_was_ahead_gives_way_to_what_is_observed_after_it() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("binance", "BTC/USDT")]).await;
        stage.poll_only("binance").await;
        stage.stop().await;
        // Each bar lacks some of its volume in the first minute after its close.
        stage.inject(Fault::new(FaultKind::LateRevision { lasting: seconds(60) }).on(Venue::BINANCE));
        stage.start_ahead(TimeDelta::hours(3)).await;
        stage.pass(minutes(5)).await;
        stage.stop().await;
        stage.start().await;
        stage.pass(minutes(20)).await;
        stage.assert_minutes("binance", "BTC/USDT", minutes(15)).await;
    });
}

#[test]
fn a_ban_told_to_a_host_that_was_ahead_is_over_when_the_venue_says_so() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("binance", "BTC/USDT")]).await;
        stage.stop().await;
        let ban = FaultKind::Http418 { retry_after: Some(seconds(120)) };
        stage.inject(Fault::new(ban).on(Venue::BINANCE).times(1));
        stage.start_ahead(TimeDelta::hours(3)).await;
        stage.pass(seconds(30)).await;
        stage.stop().await;
        let rows = stage.store.exchanges().await.unwrap();
        let until = rows.iter().find(|row| row.name == "binance").unwrap().blocked_until.expect("it is remembered");
        let left = until - stage.now();
        assert!(left > TimeDelta::seconds(60) && left <= TimeDelta::seconds(121), "{left}");
        stage.start().await;
        stage.pass(minutes(5)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(20)).await;
    });
}
