//! The story of a bucket: where its candle came from, or why there is none and what is being done.

use candlewick::market::{Candle, FinalCandle, Rule, Side, Source, Span, Timeframe, Trade, TradeId};
use candlewick::store::{
    CandleSource, Coverage, LedgerChange, NewSymbol, SeriesChange, Store, TradesChange, WriteBatch,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::place::{Place, Ran};

/// Minute `n` after the day's beginning.
fn minute(n: i64) -> DateTime<Utc> {
    "2026-01-02T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

fn span(from: i64, to: i64) -> Span {
    Span::new(minute(from), minute(to))
}

fn bar(n: i64, close: f64, source: Source, rule: Rule) -> FinalCandle {
    let candle =
        Candle { close, high: 101.5, low: 99.25, volume: 0.5, trades: Some(3), ..Candle::flat(minute(n), 100.0) };
    FinalCandle { candle, source, rule, observed_at: minute(n + 2) }
}

async fn want(store: &dyn Store, exchange: &str, timeframes: &[Timeframe], source: CandleSource) -> Vec<SeriesChange> {
    let new = NewSymbol {
        exchange: exchange.to_owned(),
        symbol: "BTC/USD".parse().unwrap(),
        timeframes: timeframes.to_vec(),
        backfill_from: minute(0),
        collect_trades: source == CandleSource::Trades,
        candle_source: source,
        only_ticker: false,
    };
    store.add_symbol(&new).await.unwrap();
    let symbols = store.symbols().await.unwrap();
    let symbol = symbols.iter().find(|row| row.exchange == exchange).unwrap().id;
    let mut changes = Vec::new();
    for timeframe in timeframes {
        changes.push(SeriesChange::new(store.open_series(symbol, *timeframe).await.unwrap().id));
    }
    changes
}

async fn write(store: &dyn Store, series: Vec<SeriesChange>) {
    store.write(&WriteBatch { series, ..WriteBatch::default() }).await.unwrap();
}

const VERIFIED: Coverage = Coverage::Complete { verified: true };

/// Kraken (which prints every bucket): 0-4 held, 2 of them revised, 4 missing after two reads, 5 lost,
/// 6 not at the venue, 7 unverified from a stream; three minutes derived from the first ones; observed
/// until 8. Yahoo (which does not): 0 and 3 held, 1 and 2 empty.
fn place() -> Place {
    let place = Place::new();
    place.with_store(|store| async move {
        let timeframes = [Timeframe::M1, Timeframe::M3];
        let mut changes = want(&*store, "kraken", &timeframes, CandleSource::Venue).await;
        let (higher, minutes) = (changes.pop().unwrap(), changes.pop().unwrap());
        let rest = |n: i64| bar(n, 100.0 + n as f64, Source::Rest, Rule::Rest);
        let missing = Coverage::Missing {
            reason: "late_bar".to_owned(),
            attempts: 2,
            next_attempt_at: Some(minute(1_000_000_000)),
        };
        let gone = Coverage::Unavailable { reason: "venue_hole: rest".to_owned() };
        let set = |from, to, coverage| LedgerChange::Set(span(from, to), coverage);
        let stream = bar(7, 107.0, Source::Stream, Rule::Stream);
        let change = SeriesChange {
            candles: [0, 1, 2, 3].map(rest).into_iter().chain([stream]).collect(),
            ledger: vec![
                set(0, 4, VERIFIED),
                set(4, 5, missing),
                set(5, 6, VERIFIED),
                set(6, 7, gone),
                set(7, 8, Coverage::Complete { verified: false }),
            ],
            extent: Some((span(0, 8), "not_fetched")),
            ..minutes.clone()
        };
        let derived = SeriesChange {
            candles: vec![bar(0, 102.0, Source::Derived, Rule::Derived)],
            ledger: vec![set(0, 3, VERIFIED)],
            extent: Some((span(0, 6), "not_fetched")),
            ..higher
        };
        write(&*store, vec![change, derived]).await;
        let again = FinalCandle { observed_at: minute(60), ..bar(2, 99.5, Source::Rest, Rule::Rest) };
        write(&*store, vec![SeriesChange { candles: vec![again], ..minutes }]).await;

        let yahoo = want(&*store, "yahoo", &[Timeframe::M1], CandleSource::Venue).await.remove(0);
        let change = SeriesChange {
            candles: [0, 3].map(rest).to_vec(),
            ledger: vec![set(0, 4, VERIFIED)],
            extent: Some((span(0, 4), "not_fetched")),
            ..yahoo
        };
        write(&*store, vec![change]).await;
    });
    place
}

fn explain(place: &Place, line: &str) -> Value {
    let ran = place.run(&format!("explain {line} --format json")).ok();
    assert_eq!(ran.lines().len(), 1, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// State, reason and what is being done.
fn story(place: &Place, line: &str) -> (String, String, String) {
    let story = explain(place, line);
    let text = |key: &str| story[key].as_str().unwrap().to_owned();
    (text("state"), text("why"), text("doing"))
}

fn told(state: &str, why: &str, doing: &str) -> (String, String, String) {
    (state.to_owned(), why.to_owned(), doing.to_owned())
}

#[test]
fn a_candle_is_told_with_its_source_its_rule_and_what_it_was_before() {
    let place = place();
    let ran = place.run("explain kraken BTC/USD -t 1m 2026-01-02T00:02").ok();
    assert_eq!(ran.stderr, "");
    let lines = ran.lines();
    assert_eq!(
        lines[..4],
        [
            "kraken BTC/USD 1m 2026-01-02T00:02:00Z",
            "  state      final",
            "  candle     open 100 high 101.5 low 99.25 close 99.5 volume 0.5 trades 3",
            "  source     rest, rule rest",
        ]
    );
    assert!(lines[4].starts_with("  observed   2026-01-02T01:00:00Z; first written 20"), "{ran:?}");
    assert_eq!(lines[5], "  why        a REST request sent after its close returned it");
    let was = "  was        open 100 high 101.5 low 99.25 close 102 volume 0.5 trades 3 \
               (rest, rule rest, observed 2026-01-02T00:04:00Z, until 20";
    assert!(lines[6].starts_with(was), "{ran:?}");
    assert_eq!(
        lines[7..],
        [
            "  ledger     2026-01-02T00:00:00Z to 2026-01-02T00:04:00Z complete, verified",
            "  after      2026-01-02T00:04:00Z to 2026-01-02T00:05:00Z missing (late_bar), 2 attempts, next at \
             3927-05-01T10:40:00Z",
        ]
    );

    let story = explain(&place, "kraken BTC/USD -t 3m 2026-01-02T00:00");
    assert_eq!(story["parts"]["timeframe"], "1m");
    let opens = ["2026-01-02T00:00:00Z", "2026-01-02T00:01:00Z", "2026-01-02T00:02:00Z"];
    assert_eq!((&story["parts"]["open_times"], &story["parts"]["is_complete"]), (&json!(opens), &json!(true)));
    assert_eq!(story["why"], "it is the sum of finer candles all of which are final");
}

#[test]
fn a_time_inside_a_bucket_is_taken_for_it_with_a_word() {
    let Ran { stdout, stderr, .. } = place().run("explain kraken BTC/USD -t 1m 2026-01-02T00:03:59.5").ok();
    assert!(stdout.starts_with("kraken BTC/USD 1m 2026-01-02T00:03:00Z\n"), "{stdout}");
    let words = "2026-01-02T00:03:59.500000Z lies inside the candle of 1m that opens at 2026-01-02T00:03:00Z\n";
    assert_eq!(stderr, words);
}

#[test]
fn every_absence_has_its_reason_and_what_is_being_done() {
    let place = place();
    let at = |time: &str| story(&place, &format!("kraken BTC/USD -t 1m 2026-01-02T{time}"));
    assert_eq!(
        at("00:04"),
        told(
            "missing",
            "it is due and was asked for, but the exchange does not show it yet (late_bar); 2 reads did not bring it",
            "it is asked for again at 3927-05-01T10:40:00Z; no collector is at work on it now: candlewick run"
        )
    );
    let (state, why, doing) = at("00:05");
    assert_eq!(
        (state.as_str(), doing.as_str()),
        ("violation", "nothing; candlewick audit kraken BTC/USD --repair fetches it again")
    );
    assert!(why.starts_with("the ledger calls it complete and the exchange prints every bucket"), "{why}");
    assert_eq!(
        at("00:06"),
        told(
            "unavailable",
            "the exchange prints every bucket, and left this one out between two others (venue_hole: rest)",
            "nothing, unless an import or another way to it comes"
        )
    );
    let (state, why, doing) = at("00:07");
    assert_eq!(state, "final");
    assert!(why.ends_with("; not confirmed by REST yet"), "{why}");
    assert!(doing.starts_with("REST confirms or corrects it when nothing more urgent waits"), "{doing}");
    let (state, why, _) = at("00:08");
    let looked = "no collector has looked at it yet; the newest look ended at 2026-01-02T00:08:00Z";
    assert_eq!((state.as_str(), why.as_str()), ("not_observed", looked));
    assert_eq!(
        story(&place, "kraken BTC/USD -t 1m 2026-01-01T23:59"),
        told(
            "before_backfill",
            "candles are wanted from 2026-01-02T00:00:00Z on, and this one is older",
            "nothing; to have it: candlewick backfill kraken BTC/USD --from T"
        )
    );
    assert_eq!(
        story(&place, "kraken BTC/USD -t 1d 2026-01-02"),
        told(
            "not_wanted",
            "the timeframe is not among those wanted: 1m 3m",
            "nothing; to keep it: candlewick symbols add kraken BTC/USD -t 1d"
        )
    );
    let (state, why, _) = story(&place, "kraken BTC/USD -t 1m 2999-01-01");
    assert_eq!((state.as_str(), why.as_str()), ("open", "it closes at 2999-01-01T00:01:00Z"));
    assert_eq!(
        story(&place, "yahoo BTC/USD -t 1m 2026-01-02T00:02"),
        told(
            "empty",
            "nothing was traded, and the exchange prints nothing for such buckets; it lies between the candles of \
             2026-01-02T00:00:00Z and 2026-01-02T00:03:00Z; the exchange's answer proves it",
            ""
        )
    );

    place.run("symbols pause kraken BTC/USD").ok();
    assert_eq!(at("00:04").2, "nothing now: the symbol is paused; candlewick symbols resume kraken BTC/USD");
    place.run("symbols resume kraken BTC/USD").ok();
    place.run("exchanges disable kraken").ok();
    assert_eq!(at("00:04").2, "nothing now: kraken is switched off; candlewick exchanges enable kraken");
}

#[test]
fn a_candle_built_from_trades_names_them() {
    let place = Place::new();
    place.with_store(|store| async move {
        let change = want(&*store, "kraken", &[Timeframe::M1], CandleSource::Trades).await.remove(0);
        let symbol = store.symbols().await.unwrap().remove(0).id;
        let trade = |id: u64| {
            let id = TradeId::Number(id);
            let time = minute(0) + TimeDelta::seconds(10);
            Trade { last_id: id.clone(), id, time, price: 100.into(), amount: 1.into(), side: Some(Side::Buy) }
        };
        let trades = TradesChange {
            trades: (7..10).map(trade).collect(),
            complete_spans: vec![span(0, 1)],
            ..TradesChange::new(symbol)
        };
        let change = SeriesChange {
            candles: vec![bar(0, 100.0, Source::Trades, Rule::Trades)],
            ledger: vec![LedgerChange::Set(span(0, 1), VERIFIED)],
            extent: Some((span(0, 1), "not_fetched")),
            ..change
        };
        store.write(&WriteBatch { series: vec![change], trades: vec![trades], ..WriteBatch::default() }).await.unwrap();
    });
    let story = explain(&place, "kraken BTC/USD -t 1m 2026-01-02");
    let trades = json!({"count": 3, "ids": ["7", "8", "9"], "first_id": "7", "last_id": "9", "is_complete": true});
    assert_eq!(story["trades"], trades);
    let ran = place.run("explain kraken BTC/USD -t 1m 2026-01-02").ok();
    assert!(ran.stdout.contains("  trades     3 stored, ids 7 to 9, all there\n"), "{ran:?}");
}

#[test]
fn questions_without_an_answer_name_what_is_kept() {
    let place = place();
    let words = |line: &str| {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        ran.stderr
    };
    assert_eq!(
        words("explain krakn BTC/USD -t 1m 2026-01-02"),
        "error: no symbol of exchange \"krakn\" is kept here; did you mean kraken, yahoo?\n"
    );
    assert_eq!(
        words("explain kraken ETH/USD -t 1m 2026-01-02"),
        "error: kraken \"ETH/USD\" is not kept here; did you mean BTC/USD?\n"
    );
    assert!(words("explain kraken BTC/USD -t 1m soon").contains("\"soon\" is no time; write 2025-11-10"));
    assert!(words("explain kraken BTC/USD -t 7m 2026-01-02").contains("unknown timeframe \"7m\""));
    assert!(words("explain kraken BTC/USD 2026-01-02").contains("--timeframe <TF>"));
}
