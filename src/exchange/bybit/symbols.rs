//! Names of markets. The venue's own are unique within a category only, so an id is both:
//! `linear/BTCUSDT`. Names are never taken apart; what they mean comes from the instrument list.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::wire::Market;
use crate::exchange::{AmountUnit, Instrument};
use crate::market::Symbol;

/// A kind of markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Spot,
    /// Contracts that settle in what they are quoted in.
    Linear,
    /// Contracts of one unit of the quote currency that settle in the base.
    Inverse,
}

impl Category {
    pub const ALL: [Category; 3] = [Category::Spot, Category::Linear, Category::Inverse];

    /// The venue's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Spot => "spot",
            Category::Linear => "linear",
            Category::Inverse => "inverse",
        }
    }

    pub fn named(word: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.as_str() == word)
    }

    /// The group of its connections.
    pub fn group(self) -> u32 {
        self as u32
    }

    pub fn of_group(group: u32) -> Category {
        Category::ALL.into_iter().find(|category| category.group() == group).unwrap_or(Category::Spot)
    }

    /// Where a unified symbol would be listed.
    pub fn of_symbol(symbol: &Symbol) -> Category {
        match (symbol.settle(), symbol.quote()) {
            (None, _) => Category::Spot,
            (Some(settle), Some(quote)) if settle.split('-').next() == Some(quote) => Category::Linear,
            (Some(_), _) => Category::Inverse,
        }
    }

    /// Our id of one of its markets.
    pub fn id(self, wire: &str) -> String {
        format!("{}/{wire}", self.as_str())
    }
}

/// The category of an id, and the venue's own name; a name alone is one of the spot market.
pub fn split(id: &str) -> (Category, &str) {
    let parts = id.split_once('/').and_then(|(word, wire)| Some((Category::named(word)?, wire)));
    parts.unwrap_or((Category::Spot, id))
}

/// A row of the list; `None` where its name cannot be a unified one.
pub fn instrument(category: Category, market: &Market<'_>) -> Option<Instrument> {
    let pair = format!("{}/{}", market.base_coin.0, market.quote_coin.0);
    let settle = market.settle_coin.as_ref().map(|coin| coin.0.as_ref()).filter(|coin| !coin.is_empty());
    let symbol = match (category, settle) {
        (Category::Spot, _) => pair,
        (_, None) => return None,
        (_, Some(settle)) => match ends_at(market) {
            None => format!("{pair}:{settle}"),
            Some(ends) => format!("{pair}:{settle}-{}", ends.format("%y%m%d")),
        },
    };
    let id = category.id(&market.symbol.0);
    let amount_unit = match category {
        Category::Spot | Category::Linear => AmountUnit::Base,
        Category::Inverse => AmountUnit::QuoteContracts(Decimal::ONE),
    };
    Some(Instrument {
        is_trading: market.status.as_ref().is_some_and(|status| status.0 == "Trading"),
        amount_unit,
        ..Instrument::new(symbol.parse().ok()?, id.clone(), id)
    })
}

/// When a dated contract ends; perpetual ones say 0.
fn ends_at(market: &Market<'_>) -> Option<DateTime<Utc>> {
    let ends = market.delivery_time.and_then(|time| time.millis("deliveryTime").ok());
    ends.filter(|ends| ends.timestamp() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_tell_the_category_and_ids_keep_it() {
        let category = |symbol: &str| Category::of_symbol(&symbol.parse().unwrap());
        assert_eq!(category("BTC/USDT"), Category::Spot);
        assert_eq!(category("BTC/USDT:USDT"), Category::Linear);
        assert_eq!(category("BTC/USDT:USDT-261225"), Category::Linear);
        assert_eq!(category("BTC/USD:BTC"), Category::Inverse);
        assert_eq!(category("BTC/USD:BTC-261225"), Category::Inverse);
        for category in Category::ALL {
            assert_eq!(split(&category.id("BTCUSD")), (category, "BTCUSD"));
            assert_eq!(Category::of_group(category.group()), category);
        }
        assert_eq!(split("BTCUSDT"), (Category::Spot, "BTCUSDT"));
        assert_eq!(split("BTC/USDT"), (Category::Spot, "BTC/USDT"));
    }
}
