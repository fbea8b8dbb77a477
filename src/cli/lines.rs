//! The JSON lines that commands print: key order and number forms are part of the interface.
//!
//! Candle fields are the shortest text that reads back as the same double; prices and amounts of
//! trades are the exact decimals without trailing zeros.

use std::io::{self, Write};

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

pub use crate::control::when::Time;
use crate::market::{Candle, Side, Timeframe, Trade};

/// A candle as a line.
#[derive(Debug, Serialize)]
pub struct CandleLine<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    timeframe: Timeframe,
    open_time: Time,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote_volume: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trades: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vwap: Option<f64>,
    #[serde(rename = "final")]
    is_final: bool,
}

impl<'a> CandleLine<'a> {
    /// The line of a candle; `exchange` and `symbol` are left out where nobody knows them.
    pub fn new(
        exchange: Option<&'a str>,
        symbol: Option<&'a str>,
        timeframe: Timeframe,
        candle: &Candle,
        is_final: bool,
    ) -> CandleLine<'a> {
        CandleLine {
            kind: "candle",
            exchange,
            symbol,
            timeframe,
            open_time: Time(candle.open_time),
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            volume: candle.volume,
            quote_volume: candle.quote_volume,
            trades: candle.trades,
            vwap: candle.vwap,
            is_final,
        }
    }
}

/// A trade as a line.
#[derive(Debug, Serialize)]
pub struct TradeLine<'a> {
    kind: &'static str,
    exchange: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    id: String,
    time: Time,
    price: Exact,
    amount: Exact,
    side: Option<Side>,
}

impl<'a> TradeLine<'a> {
    /// The line of a trade; a row that stands for several ids shows its first.
    pub fn new(exchange: &'a str, symbol: Option<&'a str>, trade: &Trade) -> TradeLine<'a> {
        TradeLine {
            kind: "trade",
            exchange,
            symbol,
            id: trade.id.to_string(),
            time: Time(trade.time),
            price: Exact(trade.price),
            amount: Exact(trade.amount),
            side: trade.side,
        }
    }
}

/// A decimal as a JSON number with all its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact(pub Decimal);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.normalize().to_string();
        serde_json::value::RawValue::from_string(text)
            .expect("the text of a decimal is a JSON number")
            .serialize(serializer)
    }
}

/// Writes one object as one line.
///
/// # Errors
/// The writer's own; a closed pipe among them.
pub fn write(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::TradeId;

    fn text(line: &impl Serialize) -> String {
        serde_json::to_string(line).unwrap()
    }

    #[test]
    fn a_candle_line_keeps_its_key_order_and_leaves_out_what_is_unknown() {
        let mut candle = Candle::flat("2025-11-10T17:24:00Z".parse().unwrap(), 105410.1);
        candle.volume = 0.0095537;
        candle.trades = Some(5);
        assert_eq!(
            text(&CandleLine::new(Some("kraken"), Some("BTC/USDT"), Timeframe::M1, &candle, true)),
            r#"{"kind":"candle","exchange":"kraken","symbol":"BTC/USDT","timeframe":"1m","open_time":"2025-11-10T17:24:00Z","open":105410.1,"high":105410.1,"low":105410.1,"close":105410.1,"volume":0.0095537,"trades":5,"final":true}"#
        );
        candle.trades = None;
        candle.quote_volume = Some(1007.05);
        candle.vwap = Some(105410.0);
        assert_eq!(
            text(&CandleLine::new(None, None, Timeframe::H1, &candle, false)),
            r#"{"kind":"candle","timeframe":"1h","open_time":"2025-11-10T17:24:00Z","open":105410.1,"high":105410.1,"low":105410.1,"close":105410.1,"volume":0.0095537,"quote_volume":1007.05,"vwap":105410.0,"final":false}"#
        );
    }

    #[test]
    fn a_trade_line_prints_exact_decimals_without_trailing_zeros() {
        let mut trade = Trade {
            id: TradeId::Number(10218208),
            last_id: TradeId::Number(10218208),
            time: "2025-11-10T17:23:53.971744Z".parse().unwrap(),
            price: "105433.60000".parse().unwrap(),
            amount: "0.00027625".parse().unwrap(),
            side: Some(Side::Buy),
        };
        assert_eq!(
            text(&TradeLine::new("kraken", Some("BTC/USDT"), &trade)),
            r#"{"kind":"trade","exchange":"kraken","symbol":"BTC/USDT","id":"10218208","time":"2025-11-10T17:23:53.971744Z","price":105433.6,"amount":0.00027625,"side":"buy"}"#
        );
        trade.price = "123456789012345.1234567890".parse().unwrap();
        trade.amount = "100".parse().unwrap();
        trade.side = None;
        assert_eq!(
            text(&TradeLine::new("x", None, &trade)),
            r#"{"kind":"trade","exchange":"x","id":"10218208","time":"2025-11-10T17:23:53.971744Z","price":123456789012345.123456789,"amount":100,"side":null}"#
        );
    }

    #[test]
    fn whole_seconds_have_no_fraction_and_others_have_six_digits() {
        let shown = |time: &str| Time(time.parse().unwrap()).to_string();
        assert_eq!(shown("2025-11-10T17:24:00Z"), "2025-11-10T17:24:00Z");
        assert_eq!(shown("2025-11-10T17:24:00.5Z"), "2025-11-10T17:24:00.500000Z");
        assert_eq!(shown("2025-11-10T17:24:00.000000999Z"), "2025-11-10T17:24:00Z");
    }
}
