//! gameserver/client
