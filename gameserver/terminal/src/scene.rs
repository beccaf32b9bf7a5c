//! What there is to see of a moment, as plain data.

use std::time::Duration;

use gameserver_access::Role;
use gameserver_client::{Client, Drawn, Now, Watched};
use gameserver_game::Game;
use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::own::Own;
use gameserver_game::arena::{Arena, DEAD_BIT, NPC_KIND, PLAYER_KIND};

/// East and north, hundredths of a unit.
pub(crate) type Point = (f64, f64);

/// What somebody else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Player,
    Npc,
    Item(ItemKind),
    /// Of a younger server.
    Unknown,
}

/// Something that is near, as the server said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Other {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    pub(crate) place: Point,
    pub(crate) health: i32,
    /// Dead, and effects.
    pub(crate) bits: i32,
    pub(crate) kills: i32,
    /// Id of whom it goes after or has aimed at, 0 for nobody.
    pub(crate) aims_at: u32,
}

impl Other {
    pub(crate) fn is_dead(&self) -> bool {
        self.bits & DEAD_BIT != 0
    }

    /// Whether it can be aimed at or followed: things cannot.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.kind, Kind::Player | Kind::Npc) && !self.is_dead()
    }
}

impl From<Drawn> for Other {
    fn from(drawn: Drawn) -> Self {
        let [health, bits, kills, aims_at] = drawn.entity.fields;
        let kind = match drawn.entity.kind {
            PLAYER_KIND => Kind::Player,
            NPC_KIND => Kind::Npc,
            code => {
                code.checked_sub(NPC_KIND).and_then(ItemKind::from_code).map_or(Kind::Unknown, Kind::Item)
            }
        };
        let place = (drawn.x, drawn.y);
        Self { id: drawn.entity.id, kind, place, health, bits, kills, aims_at: aims_at.cast_unsigned() }
    }
}

/// The player itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Me {
    /// As the server has it.
    pub(crate) confirmed: Own,
    /// As its open inputs may have made it.
    pub(crate) predicted: Option<Own>,
    /// Where the client library draws it.
    pub(crate) drawn: Point,
}

impl Me {
    /// Where the server has it.
    pub(crate) fn place(&self) -> Point {
        let (x, y) = Arena::place(&self.confirmed);
        (x.into(), y.into())
    }

    /// From where the next move is asked for.
    pub(crate) fn newest(&self) -> &Own {
        self.predicted.as_ref().unwrap_or(&self.confirmed)
    }
}

/// Whose eyes one looks with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Eye {
    /// The server has not said yet.
    Nobody,
    Player(Me),
    Spectator(Watched),
}

/// A moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scene {
    pub(crate) eye: Eye,
    /// The nearest first.
    pub(crate) others: Vec<Other>,
    /// Of the newest snapshot; 0 before the first.
    pub(crate) tick: u64,
    pub(crate) tick_hz: u32,
    pub(crate) round_trip: Option<Duration>,
    /// Since when nothing has come.
    pub(crate) silence: Duration,
    /// Inputs that nothing is known of yet.
    pub(crate) open_inputs: usize,
    /// How often the player was drawn half a unit or more from where it was.
    pub(crate) corrections: u64,
}

impl Scene {
    /// What a client sees now.
    pub(crate) fn of(client: &mut Client<Arena>, role: Role, tick_hz: u32, now: Now) -> Self {
        let frame = client.frame(now);
        let view = client.view();
        // beyond the newest news others would be drawn where they might be, and nobody would mark that
        let newest = view.newest_tick();
        let others = frame.zip(newest).map_or_else(Vec::new, |(frame, newest)| {
            view.at(frame.view_tick.min(moment(newest))).map(Other::from).collect()
        });
        let eye = match role {
            Role::Spectator => client.watched().map_or(Eye::Nobody, Eye::Spectator),
            Role::Player => client.own().map_or(Eye::Nobody, |(_, own)| {
                let predicted = frame.and_then(|_| client.predicted()).map(|(_, own)| *own);
                let mut me = Me { confirmed: *own, predicted, drawn: (0.0, 0.0) };
                me.drawn = frame.and_then(|frame| frame.own).unwrap_or_else(|| me.place());
                Eye::Player(me)
            }),
        };
        let mut scene = Self {
            eye,
            others,
            tick: newest.unwrap_or(0),
            tick_hz,
            round_trip: client.round_trip(),
            silence: client.silence(now),
            open_inputs: client.unsettled_inputs(),
            corrections: client.stats().corrections,
        };
        scene.put_nearest_first();
        scene
    }

    /// Puts the others in the order of their distance; among equals by id, so that none changes places with another.
    pub(crate) fn put_nearest_first(&mut self) {
        let Some(from) = self.centre() else { return };
        let far = |other: &Other| distance(from, other.place);
        self.others.sort_by(|a, b| far(a).total_cmp(&far(b)).then_with(|| a.id.cmp(&b.id)));
    }

    /// Where one is.
    pub(crate) fn centre(&self) -> Option<Point> {
        match self.eye {
            Eye::Nobody => None,
            Eye::Player(me) => Some(me.drawn),
            Eye::Spectator(watched) => {
                // others are drawn a little in the past, and whoever is followed stays in the middle
                let followed = self.find(watched.follows).map(|other| other.place);
                followed.or_else(|| Some((watched.x.into(), watched.y.into())))
            }
        }
    }

    pub(crate) fn me(&self) -> Option<&Me> {
        if let Eye::Player(me) = &self.eye { Some(me) } else { None }
    }

    pub(crate) fn find(&self, id: u32) -> Option<&Other> {
        self.others.iter().find(|other| other.id == id && id != 0)
    }

    /// Ticks as seconds.
    pub(crate) fn seconds(&self, ticks: u32) -> f64 {
        f64::from(ticks) / f64::from(self.tick_hz.max(1))
    }
}

pub(crate) fn distance(one: Point, other: Point) -> f64 {
    (one.0 - other.0).hypot(one.1 - other.1)
}

#[expect(clippy::cast_precision_loss, reason = "exact for the ticks of a thousand years")]
fn moment(tick: u64) -> f64 {
    tick as f64
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
