//! BitMEX's REST answers: arrays of objects, and refusals with a name and a sentence.

use std::sync::Arc;

use chrono::DateTime;

use super::super::calendar::Frame;
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target, joined, quoted};
use super::super::limits::Decay;
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::{length_of_bin, print};

const MILLISECOND_NS: i64 = 1_000_000;
/// Thirty requests a minute for who has no key, refilled all the time.
const LIMIT: Decay = Decay { burst: 30.0, per_second: 0.5 };
const USUAL_ROWS: usize = 100;
const MOST_ROWS: usize = 1_000;
/// Rows that may be skipped; nothing here is longer.
const MOST_SKIPPED: usize = 10_000_000;

pub(super) fn subject(world: &World, target: &Target) -> Subject {
    let endpoint = target.path.strip_prefix("/api/v1/").unwrap_or("other").to_owned();
    let market = target.get("symbol").and_then(|id| find_any(world, id));
    let interval = (endpoint == "trade/bucketed").then(|| target.get("binSize").unwrap_or("1m").to_owned());
    Subject { endpoint, symbol: market.map(|market| market.listing.symbol.clone()), interval }
}

fn find_any<'a>(world: &'a World, id: &str) -> Option<&'a Arc<Market>> {
    let id = id.to_ascii_uppercase();
    world.any_market(Venue::BITMEX, &id).filter(|market| market.listing.id == id)
}

/// A market by its id, in any case.
pub(super) fn find<'a>(world: &'a World, id: &str) -> Option<&'a Arc<Market>> {
    find_any(world, id).filter(|market| world.is_listed(market))
}

fn failure(status: u16, name: &str, message: &str) -> SimReply {
    SimReply::json(status, format!(r#"{{"error":{{"message":{},"name":{}}}}}"#, quoted(message), quoted(name)))
}

fn invalid(message: &str) -> SimReply {
    failure(400, "HTTPError", message)
}

pub(super) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let now_ns = world.now_ns(Venue::BITMEX);
    let mut level = 0.0;
    if world.enforce_limits {
        let mut limits = world.limits();
        let is_allowed = limits.allows(Venue::BITMEX, request.peer, "", LIMIT, now_ns);
        level = limits.level(Venue::BITMEX, request.peer, "");
        drop(limits);
        if !is_allowed {
            world.counters.count(Venue::BITMEX, |stats| stats.limited += 1);
            let wait = ((level + 1.0 - LIMIT.burst) / LIMIT.per_second).ceil() as i64;
            let words = format!("Rate limit exceeded, retry in {wait} seconds.");
            let reply = failure(429, "RateLimitError", &words).with_header("retry-after", wait);
            return standing(reply, level, now_ns);
        }
    }
    let query = Query { world, target, now_ns };
    let reply = match target.path.strip_prefix("/api/v1").unwrap_or("") {
        "" | "/" => Ok(format!(
            r#"{{"name":"BitMEX API","version":"2.0.0","timestamp":{}}}"#,
            now_ns.div_euclid(MILLISECOND_NS)
        )),
        "/instrument/active" => Ok(query.instruments(usize::MAX)),
        "/instrument" => query.number("count", USUAL_ROWS, MOST_ROWS).map(|count| query.instruments(count)),
        "/trade/bucketed" => query.bins(),
        "/trade" => query.trades(),
        _ => Err(failure(404, "HTTPError", "Not Found")),
    };
    standing(reply.map_or_else(|failed| failed, |body| SimReply::json(200, body)), level, now_ns)
}

/// What is left of the limit, and when it is whole again.
fn standing(reply: SimReply, level: f64, now_ns: i64) -> SimReply {
    let full_again = now_ns.div_euclid(SECOND_NS) + (level / LIMIT.per_second).ceil() as i64;
    reply
        .with_header("x-ratelimit-limit", LIMIT.burst)
        .with_header("x-ratelimit-remaining", (LIMIT.burst - level.ceil()).max(0.0))
        .with_header("x-ratelimit-reset", full_again)
}

/// What all lists are asked with.
struct Page {
    count: usize,
    skipped: usize,
    is_reverse: bool,
    /// Both inclusive.
    start_ns: Option<i64>,
    end_ns: i64,
}

struct Query<'a> {
    world: &'a World,
    target: &'a Target,
    now_ns: i64,
}

