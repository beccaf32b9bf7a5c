// Clients of Colyseus by its own SDK: they join, send inputs open loop and see when each is acknowledged. Says `begin` and `end` when measuring does,
// and then one line of JSON, as `load/src/main.rs` does.
//
// To decode states is dearer than to make them, because a server does it once a room: so one client of eight decodes, and the others
// only take what comes.

import { parseArgs } from "node:util";
import { Client } from "@colyseus/sdk";

const DECODES_ONE_OF = 8;
const JOINING_MAX = 16;
const JOIN_LIMIT_MS = 20_000;
const GRACE_MS = 500;
const LATENESS_LIMIT_US = 1000;

const option = (value) => ({ type: "string", default: value });
const { values } = parseArgs({
  options: {
    protocol: option("colyseus"),
    server: option("127.0.0.1:7788"),
    clients: option("100"),
    "input-hz": option("20"),
    "warm-up-ms": option("1000"),
    "duration-ms": option("2000"),
  },
});
const number = (name) => Number(values[name]);
const count = number("clients");
const say = (line) => process.stdout.write(`${line}\n`);

/** Everything between begin and end. */
const measured = { inputs: 0, snapshots: 0, bytes: 0, latency: [], lateness: [] };
let begin = Infinity;
let end = Infinity;
let dueOf = () => Infinity;
const isMeasured = (time) => time >= begin && time < end;

const rooms = [];
async function joinAll() {
  const client = new Client(`ws://${values.server}`);
  const deadline = performance.now() + JOIN_LIMIT_MS;
  const joinNext = async () => {
    while (rooms.length < count && performance.now() < deadline) {
      const at = rooms.push(null) - 1;
      rooms[at] = prepare(await client.joinOrCreate("arena"), at);
    }
  };
  await Promise.all(Array.from({ length: JOINING_MAX }, joinNext));
  return rooms.filter(Boolean).length;
}

function prepare(room, at) {
  const events = room.connection.events;
  const decode = events.onmessage;
  const isProbe = at % DECODES_ONE_OF === 0;
  let acknowledged = 0;
  events.onmessage = (event) => {
    if (isMeasured(performance.now())) {
      measured.snapshots += 1;
      measured.bytes += event.data.byteLength;
    }
    if (isProbe) {
      decode(event);
    }
  };
  if (isProbe) {
    room.onStateChange((state) => {
      const newest = state.players?.get(room.sessionId)?.newest ?? 0;
      const now = performance.now();
      while (acknowledged < newest) {
        acknowledged += 1;
        const due = dueOf(at, acknowledged);
        if (isMeasured(due)) {
          measured.latency.push(now - due);
        }
      }
    });
  }
  return { room, isProbe };
}

function play() {
  const period = 1000 / number("input-hz");
  const start = performance.now();
  const due = (input) => start + (input * period) / count;
  dueOf = (client, sequence) => due((sequence - 1) * count + client);
  begin = start + number("warm-up-ms");
  end = begin + number("duration-ms");
  let next = 0;
  const marks = [[begin, "begin"], [end, "end"]];
  return new Promise((resolve) => {
    const turn = () => {
      const now = performance.now();
      while (marks.length > 0 && now >= marks[0][0]) {
        say(marks.shift()[1]);
      }
      for (; due(next) <= performance.now() && due(next) < end; next += 1) {
        const { room, isProbe } = rooms[next % count];
        if (isMeasured(due(next))) {
          measured.inputs += isProbe ? 1 : 0;
          measured.lateness.push(performance.now() - due(next));
        }
        room.send("input", { sequence: Math.floor(next / count) + 1 });
      }
      // timers count in milliseconds, so this waits for none
      return now < end + GRACE_MS ? setImmediate(turn) : resolve();
    };
    turn();
  });
}

function micros(all, quantile) {
  all.sort((one, other) => one - other);
  return all.length === 0 ? 0 : Math.round(1000 * all[Math.min(Math.floor(quantile * all.length), all.length - 1)]);
}

const joined = await joinAll();
if (joined < count) {
  say(JSON.stringify({ clients: count, joined }));
  process.exit(0);
}
await play();
const { inputs, snapshots, bytes, latency, lateness } = measured;
const lateness_us_p99 = micros(lateness, 0.99);
say(JSON.stringify({
  clients: count,
  joined,
  inputs,
  lost: inputs - latency.length,
  snapshots,
  snapshot_bytes: Math.round(bytes / Math.max(snapshots, 1)),
  seconds: (end - begin) / 1000,
  latency_us: { p50: micros(latency, 0.5), p99: micros(latency, 0.99), p999: micros(latency, 0.999), max: micros(latency, 1) },
  lateness_us_p99,
  void: lateness_us_p99 >= LATENESS_LIMIT_US,
}));
process.exit(0);
