//! Market events in the form the venues document, which nearly every frame has: the event's name
//! first, numbers of the type they always were, no escapes. To read them takes no more than to check
//! that. Whatever differs in anything is refused here and read as a [`Frame`](super::frame::Frame).

use serde::Deserialize;

use super::frame::Kline;
use super::token::Token;
use super::wire::{AggTrade, Bar};

/// How the frame of a [`KlineEvent`] begins.
pub const KLINE: &str = r#"{"e":"kline","#;
/// How the frame of an [`AggTradeEvent`] begins.
pub const AGG_TRADE: &str = r#"{"e":"aggTrade","#;

/// A kline event.
#[derive(Debug, Deserialize)]
pub struct KlineEvent<'a> {
    #[serde(rename = "E")]
    pub event_time: i64,
    #[serde(rename = "s")]
    pub symbol: &'a str,
    #[serde(borrow)]
    k: Candlestick<'a>,
}

#[derive(Debug, Deserialize)]
struct Candlestick<'a> {
    t: i64,
    i: &'a str,
    o: &'a str,
    h: &'a str,
    l: &'a str,
    c: &'a str,
    v: &'a str,
    q: &'a str,
    n: i64,
    x: bool,
}

impl<'a> KlineEvent<'a> {
    pub fn kline(&self) -> Kline<'a> {
        let k = &self.k;
        let bar = Bar {
            open_time: Token::Whole(k.t),
            open: Token::Text(k.o),
            high: Token::Text(k.h),
            low: Token::Text(k.l),
            close: Token::Text(k.c),
            volume: Token::Text(k.v),
            quote_volume: Token::Text(k.q),
            trades: Token::Whole(k.n),
        };
        Kline { interval: Token::Text(k.i), bar, is_closed: Token::Flag(k.x) }
    }
}

/// An aggTrade event.
#[derive(Debug, Deserialize)]
pub struct AggTradeEvent<'a> {
    #[serde(rename = "E")]
    pub event_time: i64,
    #[serde(rename = "s")]
    pub symbol: &'a str,
    p: &'a str,
    q: &'a str,
    f: i64,
    l: i64,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

impl<'a> AggTradeEvent<'a> {
    pub fn trade(&self) -> AggTrade<'a> {
        AggTrade {
            id: Token::Absent,
            price: Token::Text(self.p),
            amount: Token::Text(self.q),
            first_id: Token::Whole(self.f),
            last_id: Token::Whole(self.l),
            time: Token::Whole(self.time),
            buyer_is_maker: Token::Flag(self.m),
        }
    }
}
