//! What stands where on the screen. Pure: a snapshot is drawn, nothing is remembered.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};

use super::{Arrival, Snapshot, grouped, lag, number};
use crate::status::{ComponentStatus, Health, Phase};

/// Columns from which on nothing is shortened.
const WIDE: u16 = 118;
/// The least that remains for candles.
const ARRIVAL_ROWS: u16 = 5;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot) {
    let notices = u16::try_from(snapshot.notices.len() + snapshot.troubles.len()).unwrap_or(0);
    let symbols = u16::try_from(snapshot.symbols.len()).unwrap_or(u16::MAX).saturating_add(2);
    let most = frame.area().height.saturating_sub(2 + notices + ARRIVAL_ROWS);
    let [title, table, words, arrivals] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(symbols.min(most)),
        Constraint::Length(notices),
        Constraint::Min(0),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(headline(snapshot)), title);
    let is_wide = frame.area().width >= WIDE;
    frame.render_widget(symbol_table(snapshot, is_wide), table);
    let troubles = snapshot.troubles.iter().map(|words| Line::from(words.as_str()).red());
    let log = snapshot.notices.iter().map(|words| Line::from(words.as_str()).yellow());
    frame.render_widget(Paragraph::new(troubles.chain(log).collect::<Vec<_>>()), words);
    frame.render_widget(arrival_table(snapshot, arrivals, is_wide), arrivals);
}

fn headline(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let totals = &snapshot.totals;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let first = vec![
        Span::styled(" candlewick ", bold.bg(Color::Blue).fg(Color::White)),
        Span::styled(format!(" {} ", snapshot.now.format("%F %T UTC")), bold),
        Span::raw(format!("x{}  ", snapshot.speed)),
        Span::raw(snapshot.database.to_string()).dim(),
        Span::raw("  q to stop").dim(),
    ];
    let count = |name: &str, value: String, colour: Color| {
        [Span::raw(format!(" {name} ")).dim(), Span::styled(value, bold.fg(colour))]
    };
    let alarming = |count: u64| if count > 0 { Color::Yellow } else { Color::Green };
    let second = [
        count("stored", grouped(totals.candles_stored), Color::Cyan),
        count("candles/s", format!("{:.0}", snapshot.candles_per_second), Color::Cyan),
        count("REST calls", grouped(totals.rest_calls), Color::Reset),
        count("frames", grouped(totals.frames), Color::Reset),
        count("revisions", grouped(totals.revisions), alarming(totals.revisions)),
        count("gaps", grouped(snapshot.gaps), alarming(snapshot.gaps)),
    ];
    vec![Line::from(first), Line::from(second.into_iter().flatten().collect::<Vec<_>>())]
}

fn symbol_table(snapshot: &Snapshot, is_wide: bool) -> Table<'static> {
    let restarts = if is_wide { "restarts" } else { "re" };
    let header = ["exchange", "symbol", "mode", "phase", "last candle", "lag", "cover %", restarts, ""];
    let [exchange, symbol] = name_widths(snapshot, is_wide);
    let others = if is_wide { [17, 29, 16, 5, 7, 8] } else { [12, 13, 11, 4, 7, 2] };
    Table::new(
        snapshot.symbols.iter().map(|status| symbol_row(status, is_wide)),
        [exchange, symbol].into_iter().chain(others).map(Constraint::Length).chain([Constraint::Fill(1)]),
    )
    .header(Row::new(header).style(Style::new().add_modifier(Modifier::DIM | Modifier::UNDERLINED)))
    .block(Block::new().borders(Borders::BOTTOM).border_style(Style::new().dim()))
}

/// Widths of the columns of exchanges and symbols: where there is room, as wide as the longest name.
fn name_widths(snapshot: &Snapshot, is_wide: bool) -> [u16; 2] {
    if !is_wide {
        return [8, 10];
    }
    let longest = |name: fn(&ComponentStatus) -> &Option<String>, least: usize| {
        let names = snapshot.symbols.iter().filter_map(|status| name(status).as_ref());
        names.map(|name| name.chars().count()).max().unwrap_or(0).clamp(least, 24) as u16
    };
    [longest(|status| &status.exchange, 9), longest(|status| &status.symbol, 10)]
}

