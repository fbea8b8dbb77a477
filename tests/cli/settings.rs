//! What to collect, where it is kept, and by which configuration.

use candlewick::exchange::registry;
use chrono::Utc;

use crate::place::{Place, Ran};

const HEADER: &str = "exchange,symbol,timeframes,from,trades,candle_source,only_ticker,state,reason";

fn list(place: &Place) -> Vec<String> {
    place.run("symbols list --format csv").ok().stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_symbol_is_added_widened_paused_resumed_and_removed() {
    let place = Place::new();
    let added = place.run("symbols add binance BTC/USDT -t 1h,1m --from 2026-01-02").ok();
    assert_eq!(added.stdout, "");
    assert_eq!(
        added.stderr,
        "binance BTC/USDT added: 1m,1h from 2026-01-02T00:00:00Z\n\
         a running collector notices within 2 s and checks with the exchange that the market exists\n"
    );
    let row = "binance,BTC/USDT,\"1m,1h\",2026-01-02T00:00:00Z,false,venue,false,active,";
    assert_eq!(list(&place), [HEADER, row]);

    let widened = place.run("symbols add binance BTC/USDT -t 1d --from 2026-01-01T12:00 --trades").ok();
    assert!(
        widened.stderr.starts_with("binance BTC/USDT wants more now: 1m,1h,1d and trades from 2026-01-01T12:00:00Z\n")
    );
    let unchanged = place.run("symbols add binance BTC/USDT --from 2026-01-03").ok();
    assert_eq!(unchanged.stderr, "binance BTC/USDT wants nothing new: 1m,1h,1d and trades from 2026-01-01T12:00:00Z\n");

    let said = |line: &str| place.run(line).ok().stderr;
    assert_eq!(said("symbols pause binance BTC/USDT"), "binance BTC/USDT is paused; it stays wanted\n");
    assert_eq!(said("symbols pause binance BTC/USDT"), "binance BTC/USDT is paused already\n");
    let row = "binance,BTC/USDT,\"1m,1h,1d\",2026-01-01T12:00:00Z,true,venue,false,paused,";
    assert_eq!(list(&place), [HEADER, row]);
    assert_eq!(
        said("symbols resume binance BTC/USDT"),
        "binance BTC/USDT is active again; what it missed is fetched\n"
    );
    assert_eq!(said("symbols remove binance BTC/USDT"), "binance BTC/USDT is not wanted any more; its candles stay\n");
    assert_eq!(list(&place), [HEADER]);
}

#[test]
fn a_closed_exchange_is_switched_off_until_it_is_enabled() {
    let place = Place::new();
    let said = |line: &str| place.run(line).ok().stderr;
    let added = said("symbols add bitmex BTC/USD:BTC --from 2026-01-02");
    assert_eq!(
        added,
        "bitmex BTC/USD:BTC added: 1m from 2026-01-02T00:00:00Z\n  \
         the exchange has been closed since September 2026: bitmex is switched off and nothing of it is collected; \
         switch it on with: candlewick exchanges enable bitmex\n\
         a running collector notices within 2 s and checks with the exchange that the market exists\n"
    );
    let enabled = "bitmex is switched on; but the exchange has been closed since September 2026\n";
    assert_eq!(said("exchanges enable bitmex"), enabled);
    let again = said("symbols add bitmex BTC/USDT --from 2026-01-02");
    assert!(again.contains("bitmex is on; switch it off with: candlewick exchanges disable bitmex\n"), "{again}");
    assert_eq!(said("exchanges disable bitmex"), "bitmex is switched off\n");
    let backfill = place.run("backfill bitmex BTC/USDT:USDT");
    assert_eq!(backfill.code, 1, "{backfill:?}");
    assert!(backfill.stderr.contains("first: candlewick exchanges enable bitmex"), "{backfill:?}");

    assert!(!said("symbols add kraken BTC/USD").contains("exchanges"));
    assert_eq!(said("exchanges disable kraken"), "kraken is switched off\n");
    let note = "  kraken is switched off; switch it on with: candlewick exchanges enable kraken\n";
    assert!(said("symbols add kraken ETH/USD").contains(note));
    assert_eq!(place.run("exchanges enable karken").code, 2);

    let lines = place.run("exchanges --format json").ok().stdout;
    let closed: Vec<_> = lines.lines().filter(|line| line.contains("\"closed\":")).collect();
    assert_eq!(closed.len(), 1);
    assert!(closed[0].contains(r#""id":"bitmex""#), "{}", closed[0]);
    assert!(place.run("exchanges").ok().stdout.contains("CLOSED: the exchange has been closed since September 2026"));
}

#[test]
fn days_of_history_are_counted_from_now() {
    let place = Place::new();
    let before = Utc::now();
    place.run("symbols add yahoo AAPL --backfill-days 30").ok();
    let row = &list(&place)[1];
    let from: chrono::DateTime<Utc> = row.split(',').nth(3).unwrap().parse().unwrap();
    let expected = before - chrono::TimeDelta::days(30);
    assert!((from - expected).num_seconds().abs() < 60, "{from} should be near {expected}");
}

#[test]
fn a_wish_that_cannot_be_creates_no_database() {
    let place = Place::new();
    let cases = [
        (
            "symbols add krakn BTC/USD",
            &*format!("error: unknown exchange \"krakn\"; did you mean kraken? valid: {}\n", registry::ids()),
        ),
        (
            "symbols add kraken BTC-USD",
            "error: symbol \"BTC-USD\" is no pair; Kraken has markets like BTC/USD. did you mean BTC/USD?\n",
        ),
        ("symbols add kraken BTC/USD -t 3m", "error: kraken has no candles of 3m; valid: 1m 5m 15m 30m 1h 4h 1d 1w\n"),
        (
            "symbols add kraken BTC/USD --backfill-days -1",
            "error: backfill days \"-1\" is no whole number of days, 0 or more\n",
        ),
        (
            "symbols add kraken BTC/USD --from 1492-10-12",
            "error: 1492-10-12T00:00:00Z is before 1900; no exchange has candles of that time\n",
        ),
        (
            "symbols add yahoo aapl --trades",
            "error: symbol \"aapl\" is in lower case; did you mean AAPL?\nerror: yahoo has no trades, only candles\n",
        ),
    ];
    for (line, words) in cases {
        assert_eq!(place.run(line), Ran { code: 2, stdout: String::new(), stderr: words.to_owned() }, "{line}");
    }
    assert_eq!(cases.len(), 6);
    assert_eq!(place.run("symbols add kraken BTC/USD --from 9999-01-01").code, 2);
    assert_eq!(place.run("symbols add kraken BTC/USD --from 2026-01-01 --backfill-days 1").code, 2);
    assert!(!place.path("candlewick.db").exists());
}

#[test]
fn names_that_are_not_kept_are_answered_with_the_nearest() {
    let place = Place::new();
    place.run("symbols add kraken BTC/USD").ok();
    let words = |line: &str| {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        ran.stderr
    };
    assert_eq!(
        words("symbols remove kraken BTC/USDT"),
        "error: kraken \"BTC/USDT\" is not kept here; did you mean BTC/USD?\n"
    );
    assert_eq!(
        words("symbols pause binance BTC/USD"),
        "error: no symbol of exchange \"binance\" is kept here; did you mean kraken?\n"
    );
    assert_eq!(
        words("symbols list --exchange krkn"),
        format!("error: unknown exchange \"krkn\"; did you mean kraken? valid: {}\n", registry::ids())
    );
    assert_eq!(place.run("symbols list --exchange yahoo --format json").ok().stdout, "");
}

#[test]
fn a_refused_import_changes_nothing_and_tells_every_fault() {
    let place = Place::new();
    place.run("symbols add kraken BTC/USD --from 2026-01-02").ok();
    let before = list(&place);
    place.put(
        "wanted.csv",
        "exchange,symbol,timeframes,backfill_days\nbinance,ETH/USDT,1m,1\nkrakn,BTC/USD,1m,1\nkraken,BTC/USD,1x,-4\n",
    );
    assert_eq!(
        place.run("symbols import wanted.csv"),
        Ran {
            code: 2,
            stdout: String::new(),
            stderr: format!(
                "error: wanted.csv has 3 faults; nothing was changed\n  \
                     line 3: unknown exchange \"krakn\"; did you mean kraken? valid: {}\n  \
                     line 4: unknown timeframe \"1x\"; valid: 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M (1m is a minute, 1M a month)\n  \
                     line 4: backfill days \"-4\" is no whole number of days, 0 or more\n",
                registry::ids()
            ),
        }
    );
    assert_eq!(list(&place), before);
    let absent = place.run("symbols import nothing.csv");
    assert_eq!(absent.code, 2);
    assert!(absent.stderr.starts_with("error: cannot read nothing.csv: "), "{}", absent.stderr);
}

#[test]
fn what_one_database_lists_another_imports() {
    let (one, two) = (Place::new(), Place::new());
    one.put(
        "wanted.jsonl",
        "{\"exchange\":\"kraken\",\"symbol\":\"BTC/USD\",\"timeframes\":[\"1m\",\"1d\"],\"from\":\"2026-01-02\",\"candle_source\":\"trades\"}\n\
         {\"exchange\":\"yahoo\",\"symbol\":\"AAPL\",\"timeframes\":\"1d\",\"from\":\"2020-01-01\",\"state\":\"paused\"}\n\
         {\"exchange\":\"binance\",\"symbol\":\"ETH/BTC\",\"from\":\"2026-01-01\",\"only_ticker\":true}\n",
    );
    let imported = one.run("symbols import wanted.jsonl").ok();
    assert!(imported.stderr.contains("\n3 added, 0 widened, 0 unchanged\n"), "{}", imported.stderr);
    let listed = list(&one);
    assert_eq!(
        listed,
        [
            HEADER,
            "binance,ETH/BTC,,2026-01-01T00:00:00Z,false,venue,true,active,",
            "kraken,BTC/USD,\"1m,1d\",2026-01-02T00:00:00Z,true,trades,false,active,",
            "yahoo,AAPL,1d,2020-01-01T00:00:00Z,false,venue,false,paused,",
        ]
    );
    two.put("copied.csv", one.run("symbols list --format csv").ok().stdout);
    two.run("symbols import copied.csv").ok();
    assert_eq!(list(&two), listed);
    assert_eq!(
        two.run("symbols list --exchange kraken --format json").ok().lines(),
        [
            r#"{"exchange":"kraken","symbol":"BTC/USD","timeframes":["1m","1d"],"from":"2026-01-02T00:00:00Z","trades":true,"candle_source":"trades","only_ticker":false,"state":"active"}"#
        ]
    );
}

#[test]
fn the_schema_is_made_once_and_its_version_is_told() {
    let place = Place::new();
    let first = place.run("migrate").ok();
    assert!(first.stderr.ends_with(" applied\n"), "{first:?}");
    assert_eq!(first.lines().len(), 1);
    assert!(
        first.stdout.trim().len() >= 14 && first.stdout.trim().bytes().all(|byte| byte.is_ascii_digit()),
        "{first:?}"
    );
    let second = place.run("migrate").ok();
    assert_eq!((second.stdout, second.stderr.as_str()), (first.stdout, "the schema is up to date\n"));
}

#[test]
fn databases_that_cannot_be_used_are_told_apart() {
    let steps = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite")).unwrap().count();
    let place = Place::new();
    let words = |line: &str| {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        ran.stderr
    };
    for line in ["symbols list", "symbols pause kraken BTC/USD", "candles kraken BTC/USD", "gaps", "status"] {
        assert_eq!(
            words(line),
            "error: cannot open sqlite://candlewick.db: there is no such file; `candlewick run`, `demo` and `symbols add` create it\n"
        );
    }
    assert!(!place.path("candlewick.db").exists());
    place.put("text.db", "exchange,symbol\n".repeat(100));
    assert_eq!(
        words("symbols list --database sqlite://text.db"),
        "error: the database is damaged or not a database: file is not a database\n"
    );
    place.put("empty.db", "");
    assert_eq!(
        words("gaps --database empty.db"),
        format!("error: the database lacks {steps} migration(s); run `candlewick migrate`\n")
    );
    place.run("migrate").ok();
    place.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')");
    let newer = words("migrate");
    assert!(
        newer.starts_with("error: the database has schema version 99990101000000, this program knows up to "),
        "{newer}"
    );
    let scheme = place.run("status --database mysql://me:secret@host/candles");
    assert_eq!(scheme.code, 2);
    assert_eq!(
        scheme.stderr,
        "error: bad database URL \"mysql://host/candles\": unknown scheme; write sqlite://PATH (sqlite://candlewick.db) \
         or postgres://USER@HOST/DATABASE\n"
    );
}

#[test]
fn the_option_goes_before_the_variable_before_the_file_before_the_default() {
    let place = Place::new();
    let made = || {
        let mut names = std::fs::read_dir(place.path("."))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".db"))
            .collect::<Vec<_>>();
        names.sort();
        names
    };
    place.run("migrate").ok();
    assert_eq!(made(), ["candlewick.db"]);
    place.put("config/candlewick.toml", "database = \"sqlite://from-usual-file.db\"");
    place.run("migrate").ok();
    place.put("mine.toml", "database = \"sqlite://from-named-file.db\"");
    place.run("migrate --config mine.toml").ok();
    place.put("theirs.toml", "database = \"sqlite://from-file-of-variable.db\"");
    place.run_with("migrate", &[("CANDLEWICK_CONFIG", "theirs.toml")]).ok();
    place.run_with("migrate --config mine.toml", &[("CANDLEWICK_CONFIG", "absent.toml")]).ok();
    place.run_with("migrate", &[("CANDLEWICK_CONFIG", "")]).ok();
    place.run_with("migrate --config mine.toml", &[("CANDLEWICK_DATABASE", "sqlite://from-variable.db")]).ok();
    place.run_with("migrate --database from-option.db", &[("CANDLEWICK_DATABASE", "sqlite://not-this.db")]).ok();
    place.run("--database sqlite://from-option-in-front.db symbols add kraken BTC/USD").ok();
    let expected = [
        "candlewick.db",
        "from-file-of-variable.db",
        "from-named-file.db",
        "from-option-in-front.db",
        "from-option.db",
        "from-usual-file.db",
        "from-variable.db",
    ];
    assert_eq!(made(), expected);
}

#[test]
fn a_configuration_is_checked_with_all_its_faults() {
    let place = Place::new();
    let ok = |words: &str| Ran { code: 0, stdout: words.to_owned(), stderr: String::new() };
    assert_eq!(place.run("config check"), ok("there is no configuration file; the defaults are ok\n"));
    place.put("candlewick.toml", include_str!("../../config/candlewick.toml"));
    assert_eq!(place.run("config check"), ok("candlewick.toml is ok\n"));
    place.put("bad.toml", "databse = \"x.db\"\n[writer]\nbatch_rows = 0\n");
    assert_eq!(
        place.run("config check --config bad.toml"),
        Ran {
            code: 2,
            stdout: String::new(),
            stderr: "error: bad.toml: the configuration has 2 faults\n  \
                     writer.batch_rows: must be at least 1, is 0\n  \
                     databse: unknown key, did you mean database?\n"
                .to_owned(),
        }
    );
    let absent = place.run("config check --config absent.toml");
    assert_eq!(absent.code, 2);
    assert!(absent.stderr.contains("absent.toml: cannot be read: "), "{}", absent.stderr);
    // A file that is named must be there, whoever names it, also where the database is named besides.
    let both = [("CANDLEWICK_CONFIG", "absent.toml"), ("CANDLEWICK_DATABASE", "sqlite://candles.db")];
    assert_eq!(place.run_with("symbols list", &both), Ran { stdout: String::new(), ..absent });
}
