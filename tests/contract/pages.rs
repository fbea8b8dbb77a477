//! Pages of candles: their order, bounds, caps and depth, against the truth of the simulated half.

use candlewick::exchange::{Depth, ErrorKind, Instrument, TimeframeRow};
use candlewick::market::{Candle, Grid, Span, Timeframe};
use candlewick::sim::SimConfig;
use chrono::{DateTime, TimeDelta, Utc};

use crate::data::{self, Order};
use crate::support::line::{Line, assert_agree};
use crate::venue::{self, epoch, unlimited};

/// Buckets that one call may ask for.
fn page_rows(line: &Line, row: &TimeframeRow) -> u32 {
    let most = line.dialect.capabilities().candle_rest.page_limit_rows;
    let buckets = row.page_limit_span.map(|span| span.as_secs() / row.timeframe.nominal().as_secs());
    buckets.map_or(most, |buckets| most.min(buckets as u32))
}

/// Old enough for every row to be there, and for quiet buckets to be told from late ones.
fn settled(line: &Line, grid: Grid) -> DateTime<Utc> {
    grid.bucket_at(epoch() - line.dialect.capabilities().settle_empty)
}

/// So many buckets before `to`, as far as the venue serves them.
fn back(row: &TimeframeRow, grid: Grid, to: DateTime<Utc>, count: u32) -> Span {
    let served = match row.depth {
        Depth::Full => DateTime::<Utc>::MIN_UTC,
        Depth::NewestRows(rows) => grid.back(grid.bucket_at(epoch()), rows - 1),
        Depth::Age(age) => grid.ceil(epoch() - age),
    };
    Span::new(grid.back(to, count).max(served), to)
}

fn minutes(line: &Line) -> (&'static TimeframeRow, Grid) {
    (line.dialect.capabilities().timeframe(Timeframe::M1).unwrap(), Grid::utc(Timeframe::M1))
}

/// The truth; of bars that are read as shorter ones, that of the shorter ones put together.
fn true_bars(line: &Line, market: &Instrument, row: &TimeframeRow, span: Span) -> Vec<Candle> {
    let shorter = line.dialect.capabilities().timeframe_of_wire(row.wire).unwrap();
    let parts = line.true_candles(market.symbol.as_str(), shorter, span);
    let grid = Grid::new(row.timeframe, market.anchors);
    let mut bars: Vec<Candle> = Vec::new();
    for part in parts {
        let open_time = grid.open_of(part.open_time);
        match bars.last_mut().filter(|bar| bar.open_time == open_time) {
            Some(bar) => {
                bar.high = bar.high.max(part.high);
                bar.low = bar.low.min(part.low);
                bar.close = part.close;
                bar.volume += part.volume;
            }
            None => bars.push(Candle { open_time, ..part }),
        }
    }
    bars
}

async fn walked(line: &Line, market: &Instrument, row: &TimeframeRow, span: Span) -> Vec<Candle> {
    let what = format!("{} {} {}", line.dialect.capabilities().id, market.symbol, row.timeframe);
    let rows = page_rows(line, row);
    let (found, calls) = line.walk(market, row.timeframe, span, rows).await;
    assert_agree(&found, &true_bars(line, market, row, span), &what);
    assert_eq!(u64::from(calls), Grid::new(row.timeframe, market.anchors).count(span).div_ceil(rows.into()), "{what}");
    found
}

#[tokio::test]
async fn walks_through_every_timeframe_of_every_kind_of_market_give_the_truth() {
    for capabilities in venue::all() {
        let line = venue::standing(capabilities.id, unlimited());
        for symbol in venue::symbols(capabilities.id, 5) {
            let market = line.instrument(symbol.as_str()).await;
            for row in capabilities.timeframes {
                let grid = Grid::new(row.timeframe, market.anchors);
                let to = settled(&line, grid);
                let least = if row.timeframe < Timeframe::M1 { TimeDelta::minutes(20) } else { TimeDelta::days(2) };
                let from = grid.bucket_at(to - least).min(grid.back(to, 2));
                let span = back(row, grid, to, grid.count(Span::new(from, to)) as u32);
                // Before its history begins a market has no truth.
                if line.true_candles(symbol.as_str(), row.timeframe, span).is_empty() {
                    assert!(row.timeframe > Timeframe::D1, "{} {symbol} {}", capabilities.id, row.timeframe);
                    continue;
                }
                walked(&line, &market, row, span).await;
            }
        }
    }
}

