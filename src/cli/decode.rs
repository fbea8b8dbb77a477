//! `candlewick decode`: what an exchange's answer or its stream frames say, without a network.
//!
//! Reads one REST body, or for `stream` one frame per line, and prints one JSON object per event.
//! Nothing is asked of the venue and nothing is stored.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeZone, Utc};
use clap::ValueEnum;
use serde::Serialize;

use super::failure::OrUsage;
use super::lines::{self, CandleLine, Time, TradeLine};
use super::{Failure, when};
use crate::clock::Clock;
use crate::exchange::registry;
use crate::exchange::{
    Capabilities, Dialect, Dialogue, ErrorKind, Event, HttpReply, Instrument, InstrumentSource, TradeCursor, VenueError,
};
use crate::market::{Grid, Span, Symbol, Timeframe};

/// Arguments of `decode`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exchange the bytes came from, such as kraken.
    #[arg(long, value_name = "ID")]
    exchange: String,
    /// What the bytes are.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Market of a REST body (BTC/USD); for a stream it replaces the name in the frames.
    #[arg(long)]
    symbol: Option<Symbol>,
    /// Timeframe of a body of candles.
    #[arg(short, long, default_value = "1m", value_name = "TF")]
    timeframe: Timeframe,
    /// When the request is taken to have been sent: decides which candles are final [default: the clock].
    #[arg(long, value_name = "TIME", value_parser = when::parse, allow_hyphen_values = true)]
    now: Option<DateTime<Utc>>,
    /// File to read; `-` or nothing reads standard input.
    file: Option<PathBuf>,
}

/// What `decode` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A REST body of candles.
    Candles,
    /// A REST body of trades.
    Trades,
    /// A REST body that lists markets.
    Instruments,
    /// Stream frames, one per line.
    Stream,
}

/// Decodes the input and prints its events.
///
/// # Errors
/// Usage for arguments and files that cannot be used; failed when the body is the venue's error or
/// is not what the venue documents.
pub fn run(args: Args) -> Result<(), Failure> {
    let decoder = Decoder::new(&args)?;
    let mut input: Box<dyn BufRead> = match args.file.as_deref() {
        None => Box::new(io::stdin().lock()),
        Some(path) if path == Path::new("-") => Box::new(io::stdin().lock()),
        Some(path) => {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display())).or_usage()?;
            Box::new(BufReader::new(file))
        }
    };
    decoder.decode(&mut input, &mut io::stdout().lock())
}

struct Decoder<'a> {
    dialect: Arc<dyn Dialect>,
    capabilities: &'static Capabilities,
    args: &'a Args,
}

