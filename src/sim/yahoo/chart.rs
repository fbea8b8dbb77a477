//! `GET /v8/finance/chart/{symbol}`.

use super::super::bar::Bar;
use super::super::calendar::{DAY, Frame, HOUR};
use super::super::decimal::AMOUNT_DECIMALS;
use super::super::dice::Dice;
use super::super::fault::FaultKind;
use super::super::http::{SimReply, Target};
use super::super::listing::Kind;
use super::super::market::{Bucket, Market};
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::{failure, frame, meta};

/// How far back an interval reaches and how wide a request may be, in days.
fn depth_days(interval: &str) -> Option<(i64, Option<i64>)> {
    match interval {
        "1m" => Some((30, Some(8))),
        "2m" | "5m" | "15m" | "30m" | "90m" => Some((60, None)),
        "60m" | "1h" => Some((730, None)),
        _ => None,
    }
}

/// What was asked for, as the venue understood it.
pub(super) struct Window {
    pub(super) interval: String,
    pub(super) range: String,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) is_intraday: bool,
}

/// Numbers of one bar as Yahoo prints them.
pub(crate) struct PrintedBar {
    pub(crate) prices: [String; 4],
    pub(crate) volume: String,
}

/// A price with the noise of a number that went through 32 bits.
pub(super) fn print_price(market: &Market, value: i64) -> String {
    let price = value as f64 / 10f64.powi(market.price_scale as i32);
    format!("{:?}", f64::from(price as f32))
}

/// A bar with trades; `None` for a quiet one, which Yahoo has nothing to say about.
pub(crate) fn printed(market: &Market, bucket: &Bucket) -> Option<PrintedBar> {
    (bucket.bar.trades > 0).then(|| print_bar(market, &bucket.bar))
}

fn print_bar(market: &Market, bar: &Bar) -> PrintedBar {
    let volume = match market.listing.kind {
        Kind::Currency => 0,
        Kind::Equity | Kind::Index => bar.volume / 10i128.pow(AMOUNT_DECIMALS),
        // Pairs of coins are counted in quote currency.
        Kind::Crypto => bar.quote / 10i128.pow(market.quote_scale()),
    };
    let prices = [bar.open, bar.high, bar.low, bar.close].map(|price| print_price(market, price));
    PrintedBar { prices, volume: volume.to_string() }
}

