//! Yahoo Finance's chart endpoint, with its habits: nulls, live rows without a bucket, two rows for
//! today, windows that are refused, and plain text for those who do not look like a browser.

mod chart;
mod listing;
mod meta;

use crate::market::Symbol;

use super::calendar::{Frame, HOUR, Hours, MINUTE};
use super::half::{Printed, Subject};
use super::http::{SimReply, SimRequest, Target, joined, quoted};
use super::limits::Decay;
use super::listing::{Listing, Venue};
use super::market::{Bucket, Market};
use super::world::World;

/// Yahoo documents no limit; this is what polite clients stay below.
const LIMIT: Decay = Decay { burst: 60.0, per_second: 1.0 };

impl Venue {
    /// Yahoo Finance's chart endpoint.
    pub const YAHOO: Venue = Venue::named("yahoo");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::YAHOO
    }

    fn listing(&self, rank: usize) -> Option<Listing> {
        listing::listing(rank)
    }

    fn made_up(&self, rank: usize) -> Listing {
        listing::made_up(rank)
    }

    fn invented(&self, symbol: &Symbol) -> Listing {
        listing::invented(symbol)
    }

    fn frame(&self, hours: Hours, timeframe: &str) -> Option<Frame> {
        frame_of_timeframe(hours, timeframe)
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        let Some(id) = target.path.strip_prefix(CHART) else {
            let endpoint = target.path.rsplit('/').next().unwrap_or("other").to_owned();
            return Subject { endpoint, ..Subject::default() };
        };
        let market = world.any_market(Venue::YAHOO, &id.to_uppercase());
        Subject {
            endpoint: "chart".to_owned(),
            symbol: market.map(|market| market.listing.symbol.clone()),
            interval: Some(target.get("interval").unwrap_or("1m").to_owned()),
        }
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        respond(world, request, target)
    }

    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        let row = chart::printed(market, bucket)?;
        Some(Printed { prices: row.prices, volume: row.volume, trades: None })
    }

    fn replays(&self) -> bool {
        false
    }
}

const CHART: &str = "/v8/finance/chart/";

/// The buckets of one of Yahoo's intervals.
fn frame(hours: Hours, interval: &str) -> Option<Frame> {
    let minutes = match interval {
        "1m" => 1,
        "2m" => 2,
        "5m" => 5,
        "15m" => 15,
        "30m" => 30,
        "60m" | "1h" => HOUR / MINUTE,
        "90m" => 90,
        "1d" => return Some(Frame::Days { hours }),
        "5d" | "1wk" => return Some(Frame::Weeks { hours }),
        "1mo" => return Some(Frame::Months { hours, months: 1 }),
        "3mo" => return Some(Frame::Months { hours, months: 3 }),
        _ => return None,
    };
    let len = minutes * MINUTE;
    // Buckets of a session are counted from its opening: New York's hours begin at half past.
    Some(if hours == Hours::NewYork { Frame::Session { hours, len } } else { Frame::every(len) })
}

/// The buckets of a unified timeframe.
fn frame_of_timeframe(hours: Hours, timeframe: &str) -> Option<Frame> {
    match timeframe {
        "1w" => frame(hours, "1wk"),
        "1M" => frame(hours, "1mo"),
        "1m" | "5m" | "15m" | "30m" | "1h" | "1d" => frame(hours, timeframe),
        _ => None,
    }
}

/// The two-level body all failures of the chart endpoint have.
fn failure(status: u16, code: &str, description: &str) -> SimReply {
    let (code, description) = (quoted(code), quoted(description));
    SimReply::json(
        status,
        format!(r#"{{"chart":{{"result":null,"error":{{"code":{code},"description":{description}}}}}}}"#),
    )
}

fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let agent = request.headers.iter().find(|(name, _)| name == "user-agent").map_or("", |(_, value)| value);
    let throttled = SimReply::typed(429, "text/plain", "Too Many Requests\r\n");
    if !agent.starts_with("Mozilla/") {
        return throttled;
    }
    if world.enforce_limits && !world.limits().allows(Venue::YAHOO, request.peer, "", LIMIT, world.now_ns(Venue::YAHOO))
    {
        world.counters.count(Venue::YAHOO, |stats| stats.limited += 1);
        return throttled;
    }
    match target.path.as_str() {
        "/v1/test/getcrumb" => SimReply::typed(200, "text/plain", "s1mUl4t3dCr"),
        "/v1/finance/search" => search(world, target.get("q").unwrap_or("")),
        path => match path.strip_prefix(CHART).filter(|id| !id.is_empty()) {
            Some(id) => match world.market(Venue::YAHOO, &id.to_uppercase()) {
                Some(market) if market.listing.id == id.to_uppercase() => chart::respond(world, target, market),
                _ => failure(404, "Not Found", "No data found, symbol may be delisted"),
            },
            None => SimReply::typed(404, "text/html", "<html><body>Not Found</body></html>"),
        },
    }
}

fn search(world: &World, wanted: &str) -> SimReply {
    let wanted = wanted.to_uppercase();
    let found: Vec<_> = world.listed(Venue::YAHOO).filter(|market| market.listing.id.contains(&wanted)).collect();
    let count = found.len();
    let quotes = joined(found, |out, market| {
        let listing = &market.listing;
        out.push_str(&format!(
            r#"{{"exchange":"{}","shortname":{},"quoteType":"{}","symbol":{},"isYahooFinance":true}}"#,
            meta::exchange_of(listing.kind).0,
            quoted(listing.symbol.as_str()),
            meta::exchange_of(listing.kind).2,
            quoted(&listing.id),
        ));
    });
    SimReply::json(200, format!(r#"{{"explains":[],"count":{count},"quotes":[{quotes}],"news":[]}}"#))
}
