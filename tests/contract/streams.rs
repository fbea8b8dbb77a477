//! Streams: what is asked for is acknowledged and told as the truth has it, what is ended is silent,
//! and a market that does not exist is refused.

use std::collections::BTreeMap;

use candlewick::exchange::{Capabilities, Channel, ErrorKind, Event, Instrument, QuietPolicy, Subscription};
use candlewick::market::{Candle, Grid, Span, Timeframe, Trade};
use candlewick::sim::SimConfig;
use chrono::{DateTime, TimeDelta, Utc};

use crate::data::{self, Answer};
use crate::support::line::{Connection, Line, assert_agree, assert_deals, subscription};
use crate::venue::{self, unlimited};

/// The channels a venue has.
fn channels(capabilities: &Capabilities) -> Vec<Channel> {
    let candles = capabilities.candle_stream.map(|_| Channel::Candles(Timeframe::M1));
    candles.into_iter().chain(capabilities.trade_stream.map(|_| Channel::Trades)).collect()
}

/// What was said about one subscription.
#[derive(Debug, Default)]
struct Said {
    on: usize,
    off: usize,
    refused: Vec<ErrorKind>,
    /// Frames with data, snapshots included.
    told: usize,
    /// The last state of each bucket.
    bars: BTreeMap<DateTime<Utc>, Candle>,
    closed: Vec<Candle>,
    trades: Vec<Trade>,
}

/// Listens until an instant, and sorts what is said by the subscriptions of one request each.
async fn listen(connection: &mut Connection, wanted: &[(u64, Subscription)], until: DateTime<Utc>) -> Vec<Said> {
    let mut said: Vec<Said> = wanted.iter().map(|_| Said::default()).collect();
    let hear = |event: &Event<'_>| {
        for ((id, subscription), said) in wanted.iter().zip(&mut said) {
            let is_answer = |request: &Option<u64>, market: &Option<_>, channel: &Option<Channel>| {
                request.map_or(market.is_some(), |request| request == *id)
                    && market.as_ref().is_none_or(|market| *market == subscription.stream_id)
                    && channel.is_none_or(|channel| channel == subscription.channel)
            };
            match event {
                Event::Subscribed { request_id, stream_id, channel, .. } => {
                    said.on += usize::from(is_answer(request_id, stream_id, channel));
                }
                Event::Unsubscribed { request_id, stream_id, channel } => {
                    said.off += usize::from(is_answer(request_id, stream_id, channel));
                }
                Event::Rejected { request_id, stream_id, channel, error } => {
                    said.refused.extend(is_answer(request_id, stream_id, channel).then_some(error.kind));
                }
                Event::Candle { stream_id, timeframe, candle, closed, .. }
                    if *stream_id == subscription.stream_id && subscription.channel == Channel::Candles(*timeframe) =>
                {
                    said.told += 1;
                    said.bars.insert(candle.open_time, *candle);
                    said.closed.extend((*closed == Some(true)).then_some(*candle));
                }
                Event::Trade { stream_id, trade, is_snapshot, .. }
                    if *stream_id == subscription.stream_id && subscription.channel == Channel::Trades =>
                {
                    said.told += 1;
                    said.trades.extend((!is_snapshot).then(|| trade.clone()));
                }
                Event::Error(error) => panic!("{error}"),
                _ => {}
            }
        }
    };
    connection.listen(until, hear).await;
    said
}

/// A market or two of each group that needs a connection of its own.
async fn groups(line: &Line, channel: Channel) -> Vec<Vec<Instrument>> {
    let mut groups: BTreeMap<(u32, String), Vec<Instrument>> = BTreeMap::new();
    for symbol in venue::symbols(line.dialect.capabilities().id, 8) {
        let market = line.instrument(symbol.as_str()).await;
        let subscription = subscription(channel, &market);
        let address = (line.dialect.connection_group(&subscription), line.dialect.stream_url(&subscription));
        let group = groups.entry(address).or_default();
        if group.len() < 2 {
            group.push(market);
        }
    }
    assert!(groups.values().any(|group| group.len() == 2));
    groups.into_values().collect()
}

