//! What Binance says of many markets at once: the list of instruments, and tickers.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::bar::Bar;
use super::super::calendar::DAY;
use super::super::decimal::{AMOUNT_DECIMALS, fixed, quotient};
use super::super::http::{SimReply, joined};
use super::super::market::Market;
use super::super::tape::SECOND_NS;
use super::product::Product;
use super::rest::{Call, eight, failure};

/// The end of a contract that has none: 2100-12-25.
const PERPETUAL_ENDS_MS: i64 = 4_133_404_800_000;

impl<'a> Call<'a> {
    /// The markets named by `symbol` or, at the spot market, `symbols`; or all. True when one was named.
    fn chosen(&self) -> Result<(Vec<&'a Arc<Market>>, bool), SimReply> {
        if self.target.get("symbol").is_some() {
            return Ok((vec![self.market()?], true));
        }
        let Some(text) = self.target.get("symbols").filter(|_| self.product == Product::Spot) else {
            return Ok((self.world.listed(self.product.venue()).collect(), false));
        };
        let names: Vec<String> = serde_json::from_str(text).map_err(|_| {
            let text = "Illegal characters found in parameter 'symbols'; legal range is '^\\[(\"[^\"]{1,50}\"(,\"[^\"]{1,50}\")*)?\\]$'.";
            failure(400, -1100, text)
        })?;
        Ok((names.iter().map(|name| self.find(name)).collect::<Result<_, _>>()?, false))
    }

    pub(super) fn exchange_info(&self) -> Result<SimReply, SimReply> {
        match self.product {
            Product::Spot => self.spot_info(),
            Product::UsdMFutures => Ok(self.futures_info()),
        }
    }

    fn spot_info(&self) -> Result<SimReply, SimReply> {
        let (markets, _) = self.chosen()?;
        let symbols = joined(markets, |out, market| {
            let listing = &market.listing;
            let tick = eight(1, listing.decimals);
            let _ = write!(
                out,
                r#"{{"symbol":"{}","status":"TRADING","baseAsset":"{}","baseAssetPrecision":8,"quoteAsset":"{}","quotePrecision":8,"quoteAssetPrecision":8,"baseCommissionPrecision":8,"quoteCommissionPrecision":8,"orderTypes":["LIMIT","LIMIT_MAKER","MARKET"],"icebergAllowed":true,"ocoAllowed":true,"isSpotTradingAllowed":true,"isMarginTradingAllowed":true,"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{tick}","maxPrice":"1000000.00000000","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","minQty":"0.00000001","maxQty":"90000000.00000000","stepSize":"0.00000001"}},{{"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"maxNotional":"9000000.00000000","applyMaxToMarket":false,"avgPriceMins":5}}],"permissions":[],"permissionSets":[["SPOT","MARGIN"]],"defaultSelfTradePreventionMode":"EXPIRE_MAKER","allowedSelfTradePreventionModes":["EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH"]}}"#,
                listing.id, listing.base, listing.quote,
            );
        });
        Ok(self.info(
            r#""rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000},{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":61000}],"exchangeFilters":[]"#,
            &symbols,
        ))
    }

    /// The list of contracts; it takes no parameters.
    fn futures_info(&self) -> SimReply {
        let symbols = joined(self.world.listed(self.product.venue()), |out, market| {
            let listing = &market.listing;
            let tick = fixed(1, listing.decimals, listing.decimals);
            let dated = listing.symbol.settle().and_then(|settle| settle.split_once('-'));
            let margin = dated.map_or(listing.quote.as_str(), |(margin, _)| margin);
            let (kind, ends_ms) = match dated {
                Some((_, ends)) => ("CURRENT_QUARTER", ends_at_ms(ends)),
                None => ("PERPETUAL", PERPETUAL_ENDS_MS),
            };
            let _ = write!(
                out,
                r#"{{"symbol":"{}","pair":"{}{}","contractType":"{kind}","deliveryDate":{ends_ms},"onboardDate":1569398400000,"status":"TRADING","maintMarginPercent":"2.5000","requiredMarginPercent":"5.0000","baseAsset":"{}","quoteAsset":"{}","marginAsset":"{margin}","pricePrecision":{},"quantityPrecision":8,"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"COIN","underlyingSubType":[],"settlePlan":0,"triggerProtect":"0.0500","liquidationFee":"0.012500","marketTakeBound":"0.05","maxMoveOrderLimit":10000,"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{tick}","maxPrice":"4529764","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","minQty":"0.00000001","maxQty":"1000","stepSize":"0.00000001"}},{{"filterType":"MIN_NOTIONAL","notional":"5"}}],"orderTypes":["LIMIT","MARKET","STOP","STOP_MARKET","TAKE_PROFIT","TAKE_PROFIT_MARKET","TRAILING_STOP_MARKET"],"timeInForce":["GTC","IOC","FOK","GTX","GTD"]}}"#,
                listing.id, listing.base, listing.quote, listing.base, listing.quote, listing.decimals,
            );
        });
        self.info(
            r#""futuresType":"U_MARGINED","rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400},{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200}],"exchangeFilters":[],"assets":[{"asset":"USDT","marginAvailable":true,"autoAssetExchange":"-10000"}]"#,
            &symbols,
        )
    }

