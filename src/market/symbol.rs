//! Unified symbols in CCXT form: `BTC/USD`, `BTC/USDT:USDT`, and bare tickers such as `AAPL`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The unified name of a market, cheap to clone. Upper case by convention, never changed by us:
/// venues may list names with other characters, so only the separators are interpreted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

/// Why a text is not a unified symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("symbol {text:?} {fault}; write BASE/QUOTE (BTC/USD), BASE/QUOTE:SETTLE (BTC/USDT:USDT) or a ticker (AAPL)")]
pub struct SymbolError {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl Symbol {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `BTC` of `BTC/USDT:USDT`; the whole name of a ticker.
    pub fn base(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(base, _)| base)
    }

    /// `USDT` of `BTC/USDT:USDT`; `None` for a ticker.
    pub fn quote(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once('/')?;
        Some(rest.split_once(':').map_or(rest, |(quote, _)| quote))
    }

    /// The settlement currency of a derivative: the part after the colon.
    pub fn settle(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once('/')?;
        rest.split_once(':').map(|(_, settle)| settle)
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        let fail = |fault| Err(SymbolError { text: text.to_owned(), fault });
        if text.is_empty() {
            return fail("is empty");
        }
        if text.len() > 64 {
            return fail("is longer than 64 bytes");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return fail("contains white space or control characters");
        }
        if let Some((base, rest)) = text.split_once('/') {
            let (quote, settle) = match rest.split_once(':') {
                Some((quote, settle)) => (quote, Some(settle)),
                None => (rest, None),
            };
            if base.is_empty() || quote.is_empty() || settle.is_some_and(str::is_empty) {
                return fail("has an empty part");
            }
            if rest.contains('/') || settle.is_some_and(|s| s.contains(':')) {
                return fail("has too many separators");
            }
        }
        Ok(Symbol(Arc::from(text)))
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl serde::Serialize for Symbol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Symbol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_pairs_derivatives_and_tickers_are_read() {
        let parts = |text: &str| {
            let symbol: Symbol = text.parse().unwrap();
            (symbol.base().to_owned(), symbol.quote().map(str::to_owned), symbol.settle().map(str::to_owned))
        };
        assert_eq!(parts("BTC/USD"), ("BTC".into(), Some("USD".into()), None));
        assert_eq!(parts("BTC/USDT:USDT"), ("BTC".into(), Some("USDT".into()), Some("USDT".into())));
        assert_eq!(parts("^GSPC"), ("^GSPC".into(), None, None));
    }

    #[test]
    fn malformed_symbols_are_refused_with_the_fault() {
        let fault = |text: &str| text.parse::<Symbol>().unwrap_err().fault;
        assert_eq!(fault(""), "is empty");
        assert_eq!(fault("BTC/"), "has an empty part");
        assert_eq!(fault("/USD"), "has an empty part");
        assert_eq!(fault("BTC/USD:"), "has an empty part");
        assert_eq!(fault("A/B/C"), "has too many separators");
        assert_eq!(fault("BTC USD"), "contains white space or control characters");
        assert_eq!(fault(&"X".repeat(65)), "is longer than 64 bytes");
    }
}
