//! Values of the family's JSON whose types may change, borrowed, and their readers.
//!
//! Every number may come with or without quotes; unknown keys, longer arrays and absent optional
//! keys are tolerated. A number with a fraction never passes through the JSON reader's own double
//! (off in the last bit at times, and useless for decimals): the venue prints them in quotes, and
//! where it does not, [`quoted_fractions`] puts them there and the text is read again.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::exchange::VenueError;
use crate::exchange::wire::malformed;

/// A JSON value whose type the venue may change.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Token<'a> {
    /// The key was not there.
    #[default]
    Absent,
    Null,
    Text(&'a str),
    Whole(i64),
    Flag(bool),
    /// An array, an object, or a string with escapes, which no number has.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Token<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Token<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value without a bare fraction")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Token<'de>, E> {
                Ok(Token::Text(text))
            }

            fn visit_str<E>(self, _text: &str) -> Result<Token<'de>, E> {
                Ok(Token::Other)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Token<'de>, E> {
                Ok(Token::Whole(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Token<'de>, E> {
                Ok(i64::try_from(number).map_or(Token::Other, Token::Whole))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Token<'de>, E> {
                Ok(Token::Flag(flag))
            }

            fn visit_unit<E>(self) -> Result<Token<'de>, E> {
                Ok(Token::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Token<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Token::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Token<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Token::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'a> Token<'a> {
    /// True where the key was there, whatever its value.
    pub fn is_present(self) -> bool {
        self != Token::Absent
    }

    /// The text of a string, empty for anything else.
    pub fn text(self) -> &'a str {
        if let Token::Text(text) = self { text } else { "" }
    }

    /// A finite double, correctly rounded.
    pub fn double(self, field: &str) -> Result<f64, VenueError> {
        let value = match self {
            Token::Text(text) => text.parse::<f64>().ok(),
            Token::Whole(number) => Some(number as f64),
            _ => None,
        };
        value.filter(|value| value.is_finite()).ok_or_else(|| self.unreadable(field))
    }

    /// The decimal exactly as printed, exponents included.
    #[inline]
    pub fn decimal(self, field: &str) -> Result<Decimal, VenueError> {
        let value = match self {
            Token::Text(text) => Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok(),
            Token::Whole(number) => Some(Decimal::from(number)),
            _ => None,
        };
        value.ok_or_else(|| self.unreadable(field))
    }

    /// A signed whole number.
    #[inline]
    pub fn integer(self, field: &str) -> Result<i64, VenueError> {
        let value = match self {
            Token::Text(text) => text.parse().ok(),
            Token::Whole(number) => Some(number),
            _ => None,
        };
        value.ok_or_else(|| self.unreadable(field))
    }

    /// A whole number that counts something.
    pub fn count(self, field: &str) -> Result<u64, VenueError> {
        self.integer(field).and_then(|number| u64::try_from(number).map_err(|_| self.unreadable(field)))
    }

    /// Milliseconds since the epoch.
    #[inline]
    pub fn time(self, field: &str) -> Result<DateTime<Utc>, VenueError> {
        // Ends in 2200: far enough for any venue, near enough for all calendar arithmetic.
        const LATEST_MS: i64 = 7_258_118_400_000;
        let millis = self.integer(field)?;
        let is_plausible = (0..LATEST_MS).contains(&millis);
        is_plausible.then(|| DateTime::from_timestamp_millis(millis)).flatten().ok_or_else(|| self.unreadable(field))
    }

    /// `true` or `false`.
    pub fn flag(self, field: &str) -> Result<bool, VenueError> {
        if let Token::Flag(flag) = self { Ok(flag) } else { Err(self.unreadable(field)) }
    }

    #[cold]
    fn unreadable(self, field: &str) -> VenueError {
        malformed(match self {
            Token::Absent => format!("{field} is missing"),
            Token::Null => format!("{field} is null"),
            Token::Text(text) => format!("{field} is {text:?}"),
            Token::Whole(number) => format!("{field} is {number}"),
            Token::Flag(flag) => format!("{field} is {flag}"),
            Token::Other => format!("{field} is of another type"),
        })
    }
}

/// A name or words, escapes resolved: a venue may list names that are not ASCII. Empty where the
/// key was absent.
#[derive(Debug, Default)]
pub struct Words<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Words<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Words<'de>, E> {
                Ok(Words(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Words<'de>, E> {
                Ok(Words(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The JSON with quotes around every number that has a fraction or an exponent; `None` where there
/// is no such number.
pub fn quoted_fractions(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len() + 64);
    let (mut rest, mut is_changed) = (json, false);
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (before, token) = rest.split_at(at);
        let length = match token.strip_prefix('"') {
            Some(text) => 1 + string_length(text),
            None => token.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(token.len()),
        };
        let (token, after) = token.split_at(length);
        let is_fraction = !token.starts_with('"') && token.contains(['.', 'e', 'E']);
        let quote = if is_fraction { "\"" } else { "" };
        out.extend([before, quote, token, quote]);
        is_changed |= is_fraction;
        rest = after;
    }
    out.push_str(rest);
    is_changed.then_some(out)
}

/// Length of a string up to and with its closing quote, the opening one not counted.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !is_escaped => return at + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_fractions_are_put_in_quotes() {
        let json = r#"{"a\\":1.5,"b\"2.5":[-1e-7,12,-3,"4.5"],"c":true,"d":0.10}"#;
        let quoted = r#"{"a\\":"1.5","b\"2.5":["-1e-7",12,-3,"4.5"],"c":true,"d":"0.10"}"#;
        assert_eq!(quoted_fractions(json).as_deref(), Some(quoted));
        assert_eq!(quoted_fractions(quoted), None);
        assert_eq!(quoted_fractions("\"1.5"), None);
        assert_eq!(quoted_fractions(""), None);
    }

    #[test]
    fn tokens_read_what_their_type_allows_and_name_what_they_cannot() {
        let token = |json: &'static str| serde_json::from_str::<Token<'_>>(json).unwrap();
        assert_eq!(token("\"0.1\"").double("p"), Ok(0.1));
        assert_eq!(token("7").double("p"), Ok(7.0));
        assert_eq!(token("7").decimal("p"), Ok(Decimal::from(7)));
        assert_eq!(token("\"1.5e-3\"").decimal("p").unwrap().to_string(), "0.0015");
        assert_eq!(token("-1").count("n"), Err(malformed("n is -1")));
        assert_eq!(token("18446744073709551615").integer("n"), Err(malformed("n is of another type")));
        assert_eq!(token("[1.5]").double("p"), Err(malformed("p is of another type")));
        assert_eq!(token("{}").flag("x"), Err(malformed("x is of another type")));
        assert_eq!(token("\"inf\"").double("p"), Err(malformed("p is \"inf\"")));
        assert_eq!(token("true").integer("n"), Err(malformed("n is true")));
        assert_eq!(Token::Absent.time("E"), Err(malformed("E is missing")));
    }
}
