//! What Prometheus reads, in its text format. Labels come from closed sets: exchanges and symbols
//! that are wanted, modes, healths, reasons.

use std::collections::BTreeMap;
use std::fmt::Write;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};

use super::Face;
use crate::status::sink::StatusRecord;
use crate::status::venue_tally::FINAL_WITHIN_SECONDS;
use crate::status::{ComponentStatus, DAEMON, Health, Mode, Totals, VenueTotals};

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

const EXCHANGE: &[&str] = &["exchange"];
const SYMBOL: &[&str] = &["exchange", "symbol"];

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: "gauge", labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: "counter", labels, help }
}

const BUILD: Metric = gauge("candlewick_build_info", &["version"], "Always 1; the label tells the version.");
const UP: Metric = gauge("candlewick_collector_up", &[], "1 while the collector runs, 0 once it has ended.");
const STARTED: Metric =
    gauge("candlewick_start_timestamp_seconds", &[], "When the collector first reported, in its own time.");
const LAG: Metric =
    gauge("candlewick_symbol_lag_seconds", SYMBOL, "How far the close of the newest final candle lies behind now.");
const TIMEFRAME: Metric =
    gauge("candlewick_symbol_timeframe_seconds", SYMBOL, "The finest timeframe wanted, to measure the lag by.");
const LAST: Metric = gauge(
    "candlewick_symbol_last_candle_timestamp_seconds",
    SYMBOL,
    "Open time of the newest final candle of the finest series.",
);
const REPORTED: Metric =
    gauge("candlewick_symbol_report_age_seconds", SYMBOL, "How long ago the symbol last reported.");
const COVERAGE: Metric =
    gauge("candlewick_symbol_coverage_ratio", SYMBOL, "Complete share of everything wanted, 0 to 1.");
const SETTLED: Metric =
    gauge("candlewick_symbol_settled_ratio", SYMBOL, "Share that is complete or proven unavailable, 0 to 1.");
const OPEN_GAPS: Metric = gauge(
    "candlewick_symbol_open_gaps",
    SYMBOL,
    "Stretches that are missing although they are overdue; history still to be read is left out.",
);
const SYMBOL_RESTARTS: Metric =
    counter("candlewick_symbol_restarts_total", SYMBOL, "How often the symbol was started again after a failure.");
const MODE: Metric = gauge(
    "candlewick_symbol_mode",
    &["exchange", "symbol", "mode"],
    "1 for the mode in which the symbol is kept live, 0 for the others.",
);
const SYMBOL_HEALTH: Metric = gauge(
    "candlewick_symbol_health",
    &["exchange", "symbol", "health"],
    "1 for the health of the symbol, 0 for the others.",
);
const EXCHANGE_HEALTH: Metric =
    gauge("candlewick_exchange_health", &["exchange", "health"], "1 for the health of the exchange, 0 for the others.");
const EXCHANGE_RESTARTS: Metric = counter(
    "candlewick_exchange_restarts_total",
    EXCHANGE,
    "How often the exchange was started again after a failure.",
);
const WRITER_HEALTH: Metric =
    gauge("candlewick_writer_health", &["health"], "1 for the health of the writer, 0 for the others.");
const STORED: Metric = counter("candlewick_candles_stored_total", &[], "Final candles written for the first time.");
const REVISIONS: Metric = counter("candlewick_revisions_total", &[], "Final values that changed.");
const REST_CALLS: Metric = counter("candlewick_rest_calls_total", EXCHANGE, "HTTP calls made.");
const FRAMES: Metric = counter("candlewick_frames_total", EXCHANGE, "Stream frames received.");
const CONNECTIONS: Metric = counter("candlewick_connections_total", EXCHANGE, "Stream connections opened.");
const ROTATIONS: Metric = counter(
    "candlewick_rotations_total",
    EXCHANGE,
    "Stream connections replaced by a proven one before the exchange ended them.",
);
const ROTATIONS_FAILED: Metric = counter(
    "candlewick_rotations_failed_total",
    EXCHANGE,
    "New connections that were to replace one and were given up; the old one went on.",
);
const DEAF: Metric = counter(
    "candlewick_deaf_symbols_total",
    EXCHANGE,
    "How often a stream was found to say nothing of a symbol that traded.",
);
const GAPS_HEALED: Metric =
    counter("candlewick_gaps_healed_total", EXCHANGE, "Open gaps that became complete as a whole.");
