// A server of Socket.IO with its Redis streams adapter, in the folder of its packages:
// `socketio_serve.mjs recovering` with the default settings and connection state recovery, or
// `tuned` without it. Each client names its user, whose room it joins. SIGUSR2 collects all garbage.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const { Server, Redis, createAdapter } = (() => {
  const require = createRequire(`${process.cwd()}/`);
  const { Server } = require("socket.io");
  const { createAdapter } = require("@socket.io/redis-streams-adapter");
  const { Redis } = require("ioredis");
  return { Server, Redis, createAdapter };
})();

const manner = process.argv[2];
if (manner !== "recovering" && manner !== "tuned") {
  throw new Error(`no such manner: ${manner}`);
}
const isTuned = manner === "tuned";
const client = new Redis(process.env.BENCH_URL);
const http = createServer();
const io = new Server(
  http,
  isTuned
    ? {
        transports: ["websocket"],
        serveClient: false,
        adapter: createAdapter(client, { readCount: 1000 }),
      }
    : { connectionStateRecovery: {}, adapter: createAdapter(client) },
);
if (isTuned) {
  // As its documentation advises for memory: the request of the handshake is not kept.
  io.engine.on("connection", (raw) => {
    raw.request = null;
  });
}
io.on("connection", (socket) => {
  if (!socket.recovered) socket.join(socket.handshake.auth.user);
});
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
process.on("SIGUSR2", () => collect());
process.once("SIGTERM", () => process.exit(0));
http.listen(Number(process.env.BENCH_PORT), "127.0.0.1");
