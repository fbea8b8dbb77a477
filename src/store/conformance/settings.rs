//! What to collect, and the number that says when it changed.

use std::sync::Arc;

use super::super::{
    AnchorsRow, ExchangeMode, ExchangeRow, Kept, Store, SymbolChange, SymbolId, SymbolRow, SymbolState,
};
use super::{CandleSource, NewSymbol, minute, ok, only_symbol, refused, unified, wanted};
use crate::market::{Anchors, Timeframe};

pub(super) async fn a_new_database_wants_nothing(store: Arc<dyn Store>) {
    assert_eq!(ok(store.exchanges().await), []);
    assert_eq!(ok(store.symbols().await), []);
    assert_eq!(ok(store.statuses().await), []);
}

fn kraken() -> ExchangeRow {
    ExchangeRow {
        name: "kraken".to_owned(),
        enabled: true,
        mode: ExchangeMode::Auto,
        rest_url: None,
        stream_url: None,
        blocked_until: None,
    }
}

pub(super) async fn an_exchange_is_created_and_changed_but_its_ban_is_left_alone(store: Arc<dyn Store>) {
    ok(store.put_exchange(&ExchangeRow { name: "yahoo".to_owned(), ..kraken() }).await);
    ok(store.put_exchange(&kraken()).await);
    ok(store.set_blocked_until("kraken", Some(minute(7))).await);
    let changed = ExchangeRow {
        enabled: false,
        mode: ExchangeMode::Poll,
        rest_url: Some("http://127.0.0.1:8080/kraken".to_owned()),
        stream_url: Some("ws://127.0.0.1:8080/kraken".to_owned()),
        ..kraken()
    };
    ok(store.put_exchange(&changed).await);
    let banned = ExchangeRow { blocked_until: Some(minute(7)), ..changed };
    let yahoo = ExchangeRow { name: "yahoo".to_owned(), ..kraken() };
    assert_eq!(ok(store.exchanges().await), [banned.clone(), yahoo.clone()], "by name");
    ok(store.set_blocked_until("kraken", None).await);
    assert_eq!(ok(store.exchanges().await), [ExchangeRow { blocked_until: None, ..banned }, yahoo]);
    refused(store.set_blocked_until("nowhere", None).await);
}

pub(super) async fn a_symbol_is_added_widened_removed_and_comes_back(store: Arc<dyn Store>) {
    let first = NewSymbol { timeframes: vec![Timeframe::H1, Timeframe::M1], ..wanted("kraken", "BTC/USD") };
    assert_eq!(ok(store.add_symbol(&first).await), SymbolChange::Added);
    assert_eq!(ok(store.exchanges().await), [kraken()], "its exchange row is created");
    let row = only_symbol(&*store).await;
    let expected = SymbolRow {
        kept: Kept::default(),
        id: row.id,
        exchange: "kraken".to_owned(),
        symbol: unified("BTC/USD"),
        timeframes: vec![Timeframe::M1, Timeframe::H1],
        backfill_from: minute(0),
        collect_candles: true,
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
        state: SymbolState::Active,
        anchors: None,
    };
    assert_eq!(row, expected);

    assert_eq!(ok(store.add_symbol(&first).await), SymbolChange::Unchanged);
    let less = NewSymbol {
        timeframes: vec![Timeframe::M1],
        backfill_from: minute(60),
        only_ticker: true,
        ..wanted("kraken", "BTC/USD")
    };
    assert_eq!(ok(store.add_symbol(&less).await), SymbolChange::Unchanged, "nothing is taken away");

    let more = NewSymbol {
        timeframes: vec![Timeframe::D1],
        backfill_from: minute(-60),
        collect_trades: true,
        candle_source: CandleSource::Trades,
        ..wanted("kraken", "BTC/USD")
    };
    assert_eq!(ok(store.add_symbol(&more).await), SymbolChange::Widened);
    let widened = SymbolRow {
        timeframes: vec![Timeframe::M1, Timeframe::H1, Timeframe::D1],
        backfill_from: minute(-60),
        collect_trades: true,
        candle_source: CandleSource::Trades,
        ..expected.clone()
    };
    assert_eq!(only_symbol(&*store).await, widened);

    let btc = unified("BTC/USD");
    assert!(ok(store.remove_symbol("kraken", &btc).await));
    assert!(!ok(store.remove_symbol("kraken", &btc).await), "it is not there any more");
    assert!(!ok(store.remove_symbol("kraken", &unified("ETH/USD")).await));
    assert_eq!(ok(store.symbols().await), []);

    let again = NewSymbol { timeframes: vec![Timeframe::M5], ..wanted("kraken", "BTC/USD") };
    assert_eq!(ok(store.add_symbol(&again).await), SymbolChange::Added);
    let back = SymbolRow { timeframes: vec![Timeframe::M5], backfill_from: minute(-60), ..expected };
    assert_eq!(only_symbol(&*store).await, back, "the same row; it wants what is asked now, from where it began");

    let ticker = NewSymbol { timeframes: vec![], only_ticker: true, ..wanted("binance", "ETH/USDT") };
    assert_eq!(ok(store.add_symbol(&ticker).await), SymbolChange::Added);
    let rows = ok(store.symbols().await);
    let names: Vec<_> = rows.iter().map(|row| (row.exchange.as_str(), row.symbol.as_str())).collect();
    assert_eq!(names, [("binance", "ETH/USDT"), ("kraken", "BTC/USD")], "by exchange and symbol");
    assert!(rows[0].only_ticker && !rows[0].collect_candles && rows[0].timeframes.is_empty());
    assert_eq!(ok(store.add_symbol(&wanted("binance", "ETH/USDT")).await), SymbolChange::Widened);
    let row = ok(store.symbols().await).remove(0);
    assert!(!row.only_ticker && row.collect_candles, "wanting candles ends wanting the ticker only");
}

