//! Trades: heard and read, kept once with their proof, and built into candles.

use std::sync::Mutex;
use std::time::Duration;

use candlewick::market::ledger::Coverage;
use candlewick::market::{Grid, Source, Span, Timeframe};
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use candlewick::status::{Mode, Phase};
use candlewick::store::CandleSource;
use chrono::{DurationRound, TimeDelta};
use serde_json::Value;

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol, true_trades};

async fn collecting(exchange: &str, name: &str, source: CandleSource, timeframes: &[Timeframe]) -> Stage {
    let mut stage = Stage::new(SimConfig::default()).await;
    stage.want_trades(exchange, name, timeframes, source, TimeDelta::hours(3)).await;
    stage.start().await;
    stage
}

#[test]
fn trades_are_heard_and_read_without_a_gap_or_a_double() {
    in_virtual_time(async {
        for (exchange, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("coinbase", "BTC/USD")] {
            let stage = collecting(exchange, name, CandleSource::Venue, &[Timeframe::M1]).await;
            let component = format!("{exchange}:{name}");
            stage.until("live", minutes(5), |stage| stage.is_live(&component)).await;
            stage.pass(minutes(10)).await;
            stage.inject(Fault::new(FaultKind::Drop { every: None }).on(exchange.parse().unwrap()).times(1));
            stage.pass(minutes(10)).await;
            let count = stage.assert_trades(exchange, name, stage.now() - seconds(20)).await;
            assert!(count > 1_000, "{count}");
            stage.assert_minutes(exchange, name, seconds(20)).await;
            assert_eq!(stage.restarts(&component), 0);
        }
    });
}

#[test]
fn without_a_stream_trades_are_polled_and_none_is_missed() {
    in_virtual_time(async {
        for (exchange, name) in [("kraken", "BTC/USD"), ("binance", "BTC/USDT"), ("coinbase", "BTC/USD")] {
            let mut stage = Stage::new(SimConfig::default()).await;
            let hour = TimeDelta::hours(1);
            stage.want_trades(exchange, name, &[Timeframe::M1], CandleSource::Venue, hour).await;
            stage.poll_only(exchange).await;
            stage.start().await;
            let component = format!("{exchange}:{name}");
            stage.pass(minutes(20)).await;
            assert_eq!(stage.mode(&component), Some(Mode::LiveRestPolling));
            stage.assert_trades(exchange, name, stage.now() - seconds(60)).await;
        }
    });
}

#[test]
fn a_venue_without_candle_streams_is_live_from_its_trades() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want("coinbase", "BTC/USD", &[Timeframe::M1, Timeframe::H1], TimeDelta::hours(5)).await;
        stage.start().await;
        let component = "coinbase:BTC/USD";
        stage.until("live", minutes(2), |stage| stage.mode(component) == Some(Mode::LiveTrade)).await;
        let live_at = stage.now() + minutes(2);
        stage.pass(minutes(70)).await;
        stage.assert_minutes("coinbase", "BTC/USD", seconds(20)).await;
        stage.assert_punctual("coinbase", "BTC/USD", live_at, TimeDelta::seconds(8)).await;
        let until = Timeframe::H1;
        let closed = candlewick::market::Grid::utc(until).last_closed_end(stage.now() - minutes(3));
        stage.assert_complete("coinbase", "BTC/USD", Timeframe::H1, closed).await;
        let stored = stage.stored("coinbase", "BTC/USD", Timeframe::M1).await;
        let built = stored.iter().filter(|row| row.source == Source::Trades).count();
        assert!(built > 3, "verification has replaced all but the newest: {built}");
        // Nothing was polled for candles but what verifies them.
        assert!(stage.calls("coinbase", "candles BTC/USD 60") < 30, "{:?}", stage.requests("coinbase"));
    });
}

