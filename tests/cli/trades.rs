//! Stored trades, printed in the forms that others read.

use candlewick::market::{Side, Span, Trade, TradeId};
use candlewick::store::{TradesChange, WriteBatch};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::place::Place;

/// So many milliseconds after the day's beginning.
fn at(milliseconds: i64) -> DateTime<Utc> {
    "2026-01-02T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::milliseconds(milliseconds)
}

fn trade(id: u64, milliseconds: i64) -> Trade {
    Trade {
        id: TradeId::Number(id),
        last_id: TradeId::Number(id),
        time: at(milliseconds),
        price: format!("{}.50", 100 + id % 7).parse().unwrap(),
        amount: "0.00027625".parse().unwrap(),
        side: [Some(Side::Buy), Some(Side::Sell), None][id as usize % 3],
    }
}

/// Trades of kraken BTC/USD, and the ids that the ledger calls complete.
fn with_trades(trades: Vec<Trade>, complete_ids: Vec<(u64, u64)>) -> Place {
    let place = Place::new();
    place.run("symbols add kraken BTC/USD --trades --from 2026-01-01").ok();
    place.with_store(|store| async move {
        let symbol = store.symbols().await.unwrap().remove(0).id;
        let change = TradesChange { trades, complete_ids, ..TradesChange::new(symbol) };
        store.write(&WriteBatch { trades: vec![change], ..WriteBatch::default() }).await.unwrap();
    });
    place
}

/// Ids 1 to 8, half a second apart from the beginning of the day, all complete.
fn eight() -> Place {
    with_trades((1..=8).map(|id| trade(id, (id as i64 - 1) * 500)).collect(), vec![(1, 8)])
}

fn ids(csv: &str) -> Vec<u64> {
    csv.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse().unwrap()).collect()
}

#[test]
fn csv_is_what_aggregate_reads_and_json_what_decode_prints() {
    let place = eight();
    let ran = place.run("trades kraken BTC/USD --format csv --to 2026-01-02T00:00:01.1").ok();
    assert_eq!(
        ran.lines(),
        [
            "time,price,amount,id,side",
            "2026-01-02T00:00:00Z,101.50,0.00027625,1,sell",
            "2026-01-02T00:00:00.500000Z,102.50,0.00027625,2,",
            "2026-01-02T00:00:01Z,103.50,0.00027625,3,buy",
        ]
    );
    assert_eq!(ran.stderr, "");
    let ran = place.run("trades kraken BTC/USD --format json --limit 2 --from 2026-01-02").ok();
    assert_eq!(
        ran.lines(),
        [
            r#"{"kind":"trade","exchange":"kraken","symbol":"BTC/USD","id":"1","time":"2026-01-02T00:00:00Z","price":101.5,"amount":0.00027625,"side":"sell"}"#,
            r#"{"kind":"trade","exchange":"kraken","symbol":"BTC/USD","id":"2","time":"2026-01-02T00:00:00.500000Z","price":102.5,"amount":0.00027625,"side":null}"#,
        ]
    );
    for format in ["csv", "json"] {
        let all = place.run(&format!("trades kraken BTC/USD --format {format}")).ok();
        place.put("trades", &all.stdout);
        let candles = place.run("aggregate -t 1s trades").ok();
        let candles = candles.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(candles.map(|candle| candle["trades"].clone()).collect::<Vec<_>>(), [2, 2, 2, 2], "{format}");
    }
}

