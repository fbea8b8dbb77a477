//! Fault scripts: TOML `[[fault]]` tables, or JSON objects of the same shape.
//!
//! A script is checked as a whole: every mistake in it is reported with its position.

use std::time::Duration;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, FaultKind};
use super::listing::Venue;

/// Everything wrong with a script, one line per mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fault script cannot be used:\n{}", .0.join("\n"))]
pub struct ScriptError(pub Vec<String>);

/// A value of either format.
enum Given {
    Text(String),
    Number(f64),
    Other,
}

/// One field: its name, where it stands, and its value.
struct Field {
    name: String,
    place: String,
    value: Given,
}

/// Reads a TOML script.
///
/// # Errors
/// [`ScriptError`] with all mistakes, each as `line:column: what`.
pub fn parse_script(text: &str) -> Result<Vec<Fault>, ScriptError> {
    let place = |at: usize| {
        let before = &text[..at.min(text.len())];
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1) + 1;
        format!("{}:{column}", before.matches('\n').count() + 1)
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        ScriptError(vec![format!("{}: {}", place(at), error.message())])
    })?;
    let mut mistakes = Vec::new();
    let mut faults = Vec::new();
    for (key, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Array(rows) if key.get_ref() == "fault" => {
                for row in rows.iter() {
                    let at = place(row.span().start);
                    let DeValue::Table(row) = row.get_ref() else {
                        mistakes.push(format!("{at}: a fault is a table: write [[fault]]"));
                        continue;
                    };
                    let fields = row.iter().map(|(name, value)| Field {
                        name: name.get_ref().to_string(),
                        place: place(value.span().start),
                        value: given_toml(value.get_ref()),
                    });
                    read_fault(&at, fields.collect(), &mut faults, &mut mistakes);
                }
            }
            _ => mistakes.push(format!(
                "{}: unknown key {:?}; a script holds only [[fault]] tables",
                place(key.span().start),
                key.get_ref()
            )),
        }
    }
    if mistakes.is_empty() { Ok(faults) } else { Err(ScriptError(mistakes)) }
}

/// Reads one fault, or an array of them, from JSON.
///
/// # Errors
/// [`ScriptError`] with all mistakes, each with the field's path.
pub fn parse_json(text: &str) -> Result<Vec<Fault>, ScriptError> {
    let value: Value = serde_json::from_str(text).map_err(|error| ScriptError(vec![error.to_string()]))?;
    let rows = match value {
        Value::Array(rows) => rows,
        one => vec![one],
    };
    let mut mistakes = Vec::new();
    let mut faults = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let at = format!("fault[{index}]");
        let Some(row) = row.as_object() else {
            mistakes.push(format!("{at}: a fault is an object"));
            continue;
        };
        let fields = row.iter().map(|(name, value)| Field {
            name: name.clone(),
            place: format!("{at}.{name}"),
            value: match value {
                Value::String(text) => Given::Text(text.clone()),
                Value::Number(number) => number.as_f64().map_or(Given::Other, Given::Number),
                _ => Given::Other,
            },
        });
        read_fault(&at, fields.collect(), &mut faults, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(faults) } else { Err(ScriptError(mistakes)) }
}

fn given_toml(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(number) => number.to_string().parse().map_or(Given::Other, Given::Number),
        DeValue::Float(number) => number.as_str().parse().map_or(Given::Other, Given::Number),
        _ => Given::Other,
    }
}

/// The fields of one fault, taken out one by one; what is left at the end is unknown.
struct Fields<'a> {
    fields: Vec<Field>,
    at: &'a str,
    mistakes: &'a mut Vec<String>,
}

