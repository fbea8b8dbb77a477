//! Binance as it writes: REST, and the raw and combined streams, of spot and of futures. The half of
//! the spot market is here, the other product's has its own folder.

mod listing;
mod lists;
mod product;
mod rest;
mod stream;

use std::sync::Arc;

use crate::market::Symbol;

use super::calendar::{Frame, Hours};
use super::half::Subject;
use super::http::{SimReply, SimRequest, Target};
use super::limits::Window;
use super::listing::{Listing, Venue};
use super::socket::Session;
use super::tape::Tick;
use super::world::World;

pub(super) use product::Product;

impl Venue {
    /// Binance spot.
    pub const BINANCE: Venue = Venue::named("binance");
}

/// Where a product's markets come from.
pub(super) struct Half {
    pub(super) product: Product,
    pub(super) listing: fn(usize) -> Option<Listing>,
    pub(super) made_up: fn(usize) -> Listing,
    pub(super) invented: fn(&Symbol) -> Listing,
}

/// The spot market.
pub(super) static SPOT: Half =
    Half { product: Product::Spot, listing: listing::listing, made_up: listing::made_up, invented: listing::invented };

impl super::half::Half for Half {
    fn venue(&self) -> Venue {
        self.product.venue()
    }

    fn listing(&self, rank: usize) -> Option<Listing> {
        (self.listing)(rank)
    }

    fn made_up(&self, rank: usize) -> Listing {
        (self.made_up)(rank)
    }

    fn invented(&self, symbol: &Symbol) -> Listing {
        (self.invented)(symbol)
    }

    fn frame(&self, _hours: Hours, timeframe: &str) -> Option<Frame> {
        self.product.frame(timeframe)
    }

    fn subject(&self, world: &World, _request: &SimRequest, target: &Target) -> Subject {
        rest::subject(self.product, world, target)
    }

    fn respond(&self, world: &World, request: &SimRequest, target: &Target) -> SimReply {
        rest::respond(self.product, world, request, target)
    }

    fn open(&self, world: &Arc<World>, path: &str, target: &Target) -> Option<Box<dyn Session>> {
        let (route, path) = self.product.route(path)?;
        let (is_combined, names) = match path {
            "/stream" => (true, target.get("streams").unwrap_or_default()),
            "/ws" => (false, ""),
            path => (false, path.strip_prefix("/ws/")?),
        };
        let streams: Vec<&str> = names.split('/').filter(|name| !name.is_empty()).collect();
        Some(Box::new(stream::BinanceSession::new(self.product, route, world.clone(), is_combined, &streams)))
    }

    fn connects(&self) -> Option<Window> {
        Some(Window { most: 300, window_s: 300, block_s: 0 })
    }

    fn aggregate_id(&self, tick: &Tick) -> Option<u64> {
        Some(tick.order_id)
    }
}
