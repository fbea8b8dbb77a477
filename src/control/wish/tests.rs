use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00.5Z".parse().unwrap()
}

fn request(exchange: &str, symbol: &str) -> Request {
    Request { exchange: exchange.to_owned(), symbol: symbol.to_owned(), ..Request::default() }
}

fn faults(request: Request) -> Vec<String> {
    request.check(now()).unwrap_err()
}

#[test]
fn a_bare_request_wants_minutes_of_one_day() {
    let wish = request("binance", "BTC/USDT").check(now()).unwrap();
    let new = NewSymbol {
        exchange: "binance".to_owned(),
        symbol: "BTC/USDT".parse().unwrap(),
        timeframes: vec![Timeframe::M1],
        backfill_from: "2026-11-19T12:00:00Z".parse().unwrap(),
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    };
    assert_eq!(wish, Wish { new, is_paused: false, notes: vec![] });
}

#[test]
fn timeframes_are_separated_in_any_way_and_sorted() {
    for text in ["1h,1m", "1h 1m", "1m;1h", " 1h, 1m, 1h"] {
        let wish = Request { timeframes: Some(text.to_owned()), ..request("binance", "BTC/USDT") }.check(now());
        assert_eq!(wish.unwrap().new.timeframes, [Timeframe::M1, Timeframe::H1], "{text}");
    }
}

#[test]
fn all_faults_of_a_request_are_told_at_once() {
    let faults = faults(Request {
        timeframes: Some("7m".to_owned()),
        backfill_days: Some("-3".to_owned()),
        candle_source: Some("guess".to_owned()),
        ..request("krakn", "btc/usd")
    });
    assert_eq!(
        faults,
        [
            &format!("unknown exchange \"krakn\"; did you mean kraken? valid: {}", registry::ids()),
            "symbol \"btc/usd\" is in lower case; did you mean BTC/USD?",
            "candle source \"guess\" is neither venue nor trades",
            "unknown timeframe \"7m\"; valid: 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M (1m is a minute, 1M a month)",
            "backfill days \"-3\" is no whole number of days, 0 or more",
        ]
    );
}

#[test]
fn a_timeframe_the_exchange_lacks_is_refused_with_those_it_has() {
    let wanted = Request { timeframes: Some("1m,3m".to_owned()), ..request("kraken", "BTC/USD") };
    assert_eq!(faults(wanted.clone()), ["kraken has no candles of 3m; valid: 1m 5m 15m 30m 1h 4h 1d 1w"]);
    let of_trades = Request { candle_source: Some("trades".to_owned()), ..wanted };
    assert_eq!(of_trades.check(now()).unwrap().new.timeframes, [Timeframe::M1, Timeframe::M3]);
}

#[test]
fn times_that_cannot_be_are_refused() {
    let from = |from: &str| faults(Request { from: Some(from.to_owned()), ..request("binance", "BTC/USDT") });
    assert_eq!(from("2026-11-21"), ["from 2026-11-21T00:00:00Z lies in the future; it is 2026-11-20T12:00:00Z now"]);
    assert_eq!(from("1492-10-12"), ["1492-10-12T00:00:00Z is before 1900; no exchange has candles of that time"]);
    let days = |days: &str| faults(Request { backfill_days: Some(days.to_owned()), ..request("binance", "BTC/USDT") });
    assert_eq!(days("4294967295"), ["4294967295 days ago is before 1900; no exchange has candles of that time"]);
    assert_eq!(days("1.5"), ["backfill days \"1.5\" is no whole number of days, 0 or more"]);
    let both = Request { from: Some("2026-11-19".into()), ..request("binance", "BTC/USDT") };
    assert_eq!(
        faults(Request { backfill_days: Some("1".into()), ..both }),
        ["both from and backfill_days are given; leave out one"]
    );
}

#[test]
fn forms_no_market_can_have_are_refused_and_mixed_case_is_not() {
    let fault = |exchange: &str, symbol: &str| faults(request(exchange, symbol)).remove(0);
    assert_eq!(
        fault("kraken", "BTC-USD"),
        "symbol \"BTC-USD\" is no pair; Kraken has markets like BTC/USD. did you mean BTC/USD?"
    );
    assert_eq!(fault("binance", "BTCUSDT"), "symbol \"BTCUSDT\" is no pair; Binance has markets like BTC/USD.");
    assert_eq!(fault("kraken", "BTC/BTC"), "symbol \"BTC/BTC\" trades a currency against itself");
    assert_eq!(fault("yahoo", "aapl"), "symbol \"aapl\" is in lower case; did you mean AAPL?");
    assert_eq!(request("kraken", "TSLAx/USD").check(now()).unwrap().new.symbol.as_str(), "TSLAx/USD");
    assert_eq!(request("yahoo", "^GSPC").check(now()).unwrap().new.symbol.as_str(), "^GSPC");
}

#[test]
fn candles_from_trades_need_trades_and_the_ticker_alone_needs_no_candles() {
    let built = |exchange: &str, symbol: &str| Request {
        candle_source: Some("trades".to_owned()),
        ..request(exchange, symbol)
    };
    assert!(built("kraken", "BTC/USD").check(now()).unwrap().new.collect_trades);
    assert_eq!(faults(built("yahoo", "AAPL")), ["yahoo has no trades, only candles"]);
    let ticker = Request { only_ticker: true, ..request("kraken", "BTC/USD") };
    assert_eq!(ticker.check(now()).unwrap().new.timeframes, []);
    let [fault] = &faults(Request { symbol: "AAPL".into(), exchange: "yahoo".into(), ..ticker.clone() })[..] else {
        panic!("one fault")
    };
    assert!(fault.starts_with("yahoo has no tickers; those that have: kraken binance"), "{fault}");
    assert_eq!(
        faults(Request { timeframes: Some("1m".into()), ..ticker }),
        ["the ticker only is wanted, but timeframes or trades too; leave out one of them"]
    );
}

#[test]
fn a_history_longer_than_the_exchanges_own_is_granted_with_a_note() {
    let wish = Request { timeframes: Some("1m,1h".into()), ..request("kraken", "BTC/USD") }.check(now()).unwrap();
    assert_eq!(
        wish.notes,
        [
            "kraken serves 1m only back to about 2026-11-20T00:00:00Z; what is older is built from its trades, which takes longer"
        ]
    );
    let hyper = Request {
        timeframes: Some("1m".into()),
        backfill_days: Some("9".into()),
        ..request("hyperliquid", "BTC/USDC:USDC")
    };
    let [note] = &hyper.check(now()).unwrap().notes[..] else { panic!("one note") };
    assert!(note.ends_with("Z; `candlewick gaps` shows what it does not have"), "{note}");
    let built = Request { candle_source: Some("trades".into()), ..hyper };
    assert_eq!(
        built.check(now()).unwrap().notes,
        ["hyperliquid serves only its newest trades: candles begin when the collector does"]
    );
}
