//! gameserver
