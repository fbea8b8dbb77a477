//! What somebody asks to have collected, and whether it can be.

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};

use super::when::{self, Time};
use crate::exchange::{Capabilities, Depth, TradeHistory, registry};
use crate::market::{Symbol, Timeframe};
use crate::store::{CandleSource, NewSymbol};

/// Columns that `symbols list` prints.
pub const COLUMNS_OF_LIST: &[&str] =
    &["exchange", "symbol", "timeframes", "from", "trades", "candle_source", "only_ticker", "state", "reason"];

/// The column that only a request has: the other way to say `from`.
pub const BACKFILL_DAYS: &str = "backfill_days";

/// No exchange has candles from before this year.
const FIRST_YEAR: i32 = 1900;

/// A request in the words of the asker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Exchange id.
    pub exchange: String,
    /// Unified name.
    pub symbol: String,
    /// Separated by commas, semicolons or spaces; `1m` when absent.
    pub timeframes: Option<String>,
    /// A whole number of days before now; 1 when neither this nor `from` is there.
    pub backfill_days: Option<String>,
    /// A time in one of the forms of [`when::parse`].
    pub from: Option<String>,
    /// Its trades are wanted too.
    pub trades: bool,
    /// `venue` or `trades`; `venue` when absent.
    pub candle_source: Option<String>,
    /// Only the ticker is wanted.
    pub only_ticker: bool,
    /// It shall be paused.
    pub is_paused: bool,
}

/// A request that can be granted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// For the store.
    pub new: NewSymbol,
    /// It shall be paused.
    pub is_paused: bool,
    /// What the asker should know.
    pub notes: Vec<String>,
}

impl Request {
    /// Sets a column by its name; an empty text says nothing.
    ///
    /// # Errors
    /// What is wrong with the name or the text.
    pub fn set(&mut self, column: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let some = || Some(text.to_owned());
        match column {
            "exchange" => self.exchange = text.to_owned(),
            "symbol" => self.symbol = text.to_owned(),
            "timeframes" => self.timeframes = some(),
            BACKFILL_DAYS => self.backfill_days = some(),
            "from" => self.from = some(),
            "trades" => self.trades = yes_or_no(column, text)?,
            "candle_source" => self.candle_source = some(),
            "only_ticker" => self.only_ticker = yes_or_no(column, text)?,
            "state" => match text {
                "paused" => self.is_paused = true,
                // What the exchange said of it before is for the collector to ask again.
                "active" | "rejected" => {}
                _ => return Err(format!("state {text:?} is neither active nor paused")),
            },
            "reason" => {}
            _ => return Err(unknown_column(column)),
        }
        Ok(())
    }

    /// Checks everything that can be checked without asking the exchange.
    ///
    /// # Errors
    /// All faults, at least one.
    pub fn check(&self, now: DateTime<Utc>) -> Result<Wish, Vec<String>> {
        let mut faults = Vec::new();
        let mut keep = |fault: String| faults.push(fault);
        let venue = registry::find(&self.exchange).map(|row| row.capabilities).map_err(|e| keep(e.to_string())).ok();
        let symbol = check_symbol(&self.symbol, venue).map_err(&mut keep).ok();
        let candle_source = match self.candle_source.as_deref() {
            None | Some("venue") => CandleSource::Venue,
            Some("trades") => CandleSource::Trades,
            Some(other) => {
                keep(format!("candle source {other:?} is neither venue nor trades"));
                CandleSource::Venue
            }
        };
        // Trades make any timeframe.
        let makers = venue.filter(|_| candle_source == CandleSource::Venue);
        let timeframes = check_timeframes(self.timeframes.as_deref().unwrap_or("1m"), makers, &mut keep);
        let collect_trades = self.trades || candle_source == CandleSource::Trades;
        if let Some(venue) = venue
            && collect_trades
            && venue.trade_rest.is_none()
            && venue.trade_stream.is_none()
        {
            keep(format!("{} has no trades, only candles", venue.id));
        }
        if let Some(venue) = venue
            && self.only_ticker
            && !venue.has_tickers
        {
            let others = registry::EXCHANGES.iter().map(|row| row.capabilities).filter(|other| other.has_tickers);
            let others = others.map(|other| other.id).collect::<Vec<_>>().join(" ");
            keep(format!("{} has no tickers; those that have: {others}", venue.id));
        }
        if self.only_ticker && (self.timeframes.is_some() || collect_trades) {
            keep("the ticker only is wanted, but timeframes or trades too; leave out one of them".to_owned());
        }
        let from = self.check_from(now).map_err(&mut keep).ok();
        let (Some(venue), Some(symbol), Some(backfill_from), true) = (venue, symbol, from, faults.is_empty()) else {
            return Err(faults);
        };
        let timeframes = if self.only_ticker { Vec::new() } else { timeframes };
        let new = NewSymbol {
            exchange: venue.id.to_owned(),
            symbol,
            timeframes,
            backfill_from,
            collect_trades,
            candle_source,
            only_ticker: self.only_ticker,
        };
        let notes = notes(&new, now);
        Ok(Wish { new, is_paused: self.is_paused, notes })
    }

