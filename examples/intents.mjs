// Submits one intent through the Redis stream: plain Node, no packages.
//   node examples/intents.mjs redis://127.0.0.1:6379 user-7
//   node examples/intents.mjs unix:///run/redis/redis.sock user-7
import net from "node:net";

const [url, user] = [new URL(process.argv[2] ?? "redis://127.0.0.1:6379"), process.argv[3] ?? "user-7"];
const intent = { type: "game.turn.ready", producer: "lobby", recipients: [user], data: { turn: 12 } };

const words = ["XADD", "gn:intents", "*", "intent", JSON.stringify(intent)];
const command = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("");
const redis = net.connect(url.protocol === "unix:" ? url.pathname : { host: url.hostname, port: +(url.port || 6379) });
redis.write(`*${words.length}\r\n${command}`);
redis.once("data", (reply) => {
  const [head, id] = reply.toString().split("\r\n");
  console.log(id || head); // the id of the entry, or the error
  process.exitCode = reply[0] === 36 ? 0 : 1; // "$": a string reply, so the entry was added
  redis.end();
});
