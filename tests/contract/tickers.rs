//! Tickers of every venue that has them against the trades of its simulated half.

use candlewick::market::Span;
use chrono::TimeDelta;
use rust_decimal::Decimal;

use crate::venue::{self, epoch, unlimited};

#[tokio::test]
async fn tickers_tell_the_last_price_the_quotes_around_it_and_the_volume_of_a_day() {
    let (now, mut seen) = (epoch(), 0);
    for id in venue::all().filter(|capabilities| capabilities.has_tickers).map(|capabilities| capabilities.id) {
        let line = venue::standing(id, unlimited());
        for market in line.instruments().await.into_iter().take(3) {
            let ticker = line.ticker(&market).await;
            let what = format!("{id}:{} {ticker:?}", market.symbol);
            let day = Span::new(now - TimeDelta::days(1), now + TimeDelta::seconds(1));
            let trades = line.true_trades(market.symbol.as_str(), day);
            let last: f64 = trades.last().unwrap().price.to_string().parse().unwrap();
            assert_eq!(ticker.last, Some(last), "{what}");
            assert!(ticker.bid.is_none_or(|bid| bid < last) && ticker.ask.is_none_or(|ask| ask > last), "{what}");
            let volume: Decimal = trades.iter().map(|trade| trade.amount).sum();
            assert_eq!(ticker.volume, Some(volume.to_string().parse().unwrap()), "{what}");
            let quote: Decimal = trades.iter().map(|trade| trade.amount * trade.price).sum();
            let quote: f64 = quote.to_string().parse().unwrap();
            let is_near = |printed: f64| (printed - quote).abs() <= quote * 1e-6;
            assert!(ticker.quote_volume.is_none_or(is_near), "{what}: {quote}");
            seen += 1;
        }
    }
    assert!(seen >= 9, "{seen}");
}
