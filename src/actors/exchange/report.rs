//! What operators see of an exchange and of its symbols that have no actor to speak for them.

use super::ExchangeActor;
use super::gate::Gate;
use crate::actors::messages::{Door, Report};
use crate::engine::budget::transit_allowance;
use crate::status::{ComponentStatus, Health, Phase};
use crate::store::{SymbolRow, SymbolState};

impl ExchangeActor {
    pub(super) fn report(&self) {
        let Some(status) = self.setup.status.current() else { return };
        let exchange = self.setup.venue.id();
        let mut report = ComponentStatus::starting(exchange);
        report.exchange = Some(exchange.to_owned());
        report.restarts = self.setup.restarts;
        (report.health, report.phase, report.message) = match (&self.gate, self.blocked(Door::Rest)) {
            (_, Some(until)) => (Health::Error, Phase::Waiting, format!("turned away until {until}")),
            (Gate::Untried, None) => (Health::Starting, Phase::Starting, "not reached yet".to_owned()),
            (Gate::Closed(why), None) => (Health::Error, Phase::Waiting, why.clone()),
            (Gate::Open, None) if self.is_stretched() => {
                let waiting = self.rest.live_waiting();
                (
                    Health::Processing,
                    Phase::Live,
                    format!("poll periods stretched: {waiting} calls wait for the rate limit"),
                )
            }
            (Gate::Open, None) => {
                let message = match self.lines.rotating() {
                    (0, _) => String::new(),
                    (count, all) => format!("replacing {count} of {all} connections before the exchange ends them"),
                };
                (Health::Running, Phase::Live, message)
            }
        };
        status.do_send(Report(report));
    }

    /// True when the calls that keep series at the present need longer than the shortest bar.
    pub(super) fn is_stretched(&self) -> bool {
        let finest = self.collected().flat_map(|row| &row.timeframes).min();
        let (Some(limit), Some(finest)) = (self.setup.venue.capabilities().limits.first(), finest) else {
            return false;
        };
        let calls = u32::try_from(self.rest.live_waiting()).unwrap_or(u32::MAX);
        let each = (limit.window + transit_allowance(limit)) / limit.capacity.max(1);
        each.saturating_mul(calls) > finest.nominal()
    }

    pub(super) fn report_idle(&self, row: &SymbolRow) {
        let Some(status) = self.setup.status.current() else { return };
        let mut report = ComponentStatus::starting(format!("{}:{}", row.exchange, row.symbol));
        (report.exchange, report.symbol) = (Some(row.exchange.clone()), Some(row.symbol.as_str().to_owned()));
        report.timeframes = row.timeframes.clone();
        (report.phase, report.health, report.message) = match &row.state {
            SymbolState::Rejected(why) => (Phase::Rejected, Health::Error, why.clone()),
            SymbolState::Paused => (Phase::Paused, Health::Idle, "paused".to_owned()),
            SymbolState::Active => (Phase::Live, Health::Idle, "no candles wanted".to_owned()),
        };
        status.do_send(Report(report));
    }
}
