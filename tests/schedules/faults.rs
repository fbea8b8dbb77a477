//! Random fault scripts: every kind, at every venue, for minutes.

use std::time::Duration;

use candlewick::sim::{Fault, FaultKind, Venue};
use rand::rngs::StdRng;
use rand::{RngExt, seq::IndexedRandom};

use super::markets::Market;

/// A script whose faults end before `lasting` is over. Most strike where something is collected; now
/// and then a venue is away for an hour, or lists a market no more.
pub fn random(dice: &mut StdRng, lasting: Duration, markets: &[Market]) -> Vec<Fault> {
    let count = dice.random_range(4..14);
    let mut faults: Vec<Fault> = (0..count).map(|_| one(dice, lasting, markets)).collect();
    if dice.random_bool(0.4) {
        let kinds = [FaultKind::Maintenance, FaultKind::Refuse, FaultKind::HalfOpen, FaultKind::MissingRows];
        let hour = Duration::from_secs(dice.random_range(2700..4500)).min(lasting / 2);
        let after = Duration::from_secs(dice.random_range(0..(lasting - hour).as_secs()));
        let kind = kinds.choose(dice).expect("not empty").clone();
        let exchange = Some(venue(dice, markets));
        faults.extend(traceable(Fault { exchange, ..Fault::new(kind).between(after, hour) }, markets));
    }
    if dice.random_bool(0.2) {
        let market = markets.choose(dice).expect("something is collected");
        let exchange = market.exchange.parse().ok();
        let after = Duration::from_secs(dice.random_range(0..lasting.as_secs()));
        let delisted = Fault { exchange, after, ..Fault::new(FaultKind::Delist).symbol(market.name()) };
        faults.extend(traceable(delisted, markets));
    }
    faults
}

fn venue(dice: &mut StdRng, markets: &[Market]) -> Venue {
    let market = markets.choose(dice).expect("something is collected");
    market.exchange.parse().expect("a simulated venue")
}

/// A fault that can be seen or made good by somebody. Where trades are not numbered and old ones not
/// served, a venue that keeps some of them to itself on a connection that lives leaves no trace, and
/// nobody can be blamed for what it did not tell.
fn traceable(fault: Fault, markets: &[Market]) -> Option<Fault> {
    if !matches!(fault.kind, FaultKind::Stall | FaultKind::Maintenance | FaultKind::Delist) {
        return Some(fault);
    }
    let concerns = |market: &&Market| fault.exchange.is_none_or(|venue| venue.as_str() == market.exchange);
    markets.iter().filter(concerns).all(Market::leaves_traces).then_some(fault)
}

fn one(dice: &mut StdRng, lasting: Duration, markets: &[Market]) -> Fault {
    let seconds = |dice: &mut StdRng, from: u64, to: u64| Duration::from_secs(dice.random_range(from..to));
    let retry_after = dice.random_bool(0.5).then(|| seconds(dice, 1, 120));
    let kind = match dice.random_range(0..23) {
        0 => FaultKind::Drop { every: dice.random_bool(0.7).then(|| seconds(dice, 20, 400)) },
        1 => FaultKind::Refuse,
        2 => FaultKind::Stall,
        3 => FaultKind::HalfOpen,
        4 => FaultKind::Http429 { retry_after },
        5 => FaultKind::Http418 { retry_after },
        6 => FaultKind::Http5xx { status: dice.random_range(500..600) },
        7 => FaultKind::Html,
        8 => FaultKind::Truncate,
        9 => FaultKind::Rubbish,
        10 => FaultKind::Duplicate,
        11 => FaultKind::OutOfOrder,
        12 => FaultKind::LateRevision { lasting: seconds(dice, 5, 90) },
        13 => FaultKind::LateBar { delay: seconds(dice, 5, 150) },
        14 => FaultKind::PageCap { rows: dice.random_range(10..200) },
        15 => FaultKind::IgnoreSince,
        16 => FaultKind::EmptyPage,
        17 => FaultKind::Delist,
        18 => FaultKind::ClockSkew { by_ms: dice.random_range(-30_000..30_000) },
        19 => FaultKind::Lifetime { lifetime: seconds(dice, 60, 1800) },
        20 => FaultKind::Slow { delay: seconds(dice, 1, 20) },
        21 => FaultKind::MissingRows,
        _ => FaultKind::Maintenance,
    };
    let span = seconds(dice, 30, 1800).min(lasting / 2);
    let latest = (lasting - span).as_secs().max(1);
    let probability = match kind {
        // An answer that is empty every time for half an hour is no fault but the venue's word.
        FaultKind::EmptyPage => 0.3,
        _ => *[0.1, 0.5, 1.0].choose(dice).expect("not empty"),
    };
    let symbol = match kind {
        FaultKind::Stall | FaultKind::Delist | FaultKind::LateBar { .. } => {
            dice.random_bool(0.5).then(|| "BTC/USD".parse().expect("a symbol"))
        }
        _ => None,
    };
    let exchange = dice.random_bool(0.8).then(|| venue(dice, markets));
    let (after, lasting) = (seconds(dice, 0, latest), Some(span));
    let fault = Fault { exchange, symbol, after, lasting, probability, count: None, kind };
    traceable(fault.clone(), markets).unwrap_or(Fault { kind: FaultKind::Refuse, ..fault })
}
