//! Streams that are open, acknowledged and say nothing: of one symbol, of several, of all.

use std::time::Duration;

use candlewick::market::{Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::status::Mode;
use candlewick::store::CandleSource;
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol, true_trades};
use crate::{alone, hours, totals, want_many};

/// Waits until a symbol is polled that has been mute since an instant, and returns how long that took
/// from the first trade that its stream left out. `watch` looks on.
async fn unnoticed(
    stage: &Stage,
    (exchange, name): (&str, &str),
    since: DateTime<Utc>,
    within: Duration,
    watch: impl Fn(&Stage),
) -> TimeDelta {
    while !stage.is_polling(&format!("{exchange}:{name}")) {
        stage.pass(seconds(5)).await;
        watch(stage);
        assert!(stage.now() < since + within * 3, "{exchange}:{name} is not noticed: {:#?}", stage.statuses());
    }
    let trades = true_trades(&stage.simulator, exchange, name, Span::new(since, stage.now()));
    let unnoticed = stage.now() - trades.first().unwrap().time;
    println!("{exchange}:{name} was deaf for {} s before it was noticed", unnoticed.num_seconds());
    unnoticed
}

/// A venue says nothing of a symbol any more.
fn mute(venue: Venue, name: &str, lasting: Duration) -> Fault {
    Fault::new(FaultKind::Stall).on(venue).symbol(symbol(name)).between(Duration::ZERO, lasting)
}

#[test]
fn one_mute_symbol_of_five_hundred_is_polled_within_the_bound_and_nobody_else_is_touched() {
    in_virtual_time(async {
        let mut stage = Stage::new(alone(Venue::BINANCE, 500, 0.7)).await;
        stage.config.deaf.rest = minutes(6);
        let names = want_many(&stage, Venue::BINANCE, 500).await;
        stage.start().await;
        let component = |name: &str| format!("binance:{name}");
        let all = |stage: &Stage| {
            let statuses = stage.statuses().into_iter();
            statuses.filter(|status| status.mode == Some(Mode::LiveWebsocket)).count() == names.len()
        };
        stage.until("streaming", seconds(30), all).await;
        stage.pass(minutes(2)).await;
        let (deaf, from) = ("ETH/USDT", stage.now());
        stage.inject(mute(Venue::BINANCE, deaf, minutes(13)));
        let nobody_else_polls = |stage: &Stage| {
            let polling = stage.statuses().into_iter().filter(|status| status.mode == Some(Mode::LiveRestPolling));
            let polling: Vec<_> = polling.map(|status| status.component).collect();
            assert!(polling.is_empty() || polling == [component(deaf)], "{polling:?}");
        };
        let bound = stage.config.deaf.within;
        let unnoticed = unnoticed(&stage, ("binance", deaf), from, bound, nobody_else_polls).await;
        assert!(unnoticed < TimeDelta::from_std(bound).unwrap(), "{unnoticed}");
        stage.pass(minutes(1)).await;
        stage.assert_minutes("binance", deaf, seconds(15)).await;
        // Healed by then, it returns to the stream.
        stage.until("streaming again", minutes(12), |stage| stage.is_streaming(&component(deaf))).await;
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
            let unnoticed = unnoticed(&stage, (exchange, deaf), stage.now(), minutes(within), |_| ()).await;
            assert!(unnoticed < TimeDelta::minutes(within as i64), "{venue}: {unnoticed}");
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
        let sockets = |stage: &Stage| venues.map(|venue| stage.sockets_opened(venue.as_str()));
        let (before, opened) = (trades(&stage), sockets(&stage));
        for _ in 0..4 * 60 {
            stage.pass(minutes(1)).await;
            assert!(components.iter().all(|component| stage.is_streaming(component)), "{:#?}", stage.statuses());
        }
        assert_eq!(sockets(&stage), opened);
        let asked = trades(&stage);
        for (index, venue) in venues.into_iter().enumerate() {
            assert_eq!(totals(&stage, venue.as_str()).deaf, 0, "{venue}");
            // The hourly symbol is asked about every ten minutes at most.
            assert!(asked[index] - before[index] <= 2 * 4 * 6, "{venue}: {} calls", asked[index] - before[index]);
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
