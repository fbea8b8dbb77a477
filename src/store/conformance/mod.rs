//! The suite every backend passes: what [`Store`] promises, said through the trait alone.
//!
//! A backend's test calls [`run_all`] with a function that makes an empty store. Every part gets
//! its own, and panics with the promise that was broken.

mod candles;
mod events;
mod ledger;
mod operations;
mod precedence;
mod retention;
mod settings;
mod tickers;
mod trades;
mod whole;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    CandleQuery, CandleSource, NewSymbol, SeriesChange, SeriesId, SeriesOutcome, Store, StoreError, StoredCandle,
    SymbolId, SymbolRow, WriteBatch,
};
use crate::market::{Candle, FinalCandle, Rule, Source, Span, Timeframe};

/// Runs every part on a new, empty store.
///
/// # Panics
/// When the store breaks a promise.
pub async fn run_all(make: impl AsyncFn() -> Arc<dyn Store>) {
    macro_rules! run {
        ($($part:path),+ $(,)?) => {
            $($part(make().await).await;)+
        };
    }
    run!(
        settings::a_new_database_wants_nothing,
        settings::an_exchange_is_created_and_changed_but_its_ban_is_left_alone,
        settings::a_symbol_is_added_widened_removed_and_comes_back,
        settings::states_and_anchors_are_kept,
        settings::the_version_moves_for_users_and_not_for_the_collector,
        settings::a_series_is_created_once,
        candles::new_candles_are_inserted_numbered_and_read_back,
        candles::the_same_batch_twice_changes_nothing,
        candles::a_changed_final_value_is_a_counted_revision,
        candles::the_last_of_equal_open_times_wins,
        candles::a_series_named_twice_sees_its_own_rows,
        candles::a_refused_change_leaves_nothing_of_its_batch,
        candles::queries_are_half_open_limited_and_oldest_first,
        candles::a_venues_odd_bar_is_stored_as_printed_and_flagged,
        candles::the_forming_bar_is_replaced_and_yields_to_a_final_one,
        candles::a_large_batch_over_stored_rows_is_counted_exactly,
        candles::changes_are_read_in_the_order_of_their_numbers,
        precedence::every_pair_of_sources_is_decided_by_strength_and_time,
        precedence::verified_trades_rank_highest_where_candles_are_built_from_them,
        precedence::imported_rows_yield_to_observed_ones_and_lend_them_nothing,
        precedence::a_stronger_source_for_the_same_value_is_no_revision_but_counts_from_then_on,
        ledger::statements_meet_what_is_there_as_promised,
        ledger::holes_of_the_extent_become_missing_and_the_edge_only_moves_forward,
        ledger::unverify_touches_only_what_is_complete,
        ledger::a_withdrawn_stretch_loses_its_rows_and_keeps_them_as_revisions,
        ledger::statements_before_a_withdrawal_decide_what_it_takes_away,
        ledger::any_sequence_of_statements_agrees_with_one_cell_per_bucket,
        events::a_changed_final_value_is_told_with_both_values,
        events::a_gap_is_told_when_it_opens_and_when_it_closes,
        events::a_mode_is_told_when_it_differs_from_the_one_told_last,
        events::events_go_by_age_and_their_numbers_are_not_given_again,
        retention::what_is_cut_goes_piece_by_piece_with_its_ledger,
        retention::nothing_is_written_before_the_beginning,
        retention::the_beginning_of_the_symbol_follows_when_all_of_it_begins_later,
        retention::trades_go_with_their_ledgers,
        retention::many_trades_of_one_instant_go_at_once,
        trades::trades_are_stored_once_and_read_in_order_with_exact_decimals,
        trades::ids_that_are_text_are_told_apart,
        trades::id_ranges_and_spans_merge,
        trades::what_the_venue_does_not_have_gives_way_to_what_it_has,
        trades::what_turns_out_to_lack_trades_is_complete_no_more,
        trades::trades_are_read_in_pages_and_by_id,
        trades::impossible_trades_are_refused_with_their_batch,
        tickers::a_ticker_takes_the_place_of_the_one_before,
        tickers::impossible_tickers_are_refused_with_their_batch,
        operations::statuses_are_replaced_and_removed_by_component,
        operations::a_command_is_recorded_once_by_its_id,
        operations::a_call_that_nobody_polls_holds_nobody_up,
        operations::a_command_that_is_asked_in_the_table_is_open_until_it_has_an_outcome,
        operations::the_collector_lock_is_held_once,
    );
}

