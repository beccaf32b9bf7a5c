//! What each key means.

use gameserver_game::arena::items::ItemKind;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// One of eight ways, of which keys name four: -1, 0 or 1 east and north.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) east: i32,
    pub(crate) north: i32,
}

/// What the person at the keys wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Walk, or move the camera; a long stride is as far as can be asked for.
    Go {
        way: Way,
        is_long: bool,
    },
    Stop,
    /// The attack is skill 0, the others as in the table of skills.
    Cast {
        skill: usize,
    },
    PickUp,
    Use(ItemKind),
    /// Aim at, or follow, the next one, or the one before.
    Next {
        is_back: bool,
    },
    /// Have the map around whom one aims at, or around oneself again.
    Centre,
    ZoomIn,
    ZoomOut,
    Help,
    /// Join again after the end.
    Rejoin,
    Leave,
}

/// Keys as they are shown to people.
pub(crate) const HELP: &[(&str, &str)] = &[
    ("arrows wasd hjkl", "walk; the camera of a spectator"),
    ("with shift", "as far as can be asked for"),
    (".", "stop"),
    ("space f", "attack whom you aim at"),
    ("1 2 3", "bleed, slow, stun"),
    ("4 5", "haste, shield"),
    ("g", "pick up"),
    ("6 7 8", "use potion, mana potion, coin"),
    ("tab, shift-tab", "aim at the next, or the one before; spectators follow it"),
    ("c", "the map around whom you aim at; again: around yourself"),
    ("+ -", "nearer, farther"),
    ("r", "join again when it is over"),
    ("?", "this help"),
    ("q, ctrl-c", "leave"),
];

/// What a key means, if anything.
pub(crate) fn action_of(key: KeyEvent) -> Option<Action> {
    let is_long = key.modifiers.contains(KeyModifiers::SHIFT);
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Leave);
    }
    if key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) {
        return None;
    }
    let go = |east, north| Some(Action::Go { way: Way { east, north }, is_long });
    match key.code {
        KeyCode::Left => go(-1, 0),
        KeyCode::Right => go(1, 0),
        KeyCode::Up => go(0, 1),
        KeyCode::Down => go(0, -1),
        KeyCode::Tab => Some(Action::Next { is_back: is_long }),
        KeyCode::BackTab => Some(Action::Next { is_back: true }),
        KeyCode::Char(letter) => of_letter(letter),
        _ => None,
    }
}

fn of_letter(letter: char) -> Option<Action> {
    let is_long = letter.is_ascii_uppercase();
    let go = |east, north| Action::Go { way: Way { east, north }, is_long };
    Some(match letter.to_ascii_lowercase() {
        'a' | 'h' => go(-1, 0),
        'd' | 'l' => go(1, 0),
        'w' | 'k' => go(0, 1),
        's' | 'j' => go(0, -1),
        '.' => Action::Stop,
        ' ' | 'f' => Action::Cast { skill: 0 },
        '1' => Action::Cast { skill: 1 },
        '2' => Action::Cast { skill: 2 },
        '3' => Action::Cast { skill: 3 },
        '4' => Action::Cast { skill: 4 },
        '5' => Action::Cast { skill: 5 },
        'g' => Action::PickUp,
        '6' => Action::Use(ItemKind::Potion),
        '7' => Action::Use(ItemKind::ManaPotion),
        '8' => Action::Use(ItemKind::Coin),
        'c' => Action::Centre,
        '+' | '=' => Action::ZoomIn,
        '-' | '_' => Action::ZoomOut,
        '?' => Action::Help,
        'r' => Action::Rejoin,
        'q' => Action::Leave,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_game::arena::rules::SKILLS;

    fn meaning(code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
        action_of(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn three_sets_of_keys_go_the_same_ways_and_shift_makes_them_long() {
        let (none, shift) = (KeyModifiers::NONE, KeyModifiers::SHIFT);
        for (arrow, letters, east, north) in [
            (KeyCode::Left, "ah", -1, 0),
            (KeyCode::Right, "dl", 1, 0),
            (KeyCode::Up, "wk", 0, 1),
            (KeyCode::Down, "sj", 0, -1),
        ] {
            let go = |is_long| Some(Action::Go { way: Way { east, north }, is_long });
            assert_eq!((meaning(arrow, none), meaning(arrow, shift)), (go(false), go(true)), "{arrow}");
            for letter in letters.chars() {
                let upper = KeyCode::Char(letter.to_ascii_uppercase());
                assert_eq!(meaning(KeyCode::Char(letter), none), go(false), "{letter}");
                assert_eq!((meaning(upper, shift), meaning(upper, none)), (go(true), go(true)), "{letter}");
            }
        }
    }

    #[test]
    fn every_skill_and_every_item_has_a_key() {
        let meanings: Vec<_> =
            (' '..='~').filter_map(|letter| meaning(KeyCode::Char(letter), KeyModifiers::NONE)).collect();
        for skill in 0..SKILLS.len() {
            assert!(meanings.contains(&Action::Cast { skill }), "{skill}");
        }
        for kind in ItemKind::ALL {
            assert!(meanings.contains(&Action::Use(kind)), "{kind:?}");
        }
    }

    #[test]
    fn ctrl_c_leaves_and_other_combinations_mean_nothing() {
        assert_eq!(meaning(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Action::Leave));
        for (code, modifiers) in [
            (KeyCode::Char('q'), KeyModifiers::CONTROL),
            (KeyCode::Char('w'), KeyModifiers::ALT),
            (KeyCode::Char('é'), KeyModifiers::NONE),
            (KeyCode::F(1), KeyModifiers::NONE),
            (KeyCode::Esc, KeyModifiers::NONE),
        ] {
            assert_eq!(meaning(code, modifiers), None, "{code}");
        }
    }
}
