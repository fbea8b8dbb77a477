//! Rows falsified by hand are found by an audit whatever the ledger says of them, and put right where
//! that is asked, with everything that was made of them.

use candlewick::control::{Asker, Command, RefusalKind, Reply};
use candlewick::market::audit::{AuditCounts, FindingKind, SeriesAudit};
use candlewick::market::{Candle, Source, Span, Timeframe};
use candlewick::sim::SimConfig;
use candlewick::store::inventory::{Absence, grid_of, verify};
use candlewick::store::{CandleSource, Coverage, Store, StoredCandle};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::Deed;
use crate::support::faulty_store::StoreCall;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

async fn ask(stage: &Stage, command: &Value) -> Reply {
    let command = Command::from_json(&command.to_string(), Asker::Message).unwrap();
    stage.collector.as_ref().unwrap().supervisor().send(command).await.unwrap()
}

/// Has everything audited, and waits for the report.
async fn audit(stage: &Stage, id: &str, keys: Value) -> Vec<SeriesAudit> {
    let mut command = json!({"id": id, "command": "audit"});
    command.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let reply = ask(stage, &command).await;
    assert!(reply.ok && reply.begun && !reply.changed, "{reply:?}");
    for _ in 0..6000 {
        let again = ask(stage, &command).await;
        assert!(again.ok && again.repeated, "{again:?}");
        if !again.begun {
            let recorded = stage.store.command(id).await.unwrap().unwrap();
            assert_eq!(
                serde_json::from_str::<Value>(&recorded.report.unwrap()).unwrap(),
                again.report.clone().unwrap()
            );
            return serde_json::from_value(again.report.unwrap()).unwrap();
        }
        stage.pass(seconds(1)).await;
    }
    panic!("the audit does not end: {:?}", stage.store.command(id).await);
}

fn of<'a>(report: &'a [SeriesAudit], symbol: &str, timeframe: Timeframe) -> &'a SeriesAudit {
    report.iter().find(|one| one.symbol.as_str() == symbol && one.timeframe == timeframe).unwrap()
}

fn kinds(audit: &SeriesAudit) -> Vec<(DateTime<Utc>, FindingKind, bool)> {
    audit.findings.iter().map(|finding| (finding.open_time, finding.kind, finding.repaired)).collect()
}

