//! The tables of `migrations/sqlite`, column by column. Instants are microseconds since the epoch, UTC.

diesel::table! {
    exchanges (id) {
        id -> BigInt,
        name -> Text,
        enabled -> Bool,
        mode -> Text,
        rest_url -> Nullable<Text>,
        stream_url -> Nullable<Text>,
        blocked_until -> Nullable<BigInt>,
    }
}

diesel::table! {
    symbols (id) {
        id -> BigInt,
        exchange_id -> BigInt,
        symbol -> Text,
        timeframes -> Text,
        backfill_from -> BigInt,
        collect_candles -> Bool,
        collect_trades -> Bool,
        candle_source -> Text,
        only_ticker -> Bool,
        state -> Text,
        state_reason -> Nullable<Text>,
        anchors -> Nullable<Text>,
        removed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    settings (id) {
        id -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    series (id) {
        id -> BigInt,
        symbol_id -> BigInt,
        timeframe -> Text,
        observed_until -> Nullable<BigInt>,
        last_sequence -> BigInt,
    }
}

diesel::table! {
    candles (series_id, open_time) {
        series_id -> BigInt,
        open_time -> BigInt,
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
        observed_at -> BigInt,
        first_written_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    candle_revisions (series_id, open_time, revision) {
        series_id -> BigInt,
        open_time -> BigInt,
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
        observed_at -> BigInt,
        first_written_at -> BigInt,
        updated_at -> BigInt,
        replaced_at -> BigInt,
    }
}

diesel::table! {
    forming_candles (series_id) {
        series_id -> BigInt,
        open_time -> BigInt,
        open -> Double,
        high -> Double,
        low -> Double,
        close -> Double,
        volume -> Double,
        quote_volume -> Nullable<Double>,
        trades -> Nullable<BigInt>,
        vwap -> Nullable<Double>,
        updated_at -> BigInt,
    }
}

diesel::table! {
    trades (symbol_id, trade_id, venue_id) {
        symbol_id -> BigInt,
        trade_id -> BigInt,
        venue_id -> Text,
        last_trade_id -> BigInt,
        time -> BigInt,
        price -> Text,
        amount -> Text,
        side -> Nullable<Text>,
    }
}

diesel::table! {
    coverage (series_id, from_time) {
        series_id -> BigInt,
        from_time -> BigInt,
        to_time -> BigInt,
        state -> Text,
        verified -> Bool,
        reason -> Nullable<Text>,
        attempts -> BigInt,
        next_attempt_at -> Nullable<BigInt>,
        updated_at -> BigInt,
    }
}

diesel::table! {
    trade_coverage (symbol_id, kind, from_key) {
        symbol_id -> BigInt,
        kind -> Text,
        from_key -> BigInt,
        to_key -> BigInt,
        state -> Text,
        reason -> Nullable<Text>,
        attempts -> BigInt,
        next_attempt_at -> Nullable<BigInt>,
        updated_at -> BigInt,
    }
}

diesel::table! {
    tickers (symbol_id) {
        symbol_id -> BigInt,
        time -> BigInt,
        last -> Nullable<Double>,
        bid -> Nullable<Double>,
        ask -> Nullable<Double>,
        volume -> Nullable<Double>,
        quote_volume -> Nullable<Double>,
        updated_at -> BigInt,
    }
}

diesel::table! {
    commands (id) {
        id -> Text,
        kind -> Text,
        body -> Text,
        asked_by -> Text,
        asked_at -> BigInt,
        outcome -> Text,
    }
}

diesel::table! {
    process_status (component) {
        component -> Text,
        exchange -> Nullable<Text>,
        symbol -> Nullable<Text>,
        status -> Text,
        mode -> Nullable<Text>,
        phase -> Text,
        message -> Text,
        last_candle -> Nullable<BigInt>,
        lag_ms -> Nullable<BigInt>,
        restarts -> BigInt,
        coverage_percent -> Nullable<Double>,
        created_at -> BigInt,
        updated_at -> BigInt,
        heartbeat -> BigInt,
    }
}

diesel::joinable!(symbols -> exchanges (exchange_id));
diesel::joinable!(series -> symbols (symbol_id));
diesel::joinable!(forming_candles -> series (series_id));
diesel::joinable!(tickers -> symbols (symbol_id));
diesel::allow_tables_to_appear_in_same_query!(exchanges, symbols, series, forming_candles, tickers);