#[tokio::test]
async fn a_history_longer_than_a_page_is_walked_page_by_page() {
    for capabilities in venue::all() {
        let config = SimConfig { history_days: 9, trades_per_minute: 3.0, ..unlimited() };
        let line = venue::standing(capabilities.id, config);
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let (row, _) = minutes(&line);
        let grid = Grid::new(row.timeframe, market.anchors);
        let page = page_rows(&line, row);
        let span = back(row, grid, settled(&line, grid), page + page / 10);
        let is_served =
            grid.count(span) > u64::from(page) || matches!(row.depth, Depth::NewestRows(most) if most <= page);
        assert!(is_served, "{}: {span}", capabilities.id);
        walked(&line, &market, row, span).await;
    }
}

#[tokio::test]
async fn what_is_asked_is_half_open_and_no_bucket_of_its_ends_is_lost() {
    for capabilities in venue::all() {
        let line = venue::standing(capabilities.id, SimConfig { trades_per_minute: 40.0, ..unlimited() });
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let (row, grid) = minutes(&line);
        let to = settled(&line, grid);
        for length in [1, 2, 7] {
            let span = back(row, grid, to, length);
            let page = line.candles(&market, Timeframe::M1, span).await.unwrap();
            let inside: Vec<_> = page.iter().copied().filter(|candle| span.contains(candle.open_time)).collect();
            let what = format!("{} {span}", capabilities.id);
            assert_agree(&inside, &line.true_candles(market.symbol.as_str(), Timeframe::M1, span), &what);
            let before = page.iter().filter(|candle| candle.open_time < span.from).count();
            let after = page.iter().filter(|candle| candle.open_time >= span.to).count();
            assert!(before <= 1, "{what}: {before} rows before");
            assert!(after == 0 || !capabilities.candle_rest.honours_end, "{what}: {after} rows after");
        }
    }
}

#[tokio::test]
async fn a_page_of_too_wide_a_span_is_cut_at_the_cap_and_leaves_no_hole() {
    for capabilities in venue::all() {
        let config = SimConfig { history_days: 9, trades_per_minute: 3.0, ..unlimited() };
        let line = venue::standing(capabilities.id, config);
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let (row, _) = minutes(&line);
        let grid = Grid::new(row.timeframe, market.anchors);
        let most = page_rows(&line, row);
        let to = settled(&line, grid);
        let span = Span::new(grid.back(to, most + 50), to);
        let what = format!("{} {span}", capabilities.id);
        let page = match line.candles(&market, Timeframe::M1, span).await {
            Ok(page) => page,
            // The planner never asks for more than a page.
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::BadRequest, "{what}: {error}");
                continue;
            }
        };
        // The row in progress may stand beside the cap.
        assert!(page.len() <= capabilities.candle_rest.page_limit_rows as usize + 1, "{what}: {}", page.len());
        let inside: Vec<_> = page.into_iter().filter(|candle| span.contains(candle.open_time)).collect();
        let (first, last) = (inside.first().unwrap().open_time, inside.last().unwrap().open_time);
        let told = Span::new(first, grid.next_open(last));
        let is_busy = |time| market.anchors.session.is_none_or(|session| session.is_open_at(time));
        assert!(told.from == span.from || told.to == span.to || !is_busy(span.from), "{what}: {told}");
        assert_agree(&inside, &line.true_candles(market.symbol.as_str(), Timeframe::M1, told), &what);
    }
}