pub(super) async fn states_and_anchors_are_kept(store: Arc<dyn Store>) {
    ok(store.add_symbol(&wanted("kraken", "BTC/USD")).await);
    let btc = unified("BTC/USD");
    let rejected = SymbolState::Rejected("EQuery:Unknown asset pair".to_owned());
    for state in [SymbolState::Paused, rejected, SymbolState::Active] {
        assert!(ok(store.set_symbol_state("kraken", &btc, &state).await));
        assert_eq!(only_symbol(&*store).await.state, state);
    }
    assert!(!ok(store.set_symbol_state("kraken", &unified("ETH/USD"), &SymbolState::Paused).await));
    assert!(!ok(store.set_symbol_state("binance", &btc, &SymbolState::Paused).await));

    let id = only_symbol(&*store).await.id;
    for (refusal, state) in
        [(Some("delisted"), SymbolState::Rejected("delisted".to_owned())), (None, SymbolState::Active)]
    {
        ok(store.set_refusal(id, refusal).await);
        assert_eq!(only_symbol(&*store).await.state, state);
    }
    ok(store.set_symbol_state("kraken", &btc, &SymbolState::Paused).await);
    for refusal in [Some("delisted"), None] {
        ok(store.set_refusal(id, refusal).await);
        assert_eq!(only_symbol(&*store).await.state, SymbolState::Paused, "a user's pause stays");
    }

    let anchors = AnchorsRow { week_start: "thursday".to_owned(), ..AnchorsRow::from(Anchors::default()) };
    ok(store.set_anchors(id, &anchors).await);
    assert_eq!(only_symbol(&*store).await.anchors, Some(anchors.clone()));
    refused(store.set_anchors(SymbolId(id.0 + 1), &anchors).await);

    ok(store.set_symbol_state("kraken", &btc, &SymbolState::Paused).await);
    ok(store.remove_symbol("kraken", &btc).await);
    assert!(!ok(store.set_symbol_state("kraken", &btc, &SymbolState::Active).await), "a removed symbol has no state");
    ok(store.add_symbol(&wanted("kraken", "BTC/USD")).await);
    assert_eq!(only_symbol(&*store).await.state, SymbolState::Active, "one that comes back is worked on");
}

pub(super) async fn the_version_moves_for_users_and_not_for_the_collector(store: Arc<dyn Store>) {
    let btc = unified("BTC/USD");
    let mut last = ok(store.settings_version().await);
    let mut check = async |moved: bool, what: &str| {
        let version = ok(store.settings_version().await);
        assert_eq!(version != last, moved, "{what}: {last} -> {version}");
        last = version;
    };
    ok(store.put_exchange(&kraken()).await);
    check(true, "an exchange is created").await;
    ok(store.put_exchange(&kraken()).await);
    check(false, "an exchange is written as it was").await;
    ok(store.put_exchange(&ExchangeRow { mode: ExchangeMode::Poll, ..kraken() }).await);
    check(true, "an exchange's mode changes").await;
    ok(store.set_blocked_until("kraken", Some(minute(1))).await);
    check(false, "a ban is remembered").await;
    ok(store.add_symbol(&wanted("kraken", "BTC/USD")).await);
    check(true, "a symbol is added").await;
    ok(store.add_symbol(&wanted("kraken", "BTC/USD")).await);
    check(false, "a symbol is added again").await;
    ok(store.add_symbol(&NewSymbol { backfill_from: minute(-1), ..wanted("kraken", "BTC/USD") }).await);
    check(true, "a symbol wants more").await;
    let id = only_symbol(&*store).await.id;
    ok(store.set_anchors(id, &AnchorsRow::from(Anchors::default())).await);
    check(false, "anchors are remembered").await;
    ok(store.set_symbol_state("kraken", &btc, &SymbolState::Paused).await);
    check(true, "a symbol is paused").await;
    ok(store.set_symbol_state("kraken", &btc, &SymbolState::Paused).await);
    check(false, "a paused symbol is paused").await;
    ok(store.set_symbol_state("kraken", &btc, &SymbolState::Active).await);
    check(true, "a symbol is resumed").await;
    ok(store.set_refusal(id, Some("no such pair")).await);
    check(false, "a symbol is rejected").await;
    ok(store.open_series(id, Timeframe::M1).await);
    check(false, "a series is opened").await;
    ok(store.remove_symbol("kraken", &btc).await);
    check(true, "a symbol is removed").await;
    ok(store.add_symbol(&wanted("kraken", "BTC/USD")).await);
    check(true, "a symbol comes back").await;
}

pub(super) async fn a_series_is_created_once(store: Arc<dyn Store>) {
    ok(store.add_symbol(&wanted("kraken", "BTC/USD")).await);
    let id = only_symbol(&*store).await.id;
    let hours = ok(store.open_series(id, Timeframe::H1).await);
    let minutes = ok(store.open_series(id, Timeframe::M1).await);
    assert_eq!((hours.symbol, hours.timeframe), (id, Timeframe::H1));
    assert_eq!((minutes.observed_until, minutes.last_sequence), (None, 0));
    assert_eq!(ok(store.open_series(id, Timeframe::H1).await), hours);
    assert_eq!(ok(store.series_of(id).await), [minutes, hours], "shortest first");
    assert_eq!(ok(store.series_of(SymbolId(id.0 + 1)).await), []);
    refused(store.open_series(SymbolId(id.0 + 1), Timeframe::M1).await);
}
