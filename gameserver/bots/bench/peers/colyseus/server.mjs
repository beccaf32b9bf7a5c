// A server on Colyseus, as its documentation begins: rooms with a state that is synchronised by itself, over WebSocket.
//
// `node server.mjs PORT TICK_HZ`; says `ready` when it listens. A room takes 64 players, who see each other and nobody else: as many as our
// players see, and as many as a room of Colyseus is meant for. Everyone moves at every tick, so that each patch carries all 64.

import { Room, Server } from "@colyseus/core";
import { schema, t } from "@colyseus/schema";
import { WebSocketTransport } from "@colyseus/ws-transport";

const PLAYERS_A_ROOM = 64;
const MAP_SIZE = 30_000;

const Player = schema({ x: t.int16(), newest: t.uint32() }, "Player");
const State = schema({ players: t.map(Player) }, "State");

const [port, tickHz] = process.argv.slice(2).map(Number);
if (!(port > 0 && tickHz > 0)) {
  console.error("usage: server.mjs PORT TICK_HZ");
  process.exit(1);
}

class Arena extends Room {
  maxClients = PLAYERS_A_ROOM;
  state = new State();

  onCreate() {
    this.onMessage("input", (client, { sequence }) => {
      const player = this.state.players.get(client.sessionId);
      if (player && sequence > player.newest) {
        player.newest = sequence;
      }
    });
    this.setFixedTimestep(() => {
      for (const player of this.state.players.values()) {
        player.x = (player.x + 7) % MAP_SIZE;
      }
      this.broadcastPatch();
    }, tickHz);
    // a patch goes out with each step, not by a timer of its own, whose whole milliseconds would be another rate; said after the steps
    // have begun, because before it starts another timer, which takes time away from the steps
    this.patchRate = null;
  }

  onJoin(client) {
    this.state.players.set(client.sessionId, new Player({ x: 0, newest: 0 }));
  }

  onLeave(client) {
    this.state.players.delete(client.sessionId);
  }
}

const server = new Server({ transport: new WebSocketTransport(), greet: false });
server.define("arena", Arena);
await server.listen(port, "127.0.0.1");
console.log("ready");
