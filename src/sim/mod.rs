//! The simulated exchanges, each under its own name with the venue's own paths and frames, over
//! markets whose truth is known.
//!
//! Any client of these venues works against it when only its base URL is replaced. The core has no
//! socket: [`Simulator::http`] answers requests and [`Simulator::open_socket`] gives connections
//! that wait on the simulation's clock; [`server`] puts both on a port. What happens is a function of
//! the seed, the fault script and the requests. Shares neither parser nor calendar nor aggregator
//! with the product, because a shared mistake would hide itself.

mod archive;
mod bar;
mod binance;
mod binanceusdm;
mod bitfinex;
mod bitmex;
mod bybit;
mod calendar;
mod coinbase;
mod decimal;
mod desk;
mod dice;
pub mod fault;
pub mod fault_script;
mod feed;
mod half;
pub mod http;
mod hyperliquid;
mod kraken;
mod limits;
mod listing;
mod market;
mod okx;
mod replay;
pub mod server;
pub mod socket;
pub mod stats;
mod tape;
mod truth;
mod world;
mod yahoo;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::market::Symbol;

pub use fault::{Fault, FaultKind};
pub use fault_script::{ScriptError, parse_json, parse_script};
pub use http::{Delivery, SimReply, SimRequest};
pub use listing::{UnknownVenue, Venue, default_symbols};
pub use replay::{LineFault, Replay, ReplayError};
pub use socket::{SimFrame, SimSocket, SimSocketInput};
pub use stats::{Stats, VenueStats};

use half::Subject;
use http::{Target, http_date, rfc3339};
use stats::VenueStats as Counts;
use world::World;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// The venues; all by default.
    pub exchanges: Vec<Venue>,
    /// How many markets each venue lists, from [`default_symbols`]; 8 by default.
    pub symbols_per_exchange: usize,
    /// Markets of single venues, instead of the first `symbols_per_exchange`.
    pub symbols: BTreeMap<Venue, Vec<Symbol>>,
    /// Decides the markets and the dice of the faults.
    pub seed: u64,
    /// Whole days (UTC) of trading before the day on which the simulation starts; 30 by default.
    pub history_days: u32,
    /// Mean number of trades in a minute of an ordinary market; 12 by default.
    pub trades_per_minute: f64,
    /// Whether the venues' limits are enforced; they are by default.
    pub enforce_limits: bool,
    /// The fault script.
    pub faults: Vec<Fault>,
    /// A recorded market in place of a seeded one. Start the clock at [`Replay::start`].
    pub replay: Option<Replay>,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            exchanges: Venue::all(),
            symbols_per_exchange: 8,
            symbols: BTreeMap::new(),
            seed: 1,
            history_days: 30,
            trades_per_minute: 12.0,
            enforce_limits: true,
            faults: Vec::new(),
            replay: None,
        }
    }
}

/// The running simulation. Cheap to clone; clones share their state.
#[derive(Debug, Clone)]
pub struct Simulator {
    world: Arc<World>,
}

impl Simulator {
    /// Starts a simulation whose beginning is what the clock shows now.
    pub fn new(config: SimConfig, clock: Clock) -> Simulator {
        Simulator { world: Arc::new(World::new(config, clock)) }
    }

    /// The simulation's clock.
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    /// When the simulation began.
    pub fn epoch(&self) -> DateTime<Utc> {
        self.world.epoch
    }

    /// Adds a fault whose times count from now.
    pub fn inject(&self, fault: Fault) {
        let now_ns = self.world.clock.now().timestamp_micros() * 1_000;
        self.world.arm(fault, now_ns, 1);
        self.world.changed.send_modify(|version| *version += 1);
    }

    /// The counters so far.
    pub fn stats(&self) -> Stats {
        Stats { exchanges: self.world.counters.snapshot(), faults: self.world.faults.fired() }
    }

