//! What must hold after any schedule of faults and crashes, against the simulator's own truth.

use std::collections::{BTreeMap, BTreeSet};

use candlewick::exchange::{Depth, QuietPolicy, TradeHistory, registry};
use candlewick::market::ledger::{TOO_OLD, TRADES_NOT_SERVED};
use candlewick::market::{Source, Span, Timeframe};
use candlewick::store::inventory::{self, Absence};
use candlewick::store::{CandleQuery, CandleSource, Coverage, Store, StoredCandle, SymbolRow, SymbolState};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct TrueCandle {
    pub open_time: DateTime<Utc>,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
    pub trades: Option<u64>,
}

/// Answers a `GET` of the simulator's own paths.
pub type Ask<'a> = &'a dyn Fn(&str) -> Vec<u8>;

/// The simulator's truth about a stretch of a series.
pub fn truth(ask: Ask<'_>, symbol: &SymbolRow, timeframe: Timeframe, span: Span) -> Vec<TrueCandle> {
    let body = ask(&format!(
        "/truth/candles?exchange={}&symbol={}&timeframe={timeframe}&from={}&to={}",
        symbol.exchange,
        symbol.symbol.as_str().replace('/', "%2F"),
        span.from.timestamp_millis(),
        span.to.timestamp_millis(),
    ));
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)))
}

/// Figures of a check.
#[derive(Debug, Default, Clone)]
pub struct Checked {
    pub candles: u64,
    pub unavailable: BTreeMap<String, u64>,
    pub violations: Vec<String>,
}

/// Ledger and rows fit together: what must hold at any instant, also right after a crash.
pub async fn structure(store: &dyn Store, checked: &mut Checked) {
    for symbol in store.symbols().await.unwrap() {
        let capabilities = registry::find(&symbol.exchange).unwrap().capabilities;
        let absence = if capabilities.quiet == QuietPolicy::Emits { Absence::Forbidden } else { Absence::Allowed };
        for series in store.series_of(symbol.id).await.unwrap() {
            let grid = inventory::grid_of(&symbol, series.timeframe);
            let found = inventory::verify(store, &series, grid, absence, symbol.backfill_from).await.unwrap();
            let name = format!("{} {} {}", symbol.exchange, symbol.symbol, series.timeframe);
            checked.violations.extend(found.iter().map(|violation| format!("{name}: {violation}")));
        }
    }
}