#[tokio::test]
async fn what_lies_deeper_than_a_venue_serves_is_refused_or_absent() {
    let mut checked = 0;
    for capabilities in venue::all() {
        let config = SimConfig { history_days: 40, trades_per_minute: 0.5, ..unlimited() };
        let line = venue::standing(capabilities.id, config);
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let (row, _) = minutes(&line);
        let grid = Grid::new(row.timeframe, market.anchors);
        let edge = match row.depth {
            Depth::Full => continue,
            Depth::NewestRows(rows) => grid.back(grid.bucket_at(epoch()), rows),
            Depth::Age(age) => grid.bucket_at(epoch() - age) - TimeDelta::minutes(1),
        };
        let beyond = Span::new(grid.back(edge, 30), edge);
        let what = format!("{} {beyond}", capabilities.id);
        match line.candles(&market, Timeframe::M1, beyond).await {
            Ok(page) => assert!(!page.iter().any(|candle| beyond.contains(candle.open_time)), "{what}: {page:?}"),
            Err(error) => assert_eq!(error.kind, ErrorKind::OutOfHistory, "{what}: {error}"),
        }
        let within = back(row, grid, grid.bucket_at(edge + TimeDelta::days(4)).min(settled(&line, grid)), 30);
        let page = line.candles(&market, Timeframe::M1, within).await.unwrap();
        let inside: Vec<_> = page.into_iter().filter(|candle| within.contains(candle.open_time)).collect();
        let truth = line.true_candles(market.symbol.as_str(), Timeframe::M1, within);
        assert!(inside.len() == truth.len(), "{what}: {} of {}", inside.len(), truth.len());
        checked += 1;
    }
    assert!(checked >= 3, "{checked}");
}

#[tokio::test]
async fn rows_are_printed_in_the_order_the_contract_names() {
    for (capabilities, contract) in data::contracts() {
        let line = venue::standing(capabilities.id, unlimited());
        let market = line.instrument(venue::symbols(capabilities.id, 1)[0].as_str()).await;
        let (row, grid) = minutes(&line);
        let span = back(row, grid, settled(&line, grid), 9);
        let call = line.dialect.encode_candles(&market, Timeframe::M1, span, line.clock.now());
        let body = String::from_utf8(line.call(&call).await.body.to_vec()).unwrap();
        // Inner rows, whose times stand nowhere else, as seconds, milliseconds or text.
        let place = |minutes: i64| {
            let time = span.from + TimeDelta::minutes(minutes);
            let texts = [time.timestamp().to_string(), time.format("%Y-%m-%dT%H:%M").to_string()];
            let found = texts.iter().find_map(|text| body.find(text));
            found.unwrap_or_else(|| panic!("{} does not print {time}: {body}", capabilities.id))
        };
        let order = if place(2) < place(6) { Order::Ascending } else { Order::Descending };
        assert_eq!(order, contract.row_order, "{}", capabilities.id);
    }
}

#[tokio::test]
async fn a_market_that_does_not_exist_is_refused_by_every_call_and_listed_by_none() {
    for (capabilities, contract) in data::contracts() {
        let line = venue::standing(capabilities.id, unlimited());
        let market = contract.unknown.market();
        let (row, grid) = minutes(&line);
        let hour = back(row, grid, settled(&line, grid), 60);
        let error = line.candles(&market, Timeframe::M1, hour).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownSymbol, "{}: {error}", capabilities.id);
        if capabilities.trade_rest.is_some() {
            let error = line.trades(&market, &candlewick::exchange::TradeCursor::Newest).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::UnknownSymbol, "{}: {error}", capabilities.id);
        }
        let listed = line.markets(std::slice::from_ref(&market.symbol)).await;
        let is_absent = match &listed {
            Ok(listed) => listed.iter().all(|found| found.symbol != market.symbol),
            Err(error) => error.kind == ErrorKind::UnknownSymbol,
        };
        assert!(is_absent, "{}: {listed:?}", capabilities.id);
    }
}
