//! What the simulator needs of each venue it plays, and the one list of those it can play.
//!
//! A venue's half is a folder: its listings, its REST answers, its sockets, its printed truth. It is
//! added by one row in [`HALVES`].

use std::sync::Arc;

use crate::market::Symbol;

use super::calendar::{Frame, Hours};
use super::decimal::{AMOUNT_DECIMALS, fixed};
use super::http::{SimReply, SimRequest, Target};
use super::limits::Window;
use super::listing::{Listing, Venue};
use super::market::{Bucket, Market};
use super::socket::Session;
use super::tape::Tick;
use super::world::World;
use super::{binance, binanceusdm, bitfinex, bitmex, bybit, coinbase, hyperliquid, kraken, okx, yahoo};

/// All venues, in the order they are listed to users.
pub(crate) static HALVES: &[&dyn Half] = &[
    &kraken::Half,
    &binance::SPOT,
    &yahoo::Half,
    &coinbase::Half,
    &binanceusdm::USD_M,
    &bybit::Half,
    &hyperliquid::Half,
    &bitfinex::Half,
    &okx::Half,
    &bitmex::Half,
];

/// What a request is about, for faults and counters.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    /// `OHLC`, `klines`, `chart` ...
    pub(crate) endpoint: String,
    /// The market, where the request names one.
    pub(crate) symbol: Option<Symbol>,
    /// The candle interval, in the venue's words.
    pub(crate) interval: Option<String>,
}

/// A final candle as its venue prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Printed {
    /// Open, high, low, close.
    pub(crate) prices: [String; 4],
    pub(crate) volume: String,
    /// Where the venue tells it.
    pub(crate) trades: Option<u64>,
}

impl Printed {
    /// Exact prices and base volume, as most venues print them.
    pub(crate) fn exact(market: &Market, bucket: &Bucket) -> Printed {
        let bar = &bucket.bar;
        let price = |value: i64| fixed(value, market.price_scale, market.price_scale).to_string();
        Printed {
            prices: [bar.open, bar.high, bar.low, bar.close].map(price),
            volume: fixed(bar.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS).to_string(),
            trades: Some(bar.trades),
        }
    }
}

/// One venue's half of the simulator.
pub(crate) trait Half: Sync {
    /// Its name, which is also the first segment of its paths.
    fn venue(&self) -> Venue;

    /// The market at a rank of its list, while real names last.
    fn listing(&self, rank: usize) -> Option<Listing>;

    /// The made-up market of a rank beyond them; its base is `SIM{rank}`.
    fn made_up(&self, rank: usize) -> Listing;

    /// The market of a symbol that the list does not hold.
    fn invented(&self, symbol: &Symbol) -> Listing;

    /// The buckets of a unified timeframe; `None` where the venue has no candles of it.
    fn frame(&self, hours: Hours, timeframe: &str) -> Option<Frame>;

    /// What a request is about. The target's path has lost the venue's name.
    fn subject(&self, world: &World, request: &SimRequest, target: &Target) -> Subject;

    /// Answers a request, limits included.
    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply;

    /// The session behind a socket address; `None`: there is no such address.
    fn open(&self, _world: &Arc<World>, _path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        None
    }

    /// How many sockets an address may open, where there is such a limit.
    fn connects(&self) -> Option<Window> {
        None
    }

    /// A final candle; `None` where the venue prints no row for it.
    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        Some(Printed::exact(market, bucket))
    }

    /// Digits of a second in the time of a trade.
    fn trade_time_digits(&self) -> usize {
        3
    }

    /// The id of a trade as the venue prints it.
    fn trade_id(&self, _market: &Market, tick: &Tick) -> String {
        tick.id.to_string()
    }

    /// The id of the aggregated trade a trade is told in, where the venue aggregates.
    fn aggregate_id(&self, _tick: &Tick) -> Option<u64> {
        None
    }

    /// True where sockets stay reachable in maintenance, because the venue announces it there.
    fn announces_maintenance(&self) -> bool {
        false
    }

    /// True where a replayed market is listed too.
    fn replays(&self) -> bool {
        true
    }
}
