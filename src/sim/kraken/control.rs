//! Kraken's WebSocket control frames: requests as they come in, acks and refusals as they go out.

use serde_json::Value;

use super::super::http::{quoted, rfc3339};
use super::frame_of_interval;

/// A request that can be carried out.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) channel: &'static str,
    pub(super) symbols: Vec<&'a str>,
    pub(super) interval: i64,
    pub(super) snapshot: Option<bool>,
    id: Option<i64>,
}

/// One that cannot.
pub(super) struct Refusal<'a> {
    method: Option<&'a str>,
    error: String,
    id: Option<i64>,
}

impl Refusal<'_> {
    pub(super) fn failure_text(&self, now_ns: i64) -> String {
        let method = self.method.map_or(String::new(), |method| format!(r#""method":{},"#, quoted(method)));
        let error = quoted(&self.error);
        format!(r#"{{{method}"success":false,"error":{error},{}"#, tail(self.id, now_ns))
    }
}

/// The times and the request id that end every answer.
fn tail(id: Option<i64>, now_ns: i64) -> String {
    let id = id.map_or(String::new(), |id| format!(r#","req_id":{id}"#));
    let (time_in, time_out) = (rfc3339(now_ns, 6), rfc3339(now_ns + 176_000, 6));
    format!(r#""time_in":"{time_in}","time_out":"{time_out}"{id}}}"#)
}

impl<'a> Request<'a> {
    pub(super) fn read(value: &'a Value) -> Result<Request<'a>, Refusal<'a>> {
        let id = value["req_id"].as_i64();
        let method = value["method"].as_str();
        let refuse = |error: String| Refusal { method, error, id };
        let params = &value["params"];
        let channel = match (method, params["channel"].as_str()) {
            (Some("ping"), _) => "",
            (Some("subscribe" | "unsubscribe"), Some("ohlc")) => "ohlc",
            (Some("subscribe" | "unsubscribe"), Some("trade")) => "trade",
            (Some("subscribe" | "unsubscribe"), Some(other)) => {
                return Err(refuse(format!("Channel name invalid {other}")));
            }
            (Some("subscribe" | "unsubscribe"), None) => return Err(refuse("Channel field missing".into())),
            _ => return Err(refuse("Malformed request".into())),
        };
        let symbols: Vec<&str> = match &params["symbol"] {
            Value::Array(symbols) => symbols.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if symbols.is_empty() && !channel.is_empty() {
            return Err(refuse("Symbol(s) not found".into()));
        }
        let interval = if params["interval"].is_null() { Some(1) } else { params["interval"].as_i64() };
        let Some(interval) = interval.filter(|interval| frame_of_interval(*interval).is_some()) else {
            return Err(refuse("Ohlc interval not supported".into()));
        };
        let snapshot = params["snapshot"].as_bool();
        Ok(Request { method: method.unwrap_or_default(), channel, symbols, interval, snapshot, id })
    }

    pub(super) fn pong(&self, now_ns: i64) -> String {
        let id = self.id.map_or(String::new(), |id| format!(r#""req_id":{id},"#));
        format!(r#"{{"method":"pong",{id}{}"#, tail(None, now_ns))
    }

    pub(super) fn success(&self, symbol: &str, snapshot: bool, now_ns: i64) -> String {
        let interval = if self.channel == "ohlc" { format!(r#""interval":{},"#, self.interval) } else { String::new() };
        format!(
            r#"{{"method":"{}","result":{{"channel":"{}",{interval}"snapshot":{snapshot},"symbol":{}}},"success":true,{}"#,
            self.method,
            self.channel,
            quoted(symbol),
            tail(self.id, now_ns)
        )
    }

    pub(super) fn failure(&self, error: &str, symbol: Option<&str>, now_ns: i64) -> String {
        let symbol = symbol.map_or(String::new(), |symbol| format!(r#""symbol":{},"#, quoted(symbol)));
        format!(
            r#"{{"method":"{}","success":false,"error":{},{symbol}{}"#,
            self.method,
            quoted(error),
            tail(self.id, now_ns)
        )
    }
}