/// Runs the part for which tables have to fail: `fails` is called with a table's name and whether from
/// now on a statement that adds to it or changes it fails, whichever connection says it.
///
/// # Panics
/// When the store breaks the promise.
pub async fn run_with_faults(store: Arc<dyn Store>, fails: impl AsyncFn(&str, bool)) {
    whole::a_statement_that_fails_leaves_nothing_of_its_batch(store, fails).await;
}

/// A store with one symbol and one series of minutes.
struct Fixture {
    store: Arc<dyn Store>,
    symbol: SymbolId,
    series: SeriesId,
}

impl Fixture {
    async fn new(store: Arc<dyn Store>) -> Fixture {
        Fixture::built_from(store, CandleSource::Venue).await
    }

    async fn built_from(store: Arc<dyn Store>, candle_source: CandleSource) -> Fixture {
        ok(store.add_symbol(&NewSymbol { candle_source, ..wanted("kraken", "BTC/USD") }).await);
        let symbol = only_symbol(&*store).await.id;
        let series = ok(store.open_series(symbol, Timeframe::M1).await).id;
        Fixture { store, symbol, series }
    }

    /// Writes candles of the series alone.
    async fn save(&self, candles: &[FinalCandle]) -> SeriesOutcome {
        let mut outcomes = ok(self.store.write(&self.batch(candles)).await);
        assert_eq!(outcomes.len(), 1, "one outcome for one series");
        outcomes.remove(0)
    }

    fn change(&self) -> SeriesChange {
        SeriesChange::new(self.series)
    }

    fn batch(&self, candles: &[FinalCandle]) -> WriteBatch {
        let change = SeriesChange { candles: candles.to_vec(), ..self.change() };
        WriteBatch { series: vec![change], ..WriteBatch::default() }
    }

    async fn stored(&self) -> Vec<StoredCandle> {
        ok(self.store.candles(self.series, everything()).await)
    }

    /// The bars alone.
    async fn bars(&self) -> Vec<Candle> {
        self.stored().await.iter().map(|row| row.candle).collect()
    }
}

/// The value, or the end of the suite with the store's own words.
fn ok<T>(result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the store refused what it must do: {error} ({error:?})"),
    }
}

/// The refusal's words; anything else breaks the promise.
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Refused(words)) => words,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Minute `n` of the suite's time line.
fn minute(n: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(n)
}

fn minutes(from: i64, to: i64) -> Span {
    Span::new(minute(from), minute(to))
}

fn everything() -> CandleQuery {
    CandleQuery { span: minutes(-1_000_000, 1_000_000), limit: None, newest_first: false }
}

fn bar(n: i64, close: f64) -> Candle {
    Candle {
        open_time: minute(n),
        open: 100.0,
        high: 100.0_f64.max(close),
        low: 100.0_f64.min(close),
        close,
        volume: 1.5,
        quote_volume: None,
        trades: Some(3),
        vwap: None,
    }
}

/// A candle read by REST one minute after its close.
fn rest(n: i64, close: f64) -> FinalCandle {
    observed(bar(n, close), Source::Rest, minute(n + 2))
}

fn observed(candle: Candle, source: Source, observed_at: DateTime<Utc>) -> FinalCandle {
    let rule = match source {
        Source::Synthesised => Rule::Quiet,
        Source::Derived => Rule::Derived,
        Source::Trades => Rule::Trades,
        Source::Stream => Rule::Stream,
        Source::StreamClosed => Rule::Flag,
        Source::Rest => Rule::Rest,
    };
    FinalCandle { candle, source, rule, observed_at }
}

fn wanted(exchange: &str, symbol: &str) -> NewSymbol {
    NewSymbol {
        exchange: exchange.to_owned(),
        symbol: unified(symbol),
        timeframes: vec![Timeframe::M1],
        backfill_from: minute(0),
        collect_trades: false,
        candle_source: CandleSource::Venue,
        only_ticker: false,
    }
}

fn unified(symbol: &str) -> crate::market::Symbol {
    symbol.parse().expect("the suite's symbols are well formed")
}

async fn only_symbol(store: &dyn Store) -> SymbolRow {
    let mut rows = ok(store.symbols().await);
    assert_eq!(rows.len(), 1, "exactly one symbol is wanted: {rows:?}");
    rows.remove(0)
}
