//! A run as a picture: what happened, players, servers and regions over virtual time.
//!
//! Equal runs give equal pictures, to the byte: nothing in it depends on a clock, a font or the order of a hash map.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PLAYERS_A_SERVER;
use super::trace::{Mark, Sample, Shock, Trace};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Pixels of the whole, and of what is beside a panel.
const SIZE: (u32, u32) = (1000, 1000);
const LEFT: u32 = 110;
const RIGHT: u32 = 160;
/// Above each panel, for its heading; below it, for the hours.
const HEAD: u32 = 30;
const FOOT: u32 = 22;
/// Points of a curve: more cannot be told apart.
const POINTS_MAX: usize = 375;
/// Pixels of a line of the list of events, and of a legend.
const LINE: u32 = 14;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 44, 52);
const GRID: RGBColor = RGBColor(222, 225, 230);
/// Behind the time in which something did not get through.
const SHADE: RGBColor = RGBColor(240, 241, 244);
const PLAYING: RGBColor = RGBColor(86, 156, 214);
const WAITING: RGBColor = RGBColor(214, 59, 47);
const PLACES: RGBColor = RGBColor(90, 96, 106);
const IN_VIEW: RGBColor = RGBColor(46, 125, 80);

/// Draws a run as SVG.
///
/// # Errors
/// If it is too short to be drawn.
pub fn draw(trace: &Trace, title: &str) -> anyhow::Result<String> {
    anyhow::ensure!(trace.samples.len() > 1, "a run of less than two seconds cannot be drawn");
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw_on(&root, trace, title).map_err(|error| anyhow::anyhow!("failed to draw: {error}"))?;
    }
    Ok(text)
}

fn draw_on(root: &Area<'_>, trace: &Trace, title: &str) -> Drawn {
    root.fill(&WHITE)?;
    let caption = (FONT, 20).into_font().color(&INK);
    root.draw_text(title, &caption, (12, 12))?;
    let events = 40 + HEAD + LINE * u32::try_from(Shock::ALL.len()).unwrap();
    let (head, rest) = root.split_vertically(events);
    let (players, rest) = rest.split_vertically(250);
    let (servers, regions) = rest.split_vertically(330);
    let picture = Picture::of(trace);
    picture.events(&head)?;
    picture.players(&players)?;
    picture.servers(&servers)?;
    picture.regions(&regions)?;
    root.present()
}

/// What is drawn of a run: fewer points than it has seconds.
struct Picture<'a> {
    trace: &'a Trace,
    minutes: f64,
    /// Each with its minute.
    points: Vec<(f64, Sample)>,
}

fn minutes(seconds: u64) -> f64 {
    f64::from(u32::try_from(seconds).unwrap_or(u32::MAX)) / 60.0
}

/// One for several seconds: what is worst of what should not be, and the last of what is.
fn merge(samples: &[Sample]) -> Sample {
    let last = samples.last().cloned().unwrap_or_default();
    Sample {
        waiting: samples.iter().map(|sample| sample.waiting).max().unwrap_or_default(),
        in_view: samples.iter().map(|sample| sample.in_view).min().unwrap_or_default(),
        cut_off: samples.iter().map(|sample| sample.cut_off).max().unwrap_or_default(),
        ..last
    }
}

/// Colours that neighbours are told apart by.
fn colour(at: usize, of: usize) -> RGBAColor {
    let hue = f64::from(u32::try_from(at).unwrap()) / f64::from(u32::try_from(of.max(1)).unwrap());
    let (saturation, lightness) = [(0.55, 0.46), (0.50, 0.68)][at % 2];
    HSLColor(hue, saturation, lightness).to_rgba()
}

const fn shock_colour(shock: Shock) -> RGBColor {
    match shock {
        Shock::Cut | Shock::Lost => RGBColor(178, 34, 34),
        Shock::Digests | Shock::OneWay | Shock::Links | Shock::Flap => RGBColor(224, 123, 57),
        Shock::ApiServer | Shock::Restart => RGBColor(120, 120, 130),
        Shock::Spec | Shock::Order => RGBColor(123, 80, 160),
        Shock::Launch => RGBColor(70, 130, 190),
        Shock::Upgrade | Shock::Rollback => RGBColor(60, 140, 100),
    }
}