impl Decoder<'_> {
    /// Refuses what cannot be decoded before any input is read.
    fn new(args: &Args) -> Result<Decoder<'_>, Failure> {
        let row = registry::find(&args.exchange).or_usage()?;
        let capabilities = row.capabilities;
        let timeframe = args.timeframe;
        if args.kind == Kind::Candles && capabilities.timeframe(timeframe).is_none() {
            let native = capabilities.timeframes.iter().map(|row| row.timeframe.as_str()).collect::<Vec<_>>();
            let id = capabilities.id;
            return Err(Failure::usage(format!("{id} has no {timeframe} candles; it has {}", native.join(" "))));
        }
        if matches!(args.kind, Kind::Candles | Kind::Trades) {
            symbol_of_body(args)?;
        }
        Ok(Decoder { dialect: (row.build)(row.public_endpoints()), capabilities, args })
    }

    fn decode(&self, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
        match self.args.kind {
            Kind::Stream => self.frames(input, out),
            Kind::Candles => self.candles(input, out),
            Kind::Trades => self.trades(input, out),
            Kind::Instruments => self.instruments(input, out),
        }
    }

    fn candles(&self, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
        let timeframe = self.args.timeframe;
        let symbol = symbol_of_body(self.args)?;
        let reply = reply(input)?;
        let instrument = self.instrument(symbol, &reply);
        let candles = self
            .dialect
            .decode_candles(&instrument, timeframe, any_time(), &reply)
            .map_err(|error| self.report(&error, out))?;
        let sent_at = self.args.now.unwrap_or_else(|| Clock::system().now());
        let grid = Grid::new(timeframe, instrument.anchors);
        for candle in &candles {
            let is_final = sent_at >= grid.close_of(candle.open_time) + self.capabilities.settle;
            let line = CandleLine::new(Some(self.capabilities.id), Some(symbol.as_str()), timeframe, candle, is_final);
            lines::write(out, &line)?;
        }
        Ok(())
    }

    fn trades(&self, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
        let symbol = symbol_of_body(self.args)?;
        let reply = reply(input)?;
        let instrument = self.instrument(symbol, &reply);
        let page = self
            .dialect
            .decode_trades(&instrument, &TradeCursor::Newest, &reply)
            .map_err(|error| self.report(&error, out))?;
        for trade in &page.trades {
            lines::write(out, &TradeLine::new(self.capabilities.id, Some(symbol.as_str()), trade))?;
        }
        Ok(())
    }

    fn instruments(&self, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
        let reply = reply(input)?;
        let instruments = self
            .dialect
            .decode_instruments(self.args.symbol.as_ref(), &reply)
            .map_err(|error| self.report(&error, out))?;
        for instrument in &instruments {
            lines::write(
                out,
                &InstrumentLine {
                    kind: "instrument",
                    exchange: self.capabilities.id,
                    symbol: &instrument.symbol,
                    rest_id: &instrument.rest_id,
                    stream_id: &instrument.stream_id,
                    is_trading: instrument.is_trading,
                },
            )?;
        }
        Ok(())
    }

    /// A broken frame is an event like the others: a recording is read to its end.
    fn frames(&self, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
        let mut line = Vec::new();
        let mut dialogue = Dialogue::default();
        while input.read_until(b'\n', &mut line).map_err(reading)? > 0 {
            let mut written = Ok(());
            match std::str::from_utf8(line.trim_ascii()) {
                Ok("") => {}
                Ok(frame) => self.dialect.decode_frame(&mut dialogue, frame, &mut |event| {
                    if written.is_ok() {
                        written = self.event(&event, out);
                    }
                }),
                Err(error) => {
                    let error = VenueError::new(ErrorKind::Malformed, format!("frame is not UTF-8: {error}"));
                    written = lines::write(out, &self.error_line(&error));
                }
            }
            written?;
            line.clear();
        }
        Ok(())
    }

    fn event(&self, event: &Event<'_>, out: &mut dyn Write) -> io::Result<()> {
        let exchange = self.capabilities.id;
        let symbol = |wire: &'_ str| self.args.symbol.as_ref().map_or(wire.to_owned(), Symbol::to_string);
        let named = |wire: &Option<std::borrow::Cow<'_, str>>| {
            wire.as_deref().map(symbol).or_else(|| self.args.symbol.as_ref().map(Symbol::to_string))
        };
        let notice = |kind| Notice { kind, exchange, ..Notice::default() };
        let line = match event {
            Event::Candle { stream_id, timeframe, candle, closed, .. } => {
                let is_final = closed.unwrap_or(false);
                let symbol = symbol(stream_id);
                return lines::write(
                    out,
                    &CandleLine::new(Some(exchange), Some(&symbol), *timeframe, candle, is_final),
                );
            }
            Event::Trade { stream_id, trade, .. } => {
                return lines::write(out, &TradeLine::new(exchange, Some(&symbol(stream_id)), trade));
            }
            Event::Subscribed { request_id, stream_id, stamped_at, .. } => Notice {
                symbol: named(stream_id),
                request_id: *request_id,
                time: stamped_at.map(Time),
                ..notice("subscribed")
            },
            Event::Unsubscribed { request_id, stream_id, .. } => {
                Notice { symbol: named(stream_id), request_id: *request_id, ..notice("unsubscribed") }
            }
            Event::Rejected { request_id, stream_id, error, .. } => {
                Notice { kind: "rejected", symbol: named(stream_id), request_id: *request_id, ..self.error_line(error) }
            }
            Event::Heartbeat { stamped_at } => Notice { time: stamped_at.map(Time), ..notice("heartbeat") },
            Event::LastTrade { stream_id, id, stamped_at } => Notice {
                symbol: Some(symbol(stream_id)),
                id: Some(id.to_string()),
                time: stamped_at.map(Time),
                ..notice("last_trade")
            },
            Event::FramesLost { message } => Notice { message: Some(message), ..notice("frames_lost") },
            Event::Closing => notice("closing"),
            Event::VenueStatus { is_up, message } => {
                Notice { is_up: Some(*is_up), message: Some(message), ..notice("status") }
            }
            Event::Unknown { kind } => Notice { name: Some(kind), ..notice("unknown") },
            Event::Error(error) => self.error_line(error),
        };
        lines::write(out, &line)
    }

    fn error_line<'e>(&self, error: &'e VenueError) -> Notice<'e> {
        let retry_after = match error.kind {
            ErrorKind::RateLimited { retry_after } | ErrorKind::Banned { retry_after } => retry_after,
            _ => None,
        };
        Notice {
            kind: "error",
            exchange: self.capabilities.id,
            error_type: Some(error.kind.to_string().replace(' ', "_")),
            error: Some(&error.message),
            retry_after_s: retry_after.map(|wait| wait.as_secs_f64()),
            ..Notice::default()
        }
    }

    /// The body's own error as a line, and the failure that ends the command.
    fn report(&self, error: &VenueError, out: &mut dyn Write) -> Failure {
        let symbol = self.args.symbol.as_ref().map(Symbol::to_string);
        if let Err(error) = lines::write(out, &Notice { symbol, ..self.error_line(error) }) {
            return error.into();
        }
        let advice = match error.kind {
            ErrorKind::UnknownSymbol => "check the market's name in the venue's list of instruments",
            ErrorKind::BadRequest => "the same request fails again; change it",
            ErrorKind::OutOfHistory => "ask for a later time; the venue does not serve this one",
            ErrorKind::RateLimited { .. } | ErrorKind::Banned { .. } => "wait before asking again",
            ErrorKind::Unavailable => "ask again later",
            ErrorKind::Malformed => "check that the body is complete and that --exchange and --kind fit it",
        };
        Failure::Failed(anyhow::anyhow!("{}: {error} ({advice})", self.capabilities.name))
    }

    /// The market as far as it can be known offline: from the body, where each call describes its own
    /// market, else by name only.
    fn instrument(&self, symbol: &Symbol, reply: &HttpReply) -> Instrument {
        let described = match self.capabilities.instruments {
            InstrumentSource::PerSymbol => self.dialect.decode_instruments(Some(symbol), reply).ok(),
            InstrumentSource::List => None,
        };
        described
            .and_then(|list| list.into_iter().next())
            .unwrap_or_else(|| Instrument::new(symbol.clone(), symbol.as_str(), symbol.as_str()))
    }
}

