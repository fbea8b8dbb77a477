//! What README.md says about exchanges and embedding is what the program says.

use std::process::Command;

use serde::Deserialize;

const README: &str = include_str!("../README.md");
const LIBRARY: &str = include_str!("../src/lib.rs");

/// A line of `candlewick exchanges --format json`.
#[derive(Deserialize)]
struct Venue {
    id: String,
    name: String,
    candle_stream: Option<String>,
    trade_stream: bool,
    timeframes: Vec<String>,
    page_rows: u32,
    depth: String,
    quiet: String,
    limits: Vec<String>,
}

#[test]
fn the_table_of_exchanges_is_what_the_command_prints() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_candlewick")).args(["exchanges", "--format", "json"]).output().unwrap();
    assert!(output.status.success());
    let mut rows = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let venue: Venue = serde_json::from_str(line).unwrap();
        let otherwise = if venue.trade_stream { "from trades" } else { "polling" };
        let live = venue.candle_stream.map_or(otherwise.to_owned(), |stream| format!("stream, {stream}"));
        let row = format!(
            "| `{}` | {} | {live} | {} | {} | {} | {} | {} |",
            venue.id,
            venue.name,
            venue.timeframes.join(" "),
            venue.depth,
            venue.page_rows,
            venue.quiet,
            venue.limits.join(", ")
        );
        assert!(README.lines().any(|line| line == row), "README.md lacks this row:\n{row}");
        rows += 1;
    }
    assert_eq!(README.lines().filter(|line| line.starts_with("| `")).count(), rows);
}

#[test]
fn the_code_for_embedding_is_the_documented_one() {
    let code = |text: &str, fence: &str| {
        let (_, rest) = text.split_once(fence).expect("the code begins");
        rest.split_once("```").expect("the code ends").0.trim().to_owned()
    };
    let documented: Vec<_> = LIBRARY.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let documented =
        documented.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n");
    assert_eq!(code(README, "```rust\n"), code(&documented, "```no_run\n"));
}