const fn is_of_links(shock: Shock) -> bool {
    matches!(shock, Shock::Cut | Shock::Lost | Shock::Digests | Shock::OneWay | Shock::Links | Shock::Flap)
}

fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

impl<'a> Picture<'a> {
    fn of(trace: &'a Trace) -> Self {
        let each = trace.samples.len().div_ceil(POINTS_MAX);
        let chunks = trace.samples.chunks(each).enumerate();
        let points = chunks.map(|(at, chunk)| (minutes((at * each) as u64), merge(chunk))).collect();
        Self { trace, minutes: minutes(trace.samples.len() as u64), points }
    }

    fn curve(&self, of: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
        self.points.iter().map(|(minute, sample)| (*minute, of(sample))).collect()
    }

    /// Pixel of a second.
    fn x(&self, second: u64) -> i32 {
        let width = f64::from(SIZE.0 - LEFT - RIGHT);
        #[expect(clippy::cast_possible_truncation, reason = "within the picture")]
        let x = (minutes(second).min(self.minutes) / self.minutes * width).round() as i32;
        i32::try_from(LEFT).unwrap() + x
    }

    fn events(&self, area: &Area<'_>) -> Drawn {
        heading(area, 40, "What happened")?;
        let (left, right) = (self.x(0), self.x(u64::MAX));
        for (line, shock) in Shock::ALL.into_iter().enumerate() {
            let top = i32::try_from(40 + HEAD + LINE * u32::try_from(line).unwrap()).unwrap();
            let middle = top + i32::try_from(LINE / 2).unwrap();
            let name = text(12).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw_text(shock.name(), &name, (left - 8, middle))?;
            area.draw(&PathElement::new([(left, middle), (right, middle)], GRID.stroke_width(1)))?;
            let of = |mark: &&Mark| mark.shock == shock;
            for mark in self.trace.marks.iter().filter(of) {
                let (from, until) = (self.x(mark.from), self.x(mark.until));
                let corners = [(from, top + 3), (until.max(from + 3), top + 11)];
                area.draw(&Rectangle::new(corners, shock_colour(shock).filled()))?;
            }
            let count = match self.trace.count(shock) {
                0 => "never".to_owned(),
                1 => "once".to_owned(),
                count => format!("{count} times"),
            };
            let beside = text(12).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw_text(&count, &beside, (right + 10, middle))?;
        }
        Ok(())
    }

