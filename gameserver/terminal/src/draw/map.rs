//! The map around where one looks.

use std::collections::BTreeMap;

use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::rules::MAP_UNITS;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::widgets::Block;

use super::Theme;
use super::theme::aimed;
use crate::app::App;
use crate::asked::Wish;
use crate::scene::{Eye, Kind, Other, Point, Scene};

/// A dot on the ground for so many columns and rows, by which one sees oneself go.
const GRID: (i64, i64) = (10, 5);

/// From places to cells of the screen. Cells lie still on the ground, so that what stands does not tremble.
#[derive(Clone, Copy, Debug)]
struct Projection {
    area: Rect,
    units_per_column: i32,
    /// Column and row of the ground in the middle of the area.
    middle: (i64, i64),
}

impl Projection {
    fn new(area: Rect, units_per_column: i32, centre: Point) -> Self {
        let mut projection = Self { area, units_per_column, middle: (0, 0) };
        projection.middle = projection.ground(centre);
        projection
    }

    /// Column and row of the ground; rows count north.
    #[expect(clippy::cast_possible_truncation, reason = "places are on the map, or far off it and not shown")]
    fn ground(&self, (x, y): Point) -> (i64, i64) {
        let width = f64::from(self.units_per_column) * 100.0;
        ((x / width).floor() as i64, (y / (2.0 * width)).floor() as i64)
    }

    /// The cell of a place, if it is to be seen.
    fn cell(&self, place: Point) -> Option<Position> {
        let (column, row) = self.ground(place);
        let x =
            i64::from(self.area.x) + i64::from(self.area.width / 2) + column.saturating_sub(self.middle.0);
        let y = i64::from(self.area.y) + i64::from(self.area.height / 2) - row.saturating_sub(self.middle.1);
        let position = Position { x: u16::try_from(x).ok()?, y: u16::try_from(y).ok()? };
        self.area.contains(position).then_some(position)
    }

    /// Column and row of the ground under a cell.
    fn ground_under(&self, position: Position) -> (i64, i64) {
        let column = i64::from(position.x) - i64::from(self.area.x) - i64::from(self.area.width / 2);
        let row = i64::from(self.area.y) + i64::from(self.area.height / 2) - i64::from(position.y);
        (self.middle.0 + column, self.middle.1 + row)
    }

    /// What the ground looks like there.
    fn ground_glyph(&self, position: Position) -> char {
        let (column, row) = self.ground_under(position);
        let width = i64::from(self.units_per_column);
        let (columns, rows) = (i64::from(MAP_UNITS) / width, i64::from(MAP_UNITS) / (2 * width));
        if !(0..=columns).contains(&column) || !(0..=rows).contains(&row) {
            return '#';
        }
        if column % GRID.0 == 0 && row % GRID.1 == 0 { '.' } else { ' ' }
    }
}

pub(super) fn glyph(other: &Other) -> char {
    match other.kind {
        Kind::Player | Kind::Npc if other.is_dead() => '%',
        Kind::Player => 'P',
        Kind::Npc => 'n',
        Kind::Item(ItemKind::Potion) => '!',
        Kind::Item(ItemKind::ManaPotion) => '?',
        Kind::Item(ItemKind::Coin) => '$',
        Kind::Unknown => '*',
    }
}

pub(super) fn style(other: &Other, theme: Theme) -> Style {
    match other.kind {
        _ if other.is_dead() => theme.dim(),
        Kind::Player => theme.player(),
        Kind::Npc => theme.npc(),
        Kind::Item(_) => theme.item(),
        Kind::Unknown => theme.dim(),
    }
}

/// What is in which cell; what is painted later hides what was there.
struct Canvas {
    projection: Projection,
    cells: BTreeMap<(u16, u16), (char, Style)>,
}

impl Canvas {
    fn paint(&mut self, place: Point, glyph: char, style: Style) {
        if let Some(position) = self.projection.cell(place) {
            self.cells.insert((position.y, position.x), (glyph, style));
        }
    }

    fn paint_others(&mut self, app: &App, scene: &Scene, theme: Theme) {
        // things below the dead below the living, and the nearest on top
        let rank = |other: &Other| match other.kind {
            Kind::Item(_) | Kind::Unknown => 0,
            _ if other.is_dead() => 1,
            Kind::Npc => 2,
            Kind::Player => 3,
        };
        for wanted in 0..4 {
            for other in scene.others.iter().rev().filter(|other| rank(other) == wanted) {
                self.paint_other(other, app, theme);
            }
        }
        // whoever is aimed at is to be seen
        if let Some(aim) = scene.find(app.aim) {
            self.paint_other(aim, app, theme);
        }
    }

    fn paint_other(&mut self, other: &Other, app: &App, theme: Theme) {
        let style = style(other, theme);
        let style = if other.id == app.aim { aimed(style) } else { style };
        self.paint(other.place, glyph(other), style);
    }

    fn paint_me(&mut self, app: &App, scene: &Scene, theme: Theme) {
        let Some(me) = scene.me() else { return };
        let own = &me.confirmed;
        if (own.target_x, own.target_y) != (own.x, own.y) {
            let target = (f64::from(own.target_x) / 10.0, f64::from(own.target_y) / 10.0);
            self.paint(target, '+', theme.me());
        }
        for place in app.asked.open().filter_map(Wish::place) {
            self.paint(place, '~', theme.predicted());
        }
        // where it is only predicted to be, and on top where the server has it
        self.paint(me.drawn, '~', theme.predicted());
        let style = if own.health > 0 { theme.me() } else { theme.dim() };
        self.paint(me.place(), if own.health > 0 { '@' } else { '%' }, style);
    }
}

pub(super) fn draw_map(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene, theme: Theme) {
    let units = app.units_per_column();
    let title = match scene.eye {
        Eye::Nobody => " nothing is known yet ".to_owned(),
        Eye::Player(_) => format!(" map, {units} units a column "),
        Eye::Spectator(watched) if watched.follows != 0 => {
            format!(" following #{}, {units} units a column ", watched.follows)
        }
        Eye::Spectator(_) => format!(" camera, {units} units a column "),
    };
    let block = Block::bordered().title(title).border_style(theme.dim());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let aim = scene.find(app.aim).filter(|_| app.is_centred_on_aim).map(|other| other.place);
    let Some(centre) = aim.or_else(|| scene.centre()) else { return };
    let projection = Projection::new(inner, units, centre);
    let mut canvas = Canvas { projection, cells: BTreeMap::new() };
    canvas.paint_others(app, scene, theme);
    canvas.paint_me(app, scene, theme);
    for mark in &app.marks {
        canvas.paint(mark.place, 'x', theme.refused());
    }
    let buffer = frame.buffer_mut();
    for position in inner.positions() {
        let ground = (projection.ground_glyph(position), theme.dim());
        let (glyph, style) = *canvas.cells.get(&(position.y, position.x)).unwrap_or(&ground);
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_char(glyph).set_style(style);
        }
    }
}
