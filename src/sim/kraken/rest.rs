//! Kraken's REST answers. Errors travel in HTTP 200.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::bar::Bar;
use super::super::calendar::{DAY, Frame};
use super::super::decimal::{AMOUNT_DECIMALS, fixed, quotient};
use super::super::fault::FaultKind;
use super::super::half::Subject;
use super::super::http::{SimReply, SimRequest, Target, joined, quoted, rfc3339};
use super::super::limits::Decay;
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::frame_of_interval;

/// Committed candles served; the forming one comes on top (recorded bodies have 721 rows).
const COMMITTED_ROWS: i64 = 720;

/// One call a second is documented as safe.
const LIMIT: Decay = Decay { burst: 15.0, per_second: 1.0 };

pub(super) fn subject(world: &World, target: &Target) -> Subject {
    let endpoint = target.path.strip_prefix("/0/public/").unwrap_or("other").to_owned();
    let market = target.get("pair").and_then(|pair| world.any_market(Venue::KRAKEN, pair));
    let interval = (endpoint == "OHLC").then(|| target.get("interval").unwrap_or("1").to_owned());
    Subject { endpoint, symbol: market.map(|market| market.listing.symbol.clone()), interval }
}

fn failure(error: &str) -> SimReply {
    SimReply::json(200, format!(r#"{{"error":[{}]}}"#, quoted(error)))
}

fn success(result: &str) -> SimReply {
    SimReply::json(200, format!(r#"{{"error":[],"result":{result}}}"#))
}

pub(super) fn respond(world: &World, request: &SimRequest, target: &Target) -> SimReply {
    let Some(endpoint) = target.path.strip_prefix("/0/public/") else {
        return failure("EGeneral:Unknown method");
    };
    let now_ns = world.now_ns(Venue::KRAKEN);
    if world.enforce_limits {
        // OHLC and Trades are counted per pair, everything else together.
        let market = target.get("pair").and_then(|pair| world.market(Venue::KRAKEN, pair));
        let scope = match (endpoint, market) {
            ("OHLC" | "Trades", Some(market)) => format!("{endpoint} {}", market.listing.id),
            _ => String::new(),
        };
        if !world.limits().allows(Venue::KRAKEN, request.peer, &scope, LIMIT, now_ns) {
            world.counters.count(Venue::KRAKEN, |stats| stats.limited += 1);
            return failure("EAPI:Rate limit exceeded");
        }
    }
    match endpoint {
        "Time" => time(now_ns),
        "SystemStatus" => success(&format!(r#"{{"status":"online","timestamp":"{}"}}"#, rfc3339(now_ns, 0))),
        "Assets" => assets(world),
        "AssetPairs" => asset_pairs(world, target),
        "Ticker" => ticker(world, target),
        "OHLC" => with_pair(world, target, ohlc),
        "Trades" => with_pair(world, target, trades),
        _ => failure("EGeneral:Unknown method"),
    }
}

fn with_pair(world: &World, target: &Target, answer: fn(&World, &Target, &Market) -> SimReply) -> SimReply {
    let Some(pair) = target.get("pair").filter(|pair| !pair.is_empty()) else {
        return failure("EGeneral:Invalid arguments");
    };
    match world.market(Venue::KRAKEN, pair) {
        Some(market) => answer(world, target, market),
        None => failure("EQuery:Unknown asset pair"),
    }
}

fn time(now_ns: i64) -> SimReply {
    let rfc1123 = chrono::DateTime::from_timestamp_nanos(now_ns).format("%a, %d %b %y %H:%M:%S +0000");
    success(&format!(r#"{{"unixtime":{},"rfc1123":"{rfc1123}"}}"#, now_ns / SECOND_NS))
}

/// An asset's own name: `XBT` for `XXBT`, `USD` for `ZUSD`.
fn altname(asset: &str) -> &str {
    let is_legacy = asset.len() == 4 && matches!(asset.as_bytes()[0], b'X' | b'Z');
    if is_legacy { &asset[1..] } else { asset }
}

fn assets(world: &World) -> SimReply {
    let listings = world.listed(Venue::KRAKEN).map(|market| &market.listing);
    let mut names: Vec<&str> = listings.flat_map(|listing| [listing.base.as_str(), listing.quote.as_str()]).collect();
    names.sort_unstable();
    names.dedup();
    let body = joined(names, |out, name| {
        let (decimals, display) = if name.starts_with('Z') { (4, 2) } else { (10, 5) };
        let _ = write!(
            out,
            r#""{name}":{{"aclass":"currency","altname":"{}","decimals":{decimals},"display_decimals":{display},"status":"enabled"}}"#,
            altname(name)
        );
    });
    success(&format!("{{{body}}}"))
}

fn chosen<'a>(world: &'a World, target: &Target) -> Result<Vec<&'a Arc<Market>>, SimReply> {
    let Some(pairs) = target.get("pair").filter(|pairs| !pairs.is_empty()) else {
        return Ok(world.listed(Venue::KRAKEN).collect());
    };
    let find = |pair| world.market(Venue::KRAKEN, pair).ok_or_else(|| failure("EQuery:Unknown asset pair"));
    pairs.split(',').map(find).collect()
}

fn asset_pairs(world: &World, target: &Target) -> SimReply {
    let markets = match chosen(world, target) {
        Ok(markets) => markets,
        Err(reply) => return reply,
    };
    let body = joined(markets, |out, market| {
        let listing = &market.listing;
        let tick = fixed(1, listing.decimals, listing.decimals);
        let _ = write!(
            out,
            r#""{}":{{"altname":"{}","wsname":"{}","aclass_base":"currency","base":"{}","aclass_quote":"currency","quote":"{}","lot":"unit","cost_decimals":5,"pair_decimals":{},"lot_decimals":8,"lot_multiplier":1,"leverage_buy":[],"leverage_sell":[],"fees":[[0,0.4],[10000,0.35]],"fees_maker":[[0,0.25],[10000,0.2]],"fee_volume_currency":"ZUSD","margin_call":80,"margin_stop":40,"ordermin":"0.00005","costmin":"0.5","tick_size":"{tick}","status":"online"}}"#,
            listing.id, listing.altname, listing.wsname, listing.base, listing.quote, listing.decimals,
        );
    });
    success(&format!("{{{body}}}"))
}

fn vwap(market: &Market, bar: &Bar, digits: u32) -> String {
    let value = quotient(bar.quote, market.quote_scale(), bar.volume, AMOUNT_DECIMALS, digits);
    fixed(value, digits, digits).to_string()
}

fn ohlc(world: &World, target: &Target, market: &Market) -> SimReply {
    let interval = target.get("interval").map_or(Some(1), |text| text.parse().ok());
    let since = target.get("since").filter(|text| !text.is_empty()).map_or(Some(0), |text| text.parse::<i64>().ok());
    let (Some(frame), Some(mut since)) = (interval.and_then(frame_of_interval), since) else {
        return failure("EGeneral:Invalid arguments");
    };
    if world.strikes(market, FaultKind::IgnoreSince) {
        since = 0;
    }
    let now = world.now_ns(Venue::KRAKEN).div_euclid(SECOND_NS);
    let Frame::Fixed { len, .. } = frame else { return failure("EGeneral:Internal error") };
    let forming = frame.open(now);
    let first = forming - COMMITTED_ROWS * len;
    // The forming row comes whatever `since` says, which itself is exclusive.
    let from = frame.first_from(since.saturating_add(1).min(forming)).max(first);
    let mut rows = world.rows(market, frame, from, now + 1, COMMITTED_ROWS as usize + 1);
    if world.strikes(market, FaultKind::EmptyPage) {
        rows.clear();
    }
    let cap = world.page_cap(market);
    let kept = rows.len().saturating_sub(cap.unwrap_or(usize::MAX));
    rows.drain(..kept);
    let last = match rows.as_slice() {
        [.., committed, _] => committed.open,
        [only] => only.open - len,
        [] => since,
    };
    let digits = market.price_scale;
    let body = joined(&rows, |out, row| {
        let bar = &row.bar;
        let price = |value: i64| fixed(value, digits, digits);
        let _ = write!(
            out,
            r#"[{},"{}","{}","{}","{}","{}","{}",{}]"#,
            row.open,
            price(bar.open),
            price(bar.high),
            price(bar.low),
            price(bar.close),
            vwap(market, bar, digits),
            fixed(bar.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS),
            bar.trades,
        );
    });
    success(&format!(r#"{{"{}":[{body}],"last":{last}}}"#, market.listing.id))
}

/// `since` as nanoseconds: the `last` of a page, or plain seconds.
fn cursor_ns(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number = whole.parse::<i64>().ok().filter(|number| *number >= 0)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Seconds stay below 10^12 for thirty thousand years.
    if number < 1_000_000_000_000 {
        let digits = format!("{fraction:0<9}");
        return number.checked_mul(SECOND_NS)?.checked_add(digits.get(..9)?.parse::<i64>().ok()?);
    }
    Some(number)
}

fn trades(world: &World, target: &Target, market: &Market) -> SimReply {
    let count = target.get("count").map_or(Some(1_000), |text| text.parse::<usize>().ok());
    let since = target.get("since").filter(|text| !text.is_empty());
    let mut since_ns = match since.map(cursor_ns) {
        Some(None) => return failure("EGeneral:Invalid arguments"),
        Some(Some(since_ns)) => Some(since_ns),
        None => None,
    };
    let Some(mut count) = count.filter(|count| (1..=1_000).contains(count)) else {
        return failure("EGeneral:Invalid arguments:count");
    };
    if world.strikes(market, FaultKind::IgnoreSince) {
        since_ns = None;
    }
    if let Some(rows) = world.page_cap(market) {
        count = count.min(rows);
    }
    let until_ns = world.now_ns(Venue::KRAKEN) + 1;
    let position = match since_ns {
        Some(since_ns) => market.count_before(since_ns.saturating_add(1).min(until_ns)),
        None => market.count_before(until_ns).saturating_sub(count as u64),
    };
    let mut ticks = market.page(position, count, until_ns);
    if world.strikes(market, FaultKind::EmptyPage) {
        ticks.clear();
    }
    let body = joined(&ticks, |out, tick| {
        // Seconds with up to seven digits, as a JSON number.
        let mut time = fixed(tick.time_ns, 9, 7).to_string();
        time.truncate(time.trim_end_matches('0').trim_end_matches('.').len());
        let _ = write!(
            out,
            r#"["{}","{}",{time},"{}","{}","",{}]"#,
            fixed(tick.price, market.price_scale, market.price_scale.max(5)),
            fixed(tick.amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS),
            if tick.taker_buys { "b" } else { "s" },
            if tick.is_market_order { "m" } else { "l" },
            tick.id,
        );
    });
    let last = ticks.last().map_or(since_ns.unwrap_or(until_ns - 1), |tick| tick.time_ns);
    success(&format!(r#"{{"{}":[{body}],"last":"{last}"}}"#, market.listing.id))
}

fn ticker(world: &World, target: &Target) -> SimReply {
    let markets = match chosen(world, target) {
        Ok(markets) => markets,
        Err(reply) => return reply,
    };
    let now_ns = world.now_ns(Venue::KRAKEN);
    let now = now_ns.div_euclid(SECOND_NS);
    let today = now - now.rem_euclid(DAY);
    let priced = markets.into_iter().filter_map(|market| Some((market, market.price_before(now_ns + 1)?)));
    let body = joined(priced, |out, (market, last)| {
        let digits = market.price_scale;
        let price = |value: i64| fixed(value, digits, digits.max(5)).to_string();
        let amount = |value: i128| fixed(value, AMOUNT_DECIMALS, AMOUNT_DECIMALS).to_string();
        let since = |from: i64| market.bar(from, now + 1, now_ns + 1).unwrap_or_else(|| Bar::flat(last));
        let (day, rolling) = (since(today), since(now - DAY));
        let pair = |of: &dyn Fn(&Bar) -> String| format!(r#"["{}","{}"]"#, of(&day), of(&rolling));
        let _ = write!(
            out,
            r#""{}":{{"a":["{}","1","1.000"],"b":["{}","1","1.000"],"c":["{}","0.00010000"],"v":{},"p":{},"t":[{},{}],"l":{},"h":{},"o":"{}"}}"#,
            market.listing.id,
            price(last + 1),
            price((last - 1).max(1)),
            price(last),
            pair(&|bar| amount(bar.volume)),
            pair(&|bar| vwap(market, bar, digits.max(5))),
            day.trades,
            rolling.trades,
            pair(&|bar| price(bar.low)),
            pair(&|bar| price(bar.high)),
            price(day.open),
        );
    });
    success(&format!("{{{body}}}"))
}
