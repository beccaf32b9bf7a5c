//! What a client counts.

/// Counts since the client was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Snapshots that were applied.
    pub snapshots: u64,
    /// Snapshots that were ignored because a newer one was there before, or the same.
    pub ignored: u64,
    /// Snapshots that were refused as a whole because they tell of changes from a state that the client does not
    /// have, or of too many entities: the server is wrong.
    pub refused: u64,
    /// Messages that are none.
    pub malformed: u64,
    /// Snapshots with a state of the player that the game cannot read, such as that of a spectator who was not said to be
    /// one.
    pub own_unreadable: u64,
    /// Frames that were drawn.
    pub frames: u64,
    /// Snapshots that showed that the player was drawn more than half a unit from where it was.
    pub corrections: u64,
    /// By how many sixteenths of a tick the newest snapshot asked for inputs to be earlier.
    pub hurry: i8,
    /// How often the client did as it was asked.
    pub hurry_corrections: u64,
    /// How often the client's time jumped because it was more than eight ticks off.
    pub time_jumps: u64,
    /// How often the server's clock was more than half a second off.
    pub clock_steps: u64,
    /// Events lost because nobody asked for them in time.
    pub events_dropped: u64,
}
