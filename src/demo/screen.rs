//! The terminal, taken for drawing and given back whatever happens.

use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::demo::Result;
use crate::demo::board::{Board, LINES_AROUND};

/// The whole terminal. Dropping it gives it back; so does a panic.
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    pub fn open() -> Result<Screen> {
        Ok(Screen { terminal: ratatui::try_init()? })
    }

    /// Rows of the table that fit.
    pub fn rows(&self) -> usize {
        self.terminal.size().map_or(10, |size| size.height.saturating_sub(LINES_AROUND)).max(1) as usize
    }

    /// Draws the board.
    pub fn draw(&mut self, board: &Board) -> Result<()> {
        self.terminal.draw(|frame| board.draw(frame))?;
        Ok(())
    }

    /// Whether the user pressed q, Escape or Ctrl-C since it was last asked. Does not wait.
    pub fn asked_to_end(&self) -> bool {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(Event::Key(key)) = event::read()
                && ends(key)
            {
                return true;
            }
        }
        false
    }
}

/// In raw mode Ctrl-C is a key like others, not a signal.
fn ends(key: KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
