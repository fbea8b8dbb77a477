//! The spot REST calls: instruments, klines, aggregated trades, and the venue's errors.
//!
//! Trades are read as aggregated ones. A row stands for the trade ids `f..=l`; its own id `a` is
//! another sequence, which only this venue's paging knows. So history starts at a point in time,
//! whose window may hold at most an hour, and goes on by [`TradeCursor::Venue`], the text of the
//! next `a`. A trade id is no cursor here: [`TradeCursor::AfterId`] has no call, start from the
//! time of that trade instead. (The call by trade id exists, but its rows are single trades, which
//! would double the aggregated ones they are part of.)

use super::failure::read;
use super::wire::{AggTrade, ExchangeInfo, KlineRow};
use super::{CAPABILITIES, symbols};
use crate::exchange::request::percent_encode;
use crate::exchange::{
    Cost, Endpoints, ErrorKind, HttpReply, HttpRequest, Instrument, Method, TradeCursor, TradePage, VenueError,
};
use crate::market::{Candle, Grid, Span, Symbol, Timeframe};

/// A path and its request weight.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    path: &'static str,
    weight: u32,
}

pub const EXCHANGE_INFO: Call = Call { path: "/api/v3/exchangeInfo", weight: 20 };
pub const KLINES: Call = Call { path: "/api/v3/klines", weight: 2 };
pub const AGG_TRADES: Call = Call { path: "/api/v3/aggTrades", weight: 4 };

/// Longest window of a trade read by time.
pub const TRADE_WINDOW_MS: i64 = 3_600_000;

/// A GET with a query (without `?`, possibly empty).
pub fn get(endpoints: &Endpoints, call: Call, query: String) -> HttpRequest {
    let mark = if query.is_empty() { "" } else { "?" };
    HttpRequest {
        method: Method::Get,
        url: format!("{}{}{mark}{query}", endpoints.rest, call.path),
        headers: vec![("user-agent", endpoints.user_agent.clone())],
        body: None,
        cost: Cost { limit: 0, units: call.weight },
    }
}

/// Both bounds are inclusive and bound the open time.
pub fn candle_query(instrument: &Instrument, timeframe: Timeframe, span: Span) -> String {
    format!(
        "symbol={}&interval={timeframe}&startTime={}&endTime={}&limit={}",
        percent_encode(&instrument.rest_id),
        span.from.timestamp_millis(),
        span.to.timestamp_millis() - 1,
        CAPABILITIES.candle_rest.page_limit_rows,
    )
}

/// `None` for a cursor this venue has no call for.
pub fn trade_query(instrument: &Instrument, cursor: &TradeCursor) -> Option<String> {
    let start = match cursor {
        TradeCursor::Newest => String::new(),
        TradeCursor::Time(from) => {
            let from = from.timestamp_millis();
            format!("&startTime={from}&endTime={}", from + TRADE_WINDOW_MS - 1)
        }
        TradeCursor::Venue(next) => format!("&fromId={}", next.parse::<u64>().ok()?),
        TradeCursor::AfterId(_) => return None,
    };
    Some(format!("symbol={}{start}&limit=1000", percent_encode(&instrument.rest_id)))
}

pub fn decode_instruments(asked: Option<&Symbol>, reply: &HttpReply) -> Result<Vec<Instrument>, VenueError> {
    let mut instruments = read(reply, |json| {
        let info: ExchangeInfo<'_> = serde_json::from_str(json)?;
        Ok(Ok(info.symbols.iter().filter_map(symbols::instrument).collect::<Vec<_>>()))
    })?;
    if let Some(asked) = asked {
        instruments.retain(|instrument| instrument.symbol == *asked);
        if instruments.is_empty() {
            return Err(VenueError::new(ErrorKind::UnknownSymbol, format!("Binance spot lists no {asked}")));
        }
    }
    Ok(instruments)
}

pub fn decode_candles(timeframe: Timeframe, reply: &HttpReply) -> Result<Vec<Candle>, VenueError> {
    let grid = Grid::utc(timeframe);
    let mut candles = read(reply, |json| {
        let rows: Vec<KlineRow<'_>> = serde_json::from_str(json)?;
        Ok(rows.iter().map(|row| row.0.candle(grid)).collect::<Result<Vec<_>, _>>())
    })?;
    candles.sort_by_key(|candle| candle.open_time);
    candles.dedup_by(|later, kept| {
        let is_same = later.open_time == kept.open_time;
        if is_same {
            *kept = *later;
        }
        is_same
    });
    Ok(candles)
}

