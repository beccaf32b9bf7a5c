//! What must hold, and what is done wrong to see that each of it is noticed.

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A player is in one place of the process and no more.
    OnePlace,
    /// Nobody gets further in a tick than its speed allows, unless it is put elsewhere.
    Speed,
    /// A move that is carried out is as far as a second of walking at most, and not too often.
    Moves,
    /// A skill is cast again after its cooldown and not before.
    Cooldowns,
    /// Who is hit was in reach.
    Reach,
    /// What a player has is what it picked up and has not used.
    Items,
    /// Health, mana and names are kept: what the game says of itself.
    Conservation,
    /// What a player knows of a tick is what was so at that tick.
    Views,
    /// Every input of an honest player settles once, as the game decided, and after it has reached the server.
    SettlesOnce,
    /// Datagrams are within their budget of bytes.
    Budget,
    /// Nothing that waits or is remembered is more than there is room for.
    Queues,
    /// No zone has more players than places.
    Capacity,
    /// An address that has proven nothing gets no more bytes than it sent.
    Amplification,
    /// A token that was used opens no session elsewhere.
    StolenTokens,
    /// Honest players' inputs are due in time, whatever others send.
    Latency,
    /// No two datagrams, and no two resume tokens, are sealed under one key and one nonce, by whatever boot or client.
    Nonces,
    /// A tick carries out no more commands than its limit.
    Limit,
    /// What is due is carried out within an eighth of a second, or refused as overloaded after that long of full ticks.
    Patience,
    /// In a full tick nobody gets two more carried out than one who waits.
    Shares,
    /// The process has no more players than places, and denies nobody one that it has.
    Places,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 20] = [
        Self::OnePlace,
        Self::Speed,
        Self::Moves,
        Self::Cooldowns,
        Self::Reach,
        Self::Items,
        Self::Conservation,
        Self::Views,
        Self::SettlesOnce,
        Self::Budget,
        Self::Queues,
        Self::Capacity,
        Self::Amplification,
        Self::StolenTokens,
        Self::Latency,
        Self::Nonces,
        Self::Limit,
        Self::Patience,
        Self::Shares,
        Self::Places,
    ];
}

/// What the simulation does wrong, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Who comes in comes in twice.
    DoublePlayers,
    /// Players are seen half a unit from where they are, once in a while.
    ShiftPlayers,
    /// Moves that are too far are carried out.
    MoveFreely,
    /// Skills on cooldown are cast.
    CastFreely,
    /// Who is out of range is hit.
    ReachFar,
    /// Players get coins from nowhere.
    GiveItems,
    /// Somebody has health from nowhere: for one tick now and then, and after four seconds for good.
    SpoilTheWorld,
    /// Players are told places that are not so.
    CorruptCells,
    /// A command is carried out twice.
    RepeatCommands,
    /// Players are told that what was refused was carried out.
    LieAboutOutcomes,
    /// Datagrams are longer than they may be.
    SendTooMuch,
    /// Zones have queues for eight times as many players as there may be, and send nothing for a second.
    QueueTooMuch,
    /// Zones take in twice as many as they have places.
    TakeInTooMany,
    /// A challenge is sent four times.
    AnswerTooMuch,
    /// Each zone remembers used tokens for itself.
    KeepTokensApart,
    /// Everything takes half a second longer to the server.
    HoldInputs,
    /// The clock of the second boot goes back.
    TurnClockBack,
    /// Who comes back shows the token that it has used, and its clock has gone back.
    ReuseTokens,
    /// The checks take a thief's inputs for those of the player in whose name it plays.
    JudgeByName,
    /// Players are told that what was carried out was refused as overloaded.
    BlameTheLoad,
    /// Ticks carry out twice as much as they may.
    RaiseTheLimit,
    /// Ticks carry out half as much as they may.
    LowerTheLimit,
    /// What has reached a server lies there for a fifth of a second before it is looked at.
    LetThemLie,
    /// In a full tick two more are carried out for the first one than there should be.
    FavourTheFirst,
    /// The process takes in twice as many as it has places.
    OverbookPlaces,
    /// Of some places of the process nobody knows.
    HidePlaces,
}

/// Something that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which rule.
    pub rule: Rule,
    /// Who, and with which figures.
    pub what: String,
}
