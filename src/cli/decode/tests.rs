use clap::Parser;

use super::*;

const OHLC: &str = include_str!("../../../tests/fixtures/kraken/ohlc.json");
const TRADES: &str = include_str!("../../../tests/fixtures/kraken/trades.json");
const ASSET_PAIRS: &str = include_str!("../../../tests/fixtures/kraken/asset_pairs.json");
const UNKNOWN_PAIR: &str = include_str!("../../../tests/fixtures/kraken/unknown_pair.json");
const STATUS: &str = include_str!("../../../tests/fixtures/kraken/status.jsonl");
const ANSWERS: &str = include_str!("../../../tests/fixtures/kraken/answers.jsonl");
const FRAMES: &str = include_str!("../../../tests/fixtures/kraken/ohlc.jsonl");

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// What a command line prints for an input, and how it ends.
fn decode(line: &str, input: &[u8]) -> (String, Result<(), Failure>) {
    let args = Line::try_parse_from(["decode"].into_iter().chain(line.split_whitespace())).unwrap().args;
    let mut out = Vec::new();
    let outcome = Decoder::new(&args).and_then(|decoder| decoder.decode(&mut &input[..], &mut out));
    (String::from_utf8(out).unwrap(), outcome)
}

fn printed(line: &str, input: &str) -> String {
    let (out, outcome) = decode(line, input.as_bytes());
    outcome.unwrap();
    out
}

