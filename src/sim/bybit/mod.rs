//! Bybit v5: REST `/v5/market` and the public streams of its categories, as the venue writes them.

mod listing;
mod rest;
mod stream;

use std::sync::Arc;

use crate::market::Symbol;

use super::bar::Bar;
use super::calendar::{DAY, Frame, Hours, MINUTE};
use super::decimal::{AMOUNT_DECIMALS, Fixed, Shortest, fixed, rescale};
use super::half::{Printed, Subject};
use super::http::{SimReply, SimRequest, Target};
use super::limits::Window;
use super::listing::{Listing, Venue};
use super::market::{Bucket, Market};
use super::socket::Session;
use super::tape::Tick;
use super::world::World;

impl Venue {
    /// Bybit.
    pub const BYBIT: Venue = Venue::named("bybit");
}

/// See the module.
pub(crate) struct Half;

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        Venue::BYBIT
    }

    fn listing(&self, rank: usize) -> Option<Listing> {
        listing::listing(rank)
    }

    fn made_up(&self, rank: usize) -> Listing {
        listing::made_up(rank)
    }

    fn invented(&self, symbol: &Symbol) -> Listing {
        listing::invented(symbol)
    }

    fn frame(&self, _hours: Hours, timeframe: &str) -> Option<Frame> {
        let interval = match timeframe {
            "1m" => "1",
            "3m" => "3",
            "5m" => "5",
            "15m" => "15",
            "30m" => "30",
            "1h" => "60",
            "2h" => "120",
            "4h" => "240",
            "6h" => "360",
            "12h" => "720",
            "1d" => "D",
            "1w" => "W",
            "1M" => "M",
            _ => return None,
        };
        frame_of_interval(interval)
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        rest::subject(world, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, _target: &Target) -> Option<Box<dyn Session>> {
        let category = Category::named(path.strip_prefix("/v5/public/")?)?;
        Some(Box::new(stream::BybitSession::new(world.clone(), category)))
    }

    fn connects(&self) -> Option<Window> {
        Some(Window { most: 500, window_s: 300, block_s: 0 })
    }

    /// The number of trades is told nowhere.
    fn trade_id(&self, market: &Market, tick: &Tick) -> String {
        let categories = [Category::Spot, Category::Linear, Category::Inverse];
        let category = categories.into_iter().find(|category| category.has(market));
        category.map_or_else(|| tick.id.to_string(), |category| category.trade_id(tick))
    }

    fn printed(&self, market: &Market, bucket: &Bucket) -> Option<Printed> {
        Some(Printed { trades: None, ..Printed::exact(market, bucket) })
    }
}

/// Intervals in minutes, and longer ones by letter. Weeks open on Monday.
fn frame_of_interval(interval: &str) -> Option<Frame> {
    Some(match interval {
        "1" | "3" | "5" | "15" | "30" | "60" | "120" | "240" | "360" | "720" => {
            Frame::every(interval.parse::<i64>().ok()? * MINUTE)
        }
        "D" => Frame::every(DAY),
        "W" => Frame::MONDAYS,
        "M" => Frame::Month,
        _ => return None,
    })
}

/// A kind of markets. The same name is another market in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Category {
    Spot,
    Linear,
    Inverse,
}

impl Category {
    pub(super) fn named(word: &str) -> Option<Category> {
        match word {
            "spot" => Some(Category::Spot),
            "linear" => Some(Category::Linear),
            "inverse" => Some(Category::Inverse),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Category::Spot => "spot",
            Category::Linear => "linear",
            Category::Inverse => "inverse",
        }
    }

    /// The id of a market in the simulator's list, where names must be unique.
    pub(super) fn id(self, name: &str) -> String {
        format!("{}/{name}", self.as_str())
    }

    pub(super) fn has(self, market: &Market) -> bool {
        market.listing.id.starts_with(self.as_str())
    }

    /// A listed market by the venue's name.
    pub(super) fn find<'a>(self, world: &'a World, name: &str) -> Option<&'a Arc<Market>> {
        let id = self.id(name);
        world.market(Venue::BYBIT, &id).filter(|market| market.listing.id == id)
    }

    /// Volume and turnover of a bar: an inverse contract is a dollar, and turns over coins.
    pub(super) fn sums(self, market: &Market, bar: &Bar) -> (String, String) {
        let base = Shortest(fixed(bar.volume, AMOUNT_DECIMALS, AMOUNT_DECIMALS)).to_string();
        match self {
            Category::Inverse => (fixed(bar.quote, market.quote_scale(), 0).to_string(), base),
            _ => (base, Shortest(fixed(bar.quote, market.quote_scale(), 8)).to_string()),
        }
    }

    /// The size of a trade: coins, or whole contracts of a dollar.
    pub(super) fn size(self, market: &Market, tick: &Tick) -> String {
        match self {
            Category::Inverse => {
                let quote = i128::from(tick.price) * i128::from(tick.amount);
                rescale(quote, market.quote_scale(), 0).max(1).to_string()
            }
            _ => Shortest(fixed(tick.amount, AMOUNT_DECIMALS, AMOUNT_DECIMALS)).to_string(),
        }
    }

    /// The id of a trade: a number on the spot market, a UUID elsewhere.
    pub(super) fn trade_id(self, tick: &Tick) -> String {
        match self {
            Category::Spot => (FIRST_SPOT_ID + tick.id).to_string(),
            _ => {
                let dice = super::dice::mix(tick.id);
                let (high, low) = (dice >> 32, dice & 0xffff);
                format!("{high:08x}-{low:04x}-5{:03x}-9{:03x}-{:012x}", dice >> 16 & 0xfff, dice >> 28 & 0xfff, tick.id)
            }
        }
    }
}

/// Spot ids have nineteen digits.
const FIRST_SPOT_ID: u64 = 2_290_000_000_000_000_000;

/// The venue's own name of a market.
pub(super) fn name(market: &Market) -> &str {
    market.listing.id.split_once('/').map_or(&market.listing.id, |(_, name)| name)
}

/// A price as the venue prints it.
pub(super) fn price(market: &Market, value: i64) -> Fixed {
    fixed(value, market.price_scale, market.price_scale)
}