fn symbol_row(status: &ComponentStatus, is_wide: bool) -> Row<'static> {
    let colour = match (status.health, status.phase) {
        (Health::Error, _) | (_, Phase::Rejected | Phase::Quarantined) => Color::Red,
        (_, Phase::Backfilling) => Color::Yellow,
        (_, Phase::Live) => Color::Green,
        _ => Color::Reset,
    };
    let phase = match (status.phase, status.settled_percent) {
        (Phase::Backfilling, Some(percent)) if is_wide => format!("backfilling {} {percent:3.0}%", bar(percent, 12)),
        (Phase::Backfilling, Some(percent)) => format!("{} {percent:3.0}%", bar(percent, 8)),
        (phase, _) => phase.as_str().to_owned(),
    };
    let mode = status.mode.map(|mode| mode.as_str());
    let mode = if is_wide { mode } else { mode.map(|mode| mode.trim_start_matches("live_")) };
    let time_format = if is_wide { "%F %H:%M" } else { "%m-%d %H:%M" };
    let text = |value: Option<String>| Cell::from(value.unwrap_or_else(|| "-".to_owned()));
    Row::new([
        text(status.exchange.clone()),
        text(status.symbol.clone()).bold(),
        text(mode.map(str::to_owned)),
        Cell::from(phase).fg(colour),
        text(status.last_candle.map(|time| time.format(time_format).to_string())),
        text(status.lag_ms.map(lag)),
        text(status.coverage_percent.map(|percent| format!("{percent:6.2}"))),
        Cell::from(if is_wide { format!("{:>8}", status.restarts) } else { status.restarts.to_string() }),
        Cell::from(status.message.clone()).dim(),
    ])
}

/// A bar of eighths of cells.
fn bar(percent: f64, cells: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let filled = (percent.clamp(0.0, 100.0) / 100.0 * (cells * 8) as f64).round() as usize;
    let cell = |index: usize| match filled.saturating_sub(index * 8) {
        8.. => '█',
        0 => '░',
        rest => EIGHTHS[rest],
    };
    (0..cells).map(cell).collect()
}

/// The newest candles that fit, newest last.
fn arrival_table(snapshot: &Snapshot, area: Rect, is_wide: bool) -> Table<'static> {
    let fitting = usize::from(area.height.saturating_sub(1));
    let skipped = snapshot.arrivals.len().saturating_sub(fitting);
    let header = ["exchange", "symbol", "tf", "open", "open", "high", "low", "close", "volume", "source"];
    let header = Row::new(header.iter().enumerate().map(|(index, text)| match index {
        3 if is_wide => Line::from("open time"),
        4..=8 => Line::from(*text).right_aligned(),
        _ => Line::from(*text),
    }));
    let [exchange, symbol] = name_widths(snapshot, is_wide);
    let others = if is_wide { [3, 16, 11, 11, 11, 11, 12] } else { [3, 5, 9, 9, 9, 9, 8] };
    let source = if is_wide { Constraint::Fill(1) } else { Constraint::Length(0) };
    Table::new(
        snapshot.arrivals.iter().skip(skipped).map(|arrival| arrival_row(arrival, is_wide)),
        [exchange, symbol].into_iter().chain(others).map(Constraint::Length).chain([source]),
    )
    .header(header.style(Style::new().add_modifier(Modifier::DIM | Modifier::UNDERLINED)))
}

