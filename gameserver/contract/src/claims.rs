//! Which keys a game server holds: what is asked of it, what it answers, and by which rules.
//!
//! A server is the judge of itself. An allocator proposes; the server takes the key or refuses it. Nothing but its own word makes a
//! server taken or free, so no word leaves it before the [`Claims`] of which it tells are saved: what it holds, and of which reign it
//! has heard. Every word names that reign, and an allocator of another goes by none of it.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// By which a caller names what it asked for: 1 to [`KEY_BYTES_MAX`] bytes.
pub type Key = Arc<str>;

/// Longest key in bytes: a namespace, a slash, and [`CALLERS_KEY_BYTES_MAX`] of the caller's own.
pub const KEY_BYTES_MAX: usize = 63 + 1 + CALLERS_KEY_BYTES_MAX;

/// Longest key of a caller in bytes, without the namespace that it asks in.
pub const CALLERS_KEY_BYTES_MAX: usize = 64;

/// Whether a text can be a key.
pub fn is_key(text: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len())
}

/// Keys that a server remembers after their end.
pub const ENDED_MAX: usize = 64;

/// What a server says to a proposal, and the highest reign that it knew of then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Judgement {
    /// That reign: of whoever proposed, unless the verdict is [`Verdict::Overruled`].
    pub reign: u64,
    /// Whether it takes the key.
    pub verdict: Verdict,
}

/// Whether a server takes a key, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds the key, now or since before.
    Taken,
    /// It holds as many as it may, or takes none.
    Full,
    /// The session of that key is over.
    Ended,
    /// Somebody allocates who came after whoever proposed it.
    Overruled,
}

/// What a server says that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holding {
    /// Highest reign that it knew of when it said so.
    pub reign: u64,
    /// Keys that it holds.
    pub keys: BTreeSet<Key>,
    /// Keys whose sessions are over: the last [`ENDED_MAX`].
    pub ended: BTreeSet<Key>,
}

/// The keys of one server. It lasts as long as what the server saves: a process that starts again in the same pod has it still.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claims {
    /// Keys that it may hold at once.
    limit: u32,
    /// Highest reign that it has heard of.
    reign: u64,
    held: BTreeSet<Key>,
    /// The oldest first.
    ended: VecDeque<Key>,
}

impl Claims {
    /// Of a server that takes as many keys at once.
    pub fn new(limit: u32) -> Self {
        Self { limit, reign: 0, held: BTreeSet::new(), ended: VecDeque::new() }
    }

    /// An allocator says that it has begun; what is held then is for it to hear.
    pub fn greeted(&mut self, reign: u64) {
        self.reign = self.reign.max(reign);
    }

