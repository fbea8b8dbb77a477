//! What is answered to a command, and its JSON form.

use serde::Serialize;
use serde_json::Value;

use crate::status::ComponentStatus;

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    /// The command's id, where it had one.
    pub id: Option<String>,
    /// The command's name, where it had one.
    pub command: Option<String>,
    /// It was carried out, now or before.
    pub ok: bool,
    /// It changed something.
    pub changed: bool,
    /// The id was known: this is what became of it then, and nothing was done now.
    pub repeated: bool,
    /// What was done, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the asker should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// It goes on: asked again under its id, it tells how far it is, and its report when it is over.
    #[serde(skip_serializing_if = "is_false")]
    pub begun: bool,
    /// What an audit has found, one object for each series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Value>,
    /// The components asked for, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<ComponentStatus>>,
    /// Why it was not carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What sort of fault.
    pub kind: RefusalKind,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Sorts of faults, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// It cannot be read.
    Malformed,
    /// It can be read and cannot be: no such exchange, no such timeframe, a time in the future.
    Invalid,
    /// The symbol or component is not there.
    Unknown,
    /// The id belongs to another command.
    Conflict,
    /// The database is in the way; the same command may succeed later.
    Store,
    /// The collector is ending; the same command may succeed after its next start.
    Stopping,
}

impl RefusalKind {
    const ALL: [RefusalKind; 6] = [
        RefusalKind::Malformed,
        RefusalKind::Invalid,
        RefusalKind::Unknown,
        RefusalKind::Conflict,
        RefusalKind::Store,
        RefusalKind::Stopping,
    ];

    /// The word in replies and in the table `commands`.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalKind::Malformed => "malformed",
            RefusalKind::Invalid => "invalid",
            RefusalKind::Unknown => "unknown",
            RefusalKind::Conflict => "conflict",
            RefusalKind::Store => "store",
            RefusalKind::Stopping => "stopping",
        }
    }

    /// True when the same command may succeed later: nothing of it is recorded.
    pub fn is_passing(self) -> bool {
        matches!(self, RefusalKind::Store | RefusalKind::Stopping)
    }
}

/// Outcomes as they are recorded.
const DONE: &str = "done: ";
const UNCHANGED: &str = "done (nothing to change): ";
const REFUSED: &str = "refused: ";
const BEGUN: &str = "begun: ";

fn is_false(value: &bool) -> bool {
    !value
}

impl Reply {
    /// It was carried out.
    pub fn done(id: &str, command: &str, changed: bool, message: String) -> Reply {
        Reply {
            id: Some(id.to_owned()),
            command: Some(command.to_owned()),
            ok: true,
            changed,
            repeated: false,
            message,
            notes: Vec::new(),
            begun: false,
            report: None,
            components: None,
            error: None,
        }
    }

    /// It was not carried out.
    pub fn refused(id: Option<String>, command: Option<String>, refusal: Refusal) -> Reply {
        Reply {
            id,
            command,
            ok: false,
            changed: false,
            repeated: false,
            message: String::new(),
            notes: Vec::new(),
            begun: false,
            report: None,
            components: None,
            error: Some(refusal),
        }
    }

    /// It has been begun and goes on.
    pub fn begun(id: &str, command: &str, message: String) -> Reply {
        Reply { begun: true, ..Reply::done(id, command, false, message) }
    }

    /// The reply as one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }

    /// The outcome as it is recorded.
    pub fn outcome(&self) -> String {
        match &self.error {
            Some(refusal) => format!("{REFUSED}{}: {}", refusal.kind.as_str(), refusal.message),
            None if self.begun => format!("{BEGUN}{}", self.message),
            None if self.changed => format!("{DONE}{}", self.message),
            None => format!("{UNCHANGED}{}", self.message),
        }
    }

    /// The answer to a command whose outcome is recorded already.
    pub fn repeated(id: &str, command: &str, outcome: &str) -> Reply {
        let refused = outcome.strip_prefix(REFUSED).map(|words| {
            let told = words.split_once(": ").and_then(|(word, message)| {
                let kind = RefusalKind::ALL.into_iter().find(|kind| kind.as_str() == word)?;
                Some(Refusal { kind, message: message.to_owned() })
            });
            told.unwrap_or_else(|| Refusal { kind: RefusalKind::Invalid, message: words.to_owned() })
        });
        let reply = match refused {
            Some(refusal) => Reply::refused(Some(id.to_owned()), Some(command.to_owned()), refusal),
            None if outcome.starts_with(BEGUN) => Reply::begun(id, command, outcome[BEGUN.len()..].to_owned()),
            None => {
                let unchanged = outcome.strip_prefix(UNCHANGED);
                let message = unchanged.or_else(|| outcome.strip_prefix(DONE)).unwrap_or(outcome);
                Reply::done(id, command, unchanged.is_none(), message.to_owned())
            }
        };
        Reply { repeated: true, ..reply }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_again_from_its_recorded_outcome() {
        let refusal = Refusal { kind: RefusalKind::Unknown, message: "kraken: what: is not kept here".to_owned() };
        let replies = [
            Reply::done("7", "pause", true, "kraken BTC/USD is paused".to_owned()),
            Reply::done("7", "pause", false, "kraken BTC/USD is paused already".to_owned()),
            Reply::begun("7", "pause", "0 of 7 buckets compared; kraken".to_owned()),
            Reply::refused(Some("7".to_owned()), Some("pause".to_owned()), refusal),
        ];
        for reply in replies {
            let again = Reply::repeated("7", "pause", &reply.outcome());
            assert_eq!(again, Reply { repeated: true, ..reply });
        }
        assert_eq!(Reply::repeated("7", "pause", "done").message, "done");
    }

    #[test]
    fn replies_are_flat_json_without_empty_parts() {
        assert_eq!(
            Reply::done("7", "shutdown", true, "stopping in order".to_owned()).to_json(),
            r#"{"id":"7","command":"shutdown","ok":true,"changed":true,"repeated":false,"message":"stopping in order"}"#
        );
        let refusal = Refusal { kind: RefusalKind::Malformed, message: "no".to_owned() };
        assert_eq!(
            Reply::refused(None, None, refusal).to_json(),
            r#"{"id":null,"command":null,"ok":false,"changed":false,"repeated":false,"error":{"kind":"malformed","message":"no"}}"#
        );
    }
}
