use tracing_subscriber::filter::LevelFilter;

use super::*;
use crate::supervise::policy::Exhausted;
use crate::telemetry::LogFormat;

const IDS: [&str; 2] = ["binance", "kraken"];

fn faults(text: &str) -> Vec<String> {
    match Config::parse_for(text, &IDS) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.faults.iter().map(Fault::to_string).collect(),
    }
}

#[test]
fn the_documented_file_is_the_default() {
    let text = include_str!("../../config/candlewick.toml");
    assert_eq!(Config::parse(text), Ok(Config::default()));
    assert_eq!(Config::parse(""), Ok(Config::default()));
}

#[test]
fn the_documented_file_names_every_setting_and_its_examples_are_valid() {
    // Every commented example, uncommented: a line of the form `# key = value` or `# [section]`.
    let text = include_str!("../../config/candlewick.toml")
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("[exchanges") => rest,
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    let config = Config::parse_for(&text, &IDS).unwrap();
    let kraken = ExchangeConfig {
        enabled: Some(true),
        mode: Some(ExchangeMode::Auto),
        rest_url: Some("https://api.kraken.com".to_owned()),
        stream_url: Some("wss://ws.kraken.com".to_owned()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64)".to_owned()),
        ticker_every: Some(Duration::from_secs(10)),
    };
    assert_eq!(config.exchanges, BTreeMap::from([("kraken".to_owned(), kraken)]));
    assert_eq!(config.transport.proxy, Some("http://127.0.0.1:3128".parse().unwrap()));
    assert_eq!(config.transport.ca_file.as_deref(), Some(Path::new("/etc/ssl/certs/company.pem")));
    assert_eq!(config.redis.url.as_deref(), Some("redis://127.0.0.1:6379"));
    assert_eq!(config.redis.ca_file.as_deref(), Some(Path::new("/etc/ssl/certs/redis.pem")));
    assert_eq!(config.web.token.as_ref().map(Secret::text), Some("kept-somewhere-safe"));
    assert_eq!(config.log.targets.len(), 2);
}

#[test]
fn settings_replace_defaults_one_by_one() {
    let text = r#"
        database = "sqlite:///var/lib/candlewick/candles.db"
        [transport]
        read_timeout = "1m30s"
        max_frame_bytes = 1024
        [exchanges.kraken]
        mode = "poll"
        rest_url = "http://127.0.0.1:8787/kraken/"
        ticker_every = "1m"
        [restart.symbol]
        intensity = 2
        jitter = 1
        exhausted = "escalate"
        [restart.writer]
        exhausted = "quarantine 1h30m"
        [reprobe]
        max = "2h"
        [log]
        level = "debug"
        format = "json"
        targets = { "candlewick::transport" = "trace", hyper = "off" }
    "#;
    let mut expected = Config { database: "sqlite:///var/lib/candlewick/candles.db".to_owned(), ..Config::default() };
    expected.transport.read_timeout = Duration::from_secs(90);
    expected.transport.max_frame_bytes = 1024;
    let kraken = ExchangeConfig {
        mode: Some(ExchangeMode::Poll),
        rest_url: Some("http://127.0.0.1:8787/kraken".to_owned()),
        ticker_every: Some(Duration::from_secs(60)),
        ..ExchangeConfig::default()
    };
    expected.exchanges.insert("kraken".to_owned(), kraken);
    expected.restart.symbol.intensity = 2;
    expected.restart.symbol.jitter = 1.0;
    expected.restart.symbol.exhausted = Exhausted::Escalate;
    expected.restart.writer.exhausted = Exhausted::Quarantine(Duration::from_secs(5400));
    expected.reprobe.max = Duration::from_secs(7200);
    expected.log.level = LevelFilter::DEBUG;
    expected.log.format = LogFormat::Json;
    expected.log.targets = BTreeMap::from([
        ("candlewick::transport".to_owned(), LevelFilter::TRACE),
        ("hyper".to_owned(), LevelFilter::OFF),
    ]);
    assert_eq!(Config::parse_for(text, &IDS), Ok(expected));
}

