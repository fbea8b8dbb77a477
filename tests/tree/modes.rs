//! Which way a symbol is kept live: found out by trying, changed at run time, without a hole.

use std::time::Duration;

use candlewick::market::{Grid, Rule, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use chrono::TimeDelta;

use crate::support::Deed;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const KRAKEN: &str = "kraken:BTC/USD";
const BINANCE: &str = "binance:BTC/USDT";
const YAHOO: &str = "yahoo:AAPL";

#[test]
fn a_healthy_link_streams_where_the_venue_streams_and_polls_elsewhere_within_a_second() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "AAPL")]).await;
        stage
            .until("modes", seconds(1), |stage| {
                stage.is_streaming(KRAKEN) && stage.is_streaming(BINANCE) && stage.is_polling(YAHOO)
            })
            .await;
        stage.pass(minutes(5)).await;
        assert!(stage.is_streaming(KRAKEN) && stage.is_streaming(BINANCE) && stage.is_polling(YAHOO));
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
        // One connection to try the stream, one to use it.
        assert_eq!((stage.sockets_opened("kraken"), stage.sockets_opened("binance")), (2, 2));
    });
}

#[test]
fn a_refused_stream_is_polled_within_a_second_and_used_once_it_works() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::hours(2)).await;
        stage.transport.script(|contact| match contact {
            Contact::Connect(_) => Deed::Fail,
            Contact::Http(_) => Deed::Proceed,
        });
        let began = stage.now();
        stage.start().await;
        stage.until("polling", seconds(1), |stage| stage.is_polling(KRAKEN) && stage.is_polling(BINANCE)).await;
        stage.pass_until(began + TimeDelta::seconds(260)).await;
        // Tried at the start, after 48..60 s, and after 96..120 s more.
        for venue in ["kraken", "binance"] {
            let tries = stage.transport.contacts(venue, began);
            let tries = tries.iter().filter(|(_, contact)| matches!(contact, Contact::Connect(_)));
            let at: Vec<_> = tries.map(|(at, _)| *at - began).collect();
            assert_eq!(at.len(), 3, "{at:?}");
            let waits = [(at[1] - at[0]).num_seconds(), (at[2] - at[1]).num_seconds()];
            assert!((48..=60).contains(&waits[0]) && (96..=120).contains(&waits[1]), "{waits:?}");
        }
        stage.transport.behave();
        stage.until("streaming", seconds(240), |stage| stage.is_streaming(KRAKEN) && stage.is_streaming(BINANCE)).await;
        stage.pass(minutes(4)).await;
        for (venue, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT")] {
            stage.assert_minutes(venue, name, seconds(15)).await;
            stage.assert_punctual(venue, name, began + TimeDelta::seconds(40), TimeDelta::seconds(6)).await;
        }
    });
}

#[test]
fn a_symbol_whose_stream_is_refused_polls_and_the_others_stream() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        for name in ["BTC/USD", "ETH/USD", "SOL/USD"] {
            stage.want("kraken", name, &[Timeframe::M1], TimeDelta::hours(2)).await;
        }
        // The venue's socket does not know BTC/USD, the symbol that the probe tries, and its REST does.
        stage.transport.rewrite(|out| out.replace("BTC/USD", "BTC/XXX"), |back| back.replace("BTC/XXX", "BTC/USD"));
        stage.start().await;
        stage
            .until("modes", seconds(1), |stage| {
                stage.is_polling(KRAKEN) && stage.is_streaming("kraken:ETH/USD") && stage.is_streaming("kraken:SOL/USD")
            })
            .await;
        stage.pass(minutes(5)).await;
        assert!(
            stage.is_polling(KRAKEN) && stage.is_streaming("kraken:ETH/USD") && stage.is_streaming("kraken:SOL/USD")
        );
        for name in ["BTC/USD", "ETH/USD", "SOL/USD"] {
            stage.assert_minutes("kraken", name, seconds(15)).await;
        }
        assert_eq!(stage.sockets_opened("kraken"), 2);
    });
}

/// Streams for a while under a fault that ends, and is complete and streaming afterwards.
async fn rides_out(venue: Venue, name: &str, kind: FaultKind, lasting: Duration, lateness: TimeDelta) -> Stage {
    let component = format!("{venue}:{name}");
    let stage = Stage::with(&[(venue.as_str(), name)]).await;
    stage.until("streaming", seconds(1), |stage| stage.is_streaming(&component)).await;
    stage.pass(seconds(95)).await;
    let broken_at = stage.now();
    stage.inject(Fault::new(kind).on(venue).between(Duration::ZERO, lasting));
    stage.pass(lasting + minutes(2)).await;
    stage.until("streaming again", minutes(2), |stage| stage.is_streaming(&component)).await;
    stage.pass(minutes(3)).await;
    assert!(stage.is_streaming(&component));
    stage.assert_minutes(venue.as_str(), name, seconds(15)).await;
    stage.assert_punctual(venue.as_str(), name, broken_at, lateness).await;
    stage
}

