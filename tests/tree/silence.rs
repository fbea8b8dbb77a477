//! A stream that is acknowledged and then says nothing about a symbol that trades.

use std::time::Duration;

use candlewick::market::{Source, Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, Venue};
use candlewick::store::Coverage;
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

#[test]
fn flat_bars_of_minutes_that_the_venue_turns_out_not_to_have_are_withdrawn() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:BTC/USD")).await;
        stage.pass(minutes(3)).await;
        // Nothing trades while the connection lives on, and later REST has no rows of that time.
        let outage = Fault::new(FaultKind::MissingRows).on(Venue::KRAKEN);
        stage.inject(outage.between(Duration::ZERO, minutes(6)));
        stage.pass(minutes(5)).await;
        let inferred = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        let inferred: Vec<_> =
            inferred.iter().filter(|row| row.candle.open_time > stage.now() - TimeDelta::minutes(4)).collect();
        assert!(inferred.iter().any(|row| row.source == Source::Synthesised), "{inferred:#?}");
        stage.pass(minutes(40)).await;
        let stored = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        let stored: Vec<_> = stored.iter().map(|row| row.candle.open_time).collect();
        let span = Span::new(stored[0], stage.now() - TimeDelta::minutes(1));
        let truth = stage.truth("kraken", "BTC/USD", Timeframe::M1, span);
        assert_eq!(stored, truth.iter().map(|candle| candle.open_time).collect::<Vec<_>>());
        let ledger = stage.ledger("kraken", "BTC/USD", Timeframe::M1).await;
        let absent = ledger.iter().filter(|entry| !matches!(entry.coverage, Coverage::Complete { .. }));
        let absent: Vec<_> = absent.map(|entry| (entry.span.to - entry.span.from, &entry.coverage)).collect();
        let hole = Coverage::Unavailable { reason: "venue_hole: rest".to_owned() };
        // Something traded in the first and in the last minute of it.
        assert_eq!(absent, [(TimeDelta::minutes(5), &hole)]);
    });
}
