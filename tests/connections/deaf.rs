//! Streams that are open, acknowledged and say nothing: of one symbol, of several, of all.

use std::time::Duration;

use candlewick::market::{Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::store::CandleSource;
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol, true_trades};
use crate::{alone, hours, totals, want_many};

/// When the first trade happened that a symbol's stream left out from an instant on.
fn first_trade(stage: &Stage, exchange: &str, name: &str, from: DateTime<Utc>) -> DateTime<Utc> {
    let later = Span::new(from, from + TimeDelta::hours(2));
    true_trades(&stage.simulator, exchange, name, later).first().unwrap().time
}

/// A venue says nothing of a symbol any more.
fn mute(venue: Venue, name: &str, lasting: Duration) -> Fault {
    Fault::new(FaultKind::Stall).on(venue).symbol(symbol(name)).between(Duration::ZERO, lasting)
}

#[test]
fn one_mute_symbol_of_five_hundred_is_polled_within_the_bound_and_nobody_else_is_touched() {
    in_virtual_time(async {
        let mut stage = Stage::new(alone(Venue::BINANCE, 500, 0.7)).await;
        let names = want_many(&stage, Venue::BINANCE, 500).await;
        stage.start().await;
        let component = |name: &str| format!("binance:{name}");
        let all = |stage: &Stage| {
            let streaming = stage
                .statuses()
                .iter()
                .filter(|status| status.symbol.is_some() && stage.is_streaming(&status.component))
                .count();
            streaming == 500
        };
        stage.until("streaming", seconds(30), all).await;
        stage.pass(minutes(2)).await;
        let (deaf, from) = ("ETH/USDT", stage.now());
        stage.inject(mute(Venue::BINANCE, deaf, minutes(20)));
        let missed_at = first_trade(&stage, "binance", deaf, from);
        while !stage.is_polling(&component(deaf)) {
            stage.pass(seconds(5)).await;
            let polling: Vec<_> = names.iter().filter(|name| stage.is_polling(&component(name))).collect();
            assert!(polling.is_empty() || polling == [deaf], "{polling:?}");
            assert!(stage.now() - missed_at < TimeDelta::minutes(15), "unnoticed for {}", stage.now() - missed_at);
        }
        println!("deaf for {} s before it was noticed", (stage.now() - missed_at).num_seconds());
        stage.pass(minutes(1)).await;
        stage.assert_minutes("binance", deaf, seconds(15)).await;
        // Healed by then, it returns to the stream.
        stage.until("streaming again", minutes(16), |stage| stage.is_streaming(&component(deaf))).await;
        stage.pass(minutes(3)).await;
        assert!(all(&stage));
        for name in [deaf, names[0].as_str(), names[250].as_str(), names[499].as_str()] {
            stage.assert_minutes("binance", name, seconds(15)).await;
            stage.assert_punctual("binance", name, stage.now() - TimeDelta::minutes(3), TimeDelta::seconds(6)).await;
        }
        assert_eq!((stage.sockets_opened("binance"), totals(&stage, "binance").deaf), (2, 1));
        assert_eq!(names.iter().map(|name| stage.restarts(&component(name))).sum::<u64>(), 0);
    });
}

#[test]
fn a_deaf_stream_of_hourly_candles_or_of_trades_is_noticed_within_the_bound_too() {
    in_virtual_time(async {
        for (venue, within, collects_trades) in
            [(Venue::KRAKEN, 15, false), (Venue::BINANCE, 4, false), (Venue::BYBIT, 15, true)]
        {
            let mut stage = Stage::new(alone(venue, 3, 4.0)).await;
            stage.config.deaf.within = minutes(within);
            let (exchange, names) = (venue.as_str(), candlewick::sim::default_symbols(venue, 2));
            let [deaf, other] = [names[0].as_str(), names[1].as_str()];
            for name in [deaf, other] {
                match collects_trades {
                    true => stage.want_trades(exchange, name, &[], CandleSource::Venue, TimeDelta::minutes(1)).await,
                    false => stage.want(exchange, name, &[Timeframe::H1], TimeDelta::hours(2)).await,
                }
            }
            stage.start().await;
            let is_polling = |stage: &Stage, name: &str| stage.is_polling(&format!("{exchange}:{name}"));
            stage.until("streaming", seconds(30), |stage| !is_polling(stage, deaf) && !is_polling(stage, other)).await;
            stage.pass(minutes(2)).await;
            stage.inject(mute(venue, deaf, hours(2)));
            let missed_at = first_trade(&stage, exchange, deaf, stage.now());
            while !is_polling(&stage, deaf) {
                stage.pass(seconds(1)).await;
                let unnoticed = stage.now() - missed_at;
                assert!(unnoticed < TimeDelta::minutes(within as i64), "{venue}: unnoticed for {unnoticed}");
            }
            println!("{venue}: deaf for {} s before it was noticed", (stage.now() - missed_at).num_seconds());
            assert_eq!((totals(&stage, exchange).deaf, stage.restarts(&format!("{exchange}:{other}"))), (1, 0));
            stage.pass(minutes(1)).await;
            assert!(!is_polling(&stage, other));
        }
    });
}