/// The number of a row's time in the database.
fn at(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A collector that has everything of two symbols: one whose exchange prints every bucket, with hours
/// derived from minutes, and one whose exchange leaves quiet buckets out.
async fn settled() -> Stage {
    let mut stage = Stage::new(SimConfig::default()).await;
    stage.want("kraken", "BTC/USD", &[Timeframe::M1, Timeframe::H1], TimeDelta::hours(8)).await;
    stage.want("bitfinex", "IOTA/USD", &[Timeframe::M1], TimeDelta::hours(8)).await;
    stage.start().await;
    for component in ["kraken:BTC/USD", "bitfinex:IOTA/USD"] {
        stage.until("live", minutes(10), |stage| stage.is_live(component)).await;
    }
    stage.pass(minutes(60)).await;
    stage
}

#[test]
fn an_audit_that_is_asked_for_at_once_is_not_taken_for_one_of_an_earlier_life() {
    in_virtual_time(async {
        let mut stage = settled().await;
        stage.stop().await;
        let is_late = |call: &StoreCall<'_>| matches!(call, StoreCall::OpenCommands);
        stage.store.script(move |call| if is_late(call) { Deed::Late(seconds(3)) } else { Deed::Proceed });
        stage.start().await;
        let report = audit(&stage, "early", json!({})).await;
        assert_eq!(report.len(), 3);
        assert!(report.iter().all(|series| series.counts.equal == series.counts.checked), "{report:?}");
    });
}

/// What is stored before `until`, without the details that are learned later.
async fn values(stage: &Stage, exchange: &str, name: &str, timeframe: Timeframe, until: DateTime<Utc>) -> Vec<Candle> {
    let rows = stage.stored(exchange, name, timeframe).await;
    let old = rows.iter().map(|row| row.candle).filter(|row| row.open_time < until);
    old.map(|row| Candle { vwap: None, quote_volume: None, trades: None, ..row }).collect()
}

/// Buckets that are complete and have no row.
fn empty(rows: &[StoredCandle]) -> Vec<DateTime<Utc>> {
    let minute = TimeDelta::minutes(1);
    let gaps = rows.windows(2).filter(|pair| pair[1].candle.open_time - pair[0].candle.open_time > minute);
    gaps.map(|pair| pair[0].candle.open_time + minute).collect()
}

async fn assert_ledger_true(stage: &Stage, exchange: &str, name: &str, absence: Absence) {
    let symbols = stage.store.symbols().await.unwrap();
    let row = symbols.iter().find(|row| row.exchange == exchange && row.symbol.as_str() == name).unwrap();
    for series in stage.store.series_of(row.id).await.unwrap() {
        let violations =
            verify(&*stage.store, &series, grid_of(row, series.timeframe), absence, row.backfill_from).await.unwrap();
        assert_eq!(violations, [], "{exchange} {name} {}", series.timeframe);
    }
}

#[test]
fn rows_falsified_by_hand_are_found_though_the_ledger_calls_them_verified_and_repaired_when_that_is_asked() {
    in_virtual_time(async {
        let stage = settled().await;
        let clean = audit(&stage, "clean", json!({})).await;
        for one in &clean {
            assert!(one.is_right() && one.counts.checked > 5, "{one:?}");
            assert_eq!(one.counts.equal, one.counts.checked, "{one:?}");
        }
        assert_eq!(clean.len(), 3);

        let until = stage.now() - TimeDelta::minutes(30);
        let all = async || {
            let minutes = values(&stage, "kraken", "BTC/USD", Timeframe::M1, until).await;
            let hours = values(&stage, "kraken", "BTC/USD", Timeframe::H1, until).await;
            (minutes, hours, values(&stage, "bitfinex", "IOTA/USD", Timeframe::M1, until).await)
        };
        let kraken = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        let quiet = stage.stored("bitfinex", "IOTA/USD", Timeframe::M1).await;
        let right = all().await;
        let (changed, deleted) = (kraken[100].candle.open_time, kraken[200].candle.open_time);
        let invented = *empty(&quiet).iter().find(|open| **open > quiet[20].candle.open_time).expect("a quiet minute");
        let odd = quiet[30].candle.open_time + TimeDelta::seconds(7);
        let (minutes_id, quiet_id) = (
            stage.series("kraken", "BTC/USD", Timeframe::M1).await.id.0,
            stage.series("bitfinex", "IOTA/USD", Timeframe::M1).await.id.0,
        );
        let ledger = stage.ledger("kraken", "BTC/USD", Timeframe::M1).await;
        let is_verified =
            |open| ledger.iter().any(|e| e.span.contains(open) && e.coverage == Coverage::Complete { verified: true });
        assert!(is_verified(changed) && is_verified(deleted));
        stage.sql(&format!(
            "UPDATE candles SET close = close + 1, high = high + 2 WHERE series_id = {minutes_id} AND open_time = {}",
            at(changed)
        ));
        stage.sql(&format!("DELETE FROM candles WHERE series_id = {minutes_id} AND open_time = {}", at(deleted)));
        for (series, open) in [(quiet_id, invented), (quiet_id, odd)] {
            let copy = format!(
                "INSERT INTO candles SELECT series_id, {}, open, high, low, close, 7.5, quote_volume, trades, vwap, source, \
                 rule, flags, revision, 0, observed_at, first_written_at, updated_at FROM candles \
                 WHERE series_id = {series} AND open_time = {}",
                at(open),
                at(quiet[20].candle.open_time)
            );
            stage.sql(&copy);
        }
        let falsified = all().await;
        assert_ne!(falsified, right);
        let found = audit(&stage, "look", json!({})).await;
        let one = of(&found, "BTC/USD", Timeframe::M1);
        assert_eq!(kinds(one), [(changed, FindingKind::Differs, false), (deleted, FindingKind::Missing, false)]);
        assert_eq!((one.counts.revised, one.counts.missing, one.counts.repaired, one.wrong()), (1, 1, 0, 2));
        assert_eq!(
            one.findings[0].exchange,
            Some(kraken[100].candle).map(|c| Candle { vwap: one.findings[0].exchange.unwrap().vwap, ..c })
        );
        let two = of(&found, "IOTA/USD", Timeframe::M1);
        let mut expected = [(invented, FindingKind::Invented, false), (odd, FindingKind::Invented, false)];
        expected.sort_by_key(|(open, ..)| *open);
        assert_eq!(kinds(two), expected);
        assert!(of(&found, "BTC/USD", Timeframe::H1).is_right());
        assert_eq!(all().await, falsified, "looking changes nothing");

        let repaired = audit(&stage, "repair", json!({"repair": true})).await;
        let one = of(&repaired, "BTC/USD", Timeframe::M1);
        assert_eq!(kinds(one), [(changed, FindingKind::Differs, true), (deleted, FindingKind::Missing, true)]);
        assert_eq!(kinds(of(&repaired, "IOTA/USD", Timeframe::M1)), expected.map(|(open, kind, _)| (open, kind, true)));
        assert!(repaired.iter().all(SeriesAudit::is_right), "{repaired:?}");
        let outcome = stage.store.command("repair").await.unwrap().unwrap().outcome;
        assert!(
            outcome.starts_with("done: 3 series, ")
                && outcome.contains("3 revised, 1 missing")
                && outcome.ends_with(", 4 repaired"),
            "{outcome}"
        );
        assert_eq!(all().await, right);
        let series = stage.series("kraken", "BTC/USD", Timeframe::M1).await;
        let old = stage.store.revisions(series.id, Span::new(changed, changed + TimeDelta::minutes(1))).await.unwrap();
        assert_eq!(old.iter().map(|old| old.stored.candle.close).collect::<Vec<_>>(), [kraken[100].candle.close + 1.0]);
        let series = stage.series("bitfinex", "IOTA/USD", Timeframe::M1).await;
        let old =
            stage.store.revisions(series.id, Span::new(invented, invented + TimeDelta::minutes(1))).await.unwrap();
        assert!(
            old.iter().any(|old| old.stored.candle.volume == 7.5),
            "what is taken away is kept as a revision: {old:?}"
        );
        assert_ledger_true(&stage, "kraken", "BTC/USD", Absence::Forbidden).await;
        assert_ledger_true(&stage, "bitfinex", "IOTA/USD", Absence::Allowed).await;
        assert_eq!(stage.restarts("kraken:BTC/USD") + stage.restarts("bitfinex:IOTA/USD"), 0);

        let again = audit(&stage, "again", json!({})).await;
        assert!(again.iter().all(|one| one.counts.equal == one.counts.checked), "{again:?}");
    });
}

#[test]
fn a_row_that_claims_to_be_newer_than_any_answer_is_put_right_all_the_same_and_so_is_the_hour_made_of_it() {
    in_virtual_time(async {
        let stage = settled().await;
        let rows = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        let hours = stage.stored("kraken", "BTC/USD", Timeframe::H1).await;
        let derived = hours[hours.len() - 3];
        let part = derived.candle.open_time + TimeDelta::minutes(10);
        let right = rows.iter().find(|row| row.candle.open_time == part).unwrap().candle;
        let (minutes_id, hours_id) = (
            stage.series("kraken", "BTC/USD", Timeframe::M1).await.id.0,
            stage.series("kraken", "BTC/USD", Timeframe::H1).await.id.0,
        );
        // As if it had been stored so, and the hour been derived from it.
        stage.sql(&format!("UPDATE candles SET volume = volume + 100, source = 6, rule = 3, observed_at = {} WHERE series_id = {minutes_id} AND open_time = {}", at(stage.now() + TimeDelta::days(400)), at(part)));
        stage.sql(&format!(
            "UPDATE candles SET volume = volume + 100, source = 2, rule = 5 WHERE series_id = {hours_id} AND open_time = {}",
            at(derived.candle.open_time)
        ));
        let only_minutes = json!({"exchange": "kraken", "symbol": "BTC/USD", "timeframes": "1m", "repair": true});
        let report = audit(&stage, "1", only_minutes).await;
        assert_eq!((report.len(), kinds(&report[0])), (1, vec![(part, FindingKind::Differs, true)]));
        let now = stage.stored("kraken", "BTC/USD", Timeframe::M1).await;
        let now = now.iter().find(|row| row.candle.open_time == part).unwrap();
        assert!(now.candle.agrees_with(&right) && now.observed_at <= stage.now(), "{now:?}");
        let hour = stage.stored("kraken", "BTC/USD", Timeframe::H1).await;
        let hour = hour.iter().find(|row| row.candle.open_time == derived.candle.open_time).unwrap();
        assert!(hour.candle.agrees_with(&derived.candle) && hour.source == Source::Derived, "{hour:?}");
        let series = stage.series("kraken", "BTC/USD", Timeframe::H1).await;
        let span = Span::new(hour.candle.open_time, hour.candle.open_time + TimeDelta::hours(1));
        let old = stage.store.revisions(series.id, span).await.unwrap();
        assert_eq!(old.last().map(|old| old.stored.candle.volume), Some(derived.candle.volume + 100.0));
    });
}

#[test]
fn what_the_exchange_no_longer_serves_is_unavailable_and_not_wrong() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "ETH/USD")]).await;
        stage.until("live", minutes(10), |stage| stage.is_live("kraken:ETH/USD")).await;
        let began = stage.now();
        stage.stop().await;
        stage.pass(minutes(12 * 60)).await;
        stage.start().await;
        stage.until("live", minutes(10), |stage| stage.is_live("kraken:ETH/USD")).await;
        stage.pass(minutes(10)).await;
        let report = audit(&stage, "1", json!({"exchange": "kraken"})).await;
        let [one] = report.as_slice() else { panic!("{report:?}") };
        // From two hours before the start to a moment ago, of which the newest 720 rows are served.
        assert!(one.counts.unavailable >= 120 && one.counts.unavailable <= 145, "{:?}", one.counts);
        let AuditCounts { checked, equal, revised, missing, unavailable, repaired } = one.counts;
        assert_eq!((revised, missing, repaired, checked), (0, 0, 0, equal + unavailable));
        assert_eq!(one.unavailable.keys().collect::<Vec<_>>(), ["too_old: rest"]);
        assert!(one.is_right());
        assert!(one.from.unwrap() < began - TimeDelta::minutes(119));
        let outcome = stage.store.command("1").await.unwrap().unwrap().outcome;
        assert!(outcome.starts_with("done (nothing to change): 1 series, "), "{outcome}");
    });
}

