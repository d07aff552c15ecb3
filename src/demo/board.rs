//! What is shown: figures, the latest windows, and how to connect; drawn on a terminal or as plain text.

use std::collections::HashMap;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};

use crate::demo::feed::Feed;
use crate::demo::figures::Summary;

/// Flights of an hour that make a full bar.
const BAR_FULL: u64 = 40;
/// Characters of a full bar.
const BAR_WIDTH: usize = 20;
/// Lines around the table: figures, borders, header, how to connect.
pub const LINES_AROUND: u16 = 10;
/// Something to type into psql.
const QUERY: &str = "SELECT * FROM busiest ORDER BY flights DESC LIMIT 5;";

/// A row of `by_hour`.
pub struct Window {
    /// When the hour starts.
    pub start: String,
    /// The airport.
    pub origin: String,
    /// Departures of the hour that have arrived.
    pub flights: u64,
    /// Their mean delay in minutes; `None` when all were cancelled.
    pub mean_delay: Option<f64>,
    /// The worst of them.
    pub worst: Option<f64>,
}

/// Everything that is shown at one moment.
pub struct Board {
    url: String,
    arrived: u64,
    total: u64,
    summary: Summary,
    windows: Vec<Window>,
    /// Flights of each window when it was last shown, to mark what has changed since.
    before: HashMap<(String, String), u64>,
}

impl Board {
    /// An empty board for a server at this address.
    pub fn new(url: &str) -> Board {
        Board { url: url.to_string(), arrived: 0, total: 0, summary: Summary::default(), windows: Vec::new(), before: HashMap::new() }
    }

    /// Takes over the figures.
    pub fn update(&mut self, feed: &Feed, summary: Summary) {
        (self.arrived, self.total, self.summary) = (feed.arrived(), feed.total(), summary);
    }

    /// Takes over the windows to show, oldest first.
    pub fn show(&mut self, windows: Vec<Window>) {
        let key = |window: &Window| (window.start.clone(), window.origin.clone());
        self.before = self.windows.iter().map(|window| (key(window), window.flights)).collect();
        self.windows = windows;
    }

    /// How to connect.
    pub fn invitation(&self) -> String {
        format!("connect:  psql {}\ntry:      {QUERY}", self.url)
    }

    /// One line on what has happened so far.
    pub fn line(&self) -> String {
        let fresh = |duration: Option<Duration>| duration.map_or("-".to_string(), millis);
        format!(
            "{} of {} flights arrived, {:.0}/s, freshness p50 {} p99 {}",
            self.arrived,
            self.total,
            self.summary.rate,
            fresh(self.summary.fresh_p50),
            fresh(self.summary.fresh_p99)
        )
    }

    /// The last word: the latest windows as psql would show them, and the figures.
    pub fn table(&self) -> String {
        let mut text = format!("{:^21}|{:^8}|{:^9}|{:^12}|{:^7}\n", "window_start", "origin", "flights", "mean_delay", "worst");
        text.push_str(&["-".repeat(21), "-".repeat(8), "-".repeat(9), "-".repeat(12), "-".repeat(7)].join("+"));
        for window in &self.windows {
            let (mean, worst) = (number(window.mean_delay, 1), number(window.worst, 0));
            text.push_str(&format!("\n {:<19} | {:<6} | {:>7} | {mean:>10} | {worst:>5}", window.start, window.origin, window.flights));
        }
        format!("{text}\n({} rows, the latest of by_hour)\n\n{}", self.windows.len(), self.line())
    }

