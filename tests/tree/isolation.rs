//! Venues do not feel each other: while some refuse, ban or babble, no candle of the others is later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::config::Config;
use candlewick::exchange::registry;
use candlewick::market::{Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, SimRequest, Venue, default_symbols};
use candlewick::status::{Health, Mode, Phase};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::Deed;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

/// Its sockets are refused, its REST goes on.
const REFUSING: Venue = Venue::KRAKEN;
/// Answers 418 for a quarter of an hour.
const BANNING: Venue = Venue::BINANCE;
/// Shuts our address out with a bare 403, because somebody behind it asked too often.
const SHUTTING_OUT: Venue = Venue::BYBIT;
/// Sends rubbish before each frame and in place of each body.
const BABBLING: Venue = Venue::OKX;
const FAULTY: [Venue; 4] = [REFUSING, BANNING, SHUTTING_OUT, BABBLING];

const FAULTS_LAST: Duration = minutes(15);
/// When the faults begin, after the start.
const CALM: TimeDelta = TimeDelta::minutes(6);

/// Two markets of every venue that is not closed.
fn markets() -> Vec<(&'static str, String)> {
    let open = registry::EXCHANGES.iter().map(|row| row.capabilities).filter(|venue| venue.closed.is_none());
    let markets = open.flat_map(|venue| {
        // The day of a stock exchange ends, that of a coin does not.
        let symbols = default_symbols(venue.id.parse().unwrap(), 8).into_iter();
        let symbols = symbols.filter(|symbol| !venue.has_sessions || ["BTC", "ETH"].contains(&symbol.base()));
        symbols.take(2).map(|symbol| (venue.id, symbol.to_string()))
    });
    markets.collect()
}

fn is_faulty(exchange: &str) -> bool {
    FAULTY.iter().any(|venue| venue.as_str() == exchange)
}

/// One call too many of another client of the same address.
fn overdo_it(stage: &Stage, venue: Venue) {
    let limit = registry::find(venue.as_str()).unwrap().capabilities.limits[0];
    let call = || stage.simulator.http(&SimRequest::get(format!("/{venue}/v5/market/time")));
    let refused = (0..limit.capacity * 2).map(|_| call().status).find(|status| *status == 403);
    assert_eq!(refused, Some(403), "{venue} allows everything");
}

fn break_out(stage: &Stage) {
    let during = |kind: FaultKind, venue| Fault::new(kind).on(venue).between(Duration::ZERO, FAULTS_LAST);
    for venue in FAULTY {
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(venue).times(1));
    }
    stage.transport.script(|contact| match contact {
        Contact::Connect(_) if contact.is_at(REFUSING.as_str()) => Deed::Fail,
        _ => Deed::Proceed,
    });
    stage.inject(during(FaultKind::Http418 { retry_after: Some(seconds(300)) }, BANNING));
    stage.inject(during(FaultKind::Rubbish, BABBLING));
    overdo_it(stage, SHUTTING_OUT);
}

/// Every stored candle from an instant on is the venue's own, whatever is missing.
async fn assert_nothing_wrong(stage: &Stage, exchange: &str, name: &str, from: DateTime<Utc>) {
    let span = Span::new(from, stage.now());
    let truth = stage.truth(exchange, name, Timeframe::M1, span);
    let stored = stage.stored(exchange, name, Timeframe::M1).await;
    for row in stored.iter().filter(|row| span.contains(row.candle.open_time)) {
        let real = truth.iter().find(|candle| candle.open_time == row.candle.open_time);
        assert!(real.is_some_and(|real| row.candle.agrees_with(real)), "{exchange}:{name}: {row:?}, true {real:?}");
    }
}

