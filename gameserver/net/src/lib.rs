//! gameserver/net