fn usage_fault(line: &str) -> String {
    match decode(line, b"") {
        (out, Err(Failure::Usage(error))) if out.is_empty() => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn candles_are_final_when_the_request_left_after_close_and_settle() {
    let first = r#"{"kind":"candle","exchange":"kraken","symbol":"BTC/USD","timeframe":"1m","open_time":"2026-11-20T13:59:00Z","open":91204.1,"high":91230.0,"low":91190.3,"close":91215.6,"volume":1.48230017,"trades":37,"vwap":91211.87,"final":"#;
    let second = r#"{"kind":"candle","exchange":"kraken","symbol":"BTC/USD","timeframe":"1m","open_time":"2026-11-20T14:00:00Z","open":91215.6,"high":91215.6,"low":91215.6,"close":91215.6,"volume":0.0,"trades":0,"final":"#;
    let at = |now: &str| printed(&format!("--exchange kraken --kind candles --symbol BTC/USD --now {now}"), OHLC);
    assert_eq!(at("2026-11-20T14:00:01.999Z"), format!("{first}false}}\n{second}false}}\n"));
    assert_eq!(at("2026-11-20T14:00:02Z"), format!("{first}true}}\n{second}false}}\n"));
    assert_eq!(at("1795183262"), format!("{first}true}}\n{second}true}}\n"));
}

#[test]
fn trades_and_instruments_are_printed_one_per_line() {
    assert_eq!(
        printed("--exchange kraken --kind trades --symbol BTC/USD", TRADES),
        concat!(
            r#"{"kind":"trade","exchange":"kraken","symbol":"BTC/USD","id":"90215501","time":"2026-11-20T14:00:01.334521Z","price":91215.6,"amount":0.0041,"side":"buy"}"#,
            "\n",
            r#"{"kind":"trade","exchange":"kraken","symbol":"BTC/USD","id":"90215502","time":"2026-11-20T14:00:02.908100Z","price":91215.5,"amount":0.12,"side":"sell"}"#,
            "\n"
        )
    );
    assert_eq!(
        printed("--exchange kraken --kind instruments", ASSET_PAIRS),
        concat!(
            r#"{"kind":"instrument","exchange":"kraken","symbol":"BTC/USD","rest_id":"XXBTZUSD","stream_id":"BTC/USD","is_trading":true}"#,
            "\n",
            r#"{"kind":"instrument","exchange":"kraken","symbol":"DOGE/USD","rest_id":"XDGUSD","stream_id":"DOGE/USD","is_trading":false}"#,
            "\n"
        )
    );
    assert_eq!(printed("--exchange kraken --kind trades --symbol BTC/USD", r#"{"error":[],"result":{"X":[]}}"#), "");
}

#[test]
fn a_venue_error_is_a_line_and_a_failure() {
    let (out, outcome) = decode("--exchange kraken --kind candles --symbol FOO/BAR", UNKNOWN_PAIR.as_bytes());
    assert_eq!(
        out,
        "{\"kind\":\"error\",\"exchange\":\"kraken\",\"symbol\":\"FOO/BAR\",\"error_type\":\"unknown_symbol\",\"error\":\"EQuery:Unknown asset pair\"}\n"
    );
    let Err(Failure::Failed(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        error.to_string(),
        "Kraken: unknown symbol: EQuery:Unknown asset pair (check the market's name in the venue's list of instruments)"
    );
}

#[test]
fn stream_frames_become_events_and_a_broken_one_does_not_end_the_reading() {
    let input =
        [STATUS.as_bytes(), b"\n\xff\n", ANSWERS.as_bytes(), b"{\"channel\":\"heartbeat\"}\r\n", FRAMES.as_bytes()]
            .concat();
    let (out, outcome) = decode("--exchange kraken --kind stream", &input);
    outcome.unwrap();
    let lines = out.lines().collect::<Vec<_>>();
    assert_eq!(lines[0], r#"{"kind":"status","exchange":"kraken","is_up":true,"message":"online"}"#);
    assert_eq!(
        lines[2],
        r#"{"kind":"error","exchange":"kraken","error_type":"malformed_reply","error":"frame is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"}"#
    );
    assert_eq!(
        lines[3],
        r#"{"kind":"subscribed","exchange":"kraken","symbol":"BTC/USD","request_id":11,"time":"2026-11-20T14:00:00.100377Z"}"#
    );
    assert_eq!(
        lines[6],
        r#"{"kind":"rejected","exchange":"kraken","request_id":14,"error_type":"bad_request","error":"Already subscribed to one ohlc interval on this symbol"}"#
    );
    assert_eq!(lines[10], r#"{"kind":"heartbeat","exchange":"kraken"}"#);
    assert_eq!(
        lines[13],
        r#"{"kind":"candle","exchange":"kraken","symbol":"BTC/USD","timeframe":"1m","open_time":"2026-11-20T14:00:00Z","open":91215.6,"high":91240.0,"low":91215.5,"close":91233.9,"volume":0.61350021,"trades":9,"vwap":91229.41,"final":false}"#
    );
    assert_eq!(lines.len(), 14);
    let renamed = printed("--exchange kraken --kind stream --symbol X/Y", FRAMES);
    assert_eq!(renamed.matches(r#""symbol":"X/Y""#).count(), 3);
}

#[test]
fn faults_of_usage_name_the_choices_before_anything_is_read() {
    let unknown = usage_fault("--exchange krakn --kind stream");
    assert!(unknown.starts_with("unknown exchange \"krakn\"; did you mean kraken? valid: "), "{unknown}");
    assert_eq!(
        usage_fault("--exchange kraken --kind candles -t 3m --symbol BTC/USD"),
        "kraken has no 3m candles; it has 1m 5m 15m 30m 1h 4h 1d 1w"
    );
    assert_eq!(
        usage_fault("--exchange kraken --kind trades"),
        "a REST body does not say its market: add --symbol, for example --symbol BTC/USD"
    );
}

#[test]
fn a_closed_stdout_ends_the_command_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let args = Line::try_parse_from(["decode", "--exchange", "kraken", "--kind", "stream"]).unwrap().args;
    let outcome = Decoder::new(&args).unwrap().decode(&mut FRAMES.as_bytes(), &mut Closed);
    assert!(matches!(outcome, Err(Failure::ReaderGone)), "{outcome:?}");
}
