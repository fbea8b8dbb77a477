//! What operators see of a symbol that is at work.

use super::SymbolActor;
use super::series::Series;
use crate::actors::messages::Report;
use crate::status::{ComponentStatus, Health, Mode, Phase};

impl SymbolActor {
    pub(super) fn report(&self) {
        let Some(status) = self.setup.status.current() else { return };
        let (exchange, symbol) = (self.setup.venue.id(), self.setup.row.symbol.as_str());
        let mut report = ComponentStatus::starting(format!("{exchange}:{symbol}"));
        (report.exchange, report.symbol) = (Some(exchange.to_owned()), Some(symbol.to_owned()));
        let is_streamed = self.series.iter().all(Series::is_streamed);
        report.mode = Some(if is_streamed { Mode::LiveWebsocket } else { Mode::LiveRestPolling });
        let is_backfilling = self.series.iter().any(|series| series.book.is_backfilling());
        (report.phase, report.health) =
            if is_backfilling { (Phase::Backfilling, Health::Processing) } else { (Phase::Live, Health::Running) };
        report.restarts = self.setup.restarts;
        if let Some(finest) = self.series.first()
            && let Some((open, close)) = finest.newest
        {
            report.last_candle = Some(open);
            report.lag_ms = Some((self.setup.venue.now() - close).num_milliseconds().max(0));
        }
        let count = self.series.len().max(1) as f64;
        let (complete, settled) = self.series.iter().fold((0.0, 0.0), |(complete, settled), series| {
            let (a, b) = series.book.shares();
            (complete + a, settled + b)
        });
        report.coverage_percent = Some(100.0 * complete / count);
        report.settled_percent = Some(100.0 * settled / count);
        let timeframes: Vec<&str> = self.series.iter().map(|series| series.timeframe.as_str()).collect();
        report.message = timeframes.join(",");
        if self.revisions > 0 {
            report.message.push_str(&format!("; {} revisions", self.revisions));
        }
        status.do_send(Report(report));
    }
}
