use super::*;
use crate::exchange::{
    Channel, Cost, Dialogue, ErrorKind, Event, HttpReply, Instrument, Subscription, TradeCursor, TradePage, registry,
};
use crate::market::{Candle, Side, Span, Ticker, Timeframe, Trade, TradeId};

const EXCHANGE_INFO: &str = include_str!("../../../tests/fixtures/binanceusdm/exchange_info.json");
const KLINES: &str = include_str!("../../../tests/fixtures/binanceusdm/klines.json");
const AGG_TRADES: &str = include_str!("../../../tests/fixtures/binanceusdm/agg_trades.json");
const TICKER: &str = include_str!("../../../tests/fixtures/binanceusdm/ticker.json");
const BAD_PARAMETER: &str = include_str!("../../../tests/fixtures/binanceusdm/error_parameter.json");
const STREAM_KLINE: &str = include_str!("../../../tests/fixtures/binanceusdm/stream_kline.json");
const STREAM_AGG_TRADE: &str = include_str!("../../../tests/fixtures/binanceusdm/stream_agg_trade.json");

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn dialect() -> Arc<dyn Dialect> {
    build(registry::find("binanceusdm").unwrap().public_endpoints())
}

fn market(symbol: &str, id: &str) -> Instrument {
    Instrument::new(symbol.parse().unwrap(), id, id)
}

fn bitcoin() -> Instrument {
    market("BTC/USDT:USDT", "BTCUSDT")
}

fn body(text: &str) -> HttpReply {
    HttpReply::new(200, text.to_owned())
}

#[test]
fn contracts_are_named_by_what_they_settle_in_and_when_and_unbegun_ones_are_left_out() {
    let requests = dialect().encode_instruments(&[]);
    assert_eq!(requests[0].url, "https://fapi.binance.com/fapi/v1/exchangeInfo");
    assert_eq!((requests.len(), requests[0].cost), (1, Cost { limit: 0, units: 1 }));
    let expected = vec![
        bitcoin(),
        market("BTC/USDC:USDC", "BTCUSDC"),
        market("BTC/USDT:USDT-261225", "BTCUSDT_261225"),
        Instrument { is_trading: false, ..market("TSLA/USDT:USDT", "TSLAUSDT") },
    ];
    assert_eq!(dialect().decode_instruments(None, &body(EXCHANGE_INFO)), Ok(expected));
    let spot = dialect().decode_instruments(Some(&"BTC/USDT".parse().unwrap()), &body(EXCHANGE_INFO)).unwrap_err();
    assert_eq!((spot.kind, spot.message), (ErrorKind::UnknownSymbol, "Binance USD-M lists no BTC/USDT".to_owned()));
}

#[test]
fn a_candle_call_weighs_by_the_rows_it_asks_for() {
    let start = at("2026-11-20T14:00:00Z");
    let ask = |minutes| {
        let span = Span::new(start, start + chrono::TimeDelta::minutes(minutes));
        dialect().encode_candles(&bitcoin(), Timeframe::M1, span, span.to)
    };
    assert_eq!(
        ask(60).url,
        "https://fapi.binance.com/fapi/v1/klines?symbol=BTCUSDT&interval=1m\
         &startTime=1795183200000&endTime=1795186799999&limit=60"
    );
    let weights = [1, 99, 100, 499, 500, 1000, 1001, 1500, 5000].map(|minutes| ask(minutes).cost.units);
    assert_eq!(weights, [1, 1, 2, 2, 5, 5, 10, 10, 10]);
    assert!(ask(5000).url.ends_with("&limit=1500"));
}

#[test]
fn klines_and_frames_are_read_with_their_fewer_digits() {
    let traded = Candle {
        open_time: at("2026-11-20T13:59:00Z"),
        open: 91210.0,
        high: 91242.7,
        low: 91201.5,
        close: 91230.0,
        volume: 14.207,
        quote_volume: Some(1295892.461),
        trades: Some(2210),
        vwap: None,
    };
    let quiet = Candle { quote_volume: Some(0.0), ..Candle::flat(at("2026-11-20T14:00:00Z"), 91230.0) };
    let span = Span::new(traded.open_time, at("2026-11-20T14:01:00Z"));
    let decoded = dialect().decode_candles(&bitcoin(), Timeframe::M1, span, &body(KLINES));
    assert_eq!(decoded, Ok(vec![traded, quiet]));
    let live = Candle {
        open_time: at("2026-11-20T14:00:00Z"),
        open: 91230.0,
        high: 91250.0,
        low: 91229.9,
        close: 91244.1,
        volume: 6.118,
        quote_volume: Some(558242.90113),
        trades: Some(477),
        vwap: None,
    };
    let event = Event::Candle {
        stream_id: "BTCUSDT".into(),
        timeframe: Timeframe::M1,
        candle: live,
        closed: Some(false),
        stamped_at: Some(at("2026-11-20T14:00:32.003Z")),
        is_snapshot: false,
    };
    assert_eq!(events(STREAM_KLINE), vec![event]);
    // Bars of a second are a thing of the spot market.
    let second = STREAM_KLINE.replace("\"1m\"", "\"1s\"");
    assert_eq!(events(&second), vec![Event::Unknown { kind: "kline interval".into() }]);
}

