//! Symbols of which only the ticker is wanted: read together and again and again, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use candlewick::config::ExchangeConfig;
use candlewick::market::{Span, Ticker, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::status::{Health, Mode, Phase};
use candlewick::store::{ExchangeRow, Store, SymbolState};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol};

const TICKERS: [(&str, &str); 5] = [
    ("kraken", "DOGE/USD"),
    ("kraken", "SOL/USD"),
    ("kraken", "XRP/USD"),
    ("binance", "ADA/USDT"),
    ("binance", "SOL/USDT"),
];

fn is_kept(stage: &Stage, component: &str) -> bool {
    stage.status(component).is_some_and(|status| {
        (status.mode, status.phase, status.health) == (Some(Mode::Ticker), Phase::Live, Health::Running)
    })
}

fn all_kept(stage: &Stage) -> bool {
    TICKERS.iter().all(|(exchange, name)| is_kept(stage, &format!("{exchange}:{name}")))
}

/// The stored tickers by `exchange:symbol`.
async fn stored(stage: &Stage) -> BTreeMap<String, Ticker> {
    let rows = stage.store.tickers().await.unwrap();
    rows.into_iter().map(|row| (format!("{}:{}", row.exchange, row.symbol), row.ticker)).collect()
}

/// When a venue was asked for tickers since a time, and for which.
fn calls(stage: &Stage, exchange: &str, from: DateTime<Utc>) -> Vec<(DateTime<Utc>, String)> {
    let contacts = stage.transport.contacts(exchange, from);
    let urls = contacts.into_iter().filter_map(|(at, contact)| match contact {
        Contact::Http(url) if url.to_lowercase().contains("/ticker") => Some((at, url)),
        _ => None,
    });
    urls.collect()
}

/// Five tickers of two venues, and two symbols with candles, settled down.
async fn settled() -> Stage {
    let mut stage = Stage::new(SimConfig::default()).await;
    for (exchange, name) in TICKERS {
        stage.want_ticker(exchange, name).await;
    }
    for (exchange, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT")] {
        stage.want(exchange, name, &[Timeframe::M1], TimeDelta::hours(2)).await;
    }
    stage.start().await;
    stage.until("tickers read", seconds(4), all_kept).await;
    stage.until("streaming", seconds(2), |s| s.is_streaming("kraken:BTC/USD")).await;
    stage.pass(seconds(120)).await;
    stage
}

#[test]
fn tickers_are_read_together_every_ten_seconds_and_nothing_else_is() {
    in_virtual_time(async {
        let stage = settled().await;
        let from = stage.now();
        stage.pass(minutes(5)).await;
        for exchange in ["kraken", "binance"] {
            let calls = calls(&stage, exchange, from);
            assert_eq!(calls.len(), 30, "{exchange}: one call for all, every ten seconds");
            let apart = calls.windows(2).map(|pair| pair[1].0 - pair[0].0);
            let apart: Vec<TimeDelta> = apart.collect();
            assert!(
                apart.iter().all(|gap| (*gap - TimeDelta::seconds(10)).abs() < TimeDelta::seconds(2)),
                "{exchange}: {apart:?}"
            );
        }
        let (stored, read_until) = (stored(&stage).await, stage.now());
        let names: BTreeSet<String> = TICKERS.iter().map(|(exchange, name)| format!("{exchange}:{name}")).collect();
        assert_eq!(stored.keys().cloned().collect::<BTreeSet<_>>(), names);
        stage.pass(minutes(2)).await;
        for (exchange, name) in TICKERS {
            let ticker = stored[&format!("{exchange}:{name}")];
            let at = ticker.time.unwrap();
            assert!(read_until - at < TimeDelta::seconds(11), "{exchange}:{name} {ticker:?}");
            let around = Span::new(at - TimeDelta::minutes(2), at);
            let bars = stage.truth(exchange, name, Timeframe::M1, around);
            let (low, high) = bars
                .iter()
                .fold((f64::MAX, f64::MIN), |(low, high), candle| (low.min(candle.low), high.max(candle.high)));
            let last = ticker.last.unwrap();
            assert!(low <= last && last <= high, "{exchange}:{name}: {last} is not in {low}..{high}");
        }
        assert_eq!(stage.status("kraken:DOGE/USD").unwrap().message, "every 10s");
        let symbols = stage.store.symbols().await.unwrap();
        for row in symbols.iter().filter(|row| row.only_ticker) {
            assert_eq!(stage.store.series_of(row.id).await.unwrap(), [], "{} {}", row.exchange, row.symbol);
        }
        let requests = stage.requests("kraken");
        assert!(requests.keys().all(|what| !what.contains("DOGE/USD") && !what.contains("XRP/USD")), "{requests:?}");
        for (exchange, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT")] {
            stage.assert_minutes(exchange, name, seconds(15)).await;
            assert!(stage.is_streaming(&format!("{exchange}:{name}")));
        }
    });
}

