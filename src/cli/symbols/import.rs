//! Requests from a file: CSV with a header, or JSON lines. One line is one symbol.
//!
//! Every fault of the file is told, with its line; a file with a fault gives nothing.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::failure::OrUsage;
use crate::cli::listing::count;
use crate::control::wish::{BACKFILL_DAYS, Request, Wish, columns, unknown_column};

/// Reads a file's requests and checks them.
pub(super) fn read(path: &Path, now: DateTime<Utc>) -> Result<Vec<Wish>, Failure> {
    let is_stdin = path == Path::new("-");
    let mut bytes = Vec::new();
    let outcome = match is_stdin {
        true => io::stdin().lock().read_to_end(&mut bytes).map(|_| ()),
        false => fs::read(path).map(|read| bytes = read),
    };
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    outcome.with_context(|| format!("cannot read {name}")).or_usage()?;
    parse(&bytes, now).map_err(|faults| {
        let number = count(faults.len() as u64, "fault");
        let faults = faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>();
        Failure::usage(format_args!("{name} has {number}; nothing was changed{faults}"))
    })
}

/// All wishes of a text, or all its faults.
fn parse(bytes: &[u8], now: DateTime<Utc>) -> Result<Vec<Wish>, Vec<String>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        vec![format!("line {line}: not UTF-8 text")]
    })?;
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    let header = match lines.peek() {
        None => return Err(vec!["it names no symbol".to_owned()]),
        Some((line, first)) if first.starts_with('[') => {
            return Err(vec![format!("line {line}: a JSON array; write one object on each line instead")]);
        }
        Some((_, first)) if first.starts_with('{') => None,
        Some(_) => lines.next().map(|(line, header)| read_header(line, header)).transpose()?,
    };
    if header.is_some() && lines.peek().is_none() {
        return Err(vec!["it has a header and no symbol".to_owned()]);
    }
    let (mut wishes, mut faults) = (Vec::new(), Vec::new());
    for (line, text) in lines {
        let request = match &header {
            Some(header) => from_cells(header, text),
            None => from_json(text),
        };
        match request.and_then(|request| request.check(now)) {
            Ok(wish) => wishes.push(wish),
            Err(of_line) => faults.extend(of_line.into_iter().map(|fault| format!("line {line}: {fault}"))),
        }
    }
    if faults.is_empty() { Ok(wishes) } else { Err(faults) }
}

/// The cells of one line.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(line.as_bytes());
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(str::to_owned).collect()),
        Some(Err(error)) => Err(error.to_string()),
        None => Ok(Vec::new()),
    }
}

fn read_header(line: usize, text: &str) -> Result<Vec<String>, Vec<String>> {
    let at = |fault: String| format!("line {line}: {fault}");
    let header = split(text).map_err(|fault| vec![at(fault)])?;
    let header: Vec<String> = header.iter().map(|column| column.to_lowercase()).collect();
    let mut faults = Vec::new();
    for (index, column) in header.iter().enumerate() {
        if !columns().any(|known| known == column) {
            faults.push(at(unknown_column(column)));
        } else if header[..index].contains(column) {
            faults.push(at(format!("column {column} is there twice")));
        }
    }
    for needed in ["exchange", "symbol"] {
        if !header.iter().any(|column| column == needed) {
            let example = format!("exchange,symbol,timeframes,{BACKFILL_DAYS}");
            faults.push(at(format!("the header has no column {needed}; write for example {example}")));
        }
    }
    if faults.is_empty() { Ok(header) } else { Err(faults) }
}

fn from_cells(header: &[String], line: &str) -> Result<Request, Vec<String>> {
    let cells = split(line).map_err(|fault| vec![fault])?;
    if cells.len() > header.len() {
        let hint = "put timeframes that are separated by commas in quotes";
        return Err(vec![format!("{} cells under {} columns; {hint}", cells.len(), header.len())]);
    }
    gather(header.iter().map(String::as_str).zip(cells.into_iter().map(Ok)))
}

fn from_json(line: &str) -> Result<Request, Vec<String>> {
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => gather(fields.iter().map(|(key, value)| (key.as_str(), text_of(key, value)))),
        Ok(_) => Err(vec!["not a JSON object".to_owned()]),
        Err(error) => Err(vec![format!("not JSON: {error}")]),
    }
}

fn gather<'a>(fields: impl Iterator<Item = (&'a str, Result<String, String>)>) -> Result<Request, Vec<String>> {
    let (mut request, mut faults) = (Request::default(), Vec::new());
    for (column, text) in fields {
        if let Err(fault) = text.and_then(|text| request.set(column, &text)) {
            faults.push(fault);
        }
    }
    if faults.is_empty() { Ok(request) } else { Err(faults) }
}

