//! gameserver/bots