fn events(text: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    dialect().decode_frame(&mut Dialogue::default(), text, &mut |event| events.push(event));
    events
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
fn trades_walk_forward_by_their_aggregate_id_and_may_skip_trade_ids() {
    let cost = Cost { limit: 0, units: 20 };
    let hour = dialect().encode_trades(&bitcoin(), &TradeCursor::Time(at("2026-11-20T14:00:00Z"))).unwrap();
    assert_eq!(
        hour.url,
        "https://fapi.binance.com/fapi/v1/aggTrades?symbol=BTCUSDT\
         &startTime=1795183200000&endTime=1795186799999&limit=1000"
    );
    assert_eq!(hour.cost, cost);
    let next = dialect().encode_trades(&bitcoin(), &TradeCursor::Venue("2901188212".into())).unwrap();
    assert_eq!(next.url, "https://fapi.binance.com/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=2901188212&limit=1000");
    let first = trade(6501188301, 6501188303, "01.118", "91230.00", "0.023", Side::Buy);
    let page = TradePage {
        trades: vec![first.clone(), trade(6501188305, 6501188305, "01.140", "91229.90", "0.500", Side::Sell)],
        next: Some(TradeCursor::Venue("2901188212".into())),
    };
    assert_eq!(dialect().decode_trades(&bitcoin(), &TradeCursor::Newest, &body(AGG_TRADES)), Ok(page));
    let event = Event::Trade {
        stream_id: "BTCUSDT".into(),
        trade: first,
        is_snapshot: false,
        stamped_at: Some(at("2026-11-20T14:00:01.121Z")),
    };
    assert_eq!(events(STREAM_AGG_TRADE), vec![event]);
}

#[test]
fn a_ticker_has_no_quotes_and_many_markets_are_asked_for_at_once() {
    let ticker = Ticker {
        time: Some(at("2026-11-20T14:00:01.120Z")),
        last: Some(91230.0),
        bid: None,
        ask: None,
        volume: Some(148010.331),
        quote_volume: Some(13495598000.55),
    };
    let calls = dialect().encode_tickers(&[bitcoin(), market("BTC/USDC:USDC", "BTCUSDC")]);
    let asked = calls.iter().map(|call| (call.url.as_str(), call.cost.units)).collect::<Vec<_>>();
    let base = "https://fapi.binance.com/fapi/v1/ticker/24hr";
    let each = [format!("{base}?symbol=BTCUSDT"), format!("{base}?symbol=BTCUSDC")];
    assert_eq!(asked, [(each[0].as_str(), 1), (each[1].as_str(), 1)]);
    assert_eq!(dialect().decode_tickers(&calls[0], &body(TICKER)), Ok(vec![("BTCUSDT".to_owned(), ticker)]));
    let all = dialect().encode_tickers(&vec![bitcoin(); 41]);
    assert_eq!(all.iter().map(|call| (call.url.as_str(), call.cost.units)).collect::<Vec<_>>(), [(base, 40)]);
    assert_eq!(dialect().encode_tickers(&[]), vec![]);
}

#[test]
fn the_stream_is_reached_by_its_route_whatever_address_is_configured() {
    let url = |base: &str| {
        let endpoints = registry::find("binanceusdm").unwrap().public_endpoints();
        let dialect = build(Endpoints { stream: base.to_owned(), ..endpoints });
        dialect.stream_url(&Subscription { channel: Channel::Trades, stream_id: "BTCUSDT".into() })
    };
    for old in ["", "/ws", "/stream", "/market", "/market/ws", "/market/stream"] {
        assert_eq!(url(&format!("wss://fstream.binance.com{old}")), "wss://fstream.binance.com/market/ws");
    }
    assert_eq!(url("ws://127.0.0.1:8787/binanceusdm"), "ws://127.0.0.1:8787/binanceusdm/market/ws");
}

#[test]
fn errors_are_those_of_the_family_and_a_refused_country_has_no_other_address() {
    let kind = |status, text: &str| {
        let reply = HttpReply::new(status, text.to_owned());
        dialect().decode_trades(&bitcoin(), &TradeCursor::Newest, &reply).map_err(|error| error.kind)
    };
    assert_eq!(kind(400, BAD_PARAMETER), Err(ErrorKind::BadRequest));
    assert_eq!(kind(400, r#"{"code":-1121,"msg":"Invalid symbol."}"#), Err(ErrorKind::UnknownSymbol));
    assert_eq!(kind(418, "{}"), Err(ErrorKind::Banned { retry_after: None }));
    let refused = dialect().decode_instruments(None, &HttpReply::new(451, "{}")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "banned: Binance USD-M refuses the country of this address, use an address in another one; HTTP 451: {}"
    );
}
