//! The view without a terminal: a status line in a second and a line for each candle; no escape codes.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::{Arrival, Snapshot, grouped, number};
use crate::cli::lines::Time;

/// How often a status line is written.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Writes lines.
#[derive(Debug)]
pub struct Plain<W> {
    out: W,
    status_at: Option<Instant>,
    next_arrival: u64,
}

impl<W: Write> Plain<W> {
    /// A view that has written nothing.
    pub fn new(out: W) -> Plain<W> {
        Plain { out, status_at: None, next_arrival: 0 }
    }

    /// Writes what is new.
    ///
    /// # Errors
    /// The writer's own; a closed pipe among them.
    pub fn show(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let skipped = usize::try_from(self.next_arrival.saturating_sub(snapshot.first_arrival)).unwrap_or(usize::MAX);
        for arrival in snapshot.arrivals.iter().skip(skipped) {
            writeln!(self.out, "{}", candle(arrival))?;
        }
        self.next_arrival = snapshot.first_arrival + snapshot.arrivals.len() as u64;
        if self.status_at.is_none_or(|at| at.elapsed() >= STATUS_EVERY) {
            self.status_at = Some(Instant::now());
            writeln!(self.out, "{}", status(snapshot))?;
        }
        self.out.flush()
    }
}

fn candle(arrival: &Arrival) -> String {
    let bar = &arrival.candle;
    let prices = [bar.open, bar.high, bar.low, bar.close, bar.volume].map(number).join(" ");
    format!(
        "candle {} {} {} {} {prices} {}",
        arrival.exchange,
        arrival.symbol,
        arrival.timeframe,
        Time(bar.open_time),
        arrival.source
    )
}

fn status(snapshot: &Snapshot) -> String {
    let totals = &snapshot.totals;
    let time = Time(chrono::SubsecRound::trunc_subsecs(snapshot.now, 0));
    let mut line = format!(
        "status {time} x{} stored {} (+{:.0}/s) rest calls {} frames {} revisions {} gaps {} live {}/{}",
        snapshot.speed,
        grouped(totals.candles_stored),
        snapshot.candles_per_second,
        grouped(totals.rest_calls),
        grouped(totals.frames),
        totals.revisions,
        snapshot.gaps,
        snapshot.symbols.len() - snapshot.backfilling(),
        snapshot.symbols.len(),
    );
    for trouble in &snapshot.troubles {
        line.push_str("; ");
        line.push_str(trouble);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::snapshot;
    use super::*;

    #[test]
    fn each_candle_is_written_once_and_nothing_is_coloured() {
        let mut plain = Plain::new(Vec::new());
        let mut state = snapshot();
        plain.show(&state).unwrap();
        plain.show(&state).unwrap();
        state.arrivals.pop_front();
        state.first_arrival += 1;
        let mut next = state.arrivals[0].clone();
        next.candle.open_time += chrono::TimeDelta::minutes(1);
        state.arrivals.push_back(next);
        plain.show(&state).unwrap();
        let text = String::from_utf8(plain.out).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "candle kraken BTC/USD 1m 2026-11-20T15:03:00Z 91200.5 91210.0 91190.0 91201.0 1.50000 stream",
                "candle yahoo AAPL 1m 2026-11-20T15:03:00Z 270.00 271.00 269.50 270.25 1200.00 rest",
                "status 2026-11-20T15:04:05Z x60 stored 12,345 (+230/s) rest calls 45 frames 3,321 revisions 1 gaps 2 \
                 live 1/2; binance: no route",
                "candle yahoo AAPL 1m 2026-11-20T15:04:00Z 270.00 271.00 269.50 270.25 1200.00 rest",
            ]
        );
    }
}
