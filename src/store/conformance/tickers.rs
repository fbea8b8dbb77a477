//! The newest ticker of each symbol.

use std::sync::Arc;

use super::super::{Store, SymbolId, TickerChange, WriteBatch};
use super::{Fixture, minute, ok, refused, unified, wanted};
use crate::market::Ticker;

fn ticker(last: f64) -> Ticker {
    Ticker { time: Some(minute(1)), last: Some(last), bid: Some(last - 1.0), ..Ticker::default() }
}

async fn save(store: &dyn Store, changes: &[(SymbolId, Ticker)]) {
    let change = |(symbol, ticker): &(SymbolId, Ticker)| TickerChange {
        symbol: *symbol,
        ticker: *ticker,
        observed_at: minute(3),
    };
    ok(store.write(&WriteBatch { tickers: changes.iter().map(change).collect(), ..WriteBatch::default() }).await);
}

/// Exchange, symbol and ticker of all rows.
async fn stored(store: &dyn Store) -> Vec<(String, String, Ticker)> {
    let rows = ok(store.tickers().await);
    rows.into_iter().map(|row| (row.exchange, row.symbol.to_string(), row.ticker)).collect()
}

fn row(symbol: &str, ticker: Ticker) -> (String, String, Ticker) {
    ("kraken".to_owned(), symbol.to_owned(), ticker)
}

pub(super) async fn a_ticker_takes_the_place_of_the_one_before(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store.clone()).await;
    ok(store.add_symbol(&wanted("kraken", "ADA/USD")).await);
    let other = ok(store.symbols().await)[0].id;
    assert_eq!(stored(&*store).await, []);

    let whole = Ticker { ask: Some(12.5), volume: Some(1e9), quote_volume: Some(0.0), ..ticker(12.0) };
    save(&*store, &[(fixture.symbol, ticker(11.0)), (other, ticker(0.5)), (fixture.symbol, whole)]).await;
    assert_eq!(stored(&*store).await, [row("ADA/USD", ticker(0.5)), row("BTC/USD", whole)], "the last of a symbol");

    // What is not printed any more is not kept, and without a time of its own it has that of the asking.
    save(&*store, &[(fixture.symbol, Ticker { last: Some(13.0), ..Ticker::default() })]).await;
    let bare = Ticker { time: Some(minute(3)), last: Some(13.0), ..Ticker::default() };
    assert_eq!(stored(&*store).await, [row("ADA/USD", ticker(0.5)), row("BTC/USD", bare)]);

    ok(store.remove_symbol("kraken", &unified("ADA/USD")).await);
    assert_eq!(stored(&*store).await, [row("BTC/USD", bare)], "removed symbols are left out");
}

pub(super) async fn impossible_tickers_are_refused_with_their_batch(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store.clone()).await;
    let cases = [
        (fixture.symbol, Ticker { ask: Some(f64::NAN), ..ticker(1.0) }),
        (fixture.symbol, Ticker { volume: Some(f64::INFINITY), ..ticker(1.0) }),
        (SymbolId(fixture.symbol.0 + 1), ticker(1.0)),
    ];
    let count = cases.len();
    for (symbol, bad) in cases {
        let change = |symbol, ticker| TickerChange { symbol, ticker, observed_at: minute(3) };
        let tickers = vec![change(fixture.symbol, ticker(2.0)), change(symbol, bad)];
        refused(store.write(&WriteBatch { tickers, ..fixture.batch(&[super::rest(0, 1.0)]) }).await);
        assert_eq!(stored(&*store).await, []);
        assert_eq!(fixture.stored().await, []);
    }
    assert_eq!(count, 3);
}
