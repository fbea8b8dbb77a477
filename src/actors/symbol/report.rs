//! What operators see of a symbol that is at work.

use std::time::Duration;

use tokio::time::Instant;

use super::SymbolActor;
use super::series::Series;
use crate::actors::messages::Report;
use crate::market::ledger::{Coverage, LedgerChange};
use crate::market::{Span, SpanSet};
use crate::status::{ComponentStatus, Health, Mode, Phase};
use crate::store::SeriesChange;

/// How long what changes with every frame may wait to be told. A change of mode or phase, and a gap, never wait.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// When was told last, and what.
pub(super) struct Told {
    at: Instant,
    mode: Mode,
    phase: Phase,
    open_gaps: u64,
    /// Something has happened since.
    is_stale: bool,
}

impl SymbolActor {
    /// Tells the present state, or notes that it is to be told when its time has come.
    pub(super) fn report(&mut self) {
        let Some(status) = self.setup.status.current() else { return };
        let now = self.setup.venue.now();
        let live_from = self.tape.as_ref().and_then(|side| side.live.from());
        let tape = self.tape.as_ref().filter(|side| side.keeps);
        let is_backfilling = self.series.iter().any(|series| series.book.is_backfilling())
            || tape.is_some_and(|side| side.tape.is_backfilling(now, live_from));
        let phase = if is_backfilling { Phase::Backfilling } else { Phase::Live };
        let mode = self.mode();
        let open_gaps = self.series.iter().map(|series| series.book.gaps(now).count() as u64).sum();
        let is_known = |told: &&mut Told| (told.mode, told.phase, told.open_gaps) == (mode, phase, open_gaps);
        if let Some(told) = self.told.as_mut().filter(is_known)
            && told.at.elapsed() < REPORT_EVERY
        {
            told.is_stale = true;
            return;
        }
        self.told = Some(Told { at: Instant::now(), mode, phase, open_gaps, is_stale: false });
        let (exchange, symbol) = (self.setup.venue.id(), self.setup.row.symbol.as_str());
        let mut report = ComponentStatus::starting(format!("{exchange}:{symbol}"));
        (report.exchange, report.symbol) = (Some(exchange.to_owned()), Some(symbol.to_owned()));
        report.timeframes = self.series.iter().map(|series| series.timeframe).collect();
        report.mode = Some(mode);
        (report.phase, report.health) = (phase, if is_backfilling { Health::Processing } else { Health::Running });
        report.restarts = self.setup.restarts;
        if let Some(finest) = self.series.first()
            && let Some((open, close)) = finest.newest
        {
            report.last_candle = Some(open);
            report.lag_ms = Some((now - close).num_milliseconds().max(0));
        }
        let shares: Vec<(f64, f64)> = self
            .series
            .iter()
            .map(Series::shares)
            .chain(tape.map(|side| (side.tape.share(now, live_from), side.tape.share(now, live_from))))
            .collect();
        let count = shares.len().max(1) as f64;
        let (complete, settled) = shares.iter().fold((0.0, 0.0), |sums, share| (sums.0 + share.0, sums.1 + share.1));
        report.coverage_percent = Some(100.0 * complete / count);
        report.settled_percent = Some(100.0 * settled / count);
        report.open_gaps = Some(open_gaps);
        let timeframes = self.series.iter().map(|series| series.timeframe.as_str());
        report.message = timeframes.chain(tape.map(|_| "trades")).collect::<Vec<_>>().join(",");
        if self.revisions > 0 {
            report.message.push_str(&format!("; {} revisions", self.revisions));
        }
        status.do_send(Report(report));
    }

    /// How long until what has happened is to be told.
    pub(super) fn report_in(&self) -> Option<Duration> {
        let told = self.told.as_ref().filter(|told| told.is_stale)?;
        Some(REPORT_EVERY.saturating_sub(told.at.elapsed()))
    }

    /// Counts what a durable save brings, before the books know of it.
    pub(super) fn count(&self, changes: &[SeriesChange]) {
        let (counts, now) = (&self.setup.venue.counts, self.setup.venue.now());
        for change in changes {
            let Some(series) = self.series.iter().find(|series| series.id == change.series) else { continue };
            let proven = change.ledger.iter().filter_map(|statement| match statement {
                LedgerChange::Set(span, Coverage::Complete { .. }) => Some(*span),
                _ => None,
            });
            let proven: SpanSet = proven.collect();
            let is_healed = |gap: &Span| SpanSet::from_iter([*gap]).subtract(&proven).spans().is_empty();
            counts.gaps_healed(series.book.gaps(now).filter(is_healed).count() as u64);
            for open in change.candles.iter().map(|settled| settled.candle.open_time) {
                let close = series.grid().close_of(open);
                if close >= self.began && proven.contains(open) && !series.book.is_complete(open) {
                    counts.settled((now - close).to_std().unwrap_or_default());
                }
            }
        }
    }
}