fn assert_told(line: &Line, market: &Instrument, channel: Channel, said: &Said, span: Span) {
    let capabilities = line.dialect.capabilities();
    let (name, symbol) = (capabilities.id, market.symbol.as_str());
    let what = format!("{name} {symbol} {channel:?}");
    match channel {
        Channel::Candles(timeframe) => {
            let first = Grid::new(timeframe, market.anchors).bucket_at(span.from);
            let truth = line.true_candles(symbol, timeframe, Span::new(first, span.to - TimeDelta::minutes(1)));
            if capabilities.candle_stream.is_some_and(|stream| stream.has_closed_flag) {
                let is_due = |candle: &&Candle| capabilities.quiet == QuietPolicy::Emits || candle.volume > 0.0;
                // What closed just before is told too where a snapshot comes first.
                let closed = said.closed.iter().filter(is_due).filter(|candle| candle.open_time >= first);
                let truth: Vec<_> = truth.iter().filter(is_due).copied().collect();
                assert_agree(&closed.copied().collect::<Vec<_>>(), &truth, &what);
            }
            let traded: Vec<_> = truth.into_iter().filter(|candle| candle.volume > 0.0).collect();
            let bars: Vec<_> = traded.iter().filter_map(|bar| said.bars.get(&bar.open_time)).copied().collect();
            assert_agree(&bars, &traded, &what);
        }
        Channel::Trades => {
            let span = Span::new(span.from, span.to - TimeDelta::seconds(5));
            let told = said.trades.iter().filter(|trade| span.contains(trade.time));
            let told: Vec<_> = told.map(|trade| market.in_base(trade.clone())).collect();
            assert_deals(market, &told, &line.true_trades(symbol, span), &what);
            assert!(told.len() > 5, "{what}: {}", told.len());
        }
    }
}

/// Asks for the markets of a group, ends the first of them, and asks for it again.
async fn round_trip(line: &Line, channel: Channel, markets: &[Instrument]) {
    let what = format!("{} {} {channel:?}", line.dialect.capabilities().id, markets[0].symbol);
    let wanted: Vec<_> = (11..).zip(markets.iter().map(|market| subscription(channel, market))).collect();
    let first = std::slice::from_ref(&wanted[0].1);
    let mut connection = line.connect(channel, &markets[0]).await;
    for (id, subscription) in &wanted {
        connection.subscribe(std::slice::from_ref(subscription), *id).await;
    }
    let began = line.clock.now();
    let said = listen(&mut connection, &wanted, began + TimeDelta::minutes(6)).await;
    for (market, said) in markets.iter().zip(&said) {
        // An answer may name all that is subscribed by now.
        assert!((1..=2).contains(&said.on) && said.off == 0, "{what}: {} {}", said.on, said.off);
        assert_eq!(said.refused, [], "{what}");
        assert_told(line, market, channel, said, Span::new(began, line.clock.now()));
    }

    let ended: Vec<_> = (21..).zip(wanted.iter().map(|(_, subscription)| subscription.clone())).collect();
    connection.unsubscribe(first, 21).await;
    let answer = listen(&mut connection, &ended, line.clock.now() + TimeDelta::seconds(1)).await;
    // Binance says the same to both kinds of requests.
    assert_eq!(answer[0].off + answer[0].on, 1, "{what}");
    assert!(answer[1..].iter().all(|other| other.off == 0), "{what}");
    let after = listen(&mut connection, &ended, line.clock.now() + TimeDelta::minutes(3)).await;
    assert_eq!((after[0].told, after[0].refused.len()), (0, 0), "{what}");
    // With nothing left to tell a venue may hang up.
    assert!(after[1..].iter().all(|other| other.told > 0 && connection.is_open), "{what}");
    if markets.len() > 1 {
        let again = [(31, wanted[0].1.clone())];
        connection.subscribe(first, 31).await;
        let back = listen(&mut connection, &again, line.clock.now() + TimeDelta::minutes(3)).await;
        assert!(back[0].on == 1 && back[0].told > 0, "{what}: {}", back[0].on);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_is_acknowledged_and_told_and_what_is_ended_is_silent() {
    for capabilities in venue::all().filter(|capabilities| capabilities.has_stream()) {
        for channel in channels(capabilities) {
            let line = venue::running(capabilities.id, SimConfig { trades_per_minute: 20.0, ..unlimited() });
            for markets in groups(&line, channel).await {
                round_trip(&line, channel, &markets).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_market_that_does_not_exist_is_answered_as_the_contract_names() {
    for (capabilities, contract) in data::contracts() {
        assert_eq!(contract.unknown.stream.is_some(), capabilities.has_stream(), "{}", capabilities.id);
        let Some(expected) = contract.unknown.stream else { continue };
        for channel in channels(capabilities) {
            let line = venue::running(capabilities.id, unlimited());
            let unknown = contract.unknown.market();
            let wanted = [(11, subscription(channel, &unknown))];
            let mut connection = line.connect(channel, &unknown).await;
            connection.subscribe(&[wanted[0].1.clone()], 11).await;
            let said = listen(&mut connection, &wanted, line.clock.now() + TimeDelta::seconds(30)).await;
            let answer = match (&said[0].refused[..], connection.is_open) {
                ([ErrorKind::UnknownSymbol], _) => Answer::Rejected,
                ([], false) => Answer::Closed,
                ([], true) => Answer::Silent,
                (other, _) => panic!("{} {channel:?}: {other:?}", capabilities.id),
            };
            assert_eq!((answer, said[0].told), (expected, 0), "{} {channel:?}", capabilities.id);
        }
    }
}
