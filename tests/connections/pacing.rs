//! Any number of symbols: connects and frames within what the venue allows, neither all at once nor never.

use candlewick::sim::{Fault, FaultKind, Venue};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::Deed;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};
use crate::{alone, want_many};

const SYMBOLS: usize = 620;

/// When a venue was asked for a connection, from an instant on.
fn connects(stage: &Stage, venue: Venue, from: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let contacts = stage.transport.contacts(venue.as_str(), from).into_iter();
    contacts.filter(|(_, contact)| matches!(contact, Contact::Connect(_))).map(|(at, _)| at).collect()
}

/// The most that fall into any stretch of a length.
fn most_within(times: &[DateTime<Utc>], length: TimeDelta) -> usize {
    times.iter().map(|from| times.iter().filter(|at| (*from..*from + length).contains(at)).count()).max().unwrap_or(0)
}

fn streaming(stage: &Stage) -> usize {
    let symbols = stage.statuses().into_iter().filter(|status| status.symbol.is_some());
    symbols.filter(|status| status.mode == Some(candlewick::status::Mode::LiveWebsocket)).count()
}

/// So many symbols of a venue.
async fn crowd(venue: Venue) -> Stage {
    let mut stage = Stage::new(alone(venue, SYMBOLS, 0.2)).await;
    want_many(&stage, venue, SYMBOLS).await;
    stage.start().await;
    stage
}

#[test]
fn hundreds_of_symbols_are_subscribed_and_return_within_the_venues_limits() {
    in_virtual_time(async {
        // How many connections it takes: 25 markets each at Bitfinex, 240 at OKX, 300 at Kraken, 1024 at Binance.
        for (venue, lines) in [(Venue::BITFINEX, 25), (Venue::OKX, 3), (Venue::KRAKEN, 3), (Venue::BINANCE, 1)] {
            let stage = crowd(venue).await;
            let began = stage.now();
            stage.until("streaming", minutes(4), |stage| streaming(stage) == SYMBOLS).await;
            let opened = connects(&stage, venue, began);
            assert_eq!(opened.len(), 1 + lines, "{venue}: one to try the stream");
            let stats = &stage.simulator.stats().exchanges[venue.as_str()];
            assert_eq!((stats.limited, stats.sockets_open), (0, lines as u64), "{venue}");
            // All are lost in the same instant.
            stage.pass(minutes(2)).await;
            let lost_at = stage.now();
            stage.inject(Fault::new(FaultKind::Drop { every: None }).on(venue).times(lines as u64));
            stage.until("lost", seconds(5), |stage| streaming(stage) < SYMBOLS).await;
            stage.until("streaming again", minutes(4), |stage| streaming(stage) == SYMBOLS).await;
            let again = connects(&stage, venue, lost_at);
            assert_eq!(again.len(), lines, "{venue}");
            assert!(most_within(&again, TimeDelta::seconds(1)) <= 8, "{venue}: {again:?}");
            let all = connects(&stage, venue, began);
            if venue == Venue::BITFINEX {
                assert!(most_within(&all, TimeDelta::minutes(1)) <= 20, "{all:?}");
            }
            let stats = &stage.simulator.stats().exchanges[venue.as_str()];
            assert_eq!((stats.limited, stats.sockets_open), (0, lines as u64), "{venue}");
        }
    });
}

#[test]
fn connections_that_are_refused_for_an_hour_are_tried_all_the_time_and_never_more_than_allowed() {
    in_virtual_time(async {
        let stage = crowd(Venue::BITFINEX).await;
        stage.until("streaming", minutes(4), |stage| streaming(stage) == SYMBOLS).await;
        stage.pass(minutes(2)).await;
        let from = stage.now();
        stage.transport.script(|contact| match contact {
            Contact::Connect(_) => Deed::Fail,
            Contact::Http(_) => Deed::Proceed,
        });
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::BITFINEX).times(25));
        stage.pass(minutes(60)).await;
        assert_eq!(streaming(&stage), 0);
        let tries = connects(&stage, Venue::BITFINEX, from);
        assert!(most_within(&tries, TimeDelta::minutes(1)) <= 20, "{}", most_within(&tries, TimeDelta::minutes(1)));
        assert!(most_within(&tries, TimeDelta::seconds(1)) <= 8);
        for minute in (0..60).step_by(6) {
            let stretch = from + TimeDelta::minutes(minute)..from + TimeDelta::minutes(minute + 6);
            assert!(tries.iter().any(|at| stretch.contains(at)), "given up after {minute} minutes");
        }
        stage.transport.behave();
        stage.until("streaming again", minutes(8), |stage| streaming(stage) == SYMBOLS).await;
        assert_eq!(stage.simulator.stats().exchanges["bitfinex"].limited, 0);
    });
}
