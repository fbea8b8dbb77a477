use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn outcome(arguments: &str, input: &str) -> (String, Result<(AggregateStats, Option<u64>), Failure>) {
    let args = Command::try_parse_from(std::iter::once("aggregate").chain(arguments.split_whitespace())).unwrap().args;
    let mut out = Vec::new();
    let result = stream(&args, &mut input.as_bytes(), &mut out);
    (String::from_utf8(out).unwrap(), result)
}

fn printed(arguments: &str, input: &str) -> String {
    let (out, result) = outcome(arguments, input);
    result.unwrap();
    out
}

/// The words of a failure with exit code 1.
fn fault(arguments: &str, input: &str) -> String {
    match outcome(arguments, input).1 {
        Err(Failure::Failed(error)) => format!("{error:#}"),
        other => panic!("{other:?}"),
    }
}

const CSV: &str = "time,price,amount,id,side
1762795433971,105433.6,0.00027625,10218208,buy
1762795457846,105410.10,0.00005,10218209,buy
2025-11-10T17:24:33.937344Z,105383.8,0.1,10218210,sell
1762795473937,105383.9,0.2,10218211,
1762795513937,105383.7,0.00007235,10218212,sell
";

const MINUTES: &str = r#"{"kind":"candle","timeframe":"1m","open_time":"2025-11-10T17:23:00Z","open":105433.6,"high":105433.6,"low":105433.6,"close":105433.6,"volume":0.00027625,"quote_volume":29.126032,"trades":1,"final":false}
{"kind":"candle","timeframe":"1m","open_time":"2025-11-10T17:24:00Z","open":105410.1,"high":105410.1,"low":105383.8,"close":105383.8,"volume":0.30005,"quote_volume":31620.430505,"trades":3,"final":true}
{"kind":"candle","timeframe":"1m","open_time":"2025-11-10T17:25:00Z","open":105383.7,"high":105383.7,"low":105383.7,"close":105383.7,"volume":0.00007235,"quote_volume":7.624510695,"trades":1,"final":false}
"#;

#[test]
fn a_csv_of_trades_becomes_candle_lines_with_exact_sums() {
    assert_eq!(printed("-t 1m", CSV), MINUTES);
}

#[test]
fn columns_are_found_by_name_and_others_ignored() {
    let csv = "\u{feff}\n side ,Amount,note,ID,price,time\nbuy,0.5,x,7,10,1762795440000\nsell,0.25,\"a,b\",8,11.50,1762795441000\n";
    assert_eq!(
        printed("-t 5m", csv),
        "{\"kind\":\"candle\",\"timeframe\":\"5m\",\"open_time\":\"2025-11-10T17:20:00Z\",\"open\":10.0,\"high\":11.5,\"low\":10.0,\"close\":11.5,\"volume\":0.75,\"quote_volume\":7.875,\"trades\":2,\"final\":false}\n"
    );
}

