// A server of Socket.IO with its Redis streams adapter: `socketio_serve.mjs serve`, in the folder
// of its packages. Each client names its user, whose room it joins. SIGUSR2 collects all garbage.
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

const client = new Redis(process.env.BENCH_URL);
const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  adapter: createAdapter(client, { readCount: 1000, maxLen: 100_000_000 }),
});
// As its documentation advises for memory: the request of the handshake is not kept.
io.engine.on("connection", (raw) => {
  raw.request = null;
});
io.on("connection", (socket) => socket.join(socket.handshake.auth.user));
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
process.on("SIGUSR2", () => collect());
process.once("SIGTERM", () => process.exit(0));
http.listen(Number(process.env.BENCH_PORT), "127.0.0.1");
