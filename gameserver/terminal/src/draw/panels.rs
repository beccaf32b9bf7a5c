//! Everything around the map: the head, oneself, who is near, the log, the help.

use std::time::Duration;

use gameserver_game::arena::effects::Effect;
use gameserver_game::arena::own::Own;
use gameserver_game::arena::round::Phase;
use gameserver_game::arena::rules::{HEALTH_MAX, MANA_MAX, NPC_HEALTH_MAX, SKILLS};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::Theme;
use super::map::{glyph, style};
use super::theme::aimed;
use crate::app::App;
use crate::keys::HELP;
use crate::scene::{Eye, Kind, Me, Other, Point, Scene, distance};
use crate::words;

/// Cells of a bar.
const BAR: u32 = 10;
/// Silence that is worth a word.
const SILENCE: Duration = Duration::from_millis(500);
/// A prediction of mana that is off by less is not told: it comes back all the time.
const MANA_OFF: i32 = 5;

/// A bar of ten cells, and the number. Who is alive has a cell at least.
fn bar(value: i32, most: i32, style: Style) -> [Span<'static>; 2] {
    let cells = (value.clamp(0, most).unsigned_abs() * BAR).div_ceil(most.unsigned_abs().max(1));
    let full = usize::try_from(cells).unwrap_or(0);
    let empty = usize::try_from(BAR - cells).unwrap_or(0);
    [Span::styled("█".repeat(full) + &"░".repeat(empty), style), Span::raw(format!(" {value:>3}"))]
}

fn part(value: i32, most: i32) -> f64 {
    f64::from(value) / f64::from(most.max(1))
}

fn place((x, y): Point) -> String {
    format!("{:.1} {:.1}", x / 100.0, y / 100.0)
}

/// The server, its tick, the round trip, and what is predicted.
pub(super) fn draw_head(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene, theme: Theme) {
    let round_trip =
        scene.round_trip.map_or_else(|| "-".to_owned(), |trip| format!("{:.1} ms", trip.as_secs_f64() * 1e3));
    let mut spans = vec![
        Span::styled(app.name.clone(), theme.me()),
        Span::raw(format!("  tick {}  round trip {round_trip}  ", scene.tick)),
    ];
    if scene.open_inputs > 0 {
        spans.push(Span::styled(format!("~{} open  ", scene.open_inputs), theme.predicted()));
    }
    if scene.me().is_some() {
        spans.push(Span::raw(format!("corrections {}  snaps {}  ", scene.corrections, app.snaps)));
    }
    if scene.silence >= SILENCE && app.ended.is_none() {
        let silence = format!("no word for {:.1} s  ", scene.silence.as_secs_f64());
        spans.push(Span::styled(silence, theme.refused()));
    }
    spans.push(Span::styled("? keys", theme.dim()));
    frame.render_widget(Line::from(spans), area);
}

/// Oneself: as many of the lines as there is room for.
pub(super) fn draw_self(frame: &mut Frame<'_>, area: Rect, scene: &Scene, theme: Theme) {
    let lines = match &scene.eye {
        Eye::Nobody => vec![Line::from("waiting for the first news")],
        Eye::Player(me) => vec![body_line(me, theme), match_line(scene, me), skill_line(scene, me, theme)],
        Eye::Spectator(watched) => {
            let at = place((watched.x.into(), watched.y.into()));
            let follows = match watched.follows {
                0 => "free camera".to_owned(),
                id => format!("following {}", words::who(id, scene)),
            };
            vec![Line::from(format!("spectator at {at}  {follows}  tab follows the next one"))]
        }
    };
    frame.render_widget(Paragraph::new(lines), area);
}

fn body_line(me: &Me, theme: Theme) -> Line<'static> {
    let Own { health, mana, .. } = me.confirmed;
    let mut spans = vec![Span::raw("health ")];
    spans.extend(bar(health, HEALTH_MAX, theme.bar(part(health, HEALTH_MAX))));
    spans.push(Span::raw("  mana "));
    spans.extend(bar(mana, MANA_MAX, theme.mana()));
    if let Some(predicted) = me.predicted.filter(|predicted| (predicted.mana - mana).abs() >= MANA_OFF) {
        spans.push(Span::styled(format!(" ~{}", predicted.mana), theme.predicted()));
    }
    spans.push(Span::raw(format!("  at {}", place(me.place()))));
    if place(me.drawn) != place(me.place()) {
        spans.push(Span::styled(format!(" ~{}", place(me.drawn)), theme.predicted()));
    }
    Line::from(spans)
}

fn match_line(scene: &Scene, me: &Me) -> Line<'static> {
    let own = &me.confirmed;
    let mut parts = vec![
        App::carried(&own.bag),
        words::phase(own.phase).to_owned(),
        format!("kills {}", own.kills),
        format!("deaths {}", own.deaths),
    ];
    if own.phase != Phase::Waiting {
        parts.push(format!("{:.0} s left", scene.seconds(own.phase_left)));
    }
    if own.health == 0 {
        parts.push(format!("dead for {:.1} s", scene.seconds(own.dead.into())));
    }
    for kind in Effect::ALL.into_iter().filter(|&kind| own.has(kind)) {
        let left = own.effects[usize::from(kind.code()) - 1];
        parts.push(format!("{} {:.1} s", words::effect(kind), scene.seconds(left.into())));
    }
    Line::from(parts.join("  "))
}

