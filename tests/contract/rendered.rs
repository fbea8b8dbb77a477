//! What was decoded, as lines that can be read against the bytes: each value in its shortest form.

use std::fmt::Display;

use candlewick::exchange::{AmountUnit, ErrorKind, Event, Instrument};
use candlewick::market::{Candle, Ticker, Trade};
use chrono::{DateTime, SecondsFormat, Utc};

pub fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// ` name=value`, or nothing.
fn told(name: &str, value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| format!(" {name}={value}"))
}

fn stamp(at: &Option<DateTime<Utc>>) -> String {
    told("at", at.map(time))
}

/// Open time, open, high, low, close, volume; then what else the venue tells.
pub fn candle(candle: &Candle) -> String {
    let Candle { open_time, open, high, low, close, volume, quote_volume, trades, vwap } = candle;
    let more = [told("quote", *quote_volume), told("trades", *trades), told("vwap", *vwap)].concat();
    format!("{} {open} {high} {low} {close} {volume}{more}", time(*open_time))
}

/// Ids, time, price, amount, side.
pub fn trade(trade: &Trade) -> String {
    let ids = match trade.id == trade.last_id {
        true => trade.id.to_string(),
        false => format!("{}..={}", trade.id, trade.last_id),
    };
    let side = trade.side.map_or("?", |side| side.as_str());
    format!("{ids} {} {} {} {side}", time(trade.time), trade.price, trade.amount)
}

pub fn instrument(market: &Instrument) -> String {
    let unit = match market.amount_unit {
        AmountUnit::Base => String::new(),
        AmountUnit::Contracts(size) => format!(" contract={size}"),
        AmountUnit::QuoteContracts(size) => format!(" quote contract={size}"),
    };
    let session = market.anchors.session.map(|hours| format!("{}-{} {}", hours.open, hours.close, hours.zone));
    let halted = if market.is_trading { "" } else { " halted" };
    format!("{} {} {}{unit}{}{halted}", market.symbol, market.rest_id, market.stream_id, told("session", session))
}

pub fn ticker(id: &str, ticker: &Ticker) -> String {
    let values = [
        ("last", ticker.last),
        ("bid", ticker.bid),
        ("ask", ticker.ask),
        ("volume", ticker.volume),
        ("quote", ticker.quote_volume),
    ];
    let values = values.map(|(name, value)| told(name, value)).concat();
    format!("{id}{}{values}", stamp(&ticker.time))
}

/// The class of an error, with its wait.
pub fn kind(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::RateLimited { retry_after: Some(wait) } | ErrorKind::Banned { retry_after: Some(wait) } => {
            format!("{kind}, {} s", wait.as_secs_f64())
        }
        _ => kind.to_string(),
    }
}

pub fn event(event: &Event<'_>) -> String {
    let answer = |word: &str, request_id: &Option<u64>, stream_id: &Option<_>, channel: &Option<_>| {
        let channel = channel.map(|channel| format!("{channel:?}"));
        format!("{word}{}{}{}", told("id", *request_id), told("market", stream_id.as_ref()), told("channel", channel))
    };
    match event {
        Event::Candle { stream_id, timeframe, candle: bar, closed, stamped_at, is_snapshot } => {
            let state = closed.map_or("", |closed| if closed { " closed" } else { " open" });
            let snapshot = if *is_snapshot { " snapshot" } else { "" };
            format!("candle {stream_id} {timeframe} {}{state}{snapshot}{}", candle(bar), stamp(stamped_at))
        }
        Event::Trade { stream_id, trade: deal, is_snapshot, stamped_at } => {
            let snapshot = if *is_snapshot { " snapshot" } else { "" };
            format!("trade {stream_id} {}{snapshot}{}", trade(deal), stamp(stamped_at))
        }
        Event::LastTrade { stream_id, id, stamped_at } => format!("last trade {stream_id} {id}{}", stamp(stamped_at)),
        Event::Subscribed { request_id, stream_id, channel, stamped_at } => {
            answer("subscribed", request_id, stream_id, channel) + &stamp(stamped_at)
        }
        Event::Unsubscribed { request_id, stream_id, channel } => {
            answer("unsubscribed", request_id, stream_id, channel)
        }
        Event::Rejected { request_id, stream_id, channel, error } => {
            format!("{}: {}", answer("rejected", request_id, stream_id, channel), kind(error.kind))
        }
        Event::FramesLost { message } => format!("frames lost: {message}"),
        Event::Heartbeat { stamped_at } => format!("heartbeat{}", stamp(stamped_at)),
        Event::Closing => "closing".to_owned(),
        Event::VenueStatus { is_up, message } => format!("{}: {message}", if *is_up { "up" } else { "down" }),
        Event::Unknown { kind } => format!("unknown {kind}"),
        Event::Error(error) => format!("error: {}", kind(error.kind)),
    }
}
