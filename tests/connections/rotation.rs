//! Day after day each connection is replaced before its venue ends it, and nobody notices.

use std::time::Duration;

use candlewick::market::Timeframe;
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::store::CandleSource;
use chrono::{DurationRound, TimeDelta};

use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};
use crate::{alone, hours, totals};

/// How long connections live, and how often they are to be replaced.
struct Lives {
    /// The venue ends each at this age, without a word of warning.
    lifetime: Duration,
    /// We replace it so long before the end that the venue declares.
    lead: Duration,
    count: u32,
}

/// Three short lives, or as many days as `CANDLEWICK_DAYS` says.
fn lives() -> Lives {
    match std::env::var("CANDLEWICK_DAYS").ok().and_then(|text| text.parse().ok()) {
        Some(count) => Lives { lifetime: hours(24), lead: hours(1), count },
        None => Lives { lifetime: minutes(150), lead: hours(24), count: 3 },
    }
}

/// Lets a time pass, and counts how often one of the symbols was seen not streaming.
async fn live_through(stage: &Stage, components: &[&str], time: Duration) -> usize {
    let (mut absences, end) = (0, stage.now() + time);
    while stage.now() < end {
        stage.pass(minutes(1)).await;
        absences += components.iter().filter(|component| stage.is_polling(component)).count();
    }
    absences
}

#[test]
fn life_after_life_a_new_connection_takes_over_and_no_candle_and_no_trade_is_missed_late_or_doubled() {
    in_virtual_time(async {
        let (venue, lives) = ("binance", lives());
        let mut stage = Stage::new(alone(Venue::BINANCE, 4, 1.0)).await;
        (stage.config.rotation.lead, stage.config.rotation.jitter) = (lives.lead, 0.0);
        stage.want(venue, "BTC/USDT", &[Timeframe::M1, Timeframe::H1], TimeDelta::minutes(30)).await;
        stage.want_trades(venue, "ETH/USDT", &[Timeframe::M1], CandleSource::Venue, TimeDelta::minutes(5)).await;
        stage.want_trades(venue, "BNB/USDT", &[Timeframe::M5], CandleSource::Trades, TimeDelta::minutes(5)).await;
        stage.inject(Fault::new(FaultKind::Lifetime { lifetime: lives.lifetime }).on(Venue::BINANCE));
        stage.start().await;
        let components = ["binance:BTC/USDT", "binance:ETH/USDT"];
        stage.until("streaming", seconds(5), |stage| components.iter().all(|c| stage.is_streaming(c))).await;
        stage.pass(minutes(3)).await;
        let from = stage.now();
        let absences = live_through(&stage, &components, lives.lifetime * lives.count).await;
        assert_eq!(absences, 0, "somebody had to poll");
        let (stats, counted) = (stage.simulator.stats(), totals(&stage, venue));
        assert_eq!(stats.faults["lifetime"], 0, "the venue never had to end a connection");
        assert_eq!((counted.rotations, counted.rotations_failed, counted.deaf), (lives.count.into(), 0, 0));
        // The trial of the stream, the first connection, and one more each time.
        assert_eq!(stage.sockets_opened(venue), 2 + u64::from(lives.count));
        assert_eq!((stats.exchanges[venue].limited, stats.exchanges[venue].sockets_open), (0, 1));
        assert_eq!(components.map(|component| stage.restarts(component)), [0, 0]);
        for name in ["BTC/USDT", "ETH/USDT"] {
            stage.assert_minutes(venue, name, seconds(15)).await;
            stage.assert_punctual(venue, name, from, TimeDelta::seconds(6)).await;
        }
        let settled = |length| (stage.now() - TimeDelta::minutes(6)).duration_trunc(length).unwrap();
        stage.assert_complete(venue, "BTC/USDT", Timeframe::H1, settled(TimeDelta::hours(1))).await;
        stage.assert_complete(venue, "BNB/USDT", Timeframe::M5, settled(TimeDelta::minutes(5))).await;
        for name in ["ETH/USDT", "BNB/USDT"] {
            let trades = stage.assert_trades(venue, name, stage.now() - TimeDelta::seconds(30)).await;
            println!("{name}: {trades} trades over {} lives of a connection, none missing", lives.count + 1);
            assert!(trades as u64 > u64::from(lives.count) * 10, "{trades}");
        }
        stage.stop().await;
    });
}

#[test]
fn a_venue_that_ends_connections_earlier_than_it_says_costs_one_reconnect_each_time() {
    in_virtual_time(async {
        let (venue, lives) = ("binance", lives());
        let mut stage = Stage::new(alone(Venue::BINANCE, 2, 1.0)).await;
        stage.want(venue, "BTC/USDT", &[Timeframe::M1], TimeDelta::minutes(5)).await;
        stage.want_trades(venue, "ETH/USDT", &[Timeframe::M1], CandleSource::Venue, TimeDelta::minutes(5)).await;
        // We would replace them after 23 hours.
        let lifetime = lives.lifetime * 9 / 10;
        stage.inject(Fault::new(FaultKind::Lifetime { lifetime }).on(Venue::BINANCE));
        stage.start().await;
        live_through(&stage, &[], lifetime * lives.count + minutes(5)).await;
        let (stats, counted) = (stage.simulator.stats(), totals(&stage, venue));
        assert_eq!((stats.faults["lifetime"], counted.rotations), (lives.count.into(), 0));
        assert_eq!((stage.sockets_opened(venue), stats.exchanges[venue].limited), (2 + u64::from(lives.count), 0));
        assert!(stage.is_streaming("binance:BTC/USDT") && stage.is_streaming("binance:ETH/USDT"));
        for name in ["BTC/USDT", "ETH/USDT"] {
            stage.assert_minutes(venue, name, seconds(15)).await;
        }
        stage.assert_trades(venue, "ETH/USDT", stage.now() - TimeDelta::seconds(30)).await;
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
