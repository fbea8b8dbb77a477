//! The methods of a handle are commands: judged, recorded and answered as those of other channels.

use candlewick::control::command::AddSymbol;
use candlewick::control::{Refusal, RefusalKind};
use candlewick::market::Timeframe;
use candlewick::sim::SimConfig;
use candlewick::status::Phase;
use candlewick::store::{CandleSource, NewSymbol, Store, SymbolState};
use chrono::TimeDelta;

use crate::support::stage::{Stage, in_virtual_time, minutes, seconds, symbol};

#[test]
fn a_host_adds_pauses_resumes_widens_and_removes_by_its_handle() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.start().await;
        let collector = stage.collector.as_ref().unwrap();
        let btc = symbol("BTC/USD");
        let new = NewSymbol {
            exchange: "kraken".to_owned(),
            symbol: btc.clone(),
            timeframes: vec![Timeframe::M1, Timeframe::H1],
            backfill_from: stage.now() - TimeDelta::hours(2),
            collect_trades: true,
            candle_source: CandleSource::Venue,
            only_ticker: false,
        };
        let reply = collector.add_symbol(&new).await.unwrap();
        assert!(
            reply.changed && reply.message.starts_with("kraken BTC/USD added: 1m,1h and trades from "),
            "{reply:?}"
        );
        let row = stage.store.symbols().await.unwrap().remove(0);
        assert_eq!(
            (&row.timeframes, row.backfill_from, row.collect_trades, row.candle_source),
            (&new.timeframes, new.backfill_from, true, CandleSource::Venue)
        );
        assert!(!collector.add_symbol(&new).await.unwrap().changed, "it is there");
        let recorded = stage.store.command(reply.id.as_ref().unwrap()).await.unwrap().unwrap();
        assert_eq!((recorded.kind.as_str(), recorded.asked_by.as_str()), ("add_symbol", "message"));
        stage.until("live", minutes(2), |stage| stage.is_live("kraken:BTC/USD")).await;

        assert!(collector.pause("kraken", &btc).await.unwrap().changed);
        let paused = |stage: &Stage| stage.status("kraken:BTC/USD").is_some_and(|s| s.phase == Phase::Paused);
        stage.until("paused", seconds(2), paused).await;
        assert!(!collector.pause("kraken", &btc).await.unwrap().changed);
        assert!(collector.resume("kraken", &btc).await.unwrap().changed);
        assert_eq!(stage.store.symbols().await.unwrap()[0].state, SymbolState::Active);
        let from = stage.now() - TimeDelta::hours(5);
        assert!(collector.backfill("kraken", &btc, from).await.unwrap().changed);
        assert_eq!(stage.store.symbols().await.unwrap()[0].backfill_from, from);
        assert!(collector.remove_symbol("kraken", &btc).await.unwrap().changed);
        assert_eq!(stage.store.symbols().await.unwrap(), []);
        assert!(!collector.remove_symbol("kraken", &btc).await.unwrap().changed);
    });
}

#[test]
fn what_cannot_be_is_refused_in_words_and_after_the_end_everything_is() {
    in_virtual_time(async {
        let mut stage = Stage::new(SimConfig::default()).await;
        stage.start().await;
        let collector = stage.collector.as_ref().unwrap();
        let misspelt = AddSymbol { exchange: "krakn".to_owned(), symbol: "BTC/USD".to_owned(), ..AddSymbol::default() };
        let refused = collector.add_symbol(misspelt.clone()).await.unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Invalid);
        assert!(refused.to_string().contains("did you mean kraken?"), "{refused}");
        let unknown = collector.pause("kraken", &symbol("BTC/USD")).await.unwrap_err();
        assert_eq!(unknown.kind, RefusalKind::Unknown);
        let remote = collector.remote();
        stage.stop().await;
        assert!(!remote.is_alive());
        let message = "the collector has ended; ask again after its next start".to_owned();
        assert_eq!(remote.add_symbol(misspelt).await, Err(Refusal { kind: RefusalKind::Stopping, message }));
    });
}
