//! Kraken spot: REST `/0/public` and WebSocket v2, as the venue writes them.

mod control;
mod rest;
mod stream;

pub(crate) use rest::{respond, subject};
pub(crate) use stream::KrakenSession;

use super::calendar::{Frame, MINUTE};

/// Intervals in minutes. Weeks count from the epoch, a Thursday; 21600 is 15 days.
const INTERVALS: [i64; 9] = [1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600];

fn frame_of_interval(minutes: i64) -> Option<Frame> {
    INTERVALS.contains(&minutes).then(|| Frame::every(minutes * MINUTE))
}

/// The buckets of a unified timeframe.
pub(crate) fn frame_of_timeframe(timeframe: &str) -> Option<Frame> {
    let minutes = match timeframe {
        "1m" => 1,
        "5m" => 5,
        "15m" => 15,
        "30m" => 30,
        "1h" => 60,
        "4h" => 240,
        "1d" => 1_440,
        "1w" => 10_080,
        _ => return None,
    };
    frame_of_interval(minutes)
}
