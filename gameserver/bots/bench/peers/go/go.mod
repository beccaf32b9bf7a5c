module cranewing.dev/gameserver/bots/bench/peers/go

go 1.26