fn skill_line(scene: &Scene, me: &Me, theme: Theme) -> Line<'static> {
    let own = &me.confirmed;
    let mut spans = Vec::new();
    for (number, (skill, &left)) in SKILLS.iter().zip(&own.cooldowns).enumerate() {
        let (name, is_ready) = (words::skill(skill.id), left == 0 && own.mana >= skill.mana);
        let when = if left == 0 { String::new() } else { format!(" {:.1} s", scene.seconds(left.into())) };
        let style = if is_ready { Style::new() } else { theme.dim() };
        let key = if number == 0 { "f".to_owned() } else { number.to_string() };
        spans.push(Span::styled(format!("{key} {name}{when}  "), style));
    }
    Line::from(spans)
}

/// Who is near, the nearest first.
pub(super) fn draw_near(frame: &mut Frame<'_>, area: Rect, app: &App, scene: &Scene, theme: Theme) {
    let block = Block::bordered().title(" near ").border_style(theme.dim());
    let rows = usize::from(block.inner(area).height);
    let from = scene.centre().unwrap_or_default();
    let beings = scene.others.iter().filter(|other| matches!(other.kind, Kind::Player | Kind::Npc));
    let lines: Vec<_> = beings.take(rows).map(|other| near_line(other, from, app, theme)).collect();
    let lines = if lines.is_empty() { vec![Line::styled("nobody", theme.dim())] } else { lines };
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn near_line(other: &Other, from: Point, app: &App, theme: Theme) -> Line<'static> {
    let most = if other.kind == Kind::Npc { NPC_HEALTH_MAX } else { HEALTH_MAX };
    let name = if other.kind == Kind::Npc { "NPC" } else { "player" };
    let look = style(other, theme);
    let look = if other.id == app.aim { aimed(look) } else { look };
    let mut spans = vec![
        Span::raw(if other.id == app.aim { ">" } else { " " }),
        Span::styled(format!("{} {name} {}", glyph(other), other.id), look),
        Span::raw(format!(" {:.0}u ", distance(from, other.place) / 100.0)),
    ];
    spans.extend(bar(other.health, most, theme.bar(part(other.health, most))));
    for kind in Effect::ALL.into_iter().filter(|kind| other.bits & kind.bit() != 0) {
        spans.push(Span::raw(format!(" {}", words::effect(kind))));
    }
    Line::from(spans)
}

/// What happened, the newest at the bottom.
pub(super) fn draw_log(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let block = Block::bordered().title(" log ").border_style(theme.dim());
    // one line has no room for a frame
    let block = if area.height > 2 { block } else { Block::new() };
    let rows = usize::from(block.inner(area).height);
    let lines: Vec<_> = (app.log.last(rows))
        .map(|line| {
            let seconds = line.at.as_secs();
            let times = if line.times > 1 { format!(" ({} times)", line.times) } else { String::new() };
            Line::from(vec![
                Span::styled(format!("{:>3}:{:02} ", seconds / 60, seconds % 60), theme.dim()),
                Span::styled(format!("{}{times}", line.text), theme.tone(line.tone)),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// A box in the middle, over everything else.
fn draw_box(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>, width: u16, style: Style) {
    let whole = frame.area();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (width, height) = (width.min(whole.width), height.min(whole.height));
    let area = Rect {
        x: whole.x + (whole.width - width) / 2,
        y: whole.y + (whole.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(title.to_owned()).border_style(style);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

pub(super) fn draw_help(frame: &mut Frame<'_>, theme: Theme) {
    let mut lines: Vec<_> = HELP
        .iter()
        .map(|&(keys, meaning)| {
            Line::from(vec![Span::styled(format!("{keys:<17} "), theme.me()), Span::raw(meaning)])
        })
        .collect();
    lines.push(Line::raw(""));
    lines.push(Line::from("@ you, as the server has you   P player   n NPC   % dead"));
    lines.push(Line::from("! potion   ? mana potion   $ coin   + where you walk to"));
    lines.push(Line::from(vec![
        Span::styled("~ not confirmed yet", theme.predicted()),
        Span::raw("   "),
        Span::styled("x refused", theme.refused()),
    ]));
    draw_box(frame, " keys ", lines, 76, theme.me());
}

pub(super) fn draw_end(frame: &mut Frame<'_>, reason: &str, theme: Theme) {
    let lines = vec![Line::from(reason.to_owned()), Line::from("r joins again, q leaves")];
    let width = u16::try_from(reason.chars().count()).unwrap_or(u16::MAX).saturating_add(2).clamp(26, 76);
    draw_box(frame, " it is over ", lines, width, theme.refused());
}
