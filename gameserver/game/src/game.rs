//! What a game is to a server, and to a client that predicts it.

use gameserver_protocol::RejectReason;
use gameserver_protocol::message::{Entity, Fields};

/// What a world is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Players at most. They are named by their slot, `0..capacity`.
    pub capacity: u32,
    /// Ticks a second, 1 to 1000.
    pub tick_hz: u32,
    /// From which every random stream of the world is derived.
    pub seed: u64,
}

/// How far back what a player saw is believed at most, milliseconds: a quarter of a second.
pub const REWIND_MAX_MS: u32 = 250;

/// What a player wants, at the tick at which it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<I> {
    /// Slot of the player.
    pub player: u32,
    /// By which the player knows this input.
    pub sequence: u32,
    /// How many ticks ago the world was as the player saw it when it decided, as far as the server believes it: what
    /// the client claims, but no more than its measured delay explains, and never more than [`REWIND_MAX_MS`].
    pub rewind_ticks: u32,
    /// What to do.
    pub intent: I,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Slot of the player.
    pub player: u32,
    /// Which of its inputs.
    pub sequence: u32,
    /// Carried out, or why not.
    pub result: Result<(), RejectReason>,
}

/// Who is to know something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The player in this slot.
    Player(u32),
    /// Everyone, spectators included.
    Everyone,
}

/// Something that happened and that cannot be seen from the state alone: a code of the game and up to three figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// What happened; each game has its own codes.
    pub code: u8,
    /// Figures that go with it.
    pub figures: [i64; 3],
}

/// What a step has brought about. The lists are emptied by whoever owns them, not by the game.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// What became of each command, in their order.
    pub outcomes: Vec<Outcome>,
    /// What players are told.
    pub notices: Vec<(Audience, Notice)>,
}

impl Output {
    /// Lists with room for what a tick can bring, so that a step does not allocate.
    pub fn with_capacity(commands: usize, notices: usize) -> Self {
        Self { outcomes: Vec::with_capacity(commands), notices: Vec::with_capacity(notices) }
    }

    /// Empties both lists.
    pub fn clear(&mut self) {
        self.outcomes.clear();
        self.notices.clear();
    }
}

/// The rules of a game and the world that they rule.
///
/// Entities are named twice: by their index, which is free again when they are gone and below
/// [`Game::entity_capacity`], and by their id, which is never used again. A player's own entity has the index of the
/// player's slot.
pub trait Game: Sized {
    /// What a player can ask for, as it stands in an input.
    type Intent: Fields + Copy + std::fmt::Debug;
    /// What a player knows of itself and predicts with.
    type Own: Fields + Clone + std::fmt::Debug + PartialEq;

    /// Side of the square map, in units; places are 0 to this, both included.
    const MAP_UNITS: i32;

    /// A world without players.
    fn new(setup: Setup) -> Self;

    /// Indices that entities can have, those of the players included.
    fn entity_capacity(capacity: u32) -> u32;

    /// Notices that one step with so many commands can bring at most, so that whoever gives it an [`Output`] can make
    /// it long enough for nothing to be allocated.
    fn notices_max(capacity: u32, commands: usize) -> usize {
        commands + capacity as usize
    }

    /// A player comes in. `client_id` is the same when the same player comes again.
    fn join(&mut self, player: u32, client_id: u64);

    /// A player is gone.
    fn leave(&mut self, player: u32);

    /// Whether the player is in the world.
    fn has_joined(&self, player: u32) -> bool;

    /// Moves the world on by one tick; `output` gets an outcome for each command of a player who is there.
    fn step(&mut self, commands: &[Command<Self::Intent>], output: &mut Output);

    /// Number of the newest tick; 0 before the first.
    fn tick(&self) -> u64;

    /// Everything that can be seen, by index.
    fn entities(&self) -> impl Iterator<Item = (u32, Entity)>;

    /// What the player knows of itself; `None` while it is not in the world.
    fn own(&self, player: u32) -> Option<Self::Own>;

    /// Moves what a player knows of itself on by the tick `tick`, in which it asks for `intents`, as far as that can be
    /// known without the others.
    fn predict(tick_hz: u32, tick: u64, own: &mut Self::Own, intents: &[Self::Intent]);

    /// Where a player is, hundredths of a unit.
    fn place(own: &Self::Own) -> (i32, i32);

    /// A digest of the whole state: equal states have equal ones, on every machine and in every build.
    fn state_hash(&self) -> u64;

    /// What is wrong with the world, in words; empty as long as the invariants of the game hold. For simulations; it
    /// may be slow.
    fn violations(&self) -> Vec<String>;
}