#[test]
fn candles_are_compared_with_the_sums_of_the_trades_that_are_kept() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.want_trades("binance", "BTC/USDT", &[Timeframe::M1], CandleSource::Venue, TimeDelta::hours(1)).await;
        stage
            .want_trades(
                "kraken",
                "ETH/USD",
                &[Timeframe::M1, Timeframe::M3],
                CandleSource::Trades,
                TimeDelta::hours(1),
            )
            .await;
        stage.start().await;
        for component in ["binance:BTC/USDT", "kraken:ETH/USD"] {
            stage.until("live", minutes(30), |stage| stage.is_live(component)).await;
        }
        stage.pass(minutes(30)).await;
        let report = audit(&stage, "1", json!({})).await;
        let trades = of(&report, "BTC/USDT", Timeframe::M1).trades.as_ref().unwrap();
        assert!(trades.checked > 60 && trades.differ == 0 && trades.skipped.is_none(), "{trades:?}");
        for timeframe in [Timeframe::M1, Timeframe::M3] {
            let one = of(&report, "ETH/USD", timeframe);
            assert!(one.is_right() && one.counts.equal > 20, "{one:?}");
        }

        let rows = stage.stored("binance", "BTC/USDT", Timeframe::M1).await;
        let short = rows[40].candle.open_time;
        let span = Span::new(short, short + TimeDelta::minutes(1));
        let built = stage.stored("kraken", "ETH/USD", Timeframe::M3).await;
        let (false_bar, right) = (built[7].candle.open_time, built[7].candle);
        let series = stage.series("kraken", "ETH/USD", Timeframe::M3).await.id.0;
        let symbols = stage.store.symbols().await.unwrap();
        let symbol = symbols.iter().find(|row| row.exchange == "binance").unwrap().id;
        assert!(!stage.store.trades(symbol, span).await.unwrap().is_empty());
        stage.sql(&format!(
            "DELETE FROM trades WHERE symbol_id = {} AND time >= {} AND time < {}",
            symbol.0,
            at(span.from),
            at(span.to)
        ));
        stage.sql(&format!(
            "UPDATE candles SET low = low - 1 WHERE series_id = {series} AND open_time = {}",
            at(false_bar)
        ));
        let report = audit(&stage, "2", json!({"repair": true})).await;
        let one = of(&report, "BTC/USDT", Timeframe::M1);
        let trades = one.trades.as_ref().unwrap();
        assert_eq!((trades.differ, trades.first.as_slice(), one.is_right(), one.wrong()), (1, &[short][..], false, 0));
        let outcome = stage.store.command("2").await.unwrap().unwrap().outcome;
        assert!(
            outcome.contains("; 1 of ") && outcome.ends_with("candles are not the sums of their trades"),
            "{outcome}"
        );
        assert_eq!(kinds(of(&report, "ETH/USD", Timeframe::M3)), [(false_bar, FindingKind::Differs, true)]);
        let now = stage.stored("kraken", "ETH/USD", Timeframe::M3).await;
        assert_eq!(now.iter().find(|row| row.candle.open_time == false_bar).unwrap().candle, right);
    });
}

