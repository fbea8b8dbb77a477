//! Poll mode: one call per candle, on time, for many symbols and for hours.

use std::time::Duration;

use candlewick::market::{Grid, Span, Symbol, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue, default_symbols};
use candlewick::status::{Health, Phase};
use candlewick::store::{CandleSource, Coverage, Store, StoredCandle, SymbolState};
use chrono::TimeDelta;

use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

/// Binance by polling only.
async fn polling(symbols: &[Symbol]) -> Stage {
    let config = SimConfig { symbols_per_exchange: symbols.len().max(8), ..SimConfig::default() };
    let mut stage = Stage::new(config).await;
    for symbol in symbols {
        stage.want("binance", symbol.as_str(), &[Timeframe::M1], TimeDelta::hours(2)).await;
    }
    stage.poll_only("binance").await;
    stage.start().await;
    stage
}

/// Calls of each symbol over a number of hours, and the limit of lateness.
async fn one_call_per_candle(count: usize, hours: i64) {
    let symbols = default_symbols(Venue::BINANCE, count);
    let stage = polling(&symbols).await;
    stage.pass(minutes(5)).await;
    let from = stage.now();
    let before: Vec<u64> = symbols.iter().map(|s| stage.calls("binance", &format!("klines {s} 1m"))).collect();
    stage.pass(Duration::from_secs(hours as u64 * 3600)).await;
    let series = symbols.iter().map(|s| stage.calls("binance", &format!("klines {s} 1m")));
    let calls: Vec<u64> = series.zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(calls, vec![hours as u64 * 60; count]);
    for symbol in &symbols {
        stage.assert_minutes("binance", symbol.as_str(), seconds(10)).await;
        // The venue's settle delay is two seconds.
        stage.assert_punctual("binance", symbol.as_str(), from, TimeDelta::seconds(2 + 2)).await;
    }
    assert_eq!(stage.simulator.stats().exchanges["binance"].limited, 0);
}

#[test]
fn a_polled_symbol_makes_one_call_per_candle_for_hours() {
    in_virtual_time(one_call_per_candle(1, 6));
}

#[test]
fn twenty_polled_symbols_make_one_call_per_candle_each() {
    in_virtual_time(one_call_per_candle(20, 2));
}

#[test]
fn seventy_polled_symbols_at_one_call_a_second_share_the_budget() {
    in_virtual_time(async {
        // Kraken allows a call a second: more symbols than seconds of a minute cannot all be polled each minute.
        let symbols = default_symbols(Venue::KRAKEN, 70);
        let mut stage = Stage::new(SimConfig { symbols_per_exchange: 70, ..SimConfig::default() }).await;
        for symbol in &symbols {
            stage.want("kraken", symbol.as_str(), &[Timeframe::M1], TimeDelta::minutes(30)).await;
        }
        stage.poll_only("kraken").await;
        stage.start().await;
        stage.pass(minutes(10)).await;
        let said = stage.status("kraken").unwrap();
        assert!(said.message.starts_with("poll periods stretched: "), "{said:?}");
        assert_eq!(stage.simulator.stats().exchanges["kraken"].limited, 0);
        let kept = Span::new(Grid::utc(Timeframe::M1).bucket_at(stage.simulator.epoch()), stage.now() - minutes(3));
        for symbol in &symbols {
            assert_eq!(stage.restarts(&format!("kraken:{symbol}")), 0, "{said:?}");
            let ledger = stage.ledger("kraken", symbol.as_str(), Timeframe::M1).await;
            let complete = candlewick::market::ledger::complete(&ledger);
            assert!(complete.covers(Span::new(kept.from, Grid::utc(Timeframe::M1).bucket_at(kept.to))), "{ledger:#?}");
        }
    });
}

#[test]
fn a_late_bar_is_asked_for_again_and_found() {
    in_virtual_time(async {
        let symbols = default_symbols(Venue::BINANCE, 2);
        let stage = polling(&symbols).await;
        stage.pass(minutes(3)).await;
        let from = stage.now();
        let late = symbols[0].clone();
        stage.inject(
            Fault::new(FaultKind::LateBar { delay: seconds(12) })
                .on(Venue::BINANCE)
                .symbol(late.clone())
                .between(Duration::ZERO, minutes(10)),
        );
        stage.pass(minutes(12)).await;
        stage.assert_minutes("binance", late.as_str(), seconds(30)).await;
        let lateness = stage.lateness("binance", late.as_str(), from).await;
        // Read at 2 s, again at 4 s, 7 s and 17 s.
        let during: Vec<_> = lateness.iter().filter(|(open, _)| *open < from + TimeDelta::minutes(8)).collect();
        assert!(during.len() >= 7, "{during:?}");
        for (open, late) in during {
            assert!(*late >= TimeDelta::seconds(12) && *late < TimeDelta::seconds(20), "{open}: {late}");
        }
        stage.assert_punctual("binance", symbols[1].as_str(), from, TimeDelta::seconds(4)).await;
        assert_eq!(stage.restarts(&format!("binance:{late}")), 0);
    });
}