#[test]
fn candles_of_trades_alone_are_the_venues_own_in_all_timeframes() {
    in_virtual_time(async {
        // LTC/USD trades rarely: quiet minutes are flat bars at Kraken.
        for (exchange, name) in
            [("kraken", "BTC/USD"), ("kraken", "SOL/USD"), ("binance", "ETH/USDT"), ("coinbase", "ETH/USD")]
        {
            let timeframes = [Timeframe::M1, Timeframe::M5, Timeframe::H1];
            let stage = collecting(exchange, name, CandleSource::Trades, &timeframes).await;
            stage.pass(minutes(75)).await;
            let component = format!("{exchange}:{name}");
            assert_eq!(stage.status(&component).map(|status| status.phase), Some(Phase::Live), "{component}");
            for timeframe in timeframes {
                let grid = candlewick::market::Grid::utc(timeframe);
                let until = grid.last_closed_end(stage.now() - minutes(1));
                stage.assert_complete(exchange, name, timeframe, until).await;
            }
            let requests = stage.requests(exchange);
            let candles =
                requests.keys().any(|key| ["OHLC", "klines", "candles"].iter().any(|kind| key.starts_with(kind)));
            assert!(!candles, "{requests:?}");
        }
    });
}

#[test]
fn history_older_than_the_venues_candles_is_built_from_its_trades() {
    in_virtual_time(async {
        for keeps_trades in [false, true] {
            let mut stage = Stage::new(SimConfig::default()).await;
            // In the middle of a minute.
            let back = TimeDelta::hours(40) + TimeDelta::seconds(25);
            if keeps_trades {
                stage.want_trades("kraken", "ETH/USD", &[Timeframe::M1], CandleSource::Venue, back).await;
            } else {
                stage.want("kraken", "ETH/USD", &[Timeframe::M1], back).await;
            }
            stage.start().await;
            stage.until("complete", minutes(30), |stage| stage.is_live("kraken:ETH/USD")).await;
            stage.pass(minutes(2)).await;
            stage.assert_minutes("kraken", "ETH/USD", seconds(20)).await;
            let stored = stage.stored("kraken", "ETH/USD", Timeframe::M1).await;
            assert!(stored.iter().filter(|row| row.source == Source::Trades).count() > 1_000);
        }
    });
}

#[test]
fn a_stop_in_the_middle_of_history_costs_nothing_twice() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want_trades("binance", "BTC/USDT", &[Timeframe::M1], CandleSource::Trades, TimeDelta::hours(20)).await;
        stage.start().await;
        stage.pass(seconds(3)).await;
        stage.stop().await;
        stage.pass(minutes(30)).await;
        stage.start().await;
        stage.pass(minutes(30)).await;
        stage.assert_trades("binance", "BTC/USDT", stage.now() - seconds(60)).await;
        stage.assert_minutes("binance", "BTC/USDT", seconds(60)).await;
    });
}

#[test]
fn lost_trades_are_found_by_their_ids_and_read_again() {
    in_virtual_time(async {
        for kind in [FaultKind::Stall, FaultKind::OutOfOrder, FaultKind::Truncate, FaultKind::Rubbish] {
            let stage = collecting("kraken", "BTC/USD", CandleSource::Trades, &[Timeframe::M1]).await;
            stage.until("live", minutes(5), |stage| stage.is_live("kraken:BTC/USD")).await;
            // A stall strikes a connection as a whole, the others single frames.
            let probability = if kind == FaultKind::Stall { 1.0 } else { 0.1 };
            let fault = Fault { probability, ..Fault::new(kind.clone()).on(Venue::KRAKEN) };
            stage.inject(fault.between(Duration::ZERO, minutes(10)));
            stage.pass(minutes(20)).await;
            stage.assert_trades("kraken", "BTC/USD", stage.now() - seconds(30)).await;
            stage.assert_minutes("kraken", "BTC/USD", seconds(30)).await;
            assert!(stage.simulator.stats().faults.values().sum::<u64>() > 0, "{kind:?}");
        }
    });
}

#[test]
fn a_connection_that_was_mute_when_it_began_hides_no_trade() {
    in_virtual_time(async {
        let mut stage = collecting("kraken", "BTC/USD", CandleSource::Trades, &[Timeframe::M1]).await;
        stage.until("live", minutes(5), |stage| stage.is_live("kraken:BTC/USD")).await;
        stage.pass(minutes(3)).await;
        stage.stop().await;
        // Acknowledged, alive and silent; and REST, which would tell, fails for longer than that.
        stage.inject(Fault::new(FaultKind::Stall).on(Venue::KRAKEN).between(Duration::ZERO, minutes(5)));
        let fault = Fault::new(FaultKind::Http5xx { status: 503 }).on(Venue::KRAKEN);
        stage.inject(fault.between(seconds(3), minutes(9)));
        stage.start().await;
        stage.pass(minutes(25)).await;
        stage.assert_trades("kraken", "BTC/USD", stage.now() - seconds(30)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(30)).await;
        let faults = stage.simulator.stats().faults;
        assert!(faults["stall"] > 0 && faults["http_5xx"] > 0, "{faults:?}");
    });
}

