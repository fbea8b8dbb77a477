//! The lists of markets and their present state.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::calendar::DAY;
use super::super::decimal::{Trimmed, fixed};
use super::super::http::{joined, quoted};
use super::super::listing::Venue;
use super::super::market::Market;
use super::super::tape::SECOND_NS;
use super::super::world::World;
use super::listing::{dex_of, is_spot};
use super::{amount, price};

fn perpetuals<'a>(world: &'a World, dex: &'a str) -> impl Iterator<Item = &'a Arc<Market>> {
    let listed = world.listed(Venue::HYPERLIQUID);
    listed.filter(move |market| !is_spot(&market.listing) && dex_of(&market.listing) == dex)
}

fn pairs(world: &World) -> impl Iterator<Item = &Arc<Market>> {
    world.listed(Venue::HYPERLIQUID).filter(|market| is_spot(&market.listing))
}

fn dexes(world: &World) -> BTreeSet<&str> {
    let listed = world.listed(Venue::HYPERLIQUID);
    listed.map(|market| dex_of(&market.listing)).filter(|dex| !dex.is_empty()).collect()
}

/// `perpDexs`: the venue's own is a null.
pub(super) fn perp_dexs(world: &World) -> String {
    let rows = dexes(world).into_iter().map(|dex| {
        let full = dex.to_uppercase();
        format!(r#"{{"name":"{dex}","fullName":"{full}","deployer":"0x88806a71d74ad0a510b350545c9ae490912f0888","oracleUpdater":null,"feeRecipient":null,"assetToStreamingOiCap":[]}}"#)
    });
    format!("[{}]", std::iter::once("null".to_owned()).chain(rows).collect::<Vec<_>>().join(","))
}

/// `meta`; `None` where there is no such dex.
pub(super) fn meta(world: &World, dex: &str) -> Option<String> {
    if !dex.is_empty() && !dexes(world).contains(dex) {
        return None;
    }
    let universe = joined(perpetuals(world, dex), |out, market| {
        out.push_str(&format!(
            r#"{{"szDecimals":5,"name":{},"maxLeverage":40,"marginTableId":56}}"#,
            quoted(&market.listing.id)
        ));
    });
    Some(format!(r#"{{"universe":[{universe}],"marginTables":[],"collateralToken":0}}"#))
}

/// `metaAndAssetCtxs`.
pub(super) fn meta_and_contexts(world: &World, dex: &str) -> Option<String> {
    let contexts = joined(perpetuals(world, dex), |out, market| {
        out.push_str(&format!(
            r#"{{"funding":"0.0000125","openInterest":"24011.7","premium":"0.0",{}}}"#,
            state(world, market, true)
        ));
    });
    Some(format!("[{},[{contexts}]]", meta(world, dex)?))
}

/// `spotMeta`: tokens by index, and the pairs they make.
pub(super) fn spot_meta(world: &World) -> String {
    let names: BTreeSet<&str> = pairs(world).map(|market| market.listing.base.as_str()).collect();
    let tokens: Vec<&str> = std::iter::once("USDC").chain(names).collect();
    let listed = joined(tokens.iter().enumerate(), |out, (index, name)| {
        out.push_str(&format!(
            r#"{{"name":{},"szDecimals":2,"weiDecimals":8,"index":{index},"tokenId":"0x{index:032x}","isCanonical":false,"evmContract":null,"fullName":null}}"#,
            quoted(name)
        ));
    });
    let universe = joined(pairs(world).enumerate(), |out, (place, market)| {
        let listing = &market.listing;
        let token = |name: &str| tokens.iter().position(|known| *known == name).unwrap_or(0);
        let index = listing.id.strip_prefix('@').and_then(|index| index.parse().ok()).unwrap_or(place);
        out.push_str(&format!(
            r#"{{"tokens":[{},{}],"name":{},"index":{index},"isCanonical":{}}}"#,
            token(&listing.base),
            token(&listing.quote),
            quoted(&listing.id),
            !listing.id.starts_with('@')
        ));
    });
    format!(r#"{{"universe":[{universe}],"tokens":[{listed}]}}"#)
}

/// `spotMetaAndAssetCtxs`.
pub(super) fn spot_meta_and_contexts(world: &World) -> String {
    let contexts = joined(pairs(world), |out, market| {
        let coin = quoted(&market.listing.id);
        out.push_str(&format!(
            r#"{{"coin":{coin},"circulatingSupply":"1000000.0","totalSupply":"1000000.0",{}}}"#,
            state(world, market, false)
        ));
    });
    format!("[{},[{contexts}]]", spot_meta(world))
}

/// `allMids`, by coin.
pub(super) fn all_mids(world: &World) -> String {
    let now_ns = world.now_ns(Venue::HYPERLIQUID);
    let own = world.listed(Venue::HYPERLIQUID).filter(|market| dex_of(&market.listing).is_empty());
    let priced = own.filter_map(|market| Some((market, market.price_before(now_ns + 1)?)));
    let mids = joined(priced, |out, (market, last)| {
        out.push_str(&format!(r#"{}:"{}""#, quoted(&market.listing.id), price(market, last)));
    });
    format!("{{{mids}}}")
}

/// Prices and the volume of 24 hours.
fn state(world: &World, market: &Market, is_perpetual: bool) -> String {
    let now_ns = world.now_ns(Venue::HYPERLIQUID);
    let now = now_ns.div_euclid(SECOND_NS);
    let day = market.bar(now - DAY, now + 1, now_ns + 1);
    let (base, quote) = day.map_or((0, 0), |bar| (bar.volume, bar.quote));
    let scale = market.quote_scale();
    let volumes =
        format!(r#""dayNtlVlm":"{}","dayBaseVlm":"{}""#, Trimmed(fixed(quote, scale, scale.min(10))), amount(base));
    let Some(last) = market.price_before(now_ns + 1) else {
        return format!(r#"{volumes},"prevDayPx":"0.0","markPx":"0.0","midPx":null"#);
    };
    let before = market.price_before((now - DAY) * SECOND_NS).unwrap_or(last);
    let print = |value: i64| price(market, value).to_string();
    let (mid, bid, ask) = (print(last), print((last - 1).max(1)), print(last + 1));
    let depth =
        if is_perpetual { format!(r#","oraclePx":"{mid}","impactPxs":["{bid}","{ask}"]"#) } else { String::new() };
    format!(r#"{volumes},"prevDayPx":"{}","markPx":"{mid}","midPx":"{mid}"{depth}"#, print(before))
}