impl Fields<'_> {
    fn take<T>(&mut self, name: &str, wanted: &str, read: impl Fn(&Given) -> Option<T>) -> Option<T> {
        let index = self.fields.iter().position(|field| field.name == name)?;
        let field = self.fields.swap_remove(index);
        let value = read(&field.value);
        if value.is_none() {
            self.mistakes.push(format!("{}: {name} must be {wanted}", field.place));
        }
        value
    }

    fn duration(&mut self, name: &str) -> Option<Duration> {
        self.take(name, "a duration such as \"90s\", \"250ms\" or \"1h30m\", or a number of seconds", |given| {
            match given {
                Given::Text(text) => parse_duration(text),
                Given::Number(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
                Given::Other => None,
            }
        })
    }

    fn needed_duration(&mut self, name: &str) -> Duration {
        let known = self.mistakes.len();
        self.duration(name).unwrap_or_else(|| {
            if self.mistakes.len() == known {
                self.mistakes.push(format!("{}: {name} is missing", self.at));
            }
            Duration::ZERO
        })
    }

    fn whole(&mut self, name: &str, from: u64, to: u64) -> Option<u64> {
        self.take(name, &format!("a whole number from {from} to {to}"), |given| match given {
            Given::Number(number) if number.fract() == 0.0 && (from as f64..=to as f64).contains(number) => {
                Some(*number as u64)
            }
            _ => None,
        })
    }

    fn text<T: std::str::FromStr>(&mut self, name: &str, wanted: &str) -> Option<T> {
        self.take(name, wanted, |given| match given {
            Given::Text(text) => text.parse().ok(),
            _ => None,
        })
    }
}

fn read_fault(at: &str, fields: Vec<Field>, faults: &mut Vec<Fault>, mistakes: &mut Vec<String>) {
    let known = mistakes.len();
    let mut fields = Fields { fields, at, mistakes };
    let has_kind = fields.fields.iter().any(|field| field.name == "kind");
    let kind_text = fields.text::<String>("kind", "a text");
    let exchange = fields.text("exchange", &format!("one of {}", Venue::names(" ")));
    let symbol = fields.text("symbol", "a unified symbol such as BTC/USD");
    let after = fields.duration("after").unwrap_or_default();
    let lasting = fields.duration("for");
    let probability = fields.take("probability", "a number from 0 to 1", |given| match given {
        Given::Number(number) if (0.0..=1.0).contains(number) => Some(*number),
        _ => None,
    });
    let count = fields.whole("count", 1, 1_000_000_000);
    let kind = match &kind_text {
        Some(text) => read_kind(text, &mut fields),
        None => None,
    };
    if !has_kind {
        fields.mistakes.push(format!("{at}: kind is missing; one of: {KINDS}"));
    }
    if kind.is_some() || kind_text.is_none() {
        for field in std::mem::take(&mut fields.fields) {
            let of = kind_text.as_deref().unwrap_or("a fault");
            fields.mistakes.push(format!("{}: {of} has no parameter {:?}", field.place, field.name));
        }
    }
    if let (Some(kind), true) = (kind, mistakes.len() == known) {
        faults.push(Fault { exchange, symbol, after, lasting, probability: probability.unwrap_or(1.0), count, kind });
    }
}

const KINDS: &str = "drop refuse stall half_open http_429 http_418 http_5xx html truncate rubbish duplicate \
                     out_of_order late_revision late_bar page_cap ignore_since empty_page delist clock_skew lifetime \
                     slow missing_rows maintenance";

fn read_kind(text: &str, fields: &mut Fields<'_>) -> Option<FaultKind> {
    Some(match text {
        "drop" => FaultKind::Drop { every: fields.duration("every").filter(|every| !every.is_zero()) },
        "refuse" => FaultKind::Refuse,
        "stall" => FaultKind::Stall,
        "half_open" => FaultKind::HalfOpen,
        "http_429" => FaultKind::Http429 { retry_after: fields.duration("retry_after") },
        "http_418" => FaultKind::Http418 { retry_after: fields.duration("retry_after") },
        "http_5xx" => FaultKind::Http5xx { status: fields.whole("status", 500, 599).unwrap_or(502) as u16 },
        "html" => FaultKind::Html,
        "truncate" => FaultKind::Truncate,
        "rubbish" => FaultKind::Rubbish,
        "duplicate" => FaultKind::Duplicate,
        "out_of_order" => FaultKind::OutOfOrder,
        "late_revision" => FaultKind::LateRevision { lasting: fields.needed_duration("lasting") },
        "late_bar" => FaultKind::LateBar { delay: fields.needed_duration("delay") },
        "page_cap" => FaultKind::PageCap { rows: fields.whole("rows", 1, 100_000).unwrap_or(100) as usize },
        "ignore_since" => FaultKind::IgnoreSince,
        "empty_page" => FaultKind::EmptyPage,
        "delist" => FaultKind::Delist,
        "clock_skew" => FaultKind::ClockSkew { by_ms: read_skew(fields) },
        "lifetime" => FaultKind::Lifetime { lifetime: fields.needed_duration("lifetime") },
        "slow" => FaultKind::Slow { delay: fields.needed_duration("delay") },
        "missing_rows" => FaultKind::MissingRows,
        "maintenance" => FaultKind::Maintenance,
        _ => {
            fields.mistakes.push(format!("{}: unknown kind {text:?}; one of: {KINDS}", fields.at));
            return None;
        }
    })
}

