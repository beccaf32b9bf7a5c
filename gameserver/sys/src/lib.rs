//! gameserver/sys