#[test]
fn what_cannot_be_audited_is_refused_or_told() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD"), ("kraken", "ETH/USD")]).await;
        stage.until("live", minutes(10), |stage| stage.is_live("kraken:BTC/USD")).await;
        let refusal = async |id: &str, keys: Value| {
            let mut command = json!({"id": id, "command": "audit"});
            command.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            let error = ask(&stage, &command).await.error.unwrap();
            (error.kind, error.message)
        };
        let (kind, message) = refusal("a", json!({"exchange": "kraken", "symbol": "BTC/EUR"})).await;
        assert_eq!(
            (kind, message.as_str()),
            (RefusalKind::Unknown, "kraken \"BTC/EUR\" is not kept here; did you mean BTC/USD, ETH/USD?")
        );
        let (kind, message) = refusal("b", json!({"symbol": "BTC/USD"})).await;
        assert_eq!((kind, message.as_str()), (RefusalKind::Invalid, "a symbol needs its exchange; give both or none"));
        let odd = json!({"timeframes": "5m,7m", "from": "2026-11-20", "to": "2026-11-19"});
        let (kind, message) = refusal("c", odd).await;
        assert_eq!(kind, RefusalKind::Invalid);
        for part in
            ["unknown timeframe \"7m\"", "no series of 5m is kept there; there are: 1m", "does not lie after from"]
        {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        assert!(refusal("d", json!({"from": "2030-01-01"})).await.1.contains("lies in the future"));
        let odd = Command::from_json(r#"{"id": "e", "command": "audit", "repairs": true}"#, Asker::Message);
        assert!(odd.unwrap_err().error.unwrap().message.starts_with("unknown field `repairs`"));

        let name = json!({"id": "p", "command": "pause", "exchange": "kraken", "symbol": "ETH/USD"});
        assert!(ask(&stage, &name).await.changed);
        let (_, message) = refusal("f", json!({"exchange": "kraken", "symbol": "ETH/USD"})).await;
        assert_eq!(message, "kraken ETH/USD is paused; first: candlewick symbols resume kraken ETH/USD");
        stage.pass(seconds(5)).await;
        let report = audit(&stage, "all", json!({"exchange": "kraken"})).await;
        assert!(of(&report, "BTC/USD", Timeframe::M1).is_right());
        let paused = of(&report, "ETH/USD", Timeframe::M1);
        assert_eq!(paused.failure.as_deref(), Some("it is paused; first: candlewick symbols resume kraken ETH/USD"));
        assert!(!paused.is_right() && paused.counts == AuditCounts::default());
    });
}

