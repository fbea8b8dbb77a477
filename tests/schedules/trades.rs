//! What must hold of trades after any schedule, against the simulator's own truth.

use std::collections::BTreeSet;

use candlewick::exchange::{TradeHistory, registry};
use candlewick::market::Span;
use candlewick::store::{Store, SymbolState};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::check::Ask;

/// Trades may be told so much later than others that happened after them.
const LATENESS: TimeDelta = TimeDelta::seconds(2);

#[derive(Debug, Deserialize)]
struct TrueTrade {
    id: String,
    time: DateTime<Utc>,
}

/// Every trade that the ledger calls complete is stored, once, and nothing else is.
pub async fn check(store: &dyn Store, ask: Ask<'_>, now: DateTime<Utc>, violations: &mut Vec<String>) -> u64 {
    let mut count = 0;
    for symbol in store.symbols().await.unwrap().into_iter().filter(|symbol| symbol.collect_trades) {
        let name = format!("{} {} trades", symbol.exchange, symbol.symbol);
        let wanted = Span::new(symbol.backfill_from, now - TimeDelta::minutes(3));
        let body = ask(&format!(
            "/truth/trades?exchange={}&symbol={}&from={}&to={}",
            symbol.exchange,
            symbol.symbol.as_str().replace('/', "%2F"),
            wanted.from.timestamp_millis(),
            wanted.to.timestamp_millis(),
        ));
        let real: Vec<TrueTrade> = serde_json::from_slice(&body).unwrap();
        let coverage = store.trade_coverage(symbol.id).await.unwrap();
        let has_history = registry::find(&symbol.exchange)
            .unwrap()
            .capabilities
            .trade_rest
            .is_some_and(|rest| rest.history != TradeHistory::Recent);
        let mut lacking = coverage.spans.gaps(wanted).spans().to_vec();
        // At venues that stamp nothing but trades the quiet since the last one is proven by the next, and so
        // are the seconds before it, in which trades told later may lie.
        let is_quiet = |span: &Span| real.iter().all(|trade| trade.time <= span.from + LATENESS);
        if lacking.last().is_some_and(|last| last.to == wanted.to && is_quiet(last)) {
            lacking.pop();
        }
        if has_history && symbol.state == SymbolState::Active && !lacking.is_empty() {
            violations.push(format!("{name}: not complete in {lacking:?}: {coverage:?}"));
        }
        let mut stored = Vec::new();
        for trade in store.trades(symbol.id, wanted).await.unwrap() {
            match (trade.id.number(), trade.last_id.number()) {
                (Some(first), Some(last)) => stored.extend((first..=last).map(|id| id.to_string())),
                // Where ids are only unique together with the time, that stands before them.
                _ => stored.extend(trade.id.to_string().rsplit('/').next().map(str::to_owned)),
            }
        }
        count += stored.len() as u64;
        let distinct: BTreeSet<&str> = stored.iter().map(String::as_str).collect();
        if distinct.len() != stored.len() {
            violations.push(format!("{name}: {} of {} are doubles", stored.len() - distinct.len(), stored.len()));
        }
        let known: BTreeSet<&str> = real.iter().map(|trade| trade.id.as_str()).collect();
        let invented: Vec<_> = distinct.difference(&known).take(3).collect();
        if !invented.is_empty() {
            violations.push(format!("{name}: {invented:?} never happened"));
        }
        let lost =
            real.iter().filter(|trade| coverage.spans.contains(trade.time) && !distinct.contains(trade.id.as_str()));
        for trade in lost.take(3) {
            violations.push(format!("{name}: {} of {} is missing although complete", trade.id, trade.time));
        }
    }
    count
}
