//! A connection that is to take over and cannot: the old one goes on, and nothing is lost.

use candlewick::market::Timeframe;
use candlewick::sim::{Fault, FaultKind, Venue};
use candlewick::store::CandleSource;
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::Deed;
use crate::support::faulty_transport::Contact;
use crate::support::stage::{Stage, in_virtual_time, minutes, seconds};
use crate::{alone, hours, totals};

const BTC: &str = "binance:BTC/USDT";
const ETH: &str = "binance:ETH/USDT";

/// A collector whose connection is to be replaced in a few minutes, at the instant returned: as early
/// as can be, after a tenth of its life.
async fn about_to_rotate() -> (Stage, DateTime<Utc>) {
    let mut stage = Stage::new(alone(Venue::BINANCE, 2, 0.5)).await;
    (stage.config.rotation.lead, stage.config.rotation.jitter) = (hours(24), 0.0);
    stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::minutes(5)).await;
    stage.want_trades("binance", "ETH/USDT", &[Timeframe::M1], CandleSource::Venue, TimeDelta::minutes(5)).await;
    stage.start().await;
    stage.until("streaming", seconds(5), are_streaming).await;
    let due = stage.now() + TimeDelta::minutes(144);
    stage.pass_until(due - TimeDelta::minutes(5)).await;
    assert_eq!((stage.sockets_opened("binance"), are_streaming(&stage)), (2, true));
    (stage, due)
}

fn are_streaming(stage: &Stage) -> bool {
    stage.is_streaming(BTC) && stage.is_streaming(ETH)
}

/// The old connection serves until the instant given.
async fn streams_until(stage: &Stage, at: DateTime<Utc>) {
    while stage.now() < at {
        stage.pass(seconds(5)).await;
        assert!(are_streaming(stage), "{:#?}", stage.statuses());
    }
}

/// Everything is there and was there in time.
async fn nothing_is_lost(stage: &Stage, from: DateTime<Utc>, lateness: TimeDelta) {
    for name in ["BTC/USDT", "ETH/USDT"] {
        stage.assert_minutes("binance", name, seconds(15)).await;
        stage.assert_punctual("binance", name, from, lateness).await;
    }
    stage.assert_trades("binance", "ETH/USDT", stage.now() - TimeDelta::seconds(30)).await;
    assert_eq!((stage.restarts(BTC), stage.restarts(ETH), stage.restarts("binance")), (0, 0, 0));
}

const PROMPT: TimeDelta = TimeDelta::seconds(6);

fn fails_to_connect(contact: &Contact) -> Deed {
    match contact {
        Contact::Connect(_) => Deed::Fail,
        Contact::Http(_) => Deed::Proceed,
    }
}

#[test]
fn a_new_connection_that_is_refused_is_tried_again_while_the_old_one_goes_on() {
    in_virtual_time(async {
        let (stage, due) = about_to_rotate().await;
        stage.transport.script(fails_to_connect);
        streams_until(&stage, due + TimeDelta::minutes(8)).await;
        let tries: Vec<_> = stage.transport.contacts("binance", due - TimeDelta::minutes(1));
        let tries: Vec<_> = tries.iter().filter(|(_, contact)| matches!(contact, Contact::Connect(_))).collect();
        // At the instant itself, then after 48..60 s, 96..120 s and 192..240 s more.
        assert_eq!(tries.len(), 4, "{tries:?}");
        assert_eq!((totals(&stage, "binance").rotations, totals(&stage, "binance").rotations_failed), (0, 4));
        stage.transport.behave();
        streams_until(&stage, due + TimeDelta::minutes(20)).await;
        assert_eq!((totals(&stage, "binance").rotations, stage.sockets_opened("binance")), (1, 3));
        nothing_is_lost(&stage, due - TimeDelta::minutes(4), PROMPT).await;
    });
}

#[test]
fn a_new_connection_that_never_answers_or_says_nothing_is_given_up() {
    in_virtual_time(async {
        let (stage, due) = about_to_rotate().await;
        stage.transport.script(|contact| match contact {
            Contact::Connect(_) => Deed::Hang,
            Contact::Http(_) => Deed::Proceed,
        });
        streams_until(&stage, due + TimeDelta::seconds(125)).await;
        assert_eq!(totals(&stage, "binance").rotations_failed, 1, "two minutes are its patience");
        stage.transport.behave();
        // The next one is acknowledged and then mute.
        stage.transport.rewrite(|out| out, |back| if back.contains("\"e\":") { "{}".to_owned() } else { back });
        streams_until(&stage, due + TimeDelta::seconds(310)).await;
        assert_eq!((totals(&stage, "binance").rotations_failed, stage.sockets_opened("binance")), (2, 3));
        assert_eq!(stage.simulator.stats().exchanges["binance"].sockets_open, 1, "what was given up is closed");
        stage.transport.leave_frames();
        streams_until(&stage, due + TimeDelta::minutes(15)).await;
        assert_eq!(totals(&stage, "binance").rotations, 1);
        nothing_is_lost(&stage, due - TimeDelta::minutes(4), PROMPT).await;
    });
}

