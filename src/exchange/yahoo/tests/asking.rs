//! What is asked for: a market's description, candles of each timeframe, and nothing else.

use super::*;

#[test]
fn a_market_is_described_by_one_chart_call() {
    let symbols = ["AAPL", "^GSPC", "EUR/USD", "BTC/USD"].map(|symbol| symbol.parse().unwrap());
    let requests = dialect().encode_instruments(&symbols);
    let urls = requests.iter().map(|request| request.url.as_str()).collect::<Vec<_>>();
    let base = "https://query2.finance.yahoo.com/v8/finance/chart";
    let ids = ["AAPL", "%5EGSPC", "EURUSD%3DX", "BTC-USD"];
    assert_eq!(urls, ids.map(|id| format!("{base}/{id}?range=1d&interval=1d")));
    assert_eq!(requests[0].headers, vec![("user-agent", registry::DEFAULT_USER_AGENT.to_owned())]);
    assert_eq!(requests[0].cost, Cost { limit: 0, units: 1 });
}

#[test]
fn the_hours_of_a_market_come_from_its_chart() {
    let time = |text: &str| text.parse::<NaiveTime>().unwrap();
    let new_york = Anchors {
        intraday_shift_s: 1800,
        week_start: WeekStart::Monday,
        session: Some(Session { zone: chrono_tz::America::New_York, open: time("09:30:00"), close: time("16:00:00") }),
    };
    assert_eq!(apple(), Instrument { anchors: new_york, ..Instrument::new("AAPL".parse().unwrap(), "AAPL", "AAPL") });
    let bitcoin = instrument("BTC/USD", BTC);
    assert_eq!((bitcoin.rest_id.as_str(), bitcoin.anchors), ("BTC-USD", Anchors::default()));
    let euro = instrument("EUR/USD", EURUSD);
    let london = Session { zone: chrono_tz::Europe::London, open: NaiveTime::MIN, close: NaiveTime::MIN };
    assert_eq!(euro.rest_id, "EURUSD=X");
    assert_eq!(euro.anchors, Anchors { session: Some(london), ..Anchors::default() });
    let day = Grid::new(Timeframe::D1, euro.anchors);
    assert_eq!(day.close_of(at("2026-11-20T00:00:00Z")), at("2026-11-21T00:00:00Z"));
}

#[test]
fn the_canonical_case_is_taken_from_the_reply_and_the_asked_name_is_kept() {
    let found = instrument("aapl", AAPL_1D);
    assert_eq!((found.symbol.as_str(), found.rest_id.as_str()), ("aapl", "AAPL"));
    let renamed = instrument("FB", &AAPL_1D.replace("\"symbol\":\"AAPL\"", "\"symbol\":\"META\""));
    assert_eq!((renamed.symbol.as_str(), renamed.rest_id.as_str()), ("FB", "FB"));
    let unasked = dialect().decode_instruments(None, &reply(BTC)).unwrap();
    assert_eq!((unasked[0].symbol.as_str(), unasked[0].rest_id.as_str()), ("BTC/USD", "BTC-USD"));
}

#[test]
fn intraday_candles_are_asked_by_seconds_and_half_hours_as_quarters() {
    let url =
        |instrument: &Instrument, timeframe, span| dialect().encode_candles(instrument, timeframe, span, span.to).url;
    let base = "https://query2.finance.yahoo.com/v8/finance/chart";
    let hour = span("2026-11-20T14:30:00Z", "2026-11-20T15:30:00Z");
    let query = |wire: &str| format!("period1=1795185000&period2=1795188600&interval={wire}&includePrePost=false");
    assert_eq!(url(&apple(), Timeframe::M1, hour), format!("{base}/AAPL?{}", query("1m")));
    assert_eq!(url(&apple(), Timeframe::M30, hour), format!("{base}/AAPL?{}", query("15m")));
    assert_eq!(url(&apple(), Timeframe::H1, hour), format!("{base}/AAPL?{}", query("1h")));
    let euro = instrument("EUR/USD", EURUSD);
    assert_eq!(url(&euro, Timeframe::M5, hour), format!("{base}/EURUSD%3DX?{}", query("5m")));
}

#[test]
fn daily_and_longer_candles_are_asked_by_local_dates_two_hours_early() {
    let url =
        |instrument: &Instrument, timeframe, span| dialect().encode_candles(instrument, timeframe, span, span.to).url;
    let base = "https://query2.finance.yahoo.com/v8/finance/chart";
    let query = |from: &str, to: &str, wire: &str| {
        let (from, to) = (at(from).timestamp(), at(to).timestamp());
        format!("period1={from}&period2={to}&interval={wire}&includePrePost=false")
    };
    let across = span("2026-10-26T00:00:00Z", "2026-11-02T00:00:00Z");
    let local = query("2026-10-26T02:00:00Z", "2026-11-02T05:00:00Z", "1wk");
    assert_eq!(url(&apple(), Timeframe::W1, across), format!("{base}/AAPL?{local}"));
    let utc = query("2026-10-25T22:00:00Z", "2026-11-02T00:00:00Z", "1d");
    assert_eq!(url(&instrument("BTC/USD", BTC), Timeframe::D1, across), format!("{base}/BTC-USD?{utc}"));
    let before_1970 = span("1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z");
    let negative = "period1=-2667600&period2=18000&interval=1mo&includePrePost=false";
    assert_eq!(url(&apple(), Timeframe::Month1, before_1970), format!("{base}/AAPL?{negative}"));
}

#[test]
fn there_are_no_trades_and_no_stream() {
    let dialect = dialect();
    assert_eq!(dialect.encode_trades(&apple(), &TradeCursor::Newest), None);
    let refused = VenueError::new(ErrorKind::BadRequest, "Yahoo serves no trades");
    assert_eq!(dialect.decode_trades(&apple(), &TradeCursor::Newest, &reply("[]")), Err(refused));
    let subscription = Subscription { channel: Channel::Trades, stream_id: "AAPL".into() };
    assert_eq!(dialect.stream_url(&subscription), "");
    assert_eq!(dialect.encode_subscribe(std::slice::from_ref(&subscription), 1), vec![]);
    assert_eq!(dialect.encode_unsubscribe(&Dialogue::default(), &[subscription], 1), vec![]);
    let mut events = Vec::new();
    dialect.decode_frame(&mut Dialogue::default(), "{}", &mut |event| events.push(event));
    let error = VenueError::new(ErrorKind::Malformed, "Yahoo has no stream of candles or trades");
    assert_eq!(events, vec![Event::Error(error)]);
}