fn read_skew(fields: &mut Fields<'_>) -> i64 {
    let known = fields.mistakes.len();
    let by = fields.take("by", "a signed duration such as \"-90s\"", |given| match given {
        Given::Text(text) => {
            let (sign, text) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
            Some(sign * i64::try_from(parse_duration(text)?.as_millis()).ok()?)
        }
        Given::Number(seconds) => Some((seconds * 1000.0) as i64),
        Given::Other => None,
    });
    if by.is_none() && fields.mistakes.len() == known {
        fields.mistakes.push(format!("{}: by is missing", fields.at));
    }
    by.unwrap_or(0)
}

/// `250ms`, `90s`, `5m`, `2h`, `1d` and sequences of them such as `1h30m`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let seconds = match &tail[..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = tail[letters..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_with_its_times_and_parameters() {
        let script = r#"
            [[fault]]
            exchange = "kraken"
            kind = "late_revision"
            symbol = "BTC/USD"
            after = "1h30m"
            for = 90
            lasting = "20s"
            probability = 0.25

            [[fault]]
            kind = "clock_skew"
            by = "-1500ms"
        "#;
        let lasting = Duration::from_secs(20);
        let expected = vec![
            Fault::new(FaultKind::LateRevision { lasting })
                .on(Venue::KRAKEN)
                .symbol("BTC/USD".parse().unwrap())
                .between(Duration::from_secs(5400), Duration::from_secs(90))
                .probability(0.25),
            Fault::new(FaultKind::ClockSkew { by_ms: -1500 }),
        ];
        assert_eq!(parse_script(script), Ok(expected));
        assert_eq!(
            parse_json(r#"{"kind":"http_429","exchange":"binance","retry_after":"7s","count":3}"#),
            Ok(vec![
                Fault::new(FaultKind::Http429 { retry_after: Some(Duration::from_secs(7)) })
                    .on(Venue::BINANCE)
                    .times(3)
            ])
        );
    }

    #[test]
    fn every_mistake_of_a_script_is_reported_with_its_position() {
        let script = "[[fault]]\nexchange = \"krakn\"\nkind = \"late_bar\"\nafter = \"soon\"\n\n[[fault]]\nkind = \"html\"\nrows = 4\n\n[[fault]]\nprobability = 2\n";
        assert_eq!(
            parse_script(script),
            Err(ScriptError(vec![
                format!("2:12: exchange must be one of {}", Venue::names(" ")),
                "4:9: after must be a duration such as \"90s\", \"250ms\" or \"1h30m\", or a number of seconds".into(),
                "1:1: delay is missing".into(),
                "8:8: html has no parameter \"rows\"".into(),
                "11:15: probability must be a number from 0 to 1".into(),
                format!("10:1: kind is missing; one of: {KINDS}"),
            ]))
        );
        assert_eq!(
            parse_json(r#"[{"kind":"hmtl"}, 4]"#),
            Err(ScriptError(vec![
                format!("fault[0]: unknown kind \"hmtl\"; one of: {KINDS}"),
                "fault[1]: a fault is an object".into(),
            ]))
        );
    }
}