#[test]
fn what_was_traded_while_nobody_listened_is_read_although_the_stream_begins_before_it() {
    in_virtual_time(async {
        let mut stage = collecting("kraken", "BTC/USD", CandleSource::Trades, &[Timeframe::M1]).await;
        stage.until("live", minutes(5), |stage| stage.is_live("kraken:BTC/USD")).await;
        stage.pass(minutes(3)).await;
        stage.stop().await;
        stage.pass(minutes(3)).await;
        // The newest fifty trades, with which the stream begins, come before the answer of REST.
        let fault = Fault::new(FaultKind::Slow { delay: seconds(20) }).on(Venue::KRAKEN);
        stage.inject(fault.between(Duration::ZERO, minutes(2)));
        stage.start().await;
        stage.pass(minutes(10)).await;
        stage.assert_trades("kraken", "BTC/USD", stage.now() - seconds(30)).await;
        stage.assert_minutes("kraken", "BTC/USD", seconds(30)).await;
    });
}

#[test]
fn trades_that_a_venue_would_not_show_for_a_while_are_asked_for_again_and_their_candles_built() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        let hours = TimeDelta::hours(2);
        stage.want_trades("okx", "ETH/USDT", &[Timeframe::M1], CandleSource::Trades, hours).await;
        stage.inject(Fault::new(FaultKind::EmptyPage).on(Venue::OKX).between(seconds(2), minutes(20)));
        stage.start().await;
        stage.pass(minutes(100)).await;
        stage.assert_trades("okx", "ETH/USDT", stage.now() - minutes(2)).await;
        stage.assert_minutes("okx", "ETH/USDT", minutes(2)).await;
        assert!(stage.simulator.stats().faults["empty_page"] > 0);
    });
}

#[test]
fn where_ids_have_gaps_the_candles_tell_which_trades_a_mute_stream_left_out() {
    in_virtual_time(async {
        let stage = collecting("bitfinex", "BTC/USD", CandleSource::Venue, &[Timeframe::M1]).await;
        stage.until("live", minutes(5), |stage| stage.is_live("bitfinex:BTC/USD")).await;
        // One market of a connection that lives on.
        let fault = Fault::new(FaultKind::Stall).on(Venue::BITFINEX).symbol(symbol("BTC/USD"));
        stage.inject(fault.between(Duration::ZERO, minutes(4)));
        stage.pass(minutes(40)).await;
        assert!(stage.simulator.stats().faults["stall"] > 0);
        stage.assert_trades("bitfinex", "BTC/USD", stage.now() - minutes(2)).await;
    });
}

/// A stopped tree whose stream said nothing of a minute, and which has yet to read the minute's candle,
/// with a hundred others that are newer.
async fn silent_of_a_minute() -> (Stage, Span) {
    let mut stage = collecting("bitfinex", "BTC/USD", CandleSource::Venue, &[Timeframe::M1]).await;
    stage.pass(minutes(10)).await;
    stage.stop().await;
    let silent = stage.now().duration_trunc(TimeDelta::minutes(1)).unwrap() - TimeDelta::minutes(100);
    let span = Span::new(silent, silent + TimeDelta::minutes(1));
    assert!(!stage.stored_trades("bitfinex", "BTC/USD", span).await.is_empty());
    let (from, to) = (span.from.timestamp_micros(), span.to.timestamp_micros());
    stage.sql(&format!("DELETE FROM trades WHERE time >= {from} AND time < {to}"));
    stage.sql("DELETE FROM candles; DELETE FROM coverage");
    (stage, span)
}

#[test]
fn all_the_candles_of_a_long_page_tell_of_trades_that_were_left_out() {
    in_virtual_time(async {
        let (mut stage, silent) = silent_of_a_minute().await;
        stage.start().await;
        stage.pass(minutes(10)).await;
        stage.assert_trades("bitfinex", "BTC/USD", stage.now() - minutes(2)).await;
        assert!(!stage.stored_trades("bitfinex", "BTC/USD", silent).await.is_empty());
    });
}

fn calls(stage: &Stage) -> u64 {
    stage.requests("bitfinex").into_values().sum()
}