impl<'a> Query<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.target.get(name).filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str, usual: usize, most: usize) -> Result<usize, SimReply> {
        let Some(text) = self.get(name) else { return Ok(usual) };
        let number = text.parse::<usize>().map_err(|_| invalid(&format!("'{name}' must be a number.")))?;
        if number > most { Err(invalid(&format!("Maximum {name} is {most}."))) } else { Ok(number) }
    }

    fn flag(&self, name: &str) -> Result<bool, SimReply> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(&format!("'{name}' must be a boolean."))),
        }
    }

    fn time_ns(&self, name: &str) -> Result<Option<i64>, SimReply> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let dated = || Some(chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?.and_utc());
        let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()).or_else(dated);
        let time = time.ok_or_else(|| invalid(&format!("'{name}' must be a date.")))?;
        // The years before 1970 and after 2262 are as early and as late as can be told.
        Ok(Some(time.timestamp_nanos_opt().unwrap_or(i64::MAX / 2).clamp(0, i64::MAX / 2)))
    }

    fn market(&self) -> Result<&'a Arc<Market>, SimReply> {
        let id = self.get("symbol").ok_or_else(|| invalid("'symbol' is a required arg."))?;
        find(self.world, id).ok_or_else(|| failure(404, "HTTPError", "Not Found"))
    }

    fn page(&self, market: &Market) -> Result<Page, SimReply> {
        let count = match self.number("count", USUAL_ROWS, MOST_ROWS)? {
            0 => return Err(invalid("'count' must be positive.")),
            count => count,
        };
        let cap = match self.world.strikes(market, FaultKind::EmptyPage) {
            true => Some(0),
            false => self.world.page_cap(market),
        };
        Ok(Page {
            count: count.min(cap.unwrap_or(count)),
            skipped: self.number("start", 0, MOST_SKIPPED)?,
            is_reverse: self.flag("reverse")?,
            start_ns: self.time_ns("startTime")?.filter(|_| !self.world.strikes(market, FaultKind::IgnoreSince)),
            end_ns: self.time_ns("endTime")?.unwrap_or(i64::MAX / 2),
        })
    }

    fn instruments(&self, most: usize) -> String {
        let wanted = self.get("symbol").map(str::to_ascii_uppercase);
        let listed = self.world.listed(Venue::BITMEX);
        let markets = listed.filter(|market| wanted.as_ref().is_none_or(|wanted| *wanted == market.listing.id));
        let list = joined(markets.take(most), |out, market| out.push_str(&print::instrument(market, self.now_ns)));
        format!("[{list}]")
    }

    /// Bounds are about the ends of bins.
    fn bins(&self) -> Result<String, SimReply> {
        let length = self.get("binSize").map_or(Some(60), length_of_bin);
        let length = length.ok_or_else(|| invalid("'binSize' must be one of 1m,5m,1h,1d."))?;
        let (market, frame, is_partial) = (self.market()?, Frame::every(length), self.flag("partial")?);
        let page = self.page(market)?;
        let now = self.now_ns.div_euclid(SECOND_NS);
        let most = page.skipped + page.count;
        // The first and the last end, on the grid.
        let start = page.start_ns.map_or(0, |start| (start - 1).div_euclid(SECOND_NS) + 1);
        let first_end = frame.open(start + length - 1);
        let newest_end = if is_partial { frame.open(now) + length } else { frame.open(now) };
        let last_end = frame.open(page.end_ns.div_euclid(SECOND_NS)).min(newest_end);
        let reach = i64::try_from(most).unwrap_or(i64::MAX).saturating_mul(length);
        let from_end = if page.is_reverse { first_end.max(last_end - reach + length) } else { first_end };
        let mut rows = self.world.rows(market, frame, from_end - length, last_end - length + 1, most);
        if page.is_reverse {
            rows.reverse();
        }
        let rows = rows.iter().skip(page.skipped).take(page.count);
        Ok(format!("[{}]", joined(rows, |out, row| out.push_str(&print::bin(market, row)))))
    }

    fn trades(&self) -> Result<String, SimReply> {
        let market = self.market()?;
        let page = self.page(market)?;
        // Times are printed in milliseconds, and compared so.
        let end_ns = page.end_ns.div_euclid(MILLISECOND_NS) * MILLISECOND_NS + MILLISECOND_NS;
        let until_ns = end_ns.min(self.now_ns + 1);
        let (first, end) =
            (market.count_before(page.start_ns.unwrap_or(0).min(until_ns)), market.count_before(until_ns));
        let skipped = page.skipped as u64;
        let (from, to) = match page.is_reverse {
            false => ((first + skipped).min(end), (first + skipped + page.count as u64).min(end)),
            true => {
                let to = end.saturating_sub(skipped).max(first);
                (to.saturating_sub(page.count as u64).max(first), to)
            }
        };
        let mut ticks = market.page(from, (to - from) as usize, until_ns);
        if page.is_reverse {
            ticks.reverse();
        }
        Ok(format!("[{}]", joined(&ticks, |out, tick| out.push_str(&print::trade(market, tick)))))
    }
}
