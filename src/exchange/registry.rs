//! The one list of exchanges. Everything that enumerates venues reads it from here.

use std::sync::Arc;

use super::{Capabilities, Dialect, Endpoints};

/// A registered venue.
pub struct Row {
    /// What it can do.
    pub capabilities: &'static Capabilities,
    /// Builds its dialect for given addresses.
    pub build: fn(Endpoints) -> Arc<dyn Dialect>,
}

/// All venues, in the order they are listed to users.
pub static EXCHANGES: &[Row] = &[
    Row { capabilities: &super::kraken::CAPABILITIES, build: super::kraken::Kraken::build },
    Row { capabilities: &super::binance::CAPABILITIES, build: super::binance::build },
    Row { capabilities: &super::yahoo::CAPABILITIES, build: super::yahoo::Yahoo::build },
    Row { capabilities: &super::coinbase::CAPABILITIES, build: super::coinbase::Coinbase::build },
    Row { capabilities: &super::binanceusdm::CAPABILITIES, build: super::binanceusdm::build },
    Row { capabilities: &super::bybit::CAPABILITIES, build: super::bybit::Bybit::build },
    Row { capabilities: &super::hyperliquid::CAPABILITIES, build: super::hyperliquid::Hyperliquid::build },
    Row { capabilities: &super::bitfinex::CAPABILITIES, build: super::bitfinex::Bitfinex::build },
    Row { capabilities: &super::okx::CAPABILITIES, build: super::okx::Okx::build },
    Row { capabilities: &super::bitmex::CAPABILITIES, build: super::bitmex::Bitmex::build },
];

/// An id that no row carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown exchange {id:?}; {hint}")]
pub struct UnknownExchange {
    /// The id as given.
    pub id: String,
    /// The nearest valid choice and the whole list.
    pub hint: String,
}

/// The ids of all venues, separated by spaces.
pub fn ids() -> String {
    EXCHANGES.iter().map(|row| row.capabilities.id).collect::<Vec<_>>().join(" ")
}

/// The row of a venue.
///
/// # Errors
/// [`UnknownExchange`] names the nearest id and lists all.
pub fn find(id: &str) -> Result<&'static Row, UnknownExchange> {
    EXCHANGES.iter().find(|row| row.capabilities.id == id).ok_or_else(|| {
        let nearest = EXCHANGES
            .iter()
            .map(|row| row.capabilities.id)
            .map(|candidate| (strsim::jaro_winkler(candidate, &id.to_lowercase()), candidate))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(score, _)| *score > 0.7)
            .map_or_else(String::new, |(_, candidate)| format!("did you mean {candidate}? "));
        UnknownExchange { id: id.to_owned(), hint: format!("{nearest}valid: {}", ids()) }
    })
}

impl Row {
    /// The venue's public addresses.
    pub fn public_endpoints(&self) -> Endpoints {
        Endpoints {
            rest: self.capabilities.rest_url.to_owned(),
            stream: self.capabilities.stream_url.unwrap_or_default().to_owned(),
            user_agent: DEFAULT_USER_AGENT.to_owned(),
        }
    }

    /// The venue as a simulator at `base` (`http://127.0.0.1:8787`) serves it: under its id.
    pub fn simulated_endpoints(&self, base: &str) -> Endpoints {
        let base = base.trim_end_matches('/');
        let id = self.capabilities.id;
        let stream = match base.strip_prefix("https://") {
            Some(host) => format!("wss://{host}/{id}"),
            None => format!("ws://{}/{id}", base.strip_prefix("http://").unwrap_or(base)),
        };
        Endpoints { rest: format!("{base}/{id}"), stream, user_agent: DEFAULT_USER_AGENT.to_owned() }
    }
}

/// Sent unless the config says otherwise. Yahoo answers 429 to agents that look like a library.
pub const DEFAULT_USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
