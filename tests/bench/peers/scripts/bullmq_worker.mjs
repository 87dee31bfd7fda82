// BullMQ, in its own folder of packages: the working directory.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Queue, Worker } = createRequire(`${process.cwd()}/`)("bullmq");

const { hostname: host, port } = new URL(process.env.BENCH_URL);
const jobs = Number(process.env.BENCH_JOBS);
const name = "bench";

async function fill() {
  const text = readFileSync(0, "utf8");
  const queue = new Queue(name, { connection: { host, port } });
  for (let start = 0; start < jobs; start += 1000) {
    const length = Math.min(1000, jobs - start);
    await queue.addBulk(Array.from({ length }, (_, n) => ({ name: "job", data: { number: start + n, text } })));
  }
  await queue.close();
}

function work() {
  const seen = new Uint8Array(jobs);
  let count = 0;
  const job = async ({ data }) => {
    seen[data.number] += 1;
    count += 1;
    if (count === 1 || count >= jobs) {
      const isWell = count === 1 || (count === jobs && seen.every((times) => times === 1));
      writeFileSync(process.env.BENCH_MARKS, isWell ? "." : "!", { flag: "a" });
    }
  };
  const worker = new Worker(name, job, {
    connection: { host, port, maxRetriesPerRequest: null },
    concurrency: 100,
    removeOnComplete: { count: 0 },
  });
  worker.on("error", (error) => console.error(error));
  process.once("SIGTERM", () => worker.close().then(() => process.exit(0)));
}

await { fill, work }[process.argv[2]]();
