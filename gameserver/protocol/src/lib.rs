//! gameserver/protocol
