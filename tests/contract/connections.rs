//! Limits of connections as the product declares them: as many, and as many frames, offend nobody.

use candlewick::exchange::{Capabilities, Channel, Event};
use candlewick::market::Timeframe;
use candlewick::sim::SimConfig;
use chrono::TimeDelta;

use crate::support::line::{Line, subscription};
use crate::venue::{self, unlimited};

/// Venues that stream, with their limits enforced and a channel.
fn streaming() -> impl Iterator<Item = (&'static Capabilities, Line, Channel)> {
    venue::all().filter(|capabilities| capabilities.has_stream()).map(|capabilities| {
        let line = venue::running(capabilities.id, SimConfig { enforce_limits: true, ..unlimited() });
        let channel = capabilities.candle_stream.map_or(Channel::Trades, |_| Channel::Candles(Timeframe::M1));
        (capabilities, line, channel)
    })
}

#[tokio::test(start_paused = true)]
async fn the_declared_number_of_connections_may_be_opened_at_once_and_not_many_more() {
    let mut refusing = Vec::new();
    for (capabilities, line, channel) in streaming() {
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let url = line.dialect.stream_url(&subscription(channel, &market));
        let target = url.strip_prefix("ws://sim").unwrap_or_else(|| panic!("{url}"));
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        let open =
            |count: u32| (0..count).filter(|_| line.transport.simulator.open_socket(target, peer).is_ok()).count();
        let declared = capabilities.connection.connects.capacity;
        assert_eq!(open(declared), declared as usize, "{}", capabilities.id);
        refusing.extend((open(declared * 2 + 10) < declared as usize * 2).then_some(capabilities.id));
    }
    assert!(refusing.len() >= 6, "only {refusing:?} mind how many connections are opened");
}

/// Asks for a market and ends it again, so many frames a second for ten seconds; true while the venue
/// neither complains nor hangs up.
async fn bears(line: &Line, channel: Channel, frames_per_second: u32) -> bool {
    let market = line.instrument(venue::symbols(line.dialect.capabilities().id, 1)[0].as_str()).await;
    let wanted = [subscription(channel, &market)];
    let mut connection = line.connect(channel, &market).await;
    let mut complaints = 0;
    let pause = TimeDelta::seconds(1) / frames_per_second as i32;
    for id in 0..u64::from(frames_per_second) * 10 {
        match id % 2 {
            0 => connection.subscribe(&wanted, id + 1).await,
            _ => connection.unsubscribe(&wanted, id + 1).await,
        }
        let hear = |event: &Event<'_>| {
            complaints += usize::from(matches!(event, Event::Rejected { .. } | Event::Error(_)));
        };
        connection.listen(line.clock.now() + pause, hear).await;
    }
    complaints == 0 && connection.is_open
}

#[tokio::test(start_paused = true)]
async fn the_declared_number_of_frames_may_be_sent_each_second_and_not_many_more() {
    let mut minding = Vec::new();
    for (capabilities, line, channel) in streaming() {
        let declared = capabilities.connection.control_frames_per_second;
        assert!(bears(&line, channel, declared).await, "{} minds {declared} frames a second", capabilities.id);
        minding.extend((!bears(&line, channel, declared * 20).await).then_some(capabilities.id));
    }
    assert!(minding.len() >= 2, "only {minding:?} mind how many frames are sent");
}
