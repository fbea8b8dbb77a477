//! A stream frame in any of its shapes, read in one pass whatever the order of its keys.
//!
//! An event, `{"stream","data"}` around an event, an ack and both forms of error have hardly a key
//! in common, so one flat struct holds them all: `data` and `error` are read into the same fields
//! as the frame around them.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::token::{Token, Words};
use super::wire::{AggTrade, Bar};

/// All values of a frame that have a use.
#[derive(Debug, Default)]
pub struct Frame<'a> {
    pub event: Token<'a>,
    pub event_time: Token<'a>,
    pub symbol: Words<'a>,
    pub kline: Kline<'a>,
    /// The fields of an aggTrade event, its aggregate id left out.
    pub trade: AggTrade<'a>,
    pub stream: Token<'a>,
    pub result: Token<'a>,
    pub code: Token<'a>,
    pub msg: Words<'a>,
    pub id: Token<'a>,
}

/// The bar of a kline event. Its trade ids (`f`, `L`, -1 in an empty interval) are not needed.
#[derive(Debug, Default)]
pub struct Kline<'a> {
    pub interval: Token<'a>,
    pub bar: Bar<'a>,
    pub is_closed: Token<'a>,
}

impl<'a> Frame<'a> {
    /// Fills an empty frame, in place: it is too large to be handed around for each message.
    pub fn read(&mut self, text: &'a str) -> Result<(), serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        Fill(self).deserialize(&mut json)?;
        json.end()
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "e")]
    Event,
    #[serde(rename = "E")]
    EventTime,
    #[serde(rename = "s")]
    Symbol,
    #[serde(rename = "k")]
    Kline,
    #[serde(rename = "p")]
    Price,
    #[serde(rename = "q")]
    Amount,
    #[serde(rename = "f")]
    FirstId,
    #[serde(rename = "l")]
    LastId,
    #[serde(rename = "T")]
    Time,
    #[serde(rename = "m")]
    BuyerIsMaker,
    #[serde(rename = "stream")]
    Stream,
    #[serde(rename = "data", alias = "error")]
    Inner,
    #[serde(rename = "result")]
    Result,
    #[serde(rename = "code")]
    Code,
    #[serde(rename = "msg")]
    Msg,
    #[serde(rename = "id")]
    Id,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum BarKey {
    #[serde(rename = "t")]
    OpenTime,
    #[serde(rename = "i")]
    Interval,
    #[serde(rename = "o")]
    Open,
    #[serde(rename = "h")]
    High,
    #[serde(rename = "l")]
    Low,
    #[serde(rename = "c")]
    Close,
    #[serde(rename = "v")]
    Volume,
    #[serde(rename = "q")]
    QuoteVolume,
    #[serde(rename = "n")]
    Trades,
    #[serde(rename = "x")]
    IsClosed,
    #[serde(other)]
    Other,
}

/// Fills a target from an object, entry by entry; an array or null in its place fills nothing.
struct Fill<T>(T);

/// What can be filled.
trait Target<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<bool, A::Error>;
}

impl<'de> Target<'de> for &mut Frame<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<bool, A::Error> {
        let Some(key) = map.next_key()? else { return Ok(false) };
        let slot = match key {
            Key::Event => &mut self.event,
            Key::EventTime => &mut self.event_time,
            Key::Price => &mut self.trade.price,
            Key::Amount => &mut self.trade.amount,
            Key::FirstId => &mut self.trade.first_id,
            Key::LastId => &mut self.trade.last_id,
            Key::Time => &mut self.trade.time,
            Key::BuyerIsMaker => &mut self.trade.buyer_is_maker,
            Key::Stream => &mut self.stream,
            Key::Result => &mut self.result,
            Key::Code => &mut self.code,
            Key::Id => &mut self.id,
            Key::Symbol => return map.next_value().map(|symbol| self.symbol = symbol).map(|()| true),
            Key::Msg => return map.next_value().map(|msg| self.msg = msg).map(|()| true),
            Key::Kline => return map.next_value_seed(Fill(&mut self.kline)).map(|()| true),
            Key::Inner => return map.next_value_seed(Fill(&mut **self)).map(|()| true),
            Key::Other => return map.next_value::<IgnoredAny>().map(|_| true),
        };
        *slot = map.next_value()?;
        Ok(true)
    }
}

impl<'de> Target<'de> for &mut Kline<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<bool, A::Error> {
        let Some(key) = map.next_key()? else { return Ok(false) };
        let slot = match key {
            BarKey::OpenTime => &mut self.bar.open_time,
            BarKey::Interval => &mut self.interval,
            BarKey::Open => &mut self.bar.open,
            BarKey::High => &mut self.bar.high,
            BarKey::Low => &mut self.bar.low,
            BarKey::Close => &mut self.bar.close,
            BarKey::Volume => &mut self.bar.volume,
            BarKey::QuoteVolume => &mut self.bar.quote_volume,
            BarKey::Trades => &mut self.bar.trades,
            BarKey::IsClosed => &mut self.is_closed,
            BarKey::Other => return map.next_value::<IgnoredAny>().map(|_| true),
        };
        *slot = map.next_value()?;
        Ok(true)
    }
}

impl<'de, T: Target<'de>> DeserializeSeed<'de> for Fill<T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Target<'de>> Visitor<'de> for Fill<T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame of the stream")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while self.0.entry(&mut map)? {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
