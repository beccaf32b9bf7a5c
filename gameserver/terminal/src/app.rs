//! The person at the keys: what they look at, have asked for, and were told.

use std::time::Duration;

use gameserver_client::{Event, RejectReason, Watch};
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::notices::Notice;
use gameserver_game::arena::rules::{Aim, MAP_UNITS, SKILLS};

use crate::asked::{Asked, Wish};
use crate::keys::{Action, Way};
use crate::log::{Log, Tone};
use crate::scene::{Eye, Kind, Other, Point, Scene, distance};
use crate::words;

/// How far a move goes, thousandths of a unit: 0.4 s of walking, which a held key repeats in time.
const STRIDE: i32 = 4000;
/// As far as can be asked for, less what one walks until it is heard.
const LONG_STRIDE: i32 = 9500;
/// How far the camera goes, in columns of the map.
const PAN_COLUMNS: i32 = 4;
const LONG_PAN_COLUMNS: i32 = 24;
/// Units that a column of the map is wide; a row is twice as high.
pub(crate) const ZOOMS: [i32; 6] = [1, 2, 4, 8, 16, 32];
/// For how long it is shown where something was refused.
const MARK_SHOWN: Duration = Duration::from_millis(1500);
/// Places of refusals that are shown at most.
const MARKS_MAX: usize = 16;
/// By how much the player has to be somewhere else for the snap to be told, hundredths of a unit.
const SNAP: f64 = 10.0;

/// A place where something was refused, and until when that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) place: Point,
    until: Duration,
}

/// What comes of an action beyond the app itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ask(Wish),
    Rejoin,
    Leave,
}

/// What is shown besides the moment itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    /// What people call the server.
    pub(crate) name: String,
    /// Id of whom one aims at or wants to follow, 0 for nobody.
    pub(crate) aim: u32,
    /// Whether the map is around whom one aims at.
    pub(crate) is_centred_on_aim: bool,
    /// Which of [`ZOOMS`].
    zoom: usize,
    pub(crate) shows_help: bool,
    pub(crate) log: Log,
    pub(crate) asked: Asked,
    pub(crate) marks: Vec<Mark>,
    /// How often the player was put back after a refusal.
    pub(crate) snaps: u64,
    /// Why it is over, if it is.
    pub(crate) ended: Option<String>,
    /// What a spectator asked to see last.
    pub(crate) watch: Option<Watch>,
    /// Where the player was drawn last.
    drawn: Option<Point>,
    /// Something was refused since.
    is_refused: bool,
}

impl App {
    pub(crate) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    #[cfg(test)]
    pub(crate) fn aiming_at(aim: u32) -> Self {
        Self { aim, ..Self::default() }
    }

    /// Units that a column of the map is wide.
    pub(crate) fn units_per_column(&self) -> i32 {
        ZOOMS[self.zoom]
    }

    /// What comes of a key.
    pub(crate) fn act(&mut self, action: Action, scene: &Scene) -> Option<Order> {
        match action {
            Action::Leave => return Some(Order::Leave),
            Action::Rejoin => return self.ended.is_some().then_some(Order::Rejoin),
            Action::Help => self.shows_help = !self.shows_help,
            Action::ZoomIn => self.zoom = self.zoom.saturating_sub(1),
            Action::ZoomOut => self.zoom = (self.zoom + 1).min(ZOOMS.len() - 1),
            Action::Centre => self.is_centred_on_aim = !self.is_centred_on_aim,
            _ if self.ended.is_some() => {}
            Action::Next { is_back } => {
                self.aim = next(scene, self.aim, is_back);
                if matches!(scene.eye, Eye::Spectator(_)) && self.aim != 0 {
                    return Some(self.look(Watch::Entity { id: self.aim }));
                }
            }
            Action::Go { way, is_long } => return self.go(way, is_long, scene),
            _ => return self.play(action, scene).map(|intent| Order::Ask(Wish::Do(intent))),
        }
        None
    }

    fn look(&mut self, watch: Watch) -> Order {
        self.watch = Some(watch);
        Order::Ask(Wish::Watch(watch))
    }

    fn go(&mut self, way: Way, is_long: bool, scene: &Scene) -> Option<Order> {
        match scene.eye {
            Eye::Nobody => None,
            Eye::Player(me) => {
                // that the place is too far or off the map is the server's to say
                let (from, stride) = (me.newest(), if is_long { LONG_STRIDE } else { STRIDE });
                let (x, y) = (from.x + way.east * stride, from.y + way.north * stride);
                Some(Order::Ask(Wish::Do(Intent::Move { x, y })))
            }
            Eye::Spectator(watched) => {
                self.aim = 0;
                let columns = if is_long { LONG_PAN_COLUMNS } else { PAN_COLUMNS };
                let far = columns * self.units_per_column() * 100;
                // keys are faster than answers
                let open = self.asked.open().rev().find_map(|wish| match *wish {
                    Wish::Watch(Watch::Place { x, y }) => Some((x, y)),
                    _ => None,
                });
                let (x, y) = open.unwrap_or((watched.x, watched.y));
                let along = |from: i32, step: i32| (from + step * far).clamp(0, MAP_UNITS * 100);
                Some(self.look(Watch::Place { x: along(x, way.east), y: along(y, way.north) }))
            }
        }
    }

