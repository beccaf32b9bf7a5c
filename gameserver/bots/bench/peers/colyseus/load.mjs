// Clients of Colyseus by its own SDK: they join, send inputs open loop and see when each is acknowledged. Says `begin` and `end` when measuring does,
// and then one line of JSON, as `load/src/main.rs` does.
//
// To decode states is dearer than to make them, because a server does it once a room: so one client of eight decodes, and the others
// only take what comes.

import { parseArgs } from "node:util";
import { Client } from "@colyseus/sdk";

const DECODES_ONE_OF = 8;
const JOINING_MAX = 16;
const GRACE_MS = 250;
/** Sleep of a turn, so that what arrives makes a batch and a real-time scheduler is left some time. */
const SLEEP_MS = 0.25;
/** A JavaScript program pauses for some milliseconds by itself. So an input counts from when it was really sent, and only a longer pause makes
 * a run void. */
const LATENESS_LIMIT_US = 10_000;

const option = (value) => ({ type: "string", default: value });
const { values } = parseArgs({
  options: {
    protocol: option("colyseus"),
    server: option("127.0.0.1:7788"),
    clients: option("100"),
    "input-hz": option("20"),
    "join-limit-ms": option("15000"),
    "warm-up-ms": option("1000"),
    "duration-ms": option("2000"),
  },
});
const number = (name) => Number(values[name]);
const count = number("clients");
const say = (line) => process.stdout.write(`${line}\n`);

/** Messages that are taken before inputs are looked for again. */
const MESSAGES_A_LOOK = 8;

/** Everything between begin and end. */
const measured = { inputs: 0, snapshots: 0, bytes: 0, latency: [], lateness: [] };
let begin = Infinity;
let end = Infinity;
let sendDue = () => {};
let taken = 0;
const isMeasured = (time) => time >= begin && time < end;

const rooms = [];
async function joinAll() {
  const client = new Client(`ws://${values.server}`);
  const deadline = performance.now() + number("join-limit-ms");
  const joinNext = async () => {
    while (rooms.length < count && performance.now() < deadline) {
      const at = rooms.push(null) - 1;
      // who is refused did not get in
      const room = await client.joinOrCreate("arena").catch(() => null);
      rooms[at] = room && prepare(room, at);
    }
  };
  // a server that answers no more keeps nobody waiting for longer
  const late = new Promise((resolve) => setTimeout(resolve, number("join-limit-ms")));
  await Promise.race([Promise.all(Array.from({ length: JOINING_MAX }, joinNext)), late]);
  return rooms.filter(Boolean).length;
}

function prepare(room, at) {
  const events = room.connection.events;
  const decode = events.onmessage;
  const isProbe = at % DECODES_ONE_OF === 0;
  /** When the inputs went out that are not acknowledged yet. */
  const sent = [];
  let acknowledged = 0;
  events.onmessage = (event) => {
    if (isMeasured(performance.now())) {
      measured.snapshots += 1;
      measured.bytes += event.data.byteLength;
    }
    if (isProbe) {
      decode(event);
    }
    taken += 1;
    if (taken % MESSAGES_A_LOOK === 0) {
      sendDue();
    }
  };
  if (isProbe) {
    room.onStateChange((state) => {
      const newest = state.players?.get(room.sessionId)?.newest ?? 0;
      const now = performance.now();
      for (; acknowledged < newest; acknowledged += 1) {
        const sentAt = sent.shift();
        if (isMeasured(sentAt)) {
          measured.latency.push(now - sentAt);
        }
      }
    });
  }
  return { room, isProbe, sent };
}

function play() {
  const period = 1000 / number("input-hz");
  const start = performance.now();
  const due = (input) => start + (input * period) / count;
  begin = start + number("warm-up-ms");
  end = begin + number("duration-ms");
  let next = 0;
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const marks = [[begin, "begin"], [end, "end"]];
  sendDue = () => {
    for (; due(next) <= performance.now(); next += 1) {
      const { room, isProbe, sent } = rooms[next % count];
      const now = performance.now();
      if (isMeasured(now)) {
        measured.inputs += isProbe ? 1 : 0;
        measured.lateness.push(now - due(next));
      }
      if (isProbe) {
        sent.push(now);
      }
      room.send("input", { sequence: Math.floor(next / count) + 1 });
    }
  };
  return new Promise((resolve) => {
    const turn = () => {
      const now = performance.now();
      while (marks.length > 0 && now >= marks[0][0]) {
        say(marks.shift()[1]);
      }
      sendDue();
      // timers count in milliseconds, which would be late
      Atomics.wait(nobody, 0, 0, SLEEP_MS);
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