/// How long after its close each candle was first written, by market and open time.
type Delays = BTreeMap<(&'static str, String, DateTime<Utc>), TimeDelta>;

/// An hour of all venues, with or without faults in the middle.
async fn hour(has_faults: bool) -> Delays {
    let mut stage = Stage::new(SimConfig { enforce_limits: true, ..SimConfig::default() }).await;
    for (exchange, name) in markets() {
        stage.want(exchange, &name, &[Timeframe::M1], TimeDelta::hours(1)).await;
    }
    stage.start().await;
    let began = stage.now();
    stage.pass_until(began + CALM).await;
    for (exchange, name) in markets() {
        let component = format!("{exchange}:{name}");
        let streams = registry::find(exchange).unwrap().capabilities.has_stream();
        let is_live = stage.mode(&component).is_some_and(|mode| streams == (mode != Mode::LiveRestPolling));
        assert!(is_live, "{:#?}", stage.status(&component));
    }
    if has_faults {
        break_out(&stage);
        stage.pass(minutes(4)).await;
        for venue in [BANNING, SHUTTING_OUT, BABBLING] {
            let state = stage.status(venue.as_str()).map(|status| (status.phase, status.health));
            assert_eq!(state, Some((Phase::Waiting, Health::Error)), "{:#?}", stage.status(venue.as_str()));
        }
        assert!(stage.is_polling(&format!("{REFUSING}:BTC/USD")));
        stage.pass(FAULTS_LAST - minutes(4) - seconds(1)).await;
        for (exchange, name) in markets() {
            assert_nothing_wrong(&stage, exchange, &name, began).await;
        }
        stage.pass(seconds(1)).await;
        stage.transport.behave();
    }
    stage.pass_until(began + TimeDelta::minutes(60)).await;
    let mut delays = Delays::new();
    for (exchange, name) in markets() {
        let venue = registry::find(exchange).unwrap().capabilities;
        // Where quiet minutes have no rows, age is what proves the last ones.
        let late = venue.late_bar_delays.iter().max().copied().unwrap_or_default();
        stage.assert_minutes(exchange, &name, venue.settle_empty + late + seconds(60)).await;
        assert_nothing_wrong(&stage, exchange, &name, began - TimeDelta::hours(1)).await;
        assert!(is_faulty(exchange) || stage.restarts(&format!("{exchange}:{name}")) == 0, "{exchange}:{name}");
        for (open, delay) in stage.lateness(exchange, &name, began).await {
            delays.insert((exchange, name.clone(), open), delay);
        }
    }
    delays
}

#[test]
fn no_candle_of_a_healthy_venue_is_later_because_others_refuse_ban_or_babble() {
    let (calm, stormy) = (RefCell::new(Delays::new()), RefCell::new(Delays::new()));
    for (run, has_faults) in [(&calm, false), (&stormy, true)] {
        in_virtual_time(async { *run.borrow_mut() = hour(has_faults).await });
    }
    let (calm, stormy) = (calm.into_inner(), stormy.into_inner());
    let healthy: Vec<_> = calm.iter().filter(|((exchange, ..), _)| !is_faulty(exchange)).collect();
    assert!(healthy.len() > 400, "{}", healthy.len());
    // Rows wait for company in the writer, and a batch begins with whoever has something first.
    let tolerance = TimeDelta::from_std(Config::default().writer.batch_age).unwrap();
    let later: Vec<_> = healthy
        .iter()
        .filter(|(candle, delay)| stormy.get(*candle).is_none_or(|stormy| *stormy > **delay + tolerance))
        .map(|(candle, delay)| (candle, delay, stormy.get(*candle)))
        .collect();
    assert!(later.is_empty(), "{} of {} are later: {:#?}", later.len(), healthy.len(), &later[..later.len().min(20)]);
    let of_faulty = |(candle, delay): &(&(&str, String, DateTime<Utc>), &TimeDelta)| {
        is_faulty(candle.0) && stormy.get(*candle).is_some_and(|stormy| *stormy > **delay + TimeDelta::minutes(1))
    };
    assert!(calm.iter().filter(of_faulty).count() > 20, "the faults delayed nothing");
}