/// A JSON value as a cell of CSV would have it.
fn text_of(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(items) => {
            let texts = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            texts.map(|texts| texts.join(",")).ok_or_else(|| format!("{key} is a list of something else than texts"))
        }
        Value::Object(_) => Err(format!("{key} is an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::registry;
    use crate::market::Timeframe;

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    /// Exchange, symbol, timeframes, start, paused.
    fn summary(text: &str) -> Vec<(String, String, Vec<Timeframe>, String, bool)> {
        let wishes = parse(text.as_bytes(), now()).unwrap();
        let one = |wish: Wish| {
            let Wish { new, is_paused, .. } = wish;
            let from = new.backfill_from.format("%F %R").to_string();
            (new.exchange, new.symbol.to_string(), new.timeframes, from, is_paused)
        };
        wishes.into_iter().map(one).collect()
    }

    fn faults(text: &str) -> Vec<String> {
        parse(text.as_bytes(), now()).unwrap_err()
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = "\u{feff}Exchange, Symbol, timeframes, backfill_days, from, state\r\n\
                   # the two of us\r\n\
                   \r\n\
                   kraken,BTC/USD,1m 1h,7,,\r\n\
                   binance,BTC/USDT,\"1m,1h\",,2026-11-01,paused\r\n\
                   yahoo,AAPL\r\n";
        let json = r#"
            {"exchange":"kraken","symbol":"BTC/USD","timeframes":["1m","1h"],"backfill_days":7}
            {"exchange":"binance","symbol":"BTC/USDT","timeframes":"1h;1m","from":"2026-11-01","state":"paused"}
            {"exchange":"yahoo","symbol":"AAPL","from":null}
        "#;
        let row = |exchange: &str, symbol: &str, timeframes: &[Timeframe], from: &str, is_paused| {
            (exchange.to_owned(), symbol.to_owned(), timeframes.to_vec(), from.to_owned(), is_paused)
        };
        let both = [Timeframe::M1, Timeframe::H1];
        let expected = vec![
            row("kraken", "BTC/USD", &both, "2026-11-13 12:00", false),
            row("binance", "BTC/USDT", &both, "2026-11-01 00:00", true),
            row("yahoo", "AAPL", &[Timeframe::M1], "2026-11-19 12:00", false),
        ];
        assert_eq!(summary(csv), expected);
        assert_eq!(summary(json), expected);
    }

    #[test]
    fn every_fault_of_a_file_is_told_with_its_line() {
        let csv = "exchange,symbol,timeframes,backfill_days\n\
                   kraken,BTC/USD,1m,1\n\
                   \n\
                   krakn,BTC/USD,1m,1\n\
                   kraken,BTC-USD,3m,x\n\
                   kraken,BTC/USD,1m,1h,1\n";
        assert_eq!(
            faults(csv),
            [
                &format!("line 4: unknown exchange \"krakn\"; did you mean kraken? valid: {}", registry::ids()),
                "line 5: symbol \"BTC-USD\" is no pair; Kraken has markets like BTC/USD. did you mean BTC/USD?",
                "line 5: kraken has no candles of 3m; valid: 1m 5m 15m 30m 1h 4h 1d 1w",
                "line 5: backfill days \"x\" is no whole number of days, 0 or more",
                "line 6: 5 cells under 4 columns; put timeframes that are separated by commas in quotes",
            ]
        );
        let json = "{\"exchange\":\"kraken\",\"symbol\":\"BTC/USD\",\"timeframe\":\"1m\",\"trades\":\"maybe\"}\n{\"exchange\"\n[1]\n";
        let told = faults(json);
        assert_eq!(told[0], "line 1: unknown column \"timeframe\", did you mean timeframes?");
        assert_eq!(told[1], "line 1: trades \"maybe\" is neither true nor false");
        assert!(told[2].starts_with("line 2: not JSON: EOF"), "{}", told[2]);
        assert_eq!(told[3..], ["line 3: not a JSON object"]);
    }

    #[test]
    fn files_without_symbols_or_with_a_bad_header_are_refused() {
        assert_eq!(faults(""), ["it names no symbol"]);
        assert_eq!(faults("exchange,symbol\n"), ["it has a header and no symbol"]);
        assert_eq!(faults("[{}]"), ["line 1: a JSON array; write one object on each line instead"]);
        assert_eq!(
            faults("exchange,timeframe,exchange\nkraken,1m,kraken\n"),
            [
                "line 1: unknown column \"timeframe\", did you mean timeframes?",
                "line 1: column exchange is there twice",
                "line 1: the header has no column symbol; write for example exchange,symbol,timeframes,backfill_days",
            ]
        );
        let bytes = b"exchange,symbol\nkraken,\xff\n";
        assert_eq!(parse(bytes, now()).unwrap_err(), ["line 2: not UTF-8 text"]);
    }
}