    /// Answers an HTTP request.
    pub fn http(&self, request: &SimRequest) -> SimReply {
        let mut target = Target::parse(&request.target);
        if request.method == "POST" && request.header_is("content-type", "application/x-www-form-urlencoded") {
            target.add_form(&String::from_utf8_lossy(&request.body));
        }
        let venue = self.world.venues.iter().find(|venue| in_folder(&target.path, venue.as_str()).is_some());
        match venue {
            Some(&venue) => {
                target.path = in_folder(&target.path, venue.as_str()).unwrap_or_default().to_owned();
                self.venue_http(venue, request, &target)
            }
            None => {
                let now_ns = self.world.clock_ns();
                self.own_http(request, &target).with_header("date", http_date(now_ns))
            }
        }
    }

    /// Opens a socket at an address below a venue's name: `/kraken/v2`, `/binance/ws`.
    ///
    /// # Errors
    /// The HTTP reply to give instead of an upgrade.
    pub fn open_socket(&self, path_and_query: &str, peer: IpAddr) -> Result<SimSocket, SimReply> {
        let world = &self.world;
        let target = Target::parse(path_and_query);
        let path = target.path.as_str();
        let venue = world.venues.iter().copied().find(|venue| in_folder(path, venue.as_str()).is_some());
        let Some(venue) = venue else { return Err(SimReply::typed(404, "text/plain", "Not Found")) };
        if let Some(reply) = self.line_fault(venue, None) {
            return Err(reply);
        }
        let now_ns = world.now_ns(venue);
        let connects = venue.half().connects().filter(|_| world.enforce_limits);
        if connects.is_some_and(|limit| !world.limits().within(venue, peer, "connect", limit, now_ns)) {
            world.counters.count(venue, |stats| stats.limited += 1);
            return Err(SimReply::typed(429, "text/plain", "Too Many Requests").with_header("date", http_date(now_ns)));
        }
        let path = in_folder(path, venue.as_str()).unwrap_or_default().trim_end_matches('/');
        let Some(session) = venue.half().open(world, path, &target) else {
            return Err(SimReply::typed(404, "text/plain", "Not Found").with_header("date", http_date(now_ns)));
        };
        Ok(SimSocket::new(world.clone(), venue, session))
    }

    fn venue_http(&self, venue: Venue, request: &SimRequest, target: &Target) -> SimReply {
        let world = &self.world;
        let half = venue.half();
        let Subject { endpoint, symbol, interval } = half.subject(world, request, target);
        let reply = match self.line_fault(venue, symbol.as_ref()) {
            Some(reply) => reply,
            None => self.spoil(venue, symbol.as_ref(), half.respond(world, request, target)),
        };
        world.counters.count(venue, |stats: &mut Counts| {
            stats.requests += 1;
            let parts = [Some(endpoint.clone()), symbol.map(|symbol| symbol.to_string()), interval];
            *stats.by_series.entry(parts.into_iter().flatten().collect::<Vec<_>>().join(" ")).or_insert(0) += 1;
            *stats.by_endpoint.entry(endpoint).or_insert(0) += 1;
            *stats.by_status.entry(reply.status).or_insert(0) += 1;
        });
        let date = http_date(world.now_ns(venue));
        if reply.status == 0 { reply } else { reply.with_header("date", date) }
    }

    /// Faults that answer before the venue does.
    fn line_fault(&self, venue: Venue, symbol: Option<&Symbol>) -> Option<SimReply> {
        let html = |status: u16, text: &str| {
            SimReply::typed(
                status,
                "text/html",
                format!("<!DOCTYPE html><html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"),
            )
        };
        let limited = |reply: SimReply, retry_after: &Option<std::time::Duration>| match retry_after {
            Some(wait) => reply.with_header("retry-after", wait.as_secs()),
            None => reply,
        };
        let clock_ns = self.world.clock_ns();
        let reply = self.world.faults.strike(venue, symbol, clock_ns, |kind| match kind {
            FaultKind::Refuse => Some(SimReply::undelivered(Delivery::Refuse)),
            FaultKind::HalfOpen => Some(SimReply::undelivered(Delivery::Hang)),
            FaultKind::Http429 { retry_after } => {
                Some(limited(SimReply::typed(429, "text/plain", "Too Many Requests"), retry_after))
            }
            FaultKind::Http418 { retry_after } => {
                let body = r#"{"code":-1003,"msg":"Way too much request weight used; IP banned."}"#;
                Some(limited(SimReply::json(418, body), retry_after))
            }
            FaultKind::Http5xx { status } => Some(html(*status, "Bad gateway")),
            FaultKind::Html => Some(html(200, "Will be right back")),
            _ => None,
        });
        reply.or_else(|| {
            // Where sockets announce a maintenance they stay reachable; REST does not.
            let in_maintenance = |kind: &FaultKind| (*kind == FaultKind::Maintenance).then_some(());
            let is_socket = symbol.is_none() && venue.half().announces_maintenance();
            self.world
                .faults
                .holds(venue, symbol, clock_ns, in_maintenance)
                .filter(|()| !is_socket)
                .map(|()| html(503, "Maintenance"))
        })
    }