const BUDGET: Metric = gauge(
    "candlewick_rate_budget_used_ratio",
    &["exchange", "limit"],
    "Used share of what the exchange allows in one window, 0 to 1.",
);
const TIME_TO_FINAL: Metric = Metric {
    name: "candlewick_time_to_final_seconds",
    kind: "histogram",
    labels: EXCHANGE,
    help: "From the close of a candle until its final form was durable.",
};
const WRITE_FAILURES: Metric =
    counter("candlewick_write_failures_total", &[], "Writes that the store could not take at once.");
const SPOOL_ROWS: Metric =
    gauge("candlewick_spool_rows", &[], "Rows that wait in the spool because the database is away.");
const SPOOL_BYTES: Metric = gauge("candlewick_spool_bytes", &[], "Size of what waits in the spool.");
const SPOOL_LIMIT: Metric =
    gauge("candlewick_spool_limit_bytes", &[], "Size at which sources have to wait; 0 without a spool.");
const PRUNED: Metric =
    counter("candlewick_pruned_rows_total", &["kind"], "Rows removed because they are not kept any more, by kind.");
const DROPPED: Metric = counter("candlewick_dropped_total", &["reason"], "What was left out, by reason.");

/// Every metric, in the order in which they are told.
pub const METRICS: [Metric; 33] = [
    BUILD,
    UP,
    STARTED,
    LAG,
    TIMEFRAME,
    LAST,
    REPORTED,
    COVERAGE,
    SETTLED,
    OPEN_GAPS,
    SYMBOL_RESTARTS,
    MODE,
    SYMBOL_HEALTH,
    EXCHANGE_HEALTH,
    EXCHANGE_RESTARTS,
    WRITER_HEALTH,
    STORED,
    REVISIONS,
    REST_CALLS,
    FRAMES,
    CONNECTIONS,
    ROTATIONS,
    ROTATIONS_FAILED,
    DEAF,
    GAPS_HEALED,
    BUDGET,
    TIME_TO_FINAL,
    WRITE_FAILURES,
    SPOOL_ROWS,
    SPOOL_BYTES,
    SPOOL_LIMIT,
    PRUNED,
    DROPPED,
];

const MODES: [Mode; 4] = [Mode::LiveWebsocket, Mode::LiveRestPolling, Mode::LiveTrade, Mode::Ticker];
const HEALTHS: [Health; 6] =
    [Health::Starting, Health::Running, Health::Processing, Health::Idle, Health::Error, Health::Stopped];

/// `GET /metrics`.
pub(super) async fn metrics(face: web::Data<Face>) -> HttpResponse {
    let remote = &face.remote;
    let now_ms = remote.clock().now().timestamp_millis();
    let text = page(&remote.records(), &remote.totals(), now_ms, remote.is_alive());
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")).body(text)
}

/// The text that is being written.
#[derive(Default)]
struct Page(String);

