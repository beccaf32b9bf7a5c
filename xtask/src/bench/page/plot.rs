//! Figures of a page as a picture: a bar as long as the median, and a line from the least to the most.
//!
//! Equal figures give equal pictures, to the byte.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Spread;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Pixels of the whole, of the names, and of the longest bar.
const WIDTH: u32 = 900;
const NAMES: i32 = 230;
const BAR: f64 = 560.0;
/// Pixels of a heading with what is above it, of a row, and of the bar in it.
const HEAD: i32 = 44;
const ROW: i32 = 20;
const BAR_HEIGHT: i32 = 12;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 44, 52);
const FILL: RGBColor = RGBColor(152, 190, 226);

/// A figure of each of those that were measured. What nobody found has no row.
pub(in crate::bench) struct Panel {
    /// What it is, with the unit.
    pub(in crate::bench) title: String,
    /// Names, and what was found of them.
    pub(in crate::bench) rows: Vec<(String, Spread)>,
}

impl Panel {
    fn height(&self) -> i32 {
        HEAD + ROW * i32::try_from(self.rows.len()).unwrap_or(0)
    }

    fn most(&self) -> f64 {
        self.rows.iter().map(|(_, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max)
    }
}

/// Draws panels one below the other, as SVG.
pub(super) fn draw(panels: &[Panel]) -> Result<String> {
    let height: i32 = panels.iter().map(Panel::height).sum::<i32>() + ROW;
    let mut text = String::new();
    {
        let size = (WIDTH, u32::try_from(height)?);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw_on(&root, panels).map_err(|error| anyhow!("failed to draw: {error}"))?;
    }
    Ok(text)
}

fn draw_on(root: &Area<'_>, panels: &[Panel]) -> Drawn {
    root.fill(&WHITE)?;
    let mut top = 0;
    for panel in panels {
        panel.draw(root, top)?;
        top += panel.height();
    }
    root.present()
}

fn text(size: u32, horizontal: HPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK).pos(Pos::new(horizontal, VPos::Center))
}

impl Panel {
    fn draw(&self, root: &Area<'_>, top: i32) -> Drawn {
        root.draw_text(&self.title, &text(15, HPos::Left), (12, top + HEAD - 16))?;
        #[expect(clippy::cast_possible_truncation, reason = "no bar is longer than the picture is wide")]
        let x = |value: f64| NAMES + (value / self.most() * BAR).round() as i32;
        for ((name, spread), middle) in self.rows.iter().zip((top + HEAD + ROW / 2..).step_by(20)) {
            root.draw_text(name, &text(12, HPos::Right), (NAMES - 8, middle))?;
            let (upper, lower) = (middle - BAR_HEIGHT / 2, middle + BAR_HEIGHT / 2);
            let Spread { min, median, max } = *spread;
            root.draw(&Rectangle::new([(NAMES, upper), (x(median), lower)], FILL.filled()))?;
            let line = [(x(min), middle), (x(max), middle)];
            root.draw(&PathElement::new(line, INK.stroke_width(1)))?;
            for end in [min, max] {
                let tick = [(x(end), middle - 4), (x(end), middle + 4)];
                root.draw(&PathElement::new(tick, INK.stroke_width(1)))?;
            }
            root.draw_text(&number(median), &text(12, HPos::Left), (x(max) + 8, middle))?;
        }
        Ok(())
    }
}

/// With as many digits as tell it from its neighbours.
fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_name_and_its_median_and_equal_figures_give_equal_pictures() {
        let panels = || {
            let spread = |min, median, max| Spread { min, median, max };
            let rows = vec![
                ("ours".to_owned(), spread(1000.0, 1234.0, 1300.0)),
                ("theirs".to_owned(), spread(0.0, 8.25, 9.0)),
            ];
            [Panel { title: "players a core, 64 Hz".to_owned(), rows }]
        };
        let drawn = draw(&panels()).unwrap();
        for words in ["players a core, 64 Hz", "ours", "1234", "theirs", "8.2"] {
            assert!(drawn.contains(words), "{words} is not in {drawn}");
        }
        assert_eq!(drawn, draw(&panels()).unwrap());
    }
}