    /// A panel with its grid, shaded where something did not get through.
    fn panel<'b>(
        &self,
        area: &Area<'b>,
        (words, max, lines): (&str, f64, usize),
        is_last: bool,
    ) -> Result<
        ChartContext<
            'b,
            SVGBackend<'b>,
            Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
        >,
        DrawingAreaErrorKind<std::io::Error>,
    > {
        heading(area, 0, words)?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(HEAD)
            .margin_right(RIGHT)
            .set_label_area_size(LabelAreaPosition::Left, LEFT)
            .set_label_area_size(LabelAreaPosition::Bottom, if is_last { FOOT + 18 } else { FOOT })
            .build_cartesian_2d(0.0..self.minutes, 0.0..max)?;
        let shaded = self.trace.marks.iter().filter(|mark| is_of_links(mark.shock));
        chart.draw_series(shaded.map(|mark| {
            Rectangle::new([(minutes(mark.from), 0.0), (minutes(mark.until), max)], SHADE.filled())
        }))?;
        let mut mesh = chart.configure_mesh();
        mesh.x_labels(12)
            .y_labels(lines)
            .x_label_formatter(&|minute| format!("{minute:.0}"))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .label_style(text(12))
            .axis_style(INK.stroke_width(1))
            .bold_line_style(GRID.stroke_width(1))
            .light_line_style(TRANSPARENT);
        if is_last {
            mesh.x_desc("minutes of virtual time").axis_desc_style(text(13));
        }
        mesh.draw()?;
        Ok(chart)
    }

    fn players(&self, area: &Area<'_>) -> Drawn {
        let thousand = |players: u32| f64::from(players) / 1000.0;
        let places = |sample: &Sample| thousand(sample.ready.iter().sum::<u32>() * PLAYERS_A_SERVER);
        let max = self.points.iter().map(|(_, sample)| places(sample)).fold(100.0, f64::max) * 1.08;
        let mut chart = self.panel(area, ("Players, thousands", max, 6), false)?;
        let playing = self.curve(|sample| thousand(sample.playing));
        let waiting = self.curve(|sample| thousand(sample.waiting));
        chart.draw_series(
            AreaSeries::new(playing, 0.0, PLAYING.mix(0.45)).border_style(PLAYING.stroke_width(1)),
        )?;
        chart.draw_series(AreaSeries::new(waiting, 0.0, WAITING.mix(0.85)))?;
        chart.draw_series(LineSeries::new(self.curve(places), PLACES.stroke_width(1)))?;
        legend(
            area,
            &[
                ("places on Ready servers", PLACES.to_rgba()),
                ("on servers", PLAYING.mix(0.6)),
                ("without a place", WAITING.to_rgba()),
            ],
        )
    }

    fn servers(&self, area: &Area<'_>) -> Drawn {
        let count = self.trace.regions.len();
        let upto = |sample: &Sample, last: usize| f64::from(sample.ready[..=last].iter().sum::<u32>());
        let most = self.points.iter().map(|(_, sample)| upto(sample, count - 1)).fold(10.0, f64::max);
        let mut chart = self.panel(area, ("Ready servers by region, stacked", most * 1.05, 6), false)?;
        for region in (0..count).rev() {
            let curve = self.curve(|sample| upto(sample, region));
            chart.draw_series(AreaSeries::new(curve, 0.0, colour(region, count)))?;
        }
        let names = self.trace.regions.iter().enumerate();
        let names: Vec<_> = names.map(|(at, name)| (name.as_str(), colour(at, count))).rev().collect();
        legend(area, &names)
    }

    fn regions(&self, area: &Area<'_>) -> Drawn {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap());
        let all = self.trace.regions.len();
        let mut chart = self.panel(area, ("Regions", count(all) * 1.12, all.min(6) + 1), true)?;
        for (of, colour) in [
            (self.curve(|sample| count(sample.in_view)), IN_VIEW),
            (self.curve(|sample| count(sample.cut_off)), WAITING),
        ] {
            // it is so until it is otherwise
            let ends = of.iter().skip(1).map(|point| point.0).chain([self.minutes]);
            let steps =
                of.iter().zip(ends).flat_map(|(&(from, value), until)| [(from, value), (until, value)]);
            chart.draw_series(LineSeries::new(steps, colour.stroke_width(2)))?;
        }
        legend(
            area,
            &[("in the latest view", IN_VIEW.to_rgba()), ("no majority in touch", WAITING.to_rgba())],
        )
    }
}

fn heading(area: &Area<'_>, top: i32, words: &str) -> Drawn {
    area.draw_text(words, &text(14), (i32::try_from(LEFT).unwrap(), top + 10))
}

/// Beside a panel, from its top on.
fn legend(area: &Area<'_>, entries: &[(&str, RGBAColor)]) -> Drawn {
    let left = i32::try_from(SIZE.0 - RIGHT).unwrap() + 10;
    for (line, (name, colour)) in entries.iter().enumerate() {
        let top = i32::try_from(HEAD + LINE * u32::try_from(line).unwrap()).unwrap();
        area.draw(&Rectangle::new([(left, top + 3), (left + 10, top + 11)], colour.filled()))?;
        let beside = text(12).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw_text(name, &beside, (left + 16, top + 7))?;
    }
    Ok(())
}