fn arrival_row(arrival: &Arrival, is_wide: bool) -> Row<'static> {
    let bar = &arrival.candle;
    let colour = match bar.close.total_cmp(&bar.open) {
        std::cmp::Ordering::Less => Color::Red,
        std::cmp::Ordering::Equal => Color::Reset,
        std::cmp::Ordering::Greater => Color::Green,
    };
    let price = |value: f64| Cell::from(Line::from(number(value)).right_aligned());
    let time_format = if is_wide { "%F %H:%M" } else { "%H:%M" };
    Row::new([
        Cell::from(arrival.exchange.to_string()),
        Cell::from(arrival.symbol.to_string()).bold(),
        Cell::from(arrival.timeframe.as_str()),
        Cell::from(bar.open_time.format(time_format).to_string()),
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close).fg(colour),
        price(bar.volume),
        Cell::from(arrival.source.as_str()).dim(),
    ])
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::market::{Candle, Source, Timeframe};
    use crate::status::{Mode, Totals};

    pub fn snapshot() -> Snapshot {
        let time = |text: &str| text.parse().unwrap();
        let candle = |open, high, low, close, volume| Candle {
            open_time: time("2026-11-20T15:03:00Z"),
            open,
            high,
            low,
            close,
            volume,
            quote_volume: None,
            trades: None,
            vwap: None,
        };
        let arrival = |exchange: &str, symbol: &str, candle, source| Arrival {
            exchange: Arc::from(exchange),
            symbol: Arc::from(symbol),
            timeframe: Timeframe::M1,
            candle,
            source,
        };
        let status = |exchange: &str, symbol: &str, mode, phase, health| ComponentStatus {
            exchange: Some(exchange.to_owned()),
            symbol: Some(symbol.to_owned()),
            health,
            mode: Some(mode),
            phase,
            last_candle: Some(time("2026-11-20T15:03:00Z")),
            lag_ms: Some(5_000),
            coverage_percent: Some(62.5),
            settled_percent: Some(62.5),
            message: "1m,1h".to_owned(),
            ..ComponentStatus::starting(format!("{exchange}:{symbol}"))
        };
        Snapshot {
            now: time("2026-11-20T15:04:05.5Z"),
            speed: 60.0,
            database: Arc::from("sqlite://demo.db"),
            totals: Totals { candles_stored: 12_345, rest_calls: 45, frames: 3_321, revisions: 1, ..Totals::default() },
            candles_per_second: 230.4,
            gaps: 2,
            symbols: vec![
                status("kraken", "BTC/USD", Mode::LiveWebsocket, Phase::Backfilling, Health::Processing),
                status("yahoo", "AAPL", Mode::LiveRestPolling, Phase::Live, Health::Running),
            ],
            troubles: vec!["binance: no route".to_owned()],
            arrivals: [
                arrival("kraken", "BTC/USD", candle(91_200.5, 91_210.0, 91_190.0, 91_201.0, 1.5), Source::Stream),
                arrival("yahoo", "AAPL", candle(270.0, 271.0, 269.5, 270.25, 1200.0), Source::Rest),
            ]
            .into(),
            first_arrival: 0,
            notices: vec!["WARN stream lost".to_owned()],
        }
    }

    fn lines(width: u16, height: u16, snapshot: &Snapshot) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, snapshot)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn everything_an_operator_asks_for_is_on_the_screen() {
        assert_eq!(
            lines(130, 13, &snapshot()),
            [
                " candlewick  2026-11-20 15:04:05 UTC x60  sqlite://demo.db  q to stop",
                " stored 12,345 candles/s 230 REST calls 45 frames 3,321 revisions 1 gaps 2",
                "exchange  symbol     mode              phase                         last candle      lag   cover % restarts",
                "kraken    BTC/USD    live_websocket    backfilling ███████▌░░░░  62% 2026-11-20 15:03 5s     62.50         0 1m,1h",
                "yahoo     AAPL       live_rest_polling live                          2026-11-20 15:03 5s     62.50         0 1m,1h",
                "─────────────────────────────────────────────────────────────────────────────────────────────────────────────────\
                 ─────────────────",
                "binance: no route",
                "WARN stream lost",
                "exchange  symbol     tf  open time               open        high         low       close       volume source",
                "kraken    BTC/USD    1m  2026-11-20 15:03     91200.5     91210.0     91190.0     91201.0      1.50000 stream",
                "yahoo     AAPL       1m  2026-11-20 15:03      270.00      271.00      269.50      270.25      1200.00 rest",
                "",
                "",
            ]
        );
    }

    #[test]
    fn a_screen_of_eighty_columns_shows_the_same_shortened() {
        let lines = lines(80, 13, &snapshot());
        assert_eq!(
            [2, 3, 4, 8, 9, 10].map(|row| lines[row].as_str()),
            [
                "exchange symbol     mode         phase         last candle lag  cover % re",
                "kraken   BTC/USD    websocket    █████░░░  62% 11-20 15:03 5s    62.50  0  1m,1h",
                "yahoo    AAPL       rest_polling live          11-20 15:03 5s    62.50  0  1m,1h",
                "exchange symbol     tf  open       open      high       low     close   volume",
                "kraken   BTC/USD    1m  15:03   91200.5   91210.0   91190.0   91201.0  1.50000",
                "yahoo    AAPL       1m  15:03    270.00    271.00    269.50    270.25  1200.00",
            ]
        );
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        let mut drawn = 0;
        for (width, height) in [(1, 1), (2, 3), (20, 5), (80, 24), (300, 100)] {
            assert_eq!(lines(width, height, &snapshot()).len(), usize::from(height));
            drawn += 1;
        }
        assert_eq!(drawn, 5);
    }
}