/// Every final candle equals the truth; nothing is missing that the venue could serve.
pub async fn values(store: &dyn Store, ask: Ask<'_>, now: DateTime<Utc>, checked: &mut Checked) {
    for symbol in store.symbols().await.unwrap() {
        for series in store.series_of(symbol.id).await.unwrap() {
            let name = format!("{} {} {}", symbol.exchange, symbol.symbol, series.timeframe);
            let grid = inventory::grid_of(&symbol, series.timeframe);
            let wanted = Span::new(grid.bucket_at(symbol.backfill_from), now);
            let mut real = truth(ask, &symbol, series.timeframe, wanted);
            if symbol.exchange == "yahoo" && series.timeframe == Timeframe::M30 {
                add_up_quarters(&mut real, &truth(ask, &symbol, Timeframe::M15, wanted));
            }
            let real: BTreeMap<_, _> = real.into_iter().map(|candle| (candle.open_time, candle)).collect();
            let query = CandleQuery { span: wanted, limit: None, newest_first: false };
            let capabilities = registry::find(&symbol.exchange).unwrap().capabilities;
            // Trades do not tell whether a venue that was away prints flat bars of that time.
            let from_trades = symbol.candle_source == CandleSource::Trades;
            let is_built = |row: &StoredCandle| {
                let edge = depth_edge(&symbol, series.timeframe, row.observed_at);
                from_trades || (capabilities.builds_old_candles() && edge > Some(row.candle.open_time))
            };
            let is_moot = |row: &StoredCandle| {
                row.source == Source::Synthesised && !real.contains_key(&row.candle.open_time) && is_built(row)
            };
            // Nor which of its quiet buckets a venue prints that prints some of them.
            let quiet = capabilities.quiet;
            let is_printed_by_chance =
                |real: &TrueCandle| from_trades && quiet == QuietPolicy::Mixed && real.volume == 0.0;
            let second = |span: Span| grid.next_open(grid.bucket_at(span.from));
            let ledger = store.ledger(series.id).await.unwrap();
            // A venue may count some volume late: nothing tells it of a market that went before its bars, which
            // the ledger calls unverified, were compared.
            let is_beyond_comparison = |open: DateTime<Utc>| {
                let unverified = Coverage::Complete { verified: false };
                matches!(symbol.state, SymbolState::Rejected(_))
                    && ledger.iter().any(|entry| entry.span.contains(open) && entry.coverage == unverified)
            };
            for row in store.candles(series.id, query).await.unwrap().into_iter().filter(|row| !is_moot(row)) {
                checked.candles += 1;
                let stored = row.candle;
                let same = real.get(&stored.open_time).is_some_and(|real| {
                    let is_short = stored.volume < real.volume && is_beyond_comparison(stored.open_time);
                    (real.open, real.high, real.low, real.close) == (stored.open, stored.high, stored.low, stored.close)
                        && (real.volume == stored.volume || is_short)
                        && (real.trades.is_none() || stored.trades.is_none() || real.trades == stored.trades)
                });
                if !same {
                    let real = real.get(&stored.open_time);
                    checked.violations.push(format!("{name}: stored {row:?} but the truth is {real:?}"));
                }
            }
            for entry in &ledger {
                let inside = entry.span.intersect(wanted);
                let lost = real.range(inside.from..inside.to.max(inside.from)).count();
                match &entry.coverage {
                    Coverage::Complete { .. } => {
                        let held = CandleQuery { span: inside, limit: None, newest_first: false };
                        let held = store.candles(series.id, held).await.unwrap();
                        let held: BTreeSet<_> =
                            held.iter().filter(|row| !is_moot(row)).map(|row| row.candle.open_time).collect();
                        let wanted = real.range(inside.from..inside.to.max(inside.from));
                        let lacking: Vec<_> = wanted
                            .filter(|(open, real)| !held.contains(open) && !is_printed_by_chance(real))
                            .map(|(open, _)| open)
                            .collect();
                        if !lacking.is_empty() {
                            let held = held.len();
                            checked.violations.push(format!(
                                "{name}: {inside} is complete with {held} of {lost} candles, without {lacking:?}"
                            ));
                        }
                    }
                    Coverage::Unavailable { reason } => {
                        *checked.unavailable.entry(reason.clone()).or_default() += grid.count(inside);
                        if !is_lost(&symbol, series.timeframe, inside, reason, now) && lost > 0 {
                            checked.violations.push(format!("{name}: {inside} is {reason} but the venue has {lost}"));
                        }
                    }
                    // Nobody works on it: it stays as it is until that changes.
                    Coverage::Missing { .. } if symbol.state != SymbolState::Active => {}
                    // Where quiet buckets have no rows, the last one is proven by the next row or by its age; and
                    // where they are built of trades, and only these are stamped, by a trade in a later bucket.
                    Coverage::Missing { .. } if from_trades && !has_traded_since(&real, second(inside)) => {}
                    Coverage::Missing { .. } if lost == 0 && inside.to > now - TimeDelta::hours(2) => {}
                    Coverage::Missing { .. } if inside.to > now - TimeDelta::minutes(5) => {}
                    Coverage::Missing { .. } => {
                        checked.violations.push(format!("{name}: still missing {entry:?}, where the venue has {lost}"));
                    }
                }
            }
            let observed = series.observed_until.unwrap_or(wanted.from);
            let newest = grid.last_closed_end(now - TimeDelta::minutes(3));
            let is_kept = symbol.state == SymbolState::Active;
            if is_kept && grid.anchors.session.is_none() && observed < newest {
                checked.violations.push(format!("{name}: observed until {observed}, closed until {newest}"));
            }
        }
    }
}

/// Yahoo's half hours are read as two quarters, of each of which it cuts the volume to a whole number.
fn add_up_quarters(halves: &mut [TrueCandle], quarters: &[TrueCandle]) {
    for half in halves {
        let inside = Span::new(half.open_time, half.open_time + TimeDelta::minutes(30));
        half.volume = quarters.iter().filter(|part| inside.contains(part.open_time)).map(|part| part.volume).sum();
    }
}

fn has_traded_since(real: &BTreeMap<DateTime<Utc>, TrueCandle>, from: DateTime<Utc>) -> bool {
    real.range(from..).any(|(_, real)| real.volume > 0.0)
}

/// True where the venue does not have any more what a symbol lacks: it can be neither read nor built.
fn is_lost(symbol: &SymbolRow, timeframe: Timeframe, span: Span, reason: &str, now: DateTime<Utc>) -> bool {
    let capabilities = registry::find(&symbol.exchange).unwrap().capabilities;
    if symbol.candle_source == CandleSource::Trades {
        // What was traded while nobody listened, where only the newest trades are served.
        let keeps_none = capabilities.trade_rest.is_none_or(|rest| rest.history == TradeHistory::Recent);
        return keeps_none && reason == TRADES_NOT_SERVED;
    }
    let is_beyond = depth_edge(symbol, timeframe, now).is_some_and(|edge| span.to <= edge);
    reason == TOO_OLD && is_beyond && !capabilities.builds_old_candles()
}

/// Since when the venue has candles of its own; `None` where it keeps all.
fn depth_edge(symbol: &SymbolRow, timeframe: Timeframe, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let capabilities = registry::find(&symbol.exchange).unwrap().capabilities;
    match capabilities.timeframe(timeframe)?.depth {
        Depth::Age(age) => Some(now - age),
        Depth::NewestRows(rows) => Some(inventory::grid_of(symbol, timeframe).back(now, rows)),
        Depth::Full => None,
    }
}