#[test]
fn candles_that_could_not_be_compared_with_their_trades_are_read_again_and_not_at_once() {
    in_virtual_time(async {
        let (mut stage, silent) = silent_of_a_minute().await;
        stage.store.script(|call| match call {
            StoreCall::Trades(_) => Deed::Fail,
            _ => Deed::Proceed,
        });
        stage.start().await;
        let before = calls(&stage);
        stage.pass(minutes(3)).await;
        let reads = calls(&stage) - before;
        assert!((3..12).contains(&reads), "{reads} reads");
        stage.store.behave();
        let ledger = stage.ledger("bitfinex", "BTC/USD", Timeframe::M1).await;
        let entry = ledger.into_iter().find(|entry| entry.span.contains(silent.from)).unwrap();
        assert_eq!(entry.coverage, Coverage::Complete { verified: false }, "{}", entry.span);
        assert!(stage.stored_trades("bitfinex", "BTC/USD", silent).await.is_empty());
        stage.pass(minutes(70)).await;
        assert!(!stage.stored_trades("bitfinex", "BTC/USD", silent).await.is_empty());
        stage.assert_trades("bitfinex", "BTC/USD", stage.now() - minutes(2)).await;
        assert_eq!(stage.restarts("bitfinex:BTC/USD"), 0);
    });
}

#[test]
fn a_symbol_without_timeframes_keeps_its_trades_alone() {
    in_virtual_time(async {
        let stage = collecting("binance", "ETH/BTC", CandleSource::Venue, &[]).await;
        stage.pass(minutes(10)).await;
        assert_eq!(stage.mode("binance:ETH/BTC"), Some(Mode::LiveTrade));
        stage.assert_trades("binance", "ETH/BTC", stage.now() - seconds(20)).await;
        let span = Span::new(stage.now() - TimeDelta::hours(3), stage.now());
        assert!(!stage.truth("binance", "ETH/BTC", Timeframe::M1, span).is_empty());
    });
}

#[test]
fn a_frame_that_cannot_be_read_costs_no_trade_where_they_are_not_numbered() {
    in_virtual_time(async {
        let stage = collecting("bybit", "BTC/USDT", CandleSource::Trades, &[Timeframe::M1]).await;
        stage.until("streaming", seconds(10), |stage| stage.mode("bybit:BTC/USDT") == Some(Mode::LiveTrade)).await;
        stage.pass(minutes(3)).await;
        let from = stage.now();
        let cut = Fault::new(FaultKind::Truncate).on(Venue::BYBIT).between(seconds(0), seconds(90)).probability(0.3);
        stage.inject(cut);
        stage.pass(minutes(5)).await;
        // The newest sixty trades are served by REST, which here is more than a minute of them.
        let span = Span::new(from, stage.now() - seconds(30));
        let coverage = stage.trade_coverage("bybit", "BTC/USDT").await;
        let stored = stage.stored_trades("bybit", "BTC/USDT", span).await;
        let truth = true_trades(&stage.simulator, "bybit", "BTC/USDT", span);
        let lost = truth.iter().filter(|trade| coverage.spans.contains(trade.time) && !stored.contains(&trade.id));
        assert_eq!(lost.count(), 0);
        assert!(stored.len() > 60, "{}", stored.len());
        let struck = stage.simulator.stats().faults["truncate"];
        assert!(struck > 3, "only {struck} frames were cut");
    });
}

/// Trades of the end of each minute come a little into the next one, in one frame with a trade of that.
fn held_back_over_the_minute() -> impl Fn(String) -> String {
    let held = Mutex::new(Vec::<Value>::new());
    move |text| {
        let mut frame: Value = serde_json::from_str(&text).unwrap();
        if !frame["topic"].as_str().is_some_and(|topic| topic.starts_with("publicTrade.")) {
            return text;
        }
        let mut held = held.lock().unwrap();
        held.append(frame["data"].as_array_mut().unwrap());
        if !(3_000..50_000).contains(&(frame["ts"].as_i64().unwrap() % 60_000)) {
            return r#"{"success":true,"ret_msg":"pong","conn_id":"sim","op":"ping"}"#.to_owned();
        }
        frame["data"] = std::mem::take(&mut *held).into();
        frame.to_string()
    }
}

