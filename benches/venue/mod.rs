//! A Binance whose REST half answers from memory: it lists markets and has one quiet bar wherever
//! it is asked.

use std::fmt::Write as _;

use async_trait::async_trait;
use candlewick::exchange::{HttpReply, HttpRequest};
use candlewick::market::{Symbol, Timeframe};
use candlewick::store::{CandleSource, NewSymbol};
use candlewick::transport::net::NetTransport;
use candlewick::transport::{Transport, TransportError, WebSocket};
use chrono::{DateTime, Utc};

/// See the module.
pub struct Venue {
    listing: String,
    /// How its stream is reached; without one it is polled.
    stream: Option<NetTransport>,
}

impl Venue {
    pub fn new(markets: usize, stream: Option<NetTransport>) -> Venue {
        let mut listing = String::from(r#"{"symbols":["#);
        for number in 0..markets {
            let comma = if number == 0 { "" } else { "," };
            let written = write!(
                listing,
                r#"{comma}{{"symbol":"C{number}USDT","status":"TRADING","baseAsset":"C{number}","quoteAsset":"USDT"}}"#
            );
            written.expect("a String takes everything");
        }
        listing.push_str("]}");
        Venue { listing, stream }
    }
}

/// The unified name of a market.
pub fn symbol(number: usize) -> Symbol {
    format!("C{number}/USDT").parse().expect("a symbol")
}

/// Wants the minutes of a market.
pub fn want(number: usize, backfill_from: DateTime<Utc>) -> NewSymbol {
    NewSymbol {
        exchange: "binance".to_owned(),
        symbol: symbol(number),
        timeframes: vec![Timeframe::M1],
        backfill_from,
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    }
}

#[async_trait]
impl Transport for Venue {
    async fn http(&self, request: &HttpRequest) -> Result<HttpReply, TransportError> {
        let start = request.url.split('&').find_map(|part| part.strip_prefix("startTime="));
        let Some(start) = start.and_then(|start| start.parse::<i64>().ok()) else {
            return Ok(HttpReply::new(200, self.listing.clone()));
        };
        let end = start + 59_999;
        let row = format!(r#"[[{start},"1.0","1.0","1.0","1.0","0.0",{end},"0.0",0,"0.0","0.0","0"]]"#);
        Ok(HttpReply::new(200, row))
    }

    async fn connect(&self, url: &str) -> Result<WebSocket, TransportError> {
        match &self.stream {
            Some(net) => net.connect(url).await,
            None => Err(TransportError::Connect { host: "venue".to_owned(), message: "it is polled".to_owned() }),
        }
    }
}