    /// The instant from which everything is wanted: `from`, else `backfill_days` ago, else a day ago.
    ///
    /// # Errors
    /// What is wrong with the texts, or with the time.
    pub fn check_from(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
        let from = match (&self.from, &self.backfill_days) {
            (Some(_), Some(_)) => return Err("both from and backfill_days are given; leave out one".to_owned()),
            (Some(from), None) => when::parse(from).map_err(|error| format!("from: {error}"))?,
            (None, days) => {
                let text = days.as_deref().unwrap_or("1");
                let days: u32 = text
                    .parse()
                    .map_err(|_| format!("backfill days {text:?} is no whole number of days, 0 or more"))?;
                let from = TimeDelta::try_days(i64::from(days)).and_then(|length| now.checked_sub_signed(length));
                from.ok_or_else(|| too_early(&format!("{days} days ago")))?.trunc_subsecs(0)
            }
        };
        if from > now {
            return Err(format!("from {} lies in the future; it is {} now", Time(from), Time(now.trunc_subsecs(0))));
        }
        if from.year() < FIRST_YEAR {
            return Err(too_early(&Time(from).to_string()));
        }
        Ok(from)
    }
}

/// What the asker of something that can be granted should know: where the exchange's own history
/// is shorter than what is wanted.
pub fn notes(new: &NewSymbol, now: DateTime<Utc>) -> Vec<String> {
    let Ok(venue) = registry::find(&new.exchange).map(|row| row.capabilities) else { return Vec::new() };
    if new.candle_source == CandleSource::Trades {
        return trades_note(venue).into_iter().collect();
    }
    new.timeframes.iter().filter_map(|&timeframe| depth_note(venue, timeframe, new.backfill_from, now)).collect()
}

fn too_early(from: &str) -> String {
    format!("{from} is before {FIRST_YEAR}; no exchange has candles of that time")
}

fn yes_or_no(column: &str, text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("{column} {text:?} is neither true nor false")),
    }
}

/// All columns a request may have.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS_OF_LIST.iter().copied().chain([BACKFILL_DAYS])
}

/// Words on a column that does not exist.
pub fn unknown_column(column: &str) -> String {
    let likeness = |name: &&str| strsim::jaro_winkler(name, &column.to_lowercase());
    let nearest = columns().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.8);
    match nearest {
        Some(nearest) => format!("unknown column {column:?}, did you mean {nearest}?"),
        None => format!("unknown column {column:?}; valid: {}", columns().collect::<Vec<_>>().join(" ")),
    }
}

/// The forms that no market of the exchange can have are refused; whether it has the market is
/// not known here.
fn check_symbol(text: &str, venue: Option<&Capabilities>) -> Result<Symbol, String> {
    let symbol: Symbol = text.parse().map_err(|error: crate::market::symbol::SymbolError| error.to_string())?;
    // Some listed names mix their cases (TSLAx/USD), but none is in lower case alone.
    if text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase) {
        return Err(format!("symbol {text:?} is in lower case; did you mean {}?", text.to_uppercase()));
    }
    if symbol.quote() == Some(symbol.base()) {
        return Err(format!("symbol {text:?} trades a currency against itself"));
    }
    match venue {
        // Only markets with sessions have tickers; all others trade pairs.
        Some(venue) if !venue.has_sessions && symbol.quote().is_none() => {
            let pair = text.replacen(['-', '_'], "/", 1);
            let pair = pair.parse::<Symbol>().ok().filter(|pair| pair.quote().is_some());
            let hint = pair.map_or_else(String::new, |pair| format!(" did you mean {pair}?"));
            Err(format!("symbol {text:?} is no pair; {} has markets like BTC/USD.{hint}", venue.name))
        }
        _ => Ok(symbol),
    }
}

fn check_timeframes(text: &str, venue: Option<&Capabilities>, keep: &mut impl FnMut(String)) -> Vec<Timeframe> {
    let mut timeframes = Vec::new();
    for word in text.split([',', ';', ' ']).filter(|word| !word.is_empty()) {
        match (word.parse::<Timeframe>(), venue) {
            (Err(error), _) => keep(error.to_string()),
            (Ok(timeframe), Some(venue)) if venue.timeframe(timeframe).is_none() => {
                let valid = venue.timeframes.iter().map(|row| row.timeframe.as_str()).collect::<Vec<_>>();
                keep(format!("{} has no candles of {timeframe}; valid: {}", venue.id, valid.join(" ")));
            }
            (Ok(timeframe), _) => timeframes.push(timeframe),
        }
    }
    if text.split([',', ';', ' ']).all(str::is_empty) {
        keep("timeframes are empty; write 1m or 1m,1h".to_owned());
    }
    timeframes.sort();
    timeframes.dedup();
    timeframes
}

/// Says when the exchange's own history is shorter than what is wanted.
fn depth_note(venue: &Capabilities, timeframe: Timeframe, from: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    let reach = match venue.timeframe(timeframe)?.depth {
        Depth::Full => return None,
        Depth::NewestRows(rows) => timeframe.nominal() * rows,
        Depth::Age(age) => age,
    };
    let reach = now.checked_sub_signed(TimeDelta::from_std(reach).ok()?)?.trunc_subsecs(0);
    let beyond = if venue.builds_old_candles() {
        "what is older is built from its trades, which takes longer"
    } else {
        "`candlewick gaps` shows what it does not have"
    };
    (from < reach).then(|| format!("{} serves {timeframe} only back to about {}; {beyond}", venue.id, Time(reach)))
}

/// Says when candles that are built from trades have no history.
fn trades_note(venue: &Capabilities) -> Option<String> {
    let has_history = venue.trade_rest.is_some_and(|rest| rest.history != TradeHistory::Recent);
    let id = venue.id;
    (!has_history).then(|| format!("{id} serves only its newest trades: candles begin when the collector does"))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            from("2026-11-21"),
            ["from 2026-11-21T00:00:00Z lies in the future; it is 2026-11-20T12:00:00Z now"]
        );
        assert_eq!(from("1492-10-12"), ["1492-10-12T00:00:00Z is before 1900; no exchange has candles of that time"]);
        let days =
            |days: &str| faults(Request { backfill_days: Some(days.to_owned()), ..request("binance", "BTC/USDT") });
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
}