#[test]
fn several_timeframes_come_from_one_pass() {
    for arguments in ["-t 1m,1h", "-t 1h -t 1m"] {
        let out = printed(arguments, CSV);
        assert_eq!(out.lines().count(), 4);
        assert!(out.starts_with(MINUTES), "{out}");
        let hour = out.lines().last().unwrap();
        assert!(hour.contains(r#""timeframe":"1h""#) && hour.contains(r#""volume":0.3003986"#), "{hour}");
    }
}

#[test]
fn lines_of_decode_are_read_with_their_market() {
    let lines = r#"{"kind":"heartbeat","exchange":"kraken"}
{"kind":"trade","exchange":"kraken","symbol":"BTC/USDT","id":"10218208","time":"2025-11-10T17:23:53.971744Z","price":105433.6,"amount":0.00027625,"side":"buy"}

{"kind":"trade","exchange":"kraken","symbol":"BTC/USDT","id":"10218208","time":"2025-11-10T17:23:53.971744Z","price":105433.6,"amount":0.00027625,"side":"buy"}
"#;
    let (out, result) = outcome("-t 1m", lines);
    assert_eq!(
        out,
        "{\"kind\":\"candle\",\"exchange\":\"kraken\",\"symbol\":\"BTC/USDT\",\"timeframe\":\"1m\",\"open_time\":\"2025-11-10T17:23:00Z\",\"open\":105433.6,\"high\":105433.6,\"low\":105433.6,\"close\":105433.6,\"volume\":0.00027625,\"quote_volume\":29.126032,\"trades\":1,\"final\":false}\n"
    );
    assert_eq!(
        result.unwrap().0,
        AggregateStats { trades: 1, duplicates: 1, late: 0, out_of_order: 0, corrections: 0 }
    );
    let other = format!("{lines}{}", lines.lines().nth(1).unwrap().replace("BTC", "ETH"));
    assert_eq!(
        fault("-t 1m", &other),
        "line 5: a trade of kraken ETH/USDT among those of kraken BTC/USDT; give one market at a time"
    );
}

#[test]
fn what_cannot_be_read_is_named_by_line_and_column() {
    let header = "time,price,amount,id,side\n";
    let good = "1762795440000,10,1,1,buy\n";
    let cases = [
        ("1762795440,x,1,2,buy", "line 3, column price: found \"x\", wanted a decimal number of at most 28 digits"),
        (
            "1762795440000,1_0,1,2,buy",
            "line 3, column price: found \"1_0\", wanted a decimal number of at most 28 digits",
        ),
        (
            "1762795440000000,1,1,2,buy",
            "line 3, column time: found \"1762795440000000\", wanted Unix milliseconds (13 digits today) or RFC 3339 (2025-11-10T17:24:00.5Z)",
        ),
        (
            "1762795440000,1,-1,2,buy",
            "line 3, column amount: found \"-1\", wanted a size that is not negative (the direction is told by side)",
        ),
        ("1762795440000,1,1,,buy", "line 3, column id: found nothing, wanted the exchange's id of the trade"),
        ("1762795440000,1,1,2,b", "line 3, column side: found \"b\", wanted buy, sell or nothing"),
        ("1762795440000,1", "line 3, column id: found nothing, wanted the exchange's id of the trade"),
    ];
    let mut checked = 0;
    for (row, words) in cases {
        assert_eq!(fault("-t 1m", &format!("{header}{good}{row}\n")), words);
        checked += 1;
    }
    assert_eq!(checked, 7);
    assert_eq!(
        fault("-t 1m", "\n1762795440000,10,1,1,buy\n"),
        "line 2: no column time; the header must name time, price and amount, and may name id, last_id and side: \
         time,price,amount,id,side"
    );
    assert_eq!(
        fault("-t 1m", "{\"kind\":\"trade\",\"time\":\"2025-11-10T17:23:53Z\",\"price\":\"1\"}"),
        "line 1, column amount: found nothing, wanted a decimal number of at most 28 digits"
    );
    assert!(fault("-t 1m", "{\"error\":[]}").starts_with("line 1: not an object as `candlewick decode` prints it: "));
    assert_eq!(
        fault("-t 1m", "{\"kind\":\"error\",\"message\":\"EQuery:Unknown asset pair\"}"),
        "line 1: the input is an error: EQuery:Unknown asset pair"
    );
}

#[test]
fn the_candles_before_a_bad_line_are_printed_and_nothing_after_it() {
    let (out, result) = outcome("-t 1m --lateness 0s", &format!("{CSV}rubbish\n1762799999999,1,1,9,buy\n"));
    assert_eq!(out, MINUTES.lines().take(2).map(|line| format!("{line}\n")).collect::<String>());
    assert!(matches!(result, Err(Failure::Failed(_))), "{result:?}");
}

#[test]
fn disorder_within_the_lateness_changes_nothing_and_beyond_it_is_reported() {
    let mut lines = CSV.lines().collect::<Vec<_>>();
    lines.swap(1, 5);
    let disordered = lines.join("\n");
    assert_eq!(printed("-t 1m --lateness 90s", &disordered), MINUTES);
    let (_, result) = outcome("-t 1m --lateness 10s", &disordered);
    let (stats, first_late) = result.unwrap();
    assert_eq!((stats.trades, stats.late, first_late), (1, 4, Some(3)));
}

#[test]
fn input_without_trades_prints_nothing() {
    for input in ["", " \n\n", "time,price,amount\n"] {
        assert_eq!(printed("-t 1m", input), "", "{input:?}");
    }
}

#[test]
fn rows_without_ids_all_count() {
    let csv = "time,price,amount\n1762795440000,10,1\n1762795440000,10,1\n1762795440000,9,1\n";
    let out = printed("-t 1m", csv);
    assert!(out.contains(r#""close":9.0,"volume":3.0,"quote_volume":29.0,"trades":3,"#), "{out}");
}

#[test]
fn weeks_open_on_the_chosen_day() {
    let open = |arguments: &str| {
        let out = printed(arguments, CSV);
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["open_time"].clone()
    };
    assert_eq!(open("-t 1w"), "2025-11-10T00:00:00Z");
    assert_eq!(open("-t 1w --week-start thursday"), "2025-11-06T00:00:00Z");
}
