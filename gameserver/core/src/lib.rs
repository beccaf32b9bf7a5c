//! gameserver/core