    fn info(&self, about: &str, symbols: &str) -> SimReply {
        let now_ms = self.now_ns() / (SECOND_NS / 1_000);
        SimReply::json(200, format!(r#"{{"timezone":"UTC","serverTime":{now_ms},{about},"symbols":[{symbols}]}}"#))
    }

    pub(super) fn tickers(&self, print: fn(&Self, &Market) -> Option<String>) -> Result<SimReply, SimReply> {
        let (markets, is_one) = self.chosen()?;
        let rows: Vec<String> = markets.into_iter().filter_map(|market| print(self, market)).collect();
        let body = rows.join(",");
        Ok(SimReply::json(200, if is_one { body } else { format!("[{body}]") }))
    }

    /// What only futures tickers carry.
    fn stamp(&self) -> String {
        match self.product {
            Product::Spot => String::new(),
            Product::UsdMFutures => format!(r#","time":{}"#, self.units.time(self.now_ns())),
        }
    }

    pub(super) fn price_ticker(&self, market: &Market) -> Option<String> {
        let price = market.price_before(self.now_ns() + 1)?;
        let price = self.price(market, price);
        Some(format!(r#"{{"symbol":"{}","price":"{price}"{}}}"#, market.listing.id, self.stamp()))
    }

    /// Bid and ask, one digit beside the last price.
    fn book(&self, market: &Market, last: i64) -> String {
        format!(
            r#""bidPrice":"{}","bidQty":"1.00000000","askPrice":"{}","askQty":"1.00000000""#,
            self.price(market, (last - 1).max(1)),
            self.price(market, last + 1)
        )
    }

    pub(super) fn book_ticker(&self, market: &Market) -> Option<String> {
        let last = market.price_before(self.now_ns() + 1)?;
        Some(format!(r#"{{"symbol":"{}",{}{}}}"#, market.listing.id, self.book(market, last), self.stamp()))
    }

    pub(super) fn day_ticker(&self, market: &Market) -> Option<String> {
        let now_ns = self.now_ns();
        let now = now_ns.div_euclid(SECOND_NS);
        let last = market.price_before(now_ns + 1)?;
        let bar = market.bar(now - DAY, now + 1, now_ns + 1).unwrap_or_else(|| Bar::flat(last));
        let price = |value: i64| self.price(market, value);
        let average = quotient(bar.quote, market.quote_scale(), bar.volume, AMOUNT_DECIMALS, 8);
        let change = fixed((bar.close - bar.open) * 100_000 / bar.open.max(1), 3, 3);
        // Futures print no quotes here.
        let before = match self.product {
            Product::Spot => {
                let before = market.price_before((now - DAY) * SECOND_NS).unwrap_or(bar.open);
                format!(r#""prevClosePrice":"{}",{},"#, price(before), self.book(market, last))
            }
            Product::UsdMFutures => String::new(),
        };
        Some(format!(
            r#"{{"symbol":"{}","priceChange":"{}","priceChangePercent":"{change}","weightedAvgPrice":"{}",{before}"lastPrice":"{}","lastQty":"0.00100000","openPrice":"{}","highPrice":"{}","lowPrice":"{}","volume":"{}","quoteVolume":"{}","openTime":{},"closeTime":{},"firstId":{},"lastId":{},"count":{}}}"#,
            market.listing.id,
            price(bar.close - bar.open),
            eight(average, 8),
            price(last),
            price(bar.open),
            price(bar.high),
            price(bar.low),
            eight(bar.volume, AMOUNT_DECIMALS),
            eight(bar.quote, market.quote_scale()),
            self.units.time((now - DAY) * SECOND_NS),
            self.units.time(now_ns),
            if bar.trades == 0 { -1 } else { bar.first_id as i64 },
            if bar.trades == 0 { -1 } else { bar.last_id as i64 },
            bar.trades,
        ))
    }
}

/// Eight in the morning (UTC) of a day written `YYMMDD`.
fn ends_at_ms(day: &str) -> i64 {
    let date = chrono::NaiveDate::parse_from_str(day, "%y%m%d").ok();
    let ends = date.and_then(|date| date.and_hms_opt(8, 0, 0));
    ends.map_or(PERPETUAL_ENDS_MS, |ends| ends.and_utc().timestamp_millis())
}
