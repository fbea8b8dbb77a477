//! The tables of `migrations/`, column by column, and their rows: the same for both databases.

pub mod moment;
pub mod records;

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    exchanges (id) {
        id -> BigInt,
        name -> Text,
        enabled -> Bool,
        mode -> Text,
        rest_url -> Nullable<Text>,
        stream_url -> Nullable<Text>,
        blocked_until -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    symbols (id) {
        id -> BigInt,
        exchange_id -> BigInt,
        symbol -> Text,
        timeframes -> Text,
        backfill_from -> Moment,
        collect_candles -> Bool,
        collect_trades -> Bool,
        candle_source -> Text,
        only_ticker -> Bool,
        state -> Text,
        state_reason -> Nullable<Text>,
        anchors -> Nullable<Text>,
        removed_at -> Nullable<Moment>,
        told_mode -> Nullable<Text>,
        trades_kept_from -> Nullable<Moment>,
    }
}

diesel::table! {
    settings (id) {
        id -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    series (id) {
        id -> BigInt,
        symbol_id -> BigInt,
        timeframe -> Text,
        observed_until -> Nullable<Moment>,
        last_sequence -> BigInt,
        kept_from -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    candles (series_id, open_time) {
        series_id -> BigInt,
        open_time -> Moment,
        open -> Double,
        high -> Double,
        low -> Double,
        close -> Double,
        volume -> Double,
        quote_volume -> Nullable<Double>,
        trades -> Nullable<BigInt>,
        vwap -> Nullable<Double>,
        source -> SmallInt,
        rule -> SmallInt,
        flags -> SmallInt,
        revision -> Integer,
        sequence -> BigInt,
        observed_at -> Moment,
        first_written_at -> Moment,
        updated_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    candle_revisions (series_id, open_time, revision) {
        series_id -> BigInt,
        open_time -> Moment,
        revision -> Integer,
        open -> Double,
        high -> Double,
        low -> Double,
        close -> Double,
        volume -> Double,
        quote_volume -> Nullable<Double>,
        trades -> Nullable<BigInt>,
        vwap -> Nullable<Double>,
        source -> SmallInt,
        rule -> SmallInt,
        flags -> SmallInt,
        sequence -> BigInt,
        observed_at -> Moment,
        first_written_at -> Moment,
        updated_at -> Moment,
        replaced_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    forming_candles (series_id) {
        series_id -> BigInt,
        open_time -> Moment,
        open -> Double,
        high -> Double,
        low -> Double,
        close -> Double,
        volume -> Double,
        quote_volume -> Nullable<Double>,
        trades -> Nullable<BigInt>,
        vwap -> Nullable<Double>,
        updated_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    trades (symbol_id, trade_id, venue_id) {
        symbol_id -> BigInt,
        trade_id -> BigInt,
        venue_id -> Text,
        last_trade_id -> BigInt,
        time -> Moment,
        price -> Text,
        amount -> Text,
        side -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    coverage (series_id, from_time) {
        series_id -> BigInt,
        from_time -> Moment,
        to_time -> Moment,
        state -> Text,
        verified -> Bool,
        reason -> Nullable<Text>,
        attempts -> BigInt,
        next_attempt_at -> Nullable<Moment>,
        updated_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    trade_coverage (symbol_id, kind, from_key) {
        symbol_id -> BigInt,
        kind -> Text,
        from_key -> BigInt,
        to_key -> BigInt,
        state -> Text,
        reason -> Nullable<Text>,
        attempts -> BigInt,
        next_attempt_at -> Nullable<Moment>,
        updated_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    tickers (symbol_id) {
        symbol_id -> BigInt,
        time -> Moment,
        last -> Nullable<Double>,
        bid -> Nullable<Double>,
        ask -> Nullable<Double>,
        volume -> Nullable<Double>,
        quote_volume -> Nullable<Double>,
        updated_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    commands (id) {
        id -> Text,
        kind -> Text,
        body -> Text,
        asked_by -> Text,
        asked_at -> Moment,
        outcome -> Text,
        report -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    process_status (component) {
        component -> Text,
        exchange -> Nullable<Text>,
        symbol -> Nullable<Text>,
        status -> Text,
        mode -> Nullable<Text>,
        phase -> Text,
        message -> Text,
        last_candle -> Nullable<Moment>,
        lag_ms -> Nullable<BigInt>,
        restarts -> BigInt,
        coverage_percent -> Nullable<Double>,
        created_at -> Moment,
        updated_at -> Moment,
        heartbeat -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    events (number) {
        number -> BigInt,
        time -> Moment,
        symbol_id -> BigInt,
        timeframe -> Nullable<Text>,
        kind -> Text,
        body -> Text,
    }
}

diesel::table! {
    event_head (id) {
        id -> BigInt,
        last_number -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::moment::Moment;

    open_gaps (series_id, from_time) {
        series_id -> BigInt,
        from_time -> Moment,
        to_time -> Moment,
    }
}

diesel::joinable!(symbols -> exchanges (exchange_id));
diesel::joinable!(series -> symbols (symbol_id));
diesel::joinable!(forming_candles -> series (series_id));
diesel::joinable!(tickers -> symbols (symbol_id));
diesel::joinable!(events -> symbols (symbol_id));
diesel::allow_tables_to_appear_in_same_query!(exchanges, symbols, series, candles, forming_candles, tickers, events);
diesel::allow_tables_to_appear_in_same_query!(candles, candle_revisions);
