//! A moment as characters: everything that is drawn comes from the scene and the app, and nothing is kept here.

mod map;
mod panels;
mod theme;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::Paragraph;

use crate::app::App;
use crate::scene::Scene;
pub(crate) use theme::Theme;

/// Less than this shows nothing of use.
const SMALLEST: (u16, u16) = (24, 8);
/// From here on there is room for the list of who is near beside the map.
const NEAR_FROM: u16 = 64;
const NEAR_WIDTH: u16 = 34;
/// From here on there is room for all that is to be said of oneself, and for a log with a frame.
const TALL_FROM: u16 = 18;

/// Draws the moment into the frame, whatever its size.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, scene: &Scene, theme: Theme) {
    let whole = frame.area();
    if whole.width < SMALLEST.0 || whole.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!("too small: {width} by {height} at least");
        frame.render_widget(Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true }), whole);
        return;
    }
    let is_tall = whole.height >= TALL_FROM;
    let rows = [
        Constraint::Length(1),
        Constraint::Length(if is_tall { 3 } else { 1 }),
        Constraint::Fill(1),
        Constraint::Length(if is_tall { (whole.height / 4).clamp(5, 12) } else { 1 }),
    ];
    let [head, own, middle, log] = Layout::vertical(rows).areas(whole);
    panels::draw_head(frame, head, app, scene, theme);
    panels::draw_self(frame, own, scene, theme);
    draw_middle(frame, middle, app, scene, theme);
    panels::draw_log(frame, log, app, theme);
    if let Some(reason) = &app.ended {
        panels::draw_end(frame, reason, theme);
    }
    if app.shows_help {
        panels::draw_help(frame, theme);
    }
}

fn draw_middle(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene, theme: Theme) {
    if area.width < NEAR_FROM {
        return map::draw_map(frame, area, app, scene, theme);
    }
    let [map, near] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(NEAR_WIDTH)]).areas(area);
    map::draw_map(frame, map, app, scene, theme);
    panels::draw_near(frame, near, app, scene, theme);
}

#[cfg(test)]
mod tests;
