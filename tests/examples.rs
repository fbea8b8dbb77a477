//! The examples do what they say.

#[path = "../examples/embed.rs"]
#[allow(dead_code)] // its `main` and what it prints
mod embed;
#[path = "../examples/full_pipeline.rs"]
#[allow(dead_code)]
mod full_pipeline;
#[path = "../examples/one_symbol.rs"]
#[allow(dead_code)]
mod one_symbol;
#[path = "../examples/one_symbol_by_trades.rs"]
#[allow(dead_code)]
mod one_symbol_by_trades;

use std::net::Ipv4Addr;
use std::time::Duration;

use candlewick::clock::Clock;
use candlewick::market::Candle;
use candlewick::sim::{SimConfig, Simulator, server};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;

#[test]
fn the_full_pipeline_ends_with_proven_candles() {
    let reports = actix_rt::System::new().block_on(full_pipeline::run()).unwrap();
    let series: Vec<_> = reports.iter().map(|r| (r.exchange.as_str(), r.timeframe.as_str())).collect();
    assert_eq!(
        series,
        [("binance", "1m"), ("binance", "1h"), ("kraken", "1m"), ("kraken", "1h"), ("yahoo", "1m"), ("yahoo", "1h")]
    );
    for report in &reports {
        let name = format!("{} {} {}", report.exchange, report.symbol, report.timeframe);
        assert_eq!(report.violations, [], "{name}");
        assert_eq!(report.differences, 0, "{name}");
        let least = match (report.exchange.as_str(), report.timeframe.as_str()) {
            // New York opened at 09:30 and it is 10:31; minutes without a trade have no bar.
            ("yahoo", "1m") => 45,
            ("yahoo", _) => 1,
            // Six hours of history and five minutes of stream.
            (_, "1m") => 365,
            _ => 6,
        };
        assert!(report.candles >= least, "{name}: {} candles", report.candles);
    }
}

/// A simulator at two minutes a second, while `run` has its URL.
async fn with_simulator(run: impl AsyncFnOnce(String)) {
    let epoch: DateTime<Utc> = "2026-11-20T15:00:30Z".parse().unwrap();
    let simulator = Simulator::new(SimConfig::default(), Clock::scaled(epoch, 120.0));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = server::serve(listener, simulator).unwrap();
    run(format!("http://{}", server.address())).await;
    server.stop().await;
}

#[test]
fn one_symbol_is_told_in_order_and_without_a_hole() {
    let mut times = Vec::new();
    actix_rt::System::new().block_on(with_simulator(async |url| {
        one_symbol::run(Some(url), |row| times.push(row.candle.open_time)).await.unwrap();
    }));
    assert_eq!(times.len(), 15);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::minutes(1)), "{times:?}");
}

#[test]
fn candles_built_from_trades_are_the_sums_of_those_that_are_kept() {
    let mut told = Vec::new();
    actix_rt::System::new().block_on(with_simulator(async |url| {
        let note = |bar: &Candle, trades| told.push((bar.open_time, bar.trades, trades));
        one_symbol_by_trades::run(Some(url), note).await.unwrap();
    }));
    assert_eq!(told.len(), 6);
    assert!(told.iter().all(|(_, counted, kept)| *counted == Some(*kept as u64) && *kept > 0), "{told:?}");
}

#[test]
fn a_host_restarts_the_collector_and_hears_every_candle_of_symbols_added_at_run_time() {
    let heard = actix_rt::System::new().block_on(embed::run(Duration::ZERO)).unwrap();
    let series: Vec<_> = heard.iter().map(|(account, _)| account.series.as_str()).collect();
    assert_eq!(series, ["binance BTC/USDT 1m", "kraken ETH/USD 1m"]);
    for (account, stored) in &heard {
        assert_eq!((account.last, account.holes), (*stored, 0), "{account:?}");
        // A day of history and some minutes of three lives.
        assert!(account.heard > 700, "{account:?}");
    }
}