pub(super) fn respond(world: &World, target: &Target, market: &Market) -> SimReply {
    let now_ns = world.now_ns(market.listing.venue);
    let (window, frame) = match window(world, target, market, now_ns) {
        Ok(window) => window,
        Err(refusal) => return refusal,
    };
    let mut rows = rows(world, market, &window, frame, now_ns);
    if world.strikes(market, FaultKind::EmptyPage) {
        rows.clear();
    }
    let cap = world.page_cap(market);
    rows.drain(..rows.len().saturating_sub(cap.unwrap_or(usize::MAX)));
    let meta = meta::print(market, &window, now_ns);
    let adjusted = !window.is_intraday;
    let (timestamps, quote, adjclose) = if rows.is_empty() {
        (String::new(), String::new(), String::new())
    } else {
        let column = |of: &dyn Fn(&PrintedBar) -> &str| {
            let cells: Vec<&str> = rows.iter().map(|(_, bar)| bar.as_ref().map_or("null", of)).collect();
            cells.join(",")
        };
        let stamps: Vec<String> = rows.iter().map(|(stamp, _)| stamp.to_string()).collect();
        let quote = format!(
            r#""open":[{}],"high":[{}],"low":[{}],"close":[{}],"volume":[{}]"#,
            column(&|bar| &bar.prices[0]),
            column(&|bar| &bar.prices[1]),
            column(&|bar| &bar.prices[2]),
            column(&|bar| &bar.prices[3]),
            column(&|bar| &bar.volume),
        );
        let adjclose = format!(r#","adjclose":[{{"adjclose":[{}]}}]"#, column(&|bar| &bar.prices[3]));
        (format!(r#""timestamp":[{}],"#, stamps.join(",")), quote, if adjusted { adjclose } else { String::new() })
    };
    SimReply::json(
        200,
        format!(
            r#"{{"chart":{{"result":[{{"meta":{meta},{timestamps}"indicators":{{"quote":[{{{quote}}}]{adjclose}}}}}],"error":null}}}}"#
        ),
    )
}

fn window(world: &World, target: &Target, market: &Market, now_ns: i64) -> Result<(Window, Frame), SimReply> {
    let bad = |description: &str| failure(400, "Bad Request", description);
    let now = now_ns.div_euclid(SECOND_NS);
    let hours = market.listing.hours();
    let range = target.get("range").filter(|range| !range.is_empty());
    let has_period = target.get("period1").is_some() && target.get("period2").is_some();
    let interval = target.get("interval").unwrap_or(if has_period { "1d" } else { "1m" }).to_owned();
    let Some(frame) = frame(hours, &interval) else {
        return Err(bad(&format!(
            "Invalid input - interval={interval} is not supported. Valid intervals: [1m, 2m, 5m, 15m, 30m, 60m, 90m, 1h, 1d, 5d, 1wk, 1mo, 3mo]"
        )));
    };
    let number = |name: &str| {
        let text = target.get(name).unwrap_or_default();
        text.parse::<i64>().map_err(|_| bad(&format!("Invalid input - {name}={text} is not a number")))
    };
    let (mut from, to, range) = if has_period {
        (number("period1")?, number("period2")?, String::new())
    } else {
        let range = range.unwrap_or("1d");
        let days = match range {
            "1d" => 0,
            "5d" => 5,
            "1mo" => 31,
            "3mo" => 92,
            "6mo" => 183,
            "1y" | "ytd" => 366,
            "2y" => 731,
            "5y" => 1_827,
            "10y" => 3_653,
            "max" => now / DAY,
            _ => return Err(bad(&format!("Invalid input - range={range} is not supported."))),
        };
        let session = hours.last_session(now).0;
        (if days == 0 { session } else { session - days * DAY }, now + 1, range.to_owned())
    };
    if from >= to {
        let text = format!("Invalid input - start date cannot be after end date. startDate = {from}, endDate = {to}");
        return Err(bad(&text));
    }
    if world.strikes(market, FaultKind::IgnoreSince) {
        from = hours.last_session(now).0.min(to - HOUR);
    }
    if let Some((depth, width)) = depth_days(&interval) {
        let refuse = |reason: &str| {
            let text = format!("{interval} data not available for startTime={from} and endTime={to}. {reason}");
            Err(failure(422, "Unprocessable Entity", &text))
        };
        if from < now - depth * DAY && has_period {
            return refuse(&format!("The requested range must be within the last {depth} days."));
        }
        if let Some(width) = width.filter(|width| to - from > width * DAY) {
            return refuse(&format!(
                "Only {width} days worth of {interval} granularity data are allowed to be fetched per request."
            ));
        }
    }
    let is_intraday = matches!(frame, Frame::Fixed { .. } | Frame::Session { .. });
    Ok((Window { interval, range, from, to, is_intraday }, frame))
}

/// Rows by stamp; `None` is a row of nulls.
type Row = (i64, Option<PrintedBar>);

fn rows(world: &World, market: &Market, window: &Window, frame: Frame, now_ns: i64) -> Vec<Row> {
    let now = now_ns.div_euclid(SECOND_NS);
    let mut rows = Vec::new();
    let Some(first_ns) = market.first_trade_ns(now_ns) else { return rows };
    // A day's stamp is its session's opening, later than the start of its bucket.
    let mut open = frame.open(window.from.max(first_ns.div_euclid(SECOND_NS)));
    while open < window.to && open <= now {
        let stamp = stamp_of(frame, open);
        let bucket = market.bucket(frame, open, now_ns);
        let is_wanted = window.from <= stamp && stamp < window.to && stamp <= now;
        if let Some(bucket) = bucket.filter(|_| is_wanted) {
            if bucket.close > now {
                rows.extend(live_rows(market, window, frame, &bucket, now_ns));
            } else if bucket.bar.trades == 0 {
                rows.extend(has_null_row(market, open).then_some((stamp, None)));
            } else {
                let shown = world.shown(market, bucket, true);
                rows.extend(shown.map(|bucket| (stamp, printed(market, &bucket))));
            }
        }
        open = frame.next(open);
    }
    rows
}

/// Daily bars are stamped at the opening of their session.
fn stamp_of(frame: Frame, open: i64) -> i64 {
    match frame {
        Frame::Days { hours } => hours.session(hours.date_of(open)).map_or(open, |session| session.0),
        _ => open,
    }
}

/// Quiet minutes inside trading hours are sometimes rows of nulls and mostly absent.
fn has_null_row(market: &Market, open: i64) -> bool {
    market.listing.hours().is_open_at(open) && Dice::new(u64::from(market.price_scale), open).below(3) == 0
}

/// The running bucket: its bar so far, and the live row stamped with the last trade's time.
fn live_rows(market: &Market, window: &Window, frame: Frame, bucket: &Bucket, now_ns: i64) -> Vec<Row> {
    if bucket.bar.trades == 0 {
        return Vec::new();
    }
    let last = market.count_before(now_ns + 1).checked_sub(1).and_then(|last| market.tick_at(last, now_ns + 1));
    let Some(last) = last else { return Vec::new() };
    let stamp = stamp_of(frame, bucket.open);
    let live_stamp = last.time_ns.div_euclid(SECOND_NS);
    let so_far = print_bar(market, &bucket.bar);
    if live_stamp <= stamp {
        return vec![(stamp, Some(so_far))];
    }
    if window.is_intraday {
        let live = PrintedBar { volume: "0".into(), ..print_bar(market, &Bar::flat(last.price)) };
        return vec![(stamp, Some(so_far)), (live_stamp, Some(live))];
    }
    // Days: sometimes two rows for today, else only the live one. Weeks and months: the bar without
    // today beside a live row of today is beyond what can be told apart; both rows hold the whole bar.
    let has_two = !matches!(frame, Frame::Days { .. }) || Dice::new(7, bucket.open).below(2) == 0;
    let mut rows = Vec::new();
    if has_two {
        rows.push((stamp, Some(print_bar(market, &bucket.bar))));
    }
    rows.push((live_stamp, Some(so_far)));
    rows
}