#[test]
fn an_unknown_symbol_is_rejected_shown_and_not_asked_for_again() {
    in_virtual_time(async {
        let known = [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("yahoo", "AAPL")];
        let unknown = [("kraken", "NOPE/USD"), ("binance", "NOPE/USDT"), ("yahoo", "NOPE")];
        let all: Vec<_> = known.iter().chain(&unknown).copied().collect();
        let stage = Stage::with(&all).await;
        let shown = |stage: &Stage| {
            unknown.iter().all(|(exchange, name)| {
                stage
                    .status(&format!("{exchange}:{name}"))
                    .is_some_and(|s| s.phase == Phase::Rejected && s.health == Health::Error && !s.message.is_empty())
            })
        };
        stage.until("rejected", seconds(10), shown).await;
        stage.pass(minutes(10)).await;
        assert!(shown(&stage));
        let rows = stage.store.symbols().await.unwrap();
        for row in rows {
            let is_rejected = matches!(row.state, SymbolState::Rejected(_));
            assert_eq!(is_rejected, row.symbol.as_str().starts_with("NOPE"), "{row:?}");
        }
        let asked = stage.transport.contacts("yahoo", stage.simulator.epoch());
        let asked = asked.iter().filter(|(_, contact)| contact.url().contains("NOPE")).count();
        assert_eq!(asked, 1);
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(15)).await;
        assert_eq!((stage.sockets_opened("kraken"), stage.sockets_opened("binance")), (2, 2));
    });
}

#[test]
fn a_symbol_that_is_delisted_while_running_is_rejected_and_the_others_go_on() {
    in_virtual_time(async {
        let symbols = default_symbols(Venue::BINANCE, 3);
        let stage = polling(&symbols).await;
        stage.pass(minutes(3)).await;
        let from = stage.now();
        let gone = symbols[1].clone();
        let component = format!("binance:{gone}");
        stage.inject(
            Fault::new(FaultKind::Delist).on(Venue::BINANCE).symbol(gone.clone()).between(Duration::ZERO, minutes(90)),
        );
        stage.until("rejected", minutes(2), |s| s.status(&component).is_some_and(|s| s.phase == Phase::Rejected)).await;
        let calls = stage.calls("binance", &format!("klines {gone} 1m"));
        stage.pass(minutes(30)).await;
        assert_eq!(stage.calls("binance", &format!("klines {gone} 1m")), calls, "it is not asked for any more");
        for symbol in [&symbols[0], &symbols[2]] {
            stage.assert_minutes("binance", symbol.as_str(), seconds(10)).await;
            stage.assert_punctual("binance", symbol.as_str(), from, TimeDelta::seconds(4)).await;
        }
        // The list is read every hour: once it is listed again, it is kept again.
        stage.until("back", minutes(120), |stage| stage.is_live(&component)).await;
        stage.pass(minutes(3)).await;
        stage.assert_minutes("binance", gone.as_str(), seconds(10)).await;
    });
}

#[test]
fn a_streaming_symbol_that_is_delisted_is_rejected_and_the_others_stream_on() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("kraken", "ETH/USD"), ("kraken", "SOL/USD")]).await;
        stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:ETH/USD")).await;
        stage.pass(minutes(2)).await;
        stage.inject(Fault::new(FaultKind::Delist).on(Venue::KRAKEN).symbol("ETH/USD".parse().unwrap()));
        let rejected = |s: &Stage| s.status("kraken:ETH/USD").is_some_and(|s| s.phase == Phase::Rejected);
        stage.until("rejected", minutes(70), rejected).await;
        stage.pass(minutes(20)).await;
        assert!(rejected(&stage));
        for name in ["BTC/USD", "SOL/USD"] {
            assert!(stage.is_streaming(&format!("kraken:{name}")));
            stage.assert_minutes("kraken", name, seconds(15)).await;
        }
        assert_eq!(stage.sockets_opened("kraken"), 2);
    });
}