#[test]
fn all_faults_are_reported_at_once_with_their_paths() {
    let text = r#"
        database = "mysql://user:secret@host"
        databse = "sqlite://x"
        [transport]
        connect_timeout = 10
        read_timeout = "0s"
        max_body_bytes = -1
        proxy = "https://user:secret@proxy"
        [exchanges.krakn]
        mode = "polling"
        [exchanges]
        binance = true
        [restart.symbol]
        intensity = 0
        period = "10 minutes"
        backoff_first = "2m"
        jitter = 1.5
        exhausted = "quarantine"
        restarts = 3
        [restart.symbols]
        [reprobe]
        first = "31m"
        [writer]
        batch_rows = "many"
        [status]
        interval = ["30s"]
        [redis]
        url = "http://user:secret@host"
        prefix = 7
        [web]
        listen = "localhost"
        token = "two words"
        [log]
        level = "loud"
        targets = { "candlewick::transport" = 3 }
    "#;
    assert_eq!(
        faults(text),
        [
            "database: expected an address that begins with sqlite:// or postgres:// or postgresql://",
            "transport.connect_timeout: expected a duration such as \"10s\", \"5m\" or \"1h30m\", is 10",
            "transport.read_timeout: must be longer than 0s",
            "transport.max_body_bytes: expected a whole number, is -1",
            "transport.proxy: cannot use the proxy: its address must begin with http:// or socks5://",
            "exchanges.binance: expected a section, is true",
            "exchanges.krakn: unknown exchange, did you mean kraken?",
            "exchanges.krakn.mode: expected one of \"auto\", \"poll\", is \"polling\"",
            "restart.symbol.intensity: must be at least 1, is 0",
            "restart.symbol.period: expected a duration such as \"10s\", \"5m\" or \"1h30m\", is \"10 minutes\"",
            "restart.symbol.jitter: expected a number from 0 to 1, is 1.5",
            "restart.symbol.exhausted: expected \"escalate\" or \"quarantine\" with a duration, \
             such as \"quarantine 15m\", is \"quarantine\"",
            "restart.symbol.backoff_max: must be at least backoff_first (2m), is 1m",
            "restart.symbol.restarts: unknown key, valid here: intensity, period, backoff_first, backoff_max, \
             jitter, exhausted",
            "restart.symbols: unknown key, did you mean symbol?",
            "reprobe.max: must be at least first (31m), is 30m",
            "writer.batch_rows: expected a whole number, is \"many\"",
            "status.interval: expected a duration such as \"10s\", \"5m\" or \"1h30m\", is a list",
            "redis.url: expected an address that begins with redis:// or rediss://",
            "redis.prefix: expected text, is 7",
            "web.listen: expected an address with a port, such as \"127.0.0.1:8790\" or \"[::1]:8790\", is \"localhost\"",
            "web.token: expected visible ASCII characters without spaces, at least one",
            "log.level: expected one of off, error, warn, info, debug, trace, is \"loud\"",
            "log.targets.\"candlewick::transport\": expected one of off, error, warn, info, debug, trace, is 3",
            "databse: unknown key, did you mean database?",
        ]
    );
}

#[test]
fn a_section_switches_the_http_interface_on_and_its_token_is_never_printed() {
    assert!(!Config::parse("").unwrap().web.enabled);
    let config = Config::parse("[web]\ntoken = \"abc-123\"").unwrap();
    assert_eq!((config.web.enabled, config.web.listen.to_string().as_str()), (true, "127.0.0.1:8790"));
    assert!(!format!("{config:?}").contains("abc-123"));
    assert!(!Config::parse("[web]\nenabled = false").unwrap().web.enabled);
}

#[test]
fn broken_toml_is_located_by_line_and_column() {
    let found = faults("database = \"sqlite://x\"\n\n[transport\nread_timeout = \"1s\"\n[writer]\nbatch_rows = = 3\n");
    let places = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect::<Vec<_>>();
    assert_eq!(places, ["line 3, column 11", "line 6, column 14"]);
    assert_eq!(faults("a = 1\na = 2"), ["line 2, column 1: duplicate key"]);
}

#[test]
fn the_error_lists_every_fault_on_its_own_line() {
    let error = Config::parse_for("[writer]\nbatch_rows = 0\nbatch_age = \"0s\"", &IDS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration has 2 faults\n  writer.batch_rows: must be at least 1, is 0\n  writer.batch_age: must be \
         longer than 0s"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent.toml");
    let error = Config::load(&path).unwrap_err();
    let message = "cannot be read: No such file or directory (os error 2)".to_owned();
    assert_eq!(error.faults, [Fault { path: path.display().to_string(), message }]);

    std::fs::write(&path, "[shutdown]\ndeadline = \"3s\"").unwrap();
    assert_eq!(Config::load(&path).unwrap().shutdown.deadline, Duration::from_secs(3));
}
