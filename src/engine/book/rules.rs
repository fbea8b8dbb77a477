//! The venue data one series is kept by, and the arithmetic that follows from it alone: how far a
//! page reaches, when a bucket has settled, when to ask again.

use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc, Weekday};

use super::REREAD_BUCKETS;
use crate::engine::page::PageRules;
use crate::exchange::{Capabilities, Depth, QuietPolicy, TimeframeRow};
use crate::market::{Anchors, Grid, Timeframe};

/// Longest wait between two reads of a stretch that is not there.
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// The venue data one series is kept by.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRules {
    /// How pages are judged; holds the grid.
    pub page: PageRules,
    /// How far back REST goes.
    pub depth: Depth,
    /// Most rows of a page.
    pub page_limit_rows: u32,
    /// Longest window of a call.
    pub page_limit_span: Option<Duration>,
    /// False where pages always end at the newest bar.
    pub honours_end: bool,
    /// When a late bar is asked for again, counted from the first read.
    pub late_bar_delays: &'static [Duration],
    /// What is built from trades.
    pub from_trades: FromTrades,
}

/// Which candles of a series are built from trades, because the venue's own are not to be had or
/// not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromTrades {
    /// None.
    Never,
    /// Those that are older than the venue's candles reach.
    Old,
    /// All; the venue's candles are never asked for.
    All,
}

impl SeriesRules {
    /// The rules of a native timeframe; `None` when the venue does not have it.
    pub fn new(
        capabilities: &'static Capabilities,
        timeframe: Timeframe,
        anchors: Anchors,
        from_trades: FromTrades,
    ) -> Option<SeriesRules> {
        let row = match capabilities.timeframe(timeframe) {
            Some(row) => *row,
            // Trades make any timeframe.
            None if from_trades == FromTrades::All => {
                TimeframeRow { timeframe, wire: "", depth: Depth::Full, page_limit_span: None }
            }
            None => return None,
        };
        Some(SeriesRules {
            page: PageRules {
                grid: Grid::new(timeframe, anchors),
                quiet: capabilities.quiet,
                settle: capabilities.settle,
                settle_empty: capabilities.settle_empty,
            },
            depth: row.depth,
            page_limit_rows: capabilities.candle_rest.page_limit_rows,
            page_limit_span: row.page_limit_span,
            honours_end: capabilities.candle_rest.honours_end,
            late_bar_delays: capabilities.late_bar_delays,
            from_trades,
        })
    }

    /// The oldest open time REST still serves at `now`; `None` where nothing bounds it or where
    /// rows are counted and quiet buckets have none, so that only asking tells.
    pub(super) fn depth_edge(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let grid = &self.page.grid;
        match self.depth {
            Depth::NewestRows(rows) if self.page.quiet == QuietPolicy::Emits => {
                Some(grid.back(grid.bucket_at(now), rows.saturating_sub(1)))
            }
            Depth::Full | Depth::NewestRows(_) => None,
            Depth::Age(age) => Some(grid.ceil(now - age)),
        }
    }

    /// Rows of a page that are left for what a call wants, besides what it reads again.
    fn page_rows(&self) -> u32 {
        let reread = if self.honours_end { 2 * REREAD_BUCKETS } else { 0 };
        self.page_limit_rows.saturating_sub(reread).max(1)
    }

    /// The start of the longest call that ends at `to`.
    pub(super) fn page_start(&self, to: DateTime<Utc>) -> DateTime<Utc> {
        let grid = &self.page.grid;
        let by_rows = grid.back(to, self.page_rows());
        match self.page_limit_span {
            Some(span) => {
                let by_span = self.forward(grid.ceil(to - span), REREAD_BUCKETS + 1);
                by_rows.max(by_span).min(grid.back(to, 1))
            }
            None => by_rows,
        }
    }

    /// Open time `count` buckets after `open`.
    pub(super) fn forward(&self, open: DateTime<Utc>, count: u32) -> DateTime<Utc> {
        (0..count).fold(open, |open, _| self.page.grid.next_open(open))
    }

    /// The end of the longest call that starts at `from`.
    pub(super) fn page_end(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        let grid = &self.page.grid;
        let nominal = TimeDelta::from_std(grid.timeframe.nominal()).unwrap_or_default();
        let by_rows = from + nominal * i32::try_from(self.page_rows()).unwrap_or(i32::MAX);
        let reread = nominal * REREAD_BUCKETS as i32;
        let by_span = self.page_limit_span.map_or(by_rows, |span| by_rows.min(from + span - reread));
        grid.open_of(by_span).max(grid.next_open(from))
    }

    /// How long to wait after `attempts` reads without result: the listed delays, then doubled.
    pub(super) fn retry_delay(&self, attempts: u32) -> Duration {
        let listed = self.late_bar_delays;
        let index = attempts.saturating_sub(1) as usize;
        let before = index.checked_sub(1).and_then(|before| listed.get(before)).copied().unwrap_or_default();
        match listed.get(index) {
            Some(delay) => delay.saturating_sub(before).max(Duration::from_secs(1)),
            None => {
                let last = listed.last().copied().unwrap_or(Duration::from_secs(5));
                let doublings = (index - listed.len()) as u32 + 1;
                last.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST_RETRY)
            }
        }
    }

    /// The end of the newest bucket that is closed and settled at `now`. Session markets stand
    /// still between sessions: until a bucket with trading hours has closed, nothing is due.
    pub(super) fn closed_end(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let grid = &self.page.grid;
        let mut end = grid.last_closed_end(now - self.page.settle);
        let newest = grid.previous_open(end);
        if !self.has_hours(newest) {
            if let Some(session) = grid.anchors.session.filter(|_| !grid.timeframe.is_daily_or_longer()) {
                return end.min(grid.ceil(session.last_close_before(newest)));
            }
            while !self.has_hours(grid.previous_open(end)) {
                end = grid.previous_open(end);
            }
        }
        end
    }

    /// When the first bucket with trading hours that opens at or after `edge` has closed and settled.
    pub(super) fn next_close(&self, edge: DateTime<Utc>) -> DateTime<Utc> {
        let grid = &self.page.grid;
        let mut open = edge;
        if !self.has_hours(open)
            && let Some(session) = grid.anchors.session.filter(|_| !grid.timeframe.is_daily_or_longer())
        {
            open = grid.open_of(session.next_open_after(open));
        }
        while !self.has_hours(open) {
            open = grid.next_open(open);
        }
        grid.close_of(open) + self.page.settle
    }

    /// False for buckets of a session market in which no session takes place.
    fn has_hours(&self, open: DateTime<Utc>) -> bool {
        let grid = &self.page.grid;
        match (grid.anchors.session, grid.timeframe) {
            (None, _) | (Some(_), Timeframe::D3 | Timeframe::W1 | Timeframe::Month1) => true,
            (Some(_), Timeframe::D1) => !matches!(open.weekday(), Weekday::Sat | Weekday::Sun),
            (Some(session), _) => session.is_open_at(open) || session.next_open_after(open) < grid.next_open(open),
        }
    }
}