#[test]
fn an_audit_that_a_stop_cuts_short_is_told_as_such_at_the_next_start() {
    in_virtual_time(async {
        let mut stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("live", minutes(10), |stage| stage.is_live("kraken:BTC/USD")).await;
        let command = json!({"id": "cut", "command": "audit"});
        assert!(ask(&stage, &command).await.begun);
        stage.stop().await;
        let outcome = stage.store.command("cut").await.unwrap().unwrap().outcome;
        assert!(outcome.starts_with("begun: "), "{outcome}");
        stage.start().await;
        stage.pass(seconds(2)).await;
        let again = ask(&stage, &command).await;
        let error = again.error.unwrap();
        assert_eq!((error.kind, again.repeated), (RefusalKind::Stopping, true));
        assert_eq!(error.message, "the collector ended before the audit was over; ask again under another id");
    });
}

#[test]
fn a_command_that_is_written_into_the_table_is_carried_out_within_seconds() {
    in_virtual_time(async {
        let stage = Stage::with(&[("kraken", "BTC/USD")]).await;
        stage.until("live", minutes(10), |stage| stage.is_live("kraken:BTC/USD")).await;
        let insert = |id: &str, body: &str| {
            format!(
                "INSERT INTO commands (id, kind, body, asked_by, asked_at, outcome) \
                 VALUES ('{id}', 'pause', '{body}', 'me', 0, 'asked')"
            )
        };
        stage.sql(&insert("t1", r#"{"id": "t1", "command": "pause", "exchange": "kraken", "symbol": "BTC/USD"}"#));
        stage.sql(&insert("t2", r#"{"id": "t2", "command": "status"}"#));
        stage.pass(seconds(3)).await;
        let outcome = async |id: &str| stage.store.command(id).await.unwrap().unwrap().outcome;
        assert_eq!(outcome("t1").await, "done: kraken BTC/USD is paused; it stays wanted");
        assert_eq!(outcome("t2").await, "refused: malformed: id and command of the body are not those of the row");
    });
}
