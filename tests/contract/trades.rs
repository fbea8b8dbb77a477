//! Reads of trades against the truth of the simulated half: whole histories, page by page.

use candlewick::exchange::{TradeCursor, TradeHistory};
use candlewick::market::Span;
use candlewick::sim::SimConfig;
use chrono::TimeDelta;

use crate::support::line::assert_deals;
use crate::venue::{self, epoch, unlimited};

#[tokio::test]
async fn every_trade_of_every_kind_of_market_is_read_once_in_order_and_in_base_currency() {
    let mut longest = 0;
    for capabilities in venue::all() {
        let Some(reads) = capabilities.trade_rest else { continue };
        let config = SimConfig { history_days: 1, trades_per_minute: 5.0, ..unlimited() };
        let line = venue::standing(capabilities.id, config);
        let before_all = epoch() - TimeDelta::days(3);
        for symbol in venue::symbols(capabilities.id, 5) {
            let market = line.instrument(symbol.as_str()).await;
            let truth = line.true_trades(symbol.as_str(), Span::new(before_all, epoch() + TimeDelta::seconds(1)));
            let what = format!("{} {symbol}", capabilities.id);
            let (newest, _) = line.trades(&market, &TradeCursor::Newest).await.unwrap();
            let told: usize = newest.iter().map(|trade| trade.count() as usize).sum();
            assert!(newest.len() <= reads.page_limit_rows as usize, "{what}: {}", newest.len());
            assert!(!newest.is_empty() && told <= truth.len(), "{what}: {told} of {}", truth.len());
            assert_deals(&market, &newest, &truth[truth.len() - told..], &format!("{what}, newest"));
            let found = match reads.history {
                TradeHistory::Recent => continue,
                TradeHistory::Forward(_) => line.trades_forward(&market, before_all).await.0,
                TradeHistory::Backward(_) => line.trades_backward(&market, TradeCursor::Newest).await,
            };
            assert_deals(&market, &found, &truth, &what);
            longest = longest.max(found.len());
        }
    }
    assert!(longest > 20_000, "{longest}");
}

#[tokio::test]
async fn a_read_begins_where_its_cursor_says() {
    for capabilities in venue::all() {
        let Some(reads) = capabilities.trade_rest else { continue };
        let line = venue::standing(capabilities.id, SimConfig { history_days: 1, ..unlimited() });
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let noon = epoch() - TimeDelta::hours(5);
        let whole = Span::new(epoch() - TimeDelta::days(3), epoch() + TimeDelta::seconds(1));
        let truth = line.true_trades(market.symbol.as_str(), whole);
        let split = truth.partition_point(|trade| trade.time < noon);
        let cursor = match reads.history {
            TradeHistory::Recent => continue,
            TradeHistory::Forward(_) => TradeCursor::Time(noon),
            TradeHistory::Backward(_) => match line.dialect.encode_trades(&market, &TradeCursor::BeforeTime(noon)) {
                Some(_) => TradeCursor::BeforeTime(noon),
                None => TradeCursor::BeforeId(truth[split].id.clone()),
            },
        };
        let (page, _) = line.trades(&market, &cursor).await.unwrap();
        let told: usize = page.iter().map(|trade| trade.count() as usize).sum();
        let part = match reads.history {
            TradeHistory::Forward(_) => &truth[split..split + told],
            _ => &truth[split - told..split],
        };
        assert!(page.len() > 50, "{}: {}", capabilities.id, page.len());
        assert_deals(&market, &page, part, capabilities.id);
    }
}