#[test]
fn a_dropped_connection_is_handed_over_without_a_hole() {
    in_virtual_time(async {
        for (venue, name) in [(Venue::KRAKEN, "BTC/USD"), (Venue::BINANCE, "BTC/USDT")] {
            let kind = FaultKind::Drop { every: None };
            let stage = rides_out(venue, name, kind, seconds(1), TimeDelta::seconds(6)).await;
            assert_eq!(stage.sockets_opened(venue.as_str()), 3);
        }
    });
}

#[test]
fn a_connection_that_drops_every_few_seconds_loses_nothing() {
    in_virtual_time(async {
        for (venue, name) in [(Venue::KRAKEN, "BTC/USD"), (Venue::BINANCE, "BTC/USDT")] {
            let kind = FaultKind::Drop { every: Some(seconds(7)) };
            rides_out(venue, name, kind, minutes(5), TimeDelta::seconds(6)).await;
        }
    });
}

#[test]
fn a_lost_stream_is_polled_within_a_second_while_it_cannot_be_opened_again() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("kraken", "ETH/USD")]).await;
        let both = |stage: &Stage| [stage.is_streaming(KRAKEN), stage.is_streaming("kraken:ETH/USD")];
        stage.until("streaming", seconds(1), |stage| both(stage) == [true, true]).await;
        stage.pass(seconds(70)).await;
        let lost_at = stage.now();
        stage.transport.script(|contact| match contact {
            Contact::Connect(_) => Deed::Fail,
            Contact::Http(_) => Deed::Proceed,
        });
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::KRAKEN).times(1));
        stage.until("polling", seconds(1), |stage| both(stage) == [false, false]).await;
        stage.pass(minutes(5)).await;
        assert_eq!(both(&stage), [false, false]);
        // Eleven tries spread by the back-off (0.5 s doubled to 30 s), then a rest of five minutes.
        let tries = stage.transport.contacts("kraken", lost_at);
        let tries = tries.iter().filter(|(_, contact)| matches!(contact, Contact::Connect(_))).count();
        assert!((9..=11).contains(&tries), "{tries}");
        stage.transport.behave();
        stage.until("streaming again", minutes(6), |stage| both(stage) == [true, true]).await;
        stage.pass(minutes(3)).await;
        for name in ["BTC/USD", "ETH/USD"] {
            stage.assert_minutes("kraken", name, seconds(15)).await;
            stage.assert_punctual("kraken", name, lost_at, TimeDelta::seconds(6)).await;
        }
    });
}

#[test]
fn a_half_open_connection_is_found_by_its_silence() {
    in_virtual_time(async {
        // Nothing can be read while the whole venue is mute: what closed meanwhile is late, not lost.
        rides_out(Venue::KRAKEN, "BTC/USD", FaultKind::HalfOpen, seconds(45), TimeDelta::seconds(60)).await;
        rides_out(Venue::BINANCE, "BTC/USDT", FaultKind::HalfOpen, seconds(100), TimeDelta::seconds(120)).await;
    });
}

#[test]
fn connections_that_live_for_twenty_seconds_lose_nothing() {
    in_virtual_time(async {
        let stage = Stage::with(&[("binance", "BTC/USDT")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming(BINANCE)).await;
        // The venue's sockets live for twenty seconds.
        let began = stage.now();
        stage.inject(
            Fault::new(FaultKind::Lifetime { lifetime: seconds(20) })
                .on(Venue::BINANCE)
                .between(Duration::ZERO, minutes(6)),
        );
        stage.pass(minutes(10)).await;
        assert!(stage.is_streaming(BINANCE));
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
        stage.assert_punctual("binance", "BTC/USDT", began, TimeDelta::seconds(6)).await;
    });
}

#[test]
fn rest_settles_the_bucket_of_the_ack_unless_the_venue_flags_it_and_the_stream_the_next_ones() {
    in_virtual_time(async {
        for (venue, name, rules) in [
            ("kraken", "BTC/USD", [Rule::Rest, Rule::Stream, Rule::Stream]),
            ("binance", "BTC/USDT", [Rule::Flag, Rule::Flag, Rule::Flag]),
        ] {
            let component = format!("{venue}:{name}");
            let stage = Stage::with(&[(venue, name)]).await;
            stage.until("streaming", seconds(1), |stage| stage.is_streaming(&component)).await;
            let ack = Grid::utc(Timeframe::M1).bucket_at(stage.now());
            stage.pass(minutes(3)).await;
            let opens = [0, 1, 2].map(|n| ack + TimeDelta::minutes(n));
            let mut found = Vec::new();
            for open in opens {
                found.push(stage.stored_at(venue, name, open).await.unwrap().rule);
            }
            assert_eq!(found, rules, "{component}");
        }
    });
}