#[test]
fn the_time_between_readings_is_a_setting_of_each_exchange() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        let slow = ExchangeConfig { ticker_every: Some(minutes(1)), ..ExchangeConfig::default() };
        stage.config.exchanges.insert("kraken".to_owned(), slow);
        for (exchange, name) in TICKERS {
            stage.want_ticker(exchange, name).await;
        }
        stage.start().await;
        stage.until("tickers read", seconds(4), all_kept).await;
        let from = stage.now();
        stage.pass(minutes(5)).await;
        assert_eq!((calls(&stage, "kraken", from).len(), calls(&stage, "binance", from).len()), (5, 30));
        assert!(all_kept(&stage));
        assert_eq!(stage.status("kraken:DOGE/USD").unwrap().message, "every 1m");
    });
}

/// What a change of one symbol of Kraken may not touch.
fn others(stage: &Stage) -> (u64, u64, u64) {
    let foreign = stage.requests("binance").into_iter().filter(|(what, _)| !what.contains("icker"));
    (foreign.map(|(_, count)| count).sum(), stage.sockets_opened("binance"), stage.sockets_opened("kraken"))
}

#[test]
fn a_symbol_changes_from_candles_to_its_ticker_and_back_within_two_seconds() {
    in_virtual_time(async {
        let stage = settled().await;
        stage.want("kraken", "ETH/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("streaming", seconds(2), |s| s.is_streaming("kraken:ETH/USD")).await;
        stage.pass(minutes(1)).await;
        let before = others(&stage);
        // By hand, so that its timeframes still stand in the table.
        stage.sql("UPDATE symbols SET only_ticker = 1 WHERE symbol = 'ETH/USD'");
        stage.until("ticker", seconds(2), |s| is_kept(s, "kraken:ETH/USD")).await;
        stage.pass(seconds(1)).await;
        assert!(stored(&stage).await.contains_key("kraken:ETH/USD"));
        let candle_calls = stage.calls("kraken", "OHLC ETH/USD 1");
        let held = stage.stored("kraken", "ETH/USD", Timeframe::M1).await.len();
        let changed_at = stage.now();
        stage.pass(minutes(2)).await;
        assert!(is_kept(&stage, "kraken:ETH/USD"));
        assert_eq!(stage.calls("kraken", "OHLC ETH/USD 1"), candle_calls);
        assert_eq!(stage.stored("kraken", "ETH/USD", Timeframe::M1).await.len(), held);
        let calls_then = calls(&stage, "kraken", changed_at);
        assert_eq!(calls_then.len(), 12, "all four in one call");
        assert_eq!(others(&stage), before);

        stage.sql("UPDATE symbols SET only_ticker = 0 WHERE symbol = 'ETH/USD'");
        stage.until("streaming", seconds(2), |s| s.is_streaming("kraken:ETH/USD")).await;
        let changed_at = stage.now();
        stage.pass(minutes(2)).await;
        let urls: Vec<String> = calls(&stage, "kraken", changed_at).into_iter().map(|(_, url)| url).collect();
        assert!(urls.len() >= 11 && urls.iter().all(|url| !url.contains("ETH")), "{urls:?}");
        assert!(stored(&stage).await["kraken:ETH/USD"].time.unwrap() < changed_at, "no ticker after that");
        assert_eq!(others(&stage), before);
        assert_eq!(stage.restarts("kraken:ETH/USD"), 0);
        for (exchange, name) in [("kraken", "ETH/USD"), ("kraken", "BTC/USD"), ("binance", "BTC/USDT")] {
            stage.assert_minutes(exchange, name, seconds(15)).await;
        }
        assert!(all_kept(&stage));
    });
}

#[test]
fn paused_and_removed_symbols_and_those_of_disabled_exchanges_are_not_read() {
    in_virtual_time(async {
        let stage = settled().await;
        let names = |from| calls(&stage, "kraken", from).into_iter().map(|(_, url)| url).collect::<Vec<_>>();
        assert!(stage.store.set_symbol_state("kraken", &symbol("DOGE/USD"), &SymbolState::Paused).await.unwrap());
        assert!(stage.store.remove_symbol("kraken", &symbol("XRP/USD")).await.unwrap());
        let settled = |s: &Stage| {
            s.status("kraken:DOGE/USD").is_some_and(|s| (s.phase, s.health) == (Phase::Paused, Health::Idle))
                && s.status("kraken:XRP/USD").is_none()
        };
        stage.until("paused and gone", seconds(2), settled).await;
        let from = stage.now();
        stage.pass(minutes(1)).await;
        assert!(settled(&stage));
        let urls = names(from);
        assert!(urls.len() == 6 && urls.iter().all(|url| url.ends_with("?pair=SOLUSD")), "{urls:?}");

        assert!(stage.store.set_symbol_state("kraken", &symbol("DOGE/USD"), &SymbolState::Active).await.unwrap());
        stage.until("resumed", seconds(2), |s| is_kept(s, "kraken:DOGE/USD")).await;
        stage.want_ticker("kraken", "XRP/USD").await;
        stage.until("back", seconds(2), |s| is_kept(s, "kraken:XRP/USD")).await;

        let row = stage.store.exchanges().await.unwrap().into_iter().find(|row| row.name == "kraken").unwrap();
        stage.store.put_exchange(&ExchangeRow { enabled: false, ..row.clone() }).await.unwrap();
        stage.until("gone", seconds(2), |s| s.status("kraken:DOGE/USD").is_none()).await;
        let from = stage.now();
        stage.pass(minutes(1)).await;
        assert_eq!(names(from), Vec::<String>::new());
        assert!(is_kept(&stage, "binance:ADA/USDT"));
        stage.store.put_exchange(&row).await.unwrap();
        stage.until("back", seconds(4), all_kept).await;
    });
}

#[test]
fn a_venue_without_tickers_says_so() {
    in_virtual_time(async {
        let stage = Stage::with(&[("yahoo", "BTC/USD")]).await;
        stage.want_ticker("yahoo", "AAPL").await;
        let is_told = |s: &Stage| {
            s.status("yahoo:AAPL").is_some_and(|s| {
                s.message == "yahoo has no tickers; want its candles instead: candlewick symbols add yahoo AAPL -t 1m"
                    && (s.phase, s.health) == (Phase::Rejected, Health::Error)
            })
        };
        stage.until("told", seconds(8), is_told).await;
        stage.pass(minutes(2)).await;
        assert!(is_told(&stage), "{:?}", stage.status("yahoo:AAPL"));
        assert_eq!(stored(&stage).await, BTreeMap::new());
        // The advice helps.
        stage.want("yahoo", "AAPL", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("polling", seconds(8), |s| s.is_polling("yahoo:AAPL")).await;
    });
}

#[test]
fn one_delisted_symbol_costs_the_others_no_reading() {
    in_virtual_time(async {
        let stage = settled().await;
        let from = stage.now();
        stage.inject(Fault::new(FaultKind::Delist).on(Venue::KRAKEN).symbol(symbol("SOL/USD")));
        let is_rejected = |s: &Stage| s.status("kraken:SOL/USD").is_some_and(|s| s.phase == Phase::Rejected);
        stage.until("rejected", seconds(20), is_rejected).await;
        assert!(calls(&stage, "kraken", from).len() <= 2 + 4, "found by halving");
        stage.pass(minutes(2)).await;
        assert!(is_rejected(&stage));
        for name in ["DOGE/USD", "XRP/USD"] {
            assert!(is_kept(&stage, &format!("kraken:{name}")));
            let age = stage.now() - stored(&stage).await[&format!("kraken:{name}")].time.unwrap();
            assert!(age < TimeDelta::seconds(12), "{name} is {age} old");
        }
        let row = stage.store.symbols().await.unwrap();
        let row = row.iter().find(|row| row.symbol.as_str() == "SOL/USD" && row.exchange == "kraken").unwrap();
        assert!(matches!(&row.state, SymbolState::Rejected(why) if why.contains("Unknown asset pair")), "{row:?}");
    });
}

#[test]
fn a_venue_that_only_gives_tickers_is_waited_for_when_it_is_down() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        for name in ["DOGE/USD", "SOL/USD", "XRP/USD"] {
            stage.want_ticker("kraken", name).await;
        }
        stage.start().await;
        stage.until("tickers read", seconds(3), |s| is_kept(s, "kraken:DOGE/USD")).await;
        let from = stage.now();
        let down = FaultKind::Http5xx { status: 503 };
        stage.inject(Fault::new(down).on(Venue::KRAKEN).between(Duration::ZERO, minutes(10)));
        let is_waiting = |s: &Stage| s.status("kraken").is_some_and(|s| s.phase == Phase::Waiting);
        stage.until("gate closed", seconds(15), is_waiting).await;
        let is_told = |s: &Stage| {
            s.status("kraken:SOL/USD")
                .is_some_and(|s| s.health == Health::Error && s.message.starts_with("no ticker since"))
        };
        stage.until("told", seconds(60), is_told).await;
        stage.pass_until(from + TimeDelta::minutes(10)).await;
        assert!(stage.transport.contacts("kraken", from).len() <= 30, "back-off holds the calls");
        stage
            .until("back", minutes(6), |s| {
                ["DOGE", "SOL", "XRP"].iter().all(|n| is_kept(s, &format!("kraken:{n}/USD")))
            })
            .await;
    });
}

#[test]
fn tickers_that_cannot_be_stored_are_replaced_by_later_ones() {
    in_virtual_time(async {
        let stage = settled().await;
        stage.store.script(|call| match call {
            StoreCall::Write(batch) if !batch.tickers.is_empty() => Deed::Fail,
            _ => Deed::Proceed,
        });
        let from = stage.now();
        stage.pass(minutes(1)).await;
        let newest = stored(&stage).await["kraken:DOGE/USD"].time.unwrap();
        assert!(newest <= from);
        assert_eq!(stage.status("writer").unwrap().health, Health::Error);
        stage.store.behave();
        stage.pass(seconds(12)).await;
        assert!(stored(&stage).await["kraken:DOGE/USD"].time.unwrap() > from);
        assert_eq!(stage.status("writer").unwrap().health, Health::Running);
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        assert!(stage.collector.as_ref().unwrap().totals().dropped["ticker_not_stored"] > 0);
    });
}