#[test]
fn symbols_that_trade_once_an_hour_raise_no_alarm() {
    in_virtual_time(async {
        let venues = [Venue::KRAKEN, Venue::BINANCE, Venue::BYBIT, Venue::HYPERLIQUID];
        let config = SimConfig { exchanges: venues.to_vec(), trades_per_minute: 1.0 / 60.0, ..SimConfig::default() };
        let mut stage = Stage::new(config).await;
        let mut components = Vec::new();
        for venue in venues {
            for (name, timeframe) in
                candlewick::sim::default_symbols(venue, 2).iter().zip([Timeframe::M1, Timeframe::H1])
            {
                stage.want(venue.as_str(), name.as_str(), &[timeframe], TimeDelta::minutes(10)).await;
                components.push(format!("{venue}:{name}"));
            }
        }
        stage.start().await;
        stage.until("streaming", seconds(30), |stage| components.iter().all(|c| stage.is_streaming(c))).await;
        let trades = |stage: &Stage| {
            let of = |venue: &Venue| {
                let asked = stage.requests(venue.as_str());
                asked
                    .iter()
                    .filter(|(what, _)| what.to_lowercase().contains("trade"))
                    .map(|(_, count)| *count)
                    .sum::<u64>()
            };
            venues.map(|venue| of(&venue))
        };
        let before = trades(&stage);
        for _ in 0..6 * 60 {
            stage.pass(minutes(1)).await;
            assert!(components.iter().all(|component| stage.is_streaming(component)), "{:#?}", stage.statuses());
        }
        let asked = trades(&stage);
        for (index, venue) in venues.into_iter().enumerate() {
            assert_eq!((totals(&stage, venue.as_str()).deaf, stage.sockets_opened(venue.as_str())), (0, 2), "{venue}");
            // The hourly symbol is asked about every ten minutes at most.
            assert!(asked[index] - before[index] <= 2 * 6 * 6, "{venue}: {} calls", asked[index] - before[index]);
        }
    });
}

#[test]
fn a_connection_that_is_mute_for_all_its_symbols_is_replaced_and_nobody_is_polled_for_long() {
    in_virtual_time(async {
        let mut stage = Stage::new(alone(Venue::BINANCE, 20, 4.0)).await;
        let names = want_many(&stage, Venue::BINANCE, 20).await;
        stage.start().await;
        let all = |stage: &Stage| names.iter().all(|name| stage.is_streaming(&format!("binance:{name}")));
        stage.until("streaming", seconds(5), all).await;
        stage.pass(minutes(2)).await;
        // Pings go on, so the connection looks alive. Those opened later are well.
        let from = stage.now();
        stage.inject(Fault::new(FaultKind::Stall).on(Venue::BINANCE).between(Duration::ZERO, minutes(2)));
        stage.until("condemned", minutes(5), |stage| stage.sockets_opened("binance") == 3).await;
        stage.until("streaming", minutes(2), all).await;
        println!("streaming again {} s after the stream went mute", (stage.now() - from).num_seconds());
        stage.pass(minutes(20)).await;
        assert!(all(&stage));
        assert_eq!(stage.sockets_opened("binance"), 3);
        for name in &names {
            stage.assert_minutes("binance", name, seconds(15)).await;
        }
    });
}

#[test]
fn a_few_deaf_symbols_of_many_leave_the_connection_to_the_others() {
    in_virtual_time(async {
        let mut stage = Stage::new(alone(Venue::BINANCE, 60, 4.0)).await;
        let names = want_many(&stage, Venue::BINANCE, 60).await;
        stage.start().await;
        let polling = |stage: &Stage| names.iter().filter(|name| stage.is_polling(&format!("binance:{name}"))).count();
        stage.until("streaming", seconds(5), |stage| polling(stage) == 0).await;
        stage.pass(minutes(2)).await;
        // Three agree, but the rule wants a tenth.
        let deaf: Vec<&String> = names[..4].iter().collect();
        deaf.iter().for_each(|name| stage.inject(mute(Venue::BINANCE, name, minutes(30))));
        stage.until("polled", minutes(15), |stage| polling(stage) == 4).await;
        stage.pass(minutes(1)).await;
        assert_eq!((polling(&stage), stage.sockets_opened("binance")), (4, 2));
        assert!(deaf.iter().all(|name| stage.is_polling(&format!("binance:{name}"))));
    });
}