pub fn decode_trades(reply: &HttpReply) -> Result<TradePage, VenueError> {
    let mut rows = read(reply, |json| {
        let rows: Vec<AggTrade<'_>> = serde_json::from_str(json)?;
        Ok(rows.iter().map(|row| Ok((row.id.count("a")?, row.trade()?))).collect::<Result<Vec<_>, _>>())
    })?;
    rows.sort_by_key(|(id, _)| *id);
    rows.dedup_by_key(|(id, _)| *id);
    // A short page is no proof of the end: it may have been cut by its window of time.
    let next = rows.last().map(|(id, _)| TradeCursor::Venue(id.saturating_add(1).to_string()));
    Ok(TradePage { trades: rows.into_iter().filter_map(|(_, trade)| trade).collect(), next })
}

#[cfg(test)]
mod tests {
    use super::super::wire::malformed;
    use super::*;
    use crate::exchange::registry;
    use crate::market::{Anchors, Side, Trade, TradeId};
    use chrono::{DateTime, Utc};

    const KLINES_BODY: &str = include_str!("../../../tests/fixtures/binance/klines.json");
    const AGG_TRADES_BODY: &str = include_str!("../../../tests/fixtures/binance/agg_trades.json");
    const EXCHANGE_INFO_BODY: &str = include_str!("../../../tests/fixtures/binance/exchange_info.json");

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn market(id: &str, symbol: &str, is_trading: bool) -> Instrument {
        Instrument {
            symbol: symbol.parse().unwrap(),
            rest_id: id.to_owned(),
            stream_id: id.to_owned(),
            is_trading,
            anchors: Anchors::default(),
        }
    }

    fn bitcoin() -> Instrument {
        market("BTCUSDT", "BTC/USDT", true)
    }

    fn dialect() -> std::sync::Arc<dyn crate::exchange::Dialect> {
        let row = registry::find("binance").unwrap();
        (row.build)(row.public_endpoints())
    }

