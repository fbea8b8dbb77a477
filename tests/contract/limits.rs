//! A venue's limits as the product declares them: kept to the last unit they offend nobody, and the
//! simulated half does punish who does not keep them.

use std::time::Duration;

use candlewick::engine::budget::{Admission, Budget, Priority, transit_allowance};
use candlewick::exchange::{Capabilities, ErrorKind, HttpReply, HttpRequest, Instrument, TradeCursor, VenueError};
use candlewick::market::{Grid, Span, Timeframe, TradeId};
use candlewick::sim::{SimConfig, VenueStats};
use chrono::TimeDelta;

use crate::support::line::Line;
use crate::venue::{self, epoch, unlimited};

/// Reads a reply the way the call's purpose wants it.
type Read = Box<dyn Fn(&Line, &HttpReply) -> Result<(), VenueError>>;

/// Every kind of call a venue takes, cheap ones: one bucket, near and far, trades, tickers, markets.
async fn calls(line: &Line) -> Vec<(HttpRequest, Read)> {
    let symbols = venue::symbols(line.dialect.capabilities().id, 3);
    let markets = line.markets(&symbols).await.unwrap();
    let mut calls: Vec<(HttpRequest, Read)> = Vec::new();
    let minute = Grid::utc(Timeframe::M1);
    for market in markets.iter().filter(|market| symbols.contains(&market.symbol)) {
        for back in [2, 2_000] {
            let open = minute.back(minute.bucket_at(epoch()), back);
            let span = Span::new(open, minute.next_open(open));
            let request = line.dialect.encode_candles(market, Timeframe::M1, span, line.clock.now());
            let market: Instrument = market.clone();
            calls.push((
                request,
                Box::new(move |line, reply| line.dialect.decode_candles(&market, Timeframe::M1, span, reply).map(drop)),
            ));
        }
        for cursor in [TradeCursor::Newest, TradeCursor::BeforeId(TradeId::Number(40)), TradeCursor::Time(epoch())] {
            if let Some(request) = line.dialect.encode_trades(market, &cursor) {
                let market: Instrument = market.clone();
                let read =
                    move |line: &Line, reply: &HttpReply| line.dialect.decode_trades(&market, &cursor, reply).map(drop);
                calls.push((request, Box::new(read)));
            }
        }
    }
    for request in line.dialect.encode_tickers(&markets) {
        let call = request.clone();
        let read = move |line: &Line, reply: &HttpReply| line.dialect.decode_tickers(&call, reply).map(drop);
        calls.push((request, Box::new(read)));
    }
    for (request, symbol) in line.dialect.encode_instruments(&symbols).into_iter().zip(symbols.iter().cycle()) {
        let symbol = symbol.clone();
        let read =
            move |line: &Line, reply: &HttpReply| line.dialect.decode_instruments(Some(&symbol), reply).map(drop);
        calls.push((request, Box::new(read)));
    }
    calls
}

/// A venue that enforces its limits, and its calls that count against one of them.
async fn strict(capabilities: &Capabilities, limit: usize) -> (Line, Vec<(HttpRequest, Read)>) {
    let calls = calls(&venue::standing(capabilities.id, unlimited())).await;
    let calls: Vec<_> = calls.into_iter().filter(|(call, _)| call.cost.limit == limit).collect();
    let name = capabilities.limits[limit].name;
    assert!(!calls.is_empty(), "no call of {} counts against its limit of {name}", capabilities.id);
    (venue::standing(capabilities.id, SimConfig { enforce_limits: true, ..unlimited() }), calls)
}

fn stats(line: &Line) -> VenueStats {
    line.transport.simulator.stats().exchanges[line.dialect.capabilities().id].clone()
}

#[tokio::test]
async fn a_budget_spent_to_its_last_unit_offends_no_limit() {
    for capabilities in venue::all() {
        for (index, limit) in capabilities.limits.iter().enumerate() {
            let (line, calls) = strict(capabilities, index).await;
            let mut budget = Budget::new(capabilities.limits, line.clock.now());
            let lasting = (limit.window * 3).max(Duration::from_secs(20));
            let until = line.clock.now() + TimeDelta::from_std(lasting).unwrap();
            let what = format!("{} {}", capabilities.id, limit.name);
            let mut spent = 0;
            for (call, read) in calls.iter().cycle() {
                while let Admission::WaitUntil(free) = budget.request(call.cost, Priority::Live, line.clock.now()) {
                    line.clock.set(free);
                }
                if line.clock.now() >= until {
                    break;
                }
                spent += u64::from(call.cost.units);
                let reply = line.call(call).await;
                if let Some(used) = line.dialect.standing(&reply).used {
                    budget.observe_used(0, used, line.clock.now());
                }
                let refusal = read(&line, &reply).err().map(|error| error.kind);
                let is_limit = matches!(refusal, Some(ErrorKind::RateLimited { .. } | ErrorKind::Banned { .. }));
                assert!(!is_limit, "{what}: {refusal:?} after {spent}");
            }
            let VenueStats { limited, banned, .. } = stats(&line);
            assert_eq!((limited, banned), (0, 0), "{what} after {spent} units");
            // Held a little longer than the window, for calls take different times to arrive.
            let windows = lasting.as_secs_f64() / (limit.window + transit_allowance(limit)).as_secs_f64();
            let least = f64::from(limit.capacity) * windows.floor() * 0.9;
            assert!(spent as f64 >= least, "{what}: only {spent} units of {least}");
        }
    }
}

#[tokio::test]
async fn who_ignores_a_limit_is_refused_and_stays_refused() {
    for capabilities in venue::all() {
        for (index, limit) in capabilities.limits.iter().enumerate() {
            let (line, calls) = strict(capabilities, index).await;
            let what = format!("{} {}", capabilities.id, limit.name);
            let most = limit.capacity * 4 + 300;
            let mut refusals = Vec::new();
            for (call, read) in calls.iter().cycle().take(most as usize) {
                let reply = line.call(call).await;
                if let Err(error) = read(&line, &reply) {
                    let is_limit = matches!(error.kind, ErrorKind::RateLimited { .. } | ErrorKind::Banned { .. });
                    assert!(is_limit, "{what}: {error}");
                    refusals.push(error.kind);
                }
                if refusals.len() == 20 {
                    break;
                }
            }
            assert_eq!(refusals.len(), 20, "{what} of {most} calls");
            let VenueStats { limited, banned, .. } = stats(&line);
            assert_eq!(limited + banned, 20, "{what}");
        }
    }
}
