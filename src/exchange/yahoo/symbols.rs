//! Yahoo's names and the unified ones, and the hours of a market from what a chart says of it.
//!
//! Currency pairs are `EURUSD=X`, crypto pairs `BTC-USD`; everything else (`AAPL`, `BRK-B`,
//! `^GSPC`, `GC=F`, `VOD.L`) keeps Yahoo's own name.

use crate::market::{Anchors, Session, Symbol, WeekStart};

use super::wire::{Meta, instant};

/// ISO 4217 codes of currencies and metals: pairs of them are currency pairs, all others crypto.
const CURRENCIES: &str = "\
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF \
    CLF CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD \
    HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD \
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG \
    QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD \
    TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XAG XAU XCD XOF XPD XPF XPT YER ZAR ZMW ZWG";

fn is_currency(code: &str) -> bool {
    CURRENCIES.split(' ').any(|known| known == code)
}

/// Yahoo's name of a market.
pub fn yahoo_id(symbol: &Symbol) -> String {
    // A derivative in unified form has no counterpart; its own name is asked and not found.
    let Some(quote) = symbol.quote().filter(|_| symbol.settle().is_none()) else { return symbol.as_str().to_owned() };
    let (base, quote) = (symbol.base().to_uppercase(), quote.to_uppercase());
    match is_currency(&base) && is_currency(&quote) {
        true => format!("{base}{quote}=X"),
        false => format!("{base}-{quote}"),
    }
}

/// The unified name of a market that a reply describes without having been asked for by name.
pub fn unified(id: &str, instrument_type: Option<&str>) -> Option<Symbol> {
    let pair = match (instrument_type, id.strip_suffix("=X")) {
        (Some("CRYPTOCURRENCY"), _) => id.rsplit_once('-').map(|(base, quote)| format!("{base}/{quote}")),
        // The dollar is left out of pairs that it leads: `JPY=X`.
        (_, Some(pair)) if pair.len() == 3 => Some(format!("USD/{pair}")),
        (_, Some(pair)) if pair.len() == 6 && pair.is_ascii() => Some(format!("{}/{}", &pair[..3], &pair[3..])),
        _ => None,
    };
    pair.unwrap_or_else(|| id.to_owned()).parse().ok()
}

/// Where a market's buckets lie: its session in local time, and hours that open with the session.
/// Crypto trades around the clock on the UTC grid.
pub fn anchors(meta: &Meta<'_>) -> Anchors {
    let session = session(meta).filter(|_| meta.instrument_type.as_deref() != Some("CRYPTOCURRENCY"));
    Anchors {
        intraday_shift_s: match (session, meta.regular_period()) {
            (Some(_), Some(period)) => period.start.rem_euclid(3600),
            _ => 0,
        },
        week_start: WeekStart::Monday,
        session,
    }
}

fn session(meta: &Meta<'_>) -> Option<Session> {
    let (zone, period) = (meta.zone()?, meta.regular_period()?);
    let local = |seconds| Some(instant(seconds)?.with_timezone(&zone).time());
    let open = local(period.start)?;
    // Markets that never pause print 00:00 to 23:59; they close where they open.
    let close = if period.length_s() >= 86_340 { open } else { local(period.end)? };
    (period.length_s() > 0).then_some(Session { zone, open, close })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unified_names_map_to_yahoos_and_back() {
        let cases = [
            ("AAPL", "AAPL", "EQUITY"),
            ("BRK-B", "BRK-B", "EQUITY"),
            ("^GSPC", "^GSPC", "INDEX"),
            ("GC=F", "GC=F", "FUTURE"),
            ("VOD.L", "VOD.L", "EQUITY"),
            ("BTC/USD", "BTC-USD", "CRYPTOCURRENCY"),
            ("BTC/EUR", "BTC-EUR", "CRYPTOCURRENCY"),
            ("EUR/USD", "EURUSD=X", "CURRENCY"),
            ("USD/JPY", "USDJPY=X", "CURRENCY"),
            ("XAU/USD", "XAUUSD=X", "CURRENCY"),
        ];
        let mut seen = 0;
        for (symbol, id, kind) in cases {
            let symbol: Symbol = symbol.parse().unwrap();
            assert_eq!(yahoo_id(&symbol), id);
            assert_eq!(unified(id, Some(kind)), Some(symbol));
            seen += 1;
        }
        assert_eq!(seen, 10);
        assert_eq!(unified("JPY=X", Some("CURRENCY")), Some("USD/JPY".parse().unwrap()));
        assert_eq!(yahoo_id(&"eur/usd".parse().unwrap()), "EURUSD=X");
        assert_eq!(yahoo_id(&"BTC/USDT:USDT".parse().unwrap()), "BTC/USDT:USDT");
    }
}