    /// Draws it all.
    pub fn draw(&self, frame: &mut Frame) {
        let [head, middle, foot] = Layout::vertical([Constraint::Length(3), Constraint::Min(3), Constraint::Length(4)]).areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.rows(), middle);
        frame.render_widget(self.foot(), foot);
    }

    fn head(&self) -> Paragraph<'_> {
        let fresh = |duration: Option<Duration>| duration.map_or("-".to_string(), millis).bold().fg(Color::Green);
        let mut spans = vec![
            Span::from(format!("{} of {}", self.arrived, self.total)).bold(),
            " flights arrived   ".into(),
            Span::from(format!("{:.0}", self.summary.rate)).bold(),
            "/s   freshness p50 ".into(),
            fresh(self.summary.fresh_p50),
            "  p99 ".into(),
            fresh(self.summary.fresh_p99),
        ];
        if self.total > 0 && self.arrived == self.total {
            spans.push("   all have arrived; the views stay".into());
        }
        Paragraph::new(Line::from(spans))
            .block(Block::new().borders(Borders::ALL).title(" weir demo: flights out of New York, an hour a second "))
    }

    fn rows(&self) -> Table<'_> {
        let header = Row::new(["window_start", "origin", "flights", "", "mean delay", "worst"]).style(Style::new().bold());
        let rows = self.windows.iter().rev().map(|window| {
            let key = (window.start.clone(), window.origin.clone());
            let changed = self.before.get(&key).is_none_or(|flights| *flights != window.flights);
            let row = Row::new([
                Cell::from(window.start.as_str()),
                Cell::from(window.origin.as_str()),
                Cell::from(Line::from(window.flights.to_string()).right_aligned()),
                Cell::from(bar(window.flights).fg(Color::Cyan)),
                Cell::from(Line::from(format!("{} min", number(window.mean_delay, 1))).right_aligned()),
                Cell::from(Line::from(format!("{} min", number(window.worst, 0))).right_aligned()),
            ]);
            if changed { row.style(Style::new().bold().fg(Color::Yellow)) } else { row }
        });
        let widths = [20, 7, 8, BAR_WIDTH as u16, 12, 10].map(Constraint::Length);
        Table::new(rows, widths).header(header).block(Block::new().borders(Borders::ALL).title(" by_hour, the latest windows "))
    }

    fn foot(&self) -> Paragraph<'_> {
        let lines = vec![
            Line::from(vec!["connect:  ".into(), Span::from(format!("psql {}", self.url)).bold()]),
            Line::from(vec!["try:      ".into(), QUERY.bold()]),
            Line::from("q or Ctrl-C ends it".dim()),
        ];
        Paragraph::new(lines)
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or("-".to_string(), |value| format!("{value:.decimals$}"))
}

fn bar(flights: u64) -> String {
    "█".repeat((flights.min(BAR_FULL) as usize * BAR_WIDTH).div_ceil(BAR_FULL as usize))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::{Board, Window};

    fn board() -> Board {
        let mut board = Board::new("postgres://weir@127.0.0.1:5433/weir");
        board.show(vec![
            Window { start: "2013-01-01 05:00:00".into(), origin: "EWR".into(), flights: 2, mean_delay: Some(-1.0), worst: Some(2.0) },
            Window { start: "2013-01-01 05:00:00".into(), origin: "JFK".into(), flights: 40, mean_delay: None, worst: None },
        ]);
        board
    }

    #[test]
    fn the_table_is_aligned() {
        let expected = "    window_start     | origin | flights | mean_delay | worst 
---------------------+--------+---------+------------+-------
 2013-01-01 05:00:00 | EWR    |       2 |       -1.0 |     2
 2013-01-01 05:00:00 | JFK    |      40 |          - |     -
(2 rows, the latest of by_hour)
";
        assert!(board().table().starts_with(expected), "{}", board().table());
    }

    #[test]
    fn it_is_drawn_on_small_and_large_terminals() {
        for (width, height) in [(100, 30), (80, 24), (20, 5), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| board().draw(frame)).unwrap();
            let text: String = terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
            assert!(
                width < 80 || (text.contains("psql postgres://weir@127.0.0.1:5433/weir") && text.contains("2013-01-01 05:00:00")),
                "{text}"
            );
        }
    }
}