    #[test]
    fn candles_are_asked_by_inclusive_open_times_at_weight_two() {
        let span = Span::new(at("2026-11-20T14:00:00Z"), at("2026-11-20T15:00:00Z"));
        let request = dialect().encode_candles(&bitcoin(), Timeframe::M1, span);
        assert_eq!(
            request.url,
            "https://api.binance.com/api/v3/klines?symbol=BTCUSDT&interval=1m\
             &startTime=1795183200000&endTime=1795186799999&limit=1000"
        );
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.headers, vec![("user-agent", registry::DEFAULT_USER_AGENT.to_owned())]);
        assert_eq!(request.cost, Cost { limit: 0, units: 2 });
        let month = dialect().encode_candles(&market("币USDT", "币/USDT", true), Timeframe::Month1, span);
        assert!(month.url.contains("?symbol=%E5%B8%81USDT&interval=1M&"), "{}", month.url);
    }

    #[test]
    fn klines_become_candles_and_holes_stay_holes() {
        let first = Candle {
            open_time: at("2026-11-20T13:59:00Z"),
            open: 91210.01,
            high: 91242.7,
            low: 91201.55,
            close: 91230.0,
            volume: 14.20718,
            quote_volume: Some(1295892.4610318),
            trades: Some(2210),
            vwap: None,
        };
        let quiet = Candle { quote_volume: Some(0.0), ..Candle::flat(at("2026-11-20T14:00:00Z"), 91230.0) };
        let last = Candle {
            open_time: at("2026-11-20T14:02:00Z"),
            open: 91230.0,
            high: 91250.0,
            low: 91229.99,
            close: 91244.1,
            volume: 6.1183,
            quote_volume: Some(558242.90113),
            trades: Some(477),
            vwap: None,
        };
        let decode = |body: &str| decode_candles(Timeframe::M1, &HttpReply::new(200, body.to_owned()));
        assert_eq!(decode(KLINES_BODY), Ok(vec![first, quiet, last]));
        assert_eq!(decode("[]"), Ok(vec![]));
        let longer =
            KLINES_BODY.replace(",\"0\"]", ",\"0\",null,{\"new\":[1]}]").replace("\"91210.01000000\"", "91210.01");
        assert_eq!(decode(&longer), Ok(vec![first, quiet, last]));
        let nine =
            r#"[["1795183140000","91210.01","91242.7","91201.55","91230","14.20718",0,"1295892.4610318","2210"]]"#;
        assert_eq!(decode(nine), Ok(vec![first]));
    }

    #[test]
    fn rows_out_of_order_are_sorted_and_of_two_for_one_bucket_the_later_stays() {
        let row = |time: i64, close: &str| format!("[{time},\"1\",\"9\",\"1\",\"{close}\",\"1\",0,\"1\",1]");
        let body = format!("[{},{},{}]", row(1795183260000, "4"), row(1795183200000, "2"), row(1795183260000, "5"));
        let candles = decode_candles(Timeframe::M1, &HttpReply::new(200, body)).unwrap();
        let seen = candles.iter().map(|candle| (candle.open_time, candle.close)).collect::<Vec<_>>();
        assert_eq!(seen, vec![(at("2026-11-20T14:00:00Z"), 2.0), (at("2026-11-20T14:01:00Z"), 5.0)]);
    }

    #[test]
    fn weeks_open_on_monday_and_months_on_the_first() {
        let row = |time: i64| format!("[[{time},\"1\",\"1\",\"1\",\"1\",\"1\",0,\"1\",1]]");
        let open = |timeframe, text: &str| {
            let body = row(at(text).timestamp_millis());
            decode_candles(timeframe, &HttpReply::new(200, body)).map(|candles| candles[0].open_time)
        };
        assert_eq!(open(Timeframe::W1, "2026-11-16T00:00:00Z"), Ok(at("2026-11-16T00:00:00Z")));
        assert_eq!(open(Timeframe::Month1, "2026-11-01T00:00:00Z"), Ok(at("2026-11-01T00:00:00Z")));
        let thursday = open(Timeframe::W1, "2026-11-19T00:00:00Z");
        assert_eq!(thursday, Err(malformed("open time 2026-11-19 00:00:00 UTC is no 1w border")));
    }

    #[test]
    fn one_broken_row_makes_the_page_malformed() {
        let kind = |body: String| decode_candles(Timeframe::M1, &HttpReply::new(200, body)).map_err(|error| error.kind);
        let short = KLINES_BODY.replace(",477,\"3.00410000\",\"274101.20500000\",\"0\"", "");
        assert_eq!(kind(short), Err(ErrorKind::Malformed));
        assert_eq!(kind(KLINES_BODY.replace("\"91229.99000000\"", "null")), Err(ErrorKind::Malformed));
        assert_eq!(kind(KLINES_BODY.replace(",477,", ",-477,")), Err(ErrorKind::Malformed));
        assert_eq!(kind(KLINES_BODY[..200].to_owned()), Err(ErrorKind::Malformed));
        assert_eq!(kind("<html>busy</html>".to_owned()), Err(ErrorKind::Malformed));
    }

    #[test]
    fn trades_start_in_a_window_of_an_hour_and_go_on_by_the_venues_id() {
        let url = |cursor| dialect().encode_trades(&bitcoin(), &cursor).map(|request| request.url);
        let base = "https://api.binance.com/api/v3/aggTrades?symbol=BTCUSDT";
        assert_eq!(url(TradeCursor::Newest), Some(format!("{base}&limit=1000")));
        let from = at("2026-11-20T14:00:00Z");
        let window = format!("{base}&startTime=1795183200000&endTime=1795186799999&limit=1000");
        assert_eq!(url(TradeCursor::Time(from)), Some(window));
        let paged = format!("{base}&fromId=3401188212&limit=1000");
        assert_eq!(url(TradeCursor::Venue("3401188212".into())), Some(paged));
        assert_eq!(url(TradeCursor::Venue("1&symbol=X".into())), None);
        assert_eq!(url(TradeCursor::AfterId(TradeId::Number(1))), None);
        let cost = dialect().encode_trades(&bitcoin(), &TradeCursor::Newest).unwrap().cost;
        assert_eq!(cost, Cost { limit: 0, units: 4 });
    }

    #[test]
    fn an_empty_window_is_followed_by_the_next_one_and_an_empty_page_by_nothing() {
        let dialect = dialect();
        assert_eq!(
            dialect.decode_trades(&bitcoin(), &HttpReply::new(200, "[]")),
            Ok(TradePage { trades: vec![], next: None })
        );
        assert_eq!(
            dialect.cursor_after_empty(&TradeCursor::Time(at("2026-11-20T14:00:00Z"))),
            Some(TradeCursor::Time(at("2026-11-20T15:00:00Z")))
        );
        assert_eq!(dialect.cursor_after_empty(&TradeCursor::Venue("7".into())), None);
        assert_eq!(dialect.cursor_after_empty(&TradeCursor::Newest), None);
        assert_eq!(dialect.cursor_after_empty(&TradeCursor::Time(DateTime::<Utc>::MAX_UTC)), None);
    }

    fn trade(first: u64, last: u64, millis: &str, price: &str, amount: &str, side: Side) -> Trade {
        Trade {
            id: TradeId::Number(first),
            last_id: TradeId::Number(last),
            time: at(&format!("2026-11-20T14:00:{millis}Z")),
            price: price.parse().unwrap(),
            amount: amount.parse().unwrap(),
            side: Some(side),
        }
    }

    #[test]
    fn aggregated_trades_cover_their_ids_and_page_by_their_own() {
        let page = || TradePage {
            trades: vec![
                trade(5501188301, 5501188303, "01.118", "91230.00000000", "0.00230000", Side::Buy),
                trade(5501188304, 5501188304, "01.140", "91229.99000000", "0.50000000", Side::Sell),
            ],
            next: Some(TradeCursor::Venue("3401188212".into())),
        };
        let decode = |body: String| decode_trades(&HttpReply::new(200, body));
        assert_eq!(decode(AGG_TRADES_BODY.to_owned()), Ok(page()));
        assert_eq!(page().trades[0].count(), 3);
        let quoted = AGG_TRADES_BODY.replace(":3401188210", ":\"3401188210\"").replace("\"0.00230000\"", "0.00230000");
        assert_eq!(decode(quoted), Ok(page()));
    }

    #[test]
    fn trade_rows_are_sorted_deduplicated_and_placeholders_are_dropped() {
        let row =
            |id: u64, ids: &str| format!("{{\"a\":{id},\"p\":\"1\",\"q\":\"2\",{ids},\"T\":1795183201000,\"m\":true}}");
        let body = format!(
            "[{},{},{},{}]",
            row(12, "\"f\":-1,\"l\":-1"),
            row(11, "\"f\":5,\"l\":6"),
            row(10, "\"f\":4,\"l\":4"),
            row(11, "\"f\":5,\"l\":6")
        );
        let expected = TradePage {
            trades: vec![trade(4, 4, "01", "1", "2", Side::Sell), trade(5, 6, "01", "1", "2", Side::Sell)],
            next: Some(TradeCursor::Venue("13".into())),
        };
        assert_eq!(decode_trades(&HttpReply::new(200, body)), Ok(expected));
    }

    #[test]
    fn the_instrument_list_names_markets_by_their_assets() {
        let requests = dialect().encode_instruments(&["BTC/USDT".parse().unwrap()]);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].url, "https://api.binance.com/api/v3/exchangeInfo");
        assert_eq!(requests[0].cost, Cost { limit: 0, units: 20 });
        let reply = HttpReply::new(200, EXCHANGE_INFO_BODY);
        let all =
            vec![bitcoin(), market("LUNCUSDT", "LUNC/USDT", false), market("币安人生USDT", "币安人生/USDT", true)];
        assert_eq!(decode_instruments(None, &reply), Ok(all));
        assert_eq!(decode_instruments(Some(&"BTC/USDT".parse().unwrap()), &reply), Ok(vec![bitcoin()]));
        let missing = decode_instruments(Some(&"BTC/USD".parse().unwrap()), &reply).map_err(|error| error.kind);
        assert_eq!(missing, Err(ErrorKind::UnknownSymbol));
    }
}