#[test]
fn a_frame_settles_no_minute_before_all_its_trades_are_counted() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig { trades_per_minute: 60.0, ..SimConfig::default() }).await;
        stage.transport.rewrite(|out| out, held_back_over_the_minute());
        let hour = TimeDelta::hours(1);
        stage.want_trades("bybit", "BTC/USDT", &[Timeframe::M1], CandleSource::Trades, hour).await;
        stage.start().await;
        stage.pass(minutes(3)).await;
        let span = Span::new(stage.now(), stage.now() + TimeDelta::minutes(6));
        stage.pass(minutes(7)).await;
        let stored = stage.stored("bybit", "BTC/USDT", Timeframe::M1).await;
        let truth = stage.truth("bybit", "BTC/USDT", Timeframe::M1, span);
        let mut built = 0;
        for real in truth {
            let row = stored.iter().find(|row| row.candle.open_time == real.open_time);
            let row = row.unwrap_or_else(|| panic!("{real:?} was not built"));
            assert!(row.candle.agrees_with(&real), "{row:?} is not {real:?}");
            assert_eq!((row.source, row.revision), (Source::Trades, 0), "right from the beginning: {row:?}");
            built += 1;
        }
        assert!(built >= 5, "{built}");
    });
}

#[test]
fn a_quiet_beginning_finds_its_price_where_trades_are_read_backwards() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig { trades_per_minute: 0.5, ..SimConfig::default() }).await;
        let (exchange, name) = ("okx", "ETH/USDT");
        let start = Grid::utc(Timeframe::M1).bucket_at(stage.now());
        let is_quiet = |ago: &i64| {
            let from = start - TimeDelta::minutes(*ago);
            true_trades(&stage.simulator, exchange, name, Span::new(from, from + TimeDelta::minutes(1))).is_empty()
        };
        let ago = (60..240).find(is_quiet).expect("a quiet minute");
        let back = stage.now() - start + TimeDelta::minutes(ago);
        stage.want_trades(exchange, name, &[Timeframe::M1], CandleSource::Trades, back).await;
        stage.start().await;
        stage.pass(minutes(15)).await;
        // Quiet since the last trade is proven by the next one.
        stage.assert_minutes(exchange, name, minutes(10)).await;
    });
}

#[test]
fn candles_that_were_read_before_a_stream_claimed_their_trades_are_compared_with_them() {
    in_virtual_time(async {
        let (exchange, name) = ("binanceusdm", "BTC/USDT:USDT");
        // Its connection lives, and says when it speaks again that nothing was traded in all this time. How long it
        // is mute decides what comes first: this claim, or the candles that REST tells.
        for mute in [840, 845, 851, 857] {
            let mut stage = Stage::new(SimConfig { trades_per_minute: 4.0, ..SimConfig::default() }).await;
            stage.config.deaf.within = minutes(120);
            stage.want_trades(exchange, name, &[Timeframe::M1], CandleSource::Venue, TimeDelta::hours(3)).await;
            stage.start().await;
            stage.until("live", minutes(5), |stage| stage.is_live("binanceusdm:BTC/USDT:USDT")).await;
            let maintenance = Fault::new(FaultKind::Maintenance).on(exchange.parse().unwrap());
            stage.inject(maintenance.between(Duration::ZERO, seconds(mute)));
            stage.pass(minutes(50)).await;
            stage.assert_trades(exchange, name, stage.now() - minutes(2)).await;
        }
    });
}

#[test]
fn quiet_bars_follow_what_was_left_out_though_a_pass_over_its_time_was_under_way() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig { trades_per_minute: 1.0, ..SimConfig::default() }).await;
        let (exchange, name) = ("kraken", "ETH/USD");
        stage.want_trades(exchange, name, &[Timeframe::M1], CandleSource::Trades, TimeDelta::hours(1)).await;
        stage.start().await;
        stage.pass(minutes(20)).await;
        // Mute, but alive: its minutes are taken for quiet ones.
        stage.inject(Fault::new(FaultKind::Maintenance).on(Venue::KRAKEN).between(Duration::ZERO, minutes(20)));
        stage.pass(minutes(7)).await;
        // The next life has a minute without a price, which it looks for an hour back, by a call that waits.
        stage.stop().await;
        stage.start().await;
        stage.pass(minutes(30)).await;
        stage.assert_minutes(exchange, name, minutes(5)).await;
    });
}
