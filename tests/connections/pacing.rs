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
fn hundreds_of_symbols_are_subscribed_within_the_venues_limits() {
    in_virtual_time(async {
        // How many connections it takes: 300 markets each at Kraken, 1024 at Binance.
        for (venue, lines) in [(Venue::KRAKEN, 3), (Venue::BINANCE, 1)] {
            let stage = crowd(venue).await;
            let began = stage.now();
            stage.until("streaming", minutes(1), |stage| streaming(stage) == SYMBOLS).await;
            assert_eq!(connects(&stage, venue, began).len(), 1 + lines, "{venue}: one to try the stream");
            let stats = &stage.simulator.stats().exchanges[venue.as_str()];
            assert_eq!((stats.limited, stats.sockets_open), (0, lines as u64), "{venue}");
        }
    });
}

#[test]
fn a_connection_that_always_has_more_to_read_is_still_written_to_in_time() {
    in_virtual_time(async {
        let mut stage = Stage::new(alone(Venue::BINANCE, SYMBOLS, 0.2)).await;
        want_many(&stage, Venue::BINANCE, SYMBOLS).await;
        stage.transport.flood();
        stage.start().await;
        let began = stage.now();
        // Whatever is ready keeps virtual time where it is: here it is moved.
        while streaming(&stage) < SYMBOLS {
            tokio::time::advance(seconds(1) / 100).await;
            assert!(stage.now() < began + minutes(10), "{} are streamed", streaming(&stage));
        }
    });
}

#[test]
fn many_connections_are_opened_and_opened_again_one_by_one_and_tried_without_end() {
    in_virtual_time(async {
        // Bitfinex: 25 markets on each connection, and 20 connects a minute.
        let (venue, lines) = (Venue::BITFINEX, 25);
        let stage = crowd(venue).await;
        let began = stage.now();
        stage.until("streaming", minutes(4), |stage| streaming(stage) == SYMBOLS).await;
        assert_eq!(connects(&stage, venue, began).len(), 1 + lines, "one to try the stream");
        stage.pass(minutes(1)).await;

        // All are lost in the same instant, and come back.
        let lost_at = stage.now();
        let lose_all = || Fault::new(FaultKind::Drop { every: None }).on(venue).times(lines as u64);
        stage.inject(lose_all());
        stage.until("lost", seconds(5), |stage| streaming(stage) < SYMBOLS).await;
        stage.until("streaming again", minutes(4), |stage| streaming(stage) == SYMBOLS).await;
        assert_eq!(connects(&stage, venue, lost_at).len(), lines);

        // All are lost, and nothing answers for twelve minutes.
        stage.pass(minutes(1)).await;
        let refused_at = stage.now();
        stage.transport.script(|contact| match contact {
            Contact::Connect(_) => Deed::Fail,
            Contact::Http(_) => Deed::Proceed,
        });
        stage.inject(lose_all());
        stage.pass(minutes(12)).await;
        assert_eq!(streaming(&stage), 0);
        let tries = connects(&stage, venue, refused_at);
        for minute in [0, 6] {
            let stretch = refused_at + TimeDelta::minutes(minute)..refused_at + TimeDelta::minutes(minute + 6);
            assert!(tries.iter().any(|at| stretch.contains(at)), "given up after {minute} minutes");
        }
        stage.transport.behave();
        stage.until("streaming again", minutes(8), |stage| streaming(stage) == SYMBOLS).await;

        let all = connects(&stage, venue, began);
        assert!(most_within(&all, TimeDelta::minutes(1)) <= 20, "{}", most_within(&all, TimeDelta::minutes(1)));
        assert!(most_within(&all, TimeDelta::seconds(1)) <= 8, "{}", most_within(&all, TimeDelta::seconds(1)));
        let stats = &stage.simulator.stats().exchanges["bitfinex"];
        assert_eq!((stats.limited, stats.sockets_open), (0, lines as u64));
    });
}
