use super::*;

fn fault(text: &str) -> (Option<String>, Option<String>, String) {
    let reply = Command::from_json(text, Asker::Redis).unwrap_err();
    let refusal = reply.error.unwrap();
    assert_eq!((reply.ok, reply.changed, refusal.kind), (false, false, RefusalKind::Malformed));
    (reply.id, reply.command, refusal.message)
}

#[test]
fn every_command_survives_its_json() {
    let name = || SymbolName { exchange: "kraken".to_owned(), symbol: "BTC/USD".to_owned() };
    let some = |text: &str| Some(text.to_owned());
    let actions = [
        Action::AddSymbol(AddSymbol { exchange: "kraken".into(), symbol: "BTC/USD".into(), ..AddSymbol::default() }),
        Action::AddSymbol(AddSymbol {
            exchange: "kraken".to_owned(),
            symbol: "BTC/USD".to_owned(),
            timeframes: some("1m,1h"),
            backfill_days: some("3"),
            from: some("2026-11-01"),
            trades: true,
            candle_source: some("trades"),
            only_ticker: true,
        }),
        Action::RemoveSymbol(name()),
        Action::Pause(name()),
        Action::Resume(name()),
        Action::Backfill(Backfill {
            exchange: "kraken".to_owned(),
            symbol: "BTC/USD".to_owned(),
            from: None,
            backfill_days: some("9"),
        }),
        Action::Audit(Audit { exchange: some("kraken"), repair: true, ..Audit::default() }),
        Action::Status(StatusQuery { component: some("kraken:BTC/USD") }),
        Action::Shutdown,
    ];
    let mut names: Vec<_> = actions.iter().map(Action::name).collect();
    for action in actions {
        let command = Command { id: "7f1c".to_owned(), asked_by: Asker::Http, action };
        assert_eq!(Command::from_json(&command.to_json(), Asker::Http), Ok(command));
    }
    names.dedup();
    assert_eq!(names, NAMES);
}

#[test]
fn lists_numbers_and_texts_say_the_same() {
    let text = |timeframes: &str, days: &str| {
        let text = format!(
            r#"{{"id":1,"command":"add_symbol","exchange":"k","symbol":"B/U","timeframes":{timeframes},"backfill_days":{days}}}"#
        );
        Command::from_json(&text, Asker::Redis).unwrap()
    };
    assert_eq!(text(r#"["1m","1h"]"#, "3"), text(r#""1m,1h""#, r#""3""#));
    assert_eq!(text(r#""1m""#, "3").id, "1");
}

#[test]
fn what_is_wrong_is_told_with_what_would_be_right() {
    let (id, command, message) = fault("pause kraken");
    assert_eq!((id, command), (None, None));
    assert!(message.starts_with("no JSON (expected value at line 1 column 1); a command is an object"), "{message}");
    assert!(fault("[1]").2.starts_with("a command is a JSON object, such as {\"id\""));
    let valid = NAMES.join(" ");
    assert_eq!(fault(r#"{"id":"7"}"#), (Some("7".into()), None, format!("command is missing; valid: {valid}")));
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        fault(r#"{"id":"7","command":"add"}"#),
        (some("7"), some("add"), format!("unknown command \"add\"; did you mean add_symbol? valid: {valid}"))
    );
    assert_eq!(
        fault(r#"{"command":"shutdown"}"#).2,
        "id is missing; write a text of your own that no other command has"
    );
    assert_eq!(
        fault(r#"{"id":"","command":"shutdown"}"#).2,
        "id must be a text of 1 to 128 bytes without control characters"
    );
    assert_eq!(
        fault(r#"{"id":"7","command":"pause","exchange":"kraken","symbl":"BTC/USD"}"#).2,
        "unknown field `symbl`, expected `exchange` or `symbol`"
    );
    assert_eq!(fault(r#"{"id":"7","command":"pause","exchange":"kraken"}"#).2, "missing field `symbol`");
    assert!(fault(r#"{"id":"7","command":"shutdown","now":true}"#).2.starts_with("unknown field `now`"));
    assert_eq!(
        fault(r#"{"id":"7","command":"backfill","exchange":"a","symbol":"b","from":true}"#).2,
        "expected a text, a number or a list of texts, is true"
    );
}