    /// The same, of a server that takes another number of keys from now on.
    #[must_use]
    pub fn with_limit(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Whether it holds this key.
    pub fn holds(&self, key: &Key) -> bool {
        self.held.contains(key)
    }

    /// Highest reign that it has heard of.
    pub fn reign(&self) -> u64 {
        self.reign
    }

    /// Keys that it holds, by their names.
    pub fn held(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.held.iter()
    }

    /// What it holds.
    pub fn holding(&self) -> Holding {
        Holding { reign: self.reign, keys: self.held.clone(), ended: self.ended.iter().cloned().collect() }
    }

    /// An allocator proposes a key. A server that `is_open` takes new ones; one that drains says again what it has taken.
    pub fn propose(&mut self, reign: u64, key: &Key, is_open: bool) -> Judgement {
        let verdict = if reign < self.reign { Verdict::Overruled } else { self.judge(key, is_open) };
        self.reign = self.reign.max(reign);
        Judgement { reign: self.reign, verdict }
    }

    fn judge(&mut self, key: &Key, is_open: bool) -> Verdict {
        if self.held.contains(key) {
            Verdict::Taken
        } else if self.ended.contains(key) {
            Verdict::Ended
        } else if !is_open || self.held.len() >= usize::try_from(self.limit).unwrap_or(usize::MAX) {
            Verdict::Full
        } else {
            self.held.insert(key.clone());
            Verdict::Taken
        }
    }

    /// An allocator says that this key was given elsewhere, and nobody was ever sent here for it. Whether it was held.
    pub fn release(&mut self, reign: u64, key: &Key) -> bool {
        if reign < self.reign {
            return false;
        }
        self.reign = reign;
        self.held.remove(key)
    }

    /// The session of this key is over. Whether it was held.
    pub fn end(&mut self, key: &Key) -> bool {
        let was_held = self.held.remove(key);
        if was_held {
            if self.ended.len() >= ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(key.clone());
        }
        was_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        name.into()
    }

    #[test]
    fn a_server_takes_as_many_keys_as_it_may_and_each_as_often_as_it_is_proposed() {
        let mut claims = Claims::new(2);
        for (name, expected) in
            [("a", Verdict::Taken), ("a", Verdict::Taken), ("b", Verdict::Taken), ("c", Verdict::Full)]
        {
            assert_eq!(claims.propose(1, &key(name), true).verdict, expected, "{name}");
        }
        assert!(claims.end(&key("a")));
        assert_eq!(claims.propose(1, &key("c"), true).verdict, Verdict::Taken, "there is room again");
    }

    #[test]
    fn a_key_whose_session_is_over_is_not_taken_again_while_it_is_remembered() {
        let mut claims = Claims::new(1);
        for number in 0..=ENDED_MAX {
            let key = key(&number.to_string());
            assert_eq!(claims.propose(1, &key, true).verdict, Verdict::Taken);
            assert!(claims.end(&key));
            assert_eq!(claims.propose(1, &key, true).verdict, Verdict::Ended);
            assert!(!claims.end(&key), "once");
        }
        let ended = claims.holding().ended;
        assert_eq!(ended.len(), ENDED_MAX);
        assert!(!ended.contains("0") && ended.contains("1"), "the oldest is forgotten");
    }

    #[test]
    fn whoever_was_followed_by_another_is_not_heard() {
        let mut claims = Claims::new(2);
        claims.propose(1, &key("a"), true);
        claims.greeted(2);
        let overruled = |reign| Judgement { reign, verdict: Verdict::Overruled };
        assert_eq!(claims.propose(1, &key("b"), true), overruled(2));
        assert!(!claims.release(1, &key("a")), "nor may it take away");
        assert_eq!(claims.propose(2, &key("a"), true), Judgement { reign: 2, verdict: Verdict::Taken });
        assert!(claims.release(3, &key("a")));
        assert_eq!(claims.propose(2, &key("b"), true), overruled(3), "each word tells of its reign");
        assert_eq!(claims.holding(), Holding { reign: 3, ..Holding::default() });
    }

    #[test]
    fn a_key_that_was_given_elsewhere_leaves_nothing_behind() {
        let mut claims = Claims::new(1);
        claims.propose(1, &key("a"), true);
        assert!(claims.release(1, &key("a")));
        assert_eq!(claims.propose(1, &key("a"), true).verdict, Verdict::Taken, "it was never played on");
    }

    #[test]
    fn a_server_that_drains_takes_no_new_key_and_says_again_what_it_has_taken() {
        let mut claims = Claims::new(2);
        claims.propose(1, &key("a"), true);
        for (name, expected) in [("a", Verdict::Taken), ("b", Verdict::Full)] {
            assert_eq!(claims.propose(1, &key(name), false).verdict, expected, "{name}");
        }
        claims.end(&key("a"));
        assert_eq!(claims.propose(1, &key("a"), false).verdict, Verdict::Ended);
        assert_eq!(claims.propose(1, &key("b"), true).verdict, Verdict::Taken, "the drain was taken back");
    }

    #[test]
    fn a_key_is_a_text_of_a_bounded_length() {
        for (name, expected) in [
            ("", false),
            ("a", true),
            (&"x".repeat(KEY_BYTES_MAX), true),
            (&"x".repeat(KEY_BYTES_MAX + 1), false),
        ] {
            assert_eq!(is_key(name), expected, "{} bytes", name.len());
        }
    }
}
