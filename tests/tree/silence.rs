//! A stream that is acknowledged and then says nothing about a symbol that trades.

use std::time::Duration;

use candlewick::market::{Source, Timeframe};
use candlewick::sim::{Fault, FaultKind, Venue};
use chrono::TimeDelta;

use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol};

#[test]
fn a_deaf_symbol_is_found_by_verification_revised_and_polled_while_the_others_stream() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("kraken", "ETH/USD")]).await;
        let (deaf, other) = ("kraken:ETH/USD", "kraken:BTC/USD");
        stage.until("streaming", seconds(1), |stage| stage.is_streaming(deaf)).await;
        stage.pass(minutes(3)).await;
        let from = stage.now();
        stage.inject(
            Fault::new(FaultKind::Stall)
                .on(Venue::KRAKEN)
                .symbol(symbol("ETH/USD"))
                .between(Duration::ZERO, minutes(14)),
        );
        stage.pass(minutes(3)).await;
        let rows = stage.stored("kraken", "ETH/USD", Timeframe::M1).await;
        assert!(rows.iter().any(|row| row.source == Source::Synthesised), "flat bars by the venue's rule");
        stage.until("polled", minutes(16), |stage| stage.is_polling(deaf)).await;
        assert!(stage.is_streaming(other));
        assert!(stage.collector.as_ref().unwrap().totals().revisions > 0);
        stage.pass(minutes(1)).await;
        stage.assert_minutes("kraken", "ETH/USD", seconds(15)).await;
        // After a quarter of an hour its stream is tried again.
        stage.until("streaming", minutes(16), |stage| stage.is_streaming(deaf)).await;
        stage.pass(minutes(20)).await;
        assert!(stage.is_streaming(deaf) && stage.is_streaming(other));
        stage.assert_minutes("kraken", "ETH/USD", seconds(15)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.assert_punctual("kraken", "BTC/USD", from, TimeDelta::seconds(6)).await;
        assert_eq!(stage.sockets_opened("kraken"), 2);
        assert_eq!(stage.restarts(deaf) + stage.restarts(other), 0);
    });
}

#[test]
fn a_quiet_symbol_is_not_taken_for_a_deaf_one() {
    in_virtual_time(async {
        // The venue's fifth market trades a few times an hour.
        let stage = Stage::with(&[("kraken", "SOL/USD"), ("kraken", "DOGE/USD"), ("binance", "XRP/USDT")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:SOL/USD")).await;
        stage.pass(minutes(60)).await;
        for (exchange, name) in [("kraken", "SOL/USD"), ("kraken", "DOGE/USD"), ("binance", "XRP/USDT")] {
            assert!(stage.is_streaming(&format!("{exchange}:{name}")));
            stage.assert_minutes(exchange, name, seconds(15)).await;
        }
        assert_eq!(stage.collector.as_ref().unwrap().totals().revisions, 0);
    });
}

#[test]
fn a_stream_that_goes_mute_for_all_its_symbols_leaves_no_wrong_candle() {
    in_virtual_time(async {
        for (venue, names) in [(Venue::KRAKEN, ["BTC/USD", "ETH/USD"]), (Venue::BINANCE, ["BTC/USDT", "ETH/USDT"])] {
            let wanted = names.map(|name| (venue.as_str(), name));
            let stage = Stage::with(&wanted).await;
            let both = |stage: &Stage| names.iter().all(|name| stage.is_streaming(&format!("{venue}:{name}")));
            stage.until("streaming", seconds(1), both).await;
            stage.pass(minutes(3)).await;
            stage.inject(Fault::new(FaultKind::Stall).on(venue).between(Duration::ZERO, minutes(8)));
            stage.pass(minutes(45)).await;
            assert!(both(&stage), "{:?}", stage.statuses());
            for name in names {
                stage.assert_minutes(venue.as_str(), name, seconds(15)).await;
            }
        }
    });
}
