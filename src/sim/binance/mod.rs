//! Binance spot: REST `/api/v3` and the raw and combined streams, as the venue writes them.

mod rest;
mod stream;

pub(crate) use rest::{respond, subject};
pub(crate) use stream::BinanceSession;

use super::calendar::{DAY, Frame, HOUR, MINUTE};

/// The buckets of an interval; the texts are case-sensitive.
pub(crate) fn frame(interval: &str) -> Option<Frame> {
    Some(match interval {
        "1s" => Frame::every(1),
        "1m" => Frame::every(MINUTE),
        "3m" => Frame::every(3 * MINUTE),
        "5m" => Frame::every(5 * MINUTE),
        "15m" => Frame::every(15 * MINUTE),
        "30m" => Frame::every(30 * MINUTE),
        "1h" => Frame::every(HOUR),
        "2h" => Frame::every(2 * HOUR),
        "4h" => Frame::every(4 * HOUR),
        "6h" => Frame::every(6 * HOUR),
        "8h" => Frame::every(8 * HOUR),
        "12h" => Frame::every(12 * HOUR),
        "1d" => Frame::every(DAY),
        "3d" => Frame::every(3 * DAY),
        "1w" => Frame::MONDAYS,
        "1M" => Frame::Month,
        _ => return None,
    })
}