#[test]
fn ranges_are_half_open_and_a_limit_keeps_the_first_of_a_range_else_the_newest() {
    let place = eight();
    let read = |line: &str| ids(&place.run(&format!("trades kraken BTC/USD --format csv {line}")).ok().stdout);
    assert_eq!(read(""), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(read("--from 2026-01-02T00:00:01 --to 2026-01-02T00:00:03"), [3, 4, 5, 6]);
    assert_eq!(read("--from 2026-01-02T00:00:01 --limit 2"), [3, 4]);
    assert_eq!(read("--limit 3"), [6, 7, 8]);
    assert_eq!(read("--limit 3 --to 2026-01-02T00:00:03"), [4, 5, 6]);
    assert_eq!(read("--limit 0"), Vec::<u64>::new());
    assert_eq!(read("--limit 18446744073709551615"), [1, 2, 3, 4, 5, 6, 7, 8]);
    let wrong = place.run("trades kraken BTC/USD --from 2026-01-03 --to 2026-01-02");
    assert_eq!((wrong.code, wrong.stdout.as_str()), (2, ""));
    assert_eq!(wrong.stderr, "error: --to 2026-01-02T00:00:00Z does not lie after --from 2026-01-03T00:00:00Z\n");
}

#[test]
fn more_trades_than_a_page_are_printed_in_order_and_a_table_shows_the_newest() {
    // Several of one instant, so that pages end within one.
    let place = with_trades((1..=25_000).map(|id| trade(id, id as i64 / 7)).collect(), vec![(1, 25_000)]);
    let all = place.run("trades kraken BTC/USD --format csv").ok();
    assert_eq!(ids(&all.stdout), (1..=25_000).collect::<Vec<_>>());
    let newest = place.run("trades kraken BTC/USD --format csv --limit 15000").ok();
    assert_eq!(ids(&newest.stdout), (10_001..=25_000).collect::<Vec<_>>());
    let table = place.run("trades kraken BTC/USD").ok();
    assert_eq!(table.lines().len(), 102);
    assert!(table.lines().last().unwrap().contains(" 25000 "), "{table:?}");
    assert_eq!(table.stderr, "the newest 100 trades; --limit or --format csv give more\n");
}

#[test]
fn rows_that_stand_for_several_trades_say_so() {
    let aggregated = Trade { last_id: TradeId::Number(6), ..trade(2, 500) };
    let place = with_trades(vec![trade(1, 0), aggregated, trade(7, 900)], vec![(1, 7)]);
    let csv = place.run("trades kraken BTC/USD --format csv").ok();
    let [header, first, second, _] = csv.lines()[..] else { panic!("{csv:?}") };
    assert_eq!(header, "time,price,amount,id,side,last_id");
    assert!(first.ends_with(",1,sell,1") && second.ends_with(",2,,6"), "{csv:?}");
    let json = place.run("trades kraken BTC/USD --format json").ok();
    assert!(json.lines()[1].ends_with(r#""side":null,"last_id":"6"}"#), "{json:?}");
    for text in [&csv.stdout, &json.stdout] {
        place.put("trades", text);
        let candle = place.run("aggregate -t 1m trades").ok();
        assert!(candle.stdout.contains(r#""trades":7,"#), "{candle:?}");
    }
    let plain = place.run("trades kraken BTC/USD --format csv --to 2026-01-02T00:00:00.2").ok();
    assert_eq!(plain.lines()[0], "time,price,amount,id,side");
}

#[test]
fn stretches_that_are_not_known_to_be_complete_are_told_on_stderr() {
    let trades = [1, 2, 3, 6, 7, 8].map(|id| trade(id, (id as i64 - 1) * 500)).to_vec();
    let place = with_trades(trades, vec![(1, 3), (6, 8)]);
    let ran = place.run("trades kraken BTC/USD --format csv").ok();
    let told = "trades may be missing between 2026-01-02T00:00:01Z and 2026-01-02T00:00:02.500000Z";
    let why = ": the ledger does not call them complete\n";
    assert_eq!(ran.stderr, format!("{told}{why}"));
    assert_eq!(ids(&ran.stdout), [1, 2, 3, 6, 7, 8]);
    let ran = place.run("trades kraken BTC/USD --format csv --from 2026-01-01T23:00 --to 2026-01-02T01:00").ok();
    assert_eq!(ran.stderr, format!("{told}, and in 1 stretch later{why}"));
    let within = place.run("trades kraken BTC/USD --format csv --to 2026-01-02T00:00:01.2 --limit 2").ok();
    assert_eq!((ids(&within.stdout), within.stderr.as_str()), (vec![2, 3], ""));
}

#[test]
fn ranges_without_trades_say_what_is_known_of_them() {
    let place = with_trades(vec![trade(1, 0), trade(2, 60_000), trade(3, 600_000)], vec![(1, 2)]);
    let none = |range: &str| {
        let ran = place.run(&format!("trades kraken BTC/USD --format csv {range}")).ok();
        assert_eq!(ran.stdout, "time,price,amount,id,side\n");
        ran.stderr
    };
    assert_eq!(
        none("--from 2026-01-02T00:00:10 --to 2026-01-02T00:00:50"),
        "kraken BTC/USD has no trades here: nobody traded\n"
    );
    let unknown = "kraken BTC/USD has no trades here, and whether there were any is not known\n";
    assert_eq!(none("--from 2026-01-02T00:05 --to 2026-01-02T00:06"), unknown);
    assert_eq!(none("--from 2026-01-03"), unknown);
    place.run("symbols add kraken ETH/USD").ok();
    let ran = place.run("trades kraken ETH/USD --format json").ok();
    assert_eq!(ran.stdout, "");
    assert_eq!(
        ran.stderr,
        "kraken ETH/USD has no trades here; want them with: candlewick symbols add kraken ETH/USD --trades\n"
    );
}

#[test]
fn names_that_are_not_kept_are_refused_with_the_nearest() {
    let place = eight();
    let refused = |line: &str| {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        ran.stderr
    };
    assert_eq!(
        refused("trades krakn BTC/USD"),
        "error: no symbol of exchange \"krakn\" is kept here; did you mean kraken?\n"
    );
    assert_eq!(refused("trades kraken BTC-USD"), "error: kraken \"BTC-USD\" is not kept here; did you mean BTC/USD?\n");
}

#[test]
fn gaps_tell_of_trades_what_is_missing_and_what_the_exchange_does_not_have() {
    let place = Place::new();
    place.run("symbols add kraken BTC/USD --trades --from 2026-01-02").ok();
    place.with_store(|store| async move {
        let symbol = store.symbols().await.unwrap().remove(0).id;
        let span = |from, to| Span::new(at(from), at(to));
        let change = TradesChange {
            complete_spans: vec![span(2_000, 5_000), span(7_000, 9_000)],
            unavailable: vec![(span(-9_000, 1_000), "too_old: trades".to_owned())],
            ..TradesChange::new(symbol)
        };
        store.write(&WriteBatch { trades: vec![change], ..WriteBatch::default() }).await.unwrap();
    });
    let ran = place.run("gaps kraken BTC/USD --format csv").ok();
    let of_trades: Vec<_> = ran.stdout.lines().filter(|line| line.contains(",trades,")).collect();
    assert_eq!(
        of_trades,
        [
            "kraken,BTC/USD,trades,unavailable,2026-01-02T00:00:00Z,2026-01-02T00:00:01Z,,too_old: trades,,",
            "kraken,BTC/USD,trades,missing,2026-01-02T00:00:01Z,2026-01-02T00:00:02Z,,not_fetched,,",
            "kraken,BTC/USD,trades,missing,2026-01-02T00:00:05Z,2026-01-02T00:00:07Z,,not_fetched,,",
            of_trades[3],
        ]
    );
    assert!(of_trades[3].starts_with("kraken,BTC/USD,trades,lag,2026-01-02T00:00:09Z,20"), "{}", of_trades[3]);
    let json = place.run("gaps kraken BTC/USD --format json").ok();
    let first: Value =
        serde_json::from_str(json.lines().iter().find(|line| line.contains("too_old")).unwrap()).unwrap();
    assert_eq!((&first["timeframe"], &first["buckets"]), (&Value::from("trades"), &Value::Null));
}
