// Producers and workers of BullMQ (on Node) and of bunqueue (on Bun), which share one API.
// In the folder of their packages: `queue_jobs.mjs VERB`, everything else in the environment.
import { openSync, readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

const { BENCH_QUEUE: kind, BENCH_RECORDS: path } = process.env;
const [jobs, rate, dueMs] = ["JOBS", "RATE", "DUE_MS"].map((n) => Number(process.env[`BENCH_${n}`]));
const { hostname: host, port } = new URL(process.env.BENCH_URL);
const { Queue, Worker } = createRequire(`${process.cwd()}/`)(
  kind === "bunqueue" ? "bunqueue/client" : "bullmq",
);
const name = "bench";
const IN_FLIGHT = 64;
const BULK = 1000;
const LAYOUT = { record: 16, chunk: 4080 };
const clock = () => performance.timeOrigin + performance.now();

const open = () => new Queue(name, { connection: { host, port: Number(port) } });

async function timed(produce) {
  const text = readFileSync(0, "utf8");
  const queue = open();
  await queue.waitUntilReady?.();
  const startedMs = clock();
  await produce(queue, (number) => ({ number, text }));
  console.log(JSON.stringify({ seconds: (clock() - startedMs) / 1000, started_ms: startedMs }));
  await queue.close();
  process.exit(0);
}

const add = () =>
  timed(async (queue, data) => {
    let next = 0;
    const lane = async () => {
      while (next < jobs) await queue.add("job", data(next++));
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  });

const bulk = (options = () => undefined) =>
  timed(async (queue, data) => {
    for (let start = 0; start < jobs; start += BULK) {
      const length = Math.min(BULK, jobs - start);
      const some = Array.from({ length }, (_, n) => start + n);
      const job = (number) => ({ name: "job", data: data(number), opts: options(number) });
      await queue.addBulk(some.map(job));
    }
  });

// Each job is due at a time of its own, and is added with the delay that is left until then.
const delay = () =>
  bulk((number) => ({ delay: Math.max(0, Math.ceil(dueMs + (number * 1000) / rate - Date.now())) }));

// Open loop: jobs are added at their time, whether those before were answered or not.
const pace = () =>
  timed(async (queue, data) => {
    const startedMs = clock();
    const adding = [];
    for (let next = 0; next < jobs; ) {
      for (; next < jobs && clock() - startedMs >= (next * 1000) / rate; next += 1) {
        adding.push(queue.add("job", data(next)));
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(adding);
  });

async function work() {
  const pipe = openSync(path, "w");
  const chunk = Buffer.alloc(LAYOUT.chunk);
  let used = 0;
  const flush = () => {
    if (used) writeSync(pipe, chunk, 0, used);
    used = 0;
  };
  const record = (number) => {
    chunk.writeDoubleLE(number, used);
    chunk.writeDoubleLE(clock(), used + 8);
    used += LAYOUT.record;
    if (used === LAYOUT.chunk) flush();
  };
  const own =
    kind === "bunqueue"
      ? { connection: { host, port: Number(port) }, ...JSON.parse(process.env.BENCH_WORKER) }
      : {
          connection: { host, port, maxRetriesPerRequest: null },
          concurrency: 100,
          removeOnComplete: { count: 0 },
        };
  const worker = new Worker(name, async (job) => record(job.data.number), own);
  worker.on("error", (error) => console.error(error));
  await worker.waitUntilReady?.();
  record(-1);
  setInterval(flush, 10);
  process.once("SIGTERM", () => worker.close().then(() => process.exit(0)));
}

await { add, bulk: () => bulk(), delay, pace, work }[process.argv[2]]();
