//! What players ask for, by what they know and nothing else.

use gameserver_client::Client;
use gameserver_game::Entity;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::own::Own;
use gameserver_game::arena::rules::{MAP_SIZE, SKILLS};
use gameserver_game::arena::{DEAD_BIT, NPC_KIND};

use crate::chance::Chance;
use crate::game::Watched;

/// Around the middle of the map, so that players meet: thousandths of a unit.
const MEETING: i32 = 60_000;
/// Steps of a walk along each axis at most: their diagonal is less than a second of walking.
const STEP: i32 = 6500;

fn towards(from: i32, to: i32) -> i32 {
    from + (to - from).clamp(-STEP, STEP)
}

fn walk(chance: &mut Chance, own: &Own) -> Intent {
    let mut goal = || MAP_SIZE / 2 + chance.between(-MEETING, MEETING);
    let (x, y) = (goal(), goal());
    Intent::Move { x: towards(own.x, x), y: towards(own.y, y) }
}

/// The nearest that is seen and fits by its kind and bits, and how far away it is, thousandths of a unit squared.
fn nearest<'a>(
    client: &'a Client<Watched>,
    own: &Own,
    is_it: impl Fn(u8, i32) -> bool,
) -> Option<(&'a Entity, i64)> {
    let seen = client.view().entities().filter(|(_, entity)| is_it(entity.kind, entity.fields[1]));
    let away = seen.map(|(_, entity)| {
        let (x, y) = (i64::from(entity.x * 10 - own.x), i64::from(entity.y * 10 - own.y));
        (entity, x * x + y * y)
    });
    away.min_by_key(|&(entity, distance)| (distance, entity.id))
}

fn attack(chance: &mut Chance, client: &Client<Watched>, own: &Own) -> Option<Intent> {
    let is_alive = |kind, bits| kind <= NPC_KIND && bits & DEAD_BIT == 0;
    let (target, distance) = nearest(client, own, is_alive)?;
    let reaches = |range: i32| i64::from(range).pow(2) >= distance;
    let first = chance.below(4) as usize;
    let skill = (0..4).map(|at| &SKILLS[(first + at) % 4]).find(|skill| reaches(skill.range))?;
    Some(Intent::Cast { skill: skill.id, target: target.id })
}

fn pick_up(client: &Client<Watched>, own: &Own) -> Option<Intent> {
    let (item, distance) = nearest(client, own, |kind, _| kind > NPC_KIND)?;
    if distance < 1_900 * 1_900 {
        return Some(Intent::PickUp { item: item.id });
    }
    Some(Intent::Move { x: towards(own.x, item.x * 10), y: towards(own.y, item.y * 10) })
}

/// What an honest player does.
pub(crate) fn honest(chance: &mut Chance, client: &Client<Watched>) -> Option<Intent> {
    let (_, own) = client.own()?;
    let act = match chance.below(100) {
        0..55 => None,
        55..80 => attack(chance, client, own),
        80..90 => pick_up(client, own),
        90..94 => Some(Intent::Use { kind: ItemKind::ALL[chance.below(3) as usize] }),
        94..98 => Some(Intent::Cast { skill: SKILLS[4 + chance.below(2) as usize].id, target: 0 }),
        _ => Some(Intent::Stop),
    };
    act.or_else(|| Some(walk(chance, own)))
}

/// Where a spectator looks: the same numbers as a move to a place in hundredths of a unit.
pub(crate) fn spectator(chance: &mut Chance) -> Intent {
    let mut along = || MAP_SIZE / 20 + chance.between(-MEETING, MEETING) / 10;
    Intent::Move { x: along(), y: along() }
}

/// Moves much too far, or as far as allowed much too often.
pub(crate) fn speeder(chance: &mut Chance, client: &Client<Watched>) -> Option<Intent> {
    let (_, own) = client.own()?;
    let reach = if chance.permille(500) { 300_000 } else { 7000 };
    Some(Intent::Move { x: own.x + chance.between(-reach, reach), y: own.y + chance.between(-reach, reach) })
}

/// Attacks somebody by an id that it was never told, or that it sees out of reach.
pub(crate) fn seer(chance: &mut Chance, client: &Client<Watched>) -> Option<Intent> {
    client.own()?;
    let skill = SKILLS[chance.below(4) as usize].id;
    let far = client.view().entities().map(|(_, entity)| entity.id);
    let known = far.max().unwrap_or(1);
    let any = 1 + chance.below(known.saturating_mul(2).saturating_add(100));
    let target = if chance.permille(300) { known } else { any };
    Some(Intent::Cast { skill, target })
}