impl Page {
    /// A metric with a value for each set of label values.
    fn put<'a>(&mut self, metric: &Metric, samples: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
        self.head(metric);
        for (values, number) in samples {
            self.sample(metric.name, metric.labels, &values, number);
        }
    }

    fn head(&mut self, Metric { name, kind, help, .. }: &Metric) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[&str], values: &[&str], number: f64) {
        let pair = |(label, value): (&&str, &&str)| format!("{label}=\"{}\"", escaped(value));
        let pairs: Vec<_> = labels.iter().zip(values).map(pair).collect();
        match pairs.is_empty() {
            true => self.line(format_args!("{name} {number}\n")),
            false => self.line(format_args!("{name}{{{}}} {number}\n", pairs.join(","))),
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a text takes all");
    }

    /// A histogram of the times of each exchange; its classes are told as sums of all before them.
    fn times(&mut self, metric: &Metric, venues: &BTreeMap<&'static str, VenueTotals>) {
        self.head(metric);
        let [bucket, sum, count] = ["bucket", "sum", "count"].map(|part| format!("{}_{part}", metric.name));
        for (id, venue) in venues {
            let ends = FINAL_WITHIN_SECONDS.iter().map(u32::to_string).chain(["+Inf".to_owned()]);
            let mut so_far = 0;
            for (end, finals) in ends.zip(venue.finals) {
                so_far += finals;
                self.sample(&bucket, &["exchange", "le"], &[id, &end], so_far as f64);
            }
            self.sample(&sum, metric.labels, &[id], venue.finals_ms as f64 / 1000.0);
            self.sample(&count, metric.labels, &[id], so_far as f64);
        }
    }

    /// A metric of the symbols that have a value.
    fn symbols(&mut self, metric: &Metric, symbols: &[&StatusRecord], value: impl Fn(&StatusRecord) -> Option<f64>) {
        let samples = symbols.iter().filter_map(|record| Some((labels(&record.status), value(record)?)));
        self.put(metric, samples.collect::<Vec<_>>());
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn labels(status: &ComponentStatus) -> Vec<&str> {
    [&status.exchange, &status.symbol].into_iter().filter_map(|text| text.as_deref()).collect()
}

/// One sample for each health there is, after the labels of its component.
fn healths(status: &ComponentStatus) -> impl Iterator<Item = (Vec<&str>, f64)> {
    HEALTHS.into_iter().map(|health| {
        let labels = labels(status).into_iter().chain([health.as_str()]);
        (labels.collect(), f64::from(u8::from(health == status.health)))
    })
}

fn page(records: &[StatusRecord], totals: &Totals, now_ms: i64, is_alive: bool) -> String {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let symbols: Vec<&StatusRecord> = records.iter().filter(|record| record.status.symbol.is_some()).collect();
    let is_exchange = |record: &&StatusRecord| record.status.exchange.is_some() && record.status.symbol.is_none();
    let exchanges: Vec<&StatusRecord> = records.iter().filter(is_exchange).collect();
    let part = |name: &str| records.iter().find(|record| record.status.component == name);
    let age_ms = |record: &StatusRecord| (now_ms - record.heartbeat.timestamp_millis()).max(0);
    let mut page = Page::default();
    page.put(&BUILD, [(vec![env!("CARGO_PKG_VERSION")], 1.0)]);
    page.put(&UP, [(vec![], f64::from(u8::from(is_alive)))]);
    page.put(&STARTED, part(DAEMON).map(|record| (vec![], seconds(record.created_at.timestamp_millis()))));
    page.symbols(&LAG, &symbols, |record| Some(seconds(record.status.lag_ms?.saturating_add(age_ms(record)))));
    page.symbols(&TIMEFRAME, &symbols, |record| Some(record.status.timeframes.first()?.nominal().as_secs_f64()));
    page.symbols(&LAST, &symbols, |record| Some(seconds(record.status.last_candle?.timestamp_millis())));
    page.symbols(&REPORTED, &symbols, |record| Some(seconds(age_ms(record))));
    page.symbols(&COVERAGE, &symbols, |record| Some(record.status.coverage_percent? / 100.0));
    page.symbols(&SETTLED, &symbols, |record| Some(record.status.settled_percent? / 100.0));
    page.symbols(&OPEN_GAPS, &symbols, |record| Some(record.status.open_gaps? as f64));
    page.symbols(&SYMBOL_RESTARTS, &symbols, |record| Some(record.status.restarts as f64));
    let modes = symbols.iter().filter_map(|record| Some((&record.status, record.status.mode?)));
    let modes = modes.flat_map(|(status, mode)| {
        MODES.map(|each| {
            let labels = labels(status).into_iter().chain([each.as_str()]);
            (labels.collect(), f64::from(u8::from(each == mode)))
        })
    });
    page.put(&MODE, modes);
    page.put(&SYMBOL_HEALTH, symbols.iter().flat_map(|record| healths(&record.status)));
    page.put(&EXCHANGE_HEALTH, exchanges.iter().flat_map(|record| healths(&record.status)));
    page.put(
        &EXCHANGE_RESTARTS,
        exchanges.iter().map(|record| (labels(&record.status), record.status.restarts as f64)),
    );
    page.put(&WRITER_HEALTH, part("writer").into_iter().flat_map(|record| healths(&record.status)));
    for (metric, total) in [(&STORED, totals.candles_stored), (&REVISIONS, totals.revisions)] {
        page.put(metric, [(vec![], total as f64)]);
    }
    let mut venues = |metric, count: fn(&VenueTotals) -> u64| {
        page.put(metric, totals.exchanges.iter().map(|(id, venue)| (vec![*id], count(venue) as f64)));
    };
    venues(&REST_CALLS, |venue| venue.rest_calls);
    venues(&FRAMES, |venue| venue.frames);
    venues(&CONNECTIONS, |venue| venue.connections);
    venues(&ROTATIONS, |venue| venue.rotations);
    venues(&ROTATIONS_FAILED, |venue| venue.rotations_failed);
    venues(&DEAF, |venue| venue.deaf);
    venues(&GAPS_HEALED, |venue| venue.gaps_healed);
    let shares = |(id, venue): (&&'static str, &VenueTotals)| {
        let shares = venue.budget_used.iter().map(|(limit, share)| (vec![*id, *limit], *share));
        shares.collect::<Vec<_>>()
    };
    page.put(&BUDGET, totals.exchanges.iter().flat_map(shares));
    page.times(&TIME_TO_FINAL, &totals.exchanges);
    for (metric, total) in [
        (&WRITE_FAILURES, totals.write_failures),
        (&SPOOL_ROWS, totals.spool_rows),
        (&SPOOL_BYTES, totals.spool_bytes),
        (&SPOOL_LIMIT, totals.spool_limit_bytes),
    ] {
        page.put(metric, [(vec![], total as f64)]);
    }
    page.put(&PRUNED, totals.pruned.iter().map(|(kind, count)| (vec![*kind], *count as f64)));
    page.put(&DROPPED, totals.dropped.iter().map(|(reason, count)| (vec![*reason], *count as f64)));
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(records: &[StatusRecord]) -> String {
        page(records, &Totals { dropped: [("outbox_full", 3)].into(), ..Totals::default() }, 90_500, true)
    }

    #[test]
    fn all_metrics_are_told_in_order_whoever_has_spoken() {
        let text = text(&[]);
        let told: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(told, METRICS.map(|metric| format!("{} {}", metric.name, metric.kind)));
        assert!(text.contains("\ncandlewick_dropped_total{reason=\"outbox_full\"} 3\n"), "{text}");
    }

    #[test]
    fn times_are_told_as_a_histogram_and_shares_by_their_limit() {
        let venue = VenueTotals {
            finals: [3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            finals_ms: 9_500,
            budget_used: [("requests", 0.5)].into(),
            ..VenueTotals::default()
        };
        let totals = Totals { exchanges: [("kraken", venue)].into(), ..Totals::default() };
        let text = page(&[], &totals, 0, true);
        let of_time = |line: &&str| line.starts_with("candlewick_time_to_final_seconds");
        let told: Vec<_> = text.lines().filter(of_time).map(|line| line.rsplit_once("seconds").unwrap().1).collect();
        let classes = [("1", 3), ("2", 5), ("5", 5), ("10", 5), ("20", 5), ("60", 5), ("120", 5), ("300", 5)];
        let classes = classes.into_iter().chain([("1800", 5), ("7200", 5), ("+Inf", 6)]);
        let expected = classes.map(|(le, count)| format!("_bucket{{exchange=\"kraken\",le=\"{le}\"}} {count}"));
        let ends = ["_sum{exchange=\"kraken\"} 9.5", "_count{exchange=\"kraken\"} 6"].map(str::to_owned);
        assert_eq!(told, expected.chain(ends).collect::<Vec<_>>());
        let budget = "candlewick_rate_budget_used_ratio{exchange=\"kraken\",limit=\"requests\"} 0.5";
        assert!(text.lines().any(|line| line == budget), "{text}");
    }

    #[test]
    fn a_lag_grows_while_its_symbol_is_silent_and_labels_are_escaped() {
        let at = chrono::DateTime::from_timestamp(60, 0).unwrap();
        let mut status = ComponentStatus::starting("kraken:A\"B\\C");
        (status.exchange, status.symbol) = (Some("kraken".to_owned()), Some("A\"B\\C".to_owned()));
        (status.lag_ms, status.mode, status.coverage_percent) = (Some(1_500), Some(Mode::LiveTrade), Some(50.0));
        let text = text(&[StatusRecord { status, created_at: at, updated_at: at, heartbeat: at }]);
        let labels = r#"exchange="kraken",symbol="A\"B\\C""#;
        for line in [
            format!("candlewick_symbol_lag_seconds{{{labels}}} 32"),
            format!("candlewick_symbol_report_age_seconds{{{labels}}} 30.5"),
            format!("candlewick_symbol_coverage_ratio{{{labels}}} 0.5"),
            format!("candlewick_symbol_mode{{{labels},mode=\"live_trade\"}} 1"),
            format!("candlewick_symbol_mode{{{labels},mode=\"live_websocket\"}} 0"),
            format!("candlewick_symbol_health{{{labels},health=\"starting\"}} 1"),
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("candlewick_symbol_timeframe_seconds{"), "what nobody knows is not told");
    }
}