/// Two markets that stream, of which one is gone for good a moment later.
async fn with_a_market_that_goes() -> Stage {
    let stage = Stage::with(&[("kraken", "BTC/USD"), ("kraken", "ETH/USD")]).await;
    stage.until("streaming", seconds(1), |stage| stage.is_streaming("kraken:ETH/USD")).await;
    stage.pass(minutes(2)).await;
    stage.inject(Fault::new(FaultKind::Delist).on(Venue::KRAKEN).symbol("ETH/USD".parse().unwrap()));
    stage
}

fn is_rejected(stage: &Stage) -> bool {
    stage.status("kraken:ETH/USD").is_some_and(|status| status.phase == Phase::Rejected)
}

/// Bars that are stored of the market that is gone, and were never traded or printed.
async fn invented(stage: &Stage) -> Vec<StoredCandle> {
    let mut stored = stage.stored("kraken", "ETH/USD", Timeframe::M1).await;
    let span = Span::new(stored[0].candle.open_time, stage.now());
    let truth = stage.truth("kraken", "ETH/USD", Timeframe::M1, span);
    stored.retain(|row| !truth.iter().any(|real| row.candle.agrees_with(real)));
    stored
}

async fn assert_nothing_is_invented(stage: &Stage) {
    assert_eq!(invented(stage).await, []);
    let ledger = stage.ledger("kraken", "ETH/USD", Timeframe::M1).await;
    let gone = ledger.iter().find(|entry| entry.coverage == Coverage::missing("not_listed"));
    assert!(gone.is_some_and(|gone| gone.span.to >= gone.span.from + TimeDelta::minutes(2)), "{ledger:#?}");
}

#[test]
fn the_silence_of_a_market_that_is_gone_is_no_quiet_bar() {
    in_virtual_time(async {
        let stage = with_a_market_that_goes().await;
        stage.pass(minutes(3)).await;
        assert!(!is_rejected(&stage) && !invented(&stage).await.is_empty(), "nothing shows yet that it is gone");
        stage.until("rejected", minutes(70), is_rejected).await;
        stage.pass(seconds(10)).await;
        assert_nothing_is_invented(&stage).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(15)).await;
    });
}

#[test]
fn a_collector_that_starts_after_a_market_is_gone_withdraws_what_the_last_one_took_for_quiet() {
    in_virtual_time(async {
        let mut stage = with_a_market_that_goes().await;
        stage.pass(minutes(3)).await;
        stage.stop().await;
        assert!(!invented(&stage).await.is_empty());
        stage.start().await;
        stage.until("rejected", minutes(1), is_rejected).await;
        stage.pass(seconds(10)).await;
        assert_nothing_is_invented(&stage).await;
    });
}

#[test]
fn candles_that_are_built_from_the_silence_of_a_market_that_is_gone_are_withdrawn_too() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want_trades("kraken", "ETH/USD", &[Timeframe::M1], CandleSource::Trades, TimeDelta::hours(1)).await;
        stage.start().await;
        stage.until("live", minutes(60), |stage| stage.is_live("kraken:ETH/USD")).await;
        stage.pass(minutes(10)).await;
        stage.inject(Fault::new(FaultKind::Delist).on(Venue::KRAKEN).symbol("ETH/USD".parse().unwrap()));
        stage.pass(minutes(3)).await;
        assert!(!is_rejected(&stage) && !invented(&stage).await.is_empty(), "nothing shows yet that it is gone");
        stage.until("rejected", minutes(70), is_rejected).await;
        stage.pass(seconds(10)).await;
        assert_nothing_is_invented(&stage).await;
    });
}

#[test]
fn equities_are_polled_in_session_and_left_alone_afterwards() {
    in_virtual_time(async {
        // New York closes at 21:00 UTC on this Friday.
        let mut stage = Stage::at("2026-11-20T20:40:20Z".parse().unwrap(), SimConfig::default()).await;
        for name in ["AAPL", "MSFT"] {
            stage.want("yahoo", name, &[Timeframe::M1], TimeDelta::hours(2)).await;
        }
        stage.start().await;
        stage.pass_until("2026-11-20T22:30:00Z".parse().unwrap()).await;
        let until = "2026-11-20T21:00:00Z".parse().unwrap();
        for name in ["AAPL", "MSFT"] {
            stage.assert_complete("yahoo", name, Timeframe::M1, until).await;
        }
        let evening = stage.now();
        stage.pass(minutes(240)).await;
        // The list is read every hour; of bars there is nothing to ask.
        let calls = stage.transport.contacts("yahoo", evening);
        let bars: Vec<_> =
            calls.iter().filter(|(_, c)| matches!(c, Contact::Http(url) if url.contains("interval=1m"))).collect();
        assert_eq!(bars.len(), 0, "{bars:?}");
    });
}