fn symbol_of_body(args: &Args) -> Result<&Symbol, Failure> {
    args.symbol.as_ref().ok_or_else(|| {
        Failure::usage("a REST body does not say its market: add --symbol, for example --symbol BTC/USD")
    })
}

/// The input as the body of an answer that arrived in order.
fn reply(input: &mut dyn BufRead) -> Result<HttpReply, Failure> {
    let mut body = Vec::new();
    input.read_to_end(&mut body).map_err(reading)?;
    Ok(HttpReply::new(200, body))
}

/// A directory given as a file is only noticed here; it is bad input all the same.
fn reading(error: io::Error) -> Failure {
    Failure::Usage(anyhow::Error::new(error).context("cannot read the input"))
}

/// Nothing in particular was asked, so no row is outside of it.
fn any_time() -> Span {
    let year = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single().unwrap_or(DateTime::UNIX_EPOCH);
    Span::new(year(1900), year(2200))
}

#[derive(Serialize)]
struct InstrumentLine<'a> {
    kind: &'static str,
    exchange: &'a str,
    symbol: &'a Symbol,
    rest_id: &'a str,
    stream_id: &'a str,
    is_trading: bool,
}

/// Every event that carries no market data.
#[derive(Default, Serialize)]
struct Notice<'a> {
    kind: &'static str,
    exchange: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_up: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<f64>,
}

#[cfg(test)]
mod tests;
