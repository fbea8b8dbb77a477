//! Day after day each connection is replaced before its venue ends it, and nobody notices.

use candlewick::market::Timeframe;
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::store::CandleSource;
use chrono::TimeDelta;

use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};
use crate::{alone, hours, totals};

/// How many days to go on.
fn days() -> u64 {
    std::env::var("CANDLEWICK_DAYS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Lets days pass, and counts how often one of the symbols was seen not streaming.
async fn live_through(stage: &Stage, components: &[&str], days: u64) -> usize {
    let mut absences = 0;
    for _ in 0..days * 24 * 12 {
        stage.pass(minutes(5)).await;
        absences += components.iter().filter(|component| stage.is_polling(component)).count();
    }
    absences
}

#[test]
fn every_day_a_new_connection_takes_over_and_no_candle_and_no_trade_is_missed_late_or_doubled() {
    in_virtual_time(async {
        let venue = "binance";
        let mut stage = Stage::new(alone(Venue::BINANCE, 3, 1.0)).await;
        stage.want(venue, "BTC/USDT", &[Timeframe::M1, Timeframe::H1], TimeDelta::minutes(30)).await;
        stage.want_trades(venue, "ETH/USDT", &[Timeframe::M1], CandleSource::Venue, TimeDelta::minutes(5)).await;
        stage.want_trades(venue, "BNB/USDT", &[Timeframe::M5], CandleSource::Trades, TimeDelta::minutes(5)).await;
        // The venue's own limit of a day, kept by the simulated one without a word of warning.
        stage.inject(Fault::new(FaultKind::Lifetime { lifetime: hours(24) }).on(Venue::BINANCE));
        stage.start().await;
        let components = ["binance:BTC/USDT", "binance:ETH/USDT"];
        stage.until("streaming", seconds(5), |stage| components.iter().all(|c| stage.is_streaming(c))).await;
        stage.pass(minutes(3)).await;
        let from = stage.now();
        let days = days();
        let absences = live_through(&stage, &components, days).await;
        assert_eq!(absences, 0, "somebody had to poll");
        let stats = stage.simulator.stats();
        assert_eq!(stats.faults["lifetime"], 0, "the venue never had to end a connection");
        let counted = totals(&stage, venue);
        assert_eq!((counted.rotations, counted.rotations_failed, counted.deaf), (days, 0, 0));
        // The trial of the stream, the first connection, and one a day.
        assert_eq!((stage.sockets_opened(venue), stats.exchanges[venue].limited), (2 + days, 0));
        assert_eq!(stats.exchanges[venue].sockets_open, 1);
        assert_eq!(components.map(|component| stage.restarts(component)), [0, 0]);
        for name in ["BTC/USDT", "ETH/USDT"] {
            stage.assert_minutes(venue, name, seconds(15)).await;
            stage.assert_punctual(venue, name, from, TimeDelta::seconds(6)).await;
        }
        let settled = stage.now() - TimeDelta::minutes(6);
        let hour = chrono::DurationRound::duration_trunc(settled, TimeDelta::hours(1)).unwrap();
        stage.assert_complete(venue, "BTC/USDT", Timeframe::H1, hour).await;
        let five = chrono::DurationRound::duration_trunc(settled, TimeDelta::minutes(5)).unwrap();
        stage.assert_complete(venue, "BNB/USDT", Timeframe::M5, five).await;
        for name in ["ETH/USDT", "BNB/USDT"] {
            let trades = stage.assert_trades(venue, name, stage.now() - TimeDelta::seconds(30)).await;
            assert!(trades as u64 > days * 500, "{trades}");
        }
        stage.stop().await;
    });
}

#[test]
fn a_venue_that_ends_connections_earlier_than_it_says_costs_nothing_but_a_reconnect_a_day() {
    in_virtual_time(async {
        let venue = "binance";
        let mut stage = Stage::new(alone(Venue::BINANCE, 2, 1.0)).await;
        stage.want(venue, "BTC/USDT", &[Timeframe::M1], TimeDelta::minutes(5)).await;
        stage.want_trades(venue, "ETH/USDT", &[Timeframe::M1], CandleSource::Venue, TimeDelta::minutes(5)).await;
        stage.inject(Fault::new(FaultKind::Lifetime { lifetime: hours(20) }).on(Venue::BINANCE));
        stage.start().await;
        let days = days();
        live_through(&stage, &[], days).await;
        let (stats, counted) = (stage.simulator.stats(), totals(&stage, venue));
        let ended = days * 24 / 20;
        assert_eq!((stats.faults["lifetime"], counted.rotations), (ended, 0));
        assert_eq!((stage.sockets_opened(venue), stats.exchanges[venue].limited), (2 + ended, 0));
        stage.until("streaming", minutes(2), |stage| stage.is_streaming("binance:BTC/USDT")).await;
        stage.pass(minutes(5)).await;
        for name in ["BTC/USDT", "ETH/USDT"] {
            stage.assert_minutes(venue, name, seconds(90)).await;
        }
        stage.assert_trades(venue, "ETH/USDT", stage.now() - TimeDelta::seconds(60)).await;
    });
}

#[test]
fn a_connection_whose_end_is_announced_is_left_for_a_proven_one_wherever_the_venue_says_so() {
    in_virtual_time(async {
        // Candles with a flag, and trades whose ids tell little.
        let mut stage = Stage::new(SimConfig { exchanges: vec![Venue::OKX], ..SimConfig::default() }).await;
        stage.want("okx", "BTC/USDT", &[Timeframe::M1], TimeDelta::minutes(10)).await;
        stage.want_trades("okx", "ETH/USDT", &[Timeframe::M1], CandleSource::Venue, TimeDelta::minutes(5)).await;
        stage.start().await;
        let both = |stage: &Stage| ["okx:BTC/USDT", "okx:ETH/USDT"].iter().all(|name| stage.is_streaming(name));
        stage.until("streaming", seconds(5), both).await;
        stage.pass(minutes(4)).await;
        let before = (stage.sockets_opened("okx"), stage.now());
        let lines = stage.simulator.stats().exchanges["okx"].sockets_open;
        // A service upgrade is announced to all connections that are open in this second.
        stage.inject(Fault::new(FaultKind::Maintenance).on(Venue::OKX).between(seconds(0), seconds(1)));
        for _ in 0..24 {
            stage.pass(seconds(5)).await;
            assert!(both(&stage), "{:#?}", stage.statuses());
        }
        assert_eq!((totals(&stage, "okx").rotations, stage.sockets_opened("okx") - before.0), (lines, lines));
        assert_eq!(stage.simulator.stats().exchanges["okx"].sockets_open, lines);
        stage.pass(minutes(3)).await;
        for name in ["BTC/USDT", "ETH/USDT"] {
            stage.assert_minutes("okx", name, seconds(15)).await;
            stage.assert_punctual("okx", name, before.1, TimeDelta::seconds(6)).await;
        }
        stage.assert_trades("okx", "ETH/USDT", stage.now() - TimeDelta::seconds(30)).await;
    });
}
