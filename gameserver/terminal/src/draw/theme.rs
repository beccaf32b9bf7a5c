//! How things look: with colours, or by weight alone.

use std::ffi::OsStr;

use ratatui::style::{Color, Modifier, Style};

use crate::log::Tone;

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theme {
    has_colours: bool,
}

/// Whom one aims at, on top of what it is.
pub(super) fn aimed(style: Style) -> Style {
    style.add_modifier(Modifier::REVERSED)
}

impl Theme {
    pub(crate) const fn new(has_colours: bool) -> Self {
        Self { has_colours }
    }

    /// By what `NO_COLOR` is set to: no colours if that is anything.
    pub(crate) fn of(no_color: Option<&OsStr>) -> Self {
        Self::new(no_color.is_none_or(OsStr::is_empty))
    }

    fn style(self, colour: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.has_colours { style.fg(colour) } else { style }
    }

    /// The player, as the server has it.
    pub(crate) fn me(self) -> Style {
        self.style(Color::LightGreen, Modifier::BOLD)
    }

    /// What is not confirmed.
    pub(crate) fn predicted(self) -> Style {
        self.style(Color::LightCyan, Modifier::ITALIC)
    }

    /// What the server refused.
    pub(crate) fn refused(self) -> Style {
        self.style(Color::LightRed, Modifier::BOLD)
    }

    pub(crate) fn player(self) -> Style {
        self.style(Color::LightYellow, Modifier::BOLD)
    }

    pub(crate) fn npc(self) -> Style {
        self.style(Color::LightMagenta, Modifier::empty())
    }

    pub(crate) fn item(self) -> Style {
        self.style(Color::LightBlue, Modifier::empty())
    }

    /// The ground, frames, and who is dead.
    pub(crate) fn dim(self) -> Style {
        self.style(Color::DarkGray, Modifier::DIM)
    }

    /// A bar that is full up to this part.
    pub(crate) fn bar(self, part: f64) -> Style {
        let colour = match part {
            part if part > 0.5 => Color::Green,
            part if part > 0.25 => Color::Yellow,
            _ => Color::Red,
        };
        self.style(colour, Modifier::empty())
    }

    pub(crate) fn mana(self) -> Style {
        self.style(Color::Blue, Modifier::empty())
    }

    pub(crate) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => self.style(Color::Green, Modifier::empty()),
            Tone::Bad => self.style(Color::Red, Modifier::empty()),
            Tone::Refused => self.refused(),
        }
    }
}