    /// Faults that damage a finished reply.
    fn spoil(&self, venue: Venue, symbol: Option<&Symbol>, mut reply: SimReply) -> SimReply {
        let clock_ns = self.world.clock_ns();
        let rubbish = |kind: &FaultKind| (*kind == FaultKind::Rubbish).then_some(());
        if self.world.faults.strike(venue, symbol, clock_ns, rubbish).is_some() {
            reply.body = "%$#@ rubbish \u{fffd}".into();
        }
        let half = reply.body.len() / 2;
        let delivery = self.world.faults.strike(venue, symbol, clock_ns, |kind| match kind {
            FaultKind::Truncate => Some(Delivery::TruncateAt(half)),
            FaultKind::Slow { delay } => Some(Delivery::DelayBy(*delay)),
            _ => None,
        });
        reply.delivery = delivery.unwrap_or(reply.delivery);
        reply
    }

    /// The simulator's own endpoints.
    fn own_http(&self, request: &SimRequest, target: &Target) -> SimReply {
        match (request.method.as_str(), target.path.as_str()) {
            ("GET", "/") => SimReply::json(200, self.index()),
            ("GET", "/clock") => {
                let clock = self.clock();
                let now = clock.now();
                SimReply::json(
                    200,
                    format!(
                        r#"{{"now":"{}","epoch":"{}","factor":{:?},"unix_ms":{}}}"#,
                        rfc3339(now.timestamp_micros() * 1_000, 6),
                        rfc3339(self.epoch().timestamp_micros() * 1_000, 6),
                        clock.factor(),
                        now.timestamp_millis(),
                    ),
                )
            }
            ("GET", "/stats") => match serde_json::to_string(&self.stats()) {
                Ok(body) => SimReply::json(200, body),
                Err(error) => SimReply::typed(500, "text/plain", error.to_string()),
            },
            ("GET", "/truth/candles" | "/truth/trades") => truth::respond(&self.world, target),
            ("POST", "/faults") => match parse_json(&String::from_utf8_lossy(&request.body)) {
                Ok(faults) => {
                    let added = faults.len();
                    faults.into_iter().for_each(|fault| self.inject(fault));
                    SimReply::json(200, format!(r#"{{"added":{added}}}"#))
                }
                Err(ScriptError(mistakes)) => {
                    SimReply::json(400, serde_json::json!({ "errors": mistakes }).to_string())
                }
            },
            _ => SimReply::typed(404, "text/plain", "Not Found"),
        }
    }

    fn index(&self) -> String {
        let venues = self.world.venues.iter().map(|&venue| {
            let symbols: Vec<&str> = self.world.listed(venue).map(|market| market.listing.symbol.as_str()).collect();
            (venue.as_str(), serde_json::json!({ "path": format!("/{venue}"), "symbols": symbols }))
        });
        serde_json::json!({
            "simulator": "candlewick",
            "exchanges": venues.collect::<BTreeMap<_, _>>(),
            "endpoints": ["GET /clock", "GET /stats", "GET /truth/candles", "GET /truth/trades", "POST /faults"],
        })
        .to_string()
    }
}

impl SimRequest {
    fn header_is(&self, name: &str, value: &str) -> bool {
        self.headers.iter().any(|(key, given)| key == name && given.starts_with(value))
    }
}

/// The rest of a path below a first segment.
fn in_folder<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix('/')?.strip_prefix(folder)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}
