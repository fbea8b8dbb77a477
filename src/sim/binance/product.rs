//! What tells Binance's products apart: addresses, limits, page sizes, digits.

use super::super::calendar::{DAY, Frame, HOUR, MINUTE};
use super::super::http::Target;
use super::super::listing::Venue;
use super::super::tape::SECOND_NS;

/// A product of Binance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Spot,
    UsdMFutures,
}

impl Product {
    pub(crate) fn venue(self) -> Venue {
        match self {
            Product::Spot => Venue::BINANCE,
            Product::UsdMFutures => Venue::BINANCEUSDM,
        }
    }

    /// Where its REST calls begin.
    pub(super) fn root(self) -> &'static str {
        match self {
            Product::Spot => "/api/v3/",
            Product::UsdMFutures => "/fapi/v1/",
        }
    }

    /// Weight per minute, as its `exchangeInfo` says.
    pub(super) fn capacity(self) -> u64 {
        match self {
            Product::Spot => 6_000,
            Product::UsdMFutures => 2_400,
        }
    }

    /// What a call weighs.
    pub(super) fn weight(self, endpoint: &str, target: &Target) -> u64 {
        let one = target.get("symbol").is_some();
        let limit = target.get("limit").and_then(|limit| limit.parse::<u64>().ok()).unwrap_or(500);
        match (self, endpoint) {
            (Product::Spot, "exchangeInfo") => 20,
            (Product::Spot, "klines" | "uiKlines") => 2,
            (Product::Spot, "aggTrades") => 4,
            (Product::Spot, "trades" | "historicalTrades") => 25,
            (Product::Spot, "ticker/24hr") => match named(target) {
                1..=20 => 2,
                21..=100 => 40,
                _ => 80,
            },
            (Product::Spot, "ticker/price" | "ticker/bookTicker") => [4, 2][usize::from(one)],
            (Product::UsdMFutures, "klines") => match limit {
                ..100 => 1,
                100..500 => 2,
                500..=1_000 => 5,
                _ => 10,
            },
            (Product::UsdMFutures, "aggTrades" | "historicalTrades") => 20,
            (Product::UsdMFutures, "trades") => 5,
            (Product::UsdMFutures, "ticker/24hr") => [40, 1][usize::from(one)],
            (Product::UsdMFutures, "ticker/price") => [2, 1][usize::from(one)],
            (Product::UsdMFutures, "ticker/bookTicker") => [5, 2][usize::from(one)],
            _ => 1,
        }
    }

    /// Most rows of a page.
    pub(super) fn most_rows(self, endpoint: &str) -> i64 {
        if self == Product::UsdMFutures && endpoint == "klines" { 1_500 } else { 1_000 }
    }

    /// Digits of a price: spot prints eight, futures what the contract has.
    pub(super) fn price_digits(self, decimals: u32) -> u32 {
        match self {
            Product::Spot => 8,
            Product::UsdMFutures => decimals,
        }
    }

    /// How often the server pings, and how long it waits for the answer.
    pub(super) fn pings_ns(self) -> (i64, i64) {
        match self {
            Product::Spot => (20 * SECOND_NS, 60 * SECOND_NS),
            Product::UsdMFutures => (180 * SECOND_NS, 600 * SECOND_NS),
        }
    }

    /// Frames a second a client may send, its pongs included.
    pub(super) fn messages_per_second(self) -> usize {
        match self {
            Product::Spot => 5,
            Product::UsdMFutures => 10,
        }
    }

    /// What changed in a bucket is pushed on multiples of this.
    pub(super) fn kline_beat_ns(self, interval: &str) -> i64 {
        match (self, interval) {
            (Product::Spot, "1s") => SECOND_NS,
            (Product::Spot, _) => 2 * SECOND_NS,
            (Product::UsdMFutures, _) => SECOND_NS / 4,
        }
    }

    /// Which streams an address carries, and the rest of it; `None`: there is no such address.
    pub(super) fn route(self, path: &str) -> Option<(Route, &str)> {
        if self == Product::Spot {
            return Some((Route { candles_and_orders: true, trades: true }, path));
        }
        // Addresses without a route were retired: they answer, and carry no trade and no candle.
        let (market, public) = (path.strip_prefix("/market"), path.strip_prefix("/public"));
        let route = Route { candles_and_orders: market.is_some(), trades: public.is_some() };
        Some((route, market.or(public).unwrap_or(path)))
    }

    /// The buckets of an interval; the texts are case-sensitive.
    pub(crate) fn frame(self, interval: &str) -> Option<Frame> {
        Some(match interval {
            "1s" if self == Product::Spot => Frame::every(1),
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
}

/// Kinds of streams an address carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    /// `kline_<interval>` and `aggTrade`.
    pub(super) candles_and_orders: bool,
    /// `trade`.
    pub(super) trades: bool,
}

/// How many markets a call names; many, when it names none.
fn named(target: &Target) -> usize {
    let list = || serde_json::from_str::<Vec<String>>(target.get("symbols")?).ok().map(|names| names.len());
    if target.get("symbol").is_some() { 1 } else { list().unwrap_or(usize::MAX) }
}