#[test]
fn a_new_connection_that_acknowledges_nothing_takes_no_symbol_off_the_old_one() {
    in_virtual_time(async {
        let (stage, due) = about_to_rotate().await;
        stage.transport.rewrite(|out| out, |_| "{}".to_owned());
        streams_until(&stage, due + TimeDelta::minutes(3)).await;
        assert!(totals(&stage, "binance").rotations_failed >= 1);
        stage.transport.leave_frames();
        streams_until(&stage, due + TimeDelta::minutes(12)).await;
        assert_eq!(totals(&stage, "binance").rotations, 1);
        nothing_is_lost(&stage, due - TimeDelta::minutes(4), PROMPT).await;
    });
}

#[test]
fn a_new_connection_that_dies_while_it_proves_itself_or_soon_after_is_replaced() {
    in_virtual_time(async {
        for frames in [1, 12] {
            let (stage, due) = about_to_rotate().await;
            stage.transport.break_after(frames);
            streams_until(&stage, due + TimeDelta::seconds(45)).await;
            stage.transport.leave_frames();
            streams_until(&stage, due + TimeDelta::minutes(12)).await;
            let counted = totals(&stage, "binance");
            assert_eq!((counted.rotations, counted.rotations_failed), (1, 1), "after {frames} frames");
            nothing_is_lost(&stage, due - TimeDelta::minutes(4), PROMPT).await;
        }
    });
}

#[test]
fn when_the_old_connection_dies_before_the_new_one_is_proven_the_new_one_is_the_reconnect() {
    in_virtual_time(async {
        let (stage, due) = about_to_rotate().await;
        // Right after the new one was opened only the old one is old enough to be ended.
        let kind = FaultKind::Lifetime { lifetime: hours(2) };
        stage.inject(
            Fault::new(kind)
                .on(Venue::BINANCE)
                .between((due - stage.now()).to_std().unwrap() + seconds(1), minutes(30)),
        );
        stage.pass_until(due + TimeDelta::seconds(20)).await;
        assert_eq!(
            (stage.sockets_opened("binance"), stage.simulator.stats().exchanges["binance"].sockets_open),
            (3, 1)
        );
        stage.pass_until(due + TimeDelta::minutes(5)).await;
        assert!(are_streaming(&stage));
        assert_eq!(totals(&stage, "binance").rotations_failed, 0);
        nothing_is_lost(&stage, due - TimeDelta::minutes(4), PROMPT).await;
    });
}

#[test]
fn when_both_connections_die_the_ordinary_way_back_is_taken() {
    in_virtual_time(async {
        let (stage, due) = about_to_rotate().await;
        let drop = Fault::new(FaultKind::Drop { every: None }).on(Venue::BINANCE);
        let both_live = (due - stage.now()).to_std().unwrap() + seconds(15);
        stage.inject(drop.between(both_live, seconds(1)));
        stage.pass_until(due + TimeDelta::minutes(5)).await;
        assert!(are_streaming(&stage));
        assert_eq!(stage.simulator.stats().exchanges["binance"].sockets_open, 1);
        assert!(stage.sockets_opened("binance") <= 5, "{}", stage.sockets_opened("binance"));
        nothing_is_lost(&stage, due - TimeDelta::minutes(4), PROMPT).await;
    });
}

#[test]
fn a_symbol_that_is_added_while_a_connection_is_replaced_is_carried_on_by_the_new_one() {
    in_virtual_time(async {
        let (stage, due) = about_to_rotate().await;
        stage.pass_until(due + TimeDelta::seconds(5)).await;
        assert_eq!(stage.simulator.stats().exchanges["binance"].sockets_open, 2);
        let told = stage.status("binance").unwrap().message;
        assert_eq!(told, "replacing 1 of 1 connections before the exchange ends them");
        stage.collector.as_ref().unwrap().remove_symbol("binance", &"BTC/USDT".parse().unwrap()).await.unwrap();
        stage.want("binance", "BTC/USDT", &[Timeframe::M1], TimeDelta::minutes(1)).await;
        stage.pass(seconds(3)).await;
        streams_until(&stage, due + TimeDelta::minutes(4)).await;
        assert_eq!((totals(&stage, "binance").rotations, stage.sockets_opened("binance")), (1, 3));
        assert_eq!(stage.status("binance").unwrap().message, "");
        nothing_is_lost(&stage, due + TimeDelta::minutes(1), PROMPT).await;
    });
}

#[test]
fn a_crash_in_the_midst_of_it_loses_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let first_life = tokio::task::LocalSet::new();
        let (mut stage, due) = first_life
            .run_until(async {
                let (stage, due) = about_to_rotate().await;
                stage.pass_until(due + TimeDelta::seconds(20)).await;
                assert_eq!(stage.simulator.stats().exchanges["binance"].sockets_open, 2);
                (stage, due)
            })
            .await;
        // Every actor is gone at whatever it awaited.
        drop(first_life);
        stage.collector = None;
        stage.pass(seconds(40)).await;
        let second_life = tokio::task::LocalSet::new();
        second_life
            .run_until(async {
                stage.start().await;
                stage.until("streaming", seconds(5), are_streaming).await;
                stage.pass(minutes(4)).await;
                assert_eq!(stage.simulator.stats().exchanges["binance"].sockets_open, 1);
                nothing_is_lost(&stage, due + TimeDelta::minutes(2), PROMPT).await;
            })
            .await;
    });
}
