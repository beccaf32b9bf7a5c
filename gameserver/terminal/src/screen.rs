//! The terminal itself: taken when a screen is made, and given back when it goes, or with a panic.

use std::io::{self, IsTerminal};
use std::panic;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, ensure};
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::prelude::CrosstermBackend;
use ratatui::{DefaultTerminal, Frame, Terminal};

use crate::keys::{Action, action_of};

/// A terminal that is ours for as long as this is there.
pub struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal: raw keys, and the screen that programs draw on. A panic gives it back before it is told.
    ///
    /// # Errors
    /// When there is none.
    pub fn take() -> anyhow::Result<Self> {
        static HOOK: Once = Once::new();
        Self::check()?;
        // a release aborts at a panic and drops nothing
        HOOK.call_once(|| {
            let tell = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                give_back();
                tell(panic);
            }));
        });
        let taken = Self::enter();
        if taken.is_err() {
            give_back();
        }
        taken.context("failed to take the terminal")
    }

    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Terminal::new(CrosstermBackend::new(io::stdout())).map(Self)
    }

    /// Whether there is a terminal to take.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn check() -> anyhow::Result<()> {
        let is_there = io::stdin().is_terminal() && io::stdout().is_terminal();
        ensure!(is_there, "there is no terminal: standard input and output have to be one");
        Ok(())
    }

    /// Draws a frame, at the size that the terminal has now.
    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> anyhow::Result<()> {
        self.0.draw(render).context("failed to draw")?;
        Ok(())
    }

    /// The next key that means something, if one was pressed.
    pub(crate) fn poll_action() -> anyhow::Result<Option<Action>> {
        while event::poll(Duration::ZERO).context("failed to look for keys")? {
            let event = event::read().context("failed to read a key")?;
            let Event::Key(key) = event else { continue };
            let action = action_of(key).filter(|_| key.kind != KeyEventKind::Release);
            if action.is_some() {
                return Ok(action);
            }
        }
        Ok(None)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// The terminal as it was. A step that fails keeps no other from being taken; there is nobody left to tell.
fn give_back() {
    let _shown = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _cooked = disable_raw_mode();
}
