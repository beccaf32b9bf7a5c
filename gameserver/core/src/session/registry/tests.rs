//! Rules of the registry: one token, one session; one player, one place.
