//! OKX's control frames: requests as they come in, acks and refusals as they go out.

use serde_json::Value;

use super::super::http::quoted;

/// A channel of a market, as requests and frames name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arg {
    pub(super) channel: String,
    pub(super) id: String,
}

impl Arg {
    pub(super) fn text(&self) -> String {
        format!(r#"{{"channel":{},"instId":{}}}"#, quoted(&self.channel), quoted(&self.id))
    }
}

/// A request that can be read.
pub(super) struct Request {
    pub(super) op: String,
    pub(super) args: Vec<Arg>,
    /// Given back in every answer.
    pub(super) id: Option<String>,
}

impl Request {
    /// `Err`: its id, where it has a readable one.
    pub(super) fn read(text: &str) -> Result<Request, Option<String>> {
        let value = serde_json::from_str::<Value>(text).map_err(|_| None)?;
        let id = match &value["id"] {
            Value::Null => None,
            Value::String(id) if id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Some(id.clone())
            }
            _ => return Err(None),
        };
        let op = value["op"].as_str().filter(|op| matches!(*op, "subscribe" | "unsubscribe"));
        let args = value["args"].as_array().filter(|args| !args.is_empty());
        let (Some(op), Some(args)) = (op, args) else { return Err(id) };
        let arg = |arg: &Value| {
            let id = arg["instId"].as_str().unwrap_or_default();
            arg["channel"].as_str().map(|channel| Arg { channel: channel.to_owned(), id: id.to_owned() })
        };
        match args.iter().map(arg).collect::<Option<Vec<Arg>>>() {
            Some(args) => Ok(Request { op: op.to_owned(), args, id }),
            None => Err(id),
        }
    }
}

fn prefix(id: Option<&str>) -> String {
    id.map_or(String::new(), |id| format!(r#""id":"{id}","#))
}

pub(super) fn ack(op: &str, arg: &Arg, id: Option<&str>, connection: &str) -> String {
    format!(r#"{{{}"event":"{op}","arg":{},"connId":"{connection}"}}"#, prefix(id), arg.text())
}

pub(super) fn failure(code: u32, message: &str, id: Option<&str>, connection: &str) -> String {
    format!(r#"{{{}"event":"error","code":"{code}","msg":{},"connId":"{connection}"}}"#, prefix(id), quoted(message))
}
