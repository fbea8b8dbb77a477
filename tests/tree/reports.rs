//! Status as it is written: throttled, news at once, never more than one write a second.

use std::collections::BTreeMap;
use std::time::Duration;

use candlewick::market::Timeframe;
use candlewick::sim::{Fault, FaultKind, SimConfig, Venue};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::Deed;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};

const SYMBOLS: [(&str, &str); 4] =
    [("kraken", "BTC/USD"), ("kraken", "ETH/USD"), ("binance", "BTC/USDT"), ("yahoo", "BTC/USD")];

#[test]
fn an_unchanged_component_is_written_every_thirty_seconds() {
    in_virtual_time(async {
        let stage = Stage::with(&SYMBOLS).await;
        stage.pass(minutes(3)).await;
        let from = stage.now();
        stage.pass(minutes(10)).await;
        let mut written: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
        for (at, rows) in stage.store.status_writes().into_iter().filter(|(at, _)| *at >= from) {
            rows.into_iter().for_each(|row| written.entry(row.component).or_default().push(at));
        }
        assert_eq!(written.len(), SYMBOLS.len() + 5, "each symbol and venue, the writer, the daemon: {written:?}");
        for (component, times) in written {
            let waits: Vec<i64> = times.windows(2).map(|pair| (pair[1] - pair[0]).num_seconds()).collect();
            assert!(waits.len() >= 18 && waits.iter().all(|wait| (30..=31).contains(wait)), "{component}: {waits:?}");
        }
    });
}

#[test]
fn news_is_written_within_a_second_and_never_more_than_once_a_second() {
    in_virtual_time(async {
        let stage = Stage::with(&SYMBOLS).await;
        stage.pass(minutes(2)).await;
        let began = stage.now();
        stage.transport.script(|contact| match contact {
            Contact::Connect(_) => Deed::Fail,
            Contact::Http(_) => Deed::Proceed,
        });
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::KRAKEN).times(1));
        stage.until("polling", seconds(1), |stage| stage.is_polling("kraken:BTC/USD")).await;
        let polling_at = stage.now();
        stage.pass(minutes(5)).await;
        let writes = stage.store.status_writes();
        let news = writes.iter().find(|(at, rows)| {
            *at >= began
                && rows
                    .iter()
                    .any(|row| row.component == "kraken:BTC/USD" && row.mode.as_deref() == Some("live_rest_polling"))
        });
        let delay = news.unwrap().0 - polling_at;
        assert!(delay <= TimeDelta::seconds(1), "{delay}");
        for pair in writes.windows(2) {
            let pause = pair[1].0 - pair[0].0;
            assert!(pause >= TimeDelta::milliseconds(999), "{pause} between {} and {}", pair[0].0, pair[1].0);
        }
    });
}

#[test]
fn a_symbol_tells_what_every_frame_changes_once_a_second_and_a_new_mode_at_once() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig { trades_per_minute: 600.0, ..SimConfig::default() }).await;
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.start().await;
        stage.until("live", minutes(5), |stage| stage.is_live("kraken:BTC/USD")).await;
        let lag = || stage.status("kraken:BTC/USD").unwrap().lag_ms;
        let (mut told, mut last) = (0, lag());
        for _ in 0..600 {
            stage.pass(Duration::from_millis(50)).await;
            let now = lag();
            told += u32::from(now != last);
            last = now;
        }
        // Ten trades are heard in a second.
        assert!((15..=31).contains(&told), "{told} times in thirty seconds");
        stage.transport.script(|contact| match contact {
            Contact::Connect(_) => Deed::Fail,
            Contact::Http(_) => Deed::Proceed,
        });
        stage.inject(Fault::new(FaultKind::Drop { every: None }).on(Venue::KRAKEN).times(1));
        let dropped_at = stage.now();
        stage.until("polling", Duration::from_millis(10), |stage| stage.is_polling("kraken:BTC/USD")).await;
        assert!(stage.now() - dropped_at < TimeDelta::milliseconds(500), "{}", stage.now() - dropped_at);
    });
}

#[test]
fn the_daemon_says_within_seconds_that_there_is_something_to_collect() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.start().await;
        stage.pass(seconds(63)).await;
        let said = |stage: &Stage| {
            let mut rows = stage.store.status_writes().into_iter().flat_map(|(_, rows)| rows);
            rows.rfind(|row| row.component == "ohlcv_daemon").map(|row| row.message).unwrap_or_default()
        };
        assert!(said(&stage).starts_with("nothing to collect"), "{}", said(&stage));
        stage.want("kraken", "BTC/USD", &[Timeframe::M1], TimeDelta::hours(1)).await;
        stage.until("said", seconds(9), |stage| said(stage) == "symbols: 1, exchanges: 1").await;
    });
}