    /// What a player asks for.
    fn play(&mut self, action: Action, scene: &Scene) -> Option<Intent> {
        scene.me()?;
        match action {
            Action::Stop => Some(Intent::Stop),
            Action::Use(kind) => Some(Intent::Use { kind }),
            Action::PickUp => {
                let is_item = |other: &&Other| matches!(other.kind, Kind::Item(_));
                let item = scene.others.iter().find(is_item).map_or(0, |item| item.id);
                Some(Intent::PickUp { item })
            }
            Action::Cast { skill } => {
                let skill = SKILLS.get(skill)?;
                if skill.aim == Aim::Another && self.aim == 0 {
                    self.aim = next(scene, 0, false);
                }
                let target = if skill.aim == Aim::Oneself { 0 } else { self.aim };
                Some(Intent::Cast { skill: skill.id, target })
            }
            _ => None,
        }
    }

    /// Takes what the client library tells; `scene` is the moment before.
    pub(crate) fn tell(&mut self, now: Duration, event: Event, scene: &Scene) {
        match event {
            Event::Confirmed { input_seq, .. } => _ = self.asked.settle(input_seq),
            Event::Rejected { input_seq, reason } => self.refuse(now, input_seq, reason),
            Event::Corrected { .. } => {}
            Event::GivenUp { input_seq } => {
                let what = self.asked.settle(input_seq).map_or_else(String::new, |wish| words::wish(&wish));
                self.log.push(
                    now,
                    Tone::Bad,
                    format!("given up: {what}: the server will not say what became of it"),
                );
            }
            Event::Notice(told) => {
                let Some(notice) = Notice::read(&told) else { return };
                if matches!(notice, Notice::Respawned { .. } | Notice::MatchStarted { .. }) {
                    // whoever is put elsewhere by the rules does not snap back
                    self.drawn = self.drawn.filter(|_| self.is_refused);
                }
                let (tone, text) = words::notice(&notice, scene);
                self.log.push(now, tone, text);
            }
        }
    }

    fn refuse(&mut self, now: Duration, sequence: u32, reason: RejectReason) {
        self.is_refused = true;
        let wish = self.asked.settle(sequence);
        if let Some(place) = wish.and_then(|wish| wish.place()) {
            self.mark(now, place);
        }
        let what = wish.map_or_else(|| format!("input {sequence}"), |wish| words::wish(&wish));
        self.log.push(now, Tone::Refused, format!("refused: {what}: {reason}"));
    }

    fn mark(&mut self, now: Duration, place: Point) {
        if self.marks.len() == MARKS_MAX {
            self.marks.remove(0);
        }
        self.marks.push(Mark { place, until: now + MARK_SHOWN });
    }

    /// Takes note of the moment that is to be drawn.
    pub(crate) fn see(&mut self, now: Duration, scene: &Scene) {
        let drawn = scene.me().map(|me| me.drawn);
        if let (true, Some(before), Some(after)) = (self.is_refused, self.drawn, drawn) {
            let far = distance(before, after);
            if far > SNAP {
                self.snaps += 1;
                self.mark(now, before);
                self.log.push(now, Tone::Refused, format!("snapped back by {:.1} units", far / 100.0));
            }
        }
        (self.drawn, self.is_refused) = (drawn, false);
        self.marks.retain(|mark| now < mark.until);
        if let Eye::Spectator(watched) = scene.eye
            && watched.follows != 0
        {
            self.aim = watched.follows;
        }
    }

    /// Another session begins: nothing of the one before is under way.
    pub(crate) fn begin_anew(&mut self) {
        self.asked.clear();
        (self.ended, self.drawn, self.is_refused) = (None, None, false);
    }

    /// Items that one carries, in words.
    pub(crate) fn carried(bag: &[u8]) -> String {
        let carried =
            ItemKind::ALL.iter().zip(bag).map(|(&kind, held)| format!("{} {held}", words::item(kind)));
        carried.collect::<Vec<_>>().join("  ")
    }
}

/// The one after this among those who can be aimed at, by id, or before it; 0 if there is nobody. Players come before NPCs.
/// From nobody it is the nearest.
fn next(scene: &Scene, from: u32, is_back: bool) -> u32 {
    let of_kind = |kind: Kind| {
        let alive = scene.others.iter().filter(move |other| other.is_alive() && other.kind == kind);
        alive.map(|other| other.id)
    };
    let mut ids: Vec<u32> = of_kind(Kind::Player).chain(of_kind(Kind::Npc)).collect();
    let Some(&nearest) = ids.first() else { return 0 };
    let key = |id: u32| (scene.find(id).map(|other| other.kind) == Some(Kind::Npc), id);
    ids.sort_unstable_by_key(|&id| key(id));
    let Ok(at) = ids.binary_search_by_key(&key(from), |&id| key(id)) else { return nearest };
    let count = ids.len();
    ids[if is_back { at + count - 1 } else { at + 1 } % count]
}

#[cfg(test)]
mod tests;
